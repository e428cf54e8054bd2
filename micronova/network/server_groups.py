"""Security groups of servers by name, as the compute API speaks of them: groups are of ports, and stay so."""

from typing import Any

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, NotFound
from micronova.network.db import Port, Rule, SecurityGroup, find_all, ports_of_devices
from micronova.network.ports import Ports
from micronova.network.servers import group_ids


class GroupWithRules(msgspec.Struct, frozen=True):
    """A group, its rules for what comes in, and the groups by id that those rules name."""

    group: SecurityGroup
    rules: list[Rule]
    others: dict[str, Any]


def groups_of(tx: Tx, server_id: str) -> list[GroupWithRules]:
    """The groups of a server's ports, by name."""
    ids = {group for port in ports_of_devices(tx, [server_id]) for group in port.security_group_ids}
    groups = sorted(find_all(tx, SecurityGroup, ids).values(), key=lambda group: (group.name, group.id))
    return [_with_rules(tx, group) for group in groups]


def _with_rules(tx: Tx, group: SecurityGroup) -> GroupWithRules:
    rules = tx.find(Rule, group_id=group.id, direction="ingress", order=(("created_at", True), ("id", True)))
    others = find_all(tx, SecurityGroup, (rule.remote_group_id for rule in rules if rule.remote_group_id))
    return GroupWithRules(group, rules, others)


def join(ports: Ports, tx: Tx, ctx: Context, server_id: str, name: str) -> None:
    """All the server's ports are in this group of the caller's project too. Raises NotFound, Conflict."""
    group = _group(tx, ctx, name)
    for port in ports_of_devices(tx, [server_id]):
        if group not in port.security_group_ids:
            _regroup(ports, tx, ctx, port, (*port.security_group_ids, group))


def leave(ports: Ports, tx: Tx, ctx: Context, server_id: str, name: str) -> None:
    """None of the server's ports is in the group. Raises NotFound when none was, Conflict."""
    group = _group(tx, ctx, name)
    members = [port for port in ports_of_devices(tx, [server_id]) if group in port.security_group_ids]
    if not members:
        raise NotFound(f"Security group {name} not associated with the instance {server_id}", id=server_id)
    for port in members:
        _regroup(ports, tx, ctx, port, tuple(other for other in port.security_group_ids if other != group))


def _group(tx: Tx, ctx: Context, name: str) -> str:
    try:
        found = group_ids(tx, ctx, (name,))
    except BadRequest as err:
        raise NotFound(str(err)) from err
    if not found:
        raise NotFound(f"Security group {name} not found for project {ctx.project_id}.")
    return found[0]


def _regroup(ports: Ports, tx: Tx, ctx: Context, port: Port, ids: tuple[str, ...]) -> None:
    ports.alter(tx, ctx.elevated(), port, {"security_group_ids": ids})
