"""Server groups: servers that shall be together or apart. The rules are kept when a host is chosen (placing.py)."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from micronova.clock import Clock
from micronova.compute import quota
from micronova.compute.db import Server, ServerGroup
from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import NotFound, QuotaExceeded
from micronova.options import QuotaOptions


class GroupView(msgspec.Struct, frozen=True):
    """A group and those of its members that still exist."""

    row: ServerGroup
    members: tuple[str, ...]


def get_group(tx: Tx, ctx: Context, id: str) -> ServerGroup:
    """Raises NotFound for a missing group and for another project's."""
    found = tx.first(ServerGroup, id=id)
    if found is None or not (ctx.is_admin or found.project_id == ctx.project_id):
        raise NotFound(f"Instance group {id} could not be found.", id=id)
    return found


class ServerGroups:
    """Server groups, from creation to removal."""

    def __init__(self, db: Database, clock: Clock, options: QuotaOptions) -> None:
        self._db = db
        self._clock = clock
        self._options = options

    async def get(self, ctx: Context, id: str) -> GroupView:
        """Raises NotFound for a missing group and for another project's."""
        return await self._db.read(lambda tx: _views(tx, [get_group(tx, ctx, id)])[0])

    async def list(self, ctx: Context, *, all_projects: bool = False) -> list[GroupView]:
        """The project's groups, or everybody's, in the order they were made."""
        of: dict[str, Any] = {} if all_projects else {"project_id": ctx.project_id}
        order = (("created_at", True), ("id", True))
        return await self._db.read(lambda tx: _views(tx, tx.find(ServerGroup, order=order, **of)))

    async def create(self, ctx: Context, name: str, policy: str, max_server_per_host: int | None) -> GroupView:
        """The project has the group, without members. Raises QuotaExceeded."""
        row = await self._db.write(
            partial(self._record, ctx=ctx, name=name, policy=policy, most=max_server_per_host),
            ctx,
            why="created by request",
        )
        return GroupView(row, ())

    def _record(self, tx: Tx, *, ctx: Context, name: str, policy: str, most: int | None) -> ServerGroup:
        limit = quota.limit_of(tx, self._options, ctx.project_id, "server_groups")
        if limit != quota.UNLIMITED and tx.count(ServerGroup, project_id=ctx.project_id) >= limit:
            raise QuotaExceeded(f"Quota exceeded, too many server groups: {limit} are allowed.")
        return tx.insert(
            ServerGroup(
                id=self._clock.new_id(),
                project_id=ctx.project_id,
                user_id=ctx.user_id,
                name=name,
                policy=policy,
                max_server_per_host=most,
                created_at=tx.now,
            )
        )

    async def delete(self, ctx: Context, id: str) -> None:
        """The group is gone; its members stay where they are. Raises NotFound."""
        await self._db.write(lambda tx: tx.delete(get_group(tx, ctx, id)), ctx, why="deleted by request")


def _views(tx: Tx, rows: Sequence[ServerGroup]) -> list[GroupView]:
    named = {member for row in rows for member in row.members}
    alive = {server.id for server in tx.find(Server, id=sorted(named))} if named else set()
    return [GroupView(row, tuple(member for member in row.members if member in alive)) for row in rows]
