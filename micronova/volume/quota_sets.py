"""The limits of projects as the volume API tells and sets them; quota.py enforces them."""

from collections.abc import Awaitable, Callable, Mapping

import msgspec

from micronova.clock import Clock
from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import BadRequest
from micronova.options import QuotaOptions
from micronova.volume import quota
from micronova.volume.db import VolumeQuota

ProjectExists = Callable[[Context, str], Awaitable[bool]]


class Share(msgspec.Struct, frozen=True):
    """A limit and what is used of it."""

    limit: int
    in_use: int


class QuotaSets:
    """The limits of projects, and what is used of them."""

    def __init__(self, database: Database, clock: Clock, options: QuotaOptions) -> None:
        self._db = database
        self._clock = clock
        self._options = options

    async def shares(self, ctx: Context, project_id: str) -> dict[str, Share]:
        """The limits of a project (""; of one that has none of its own) and what it uses, by resource."""

        def look(tx: Tx) -> dict[str, Share]:
            limits, used = quota.limits(tx, self._options, project_id), quota.usage(tx, project_id)
            return {name: Share(limit, used.get(name, 0)) for name, limit in limits.items()}

        return await self._db.read(look)

    async def update(self, ctx: Context, project_id: str, limits: Mapping[str, int]) -> dict[str, Share]:
        """The project has these limits beside those it had; project "" sets the default of all.

        Raises BadRequest for a resource there is not.
        """

        def write(tx: Tx) -> None:
            known = quota.resources(tx)
            for resource, limit in limits.items():
                if resource not in known:
                    raise BadRequest(f"Bad key(s) in quota set: {resource}")
                had = tx.first(VolumeQuota, project_id=project_id, resource=resource)
                if had is not None:
                    tx.change(had, limit=limit)
                else:
                    new = VolumeQuota(id=self._clock.new_id(), project_id=project_id, resource=resource, limit=limit)
                    tx.insert(new)

        await self._db.write(write, ctx, why="set by an administrator")
        return await self.shares(ctx, project_id)

    async def reset(self, ctx: Context, project_id: str) -> None:
        """The project has the default limits again. Repeating changes nothing."""

        def erase(tx: Tx) -> None:
            for row in tx.find(VolumeQuota, project_id=project_id):
                tx.delete(row)

        await self._db.write(erase, ctx, why="reset by an administrator")
