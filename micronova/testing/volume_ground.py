"""What the conformance kit of VolumeDriver stands on: its volumes by number, and how they are written and read."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from micronova.volume.driver import ExportSpec, FromSnapshot, FromVolume, SnapshotSpec, Source, VolumeDriver, VolumeSpec

MIB = 2**20
WRITTEN = (b"first" * 1000, b"second" * 1000, b"third" * 1000)


def volume_spec(number: int, *, size_gib: int = 1, source: Source | None = None) -> VolumeSpec:
    """Volume `number`."""
    return VolumeSpec(name=f"20000000-0000-4000-8000-{number:012d}", size_gib=size_gib, source=source)


def snapshot_spec(number: int, volume: int) -> SnapshotSpec:
    """Snapshot `number` of volume `volume`."""
    return SnapshotSpec(f"30000000-0000-4000-8000-{number:012d}", volume_spec(volume).name)


def export_spec(number: int, volume: int, *, read_only: bool = False) -> ExportSpec:
    """Export `number` of volume `volume`, for this host."""
    return ExportSpec(id=f"40000000-0000-4000-8000-{number:012d}", volume=volume_spec(volume).name, read_only=read_only)


class VolumeGround:
    """How the kit writes and reads volumes, restarts the driver and fills its pool; a driver's test may replace it."""

    turns = 6
    """How many moments the kit gives calls up at; each costs what it takes to make and remove a volume."""

    @pytest.fixture(autouse=True)
    def _keep_folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path
        self.files = 0

    # -- what a driver's test may replace

    async def restarted(self, driver: VolumeDriver) -> VolumeDriver:
        """The driver as a new process finds it. The same object here."""
        await driver.close()
        await driver.init_host()
        return driver

    async def fill(self, driver: VolumeDriver) -> None:
        """Nothing that needs space works any more."""
        pytest.skip("this driver's pool can't be filled here")

    async def write(self, driver: VolumeDriver, name: str, offset: int, data: bytes) -> None:
        """Write to a volume that nobody uses."""
        path = self.new_path()
        await driver.copy_out(FromVolume(name), path, "raw")
        patch(path, offset, data)
        await driver.copy_in(name, path, "raw")
        os.unlink(path)

    async def read(
        self, driver: VolumeDriver, source: FromVolume | FromSnapshot, ranges: Sequence[tuple[int, int]]
    ) -> list[bytes]:
        """What (offset, length) hold."""
        path = self.new_path()
        await driver.copy_out(source, path, "raw")
        return taken(path, ranges)

    def new_path(self) -> str:
        """A file that is not there yet."""
        self.files += 1
        return str(self.folder / f"copy-{self.files}")

    # -- the same in short

    async def mark(self, driver: VolumeDriver, volume: int, data: bytes) -> None:
        await self.write(driver, volume_spec(volume).name, MIB, data)

    async def marked(self, driver: VolumeDriver, volume: int, length: int) -> bytes:
        return (await self.read(driver, FromVolume(volume_spec(volume).name), ((MIB, length),)))[0]


def patch(path: str, offset: int, data: bytes) -> None:
    """The file holds the data at the offset."""
    with open(path, "r+b") as file:
        os.pwrite(file.fileno(), data, offset)


def taken(path: str, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
    """What (offset, length) of the file hold; the file is gone."""
    with open(path, "rb") as file:
        found = [os.pread(file.fileno(), length, offset) for offset, length in ranges]
    os.unlink(path)
    return found


async def given_up_after(turns: int, call: asyncio.Future[object]) -> None:
    """Let `call` run for some turns of the event loop, then cancel it and wait for its end."""
    for _ in range(turns):
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])
    if not call.cancelled():
        call.exception()
