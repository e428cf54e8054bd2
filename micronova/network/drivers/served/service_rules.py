"""What a network's service namespace lets pass and translates, as nftables text: pure, from the specification.

Interface `gw` leads to the guests, `out` to the host. Subnets of a router have the way out that the router has, others
the one that the network has. Who leaves by a floating IP, or reaches one, is translated here and nowhere else; once
it stands for somebody else, or nobody, connections to whom it stood for end. So it is with ports of one.
"""

import ipaddress
from collections.abc import Collection, Iterable

import msgspec

from micronova.network.driver import NetworkSpec
from micronova.network.drivers.served import forwarding_rules, shaping
from micronova.network.drivers.served.segments import is_spanning
from micronova.network.drivers.served.tables import METADATA, ND_TYPES


class Paths(msgspec.Struct, frozen=True, kw_only=True):
    """Where a network may go: `reach` by its routers, `hidden` out as the host, `plain` out as it is.

    IPv6 is never hidden: a router leads out who has a range of the world, as who it is.
    """

    reach: tuple[str, ...]
    hidden: tuple[str, ...]
    plain: tuple[str, ...]


def paths(spec: NetworkSpec) -> Paths:
    """The ways of the network's subnets, as ranges without overlap."""
    cidrs = {subnet.id: subnet.cidr for subnet in spec.subnets}
    routed = {id for router in spec.routers for id in router.subnet_ids}
    hidden = [cidr for id, cidr in cidrs.items() if spec.nat and id not in routed and ":" not in cidr]
    plain: list[str] = []
    reach: list[str] = []
    for router in spec.routers:
        if not router.up:
            continue
        reach += [cidr for peer in router.peers for cidr in peer.cidrs]
        reach += [destination for destination, _ in router.routes]
        if router.way_out is not None:
            for id, cidr in ((id, cidrs[id]) for id in router.subnet_ids if id in cidrs):
                (hidden if router.way_out.hides(id) and ":" not in cidr else plain).append(cidr)
    return Paths(reach=_ranges(reach), hidden=_ranges(hidden), plain=_ranges(plain))


def service_table(spec: NetworkSpec) -> str:
    """The table of the namespace anew, in one transaction."""
    ways = paths(spec)
    own = _ranges(subnet.cidr for subnet in spec.subnets)
    own4 = [cidr for cidr in own if ":" not in cidr]
    leaving = [
        *_all("daddr", ways.reach, "accept"),
        *_all("saddr", (*ways.hidden, *ways.plain), "accept"),
        *_all("saddr", dict.fromkeys(str(ipaddress.IPv4Address(one.fixed_ip)) for one in spec.floating), "accept"),
    ]
    translated = [
        *_all("daddr", ways.reach, "accept", where='oifname "out"'),
        'oifname "out" snat ip to ip saddr map @leaves_as',
        *_all("saddr", ways.hidden, "masquerade", where='oifname "out"'),
        *_all("saddr", own4, "snat ip to ip saddr map @leaves_as", where='oifname "gw" ct status dnat'),
        *_all("saddr", own4, "masquerade", where='oifname "gw" ct status dnat'),
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
            bounds="\n    ".join(_bounds(spec)),
            forwarded="\n    ".join(forwarding_rules.standing(spec.forwardings)),
            forwardings="\n    ".join(forwarding_rules.translations(spec.forwardings)),
            unforwarded="\n    ".join(forwarding_rules.unforwarded(spec)),
            halfway="\n    ".join(_halfway(spec, own, ways)),
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
    drop
  }}
  chain by_port {{
    {forwarded}
    drop
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    {bounds}
    ct status dnat ct original ip daddr . ct reply ip saddr != @stands jump by_port
    {unforwarded}
    {halfway}
    ct state vmap {{ established : accept, related : accept, invalid : drop }}
    iifname "gw" oifname "out" jump leaving
  }}
  chain met {{
    type nat hook prerouting priority dstnat; policy accept;
    {forwardings}
    dnat ip to ip daddr map @stands_for
  }}
  chain translated {{
    type nat hook postrouting priority srcnat; policy accept;
    {translated}
  }}
}}
"""


def _halfway(spec: NetworkSpec, own: tuple[str, ...], ways: Paths) -> list[str]:
    """Replies from a guest of another host are forwarded there: what looks like no connection may be half of one.

    What would have to be translated is not among it: it is not addressed to our guests, nor to those of peers.
    """
    if not is_spanning(spec):
        return []
    back = _all("daddr", own, "accept", where='iifname "out"')
    return [*back, *_all("daddr", ways.reach, "accept", where='iifname "gw" oifname "out"')]


def _bounds(spec: NetworkSpec) -> list[str]:
    """What passes by floating IPs keeps to their limits; what goes to networks of the same routers passes by none."""
    reach = [cidr for cidr in paths(spec).reach if ":" not in cidr]
    beyond = f" ip daddr != {{ {', '.join(reach)} }}" if reach else ""
    lines: list[str] = []
    for one in spec.floating:
        outer, inner = ipaddress.IPv4Address(one.floating_ip), ipaddress.IPv4Address(one.fixed_ip)
        for side in ("ct original ip daddr", "ct reply ip daddr"):
            lines += shaping.limit(one.qos.ingress, f'iifname "out" {side} {outer}')
        lines += shaping.limit(one.qos.egress, f'iifname "gw" oifname "out" ip saddr {inner}{beyond}')
    return lines


def _all(side: str, ranges: Collection[str], verdict: str, *, where: str = "") -> list[str]:
    """One rule an IP version: `side` is "saddr" or "daddr"."""
    lines = []
    for family, listed in (("ip", [r for r in ranges if ":" not in r]), ("ip6", [r for r in ranges if ":" in r])):
        if listed:
            lines.append(" ".join([*([where] if where else []), family, side, f"{{ {', '.join(listed)} }}", verdict]))
    return lines


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
    nets = [ipaddress.ip_network(cidr) for cidr in cidrs]
    ipv4 = ipaddress.collapse_addresses(net for net in nets if isinstance(net, ipaddress.IPv4Network))
    ipv6 = ipaddress.collapse_addresses(net for net in nets if isinstance(net, ipaddress.IPv6Network))
    return tuple(str(net) for net in (*ipv4, *ipv6))
