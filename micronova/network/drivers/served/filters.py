"""One port's filters as nftables rules: who its guest may claim to be, and what its security groups let pass.

Pure. Values are parsed before they become text, so that none of them can be anything but a value.
"""

import hashlib
import ipaddress
from collections.abc import Iterable

import msgspec

from micronova.errors import Rejected
from micronova.network.driver import GroupSpec, PortSpec, RuleSpec
from micronova.network.drivers.served.names import check_mac, gateway_mac

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PROTOCOLS = {  # IANA protocol numbers, under the names that Neutron knows
    "ah": 51,
    "dccp": 33,
    "egp": 8,
    "esp": 50,
    "gre": 47,
    "hopopt": 0,
    "icmp": 1,
    "icmpv6": 58,
    "igmp": 2,
    "ipip": 4,
    "ipv6-encap": 41,
    "ipv6-frag": 44,
    "ipv6-icmp": 58,
    "ipv6-nonxt": 59,
    "ipv6-opts": 60,
    "ipv6-route": 43,
    "ospf": 89,
    "pgm": 113,
    "rsvp": 46,
    "sctp": 132,
    "tcp": 6,
    "udp": 17,
    "udplite": 136,
    "vrrp": 112,
}
ICMP, ICMPV6 = 1, 58
WITH_PORTS = frozenset({6, 17, 33, 132, 136})
HIGHEST_PORT, HIGHEST_ICMP, HIGHEST_PROTOCOL = 65535, 255, 255
DHCP_CLIENT_MAC = "@th,288,48"  # chaddr: 8 bytes of UDP and 28 of DHCP header before it (RFC 2131 section 2)
ND_TARGET = "@th,64,128"  # the address a neighbour advertisement is about (RFC 4861 section 4.4)
ND_TARGET_START = "@th,64,16"


def anti_spoofing(spec: PortSpec) -> list[str]:
    """Rules for what the port's guest sends: accept what is its own, drop the rest.

    Raises Rejected for an address that is none.
    """
    owned = [(check_mac(spec.mac), _network(ip)) for ip in spec.ips]
    owned += [(check_mac(mac), _network(cidr)) for mac, cidr in spec.allowed_pairs]
    macs = sorted({check_mac(spec.mac), *(mac for mac, _ in owned)})
    ipv6 = [*owned, *((mac, _network(str(link_local(mac)))) for mac in macs)]
    return [
        f"ether saddr != {_group(macs)} drop",
        *_arp([(mac, net) for mac, net in owned if net.version == 4], macs),
        *_ipv4([(mac, net) for mac, net in owned if net.version == 4], check_mac(spec.mac)),
        *_ipv6([(mac, net) for mac, net in ipv6 if net.version == 6], link_local(gateway_mac(spec.network_id))),
        "drop",
    ]


def security_group(rules: Iterable[RuleSpec], direction: str) -> list[str]:
    """Rules that accept what `rules` of one direction let pass, and cut off the rest.

    Raises Rejected for a rule that can't be.
    """
    texts = [text for rule in rules if rule.direction == direction for text in _rule(rule)]
    return [*dict.fromkeys(f"{text} accept" for text in texts), "goto cut"]


class Members(msgspec.Struct, frozen=True):
    """A change of a group as elements of nftables sets, by IP version. `wide` is None where no range came or went.

    Single addresses are kept apart from ranges, to which adding is dearer.
    """

    come: dict[int, list[str]]
    gone: dict[int, list[str]]
    wide: dict[int, list[str] | None]


def members(new: GroupSpec, old: GroupSpec | None) -> Members:
    """What came and went between `old` (None for nothing at all) and `new`; costs what differs.

    Raises Rejected for an address that is none.
    """
    now, before = set(new.addresses), set(old.addresses) if old is not None else set[str]()
    come, gone = _networks(now - before), _networks(before - now)
    gone = [net for net in gone if not {str(net), str(net.network_address)} & now]
    ranges = {net.version for net in (*come, *gone) if not _is_single(net)}
    wide: dict[int, list[str] | None] = {4: None, 6: None}
    for version in (4, 6) if old is None else sorted(ranges):
        nets = [net for net in _networks(text for text in now if "/" in text) if not _is_single(net)]
        wide[version] = _collapsed([net for net in nets if net.version == version])
    return Members(_singles(come), _singles(gone), wide)


def _networks(texts: Iterable[str]) -> list[Network]:
    return [_network(text) for text in sorted(texts)]


def _singles(nets: list[Network]) -> dict[int, list[str]]:
    single = [net for net in nets if _is_single(net)]
    return {v: list(dict.fromkeys(str(n.network_address) for n in single if n.version == v)) for v in (4, 6)}


def set_name(kind: str, group_id: str, version: int) -> str:
    """The nftables set with the group's members: `kind` is "single" or "wide"."""
    digest = hashlib.blake2s(group_id.encode(), digest_size=8).hexdigest()
    return f"{kind}{version}-{digest}"


def _is_single(net: Network) -> bool:
    return net.prefixlen == net.max_prefixlen


def link_local(mac: str) -> ipaddress.IPv6Address:
    """The address an interface with this MAC gives itself (RFC 4291 appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    host = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return ipaddress.IPv6Address(b"\xfe\x80" + bytes(6) + host)


def _arp(owned: list[tuple[str, Network]], macs: list[str]) -> list[str]:
    claims = [
        f"ether saddr {mac} arp saddr ether {mac} arp saddr ip {net} accept" for mac, net in owned if net.prefixlen
    ]
    claims += [f"ether saddr {mac} arp saddr ether {mac} accept" for mac, net in owned if not net.prefixlen]
    probes = [f"ether saddr {mac} arp saddr ether {mac} arp saddr ip 0.0.0.0 accept" for mac in macs]
    return [f"ether type arp {rule}" for rule in [*claims, *probes, "drop"]]


def _ipv4(owned: list[tuple[str, Network]], mac: str) -> list[str]:
    client = f"0x{mac.replace(':', '')}"
    rules = [
        "udp sport 67 udp dport 68 drop",
        f"udp sport 68 udp dport 67 {DHCP_CLIENT_MAC} != {client} drop",
        "ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept",
        *(f"ether saddr {mac} {_source('ip', net)}accept" for mac, net in owned),
        "drop",
    ]
    return [f"ether type ip {rule}" for rule in rules]


def _ipv6(owned: list[tuple[str, Network]], gateway: ipaddress.IPv6Address) -> list[str]:
    """A guest may choose its link-local address (RFC 7217) and use it to find its neighbours and to ask for DHCP.

    Everything else it sends from its own addresses, or from the link-local one that follows from its MAC. The
    gateway's link-local address is what routes lead to: nobody else may be it, in any message.

    Some rules more instead of sets without a name: every change makes nftables look at all sets of all ports first.
    """
    targets = [_number(net) for _, net in owned if _is_single(net)]
    wide = len(targets) < len(owned)
    own_target = f"{ND_TARGET_START} & 0xffc0 != 0xfe80 {ND_TARGET} != {_group(targets)}"
    rules = [
        *(f"icmpv6 type {kind} drop" for kind in ("134", "137")),  # router advertisement, redirect
        "udp sport 547 udp dport 546 drop",
        f"ip6 saddr {gateway} drop",
        f"ip6 saddr :: icmpv6 type 135 {ND_TARGET} 0x{int(gateway):032x} drop",
        f"icmpv6 type 136 {ND_TARGET} 0x{int(gateway):032x} drop",
        *([] if wide else [f"icmpv6 type 136 {own_target} drop"]),
        *(f"ip6 saddr :: icmpv6 type {kinds} accept" for kinds in ("131-133", "135", "143")),
        *(f"ip6 saddr fe80::/10 icmpv6 type {kinds} accept" for kinds in ("131-133", "135-136", "143")),
        "ip6 saddr fe80::/10 udp sport 546 udp dport 547 accept",
        *(f"ether saddr {mac} {_source('ip6', net)}accept" for mac, net in owned),
        "drop",
    ]
    return [f"ether type ip6 {rule}" for rule in rules]


def _source(family: str, net: Network) -> str:
    return f"{family} saddr {net} " if net.prefixlen else ""


def _number(net: Network) -> str:
    return f"0x{int(net.network_address):032x}"


def _rule(rule: RuleSpec) -> list[str]:
    """What the rule matches; nothing when all its remotes are of the other IP version."""
    version = 6 if rule.ethertype == "IPv6" else 4
    nets = [net for net in map(_network, rule.remotes) if net.version == version]
    if rule.remotes and not nets:
        return []
    parts = [f"meta nfproto ipv{version}"]
    number = _protocol(rule.protocol, version)
    if number is not None:
        parts += [f"meta l4proto {number}", _ports(rule, number)]
    side = f"{'ip6' if version == 6 else 'ip'} {'saddr' if rule.direction == 'ingress' else 'daddr'}"
    if nets and all(net.prefixlen for net in nets):
        parts.append(f"{side} {_group(_collapsed(nets))}")
    text = " ".join(part for part in parts if part)
    if rule.remote_group is None:
        return [text]
    return [f"{text} {side} @{set_name(kind, rule.remote_group, version)}" for kind in ("single", "wide")]


def _protocol(name: str | None, version: int) -> int | None:
    if name is None or name in ("any", "ip", ""):
        return None
    number = PROTOCOLS.get(name.lower(), -1)
    if name.isascii() and name.isdigit():
        number = int(name)
    if not 0 <= number <= HIGHEST_PROTOCOL:
        raise Rejected(f"{name[:40]!r} is no protocol")
    return ICMPV6 if version == 6 and number == ICMP else number


def _ports(rule: RuleSpec, number: int) -> str:
    low, high = rule.port_min, rule.port_max
    if number in (ICMP, ICMPV6):
        family = "icmp" if number == ICMP else "icmpv6"
        kind = "" if low is None else f"{family} type {_bounded(low, HIGHEST_ICMP)}"
        return kind if high is None else f"{kind} {family} code {_bounded(high, HIGHEST_ICMP)}".strip()
    if number not in WITH_PORTS or (low is None and high is None):
        return ""
    first = _bounded(0 if low is None else low, HIGHEST_PORT)
    last = _bounded(HIGHEST_PORT if high is None else high, HIGHEST_PORT)
    if first > last:
        raise Rejected(f"ports {first} to {last} are no range")
    return f"th dport {first}-{last}" if first < last else f"th dport {first}"


def _collapsed(nets: list[Network]) -> list[str]:
    """The fewest networks that hold the same addresses: nftables refuses sets with overlaps."""
    ipv4 = ipaddress.collapse_addresses(net for net in nets if isinstance(net, ipaddress.IPv4Network))
    ipv6 = ipaddress.collapse_addresses(net for net in nets if isinstance(net, ipaddress.IPv6Network))
    return [str(net) for net in (*ipv4, *ipv6)]


def _group(values: Iterable[str]) -> str:
    """Any of them; one alone needs no set."""
    listed = list(values)
    return listed[0] if len(listed) == 1 else "{ " + ", ".join(listed) + " }"


def _bounded(value: int, highest: int) -> int:
    if not 0 <= value <= highest:
        raise Rejected(f"{value} is not between 0 and {highest}")
    return value


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError as err:
        raise Rejected(f"{text[:80]!r} is no address") from err
