"""The volumes of a guest on this host: how it reaches them now, and how they are given back when it does not come.

A connection is asked of the volume room each time a guest starts: it may be another one after a restart.
"""

import msgspec

from micronova.compute import db, disks
from micronova.compute.base import ComputeBase
from micronova.compute.db import Server
from micronova.compute.driver import VolumeDisk
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import NotFound
from micronova.network import tunnels
from micronova.volume import states as volume_states
from micronova.volume.contract import AttachmentInfo, Connector

BEGUN = (volume_states.RESERVED, volume_states.ATTACHING)
HELD = (volume_states.ATTACHING, volume_states.ATTACHED)


class GuestDisks(ComputeBase):
    """The part of the compute manager that knows a guest's volumes."""

    async def connect(self, ctx: Context, attachment_id: str) -> AttachmentInfo:
        """A volume is exported to this host, which back ends know by its name and address. Safe to repeat.

        Raises NotFound when the attachment is gone, DriverError when the back end refuses.
        """
        who = self._connector()
        return await self.volumes.connect(ctx, attachment_id, who, msgspec.structs.asdict(who))

    def _connector(self) -> Connector:
        ip = tunnels.own_address(self.config.options.network.tunnel_address)
        return Connector(host=self.host, ip=ip, initiator=self.host)

    async def connected(self, ctx: Context, attachment_id: str) -> VolumeDisk:
        """A volume as a disk of a guest here, exported to this host. Safe to repeat.

        Raises NotFound when the attachment is gone, DriverError when the back end refuses.
        """
        return await self._as_disk(ctx, await self.connect(ctx, attachment_id))

    async def _as_disk(self, ctx: Context, info: AttachmentInfo) -> VolumeDisk:
        if info.connection is None:
            raise NotFound(f"Attachment {info.id} has no connection.", id=info.id)
        key = await self._luks_key(ctx, info) if info.encrypted else b""
        return VolumeDisk(
            volume_id=info.volume_id,
            connection=info.connection,
            bus=disks.bus_of(info.device),
            boot_index=info.boot_index,
            encrypted=info.encrypted,
            key=key,
            throttle=disks.throttle(info.qos, info.size_gib),
            shared=info.multiattach,
        )

    async def _luks_key(self, ctx: Context, info: AttachmentInfo) -> bytes:
        """What opens the volume's container: its key in hexadecimal digits (see AttachmentInfo)."""
        home = await self.db.read(lambda tx: self.disks.home_of(tx, info.volume_id))
        key = await self.volumes.on(home).encryption_key(ctx.elevated(), info.volume_id)
        return key.hex().encode()

    async def guest_disks(self, ctx: Context, server: Server, *, building: bool = False) -> tuple[VolumeDisk, ...]:
        """All volumes that the server's guest starts with, connected; when it is built, those reserved for it too.

        One that is being attached or detached comes or goes by its own task.
        """
        wanted = (*BEGUN, volume_states.ATTACHED) if building else HELD
        seen = await self.db.read(lambda tx: self.disks_of(tx, server.id))
        return tuple([await self.connected(ctx, disk.id) for disk in seen if disk.status in wanted])

    async def root_properties(self, ctx: Context, server: Server) -> dict[str, str]:
        """What is known of the image that a server's root volume came from; nothing where that is no volume."""

        def read(tx: Tx) -> dict[str, str]:
            root = next((disk for disk in self.disks_of(tx, server.id) if disk.boot_index == 0), None)
            return dict(self.disks.look(tx, ctx, root.volume_id).image_metadata) if root is not None else {}

        return await self.db.read(read)

    async def give_back(self, ctx: Context, id: str) -> None:
        """The server that could not be built has no volumes: its owner's are free, those made for it go. Repeatable."""
        if self.volume is not None:
            await self.db.write(lambda tx: self._give_back(tx, ctx, id), ctx, why="its server could not be built")

    def _give_back(self, tx: Tx, ctx: Context, id: str) -> None:
        given = db.get_input(tx, id)
        made = {plan.volume_id for plan in given.disks if is_made(plan) and plan.volume_id}
        gone = {volume_id for volume_id in sorted(made) if self.disks.scrap(tx, ctx, volume_id)}
        for disk in self.disks_of(tx, id):
            if disk.volume_id not in gone:
                self.disks.release(tx, ctx, disk.id)
        if made:
            tx.change(given, disks=tuple(without_volume(plan) for plan in given.disks))

    def give_up(self, tx: Tx, ctx: Context, server: Server) -> None:
        """The server is gone: what it had of volumes goes, as each was to; of a build that never ended the rest too."""
        if self.volume is None:
            return
        self.disks.free(tx, ctx, server.id)
        for plan in db.get_input(tx, server.id).disks if server.launched_at is None else ():
            if is_made(plan) and plan.volume_id and plan.delete_on_termination:
                self.disks.scrap(tx, ctx, plan.volume_id)


def is_made(plan: db.DiskPlan) -> bool:
    """Whether the disk's volume is made for its server."""
    return plan.source != "volume"


def without_volume(plan: db.DiskPlan) -> db.DiskPlan:
    """The plan before a volume was made for it."""
    return msgspec.structs.replace(plan, volume_id="") if is_made(plan) else plan
