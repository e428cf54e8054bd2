"""Switches whose command line is Cisco's or like it, over SSH: one base, and a table of commands for each vendor.

A further vendor is a file like `ios.py` with a CommandTable, named by an entry point in `micronova.drivers.switch`.
"""
