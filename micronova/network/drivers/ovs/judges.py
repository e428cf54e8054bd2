"""Security-group rules as flows. Pure. Ports with the same rules share one *chain* a direction.

A chain is a number in a register: the port's flows load it, the rules match it. So a rule that a thousand ports have
is there once, and one more member of a group is one more flow for each rule that names the group.
"""

import hashlib
import ipaddress
import logging
from collections.abc import Callable, Iterable

from micronova.network.driver import RuleSpec
from micronova.network.drivers.ovs import tables as t
from micronova.network.drivers.ovs.openflow import Flow, Piece
from micronova.network.drivers.served.filters import HIGHEST_PORT, ICMP, ICMPV6, PROTOCOLS, WITH_PORTS

LOG = logging.getLogger(__name__)
NAMED = {6: "tcp", 17: "udp", 132: "sctp"}  # those whose ports flows can tell
PORT_BITS = 16
Members = Callable[[str], tuple[str, ...]]
"""The addresses of a group's members."""


def number(chain: str) -> int:
    """The number of the chain of this name; 0 is no chain's."""
    return int.from_bytes(hashlib.blake2s(chain.encode(), digest_size=8).digest(), "big") | 1


def chain(name: str, rules: Iterable[RuleSpec], direction: str, members: Members) -> Piece:
    """The flows that let pass what `rules` of one direction allow. The rules were checked before."""
    table, on = (t.SENT, t.FORWARD) if direction == "egress" else (t.GOT, f"resubmit(,{t.DELIVER})")
    register = t.MATCH_SENDER if direction == "egress" else t.MATCH_HEARER
    matches = {match: None for rule in rules if rule.direction == direction for match in _rule(rule, members)}
    return tuple(Flow(table, 100, f"{register}={number(name):#x},{match}", on) for match in matches)


def _rule(rule: RuleSpec, members: Members) -> list[str]:
    version = 6 if rule.ethertype == "IPv6" else 4
    sides = _sides(rule, version, members)
    return [",".join(part for part in (what, side) if part) for what in _what(rule, version) for side in sides]


def _sides(rule: RuleSpec, version: int, members: Members) -> list[str]:
    """Matches of the other side; one that matches all is empty."""
    if rule.remote_group is None and not rule.remotes:
        return [""]
    texts = members(rule.remote_group) if rule.remote_group is not None else rule.remotes
    source = rule.direction == "ingress"
    field = {(4, True): "nw_src", (4, False): "nw_dst", (6, True): "ipv6_src", (6, False): "ipv6_dst"}[version, source]
    nets = {ipaddress.ip_network(text, strict=False) for text in texts}
    wanted = sorted(str(net) for net in nets if net.version == version and net.prefixlen)
    if any(net.version == version and not net.prefixlen for net in nets):
        return [""]
    return [f"{field}={text}" for text in wanted]


def _what(rule: RuleSpec, version: int) -> list[str]:
    """Matches of protocol and ports."""
    family = "ipv6" if version == 6 else "ip"
    if rule.protocol in (None, "any", "ip", ""):
        return [family]
    protocol = PROTOCOLS.get(str(rule.protocol).lower(), -1)
    protocol = int(str(rule.protocol)) if protocol < 0 else protocol
    if protocol == ICMPV6 or (protocol == ICMP and version == 6):
        return [_icmp("icmp6", rule)] if version == 6 else [f"ip,nw_proto={ICMPV6}"]
    if protocol == ICMP:
        return [_icmp("icmp", rule)]
    plain = f"{family},nw_proto={protocol}"
    if protocol not in WITH_PORTS or (rule.port_min is None and rule.port_max is None):
        return [plain]
    if protocol not in NAMED:
        LOG.warning("flows can't tell ports of protocol %s: a rule for some of its ports lets none pass", protocol)
        return []
    name = NAMED[protocol] + ("6" if version == 6 else "")
    first = 0 if rule.port_min is None else rule.port_min
    last = HIGHEST_PORT if rule.port_max is None else rule.port_max
    return [f"{name}{part}" for part in _ports(first, last)]


def _icmp(name: str, rule: RuleSpec) -> str:
    parts = [name]
    if rule.port_min is not None:
        parts.append(f"icmp_type={rule.port_min}")
    if rule.port_max is not None:
        parts.append(f"icmp_code={rule.port_max}")
    return ",".join(parts)


def _ports(first: int, last: int) -> list[str]:
    """The range as the fewest numbers with masks."""
    found = []
    while first <= last:
        size = first & -first or 1 << PORT_BITS
        while first + size - 1 > last:
            size >>= 1
        mask = HIGHEST_PORT & ~(size - 1)
        if mask == HIGHEST_PORT:
            found.append(f",tp_dst={first}")
        else:
            found.append(f",tp_dst={first:#x}/{mask:#x}" if mask else "")
        first += size
    return found
