"""A disk of a server becomes another volume while its guest runs; volume/swaps.py tells what the rows say meanwhile.

    copy_disk       in its own time: the guest copies the old volume to the new one, and writes to both from then on
    exchange_disk   one of the server's tasks: the guest waits with what it would write, the rows change, it goes on
                    with the new volume alone
    copy_disk       ends when the old volume is let go of; when there is no exchange the guest keeps what it has

Reboots and the like go on while the guest copies, which then begins again; a guest that is off ends it.
"""

import asyncio
import logging
from functools import partial

import msgspec

from micronova.compute.driver import VolumeDisk
from micronova.compute.policies import SWAP
from micronova.compute.volumes import Attaches
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, DriverError, Error, NotFound, Rejected
from micronova.manager import Step, task
from micronova.tasks import Task
from micronova.volume.contract import Swap
from micronova.volume.swaps import COPYING, DONE, EXCHANGED, OVER

LOG = logging.getLogger(__name__)
LONG = 6 * 3600
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_ASKED = 5
"""How often a guest is asked to change its volume, before it keeps what its rows say, or loses the other."""


class Swaps(Attaches):
    """The part of the compute manager by which disks become other volumes."""

    async def may_swap(self, ctx: Context, id: str) -> None:
        """Return when the caller may say that a disk of the server is another volume. Raises NotFound, Forbidden."""

        def look(tx: Tx) -> None:
            self.owned(tx, ctx, id, "servers:show")
            self.policy.require(ctx, SWAP)

        await self.db.read(look)

    async def swap_volume(self, ctx: Context, id: str, volume_id: str, new_id: str) -> None:
        """The server's disk that is a volume is becoming another one, which gets all that is in it.

        Raises NotFound, Forbidden, BadRequest for volumes that can't take each other's place, Conflict by the server's
        state or host.
        """

        def order(tx: Tx) -> None:
            self.disks.look(tx, ctx, volume_id)
            try:
                self.disks.look(tx, ctx, new_id)
            except NotFound as err:
                raise BadRequest(str(err)) from err
            server = self.changeable(tx, ctx, id, "servers:show", "swap_volume")
            self.reachable(tx, server)
            disk = next((disk for disk in self.disks_of(tx, id) if disk.volume_id == volume_id), None)
            if disk is None:
                raise BadRequest("Invalid volume: Old volume is attached to a different instance.", id=volume_id)
            swap = self.disks.swaps.begin(tx, ctx, disk.id, new_id)
            hosts = self.disks.hosts_of(tx, new_id)
            if hosts and server.host not in hosts:
                raise BadRequest(f"Invalid volume: volume {new_id} lies on another host, which does not serve others.")
            self.on(server.host).copy_disk.record(tx, ctx, swap.new_id, swap)

        await self.may_swap(ctx, id)
        await self.db.write(order, ctx, why="another volume by request")

    # -- copied

    @task(deadline=LONG, resource="swap", failed="settle_copy", retries=5)
    async def copy_disk(self, ctx: Context, id: str, swap: Swap) -> None:
        """The guest has the new volume with all that it wrote to the old one, which is free. Safe to repeat.

        Raises Rejected when there can be no exchange: the guest is off, or somebody took a volume away.
        """
        pause, asked = _FIRST_PAUSE, 0
        while (stage := await self._stage(swap)) != DONE:
            if stage == OVER or asked > _ASKED:
                raise Rejected("the guest does not change its volume", id=swap.server_id)
            if stage == EXCHANGED or await self._follow(ctx, swap):
                exchange = partial(self._record_exchange, ctx=ctx, swap=swap)
                asked += await self.db.write(exchange, ctx, why="all of the volume is in the new one")
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 1.5)

    async def _stage(self, swap: Swap) -> str:
        return await self.db.read(lambda tx: self.disks.swaps.stage(tx, swap))

    async def _follow(self, ctx: Context, swap: Swap) -> bool:
        disk = await self._disk_after(ctx, swap)
        return await self.driver.follow_volume(swap.server_id, disk, swap.old_volume_id)

    async def _disk_after(self, ctx: Context, swap: Swap) -> VolumeDisk:
        """The disk as it is after the exchange, its volume exported to this host. Safe to repeat."""
        info = await self.connect(ctx, swap.new_id)
        device, boot_index = await self.db.read(lambda tx: self.disks.swaps.look(tx, swap))
        return await self._as_disk(ctx, msgspec.structs.replace(info, device=device, boot_index=boot_index))

    def _record_exchange(self, tx: Tx, ctx: Context, swap: Swap) -> bool:
        """Have the guest use the new volume alone; False when it is at it already."""
        if self._exchanging(tx, swap):
            return False
        self.on(self.host).exchange_disk.record(tx, ctx, swap.server_id, swap)
        return True

    def _exchanging(self, tx: Tx, swap: Swap) -> bool:
        open_tasks = tx.find(Task, resource=f"server:{swap.server_id}", method="exchange_disk", open=True)
        return any(swap.new_id in found.arguments[1].values() for found in open_tasks)

    async def settle_copy(self, ctx: Context, id: str, swap: Swap, error: Error) -> None:
        """The guest has what the rows say: the old volume, unless there was an exchange. The other one is free.

        A guest that did not let go of the old volume after the exchange is cut off from it.
        """
        if not await self.db.write(lambda tx: self.disks.swaps.withdraw(tx, swap), ctx, why="there is no exchange"):
            if await self.db.read(lambda tx: self._exchanging(tx, swap)):
                return
        else:
            try:
                await self.driver.unfollow_volume(swap.server_id, swap.new_volume_id)
            except DriverError as err:
                LOG.warning("server %s: its guest could not be told that its volume stays: %s", swap.server_id, err)
        await self._end(ctx, swap)

    async def _end(self, ctx: Context, swap: Swap) -> None:
        await self.db.write(lambda tx: self.disks.swaps.end(tx, ctx, swap), ctx, why="it is not the server's")

    # -- exchanged

    @task(
        deadline=300,
        resource="server",
        failed="settle_exchange",
        retries=5,
        steps=(Step("hold", "hold_new", "agree_new"), Step("exchange", "take_place")),
    )
    async def exchange_disk(self, ctx: Context, id: str, swap: Swap) -> None:
        """The guest has the new volume alone, and the old one is not the server's."""
        await self.agree_new(ctx, id, swap)
        await self._end(ctx, swap)
        await self._note(ctx, id, "a disk is another volume")

    async def hold_new(self, ctx: Context, id: str, swap: Swap) -> None:
        """Step: the guest waits with what it would write; both volumes hold the same.

        Raises Rejected when the guest does not follow any more, as after a start.
        """
        if await self._stage(swap) == COPYING:
            await self.driver.hold_volume(id, await self._disk_after(ctx, swap), swap.old_volume_id)

    async def take_place(self, ctx: Context, id: str, swap: Swap) -> None:
        """Step: the server's disk is the new volume. Raises WrongState when it shall not be any more."""
        await self.db.write(lambda tx: self.disks.swaps.exchange(tx, swap), ctx, why="its guest has all of it there")

    async def agree_new(self, ctx: Context, id: str, swap: Swap) -> None:
        """The end of an exchange, and its undo: the guest has the volume that the rows say, and goes on.

        Raises Rejected when the guest kept the old one: the rows say so by then.
        """
        if await self._stage(swap) not in (EXCHANGED, DONE):
            await self.driver.unfollow_volume(id, swap.new_volume_id)
            return
        disk = await self._disk_after(ctx, swap)
        try:
            await self.driver.switch_volume(id, disk, swap.old_volume_id)
        except Rejected:
            # What it writes from now on is in the old volume alone.
            await self.db.write(lambda tx: self.disks.swaps.take_back(tx, swap), ctx, why="its guest has the old one")
            raise

    async def settle_exchange(self, ctx: Context, id: str, swap: Swap, error: Error) -> None:
        """Nothing more: `copy_disk` asks again, or gives up."""
