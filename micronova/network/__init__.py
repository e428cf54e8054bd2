"""The network room: networks, subnets, ports, addresses, security groups.

Decides who is connected to what, with which address, and what may pass. Calls nobody below it but identity.
manager.py is the front; what carries a network is up to the manager of its type (strategies/), under which drivers make
it real on hosts and on the switches between them.
"""
