"""Rules of security groups: which make sense, which are the same, who must hear of a new one.

The checks and their words follow the Networking API reference, "Security group rules".
"""

import ipaddress
from collections.abc import Iterable
from typing import Any

import msgspec

from micronova.clock import Clock
from micronova.context import Context
from micronova.db import Not, Tx
from micronova.network import address_groups, checks, db, resources
from micronova.network.attributes import Values
from micronova.network.collection import Collection, Where
from micronova.network.db import Rule, SecurityGroup
from micronova.network.refusals import bad, missing, refusal
from micronova.network.sharing import is_given

DIRECTIONS = ("ingress", "egress")
ETHERTYPES = {"ipv4": "IPv4", "ipv6": "IPv6"}
NUMBERS = {
    "ah": 51, "dccp": 33, "egp": 8, "esp": 50, "gre": 47, "hopopt": 0, "icmp": 1, "icmpv6": 58, "igmp": 2, "ip": 0,
    "ipip": 4, "ipv6-encap": 41, "ipv6-frag": 44, "ipv6-icmp": 58, "ipv6-nonxt": 59, "ipv6-opts": 60,
    "ipv6-route": 43, "ospf": 89, "pgm": 113, "rsvp": 46, "sctp": 132, "tcp": 6, "udp": 17, "udplite": 136,
    "vrrp": 112,
}  # fmt: skip
"""Protocol names and their numbers (IANA, "Assigned Internet Protocol Numbers")."""
WITH_PORTS = (6, 17, 33, 132, 136)
ICMP = (1, 58)
ONLY_IPV6 = ("ipv6-encap", "ipv6-frag", "ipv6-icmp", "icmpv6", "ipv6-nonxt", "ipv6-opts", "ipv6-route")


class SecurityGroupRules(Collection[Rule]):
    """All rules."""

    resource = resources.SECURITY_GROUP_RULE
    row = Rule

    def scopes(self, tx: Tx, ctx: Context) -> list[Where]:
        """The project's rules, and those that others gave its groups."""
        groups = [group.id for group in tx.find(SecurityGroup, project_id=ctx.project_id, order=(("id", True),))]
        own: list[Where] = [{"project_id": ctx.project_id}]
        return [*own, {"group_id": groups, "project_id": Not(ctx.project_id)}] if groups else own

    def sees(self, tx: Tx, ctx: Context, row: Rule) -> bool:
        return row.project_id == ctx.project_id or bool(
            tx.count(SecurityGroup, id=row.group_id, project_id=ctx.project_id)
        )

    def insert(self, tx: Tx, ctx: Context, values: Values) -> Rule:
        """Store a rule that makes sense and is new. Members' hosts follow."""
        group = _group(tx, ctx, values["group_id"])
        if group.project_id != values["project_id"] and not ctx.is_admin:
            name = "create_security_group_rule"
            raise refusal("PolicyNotAuthorized", f"rule:{name} is disallowed by policy", rule=name)
        values = checked(values)
        if values["remote_group_id"] is not None:
            _group(tx, ctx, values["remote_group_id"])
        if values["remote_address_group_id"] is not None:
            address_groups.check_usable(tx, ctx, values["remote_address_group_id"])
        values["fingerprint"] = fingerprint(values)
        same = tx.first(Rule, group_id=group.id, fingerprint=values["fingerprint"])
        if same is not None:
            raise refusal(
                "SecurityGroupRuleExists",
                f"Security group rule already exists. Rule id is {same.id}.",
                id=same.id,
            )
        rule = tx.insert(Rule(**self.standard(tx, values)))
        self._group_changed(tx, ctx, group)
        return rule

    def erase(self, tx: Tx, ctx: Context, row: Rule) -> None:
        """The rule is gone. Members' hosts follow."""
        tx.delete(row)
        self._group_changed(tx, ctx, tx.get(SecurityGroup, row.group_id))

    def _group_changed(self, tx: Tx, ctx: Context, group: SecurityGroup) -> None:
        tx.change(group, updated_at=tx.now)
        self.room.tell(tx, ctx, db.hosts_of_groups(tx, [group.id]))


def _group(tx: Tx, ctx: Context, id: str) -> SecurityGroup:
    group = tx.first(SecurityGroup, id=id)
    if group is None or not (
        ctx.is_admin or group.shared or group.project_id == ctx.project_id or is_given(tx, ctx.project_id, id)
    ):
        raise missing("security_group", id)
    return group


# -- the rules every group begins with


def default_rules(group_id: str | None) -> list[Values]:
    """Everything may leave; with a group, its members may come in."""
    found = []
    for ethertype in ETHERTYPES.values():
        found.append({"direction": "egress", "ethertype": ethertype})
        if group_id is not None:
            found.append({"direction": "ingress", "ethertype": ethertype, "remote_group_id": group_id})
    return found


def insert_rules(tx: Tx, clock: Clock, group: SecurityGroup, rules: Iterable[Values]) -> None:
    """The new group has these rules."""
    for values in rules:
        rule = Rule(
            **values,
            id=clock.new_id(),
            group_id=group.id,
            project_id=group.project_id,
            created_at=tx.now,
            updated_at=tx.now,
            fingerprint="",
        )
        tx.insert(msgspec.structs.replace(rule, fingerprint=fingerprint(msgspec.structs.asdict(rule))))


# -- pure: does it make sense


def fingerprint(values: Values) -> str:
    """What two rules share exactly when they let the same pass."""
    number = _number(values.get("protocol"))
    prefix = normalized(values.get("remote_prefix"))
    parts = (
        values["direction"],
        values["ethertype"],
        number,
        values.get("port_min"),
        values.get("port_max"),
        prefix,
        values.get("remote_group_id"),
        *filter(None, [values.get("remote_address_group_id")]),
    )
    return "|".join("" if part is None else str(part) for part in parts)


def normalized(prefix: str | None) -> str | None:
    """The range that an address with a mask lies in."""
    return None if prefix is None else str(ipaddress.ip_network(prefix, strict=False))


def checked(values: Values) -> Values:
    """The values in canonical form. Raises BadRequest saying what doesn't fit together."""
    values = dict(values)
    if values["direction"] not in DIRECTIONS:
        raise bad(f"Invalid input for direction. Reason: '{checks.short(values['direction'])}' is not in {DIRECTIONS}.")
    ethertype = ETHERTYPES.get(str(values["ethertype"]).lower())
    if ethertype is None:
        raise refusal(
            "SecurityGroupRuleInvalidEtherType",
            f"Security group rule for ethertype '{checks.short(values['ethertype'])}' not supported. Allowed values "
            f"are {list(ETHERTYPES.values())}.",
        )
    values["ethertype"] = ethertype
    values["protocol"] = _protocol(values["protocol"], ethertype)
    _check_ports(values)
    _check_remote(values)
    if values["remote_prefix"] is not None:
        values["remote_prefix"] = _with_mask(values["remote_prefix"])
        if ipaddress.ip_network(values["remote_prefix"], strict=False).version != int(ethertype[-1]):
            raise refusal(
                "SecurityGroupRuleParameterConflict",
                f"Conflicting value ethertype {ethertype} for CIDR {values['remote_prefix']}",
            )
    return values


def _number(protocol: str | None) -> int | None:
    if protocol is None:
        return None
    return int(protocol) if protocol.isdigit() else NUMBERS[protocol]


def _protocol(given: str | None, ethertype: str) -> str | None:
    if given in (None, "any", ""):
        return None
    known = given in NUMBERS or (given.isascii() and given.isdigit() and int(given) <= 255)
    if not known:
        raise refusal(
            "SecurityGroupInvalidProtocolType",
            f"Security group rule protocol {checks.short(given)} not supported. Only protocol values "
            f"{sorted(NUMBERS)} and integer representations [0 to 255] are supported.",
        )
    if ethertype == "IPv6" and given in ("icmp", "icmpv6"):
        return "ipv6-icmp"
    if ethertype == "IPv4" and given in ONLY_IPV6:
        raise refusal(
            "SecurityGroupEthertypeConflictWithProtocol",
            f"Invalid ethertype {ethertype} for protocol {given}.",
        )
    return given if not given.isdigit() else str(int(given))


def _check_ports(values: Values) -> None:
    low, high, protocol = values["port_min"], values["port_max"], values["protocol"]
    if low is None and high is None:
        return
    if protocol is None:
        raise refusal("SecurityGroupProtocolRequiredWithPorts", "Must also specify protocol if port range is given.")
    number = _number(protocol)
    if number in WITH_PORTS:
        _check_range(low, high)
    elif number in ICMP:
        _check_icmp(low, high)
    else:
        raise refusal(
            "SecurityGroupInvalidProtocolForPort",
            f"Invalid protocol {protocol} for port range, only supported for TCP, UDP, UDPLITE, SCTP and DCCP.",
        )


def _check_range(low: int | None, high: int | None) -> None:
    if low == 0 or high == 0:
        raise refusal("SecurityGroupInvalidPortValue", "Invalid value for port 0")
    if low is None or high is None or low > high:
        raise refusal(
            "SecurityGroupInvalidPortRange", "For TCP/UDP protocols, port_range_min must be <= port_range_max"
        )


def _check_icmp(type: int | None, code: int | None) -> None:
    for word, name, value in (("type", "port-range-min", type), ("code", "port-range-max", code)):
        if value is not None and not 0 <= value <= 255:
            raise refusal(
                "SecurityGroupInvalidIcmpValue",
                f"Invalid value for ICMP {word} ({name}) {value}. It must be 0 to 255.",
            )
    if type is None:
        raise refusal(
            "SecurityGroupMissingIcmpType",
            f"ICMP code (port-range-max) {code} is provided but ICMP type (port-range-min) is missing.",
        )


def _check_remote(values: Values) -> None:
    others = (values["remote_prefix"], values["remote_group_id"])
    if values["remote_address_group_id"] is not None and others != (None, None):
        raise refusal(
            "SecurityGroupMultipleRemoteEntites",
            "Only one of remote_ip_prefix or remote_group_id or remote_address_group_id may be provided.",
        )
    if values["remote_prefix"] is not None and values["remote_group_id"] is not None:
        raise refusal(
            "SecurityGroupRemoteGroupAndRemoteIpPrefix",
            "Only remote_ip_prefix or remote_group_id may be provided.",
        )


def _with_mask(given: Any) -> str:
    """An address range as it was given; an address alone is a range of one."""
    try:
        net = ipaddress.ip_network(checks.address_or_range(given))
    except ValueError as err:
        raise bad(
            f"Invalid input for remote_ip_prefix. Reason: '{checks.short(given)}' is not a valid IP subnet."
        ) from err
    return str(given) if "/" in str(given) else str(net)
