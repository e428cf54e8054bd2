"""Volumes as files in a folder of this host, thin, served to guests by storage daemons; or, in a folder that every host
shares, used by guests directly.

What a volume is made of is told in layers.py, how it is served in daemon.py and fronts.py. Nothing that matters is in
this object: a restart finds all of it in the folder.
"""

import asyncio
import contextlib
import logging
import os
import pathlib
import shutil
from collections.abc import Sequence
from typing import Self

import msgspec

from micronova.clock import Clock
from micronova.config import Config
from micronova.errors import DriverError, NoSpace, Rejected
from micronova.volume.driver import (
    GIB,
    Connection,
    ExportFacts,
    ExportSpec,
    FileConnection,
    FromSnapshot,
    FromVolume,
    Inventory,
    SnapshotFacts,
    SnapshotSpec,
    Stats,
    VolumeFacts,
    VolumeSpec,
    check_name,
    check_spec,
    gib,
)
from micronova.volume.drivers import inspected
from micronova.volume.drivers.file import foreign, host, reflink
from micronova.volume.drivers.file.adopting import Adopting
from micronova.volume.drivers.file.exports import Exports
from micronova.volume.drivers.file.fronts import Fronts
from micronova.volume.drivers.file.layers import Layers
from micronova.volume.drivers.file.making import Making
from micronova.volume.drivers.file.merging import Merging
from micronova.volume.drivers.file.moments import Moments
from micronova.volume.drivers.file.options import FileOptions, capabilities
from micronova.volume.drivers.file.records import ExportRecord, Records, SnapshotRecord, VolumeRecord
from micronova.volume.drivers.locks import Locks
from micronova.volume.drivers.steps import in_thread, told
from micronova.volume.drivers.watch import Watch

LOG = logging.getLogger(__name__)
_FORGOTTEN = 24 * 3600
"""Seconds after which what is half made in a shared folder belongs to nobody."""
_MOST_LEFTOVERS = 64
"""Files that a process may leave when it dies; more without a record mean that records are missing."""


class FileVolumeDriver:
    """A VolumeDriver with volumes in `folder`."""

    def __init__(self, folder: pathlib.Path, clock: Clock, options: FileOptions | None = None) -> None:
        """Nothing is touched before `init_host`."""
        self.options = options or FileOptions()
        self.capabilities = capabilities(self.options)
        self.place = f"folder {folder.resolve()}"
        self._folder = folder
        self._clock = clock
        self._locks = Locks()
        self._place = place = host.place(folder, self.options)
        self._records = Records(folder)
        self._layers = Layers(place.layers, clock, place.account)
        self._watch = Watch(place.layers, self._serve)
        fronts = Fronts(place, folder / "fronts", self.options)
        self._exports = Exports(place, self._records, self._layers, fronts, self._watch)
        self._merging = Merging(self._layers, self._records, self._exports)
        self._moments = Moments(self._layers, self._records, self._exports, self._merging, self._locks)
        self._making = Making(self._layers, self._records, self._moments, qcow2=self.options.format == "qcow2")
        self._adopting = Adopting(folder, self._layers, self._records)

    @classmethod
    def configured(cls, config: Config, clock: Clock, name: str = "file") -> Self:
        """Back end `name` as the configuration wants it: `[volume.backends.NAME]` and `[plugin.NAME]`."""
        backend = config.options.volume.backends.get(name)
        given = backend.folder if backend is not None else ""
        folder = pathlib.Path(given).absolute() if given else config.state / "volumes" / name
        return cls(folder, clock, config.section(name, FileOptions))

    # -- this host

    async def init_host(self) -> None:
        host.check(self.options)
        await in_thread(host.prepare, self._folder, self._place, self.options)
        if self._place.account.reason:
            LOG.warning("storage daemons get no user of their own: %s", self._place.account.reason)
        await in_thread(self._prepare)
        await self._watch.close()
        self._watch.open()
        if not self.options.shared:
            wanted = await self._exports.recover()
            await asyncio.gather(*(self._served(volume) for volume in sorted(wanted)))

    def _prepare(self) -> None:
        self._records.prepare()
        self._layers.shares_blocks = reflink.offered(self._layers.draft("probe"), self._layers.draft("probe"))
        for path in (*self._records.drafts(), *self._layers.drafts()):
            if self._is_forgotten(path):
                path.unlink(missing_ok=True)
        leftovers = self._merging.leftovers()
        if len(leftovers) > _MOST_LEFTOVERS:
            LOG.error(
                "%s files of volumes have no record: they are left alone, their records may be lost", len(leftovers)
            )
            return
        for layer in leftovers:
            if self._is_forgotten(self._layers.path(layer)):
                self._merging.collect(layer)

    def _is_forgotten(self, path: pathlib.Path) -> bool:
        """Whether nobody is at work on what is half made. In a shared folder it may be another host, for a while."""
        if not self.options.shared:
            return True
        try:
            return self._clock.now().timestamp() - path.stat().st_mtime > _FORGOTTEN
        except FileNotFoundError:
            return False

    async def _serve(self, volume: str) -> None:
        """What is written down of the volume's exports is served. Raises DriverError."""
        async with self._locks.held(volume):
            await self._exports.serve(volume)

    async def _served(self, volume: str) -> None:
        """The volume's exports are served again, if that can be done."""
        try:
            await self._serve(volume)
        except DriverError as err:
            LOG.error("volume %s can't be served: %s", volume, err)

    async def list(self) -> Inventory:
        return await in_thread(self._list)

    def _list(self) -> Inventory:
        volumes, snapshots = self._records.volumes.all(), self._records.snapshots.all()
        exports = self._records.exports.all()
        return Inventory(
            volumes=tuple(self._facts(name, one) for name, one in volumes.items()),
            snapshots=tuple(_snapshot_facts(name, one) for name, one in snapshots.items()),
            exports=tuple(ExportFacts(id=id, volume=one.spec.volume) for id, one in exports.items()),
        )

    async def stats(self) -> Stats:
        return await in_thread(self._stats)

    def _stats(self) -> Stats:
        facts = os.statvfs(self._folder)
        return Stats(
            total_bytes=facts.f_blocks * facts.f_frsize,
            free_bytes=facts.f_bavail * facts.f_frsize,
            allocated_bytes=sum(self._layers.allocated(name) for name in self._layers.names()),
        )

    async def close(self) -> None:
        """Nobody watches the daemons; they go on."""
        await self._watch.close()

    async def erase(self) -> None:
        if not await in_thread(self._layers.folder.is_dir):
            return
        await self._watch.close()
        exports = await in_thread(self._records.exports.all)
        for record in exports.values():
            async with self._locks.held(record.spec.volume):
                await self._unexport(record)
        if not self.options.shared:
            await self._exports.erase()
        await in_thread(self._erase)

    def _erase(self) -> None:
        for name in ("exports", "snapshots", "volumes", "fronts", "logs", "layers"):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self._folder / name)
        shutil.rmtree(self._place.sockets, ignore_errors=True)

    # -- volumes

    async def ensure(self, spec: VolumeSpec) -> VolumeFacts:
        check_spec(spec, self.capabilities)
        async with self._locks.held_with_source(spec):
            record = await in_thread(self._records.volumes.find, spec.name)
            if record is None:
                await self._admit()
                if isinstance(spec.source, FromVolume) and not self.capabilities.clone_in_use:
                    await self._refuse_exported(spec.source.name)
                record = await self._made(spec)
            return await in_thread(self._facts, spec.name, record)

    async def _made(self, spec: VolumeSpec) -> VolumeRecord:
        record = await self._making.make(spec)
        try:
            await in_thread(self._records.volumes.put, spec.name, record)
        except DriverError:
            await in_thread(self._merging.collect, record.layer)
            raise
        return record

    async def remove(self, name: str) -> None:
        check_name(name)
        async with self._locks.held(name):
            if await in_thread(self._records.snapshots_of, name):
                raise Rejected("the volume has snapshots", name=name)
            await self._refuse_exported(name)
            record = await in_thread(self._records.volumes.find, name)
            if record is not None:
                await in_thread(self._records.volumes.drop, name)
                await in_thread(self._merging.collect, record.layer)

    async def extend(self, name: str, size_gib: int) -> VolumeFacts:
        check_name(name)
        async with self._locks.held(name):
            record = await in_thread(self._records.volume, name)
            grown = msgspec.structs.replace(record, size=size_gib * GIB)
            if grown.size > record.size:
                if not self.capabilities.extend_in_use:
                    await self._refuse_exported(name)
                await self._admit()
                if await in_thread(self._records.exports_of, name):
                    await self._exports.grow(name, record.layer, grown.total)
                else:
                    await self._layers.grow(record.layer, grown.total)
                await in_thread(self._records.volumes.put, name, grown)
                record = grown
            return await in_thread(self._facts, name, record)

    # -- exports

    async def ensure_export(self, spec: ExportSpec) -> Connection:
        check_name(spec.id)
        check_name(spec.volume)
        async with self._locks.held(spec.volume):
            volume = await in_thread(self._records.volume, spec.volume)
            record = await in_thread(self._records.exports.find, spec.id)
            if record is not None and record.spec.volume != spec.volume:
                raise Rejected("this export is another volume's", name=spec.volume)
            fresh = record is None
            if record is None:
                await self._refuse_second_writer(spec)
                record = ExportRecord(spec=spec) if self.options.shared else await self._exports.record(spec)
                await in_thread(self._records.exports.put, spec.id, record)
            if self.options.shared:
                path = self._layers.path(volume.layer)
                return FileConnection(path=str(path), format=path.suffix[1:], read_only=record.spec.read_only)
            try:
                await self._exports.serve(spec.volume)
            except BaseException:
                if fresh:
                    await self._unexport(record)
                raise
            return self._exports.connection(record)

    async def remove_export(self, id: str) -> None:
        check_name(id)
        record = await in_thread(self._records.exports.find, id)
        if record is not None:
            async with self._locks.held(record.spec.volume):
                await self._unexport(record)

    async def _unexport(self, record: ExportRecord) -> None:
        if self.options.shared:
            await in_thread(self._records.exports.drop, record.spec.id)
        else:
            await self._exports.remove(record)

    async def _refuse_second_writer(self, spec: ExportSpec) -> None:
        others = await in_thread(self._records.exports_of, spec.volume)
        writers = [one for one in others.values() if not one.spec.read_only]
        if writers and not spec.read_only and not self.capabilities.multiattach:
            raise Rejected("the volume is in use", name=spec.volume)

    # -- snapshots

    async def ensure_snapshot(self, spec: SnapshotSpec) -> SnapshotFacts:
        check_name(spec.name)
        check_name(spec.volume)
        async with self._locks.held(spec.volume):
            record = await in_thread(self._records.snapshots.find, spec.name)
            if record is None:
                await in_thread(self._records.volume, spec.volume)
                if not self.capabilities.snapshot_in_use:
                    await self._refuse_exported(spec.volume)
                await self._admit()
                record = await self._moments.keep(spec)
            return _snapshot_facts(spec.name, record)

    async def ensure_group_snapshot(self, specs: Sequence[SnapshotSpec]) -> Sequence[SnapshotFacts]:
        for spec in specs:
            check_name(spec.name)
            check_name(spec.volume)
        async with self._locks.held(*(spec.volume for spec in specs)):
            found = [await in_thread(self._records.snapshots.find, spec.name) for spec in specs]
            records = [one for one in found if one is not None]
            if len(records) < len(specs):
                await self._admit()
                records = await self._moments.keep_together(specs)
            return [_snapshot_facts(spec.name, one) for spec, one in zip(specs, records, strict=True)]

    async def remove_snapshot(self, spec: SnapshotSpec) -> None:
        check_name(spec.name)
        check_name(spec.volume)
        async with self._locks.held(spec.volume):
            record = await in_thread(self._records.snapshots.find, spec.name)
            if record is not None:
                await self._moments.drop(spec.name, record)

    async def revert(self, spec: SnapshotSpec) -> VolumeFacts:
        check_name(spec.name)
        check_name(spec.volume)
        async with self._locks.held(spec.volume):
            await self._refuse_exported(spec.volume)
            await self._admit()
            return await in_thread(self._facts, spec.volume, await self._moments.revert(spec))

    # -- copies

    async def copy_out(self, source: FromVolume | FromSnapshot, path: str, format: str) -> None:
        if format not in inspected.FORMATS:
            raise Rejected(f"volumes can't be copied to files of format {format[:20]!r}")
        volume = source.name if isinstance(source, FromVolume) else source.volume
        check_name(source.name)
        check_name(volume)
        if isinstance(source, FromVolume) and not self.capabilities.snapshot_in_use:
            await self._refuse_exported(volume)
        async with self._moments.still(source) as layer:
            await foreign.hand_out(self._layers.path(layer), pathlib.Path(path), format)

    async def copy_in(self, name: str, path: str, format: str) -> None:
        check_name(name)
        async with self._locks.held(name):
            record = await in_thread(self._records.volume, name)
            await self._refuse_exported(name)
            if await in_thread(inspected.disk_size, pathlib.Path(path), format) > record.total:
                raise Rejected("the file is larger than the volume", name=name)
            await self._admit()
            layer = await self._making.from_file(pathlib.Path(path), format, record.total)
            await in_thread(self._records.volumes.put, name, msgspec.structs.replace(record, layer=layer))
            await in_thread(self._merging.collect, record.layer)

    async def rename(self, name: str, new_name: str) -> VolumeFacts:
        check_name(name)
        check_name(new_name)
        async with self._locks.held(name, new_name):
            await self._refuse_exported(name)
            record = await self._adopting.rename(name, new_name)
            return await in_thread(self._facts, new_name, record)

    # -- inside

    async def _admit(self) -> None:
        """Return when there is space for something new. Raises NoSpace."""
        with told():
            free = (await self.stats()).free_bytes
        if free < self.options.reserve_mib << 20:
            raise NoSpace(f"only {free >> 20} MiB are free: nothing new is made in the last {self.options.reserve_mib}")

    async def _refuse_exported(self, name: str) -> None:
        if await in_thread(self._records.exports_of, name):
            raise Rejected("the volume is exported", name=name)

    def _facts(self, name: str, record: VolumeRecord) -> VolumeFacts:
        return VolumeFacts(name=name, size_gib=gib(record.size), allocated_bytes=self._layers.allocated(record.layer))


class SharedFolderDriver(FileVolumeDriver):
    """The same on a folder that every host has at the same path (NFS or alike): guests open the files themselves."""

    @classmethod
    def configured(cls, config: Config, clock: Clock, name: str = "nfs") -> Self:
        """Back end `name` as the configuration wants it, shared whatever its options say."""
        driver = super().configured(config, clock, name)
        return cls(driver._folder, clock, msgspec.structs.replace(driver.options, shared=True))


def _snapshot_facts(name: str, record: SnapshotRecord) -> SnapshotFacts:
    return SnapshotFacts(name=name, volume=record.volume, size_gib=gib(record.size))
