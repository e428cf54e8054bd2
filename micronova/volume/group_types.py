"""Group types: kinds of volume groups, and their specs."""

from collections.abc import Callable, Mapping
from typing import Any

from micronova.clock import Clock
from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import BadRequest, Conflict, NotFound
from micronova.volume.db import Group, GroupType
from micronova.volume.groups import sees

DEFAULT = "default_cgsnapshot_type"


class GroupTypes:
    """Kinds of volume groups."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._db = database
        self._clock = clock

    async def find(self, ctx: Context) -> list[GroupType]:
        """Those that the caller sees, newest first."""

        def look(tx: Tx) -> list[GroupType]:
            rows = tx.find(GroupType, order=(("created_at", False), ("id", False)))
            return [row for row in rows if sees(ctx, row)]

        return await self._db.read(look)

    async def get(self, ctx: Context, id: str) -> GroupType:
        """One; "default" the one that clients of old call so. Raises NotFound."""

        def look(tx: Tx) -> GroupType:
            found = tx.first(GroupType, name=DEFAULT) if id == "default" else tx.first(GroupType, id=id)
            if found is None or not sees(ctx, found):
                raise NotFound(f"Group type {id} could not be found.", id=id)
            return found

        return await self._db.read(look)

    async def create(self, ctx: Context, values: Mapping[str, Any]) -> GroupType:
        """A new one. Raises Conflict when its name is taken."""

        def record(tx: Tx) -> GroupType:
            if tx.first(GroupType, name=values["name"]) is not None:
                raise Conflict(f"Group Type {values['name']} already exists.")
            return tx.insert(GroupType(id=self._clock.new_id(), created_at=tx.now, **values))

        return await self._db.write(record, ctx, why="created by an administrator")

    async def update(self, ctx: Context, id: str, values: Mapping[str, Any]) -> GroupType:
        """Change name, description, visibility. Raises NotFound, Conflict."""

        def change(tx: Tx, row: GroupType) -> GroupType:
            other = tx.first(GroupType, name=values["name"]) if "name" in values else None
            if other is not None and other.id != id:
                raise Conflict(f"Group Type {values['name']} already exists.")
            return tx.change(row, updated_at=tx.now, **values)

        return await self._change(ctx, id, change)

    async def delete(self, ctx: Context, id: str) -> None:
        """Forget it. Raises NotFound, BadRequest while groups have it."""

        def erase(tx: Tx, row: GroupType) -> GroupType:
            if tx.count(Group, group_type_id=id):
                raise BadRequest(f"Target group type is still in use: {id}.")
            tx.delete(row)
            return row

        await self._change(ctx, id, erase)

    async def set_specs(self, ctx: Context, id: str, specs: Mapping[str, str]) -> GroupType:
        """It has these specs beside others. Raises NotFound."""
        return await self._change(ctx, id, lambda tx, row: tx.change(row, group_specs={**row.group_specs, **specs}))

    async def unset_spec(self, ctx: Context, id: str, key: str) -> None:
        """It has lost a spec. Raises NotFound also when it did not have it."""

        def change(tx: Tx, row: GroupType) -> GroupType:
            if key not in row.group_specs:
                raise NotFound(f"Group Type {id} has no specs with key {key}.")
            return tx.change(row, group_specs={name: value for name, value in row.group_specs.items() if name != key})

        await self._change(ctx, id, change)

    async def _change(self, ctx: Context, id: str, change: Callable[[Tx, GroupType], GroupType]) -> GroupType:
        def write(tx: Tx) -> GroupType:
            row = tx.first(GroupType, id=id)
            if row is None:
                raise NotFound(f"Group type {id} could not be found.", id=id)
            return change(tx, row)

        return await self._db.write(write, ctx, why="changed by an administrator")
