"""Port forwardings of one network as nftables text: which ports of a floating IP stand for which of a guest. Pure."""

import ipaddress
from collections.abc import Iterable

from micronova.errors import Rejected
from micronova.network.driver import ForwardingSpec, NetworkSpec

PROTOCOLS = ("tcp", "udp", "sctp")
PORT_MOST = 65535


def check(forwardings: Iterable[ForwardingSpec]) -> None:
    """Raises Rejected for one that can't be."""
    for one in forwardings:
        ipaddress.IPv4Address(one.floating_ip)
        ipaddress.IPv4Address(one.fixed_ip)
        if one.protocol not in PROTOCOLS:
            raise Rejected(f"{one.protocol[:40]!r} has no ports to forward")
        for first, last in (one.outer, one.inner):
            if not 1 <= first <= last <= PORT_MOST:
                raise Rejected(f"ports {first} to {last} are no range")
        if one.inner[0] != one.inner[1] and _count(one.outer) != _count(one.inner):
            raise Rejected(f"{_count(one.outer)} ports can't stand for {_count(one.inner)}")


def addresses(spec: NetworkSpec) -> tuple[str, ...]:
    """The floating IPs that are found in this network, as a whole or by some ports."""
    held = {one.floating_ip for one in spec.floating} | {one.floating_ip for one in spec.forwardings}
    return tuple(sorted(held))


def translations(forwardings: Iterable[ForwardingSpec]) -> list[str]:
    """Rules that lead what comes for the outer ports to the inner ones."""
    return [_translation(one) for one in forwardings]


def standing(forwardings: Iterable[ForwardingSpec]) -> list[str]:
    """Rules that let connections pass to who is behind the ports now; those of who was there before end."""
    return [
        f"meta l4proto {one.protocol} ct original ip daddr {one.floating_ip} "
        f"ct original proto-dst {_ports(one.outer)} ct reply ip saddr {one.fixed_ip} return"
        for one in forwardings
    ]


def unforwarded(spec: NetworkSpec) -> list[str]:
    """The rule that drops what came for a floating IP of which no such port stands for anybody."""
    whole = {one.floating_ip for one in spec.floating}
    alone = [ip for ip in addresses(spec) if ip not in whole]
    return [f"ip daddr {{ {', '.join(alone)} }} drop"] if alone else []


def _translation(one: ForwardingSpec) -> str:
    match = f"ip daddr {one.floating_ip} {one.protocol} dport {_ports(one.outer)}"
    if one.inner[0] == one.inner[1]:
        return f"{match} dnat ip to {one.fixed_ip}:{one.inner[0]}"
    if one.inner == one.outer:
        return f"{match} dnat ip to {one.fixed_ip}"
    shift = one.inner[0] - one.outer[0]
    pairs = (f"{port} : {one.fixed_ip} . {port + shift}" for port in range(one.outer[0], one.outer[1] + 1))
    return f"{match} dnat ip to {one.protocol} dport map {{ {', '.join(pairs)} }}"


def _ports(ports: tuple[int, int]) -> str:
    return str(ports[0]) if ports[0] == ports[1] else f"{ports[0]}-{ports[1]}"


def _count(ports: tuple[int, int]) -> int:
    return ports[1] - ports[0] + 1
