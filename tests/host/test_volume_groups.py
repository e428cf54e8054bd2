"""Snapshots of a group at one instant, while somebody writes to one volume and then to the other, again and again."""

import asyncio
import os
import pathlib
import shutil
from collections.abc import AsyncIterator

import pytest
from volume_user import opened, use

from micronova.clock import SystemClock
from micronova.testing.volume_ground import export_spec, snapshot_spec, taken, volume_spec
from micronova.volume.driver import FromSnapshot
from micronova.volume.drivers.file.driver import FileVolumeDriver

NEEDED = ("qemu-img", "qemu-io", "qemu-storage-daemon", "setpriv", "setsid")
ROUNDS = 3

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(any(shutil.which(name) is None for name in NEEDED), reason=f"needs {', '.join(NEEDED)}"),
]


@pytest.fixture
async def driver(tmp_path: pathlib.Path) -> AsyncIterator[FileVolumeDriver]:
    made = FileVolumeDriver(tmp_path / "pool", SystemClock())
    await made.init_host()
    try:
        yield made
    finally:
        await made.erase()


async def number_in(driver: FileVolumeDriver, snapshot: int, volume: int, path: pathlib.Path) -> int:
    """The number that the volume held when the snapshot was taken."""
    spec = snapshot_spec(snapshot, volume)
    await driver.copy_out(FromSnapshot(spec.name, spec.volume), str(path), "raw")
    [first, last] = taken(str(path), ((0, 1), (65535, 1)))
    assert first == last
    return first[0]


async def test_users_who_wait_for_a_service_that_died_meanwhile_go_on(
    driver: FileVolumeDriver, tmp_path: pathlib.Path
) -> None:
    await driver.ensure(volume_spec(1))
    connection = await driver.ensure_export(export_spec(1, 1))
    async with opened(connection) as user:
        await user.tell("write -P 1 0 64k")
        await driver._exports.daemon(volume_spec(1).name).cut_off()
        await driver.close()

        again = FileVolumeDriver(tmp_path / "pool", SystemClock())
        await again.init_host()
        try:
            await user.tell("write -P 2 64k 64k")
            await user.tell("read -P 1 0 64k")
        finally:
            await again.close()


async def test_no_snapshot_of_a_group_has_what_came_after_that_of_another(
    driver: FileVolumeDriver, tmp_path: pathlib.Path
) -> None:
    for number in (1, 2):
        await driver.ensure(volume_spec(number))
    connections = [await driver.ensure_export(export_spec(number, number)) for number in (1, 2)]
    reached, enough, told = asyncio.Event(), asyncio.Event(), 0

    async def write_in_order() -> None:
        nonlocal told
        while not enough.is_set() and told < 250:
            for user in users:
                await user.tell(f"write -P {told + 1} 0 64k")
            told += 1
            reached.set()
            await asyncio.sleep(0.01)

    async with opened(connections[0]) as first, opened(connections[1]) as second:
        users = (first, second)
        writing = asyncio.ensure_future(write_in_order())
        before = []
        for turn in range(ROUNDS):
            reached.clear()
            await asyncio.wait([asyncio.ensure_future(reached.wait()), writing], return_when="FIRST_COMPLETED")
            before.append(told)
            await driver.ensure_group_snapshot([snapshot_spec(10 * turn + number, number) for number in (1, 2)])
        enough.set()
        await writing
    final = told

    for turn in range(ROUNDS):
        one, two = [await number_in(driver, 10 * turn + number, number, tmp_path / "look") for number in (1, 2)]
        assert one - 1 <= two <= one, (turn, one, two)
        assert before[turn] <= one <= final + 1
    for connection in connections:
        await use(connection, f"read -P {final} 0 64k")
    assert final > before[-1] >= before[0] > 0
