"""What becomes of a volume on its back end: made with its data, and removed. Tasks of the host that has it."""

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from functools import partial

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import DriverError, Error, NotFound
from micronova.manager import remote, task
from micronova.tasks import Task
from micronova.volume import db, states
from micronova.volume.base import VolumeBase, told
from micronova.volume.db import Placement, Transfer, Volume, VolumeType
from micronova.volume.driver import Encryption, FromFile, FromSnapshot, FromVolume, SnapshotSpec, Source, VolumeSpec

LOG = logging.getLogger(__name__)
LONG = 6 * 3600
"""Seconds for what copies data."""
UNFINISHED = (states.CREATING, states.DOWNLOADING)
KEY_BITS = 256
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 2.0


class Building(VolumeBase, ABC):
    """The part of the manager that makes volumes real, and unreal."""

    @task(deadline=LONG, resource="volume", failed="settle_build")
    async def build(self, ctx: Context, id: str) -> None:
        """Make volume `id` with its data on this host. Safe to repeat."""
        volume = await self.db.read(lambda tx: db.get_volume(tx, id))
        if volume.status not in UNFINISHED:
            return
        driver = self.driver_of(volume)
        if volume.image_id is not None:
            await self._restate(ctx, id, states.DOWNLOADING, "its image is being brought")
        encryption = await self._encryption(volume)
        async with self.source_of(ctx, volume) as source:
            spec = VolumeSpec(name=volume.driver_name, size_gib=volume.size_gib, source=source, encryption=encryption)
            await driver.ensure(spec)

        def finish(tx: Tx) -> None:
            now = db.get_volume(tx, id)
            if now.status in UNFINISHED:
                bootable = now.image_metadata is not None or _bootable_origin(tx, now)
                self.touch(tx, now, status=states.AVAILABLE, bootable=bootable, launched_at=tx.now)

        await self.db.write(finish, ctx, why="the back end made it")

    async def settle_build(self, ctx: Context, id: str, err: Error) -> None:
        """The volume could not be made: nothing of it is left but its row in error, and a message."""
        volume = await self.db.read(lambda tx: db.get_volume(tx, id))
        if volume.status not in UNFINISHED:
            return
        if volume.host == self.host and volume.backend in self.drivers:
            await self.drivers[volume.backend].remove(volume.driver_name)
        LOG.warning("volume %s could not be made: %s", id, err)

        def write(tx: Tx) -> None:
            now = db.get_volume(tx, id)
            if now.status in UNFINISHED:
                self.touch(tx, now, status=states.ERROR)
                text = f"create volume:{told(err)}"
                self.tell(tx, ctx, ("VOLUME", id, now.project_id), "002_001", text)

        await self.db.write(write, ctx, why=f"could not be made: {told(err)}")

    @contextlib.asynccontextmanager
    async def source_of(self, ctx: Context, volume: Volume) -> AsyncIterator[Source | None]:
        """Where the volume's data come from, there as long as the context is open."""
        if volume.backup_id is not None:
            async with self.copy_file(f"restore-{volume.id}") as path:
                await self.load_backup(ctx, volume.backup_id, str(path))
                yield FromFile(str(path), "raw")
        elif volume.image_id is not None:
            file = await self.image.local(ctx, volume.image_id)
            yield FromFile(file.path, file.format)
        elif volume.snapshot_id is not None:
            snapshot = await self.db.read(partial(db.get_snapshot, id=volume.snapshot_id))
            origin = await self.db.read(partial(db.get_volume, id=snapshot.volume_id))
            yield FromSnapshot(snapshot.id, _near(volume, origin).driver_name)
        elif volume.source_volume_id is not None:
            origin = await self.db.read(partial(db.get_volume, id=volume.source_volume_id))
            yield FromVolume(_near(volume, origin).driver_name)
        else:
            yield None

    @abstractmethod
    async def load_backup(self, ctx: Context, id: str, path: str) -> None:
        """Write a backup's data to a new file of this host; backups.py does it."""

    async def _restate(self, ctx: Context, id: str, status: str, why: str) -> None:
        def write(tx: Tx) -> None:
            now = db.get_volume(tx, id)
            if now.status in UNFINISHED:
                self.touch(tx, now, status=status)

        await self.db.write(write, ctx, why=why)

    # -- keys

    async def _encryption(self, volume: Volume) -> Encryption | None:
        if volume.encryption_key_id is None:
            return None
        found = await self.db.read(lambda tx: tx.first(VolumeType, id=volume.type_id))
        kind = found.encryption if found is not None else None
        bits = (kind.key_size if kind is not None else None) or KEY_BITS
        try:
            key = await self.keys.get(volume.encryption_key_id)
        except NotFound:
            if volume.status not in UNFINISHED:
                raise
            origin = await self.db.read(lambda tx: _origin(tx, volume))
            if origin is not None and origin.encryption_key_id is not None:
                key = await self.keys.get(origin.encryption_key_id)  # a copy's bytes are what they were
            else:
                key = self.clock.secret(bits // 8)
            await self.keys.put(volume.encryption_key_id, key)
        encryption = Encryption(key=key, key_size=bits)
        if kind is not None and kind.cipher:
            return Encryption(key=key, key_size=bits, cipher=kind.cipher)
        return encryption

    @remote(wait=10)
    async def encryption_key(self, ctx: Context, volume_id: str) -> bytes:
        """The key of an encrypted volume of this host; the caller must be the cloud itself. Raises NotFound."""
        volume = await self.db.read(lambda tx: db.get_volume(tx, volume_id))
        if volume.encryption_key_id is None or not ctx.is_admin:
            raise NotFound("There is no such key.")
        return await self.keys.get(volume.encryption_key_id)

    # -- the end

    @task(deadline=LONG, resource="volume", failed="settle_scrap", supersedes=True, retries=5)
    async def scrap(self, ctx: Context, id: str) -> None:
        """Remove volume `id`, its exports and its snapshots from this host, then their rows. Safe to repeat."""
        volume = await self.db.read(lambda tx: db.get_volume(tx, id))
        driver = self.driver_of(volume)
        await self.settle_superseded(ctx, volume)
        await self._taken_together(id)
        attachments, snapshots = await self.db.read(lambda tx: (db.attachments_of(tx, id), db.snapshots_of(tx, id)))
        for attachment in attachments:
            await driver.remove_export(attachment.id)
        for snapshot in reversed(snapshots):
            await driver.remove_snapshot(SnapshotSpec(snapshot.id, volume.driver_name))
        await driver.remove(volume.driver_name)
        if volume.encryption_key_id is not None:
            await self.keys.remove(volume.encryption_key_id)
        await self.db.write(lambda tx: self.forget(tx, db.get_volume(tx, id)), ctx, why="removed from its back end")

    async def _taken_together(self, id: str) -> None:
        """No snapshot of the volume is being taken with those of its group, which is the task of another resource.

        One that has not begun leaves out what is being deleted.
        """

        def taking(tx: Tx) -> int:
            shots = {row.group_snapshot_id for row in db.snapshots_of(tx, id) if row.group_snapshot_id is not None}
            tasks = [f"group_snapshot:{shot}" for shot in shots]
            return tx.count(Task, resource=tasks, open=True, state="running") if tasks else 0

        pause = _FIRST_PAUSE
        while await self.db.read(taking):
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 1.5)

    @abstractmethod
    async def settle_superseded(self, ctx: Context, volume: Volume) -> None:
        """What the removal of a volume cut short is settled; cut_short.py says how."""

    async def settle_scrap(self, ctx: Context, id: str, err: Error) -> None:
        """The volume could not be removed: it says so."""

        def write(tx: Tx) -> None:
            volume = db.get_volume(tx, id)
            if volume.status != states.DELETING:
                return
            self.touch(tx, volume, status=states.ERROR_DELETING)
            for snapshot in db.snapshots_of(tx, id):
                if snapshot.status == states.DELETING:
                    self.touch(tx, snapshot, status=states.ERROR_DELETING)
            self.tell(tx, ctx, ("VOLUME", id, volume.project_id), "009_001", f"delete volume:{told(err)}")

        await self.db.write(write, ctx, why=f"could not be removed: {told(err)}")

    def forget(self, tx: Tx, volume: Volume) -> None:
        """Remove the rows of a volume that is no more."""
        for attachment in db.attachments_of(tx, volume.id):
            tx.delete(attachment)
        for snapshot in db.snapshots_of(tx, volume.id):
            tx.delete(snapshot)
            self.snapshot_settled(tx, snapshot)
        for transfer in tx.find(Transfer, volume_id=volume.id):
            tx.delete(transfer)
        for placement in tx.find(Placement, volume_id=volume.id):
            tx.delete(placement)
        tx.delete(volume)


def _near(volume: Volume, origin: Volume) -> Volume:
    """The origin, if it lies where the volume does. Raises DriverError."""
    if (origin.host, origin.backend) != (volume.host, volume.backend):
        raise DriverError("the source lies on another back end", id=origin.id)
    return origin


def _origin(tx: Tx, volume: Volume) -> Volume | None:
    """The volume that the volume's data come from, through a snapshot or not, if it is there."""
    origin_id = volume.source_volume_id
    if volume.snapshot_id is not None:
        snapshot = tx.first(db.Snapshot, id=volume.snapshot_id)
        origin_id = snapshot.volume_id if snapshot is not None else None
    return tx.first(Volume, id=origin_id) if origin_id is not None else None


def _bootable_origin(tx: Tx, volume: Volume) -> bool:
    """Whether the volume's data come from a volume one can boot from."""
    origin = _origin(tx, volume)
    return origin is not None and origin.bootable
