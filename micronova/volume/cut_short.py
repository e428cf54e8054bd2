"""What the removal of a volume cuts short: backups and images being made of it, a copy on its way elsewhere."""

import contextlib

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import NotFound
from micronova.tasks import Task
from micronova.volume import states
from micronova.volume.backups import RESTORING, Backups
from micronova.volume.db import Backup, Volume
from micronova.volume.moves import way_of


class CutShort(Backups):
    """The part of the manager that settles what has become pointless."""

    async def settle_superseded(self, ctx: Context, volume: Volume) -> None:
        """What was being made of a removed volume, or of it elsewhere, is settled: backups, images, a copy."""
        methods = ("keep", "bring_back", "send", "move", "fetch", "take_back")

        def settle(tx: Tx) -> list[Task]:
            cut = tx.find(Task, resource=f"volume:{volume.id}", cancelled=True, method=methods)
            for one in cut:
                row = tx.first(Backup, id=str(one.arguments[1]))
                if row is not None and row.status == states.CREATING:
                    tx.change(row, status=states.ERROR, fail_reason="Its volume was removed.", updated_at=tx.now)
                elif row is not None and row.status == RESTORING:
                    tx.change(row, status=states.AVAILABLE, updated_at=tx.now)
            return cut

        for one in await self.db.write(settle, ctx, why="its volume is being removed"):
            other = str(one.arguments[1])
            if one.method == "move" and (way := way_of(one)) is not None:
                await self.remove_other(volume, way)
            elif one.method == "fetch":
                _, host, backend, _, name = (str(word) for word in one.arguments)
                await self.abandon(ctx, volume, host, backend, name)
            elif one.method == "take_back":
                await self.driver_of(volume).remove_export(other)
            elif one.method == "keep":
                await self.forget_pieces(ctx, other)
            elif one.method == "send":
                with contextlib.suppress(NotFound):
                    if (await self.image.get(ctx, other)).status != "active":
                        await self.image.delete(ctx, other)
