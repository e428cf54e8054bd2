"""The network room: networks, subnets, ports, addresses, security groups.

Decides who is connected to what, with which address, and what may pass. Calls nobody below it but identity.
Several managers for different strategies (FlatDHCPManager first); under each, drivers for an implementation.
"""
