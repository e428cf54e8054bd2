"""Cisco NX-OS (Nexus): `nxos`. Ports may be routed ones until told to switch."""

from micronova.network.drivers.cisco.table import CommandTable

NXOS = CommandTable(
    vendor="Cisco NX-OS",
    trunk=("switchport", "switchport mode trunk"),
    reserved=((1, 1), (1002, 1005), (3968, 4094)),
)
