"""Volumes as thin logical volumes in a pool of this host, served by iSCSI to this host's guests and to others'.

Which logical volume is what is told in holdings.py, how volumes are served in daemon.py. Nothing that matters is in
this object: a restart finds all of it in LVM's metadata, and the exports in the back end's folder.
"""

import asyncio
import contextlib
import logging
import pathlib
import shutil
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
from micronova.volume.drivers.account import choose
from micronova.volume.drivers.locks import Locks
from micronova.volume.drivers.lvm import host
from micronova.volume.drivers.lvm.adopting import Adopting
from micronova.volume.drivers.lvm.daemon import ExportRecord
from micronova.volume.drivers.lvm.data import Copying
from micronova.volume.drivers.lvm.devices import PoolDevices
from micronova.volume.drivers.lvm.exports import Exports
from micronova.volume.drivers.lvm.group import Lv, VolumeGroup
from micronova.volume.drivers.lvm.holdings import Holdings
from micronova.volume.drivers.lvm.making import Making
from micronova.volume.drivers.lvm.options import LvmOptions, capabilities
from micronova.volume.drivers.shelf import Shelf
from micronova.volume.drivers.steps import in_thread
from micronova.volume.drivers.watch import Watch

LOG = logging.getLogger(__name__)


class LvmVolumeDriver:
    """A VolumeDriver with volumes in a thin pool; `folder` has what is written down of exports."""

    def __init__(
        self,
        folder: pathlib.Path,
        clock: Clock,
        options: LvmOptions | None = None,
        group: VolumeGroup | None = None,
    ) -> None:
        """Nothing is touched before `init_host`. Raises ConfigError."""
        self.options = options or LvmOptions()
        self.capabilities = capabilities(self.options)
        self.place = f"thin pool {self.options.volume_group}/{self.options.thin_pool}"
        self._folder = folder
        self._place = place = host.place(folder, self.options)
        self._locks = Locks()
        self._group = group or VolumeGroup(self.options.volume_group, self.options.thin_pool)
        self._shelf = Shelf(folder / "exports", ExportRecord)
        self._watch = Watch(place.sockets, self._serve)
        self._devices = PoolDevices(self._group)
        self._exports = Exports(self._shelf, place, self.options, self._devices, self._watch, clock)
        self._copying = Copying(place.sockets, self._group.path(""), choose(self.options.user))
        self._making = Making(self._group, self._copying, clock)
        self._adopting = Adopting(self._group)

    @classmethod
    def configured(cls, config: Config, clock: Clock, name: str = "lvm") -> Self:
        """Back end `name` as the configuration wants it: `[volume.backends.NAME]` and `[plugin.NAME]`."""
        backend = config.options.volume.backends.get(name)
        given = backend.folder if backend is not None else ""
        folder = pathlib.Path(given).absolute() if given else config.state / "volumes" / name
        return cls(folder, clock, config.section(name, LvmOptions))

    # -- this host

    async def init_host(self) -> None:
        host.check()
        await in_thread(host.prepare, self._folder, self._place)
        await in_thread(self._shelf.prepare)
        for draft in await in_thread(self._shelf.drafts):
            draft.unlink(missing_ok=True)
        there = await self._devices.look()
        host.check_pool(there, self.options)
        if there.pool is not None and not there.pool.active:
            await self._group.activate(there.pool.name)
        await self._clean(there)
        await self._watch.close()
        self._watch.open()
        wanted = await self._exports.recover()
        await asyncio.gather(*(self._served(volume) for volume in sorted(wanted)))

    async def _clean(self, there: Holdings) -> None:
        """What a crash left half made is gone, and what it left suspended works."""
        for lv in [*there.volumes.values(), *(one.lv for one in there.snapshots.values())]:
            if lv.suspended:
                LOG.warning("logical volume %s was left suspended", lv.name)
                await self._group.refresh(lv.name)
        await self._copying.end(unless=self._making.busy)
        for leftover in there.leftovers:
            try:
                await self._making.remove([leftover])
            except DriverError as err:
                LOG.warning("leftover %s can't be removed yet: %s", leftover, err)

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
        there, exports = await self._devices.look(), await self._exports.all()
        return Inventory(
            volumes=tuple(_facts(name, lv) for name, lv in sorted(there.volumes.items())),
            snapshots=tuple(
                SnapshotFacts(name=name, volume=one.volume, size_gib=gib(one.lv.size))
                for name, one in sorted(there.snapshots.items())
            ),
            exports=tuple(ExportFacts(id=id, volume=one.spec.volume) for id, one in exports.items()),
        )

    async def stats(self) -> Stats:
        there = await self._devices.look()
        host.check_pool(there, self.options)
        assert there.pool is not None
        pool, full = there.pool, self._lacks_metadata(there.pool)
        return Stats(
            total_bytes=pool.size,
            # Without metadata no block can be handed out, however many there are.
            free_bytes=0 if full else pool.size - pool.taken_bytes,
            allocated_bytes=pool.taken_bytes,
        )

    async def close(self) -> None:
        """Nobody watches the daemons; they go on."""
        await self._watch.close()

    async def erase(self) -> None:
        if not await in_thread(self._folder.is_dir):
            return
        await self._watch.close()
        await self._exports.erase()
        await self._group.remove(*(await self._devices.look()).all_ours())
        await in_thread(self._erase)

    def _erase(self) -> None:
        for path in (self._place.sockets, self._folder):
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(path)

    # -- volumes

    async def ensure(self, spec: VolumeSpec) -> VolumeFacts:
        check_spec(spec, self.capabilities)
        async with self._locks.held_with_source(spec):
            there = await self._devices.look()
            if spec.name in there.volumes:
                return _facts(spec.name, there.volumes[spec.name])
            self._admit(there)
            await self._making.volume(spec, there)
            return VolumeFacts(name=spec.name, size_gib=spec.size_gib)

    async def remove(self, name: str) -> None:
        check_name(name)
        async with self._locks.held(name):
            there = await self._devices.look()
            if there.snapshots_of(name):
                raise Rejected("the volume has snapshots", name=name)
            await self._refuse_exported(name)
            found = there.volumes.get(name)
            await self._making.remove([*there.leftovers_of(name), *([found.name] if found is not None else [])])

    async def extend(self, name: str, size_gib: int) -> VolumeFacts:
        check_name(name)
        async with self._locks.held(name):
            there = await self._devices.look()
            lv, size = there.volume(name), size_gib * GIB
            if lv.size < size:
                self._admit(there)
                await self._group.extend(lv.name, size)
            await self._exports.serve(name)
            return VolumeFacts(name=name, size_gib=max(gib(lv.size), size_gib), allocated_bytes=lv.taken_bytes)

    # -- exports

    async def ensure_export(self, spec: ExportSpec) -> Connection:
        check_name(spec.id)
        check_name(spec.volume)
        if not spec.local and not self.capabilities.remote:
            raise Rejected("other hosts can't reach this back end: it serves at a loopback address", name=spec.volume)
        async with self._locks.held(spec.volume):
            record = await self._exports.find(spec.id)
            if record is not None and record.spec.volume != spec.volume:
                raise Rejected("this export is another volume's", name=spec.volume)
            fresh = record is None
            if record is None:
                (await self._devices.look()).volume(spec.volume)
                record = await self._exports.reserve(spec)
            try:
                return (await self._exports.serve(spec.volume))[spec.id]
            except BaseException:
                if fresh:
                    await self._exports.remove(record)
                raise

    async def remove_export(self, id: str) -> None:
        check_name(id)
        record = await self._exports.find(id)
        if record is not None:
            async with self._locks.held(record.spec.volume):
                await self._exports.remove(record)

    # -- snapshots

    async def ensure_snapshot(self, spec: SnapshotSpec) -> SnapshotFacts:
        check_name(spec.name)
        check_name(spec.volume)
        async with self._locks.held(spec.volume):
            there = await self._devices.look()
            if spec.name in there.snapshots:
                lv = there.snapshot(spec.name, spec.volume)
            else:
                there.volume(spec.volume)
                self._admit(there)
                lv = await self._making.snapshot(spec, there)
            return SnapshotFacts(name=spec.name, volume=spec.volume, size_gib=gib(lv.size))

    async def remove_snapshot(self, spec: SnapshotSpec) -> None:
        check_name(spec.name)
        check_name(spec.volume)
        async with self._locks.held(spec.volume):
            there = await self._devices.look()
            if spec.name in there.snapshots:
                await self._group.remove(there.snapshot(spec.name, spec.volume).name)

    async def revert(self, spec: SnapshotSpec) -> VolumeFacts:
        check_name(spec.name)
        check_name(spec.volume)
        async with self._locks.held(spec.volume):
            there = await self._devices.look()
            volume, snapshot = there.volume(spec.volume), there.snapshot(spec.name, spec.volume)
            if spec.name != there.snapshots_of(spec.volume)[-1]:
                raise Rejected("the volume has later snapshots", name=spec.volume)
            await self._refuse_exported(spec.volume)
            self._admit(there)
            await self._making.remove(there.leftovers_of(spec.volume))
            await self._making.back(volume, spec.volume, snapshot)
            return VolumeFacts(name=spec.volume, size_gib=gib(snapshot.size))

    # -- copies

    async def copy_out(self, source: FromVolume | FromSnapshot, path: str, format: str) -> None:
        if format not in inspected.FORMATS:
            raise Rejected(f"volumes can't be copied to files of format {format[:20]!r}")
        volume = source.name if isinstance(source, FromVolume) else source.volume
        check_name(source.name)
        check_name(volume)
        async with contextlib.AsyncExitStack() as stack:
            async with self._locks.held(volume):
                origin = self._making.origin(source, await self._devices.look())
                device = await stack.enter_async_context(self._making.held(origin))
            await self._copying.hand_out(device, path, format)

    async def copy_in(self, name: str, path: str, format: str) -> None:
        check_name(name)
        async with self._locks.held(name):
            there = await self._devices.look()
            volume = there.volume(name)
            await self._refuse_exported(name)
            if await in_thread(inspected.disk_size, pathlib.Path(path), format) > volume.size:
                raise Rejected("the file is larger than the volume", name=name)
            self._admit(there)
            await self._making.refill(volume, name, path, format, there)

    async def rename(self, name: str, new_name: str) -> VolumeFacts:
        check_name(name)
        check_name(new_name)
        async with self._locks.held(name, new_name):
            await self._refuse_exported(name)
            return _facts(new_name, await self._adopting.rename(name, new_name, await self._devices.look()))

    # -- inside

    def _admit(self, there: Holdings) -> None:
        """Return when there is space for something new. Raises NoSpace, DriverError."""
        host.check_pool(there, self.options)
        assert there.pool is not None
        free = there.pool.size - there.pool.taken_bytes
        if free < self.options.reserve_mib << 20:
            raise NoSpace(f"only {free >> 20} MiB are free: nothing new is made in the last {self.options.reserve_mib}")
        if self._lacks_metadata(there.pool):
            raise NoSpace(f"{there.pool.metadata_percent:g} % of the thin pool's metadata are in use")

    def _lacks_metadata(self, pool: Lv) -> bool:
        return (pool.metadata_percent or 0) > self.options.metadata_percent

    async def _refuse_exported(self, name: str) -> None:
        if await self._exports.of(name):
            raise Rejected("the volume is exported", name=name)


def _facts(name: str, lv: Lv) -> VolumeFacts:
    return VolumeFacts(name=name, size_gib=gib(lv.size), allocated_bytes=lv.taken_bytes)
