"""Where a simulated process touches its host's back ends of volumes, and the store of its backups.

Volumes and backups are kept in memory. What goes from one to the other goes through files, as it does everywhere;
they lie in a folder of the ground and live for a moment.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from micronova.errors import DriverError
from micronova.sim.gates import Copies, DriverGate, Weather
from micronova.sim.life import Life
from micronova.volume.driver import (
    GIB,
    Capabilities,
    Connection,
    ExportSpec,
    FromFile,
    FromSnapshot,
    FromVolume,
    Inventory,
    SnapshotFacts,
    SnapshotSpec,
    Source,
    Stats,
    VolumeFacts,
    VolumeSpec,
)
from micronova.volume.drivers.fake import ALL, FakeVolumeDriver, reached
from micronova.volume.drivers.pretended import Blocks, write_file

BACKENDS: dict[str, tuple[int, Capabilities]] = {
    "quick": (9, ALL),
    "plain": (14, Capabilities(protocol="nbd", remote=True)),
}
"""By name: whole GiB, and what it can do."""


class GatedVolumes(DriverGate):
    """A back end of a machine. `copies` are its copies of images, `folder` is where they become files."""

    def __init__(self, driver: FakeVolumeDriver, copies: Copies, folder: Path, outside: tuple[Life, Weather]) -> None:
        super().__init__(*outside)
        self.capabilities = driver.capabilities
        self.place = driver.place
        self._driver = driver
        self._copies = copies
        self._folder = folder

    async def init_host(self) -> None:
        await self._do("init_host", self._driver.init_host)

    async def ensure(self, spec: VolumeSpec) -> VolumeFacts:
        async def make() -> VolumeFacts:
            return await self._driver.ensure(msgspec.structs.replace(spec, source=self._real(spec.source)))

        return await self._do("ensure_volume", make)

    async def remove(self, name: str) -> None:
        await self._do("remove_volume", lambda: self._driver.remove(name))

    async def extend(self, name: str, size_gib: int) -> VolumeFacts:
        return await self._do("extend", lambda: self._driver.extend(name, size_gib))

    async def ensure_export(self, spec: ExportSpec) -> Connection:
        return await self._do("ensure_export", lambda: self._driver.ensure_export(spec))

    async def remove_export(self, id: str) -> None:
        await self._do("remove_export", lambda: self._driver.remove_export(id))

    async def list(self) -> Inventory:
        return await self._do("list", self._driver.list)

    async def stats(self) -> Stats:
        return await self._do("stats", self._driver.stats)

    async def close(self) -> None:
        await self._do("close", self._driver.close)

    async def erase(self) -> None:
        await self._do("erase", self._driver.erase)

    async def ensure_snapshot(self, spec: SnapshotSpec) -> SnapshotFacts:
        return await self._do("ensure_snapshot", lambda: self._driver.ensure_snapshot(spec))

    async def remove_snapshot(self, spec: SnapshotSpec) -> None:
        await self._do("remove_snapshot", lambda: self._driver.remove_snapshot(spec))

    async def revert(self, spec: SnapshotSpec) -> VolumeFacts:
        return await self._do("revert", lambda: self._driver.revert(spec))

    async def ensure_group_snapshot(self, specs: Sequence[SnapshotSpec]) -> Sequence[SnapshotFacts]:
        return await self._do("ensure_snapshot", lambda: self._driver.ensure_group_snapshot(specs))

    async def copy_out(self, source: FromVolume | FromSnapshot, path: str, format: str) -> None:
        await self._do("copy_out", lambda: self._driver.copy_out(source, path, format))

    async def copy_in(self, name: str, path: str, format: str) -> None:
        await self._do("copy_in", lambda: self._driver.copy_in(name, path, format))

    async def rename(self, name: str, new_name: str) -> VolumeFacts:
        return await self._do("rename", lambda: self._driver.rename(name, new_name))

    def _real(self, source: Source | None) -> Source | None:
        """The source as a file that can be opened, where it is a copy of an image in memory."""
        if not isinstance(source, FromFile) or Path(source.path).parent != Path(self._copies.FOLDER):
            return source
        data = self._copies.committed.get(Path(source.path).name)
        if data is None:
            raise DriverError("the image's copy is gone")
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / "image"
        file.write_bytes(data)
        return FromFile(str(file), source.format)


class GatedReader(DriverGate):
    """What reads volumes of any host. `backends` tells of all there are."""

    def __init__(self, backends: Callable[[], Sequence[FakeVolumeDriver]], life: Life, weather: Weather) -> None:
        super().__init__(life, weather)
        self._backends = backends

    async def bring(self, connection: Connection, path: str) -> None:
        async def bring() -> None:
            volume = reached(self._backends(), connection)
            write_file(path, "raw", volume.blocks, volume.size_gib * GIB)

        await self._do("bring", bring)

    async def check_same(self, one: Connection, other: Connection) -> None:
        async def check() -> None:
            if plain(reached(self._backends(), one).blocks) != plain(reached(self._backends(), other).blocks):
                raise DriverError("the copy of the volume is not what the volume is")

        await self._do("check_same", check)


def plain(blocks: Blocks) -> tuple[tuple[int, bytes], ...]:
    """What is not zero, by number of block."""
    found = ((number, data.rstrip(b"\0")) for number, data in blocks.data.items())
    return tuple(sorted((number, data) for number, data in found if data))


class Backups:
    """A store of backups in memory."""

    name = "cinder.backup.drivers.micronova.MemoryBackups"
    shared = False

    def __init__(self) -> None:
        self.pieces: dict[str, dict[str, bytes]] = {}

    async def put(self, backup: str, piece: str, data: bytes) -> None:
        self.pieces.setdefault(backup, {})[piece] = data

    async def get(self, backup: str, piece: str) -> bytes:
        try:
            return self.pieces[backup][piece]
        except KeyError as err:
            raise DriverError("there is no such piece") from err

    async def remove(self, backup: str) -> None:
        self.pieces.pop(backup, None)

    async def backups(self) -> list[str]:
        return sorted(self.pieces)


class GatedBackups(DriverGate):
    """The store of backups of a machine."""

    name = Backups.name
    shared = Backups.shared

    def __init__(self, store: Backups, life: Life, weather: Weather) -> None:
        super().__init__(life, weather)
        self._store = store

    async def put(self, backup: str, piece: str, data: bytes) -> None:
        await self._do("put", lambda: self._store.put(backup, piece, data))

    async def get(self, backup: str, piece: str) -> bytes:
        return await self._do("get", lambda: self._store.get(backup, piece))

    async def remove(self, backup: str) -> None:
        await self._do("remove_backup", lambda: self._store.remove(backup))

    async def backups(self) -> list[str]:
        return await self._do("backups", self._store.backups)
