"""Whether a port's own filters let a packet pass, and by which rule: the part of trace.py for one port. Pure.

What it says follows from the rows as the drivers are told of them: anti-spoofing first, then the rules of all of the
port's groups together, of which one that matches is enough.
"""

import ipaddress
from collections.abc import Mapping

import msgspec

from micronova.network.db import Port, Rule
from micronova.network.security_rules import ICMP, NUMBERS, WITH_PORTS

PASSES, DROPPED = "passes", "dropped"
ECHO_REQUEST = {4: 8, 6: 128}
"""ICMP type of what ping sends (RFC 792, RFC 4443), by IP version."""
ICMP_NUMBER = {4: 1, 6: 58}


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """The packet that is asked about. `port` is None for ICMP, which is an echo request."""

    destination: str
    protocol: str = "icmp"
    port: int | None = None

    @property
    def version(self) -> int:
        return 6 if ":" in self.destination else 4

    @property
    def number(self) -> int:
        return ICMP_NUMBER[self.version] if self.protocol == "icmp" else NUMBERS[self.protocol]

    def __str__(self) -> str:
        return self.protocol if self.port is None else f"{self.protocol} {self.port}"


class Side(msgspec.Struct, frozen=True):
    """The other side as a port sees it. `ip` None: an address that no row tells, like a host's own."""

    ip: str | None
    label: str


class RuleLook(msgspec.Struct, frozen=True):
    """One rule that was looked at: `why` says what of it doesn't fit, "" when it matches."""

    id: str
    group_id: str
    rule: str
    why: str = ""


class Hop(msgspec.Struct, frozen=True):
    """One place on the way: what became of the packet there, and why."""

    at: str
    verdict: str
    reason: str
    rules: tuple[RuleLook, ...] = ()


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """Rules and names of groups, and the addresses of the members of those that rules name; by group."""

    names: Mapping[str, str]
    rules: Mapping[str, tuple[Rule, ...]]
    members: Mapping[str, frozenset[str]]


def may_send(port: Port, source: str) -> Hop:
    """Whether the port's guest may send from this address."""
    at = "anti-spoofing"
    if not port.port_security_enabled:
        return Hop(at, PASSES, f"port security is off: any source may be used, {source} too")
    if any(source == fixed.ip for fixed in port.fixed_ips):
        return Hop(at, PASSES, f"source {source} is the port's own with MAC {port.mac}")
    for pair in port.allowed_pairs:
        if within(source, pair.ip):
            return Hop(
                at,
                PASSES,
                f"source {source} is in allowed address pair {pair.ip} with MAC {pair.mac or port.mac}",
            )
    own = ", ".join([*(fixed.ip for fixed in port.fixed_ips), *(pair.ip for pair in port.allowed_pairs)])
    return Hop(
        at,
        DROPPED,
        f"source {source} is neither the port's own nor an allowed address pair ({own or 'none'})",
    )


def judged(book: Book, port: Port, direction: str, probe: Probe, other: Side) -> Hop:
    """What the rules of the port's groups for one direction say of the packet."""
    at = f"{direction} rules of port {port.id}"
    if not port.port_security_enabled:
        return Hop(at, PASSES, "port security is off: no rules are applied")
    if not port.security_group_ids:
        return Hop(at, DROPPED, "the port is in no security group: nothing may pass")
    looks = []
    for group_id in port.security_group_ids:
        for rule in book.rules.get(group_id, ()):
            if rule.direction != direction:
                continue
            look = RuleLook(rule.id, group_id, _text(book, rule), _unfit(book, rule, probe, other))
            looks.append(look)
            if not look.why:
                reason = f"rule {rule.id} of group {_name(book, group_id)} lets it pass: {look.rule}"
                return Hop(at, PASSES, reason, tuple(looks))
    groups = ", ".join(_name(book, id) for id in port.security_group_ids)
    reason = f"no {direction} rule of {groups} lets {probe} {_preposition(direction)} {other.label} pass"
    return Hop(at, DROPPED, f"{reason} ({len(looks)} looked at)", tuple(looks))


def within(ip: str, prefix: str) -> bool:
    """Whether the address is, or lies in, the other."""
    return ipaddress.ip_address(ip) in ipaddress.ip_network(prefix, strict=False)


def _unfit(book: Book, rule: Rule, probe: Probe, other: Side) -> str:
    """What of the rule doesn't fit the packet; "" when it matches."""
    if rule.ethertype != f"IPv{probe.version}":
        return f"is for {rule.ethertype}"
    return _unfit_protocol(rule, probe) or _unfit_remote(book, rule, other)


def _unfit_protocol(rule: Rule, probe: Probe) -> str:
    if rule.protocol is None:
        return ""
    number = int(rule.protocol) if rule.protocol.isdigit() else NUMBERS.get(rule.protocol, -1)
    if probe.version == 6 and number == ICMP_NUMBER[4]:
        number = ICMP_NUMBER[6]
    if number != probe.number:
        return f"is for {rule.protocol}"
    low, high = rule.port_min, rule.port_max
    if number in ICMP:
        kind = ECHO_REQUEST[probe.version]
        fits = low in (None, kind) and high in (None, 0)
        return "" if fits else f"is for ICMP type {low}, ping sends {kind}"
    if number not in WITH_PORTS or probe.port is None or (low is None and high is None):
        return ""
    first, last = low or 0, 65535 if high is None else high
    return "" if first <= probe.port <= last else f"is for other ports than {probe.port}"


def _unfit_remote(book: Book, rule: Rule, other: Side) -> str:
    group_id = rule.remote_group_id or rule.remote_address_group_id
    if group_id is not None:
        members = book.members.get(group_id, frozenset())
        if other.ip is not None and any(within(other.ip, member) for member in members):
            return ""
        return f"{other.label} is no address of a member of group {_name(book, group_id)}"
    if rule.remote_prefix is None or ipaddress.ip_network(rule.remote_prefix, strict=False).prefixlen == 0:
        return ""
    if other.ip is not None and within(other.ip, rule.remote_prefix):
        return ""
    return f"{other.label} is not in {rule.remote_prefix}"


def _text(book: Book, rule: Rule) -> str:
    """The rule in words."""
    ports = ""
    if rule.port_min is not None or rule.port_max is not None:
        bounds = [rule.port_min] if rule.port_min == rule.port_max else [rule.port_min, rule.port_max]
        ports = " " + "-".join("" if bound is None else str(bound) for bound in bounds).strip("-")
    remote = rule.remote_prefix or "anywhere"
    group_id = rule.remote_group_id or rule.remote_address_group_id
    if group_id is not None:
        remote = f"members of group {_name(book, group_id)}"
    what = rule.protocol or "anything"
    return f"{rule.direction} {rule.ethertype} {what}{ports} {_preposition(rule.direction)} {remote}"


def _preposition(direction: str) -> str:
    return "from" if direction == "ingress" else "to"


def _name(book: Book, group_id: str) -> str:
    return book.names.get(group_id) or group_id
