"""Volumes of servers that are there already: attached, detached, grown, while the guest runs.

A volume is the server's from the moment of the order, in the order's own transaction; the host then connects it and
puts it into the guest. An attachment that fails gives the volume back; a detachment that fails leaves it where it is.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from micronova.compute import db, disks
from micronova.compute.db import Server
from micronova.compute.driver import GuestFacts
from micronova.compute.power import Powers
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, Error, NotFound, WrongState
from micronova.manager import Step, task
from micronova.tasks import Task
from micronova.volume.contract import AttachRequest, BootVolume, Grown
from micronova.volume.servers import SeenDisk

LOG = logging.getLogger(__name__)
_RULE = "os-volumes-attachments:"


class NewDisk(msgspec.Struct, frozen=True, kw_only=True):
    """A volume to attach. `shared`: whoever asks knows of volumes that several servers have."""

    volume_id: str
    device: str | None = None
    tag: str | None = None
    delete_on_termination: bool = False
    shared: bool = False


class Attaches(Powers):
    """The part of the compute manager that plugs volumes in and out."""

    async def server_disks(self, ctx: Context, id: str, *, rule: str) -> Sequence[SeenDisk]:
        """A server's volumes in order of boot, then age. Raises NotFound, Forbidden."""
        return await self.db.read(lambda tx: self.disks_of(tx, self.owned(tx, ctx, id, _RULE + rule).id))

    async def attach_volume(self, ctx: Context, id: str, asked: NewDisk) -> SeenDisk:
        """The server is being given a volume; returns how it will be there.

        Raises NotFound for a volume that is not there, BadRequest for one that can't be had, Conflict for a device in
        use and by the server's lock, state or host.
        """

        def order(tx: Tx) -> SeenDisk:
            server = self.changeable(tx, ctx, id, _RULE + "create", "attach_volume")
            volume = self.disks.look(tx, ctx, asked.volume_id)
            self.reachable(tx, server)
            self._check_free(tx, server, volume, shared=asked.shared)
            disk = self.disks.reserve(tx, ctx, self._request(tx, server, asked))
            self.on(server.host).plug_volume.record(tx, ctx, id, disk.id, volume.id)
            return disk

        return await self.db.write(order, ctx, why="a volume more by request")

    def _check_free(self, tx: Tx, server: Server, volume: BootVolume, *, shared: bool) -> None:
        users = self.disks.users(tx, volume.id)
        if users and not volume.multiattach:
            raise BadRequest(f"Invalid volume: volume {volume.id} is already attached to instances: {' '.join(users)}")
        if server.id in users:
            raise BadRequest(f"Invalid volume: volume {volume.id} already attached")
        if volume.multiattach and not shared:
            raise BadRequest("Multiattach volumes are only supported starting with compute API version 2.60.")
        hosts = self.disks.hosts_of(tx, volume.id)
        if hosts and server.host not in hosts:
            raise BadRequest(f"Invalid volume: volume {volume.id} lies on another host, which does not serve others.")

    def _request(self, tx: Tx, server: Server, asked: NewDisk) -> AttachRequest:
        used = [server.root_device, *(disk.device for disk in self.disks_of(tx, server.id))]
        return AttachRequest(
            volume_id=asked.volume_id,
            server_id=server.id,
            device=disks.choose_device(used, asked.device, db.get_input(tx, server.id).disk_bus),
            tag=asked.tag,
            delete_on_termination=asked.delete_on_termination,
        )

    async def detach_volume(self, ctx: Context, id: str, volume_id: str) -> None:
        """The server is losing a volume.

        Raises NotFound when it has none such, BadRequest for the one it boots from and one that is coming or going,
        Conflict by the server's lock, state or host.
        """

        def order(tx: Tx) -> None:
            server = self.owned(tx, ctx, id, _RULE + "delete")
            disk = self.disk_of(tx, server, volume_id)
            if disk.boot_index == 0:
                raise BadRequest("Cannot detach a root device volume")
            self.changeable(tx, ctx, id, _RULE + "delete", "detach_volume")
            self.reachable(tx, server)
            self.disks.begin_detach(tx, ctx.elevated(), disk.id)
            self.on(server.host).unplug_volume.record(tx, ctx, id, disk.id, volume_id)

        await self.db.write(order, ctx, why="a volume less by request")

    def disk_of(self, tx: Tx, server: Server, volume_id: str) -> SeenDisk:
        """The server's disk of a volume. Raises NotFound."""
        found = next((disk for disk in self.disks_of(tx, server.id) if disk.volume_id == volume_id), None)
        if found is None:
            raise NotFound(f"Instance {server.id} is not attached to volume {volume_id}", id=volume_id)
        return found

    async def change_disk(self, ctx: Context, id: str, volume_id: str, said: Mapping[str, object]) -> None:
        """A volume of the server ends with it or not, as `said`; what else is said must be as it is.

        Raises NotFound, Forbidden, BadRequest for what can't be changed.
        """

        def apply(tx: Tx) -> None:
            server = self.owned(tx, ctx, id, _RULE + "update")
            disk = self.disk_of(tx, server, volume_id)
            fixed = {"id": volume_id, "serverId": id, "device": disk.device, "tag": disk.tag}
            for name, value in fixed.items():
                if name in said and said[name] != value:
                    raise BadRequest(f"The {name} property is not mutable")
            if "delete_on_termination" in said:
                self.disks.change(tx, disk.id, delete_on_termination=bool(said["delete_on_termination"]))

        await self.db.write(apply, ctx, why="changed by request")

    # -- on the host

    @task(
        deadline=300,
        resource="server",
        failed="settle_plug_volume",
        retries=1,
        steps=(Step("connect", "connect_disk", "free_disk"), Step("attach", "insert_disk", "remove_disk")),
    )
    async def plug_volume(self, ctx: Context, id: str, attachment_id: str, volume_id: str) -> None:
        """The guest has the volume, and its row says so."""
        await self.volumes.complete(ctx, attachment_id)
        await self._note(ctx, id, "a volume was attached")

    async def connect_disk(self, ctx: Context, id: str, attachment_id: str, volume_id: str) -> None:
        """Step: this host reaches the volume. Raises NotFound when the reservation is gone."""
        await self.connect(ctx, attachment_id)

    async def insert_disk(self, ctx: Context, id: str, attachment_id: str, volume_id: str) -> None:
        """Step: the guest has the disk."""
        await self.driver.attach_volume(id, await self.connected(ctx, attachment_id))

    async def remove_disk(self, ctx: Context, id: str, attachment_id: str, volume_id: str) -> None:
        """Undo, and the first step of a detachment: the guest has no such disk."""
        await self.driver.detach_volume(id, volume_id)

    async def free_disk(self, ctx: Context, id: str, attachment_id: str, volume_id: str) -> None:
        """Undo, and the end of a detachment: the volume is not the server's; its export goes."""
        await self.db.write(lambda tx: self.disks.release(tx, ctx, attachment_id), ctx, why="it is not the server's")

    async def settle_plug_volume(self, ctx: Context, id: str, attachment_id: str, volume_id: str, error: Error) -> None:
        """The attachment was given up: the volume is not the server's, also when its host is dead."""
        await self.free_disk(ctx, id, attachment_id, volume_id)

    @task(
        deadline=300,
        resource="server",
        failed="settle_unplug_volume",
        steps=(Step("detach", "remove_disk"), Step("disconnect", "free_disk")),
    )
    async def unplug_volume(self, ctx: Context, id: str, attachment_id: str, volume_id: str) -> None:
        """The guest has no disk of the volume, the volume is free."""
        await self._note(ctx, id, "a volume was detached")

    async def settle_unplug_volume(
        self, ctx: Context, id: str, attachment_id: str, volume_id: str, error: Error
    ) -> None:
        """The guest kept the volume: it is the server's still. One that it let go of is free all the same."""
        server, _ = await self.read_server(id)
        facts = await self.driver.inspect(id) if server.host == self.host else None
        if facts is not None and volume_id not in facts.volumes:
            await self.free_disk(ctx, id, attachment_id, volume_id)
            return
        try:
            await self.volumes.roll_detaching(ctx, attachment_id)
        except (NotFound, WrongState) as err:
            LOG.warning("server %s: its volume %s was taken: %s", id, volume_id, err)

    # -- larger

    def record_grown(self, tx: Tx, ctx: Context, grown: Grown) -> None:
        """Have a guest told that its volume is larger: what the volume manager calls when it has made it so."""
        self.on(grown.host).extend_volume.record(tx, ctx, grown.server_id, grown.volume_id, grown.size_gib)

    @task(deadline=600, resource="server", retries=10)
    async def extend_volume(self, ctx: Context, id: str, volume_id: str, size_gib: int) -> None:
        """The guest sees that its volume is this large."""
        await self.driver.extend_volume(id, volume_id, size_gib)

    # -- guests in agreement

    async def shed_volumes(self, ctx: Context, guests: Mapping[str, GuestFacts]) -> None:
        """Guests of this host are being relieved of disks that no row gives them."""
        having = [guest for guest in guests.values() if guest.volumes and guest.power != "paused"]
        if not having or self.volume is None:
            return
        for guest in await self.db.read(lambda tx: self._with_strays(tx, having)):
            LOG.warning("guest %s has a volume that is not its own: it is taken away", guest.id)
            await self.db.write(partial(self._shed, ctx=ctx, guest=guest), ctx, why="not its volume")

    def _with_strays(self, tx: Tx, guests: Sequence[GuestFacts]) -> list[GuestFacts]:
        owned = self.disks.of(tx, [guest.id for guest in guests])
        found = []
        for guest in guests:
            strays = set(guest.volumes) - {disk.volume_id for disk in owned.get(guest.id, ())}
            if strays and not tx.count(Task, resource=f"server:{guest.id}", open=True):
                found.append(msgspec.structs.replace(guest, volumes=tuple(sorted(strays))))
        return found

    def _shed(self, tx: Tx, ctx: Context, guest: GuestFacts) -> None:
        for volume_id in guest.volumes:
            self.on(self.host).shed_volume.record(tx, ctx, guest.id, volume_id)

    @task(deadline=300, resource="server")
    async def shed_volume(self, ctx: Context, id: str, volume_id: str) -> None:
        """The guest has no disk of a volume, if the volume is not the server's."""
        seen = await self.db.read(lambda tx: self.disks_of(tx, id))
        if all(disk.volume_id != volume_id for disk in seen):
            await self.driver.detach_volume(id, volume_id)

    async def _note(self, ctx: Context, id: str, why: str) -> None:
        await self.db.write(lambda tx: self.touch(tx, db.get_server(tx, id)), ctx, why=why)
