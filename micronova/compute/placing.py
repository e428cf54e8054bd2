"""Where a server may go by its owner's hints: server groups, "on the same host", "on different ones"."""

from typing import Any

import msgspec

from micronova.compute.db import Server, ServerGroup, group_of
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest


class Places(msgspec.Struct, frozen=True):
    """Hosts by what a server's owner said of them; `only` empty allows all."""

    only: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    near: tuple[str, ...] = ()
    far: tuple[str, ...] = ()


NOWHERE = "."
"""No host has this name: what "only" says when the hints contradict each other."""


def places(tx: Tx, ctx: Context, hints: dict[str, Any], id: str, only: tuple[str, ...]) -> Places:
    """Turn hints into hosts, and make server `id` a member of its group.

    Raises BadRequest when the group is not there.
    """
    same = _hosts_of(tx, ctx, hints.get("same_host"))
    found = Places(only=both(only, same), never=_hosts_of(tx, ctx, hints.get("different_host")))
    group_id = group_of(hints)
    if group_id is None:
        return found
    group = tx.first(ServerGroup, id=group_id)
    if group is None or (group.project_id != ctx.project_id and not ctx.is_admin):
        raise BadRequest(f"Instance group {group_id} could not be found.", id=group_id)
    counts = _counts(tx, group)
    tx.change(group, members=(*group.members, id))
    return _grouped(found, group, counts)


def _grouped(found: Places, group: ServerGroup, counts: dict[str, int]) -> Places:
    hosts = tuple(sorted(counts))
    match group.policy:
        case "affinity":
            return msgspec.structs.replace(found, only=both(found.only, hosts))
        case "anti-affinity":
            most = group.max_server_per_host or 1
            full = tuple(host for host in hosts if counts[host] >= most)
            return msgspec.structs.replace(found, never=(*found.never, *full))
        case "soft-affinity":
            return msgspec.structs.replace(found, near=hosts)
        case _:
            return msgspec.structs.replace(found, far=hosts)


def _counts(tx: Tx, group: ServerGroup) -> dict[str, int]:
    counts: dict[str, int] = {}
    if group.members:
        for server in tx.find(Server, id=list(group.members)):
            if server.host:
                counts[server.host] = counts.get(server.host, 0) + 1
    return counts


def both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    """What both lists allow, where an empty one allows all."""
    if not one or not other:
        return one or other
    return tuple(host for host in one if host in other) or (NOWHERE,)


def _hosts_of(tx: Tx, ctx: Context, hint: object) -> tuple[str, ...]:
    ids = (
        [hint]
        if isinstance(hint, str)
        else [id for id in hint if isinstance(id, str)]
        if isinstance(hint, list)
        else []
    )
    if not ids:
        return ()
    servers = tx.find(Server, id=ids) if ctx.is_admin else tx.find(Server, id=ids, project_id=ctx.project_id)
    return tuple(sorted({server.host for server in servers if server.host}))
