"""A back end that pretends: volumes are entries in memory that keep what is written to them, block by block.

Keeps the contract of VolumeDriver without a host. Delays, refusals, a full pool and any capability's lack are set from
outside. Volumes live as long as the object; given a file, their names and sizes (not their data) outlive the process.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec

from micronova.clock import Clock
from micronova.config import Config
from micronova.errors import DriverError, NoSpace, Rejected
from micronova.volume.driver import (
    GIB,
    Capabilities,
    Connection,
    ExportFacts,
    ExportSpec,
    FileConnection,
    FromFile,
    FromSnapshot,
    FromVolume,
    Inventory,
    NbdConnection,
    SnapshotFacts,
    SnapshotSpec,
    Source,
    Stats,
    VolumeFacts,
    VolumeSpec,
    check_name,
    check_spec,
)
from micronova.volume.drivers.pretended import Blocks, Pool, Snapshot, Volume, read_file, write_file

ALL = Capabilities(
    protocol="nbd",
    thin=True,
    fast_clone=True,
    snapshot_in_use=True,
    clone_in_use=True,
    extend_in_use=True,
    revert=True,
    multiattach=True,
    encryption=True,
    remote=True,
    adopt=True,
    group_snapshot=True,
)


class FakeVolumeDriver:
    """A VolumeDriver in memory. Capacity, capabilities, delays and faults are its owner's to choose."""

    def __init__(
        self,
        *,
        name: str = "fake",
        capacity_gib: int = 1024,
        capabilities: Capabilities = ALL,
        memory: Path | None = None,
    ) -> None:
        self.capabilities = capabilities
        self.name = name
        self.place = f"memory of {name}"
        self.capacity_gib = capacity_gib
        self.full = False
        """Whether whatever needs space is told that there is none."""
        self._pool = Pool(memory)
        self._delays: dict[str, float] = {}
        self._refusals: list[tuple[str, DriverError]] = []

    @classmethod
    def configured(cls, config: Config, clock: Clock, name: str = "fake") -> Self:
        """Back end `name` as the configuration wants it."""
        return cls(name=name, memory=config.state / f"fake-volumes-{name}.json")

    def slow(self, seconds: float, *, operation: str = "") -> None:
        """From now on `operation` (a method's name; "": every one) takes `seconds`."""
        self._delays[operation] = seconds

    def refuse(self, operation: str, error: DriverError, *, times: int = 1) -> None:
        """The next `times` calls of `operation` raise `error` and change nothing."""
        self._refusals += [(operation, error)] * times

    def lose(self, name: str) -> None:
        """Volume `name` is gone without anybody having asked for it."""
        self._pool.volumes.pop(name, None)
        self._pool.keep()

    @property
    def pool(self) -> Pool:
        """What there is, as it is: for who looks at it from outside."""
        return self._pool

    def write(self, name: str, data: dict[int, bytes]) -> None:
        """The volume holds the data in these blocks, beside what it holds: what its user does. Raises DriverError."""
        volume = self._pool.volume(name)
        self._pool.put(msgspec.structs.replace(volume, blocks=Blocks({**volume.blocks.data, **data})))

    def behind(self, connection: Connection) -> str:
        """The volume that is reached so, "" for none: for who pretends to be its user."""
        exports = self._pool.exports.values()
        return next((spec.volume for spec in exports if self._connection(spec) == connection), "")

    def power_cut(self) -> None:
        """Every export is gone, as after the host lost its power. What was written stays."""
        self._pool.exports.clear()
        self._pool.keep()

    # -- volumes

    async def init_host(self) -> None:
        await self._pretend("init_host")
        for name in [name for name, volume in self._pool.volumes.items() if not volume.complete]:
            del self._pool.volumes[name]
        self._pool.keep()

    async def ensure(self, spec: VolumeSpec) -> VolumeFacts:
        check_spec(spec, self.capabilities)
        found = self._pool.volumes.get(spec.name)
        if found is None or not found.complete:
            blocks, size_bytes = self._data(spec.source)
            if size_bytes > spec.size_gib * GIB:
                raise Rejected(f"the source is larger than {spec.size_gib} GiB", name=spec.name)
            self._pool.volumes[spec.name] = Volume(spec.name, spec.size_gib, Blocks(), complete=False)
            await self._pretend("ensure", undo=spec.name)
            self._admit(undo=spec.name)
            self._pool.volumes[spec.name] = Volume(spec.name, spec.size_gib, blocks)
            self._pool.keep()
        return self._facts(spec.name)

    async def remove(self, name: str) -> None:
        await self._pretend("remove")
        if any(snapshot.volume == name for snapshot in self._pool.snapshots.values()):
            raise Rejected("the volume has snapshots", name=name)
        if self._pool.exports_of(name):
            raise Rejected("the volume is exported", name=name)
        self._pool.volumes.pop(name, None)
        self._pool.keep()

    async def extend(self, name: str, size_gib: int) -> VolumeFacts:
        await self._pretend("extend")
        volume = self._pool.volume(name)
        if size_gib > volume.size_gib:
            if not self.capabilities.extend_in_use:
                self._refuse_exported(name)
            self._admit()
            self._pool.put(Volume(name, size_gib, volume.blocks))
        return self._facts(name)

    async def ensure_export(self, spec: ExportSpec) -> Connection:
        await self._pretend("ensure_export")
        check_name(spec.id)
        self._pool.volume(spec.volume)
        if not spec.local and not self.capabilities.remote:
            raise Rejected("other hosts can't reach this back end", name=spec.volume)
        others = [other for other in self._pool.exports_of(spec.volume) if other.id != spec.id]
        writers = [other for other in others if not other.read_only]
        if writers and not spec.read_only and not self.capabilities.multiattach:
            raise Rejected("the volume is in use", name=spec.volume)
        self._pool.exports[spec.id] = spec
        self._pool.keep()
        return self._connection(spec)

    async def remove_export(self, id: str) -> None:
        await self._pretend("remove_export")
        self._pool.exports.pop(id, None)
        self._pool.keep()

    async def list(self) -> Inventory:
        await self._pretend("list")
        pool = self._pool
        return Inventory(
            volumes=tuple(self._facts(name) for name in sorted(pool.volumes)),
            snapshots=tuple(
                SnapshotFacts(name=one.name, volume=one.volume, size_gib=one.size_gib)
                for one in sorted(pool.snapshots.values(), key=lambda one: one.name)
            ),
            exports=tuple(ExportFacts(id=id, volume=pool.exports[id].volume) for id in sorted(pool.exports)),
        )

    async def stats(self) -> Stats:
        await self._pretend("stats")
        used = sum(volume.blocks.size for volume in self._pool.volumes.values())
        total = self.capacity_gib * GIB
        free = 0 if self.full else max(0, total - used)
        return Stats(total_bytes=total, free_bytes=free, allocated_bytes=used)

    async def close(self) -> None:
        """Volumes stay, for the next service that uses this object."""

    async def erase(self) -> None:
        await self._pretend("erase")
        self._pool.forget()

    # -- snapshots

    async def ensure_snapshot(self, spec: SnapshotSpec) -> SnapshotFacts:
        await self._pretend("ensure_snapshot")
        check_name(spec.name)
        volume = self._pool.volume(spec.volume)
        if spec.name not in self._pool.snapshots:
            if not self.capabilities.snapshot_in_use:
                self._refuse_exported(spec.volume)
            self._admit()
            self._pool.snapshots[spec.name] = Snapshot(spec.name, spec.volume, volume.size_gib, volume.blocks)
            self._pool.keep()
        found = self._pool.snapshots[spec.name]
        return SnapshotFacts(name=found.name, volume=found.volume, size_gib=found.size_gib)

    async def ensure_group_snapshot(self, specs: Sequence[SnapshotSpec]) -> Sequence[SnapshotFacts]:
        await self._pretend("ensure_group_snapshot")
        for spec in specs:
            check_name(spec.name)
            self._pool.volume(spec.volume)
        if any(spec.name not in self._pool.snapshots for spec in specs):
            self._admit()
            for spec in specs:
                volume = self._pool.volume(spec.volume)
                self._pool.snapshots[spec.name] = Snapshot(spec.name, spec.volume, volume.size_gib, volume.blocks)
            self._pool.keep()
        made = [self._pool.snapshots[spec.name] for spec in specs]
        return [SnapshotFacts(name=one.name, volume=one.volume, size_gib=one.size_gib) for one in made]

    async def remove_snapshot(self, spec: SnapshotSpec) -> None:
        await self._pretend("remove_snapshot")
        self._pool.snapshots.pop(spec.name, None)
        self._pool.keep()

    async def revert(self, spec: SnapshotSpec) -> VolumeFacts:
        await self._pretend("revert")
        if not self.capabilities.revert:
            raise Rejected("this back end can't revert a volume in place", name=spec.volume)
        snapshot = self._pool.snapshot(spec.name)
        self._refuse_exported(spec.volume)
        if [one.name for one in self._pool.snapshots.values() if one.volume == spec.volume][-1] != spec.name:
            raise Rejected("the volume has later snapshots", name=spec.volume)
        self._pool.put(Volume(spec.volume, snapshot.size_gib, snapshot.blocks))
        return self._facts(spec.volume)

    # -- copies

    async def copy_out(self, source: FromVolume | FromSnapshot, path: str, format: str) -> None:
        await self._pretend("copy_out")
        if isinstance(source, FromVolume) and not self.capabilities.snapshot_in_use:
            self._refuse_exported(source.name)
        blocks, size_bytes = self._data(source)
        write_file(path, format, blocks, size_bytes)

    async def copy_in(self, name: str, path: str, format: str) -> None:
        await self._pretend("copy_in")
        volume = self._pool.volume(name)
        self._refuse_exported(name)
        blocks, size_bytes = read_file(path, format)
        if size_bytes > volume.size_gib * GIB:
            raise Rejected("the file is larger than the volume", name=name)
        self._admit()
        self._pool.put(Volume(name, volume.size_gib, blocks))

    async def rename(self, name: str, new_name: str) -> VolumeFacts:
        await self._pretend("rename")
        check_name(new_name)
        if not self.capabilities.adopt:
            raise Rejected("this back end takes over no volumes", name=name)
        if name not in self._pool.volumes and new_name in self._pool.volumes:
            return self._facts(new_name)
        volume = self._pool.volume(name)
        if new_name in self._pool.volumes:
            raise DriverError("both volumes exist", name=name)
        self._refuse_exported(name)
        del self._pool.volumes[name]
        self._pool.put(Volume(new_name, volume.size_gib, volume.blocks))
        return self._facts(new_name)

    # -- inside

    async def _pretend(self, operation: str, undo: str = "") -> None:
        """Take the time it takes, and refuse when told to, after taking back volume `undo`."""
        await asyncio.sleep(self._delays.get(operation, self._delays.get("", 0)))
        for refusal in self._refusals:
            if refusal[0] == operation:
                self._refusals.remove(refusal)
                self._pool.volumes.pop(undo, None)
                raise type(refusal[1])(refusal[1].message)

    def _admit(self, undo: str = "") -> None:
        if self.full:
            self._pool.volumes.pop(undo, None)
            raise NoSpace(f"the pool {self.name} is full")

    def _refuse_exported(self, name: str) -> None:
        if self._pool.exports_of(name):
            raise Rejected("the volume is exported", name=name)

    def _facts(self, name: str) -> VolumeFacts:
        volume = self._pool.volumes.get(name)
        if volume is None:
            raise DriverError(f"there is no volume {name}", name=name)
        return VolumeFacts(name=name, size_gib=volume.size_gib, allocated_bytes=volume.blocks.size)

    def _data(self, source: Source | None) -> tuple[Blocks, int]:
        """A source's data and its size in bytes."""
        match source:
            case None:
                return Blocks(), 0
            case FromVolume():
                volume = self._pool.volume(source.name)
                return volume.blocks, volume.size_gib * GIB
            case FromSnapshot():
                snapshot = self._pool.snapshot(source.name)
                return snapshot.blocks, snapshot.size_gib * GIB
            case FromFile():
                return read_file(source.path, source.format)

    def _connection(self, spec: ExportSpec) -> Connection:
        if self.capabilities.protocol == "file":
            return FileConnection(path=f"/fake/{spec.volume}", read_only=spec.read_only)
        place = {"path": f"/fake/{self.name}/{spec.id}"} if spec.local else {"host": spec.ip or "192.0.2.1"}
        port = 0 if spec.local else 10809 + sum(self.name.encode())  # each back end listens on one of its own
        connection = NbdConnection(export=spec.id, port=port, read_only=spec.read_only)
        return msgspec.structs.replace(connection, **place)


def copy_blocks(drivers: Sequence[FakeVolumeDriver], old: Connection, new: Connection) -> None:
    """What is reached by `new` holds what is reached by `old`, on whichever of these back ends: as a mirror makes it.

    Raises DriverError when one of them leads nowhere.
    """
    source, (pool, name) = reached(drivers, old), _place(drivers, new)
    pool.put(msgspec.structs.replace(pool.volume(name), blocks=source.blocks))


def reached(drivers: Sequence[FakeVolumeDriver], connection: Connection) -> Volume:
    """The volume that is reached so, on whichever of these back ends. Raises DriverError when it leads nowhere."""
    pool, name = _place(drivers, connection)
    return pool.volume(name)


def _place(drivers: Sequence[FakeVolumeDriver], connection: Connection) -> tuple[Pool, str]:
    for driver in drivers:
        if name := driver.behind(connection):
            return driver.pool, name
    raise DriverError("nobody exports that volume any more")
