"""Cisco IOS and IOS XE: `ios`, and `ios_isl` for Catalysts that know ISL too (3560, 3750, 4500, 6500)."""

import msgspec

from micronova.network.drivers.cisco.table import CommandTable

IOS = CommandTable(
    vendor="Cisco IOS",
    save="write memory",  # `copy` asks for a file name
)
IOS_ISL = msgspec.structs.replace(
    IOS,
    vendor="Cisco IOS with ISL",
    trunk=("switchport trunk encapsulation dot1q", "switchport mode trunk"),
)
