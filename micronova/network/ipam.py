"""Arithmetic of addresses: what a subnet's pools are, whether they fit, which address a MAC gets. Pure.

An address is handled as an integer and kept as hexadecimal text of fixed width, whose order is its order.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from micronova.network.refusals import invalid, refusal

AUTO_MODES = ("slaac", "dhcpv6-stateless")
IPv4Or6 = ipaddress.IPv4Network | ipaddress.IPv6Network
Pool = tuple[str, str]


class Gateway(msgspec.Struct, frozen=True):
    """What was asked for as gateway: `given` False means the network's first address."""

    given: bool = False
    ip: str | None = None


def network_of(cidr: str) -> IPv4Or6:
    return ipaddress.ip_network(cidr, strict=False)


def number(ip: str) -> int:
    return int(ipaddress.ip_address(ip))


def text(value: int, version: int) -> str:
    return str(ipaddress.IPv4Address(value) if version == 4 else ipaddress.IPv6Address(value))


def key(value: int, version: int) -> str:
    """The text an address is sorted by."""
    return f"{value:08x}" if version == 4 else f"{value:032x}"


def version_of(ip: str) -> int:
    return 6 if ":" in ip else 4


def is_automatic(address_mode: str | None) -> bool:
    """Whether addresses of the subnet follow from the MAC (RFC 4862)."""
    return address_mode in AUTO_MODES


def eui64(cidr: str, mac: str) -> str:
    """The address a MAC makes for itself in a /64 (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    interface = bytes([octets[0] ^ 2, *octets[1:3], 0xFF, 0xFE, *octets[3:]])
    return str(ipaddress.IPv6Address(int(network_of(cidr).network_address) | int.from_bytes(interface, "big")))


# -- what a subnet looks like


def usable(net: IPv4Or6) -> tuple[int, int]:
    """First and last address that a port may have: neither the network's own nor IPv4's broadcast."""
    first, last = int(net.network_address), int(net.broadcast_address)
    if net.version == 4 and net.prefixlen <= 30:
        return first + 1, last - 1
    if net.version == 6 and net.prefixlen <= 126:
        return first + 1, last
    return first, last


def default_gateway(net: IPv4Or6) -> str:
    """The first address after the network's own."""
    return text(min(int(net.network_address) + 1, int(net.broadcast_address)), net.version)


def default_pools(net: IPv4Or6, gateway: str | None) -> tuple[Pool, ...]:
    """All that is usable but the gateway."""
    first, last = usable(net)
    if gateway is None or not first <= number(gateway) <= last:
        parts = [(first, last)]
    else:
        at = number(gateway)
        parts = [(first, at - 1), (at + 1, last)]
    return tuple((text(a, net.version), text(b, net.version)) for a, b in parts if a <= b)


def check_pools(net: IPv4Or6, pools: Sequence[Pool], gateway: str | None) -> tuple[Pool, ...]:
    """The pools in canonical form, in order.

    Raises BadRequest (InvalidAllocationPool, OutOfBoundsAllocationPool, OverlappingAllocationPools) and Conflict
    (GatewayConflictWithAllocationPools).
    """
    low, high = usable(net)
    found: list[tuple[int, int]] = []
    for first, last in pools:
        said = f"{first}-{last}"
        if version_of(first) != net.version or version_of(last) != net.version or number(first) > number(last):
            raise refusal("InvalidAllocationPool", f"The allocation pool {said} is not valid.")
        if number(first) < low or number(last) > high:
            raise refusal(
                "OutOfBoundsAllocationPool", f"The allocation pool {said} spans beyond the subnet cidr {net}."
            )
        found.append((number(first), number(last)))
    found.sort()
    for (a, b), (c, d) in pairwise(found):
        if c <= b:
            one, two = (f"{text(x, net.version)}-{text(y, net.version)}" for x, y in ((a, b), (c, d)))
            raise refusal(
                "OverlappingAllocationPools",
                f"Found overlapping allocation pools: {one} {two} for subnet {net}.",
            )
    canonical = tuple((text(a, net.version), text(b, net.version)) for a, b in found)
    check_gateway_outside(canonical, gateway)
    return canonical


def check_gateway_outside(pools: Iterable[Pool], gateway: str | None) -> None:
    """Raises Conflict when a pool would give the gateway's address to a port."""
    if gateway is None:
        return
    for first, last in pools:
        if number(first) <= number(gateway) <= number(last):
            raise refusal(
                "GatewayConflictWithAllocationPools",
                f"Gateway ip {gateway} conflicts with allocation pool {first}-{last}.",
            )


def check_gateway(net: IPv4Or6, gateway: str) -> str:
    """The gateway in canonical form; IPv6 may use a link-local one.

    Raises BadRequest for one outside the subnet, for the network's own address and for IPv4's broadcast.
    """
    at = ipaddress.ip_address(gateway)
    if at.version != net.version:
        raise invalid(f"gateway_ip '{gateway}' does not match the ip_version '{net.version}'")
    if at in net:
        first, last = usable(net)
        if not first <= int(at) <= last:
            raise invalid(f"Gateway is not valid on subnet: {gateway} is no host's address in {net}.")
    elif at.version == 6 and at.is_link_local:
        return str(at)
    else:
        raise invalid(f"Gateway is not valid on subnet: {gateway} is not in {net}.")
    return str(at)


def overlapping(net: IPv4Or6, others: Iterable[str]) -> str | None:
    """The first of `others` that shares addresses with `net`."""
    for cidr in others:
        other = network_of(cidr)
        if other.version == net.version and net.overlaps(other):
            return cidr
    return None


def size(pools: Iterable[Pool]) -> int:
    """How many addresses the pools hold."""
    return sum(number(last) - number(first) + 1 for first, last in pools)


def free_within(first: int, taken: Sequence[int]) -> int:
    """The lowest number from `first` on that is not among `taken` (sorted, none below `first`)."""
    for at, value in enumerate(taken):
        if value != first + at:
            return first + at
    return first + len(taken)


def within(net: IPv4Or6, ip: str) -> bool:
    """Whether the address is of the range."""
    return ipaddress.ip_address(ip) in net
