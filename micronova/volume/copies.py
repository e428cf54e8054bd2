"""Bytes that leave a volume: to an image, to another back end of its host. Through a file of this host, soon gone."""

import logging

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, DriverError, Error, NotFound, WrongState
from micronova.image.changes import NewImage
from micronova.manager import task
from micronova.volume import db, pools, states
from micronova.volume.base import told
from micronova.volume.choice import Choice, Wanted
from micronova.volume.contract import Way
from micronova.volume.db import Volume, VolumeType
from micronova.volume.driver import FromFile, FromVolume, VolumeSpec
from micronova.volume.journeys import Journeys
from micronova.volume.moves import COMPLETING, DONE, GIVEN_UP, MIGRATING, back
from micronova.volume.scratch import pieces

LOG = logging.getLogger(__name__)
LONG = 6 * 3600
_ENDED = {MIGRATING: GIVEN_UP, COMPLETING: DONE}
"""What a migration came to, by what was told of it last; clients wait for these words."""


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """An image to be made from a volume."""

    name: str
    disk_format: str = "raw"
    container_format: str = "bare"
    visibility: str = "shared"
    protected: bool = False
    force: bool = False


class Copies(Journeys):
    """The part of the manager that copies volumes out."""

    # -- to an image

    async def upload(self, ctx: Context, id: str, asked: Upload) -> tuple[Volume, str]:
        """Register an image and have it filled from the volume; returns the volume and the image's id.

        Raises NotFound, WrongState, BadRequest for formats that can't be made, and what the image room raises.
        """
        if asked.disk_format not in ("raw", "qcow2"):
            raise BadRequest(f"Invalid input received: disk_format {asked.disk_format} can't be made from a volume.")

        def check(tx: Tx) -> Volume:
            volume = self.owned(tx, ctx, id, "volume_extension:volume_actions:upload_image")
            self.refuse_encrypted(volume, "An upload")
            states.check("upload in use" if asked.force else "upload", "volume", id, volume.status)
            return volume

        volume = await self.db.read(check)
        kept = volume.image_metadata or {}
        own = ("image_id", "image_name", "checksum", "container_format", "disk_format", "size", "min_disk", "min_ram")
        values = {
            "name": asked.name,
            "disk_format": asked.disk_format,
            "container_format": asked.container_format,
            "visibility": asked.visibility,
            "protected": asked.protected,
            "min_disk": volume.size_gib if asked.disk_format == "qcow2" else 0,
        }
        properties = {name: value for name, value in kept.items() if name not in own}
        image = await self.image.create(ctx, NewImage(values, properties))

        def record(tx: Tx) -> Volume:
            now = check(tx)
            now = self.touch(tx, now, status=states.UPLOADING, previous_status=now.status)
            self.on(now.host).send.record(tx, ctx, id, image.id)
            return now

        return await self.db.write(record, ctx, why="uploaded by request"), image.id

    @task(deadline=LONG, resource="volume", failed="settle_send", retries=1)
    async def send(self, ctx: Context, id: str, image_id: str) -> None:
        """Fill the image from the volume. Safe to repeat."""
        volume = await self.db.read(lambda tx: db.get_volume(tx, id))
        if volume.status != states.UPLOADING:
            return
        image = await self.image.get(ctx, image_id)
        if image.status == "queued":
            async with self.copy_file(f"image-{image_id}") as path:
                source = FromVolume(volume.driver_name)
                await self.driver_of(volume).copy_out(source, str(path), image.disk_format or "raw")
                await self.image.upload(ctx, image_id, pieces(path), path.stat().st_size)
        await self._rest(ctx, id, states.UPLOADING, "its image is complete")

    async def settle_send(self, ctx: Context, id: str, image_id: str, err: Error) -> None:
        """There is no image; the volume is as it was."""
        LOG.warning("volume %s: image %s could not be filled: %s", id, image_id, err)
        try:
            await self.image.delete(ctx, image_id)
        except (NotFound, WrongState) as gone:
            LOG.info("image %s: %s", image_id, gone)

        def write(tx: Tx) -> None:
            volume = db.get_volume(tx, id)
            text = f"copy volume to image:{told(err)}"
            self.tell(tx, ctx, ("VOLUME", id, volume.project_id), "007_001", text)

        await self.db.write(write, ctx, why="its image could not be filled")
        await self._rest(ctx, id, states.UPLOADING, "as it was")

    async def _rest(self, ctx: Context, id: str, status: str, why: str) -> None:
        await self.db.write(lambda tx: self.rest(tx, id, status), ctx, why=why)

    def rest(self, tx: Tx, id: str, status: str) -> None:
        """What gave the volume this status is over: it is as its attachments make it. Raises NotFound."""
        now = db.get_volume(tx, id)
        if now.status == status:
            told = _ENDED.get(now.migration_status or "", now.migration_status)
            self.touch(tx, now, status=self.rest_status(tx, now), migration_status=told)

    # -- to another back end

    def record_move(self, tx: Tx, ctx: Context, volume: Volume, new: VolumeType) -> None:
        """Have the volume moved to a back end that fits the type, of its host rather than of another.

        Raises BadRequest when there is none, WrongState when several use it or it has snapshots.
        """
        wanted = Wanted(
            size_gib=volume.size_gib,
            specs=self.specs_of(new),
            only=self._others(tx, volume),
            near_host=volume.host,
        )
        self._record_move(tx, ctx, volume, self.place(tx, volume.id, wanted), new.id)

    def _record_move(self, tx: Tx, ctx: Context, volume: Volume, chosen: Choice, type_id: str) -> None:
        self.check_movable(tx, volume)
        if volume.status == states.AVAILABLE:
            self.refuse_encrypted(volume, "A move while nobody uses them")
        if not chosen.pool:
            raise BadRequest(f"No back end can take the volume: {chosen.message}")
        if chosen.host != volume.host:
            self.record_journey(tx, ctx, volume, chosen, type_id)
            return
        self.touch(tx, volume, status=states.RETYPING, previous_status=volume.status, migration_status=MIGRATING)
        way = Way(
            backend=chosen.backend,
            type_id=type_id,
            name=self.clock.new_id(),
            old_backend=volume.backend,
            old_type_id=volume.type_id,
            old_name=volume.driver_name,
        )
        self.on(volume.host).move.record(tx, ctx, volume.id, way)

    def _others(self, tx: Tx, volume: Volume) -> tuple[str, ...]:
        """The pools that the volume as it is could move to: of its own host, and of others when they can read it."""
        here, far = pools.name_of(volume.host, volume.backend), self.can_travel(tx, volume)
        views = [view for view in self.views(tx) if view.row.id != here and (far or view.row.host == volume.host)]
        return tuple(view.row.id for view in views) or ("nowhere",)

    async def migrate(self, ctx: Context, id: str, pool: str) -> None:
        """Have the volume moved to a pool (HOST@BACKEND#POOL). Raises NotFound, BadRequest, WrongState."""

        def write(tx: Tx) -> None:
            volume = self.owned(tx, ctx, id, "volume_extension:volume_admin_actions:migrate_volume")
            name = pool if "#" in pool else f"{pool}#{pool.partition('@')[2]}"
            if name == pools.name_of(volume.host, volume.backend):
                raise BadRequest("Invalid input received: Destination host must be different than the current host.")
            if name not in self._others(tx, volume):
                raise BadRequest(f"No available service named {pool} that this volume can move to.")
            found = tx.first(VolumeType, id=volume.type_id)
            wanted = Wanted(size_gib=volume.size_gib, specs=self.specs_of(found), only=(name,))
            self._record_move(tx, ctx, volume, self.place(tx, id, wanted), volume.type_id)

        await self.db.write(write, ctx, why="migrated by request")

    @task(deadline=LONG, resource="volume", failed="settle_move")
    async def move(self, ctx: Context, id: str, way: Way) -> None:
        """Bring the volume's data to another back end of this host, then forget where they were. Safe to repeat.

        The volume's copy there has a name of its own: it counts when the row names it.
        """
        volume = await self.db.read(lambda tx: db.get_volume(tx, id))
        if volume.status != states.RETYPING:
            await self._stay(ctx, id, way)
            return
        target = self.drivers.get(way.backend)
        if target is None:
            raise DriverError(f"this host has no back end {way.backend}", id=id)
        if await self.db.read(lambda tx: db.attachments_of(tx, id)):
            await self.follow(ctx, volume, way)
        elif volume.driver_name != way.name:
            self.refuse_encrypted(volume, "A move while nobody uses them")
            async with self.copy_file(f"move-{id}") as path:
                await self.driver_of(volume).copy_out(FromVolume(volume.driver_name), str(path), "raw")
                await target.remove(way.name)
                source = FromFile(str(path), "raw")
                await target.ensure(VolumeSpec(name=way.name, size_gib=volume.size_gib, source=source))
            await self._moved(ctx, id, way)
        await self.remove_other(await self.db.read(lambda tx: db.get_volume(tx, id)), way)
        await self._rest(ctx, id, states.RETYPING, "it lies on its new back end alone")

    async def remove_other(self, volume: Volume, way: Way) -> None:
        """At the ends of the way is nothing but what the volume's row names. Safe to repeat. Raises DriverError."""
        for end in (way, back(way)):
            driver = self.drivers.get(end.backend)
            if driver is None or end.name == volume.driver_name:
                continue
            for export in (await driver.list()).exports:
                if export.volume == end.name:
                    await driver.remove_export(export.id)
            await driver.remove(end.name)

    async def _moved(self, ctx: Context, id: str, way: Way) -> None:
        def write(tx: Tx) -> None:
            now = db.get_volume(tx, id)
            if not self.is_called_off(tx, now):
                self.lay(tx, now, way, DONE)

        await self.db.write(write, ctx, why="its data are on the new back end")

    async def _stay(self, ctx: Context, id: str, way: Way) -> bool:
        """The volume lies where its row says, nothing of it is at the other end of the way: returns True.

        False when its guest may write to the other end still: then both are kept.
        """
        await self.stop_following(ctx, id, way)
        volume = await self.db.read(lambda tx: db.get_volume(tx, id))
        if volume.migration_status == COMPLETING:
            return False
        await self.remove_other(volume, way)
        return True

    async def settle_move(self, ctx: Context, id: str, way: Way, err: Error) -> None:
        """The volume lies where its row says, and nothing of it is elsewhere.

        One that its guest did not let go of in time is in error, and kept in both places.
        """
        alone = await self._stay(ctx, id, way)

        def write(tx: Tx) -> None:
            volume = db.get_volume(tx, id)
            text = f"migrate volume:{told(err)}"
            if not alone and volume.status == states.RETYPING:
                self.touch(tx, volume, status=states.ERROR)
                text = "migrate volume:Its server did not let go of the place that it had before; both are kept."
            self.tell(tx, ctx, ("VOLUME", id, volume.project_id), "010_001", text)

        await self.db.write(write, ctx, why=f"could not move: {told(err)}")
        await self._rest(ctx, id, states.RETYPING, "it stays where it was")
