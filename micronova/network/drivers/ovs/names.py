"""What the Open vSwitch driver calls its bridge and its ports, and how ports are numbered.

A port's number is asked for, so that flows know it before the port is there.
"""

import hashlib

from micronova.network.drivers.served.names import LONGEST_DEVICE, Names


class Numbers:
    """Where each kind of port has its numbers, all below 0xff00; a network's own is added to SERVICES and TUNNELS."""

    GUESTS, PHYSICAL, SERVICES, TUNNELS = 1, 32_000, 32_512, 48_896
    NETWORKS = TUNNELS - SERVICES


def integration_bridge(names: Names) -> str:
    """The bridge that all of the cloud's ports are on."""
    return f"{names.interfaces}int"


def near_patch(names: Names, bridge: str) -> str:
    """The integration bridge's half of the wire to a bridge of the operator's."""
    return _interface(names, "n", bridge)


def far_patch(names: Names, bridge: str) -> str:
    """The other half."""
    return _interface(names, "f", bridge)


def _interface(names: Names, kind: str, of: str) -> str:
    start = f"{names.interfaces}{kind}"
    return start + hashlib.sha256(of.encode()).hexdigest()[: LONGEST_DEVICE - len(start)]
