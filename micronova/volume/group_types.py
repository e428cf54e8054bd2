"""Group types: kinds of volume groups, and their specs."""

from micronova.clock import Clock
from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import BadRequest
from micronova.volume.db import Group, GroupType
from micronova.volume.kinds import Kinds, sees

DEFAULT = "default_cgsnapshot_type"


class GroupTypes(Kinds[GroupType]):
    """Kinds of volume groups."""

    def __init__(self, database: Database, clock: Clock) -> None:
        super().__init__(database, clock, GroupType, "Group Type", "group_specs")

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
                raise self.missing(id)
            return found

        return await self._db.read(look)

    async def delete(self, ctx: Context, id: str) -> None:
        """Forget it. Raises NotFound, BadRequest while groups have it."""

        def erase(tx: Tx, row: GroupType) -> GroupType:
            if tx.count(Group, group_type_id=id):
                raise BadRequest(f"Target group type is still in use: {id}.")
            tx.delete(row)
            return row

        await self._change(ctx, id, erase)
