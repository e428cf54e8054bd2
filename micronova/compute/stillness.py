"""Guests that hold still for a moment: their agent freezes their file systems, if their image says that they have one.

Properties of images: `hw_qemu_guest_agent`, and `os_require_quiesce` for those that must not be copied otherwise.
"""

import msgspec

from micronova.compute import db, states
from micronova.compute.base import ComputeBase
from micronova.compute.build import sentence
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import DriverError, Unavailable
from micronova.manager import remote
from micronova.volume.contract import Stillness


class Stills(ComputeBase):
    """The part of the compute manager that freezes and thaws guests, as the volume room asks for it."""

    async def freeze_guest(self, ctx: Context, server_id: str, host: str) -> Stillness:
        """A guest that runs and should have an agent has its file systems frozen, or it is told why not."""
        wish = await self.db.read(lambda tx: _wish(tx, server_id))
        if not wish.wanted:
            return wish
        try:
            await self.on(host).freeze_here(ctx, server_id)
        except (DriverError, Unavailable) as err:
            return msgspec.structs.replace(wish, reason=sentence(err))
        return msgspec.structs.replace(wish, frozen=True)

    async def thaw_guest(self, ctx: Context, server_id: str, host: str) -> bool:
        """The guest's file systems go on; returns whether they stood still until now."""
        return await self.on(host).thaw_here(ctx, server_id)

    @remote(wait=40)
    async def freeze_here(self, ctx: Context, id: str) -> None:
        """Guest `id` of this host has its file systems frozen, for FROZEN_SECONDS at most. Raises DriverError."""
        await self.driver.freeze(id)

    @remote(wait=40)
    async def thaw_here(self, ctx: Context, id: str) -> bool:
        """Guest `id` of this host has nothing frozen; whether it had until now. Raises DriverError."""
        return await self.driver.thaw(id)


def _wish(tx: Tx, server_id: str) -> Stillness:
    """What is wanted of the server's guest: nothing of one that does not run."""
    server = tx.first(db.Server, id=server_id)
    if server is None or server.vm_state != states.ACTIVE:
        return Stillness()
    files = db.get_input(tx, server_id).files
    if files is None:
        return Stillness()
    wanted = files.agent or files.quiesce
    return Stillness(wanted=wanted, required=files.quiesce)
