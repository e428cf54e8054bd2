"""Arista EOS: `eos`. It takes commands for ports that aren't there, and only warns."""

from micronova.network.drivers.cisco.table import NO, CommandTable

EOS = CommandTable(
    vendor="Arista EOS",
    show_vlans="show vlan",
    show_port="show running-config interfaces {port}",
    save="write memory",
    refusals=(NO, r"! Interface does not exist"),
    reserved=((1, 1), (1002, 1005)),
)
