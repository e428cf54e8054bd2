"""Volumes as images of a Ceph cluster (RBD). Guests reach the cluster themselves; nothing here stands between.

A volume is one image of the same name. What RBD does not keep, notes in the pool do (notes.py); which of this host's
volumes are exported is on this host. Nothing that matters is in this object.
"""

import asyncio
import contextlib
import errno
import logging
import pathlib
import re
import shutil
from collections.abc import Sequence
from typing import Self

from micronova.clock import Clock
from micronova.config import Config
from micronova.errors import DriverError, NoSpace, Rejected
from micronova.volume.driver import (
    GIB,
    Connection,
    ExportFacts,
    ExportSpec,
    FromSnapshot,
    FromVolume,
    Inventory,
    RbdConnection,
    SnapshotFacts,
    SnapshotSpec,
    Stats,
    VolumeFacts,
    VolumeSpec,
    check_name,
    check_spec,
    gib,
)
from micronova.volume.drivers import inspected, luks
from micronova.volume.drivers.locks import Locks
from micronova.volume.drivers.rbd import host, space
from micronova.volume.drivers.rbd.cluster import Cluster, code_of
from micronova.volume.drivers.rbd.filling import Filling
from micronova.volume.drivers.rbd.images import Image, Images, Moment, header_of, size_gib
from micronova.volume.drivers.rbd.making import Making
from micronova.volume.drivers.rbd.notes import Notes, Written
from micronova.volume.drivers.rbd.options import CAPABILITIES, RbdOptions, cluster_name
from micronova.volume.drivers.shelf import Shelf
from micronova.volume.drivers.steps import in_thread

LOG = logging.getLogger(__name__)
_FRESH = 90
"""Seconds for which what was told of the pool's space is believed."""


class RbdVolumeDriver:
    """A VolumeDriver with volumes in a pool of a Ceph cluster; `folder` is this host's own."""

    capabilities = CAPABILITIES

    def __init__(self, folder: pathlib.Path, clock: Clock, options: RbdOptions, *, host: str) -> None:
        """Nothing is touched before `init_host`."""
        self.options = options
        self.place = f"pool {options.pool} of Ceph cluster {cluster_name(options.conf)}"
        self._clock = clock
        self._folder = folder
        self._locks = Locks()
        self._cluster = Cluster(options)
        self._notes = Notes(self._cluster, host)
        self._images = Images(self._cluster, options.data_pool)
        self._filling = Filling(self._cluster, folder / "copies", clock)
        self._exports = Shelf(folder / "exports", ExportSpec)
        self._mark = f".{re.sub('[^A-Za-z0-9-]', '-', host)}."
        self._making = Making(self._images, self._filling, clock, depth=options.depth, mark=self._mark)
        self._monitors = options.monitors
        self._space: tuple[float, Stats] | None = None

    @classmethod
    def configured(cls, config: Config, clock: Clock, name: str = "rbd") -> Self:
        """Back end `name` as the configuration wants it: `[plugin.NAME]`."""
        backend = config.options.volume.backends.get(name)
        given = backend.folder if backend is not None else ""
        folder = pathlib.Path(given).absolute() if given else config.state / "volumes" / name
        return cls(folder, clock, config.section(name, RbdOptions), host=config.host)

    # -- this host

    async def init_host(self) -> None:
        await in_thread(host.check, self.options)
        await in_thread(self._prepare)
        _, moments = await self._images.all()
        written = await self._notes.all()
        for volume in written.volumes_of(self._notes.host):
            if written.is_half_made(volume):
                await self._unmake(volume)
        for moment in moments:
            if moment.name.startswith(self._mark):
                await self._images.forget(moment.image, moment.name)
        await self._images.sweep()

    def _prepare(self) -> None:
        self._exports.prepare()
        for path in self._exports.drafts():
            path.unlink(missing_ok=True)
        self._filling.clear()

    async def list(self) -> Inventory:
        """Volumes of this pool that no other host made, and this host's exports."""
        exports = await in_thread(self._exports.all)
        (images, moments), written = await asyncio.gather(self._images.all(), self._notes.all())
        here = {image.name for image in images if self._is_here(image.name, written)}
        return Inventory(
            volumes=tuple(_facts(image) for image in images if image.name in here),
            snapshots=tuple(_snapshot_facts(one) for one in moments if one.image in here and not one.ours),
            exports=tuple(ExportFacts(id=id, volume=one.volume) for id, one in exports.items()),
        )

    def _is_here(self, name: str, written: Written) -> bool:
        try:
            check_name(name)
        except Rejected:
            return False
        note = written.volumes.get(name)
        return note is None or note.host == self._notes.host

    async def stats(self) -> Stats:
        found = await space.measure(self._cluster)
        self._space = (self._clock.now().timestamp(), found)
        return found

    async def close(self) -> None:
        """There is nothing to let go of."""

    async def erase(self) -> None:
        """Remove what this host made; other hosts' volumes, and what others put into the pool, stay."""
        for id in await in_thread(self._exports.all):
            await self.remove_export(id)
        written = await self._notes.all()
        for volume in written.volumes_of(self._notes.host):
            async with self._locks.held(volume):
                await self._unmake(volume)
        await in_thread(shutil.rmtree, self._folder, True)

    # -- volumes

    async def ensure(self, spec: VolumeSpec) -> VolumeFacts:
        check_spec(spec, self.capabilities)
        if spec.encryption is not None:
            luks.check(spec.encryption)
        async with self._locks.held_with_source(spec):
            if spec.source is None and spec.encryption is None and self._has_room():
                await self._notes.complete(spec.name)
                if await self._images.create(spec.name, spec.size_gib * GIB):
                    return VolumeFacts(name=spec.name, size_gib=spec.size_gib)
            return await self._ensure(spec)

    async def _ensure(self, spec: VolumeSpec) -> VolumeFacts:
        found = await self._images.find(spec.name)
        if found is not None and not (await self._notes.all()).is_half_made(spec.name):
            return _facts(found)
        self._admit()
        if found is not None:
            await self._unmake(spec.name)
        await self._notes.begin(spec.name)
        try:
            await self._making.make(spec)
            await self._notes.complete(spec.name)
        except BaseException as err:
            # From a cluster that is away nothing can be removed; what is written down there tells the next.
            if not isinstance(err, DriverError) or code_of(err) != errno.ETIMEDOUT:
                with contextlib.suppress(DriverError):
                    await self._unmake(spec.name)
            raise
        return VolumeFacts(name=spec.name, size_gib=spec.size_gib)

    async def _unmake(self, name: str) -> None:
        """Neither the image is there nor what is written down of it."""
        await self._images.discard(name, with_snapshots=True, cut_off=True)
        await self._notes.forget(name)

    async def remove(self, name: str) -> None:
        check_name(name)
        async with self._locks.held(name):
            await self._refuse_exported(name)
            await self._images.discard(name)
            # A full cluster lets images go and keeps the note, which means nothing without one.
            with contextlib.suppress(NoSpace):
                await self._notes.forget(name)

    async def extend(self, name: str, size_gib: int) -> VolumeFacts:
        check_name(name)
        async with self._locks.held(name):
            image = await self._images.get(name)
            if size_gib > image.size_gib:
                self._admit()
                image = await self._images.grow(image, size_gib * GIB + header_of(image.size))
            return _facts(image)

    # -- exports

    async def ensure_export(self, spec: ExportSpec) -> Connection:
        check_name(spec.id)
        check_name(spec.volume)
        async with self._locks.held(spec.volume):
            await self._images.get(spec.volume)
            there = await in_thread(self._exports.find, spec.id)
            if there is not None and there.volume != spec.volume:
                raise Rejected("this export is another volume's", name=spec.volume)
            connection = await self._connection(there or spec)
            if there is None:
                await in_thread(self._exports.put, spec.id, spec)
            return connection

    async def _connection(self, spec: ExportSpec) -> RbdConnection:
        if not self._monitors:
            self._monitors = await self._cluster.monitors()
        user, keyring = self.options.guest()
        return RbdConnection(
            pool=self.options.pool,
            image=spec.volume,
            monitors=self._monitors,
            user=user,
            keyring=keyring,
            read_only=spec.read_only,
        )

    async def remove_export(self, id: str) -> None:
        check_name(id)
        spec = await in_thread(self._exports.find, id)
        if spec is None:
            return
        async with self._locks.held(spec.volume):
            # One that stays may be of the same client, as a guest's that moves.
            alone = len(await in_thread(self._exports_of, spec.volume)) <= 1
            if alone and self.options.cut_off and await self._images.block_clients(spec.volume):
                LOG.warning("volume %s: whoever still used it is cut off", spec.volume)
            await in_thread(self._exports.drop, id)

    def _exports_of(self, volume: str) -> Sequence[ExportSpec]:
        return [one for one in self._exports.all().values() if one.volume == volume]

    async def _refuse_exported(self, name: str) -> None:
        if await in_thread(self._exports_of, name):
            raise Rejected("the volume is exported", name=name)

    # -- snapshots

    async def ensure_snapshot(self, spec: SnapshotSpec) -> SnapshotFacts:
        check_name(spec.name)
        check_name(spec.volume)
        async with self._locks.held(spec.volume):
            if not self._has_room() and await self._moment(spec) is None:
                self._admit()
            try:
                await self._images.keep(spec.volume, spec.name)
            except DriverError as err:
                if code_of(err) == errno.ENOENT:
                    raise DriverError(f"there is no volume {spec.volume}", name=spec.volume) from err
                raise
            found = await self._moment(spec)
            if found is None:
                raise DriverError(f"snapshot {spec.name} is gone again", name=spec.name)
            return _snapshot_facts(found)

    async def remove_snapshot(self, spec: SnapshotSpec) -> None:
        check_name(spec.name)
        check_name(spec.volume)
        async with self._locks.held(spec.volume):
            await self._images.forget(spec.volume, spec.name)

    async def revert(self, spec: SnapshotSpec) -> VolumeFacts:
        check_name(spec.name)
        check_name(spec.volume)
        async with self._locks.held(spec.volume):
            await self._refuse_exported(spec.volume)
            theirs = [one for one in await self._images.moments(spec.volume) or () if not one.ours]
            if spec.name not in [one.name for one in theirs]:
                raise DriverError(f"volume {spec.volume} has no snapshot {spec.name}", name=spec.name)
            if theirs[-1].name != spec.name:
                raise Rejected("the volume has later snapshots", name=spec.volume)
            self._admit()
            await self._images.roll_back(spec.volume, spec.name)
            return _facts(await self._images.get(spec.volume))

    async def _moment(self, spec: SnapshotSpec) -> Moment | None:
        found = await self._images.moments(spec.volume) or ()
        return next((one for one in found if one.name == spec.name), None)

    # -- copies

    async def copy_out(self, source: FromVolume | FromSnapshot, path: str, format: str) -> None:
        if format not in inspected.FORMATS:
            raise Rejected(f"volumes can't be copied to files of format {format[:20]!r}")
        check_name(source.name)
        target = pathlib.Path(path)
        if isinstance(source, FromSnapshot):
            check_name(source.volume)
            if await self._moment(SnapshotSpec(source.name, source.volume)) is None:
                raise DriverError(f"volume {source.volume} has no snapshot {source.name}", name=source.name)
            await self._filling.draw(source.volume, source.name, target, format)
            return
        async with self._locks.held(source.name):
            await self._images.get(source.name)
            if not await in_thread(self._exports_of, source.name):
                await self._filling.draw(source.name, "", target, format)
                return
        async with self._making.still(source.name) as moment:
            await self._filling.draw(source.name, moment, target, format)

    async def copy_in(self, name: str, path: str, format: str) -> None:
        check_name(name)
        async with self._locks.held(name):
            image = await self._images.get(name)
            await self._refuse_exported(name)
            if await in_thread(inspected.disk_size, pathlib.Path(path), format) > image.size:
                raise Rejected("the file is larger than the volume", name=name)
            self._admit()
            await self._filling.blank(image)
            await self._filling.pour(pathlib.Path(path), format, name)

    async def rename(self, name: str, new_name: str) -> VolumeFacts:
        check_name(name)
        check_name(new_name)
        async with self._locks.held(name, new_name):
            await self._refuse_exported(name)
            old, written = await asyncio.gather(self._images.find(name), self._notes.all())
            if old is not None:
                await self._images.rename(name, new_name)
            image = await self._images.get(new_name)
            if name not in written.volumes and new_name not in written.volumes:
                # Others' images end anywhere.
                image = await self._images.grow(image, max(1, gib(image.size)) * GIB)
            await self._notes.complete(new_name)
            await self._notes.forget(name)
            return _facts(image)

    # -- inside

    def _has_room(self) -> bool:
        """Whether the pool takes something new, as far as was told lately."""
        if self._space is None or self._clock.now().timestamp() - self._space[0] > _FRESH:
            return True
        return self._space[1].free_bytes >= self.options.reserve_mib << 20

    def _admit(self) -> None:
        """Return when there is space for something new. Raises NoSpace."""
        if not self._has_room():
            raise NoSpace(f"less than {self.options.reserve_mib} MiB of the pool are free: nothing new is made")


def _facts(image: Image) -> VolumeFacts:
    return VolumeFacts(name=image.name, size_gib=image.size_gib)


def _snapshot_facts(moment: Moment) -> SnapshotFacts:
    return SnapshotFacts(name=moment.name, volume=moment.image, size_gib=size_gib(moment.size))
