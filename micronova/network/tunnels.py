"""This host's end of tunnels: the address by which it reaches the world, unless the configuration names one."""

import ipaddress
import socket

from micronova.errors import ConfigError

LOOPBACK = "127.0.0.1"
ANYWHERE = ("192.0.2.1", 9)
"""Nobody's address (RFC 5737), to which the route of last resort leads."""


def own_address(configured: str) -> str:
    """The configured address, or the one this host sends from by its default route; loopback's when there is none.

    Raises ConfigError for what is no address.
    """
    if not configured:
        return _outward()
    try:
        return str(ipaddress.ip_address(configured))
    except ValueError as err:
        raise ConfigError(f"configuration: network.tunnel_address: {configured!r} is not an IP address") from err


def is_reached(address: str) -> bool:
    """Whether other hosts can reach it at all."""
    return not ipaddress.ip_address(address).is_loopback


def _outward() -> str:
    # connecting a datagram socket sends nothing: the kernel only picks the route and the source address
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(ANYWHERE)
        except OSError:
            return LOOPBACK
        address: str = probe.getsockname()[0]
        return address
