"""What volumes in files cost beside the bare tools: `python -m bench.volume`. Needs QEMU's tools, not root.

Creation and copies are the driver's whole way, safe from a power cut when they return; the bare tool leaves that to
chance. A copy's time is measured of a volume of 1 GiB that holds little and of one of 10 GiB that holds much more: the
quotient shows whether it grows with the data. Writes go through an export of the driver's, and through one of a storage
daemon that was started by hand on the same kind of file.
"""

import asyncio
import shutil
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.cloud import Result
from micronova import command
from micronova.clock import Clock, SystemClock
from micronova.volume.driver import ExportSpec, FromVolume, NbdConnection, VolumeSpec
from micronova.volume.drivers.file.driver import FileVolumeDriver

NEEDED = ("qemu-img", "qemu-io", "qemu-storage-daemon", "setpriv", "setsid")
CALLERS = 8


def missing() -> str:
    """Why no volume can be measured here, or ""."""
    lacking = [name for name in NEEDED if shutil.which(name) is None]
    return f"needs {', '.join(lacking)}" if lacking else ""


class Timed:
    """Takes the time of calls."""

    def __init__(self, clock: Clock, turns: int) -> None:
        self._clock = clock
        self._turns = turns

    async def median(self, call: Callable[[int], Awaitable[object]]) -> float:
        """Milliseconds of the middle one of `call(0)`, `call(1)` …"""
        return (await self.medians(call))[0]

    async def medians(self, *calls: Callable[[int], Awaitable[object]]) -> list[float]:
        """Milliseconds of the middle one of each, one of each by turns."""
        took: list[list[float]] = [[] for _ in calls]
        for turn in range(self._turns):
            for call, times in zip(calls, took, strict=True):
                begun = self._clock.monotonic()
                await call(turn)
                times.append((self._clock.monotonic() - begun) * 1e3)
        return [statistics.median(times) for times in took]


async def _creation(driver: FileVolumeDriver, folder: Path, timed: Timed) -> list[Result]:
    async def bare(turn: int) -> None:
        await command.run(["qemu-img", "create", "-q", "-f", "qcow2", str(folder / f"{turn}.qcow2"), "1G"])

    async def ours(turn: int) -> None:
        await driver.ensure(VolumeSpec(name=f"new-{turn}", size_gib=1))

    return [
        ("volume: create 1 GiB thin", await timed.median(ours), "ms"),
        ("qemu-img create 1 GiB", await timed.median(bare), "ms"),
    ]


async def _many(driver: FileVolumeDriver, clock: Clock, count: int) -> list[Result]:
    async def caller(number: int) -> None:
        for turn in range(number, count, CALLERS):
            await driver.ensure(VolumeSpec(name=f"many-{turn}", size_gib=1))

    begun = clock.monotonic()
    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    return [("volumes created, 8 at once", count / (clock.monotonic() - begun), "/s")]


async def _copies(driver: FileVolumeDriver, folder: Path, timed: Timed, data_mib: int) -> list[Result]:
    async def bare(turn: int) -> None:
        base = ["-F", "raw", "-b", str(folder / "base.raw")]
        await command.run(["qemu-img", "create", "-q", "-f", "qcow2", *base, str(folder / f"copy-{turn}.qcow2")])

    found = []
    for size, mib in ((1, 1), (10, data_mib)):
        name = f"origin-{size}"
        await driver.ensure(VolumeSpec(name=name, size_gib=size))
        connection = await driver.ensure_export(ExportSpec(id=f"fill-{size}", volume=name))
        await _io(connection, *(f"write -P 7 {offset}M 1M" for offset in range(mib)), "flush")
        await driver.remove_export(f"fill-{size}")

        async def ours(turn: int, name: str = name, size: int = size) -> None:
            await driver.ensure(VolumeSpec(name=f"{name}-{turn}", size_gib=size, source=FromVolume(name)))

        found.append((f"volume: copy of {size} GiB", await timed.median(ours), "ms"))
    await command.run(["qemu-img", "create", "-q", "-f", "raw", str(folder / "base.raw"), "10G"])
    return [*found, ("qemu-img create on a base", await timed.median(bare), "ms")]


async def _writing(driver: FileVolumeDriver, folder: Path, timed: Timed, mib: int) -> list[Result]:
    """MiB a second of writes one after another, by turns through our export and through a bare daemon's."""
    await driver.ensure(VolumeSpec(name="written", size_gib=10))
    ours = await driver.ensure_export(ExportSpec(id="written", volume="written"))
    disk, socket = folder / "bare.raw", folder / "bare.nbd"
    await command.run(["qemu-img", "create", "-q", "-f", "raw", str(disk), "10G"])
    daemon = await asyncio.create_subprocess_exec(
        "qemu-storage-daemon",
        *(
            "--blockdev",
            f"driver=file,node-name=file,filename={disk}",
            "--blockdev",
            "driver=raw,node-name=d,file=file",
        ),
        *("--nbd-server", f"addr.type=unix,addr.path={socket}"),
        *("--export", "type=nbd,id=e,node-name=d,name=written,writable=on"),
    )
    bare = NbdConnection(export="written", path=str(socket))

    async def write(connection: object) -> None:
        words = ["qemu-img", "bench", "-w", "-q", "-c", str(mib), "-s", "1M", "-d", "8", "--flush-interval", str(mib)]
        await command.run([*words, "--image-opts", _image(connection)], wait=600)

    try:
        await _io(bare, "read 0 1M")
        for one in (ours, bare):
            await write(one)
        speeds = [mib * 1e3 / took for took in await timed.medians(lambda _: write(ours), lambda _: write(bare))]
    finally:
        daemon.terminate()
        await daemon.wait()
        await driver.remove_export("written")
    return [("volume: sequential write", speeds[0], "MiB/s"), ("bare export: sequential write", speeds[1], "MiB/s")]


def _image(connection: object) -> str:
    assert isinstance(connection, NbdConnection)
    place = f"driver=nbd,server.type=unix,server.path={connection.path},export={connection.export}"
    return f"{place},open-timeout=30"


async def _io(connection: object, *orders: str) -> None:
    words = [word for order in orders for word in ("-c", order)]
    await command.run(["qemu-io", *words, "--image-opts", _image(connection)], wait=600)


async def _measure(folder: Path, *, quick: bool) -> list[Result]:
    clock = SystemClock()
    driver = FileVolumeDriver(folder / "pool", clock)
    await driver.init_host()
    timed = Timed(clock, 3 if quick else 15)
    try:
        return [
            *await _creation(driver, folder, timed),
            *await _many(driver, clock, 16 if quick else 100),
            *await _copies(driver, folder, timed, 16 if quick else 1024),
            *await _writing(driver, folder, Timed(clock, 1 if quick else 9), 64 if quick else 512),
        ]
    finally:
        await driver.erase()


def measure(*, quick: bool = False) -> list[Result]:
    """(what, how much, unit); nothing where `missing`."""
    if missing():
        return []
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(Path(folder), quick=quick))


if __name__ == "__main__":
    print(missing() or "\n".join(f"{what:<48}{how_much:>10.2f} {unit}" for what, how_much, unit in measure()))
