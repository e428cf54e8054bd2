"""What a network's service namespace lets pass and translates, as nftables text: pure, from the specification.

Interface `gw` leads to the guests, `out` to the host. Subnets of a router have the way out that the router has, others
the one that the network has. Who leaves by a floating IP, or reaches one, is translated here and nowhere else; once
it stands for somebody else, or nobody, connections to whom it stood for end.
"""

import ipaddress
from collections.abc import Iterable

import msgspec

from micronova.network.driver import NetworkSpec
from micronova.network.drivers.linux.rules import METADATA, ND_TYPES

IPv4Network = ipaddress.IPv4Network


class Paths(msgspec.Struct, frozen=True, kw_only=True):
    """Where IPv4 of a network may go: `reach` by its routers, `hidden` out as the host, `plain` out as they are."""

    reach: tuple[str, ...]
    hidden: tuple[str, ...]
    plain: tuple[str, ...]


def paths(spec: NetworkSpec) -> Paths:
    """The ways of the network's subnets, as ranges without overlap."""
    cidrs = {subnet.id: subnet.cidr for subnet in spec.subnets if ":" not in subnet.cidr}
    routed = {id for router in spec.routers for id in router.subnet_ids}
    hidden = [cidr for id, cidr in cidrs.items() if spec.nat and id not in routed]
    plain: list[str] = []
    reach: list[str] = []
    for router in spec.routers:
        if not router.up:
            continue
        reach += [cidr for peer in router.peers for cidr in peer.cidrs if ":" not in cidr]
        reach += [destination for destination, _ in router.routes if ":" not in destination]
        if router.way_out is not None:
            (hidden if router.way_out.snat else plain).extend(cidrs[id] for id in router.subnet_ids if id in cidrs)
    return Paths(reach=_ranges(reach), hidden=_ranges(hidden), plain=_ranges(plain))


def service_table(spec: NetworkSpec) -> str:
    """The table of the namespace anew, in one transaction."""
    ways = paths(spec)
    own = _ranges(subnet.cidr for subnet in spec.subnets if ":" not in subnet.cidr)
    leaving = [
        *_all("ip daddr", ways.reach, "accept"),
        *_all("ip saddr", (*ways.hidden, *ways.plain), "accept"),
        "ip saddr @leaves_as accept",
    ]
    translated = [
        *_all('oifname "out" ip daddr', ways.reach, "accept"),
        'oifname "out" snat ip to ip saddr map @leaves_as',
        *_all('oifname "out" ip saddr', ways.hidden, "masquerade"),
        *_all('oifname "gw" ct status dnat ip saddr', own, "snat ip to ip saddr map @leaves_as"),
        *_all('oifname "gw" ct status dnat ip saddr', own, "masquerade"),
    ]
    lines = [
        "add table inet service",
        "delete table inet service",
        _TABLE.format(
            nd=ND_TYPES,
            metadata=METADATA,
            stands_for=_pairs((one.floating_ip, one.fixed_ip) for one in spec.floating),
            stands=_elements(f"{one.floating_ip} . {one.fixed_ip}" for one in spec.floating),
            leaves_as=_pairs((one.fixed_ip, one.floating_ip) for one in spec.floating),
            leaving="\n    ".join(leaving),
            translated="\n    ".join(translated),
        ),
    ]
    return "\n".join(lines)


_TABLE = """
table inet service {{
  map stands_for {{ type ipv4_addr : ipv4_addr; {stands_for} }}
  map leaves_as {{ type ipv4_addr : ipv4_addr; {leaves_as} }}
  set stands {{ type ipv4_addr . ipv4_addr; {stands} }}
  chain input {{
    type filter hook input priority filter; policy drop;
    iifname "lo" accept
    ct state vmap {{ established : accept, related : accept, invalid : drop }}
    icmpv6 type {nd} accept
    icmp type echo-request accept
    icmpv6 type echo-request accept
    iifname "gw" udp dport {{ 53, 67, 547 }} accept
    iifname "gw" tcp dport 53 accept
    iifname "gw" ip daddr {metadata} tcp dport 80 accept
  }}
  chain leaving {{
    {leaving}
    meta nfproto ipv4 drop
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    ct status dnat ct original ip daddr . ct reply ip saddr != @stands drop
    ct state vmap {{ established : accept, related : accept, invalid : drop }}
    iifname "gw" oifname "out" jump leaving
  }}
  chain met {{
    type nat hook prerouting priority dstnat; policy accept;
    dnat ip to ip daddr map @stands_for
  }}
  chain translated {{
    type nat hook postrouting priority srcnat; policy accept;
    {translated}
  }}
}}
"""


def _all(match: str, ranges: Iterable[str], verdict: str) -> list[str]:
    listed = ", ".join(ranges)
    return [f"{match} {{ {listed} }} {verdict}"] if listed else []


def _pairs(pairs: Iterable[tuple[str, str]]) -> str:
    """The elements of a map. An address that stands twice stands for the first."""
    found: dict[str, str] = {}
    for key, value in pairs:
        found.setdefault(str(ipaddress.IPv4Address(key)), str(ipaddress.IPv4Address(value)))
    return _elements(f"{key} : {value}" for key, value in sorted(found.items()))


def _elements(elements: Iterable[str]) -> str:
    listed = ", ".join(dict.fromkeys(elements))
    return f"elements = {{ {listed} }};" if listed else ""


def _ranges(cidrs: Iterable[str]) -> tuple[str, ...]:
    nets = [IPv4Network(cidr) for cidr in cidrs]
    return tuple(str(net) for net in ipaddress.collapse_addresses(nets))
