"""Volumes that change their place under running guests, as the volume room asks for it; volume/moves.py tells the way.

Copying takes its time and stops nobody: reboots and the like go on meanwhile. The change itself is a task of the
server's, so that its guest can't be started from the old place in the middle of it.
"""

from micronova.compute.driver import VolumeDisk
from micronova.compute.volumes import Attaches
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import NotFound, Rejected
from micronova.manager import Step, remote, task
from micronova.tasks import Task
from micronova.volume.contract import Moving


class Moves(Attaches):
    """The part of the compute manager by which guests follow their volumes."""

    # -- what the volume room asks (contract.Guests)

    async def follow_move(self, ctx: Context, move: Moving) -> bool:
        """The running guest copies its volume to the new place; whether all is there, and goes to both from now on."""
        return await self.on(move.host).follow_disk(ctx, move)

    async def unfollow_move(self, ctx: Context, move: Moving) -> None:
        """The guest has the volume where it had it."""
        await self.on(move.host).unfollow_disk(ctx, move)

    def record_switch(self, tx: Tx, ctx: Context, move: Moving) -> bool:
        """Have the guest use the volume in its new place alone; False when it is at it already."""
        if tx.count(Task, resource=f"server:{move.server_id}", method="switch_disk", open=True):
            return False
        self.on(move.host).switch_disk.record(tx, ctx, move.server_id, move)
        return True

    # -- on the guest's host

    @remote(wait=60)
    async def follow_disk(self, ctx: Context, move: Moving) -> bool:
        """Guest of this host: as `follow_move`."""
        return await self.driver.follow_volume(move.server_id, await self._disk_elsewhere(ctx, move))

    @remote(wait=60)
    async def unfollow_disk(self, ctx: Context, move: Moving) -> None:
        """Guest of this host: as `unfollow_move`, unless the volume lies in the new place by now."""
        if not await self.volumes.lies(ctx, move):
            await self.driver.unfollow_volume(move.server_id, move.volume_id)

    @task(
        deadline=300,
        resource="server",
        failed="settle_switch",
        retries=5,
        steps=(Step("hold", "hold_disk", "agree_disk"), Step("move", "tell_moved")),
    )
    async def switch_disk(self, ctx: Context, id: str, move: Moving) -> None:
        """The guest has the volume in its new place alone, where its row says that it lies."""
        await self.agree_disk(ctx, id, move)
        await self.volumes.left(ctx, move)
        await self._note(ctx, id, "a volume lies elsewhere")

    async def hold_disk(self, ctx: Context, id: str, move: Moving) -> None:
        """Step: the guest waits with what it would write to the volume; both places hold the same.

        Raises Rejected when the guest does not follow any more, as after a start.
        """
        if not await self.volumes.lies(ctx, move):
            await self.driver.hold_volume(id, await self._disk_elsewhere(ctx, move))

    async def tell_moved(self, ctx: Context, id: str, move: Moving) -> None:
        """Step: the volume's row says that it lies in the new place. Raises WrongState when it shall not any more."""
        disk = await self._disk_elsewhere(ctx, move)
        await self.volumes.moved(ctx, move, disk.connection)

    async def agree_disk(self, ctx: Context, id: str, move: Moving) -> None:
        """The end of a change, and its undo: the guest has the volume where its row says that it lies, and goes on.

        Raises Rejected when the guest kept the old place: the row says so by then.
        """
        try:
            lies = await self.volumes.lies(ctx, move)
        except NotFound:
            lies = False
        if lies:
            disk = await self.connected(ctx, move.attachment_id)
            try:
                await self.driver.switch_volume(id, disk)
            except Rejected:
                # What it writes from now on is in the old place alone.
                await self.volumes.stayed(ctx, move, self._connector())
                raise
        else:
            await self.driver.unfollow_volume(id, move.volume_id)

    async def settle_switch(self, ctx: Context, id: str, move: Moving, error: object) -> None:
        """Nothing more: the volume's own task sees that the guest did not move, and says so."""

    async def _disk_elsewhere(self, ctx: Context, move: Moving) -> VolumeDisk:
        """The volume as a disk in its new place, exported to this host. Safe to repeat."""
        info = await self.volumes.connect_elsewhere(ctx, move, self._connector())
        return await self._as_disk(ctx, info)
