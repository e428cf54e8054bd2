"""The volumes that a new server begins with: checked when it is asked for, made before its guest is.

Volumes take their time, and their host may be this one, whose tasks run a few at a time: so nothing here waits longer
than a moment. A server whose volumes are not there yet is looked at again, until its time is up.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import msgspec

from micronova.compute import db, disks, states
from micronova.compute.build import BUILD_SECONDS, Builds
from micronova.compute.db import DiskPlan, Server
from micronova.compute.guest_disks import is_made
from micronova.compute.placing import both
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, NotFound, Rejected, Unavailable
from micronova.image.db import Image
from micronova.manager import task
from micronova.volume import states as volume_states
from micronova.volume.contract import AttachRequest, BootVolume, NewBootVolume
from micronova.volume.servers import UNFINISHED

MOMENT = 1.0
"""Seconds that one look at unfinished volumes may take."""
_PAUSE = 0.05
_LOOKS = 100_000
"""Repetitions until the deadline ends them."""


class Root(msgspec.Struct, frozen=True, kw_only=True):
    """What a server boots from, as far as it is known of an image. `volume`: it is, or will be, a volume."""

    name: str = ""
    properties: Mapping[str, Any] = {}
    min_ram: int = 0
    volume: bool = False


class Gathers(Builds):
    """The part of the compute manager that sees to a new server's volumes."""

    # -- when it is asked for

    async def images_of(self, ctx: Context, plans: Sequence[DiskPlan]) -> dict[str, Image]:
        """The images that volumes shall be made from. Raises BadRequest in Nova's words."""
        found: dict[str, Image] = {}
        for plan in plans:
            if plan.source == "image" and plan.source_id not in found:
                found[plan.source_id] = await self._image_of(ctx, plan)
        return found

    async def _image_of(self, ctx: Context, plan: DiskPlan) -> Image:
        try:
            image = await self.image.get(ctx, plan.source_id)
        except NotFound as err:
            raise BadRequest(f"Block Device Mapping is Invalid: failed to get image {plan.source_id}.") from err
        if image.status != "active":
            raise BadRequest(f"Image {image.id} is not active.", id=image.id)
        if plan.boot_index == 0 and plan.size_gib is not None and plan.size_gib < image.min_disk:
            raise BadRequest(
                "Volume is smaller than the minimum size specified in image metadata. Volume size is "
                f"{plan.size_gib * 2**30} bytes, minimum size is {image.min_disk * 2**30} bytes."
            )
        return image

    def root_of(self, tx: Tx, ctx: Context, plans: Sequence[DiskPlan], images: Mapping[str, Image]) -> Root:
        """What a server without an image of its own boots from. Raises BadRequest when that can't be."""
        plan = next(plan for plan in plans if plan.boot_index == 0)
        match plan.source:
            case "image":
                image = images[plan.source_id]
                return Root(name=image.id, properties=image.properties, min_ram=image.min_ram, volume=True)
            case "volume" | "snapshot":
                volume = self._boot_volume(tx, ctx, plan)
                known = volume.image_metadata
                ram = known.get("min_ram", "")
                return Root(
                    name=known.get("image_id", ""),
                    properties=known,
                    min_ram=int(ram) if ram.isdecimal() else 0,
                    volume=True,
                )
            case _:
                return Root(volume=True)

    def _boot_volume(self, tx: Tx, ctx: Context, plan: DiskPlan) -> BootVolume:
        volume_id = plan.volume_id
        try:
            if plan.source == "snapshot":
                volume_id, _ = self.disks.look_snapshot(tx, ctx, plan.source_id)
            volume = self.disks.look(tx, ctx, volume_id)
        except NotFound as err:
            raise _unseen(plan) from err
        if not volume.bootable:
            raise BadRequest(f"Block Device {volume_id} is not bootable.")
        return volume

    def check_plans(self, tx: Tx, ctx: Context, plans: Sequence[DiskPlan], *, shared: bool) -> None:
        """Return when the disks could be had. `shared`: the caller knows of volumes that several servers have.

        Raises BadRequest in Nova's words.
        """
        if plans:
            self.require(ctx, "servers:create:attach_volume")
        for plan in plans:
            try:
                self._check_plan(tx, ctx, plan, shared=shared)
            except NotFound as err:
                raise _unseen(plan) from err

    def _check_plan(self, tx: Tx, ctx: Context, plan: DiskPlan, *, shared: bool) -> None:
        if plan.volume_type is not None:
            try:
                self.disks.check_type(tx, ctx, plan.volume_type)
            except NotFound as err:
                raise BadRequest(f"Volume type {plan.volume_type} could not be found.") from err
        if plan.source == "snapshot":
            self.disks.look_snapshot(tx, ctx, plan.source_id)
        if plan.source == "volume":
            volume = self.disks.look(tx, ctx, plan.volume_id)
            if volume.multiattach and not shared:
                raise BadRequest("Multiattach volumes are only supported starting with compute API version 2.60.")

    def hosts_for(self, tx: Tx, plans: Sequence[DiskPlan]) -> tuple[str, ...]:
        """The hosts that reach the existing volumes among these; () means all."""
        hosts: tuple[str, ...] = ()
        for plan in plans:
            if plan.source == "volume":
                hosts = both(hosts, self.disks.hosts_of(tx, plan.volume_id))
        return hosts

    def reserve_disks(self, tx: Tx, ctx: Context, server_id: str, plans: Sequence[DiskPlan]) -> None:
        """Volumes that are there are the server's to be. Raises BadRequest when one can't be had now."""
        for plan in plans:
            if plan.volume_id:
                asked = AttachRequest(
                    volume_id=plan.volume_id,
                    server_id=server_id,
                    device=plan.device,
                    tag=plan.tag,
                    boot_index=plan.boot_index,
                    delete_on_termination=plan.delete_on_termination,
                )
                self.disks.reserve(tx, ctx, asked)

    def begin(self, tx: Tx, ctx: Context, server: Server, plans: Sequence[DiskPlan]) -> None:
        """Have the server built, after its volumes if some are to be made."""
        host = self.on(server.host)
        making = any(not plan.volume_id for plan in plans)
        begun = host.gather_volumes.record(tx, ctx, server.id) if making else host.build.record(tx, ctx, server.id)
        tx.change(begun, deadline_at=tx.now + timedelta(seconds=self.options.build_seconds))

    # -- on its host

    @task(deadline=BUILD_SECONDS, resource="server", failed="settle_build", retries=_LOOKS)
    async def gather_volumes(self, ctx: Context, id: str) -> None:
        """The server's volumes are made and its own, and it is being built. Safe to repeat."""
        _, given = await self.read_server(id)
        images = {plan.source_id: await self._image_of(ctx, plan) for plan in given.disks if plan.source == "image"}
        await self.db.write(partial(self._make, ctx=ctx, id=id, images=images), ctx, why="volumes for a server")
        for _ in range(int(MOMENT / _PAUSE)):
            if await self.db.read(partial(self._all_made, id=id)):
                await self.db.write(partial(self._go_on, ctx=ctx, id=id), ctx, why="its volumes are there")
                return
            await asyncio.sleep(_PAUSE)
        raise Unavailable("The volumes of the server are still being made.")

    def _make(self, tx: Tx, ctx: Context, id: str, images: Mapping[str, Image]) -> None:
        server, given = db.get_server(tx, id), db.get_input(tx, id)
        if server.task_state == states.DELETING:
            return
        owner = msgspec.structs.replace(ctx, project_id=server.project_id, user_id=server.user_id)
        made = tuple(self._made(tx, owner, plan, images) for plan in given.disks)
        if made != given.disks:
            tx.change(given, disks=made)

    def _made(self, tx: Tx, ctx: Context, plan: DiskPlan, images: Mapping[str, Image]) -> DiskPlan:
        if plan.volume_id:
            return plan
        asked = NewBootVolume(
            name="",
            size_gib=plan.size_gib,
            image_id=plan.source_id if plan.source == "image" else None,
            snapshot_id=plan.source_id if plan.source == "snapshot" else None,
            volume_type=plan.volume_type,
        )
        volume_id = self.disks.make(tx, ctx, asked, images.get(plan.source_id), self.host)
        return msgspec.structs.replace(plan, volume_id=volume_id)

    def _all_made(self, tx: Tx, id: str) -> bool:
        """Whether no volume of the server is being made any more. Raises Rejected when one could not be."""
        for plan in db.get_input(tx, id).disks:
            if is_made(plan) and plan.volume_id:
                status = self.disks.status(tx, plan.volume_id)
                if status in UNFINISHED:
                    return False
                if status not in (volume_states.AVAILABLE, volume_states.RESERVED):
                    raise Rejected(f"Volume {plan.volume_id} could not be made: its status is {status}.")
        return True

    def _go_on(self, tx: Tx, ctx: Context, id: str) -> None:
        """The volumes that were made are the server's, and it is being built."""
        server, given = db.get_server(tx, id), db.get_input(tx, id)
        if server.task_state != states.DELETING and server.vm_state == states.BUILDING:
            self.reserve_disks(tx, ctx, id, [plan for plan in given.disks if is_made(plan)])
            self.begin(tx, ctx, server, given.disks)


def _unseen(plan: DiskPlan) -> BadRequest:
    id = plan.volume_id or plan.source_id
    return BadRequest(f"Block Device Mapping is Invalid: failed to get {plan.source} {id}.")


def bus_for(root: Root) -> str:
    """How a server sees disks of which nothing else is said: as its image wants it."""
    said = str(root.properties.get("hw_disk_bus", ""))
    return said if said in disks.BUSES else disks.VIRTIO
