"""The file driver's process dies at every point of every operation: the next one finds order, or makes it.

What was seen is compared with volume_faults.json, as tests/volume/test_volume_deaths.py tells.
"""

import asyncio
import itertools
import os
import shutil
import sys
import tempfile
import traceback
import warnings
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from death_moments import named
from volume.faults import Seen, agree
from volume_user import use

from micronova.clock import SystemClock
from micronova.testing.volume_ground import MIB, export_spec, patch, snapshot_spec, volume_spec
from micronova.volume.driver import FromFile, FromSnapshot, FromVolume
from micronova.volume.drivers import process
from micronova.volume.drivers.file.driver import FileVolumeDriver

NEEDED = ("qemu-img", "qemu-storage-daemon", "setpriv", "setsid")

pytestmark = [
    pytest.mark.host,
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(any(shutil.which(name) is None for name in NEEDED), reason=f"needs {', '.join(NEEDED)}"),
]

ONE, TWO, EXPORT, SNAPSHOT = volume_spec(1).name, volume_spec(2).name, export_spec(1, 1), snapshot_spec(1, 1)
OLD, NEW = b"old" * 1000, b"\7" * 3000
RECORD = Path(__file__).parent / "volume_faults.json"
SHARED = ", where files share blocks"
DEATH = 9
EVENTS = (
    "os.rename",
    "os.remove",
    "os.link",
    "os.truncate",
    "os.chmod",
    "subprocess.Popen",
    "socket.bind",
    "socket.connect",
)

Step = Callable[[FileVolumeDriver], Awaitable[object]]


class Story:
    """What is there before, what is done, and what has to be true afterwards: data by source.

    `silent`: only the data tell whether it was done.
    """

    def __init__(self, before: Step, act: Step, after: dict[str, bytes], *, silent: bool = False) -> None:
        self.before, self.act, self.after, self.silent = before, act, after, silent


async def written(driver: FileVolumeDriver, data: bytes) -> None:
    """Volume ONE holds the data at the first MiB."""
    path = driver._folder.parent / "patch"
    await driver.copy_out(FromVolume(ONE), str(path), "raw")
    patch(str(path), MIB, data)
    await driver.copy_in(ONE, str(path), "raw")
    path.unlink()


async def volume(driver: FileVolumeDriver) -> None:
    await driver.ensure(volume_spec(1))
    await written(driver, OLD)


async def used(driver: FileVolumeDriver) -> None:
    await volume(driver)
    await driver.ensure_export(EXPORT)


async def pattern(driver: FileVolumeDriver, order: str) -> None:
    """A user of idle volume ONE does this."""
    await use(await driver.ensure_export(EXPORT), order)
    await driver.remove_export(EXPORT.id)


async def with_snapshot(driver: FileVolumeDriver) -> None:
    await volume(driver)
    await driver.ensure_snapshot(SNAPSHOT)
    await pattern(driver, "write -P 7 1M 64k")


async def in_the_middle(driver: FileVolumeDriver) -> None:
    """Snapshots 2, 1, 3 in this order: the one to be removed has layers on both sides."""
    await volume(driver)
    for number in (2, 1, 3):
        await driver.ensure_snapshot(snapshot_spec(number, 1))
        await pattern(driver, f"write -P {number} 9M 64k")


async def in_the_middle_of_one_in_use(driver: FileVolumeDriver) -> None:
    await used(driver)
    for number in (2, 1, 3):
        await driver.ensure_snapshot(snapshot_spec(number, 1))
        await use(await driver.ensure_export(EXPORT), f"write -P {number} 9M 64k")


async def filed(driver: FileVolumeDriver) -> None:
    (driver._folder.parent / "image").write_bytes(bytes(MIB) + OLD)


def image(driver: FileVolumeDriver) -> FromFile:
    return FromFile(str(driver._folder.parent / "image"), "raw")


async def foreign(driver: FileVolumeDriver) -> None:
    (driver._folder / TWO).write_bytes(bytes(MIB) + OLD)


STORIES = {
    "create": Story(filed, lambda d: d.ensure(volume_spec(1, source=image(d))), {ONE: OLD}),
    "clone": Story(volume, lambda d: d.ensure(volume_spec(2, source=FromVolume(ONE))), {ONE: OLD, TWO: OLD}),
    "clone one in use": Story(used, lambda d: d.ensure(volume_spec(2, source=FromVolume(ONE))), {ONE: OLD, TWO: OLD}),
    "snapshot": Story(volume, lambda d: d.ensure_snapshot(SNAPSHOT), {ONE: OLD, SNAPSHOT.name: OLD}),
    "snapshot of one in use": Story(used, lambda d: d.ensure_snapshot(SNAPSHOT), {ONE: OLD, SNAPSHOT.name: OLD}),
    "revert": Story(with_snapshot, lambda d: d.revert(SNAPSHOT), {ONE: OLD, SNAPSHOT.name: OLD}, silent=True),
    "remove a snapshot": Story(with_snapshot, lambda d: d.remove_snapshot(SNAPSHOT), {ONE: NEW}),
    "remove one in the middle": Story(
        in_the_middle,
        lambda d: d.remove_snapshot(SNAPSHOT),
        {ONE: OLD, snapshot_spec(2, 1).name: OLD, snapshot_spec(3, 1).name: OLD},
    ),
    "remove one in the middle, in use": Story(
        in_the_middle_of_one_in_use,
        lambda d: d.remove_snapshot(SNAPSHOT),
        {ONE: OLD, snapshot_spec(2, 1).name: OLD, snapshot_spec(3, 1).name: OLD},
    ),
    "extend": Story(volume, lambda d: d.extend(ONE, 2), {ONE: OLD}),
    "extend in use": Story(used, lambda d: d.extend(ONE, 2), {ONE: OLD}),
    "export": Story(volume, lambda d: d.ensure_export(EXPORT), {ONE: OLD}),
    "end an export": Story(used, lambda d: d.remove_export(EXPORT.id), {ONE: OLD}),
    "remove": Story(volume, lambda d: d.remove(ONE), {}),
    "rename": Story(with_snapshot, lambda d: d.rename(ONE, TWO), {TWO: NEW, SNAPSHOT.name: OLD}),
    "adopt": Story(foreign, lambda d: d.rename(TWO, ONE), {ONE: OLD}),
}


@pytest.fixture
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="micronova-test-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("name", STORIES)
def test_a_death_at_any_point_is_made_good_by_the_next_life(place: Path, name: str) -> None:
    story, seen, moment, shared = STORIES[name], list[Seen](), "", False

    for point in itertools.count(1):
        folder = place / str(point)
        folder.mkdir()
        asyncio.run(one_life(folder / "pool", story.before))
        moment = dies(folder / "pool", story.act, point)
        outcome, shared = asyncio.run(next_life(folder / "pool", story))
        shutil.rmtree(folder)
        if not moment:
            break
        seen.append(Seen(moment, outcome))

    assert seen
    # Where files can share blocks, other things happen: only what was recorded on such a file system is compared.
    agree(RECORD, f"{name}{SHARED if shared else ''}", seen, known=shared)


async def one_life(folder: Path, act: Step) -> None:
    driver = FileVolumeDriver(folder, SystemClock())
    await driver.init_host()
    try:
        await act(driver)
    finally:
        await driver.close()


def dies(folder: Path, act: Step, point: int) -> str:
    """Before what a process that does it was killed: its `point`th change of the host; "" when it finished."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # later Pythons warn of a fork with threads
        pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(one_life(folder, lambda driver: doomed(driver, act, point, writing)))
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(writing)
    with os.fdopen(reading) as said:
        moment = said.read()
    assert code == (DEATH if moment else 0)
    return moment


async def doomed(driver: FileVolumeDriver, act: Step, point: int, writing: int) -> None:
    left = point

    def count(event: str, args: tuple[Any, ...]) -> None:
        nonlocal left
        writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
        if event in EVENTS or (writes and str(driver._folder) in str(args[0])):
            left -= 1
            if left == 0:
                os.write(writing, named(event, args).encode())
                os._exit(DEATH)

    sys.addaudithook(count)
    await act(driver)
    left = -1


async def next_life(folder: Path, story: Story) -> tuple[str, bool]:
    """What the next process finds of it, and whether files share blocks there; it does what was to be done again."""
    driver = FileVolumeDriver(folder, SystemClock())
    await driver.init_host()
    try:
        await no_leftovers(driver)
        found = await visible(driver, story)
        await story.act(driver)
        await no_leftovers(driver)
        outcome = "done" if found == await visible(driver, story) else "undone, and done when asked again"
        there = await driver.list()
        found = {one.name: FromVolume(one.name) for one in there.volumes}
        sources = {**found, **{one.name: FromSnapshot(one.name, one.volume) for one in there.snapshots}}
        assert sorted(story.after) == sorted(sources)
        for name, data in story.after.items():
            assert data == (await read(driver, sources[name]))[: len(data)], name
        return outcome, driver._layers.shares_blocks
    finally:
        await driver.erase()


async def visible(driver: FileVolumeDriver, story: Story) -> object:
    """What users see: volumes with their sizes, snapshots, exports, and data where they alone tell."""
    there = await driver.list()
    volumes = [(one.name, one.size_gib) for one in there.volumes]
    data = await read(driver, FromVolume(ONE)) if story.silent else b""
    return volumes, [one.name for one in there.snapshots], [one.id for one in there.exports], data


async def read(driver: FileVolumeDriver, source: FromVolume | FromSnapshot) -> bytes:
    """The source's data, as many as are written there."""
    path = driver._folder.parent / "copy"
    await driver.copy_out(source, str(path), "raw")
    with path.open("rb") as file:
        file.seek(MIB)
        data = file.read(max(len(OLD), len(NEW)))
    path.unlink()
    return data


async def no_leftovers(driver: FileVolumeDriver) -> None:
    """Every layer is needed, nothing is half made, and there is a daemon for each volume in use, and no other."""
    needed: set[str] = set()
    for name in driver._records.named_layers():
        needed |= set(driver._layers.chain(name))
    assert sorted(needed) == driver._layers.names()
    assert [] == driver._layers.drafts()
    used = {one.volume for one in (await driver.list()).exports}
    serving = process.words_in(driver._layers.folder, "chardev=volume-")
    assert sorted(f"chardev=volume-{volume},mode=control" for volume in used) == sorted(serving)
