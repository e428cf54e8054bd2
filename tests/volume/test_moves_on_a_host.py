"""Idle volumes move between back ends of their host: whatever the back ends share, and whoever else is broken."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from volume.volume_world import ADMIN, World

from micronova.errors import DriverError
from micronova.tasks import Task
from micronova.testing.volume_ground import patch, taken
from micronova.volume.changes import Reset
from micronova.volume.db import Volume
from micronova.volume.driver import FromVolume, VolumeSpec
from micronova.volume.managed import Adoption

DATA = b"kept"


@pytest.fixture
async def three(tmp_path: Path) -> AsyncIterator[World]:
    """One host with three back ends."""
    made = World(tmp_path, ("one", "two", "three"))
    await made.open("h1")
    yield made
    await made.close()


async def written(world: World) -> Volume:
    """A volume with data on back end `one`."""
    for name in ("two", "three"):
        await world.volumes.freeze(ADMIN, f"h1@{name}", frozen=True)
    volume = await world.volume()
    for name in ("two", "three"):
        await world.volumes.freeze(ADMIN, f"h1@{name}", frozen=False)
    path = str(world.folder / "change")
    await world.driver.copy_out(FromVolume(volume.driver_name), path, "raw")
    patch(path, 7 << 20, DATA)
    await world.driver.copy_in(volume.driver_name, path, "raw")
    taken(path, ())
    return volume


async def held(world: World, volume: Volume) -> bytes:
    path = str(world.folder / "look")
    await world.hosts["h1"].drivers[volume.backend].copy_out(FromVolume(volume.driver_name), path, "raw")
    return taken(path, ((7 << 20, len(DATA)),))[0]


async def names(world: World, backend: str) -> list[str]:
    return [one.name for one in (await world.hosts["h1"].drivers[backend].list()).volumes]


async def moved(world: World, volume: Volume) -> Volume:
    """The volume when its move to `two` has ended."""
    await world.volumes.migrate(ADMIN, volume.id, "h1@two")
    return await world.until(volume.id, "available")


async def test_a_volume_moves_between_back_ends_that_keep_theirs_in_one_place(three: World) -> None:
    drivers = three.hosts["h1"].drivers
    drivers["two"]._pool = drivers["one"]._pool
    volume = await written(three)

    row = await moved(three, volume)

    assert ("two", "success") == (row.backend, row.migration_status)
    assert DATA == await held(three, row)
    assert [row.driver_name] == await names(three, "two")


async def test_a_move_that_fails_between_back_ends_in_one_place_keeps_the_volume(three: World) -> None:
    drivers = three.hosts["h1"].drivers
    drivers["two"]._pool = drivers["one"]._pool
    volume = await written(three)
    drivers["two"].refuse("ensure", DriverError("no"), times=100)

    row = await moved(three, volume)

    assert ("one", "error") == (row.backend, row.migration_status)
    assert DATA == await held(three, row)


@pytest.mark.parametrize("broken", ["", "two"])
async def test_a_back_end_that_has_no_part_in_a_move_does_not_hold_it_up(three: World, broken: str) -> None:
    drivers = three.hosts["h1"].drivers
    volume = await written(three)
    for operation in ("list", "remove", "remove_export"):
        drivers["three"].refuse(operation, DriverError("the cluster is away"), times=1000)
    drivers["two"].refuse("ensure", DriverError("no"), times=100 if broken else 0)

    row = await moved(three, volume)

    assert ("one" if broken else "two") == row.backend
    assert DATA == await held(three, row)
    assert 0 == len(await names(three, "two" if broken else "one"))


async def test_a_move_whose_host_died_and_that_was_called_off_leaves_nothing(three: World) -> None:
    drivers = three.hosts["h1"].drivers
    volume = await written(three)
    drivers["two"].slow(60, operation="ensure")
    await three.volumes.migrate(ADMIN, volume.id, "h1@two")
    [task] = await three.when(lambda: three.rows(Task, method="move", state="running"), bool)
    await three.hosts["h1"].stop()
    drivers["two"].slow(0, operation="ensure")
    await drivers["two"].ensure(VolumeSpec(name=task.arguments[1]["name"], size_gib=1))

    await three.hosts["h1"].volume.reset(ADMIN, volume.id, Reset(status="available", migration_status="none"))
    await three.restart()
    await three.idle()

    assert ([volume.driver_name], []) == (await names(three, "one"), await names(three, "two"))


async def test_what_is_half_way_here_is_not_offered_to_be_taken_over(three: World) -> None:
    drivers = three.hosts["h1"].drivers
    volume = await written(three)
    drivers["one"].slow(60, operation="remove")
    await three.volumes.migrate(ADMIN, volume.id, "h1@two")
    await three.when(lambda: three.row(volume.id), lambda row: row.backend == "two")

    there = await three.volumes.manageable(ADMIN, "h1@one")
    said = await three.volumes.adopt(ADMIN, Adoption(pool="h1@one", source_name=volume.driver_name))

    await three.until(said.id, "error_managing")
    drivers["one"].slow(0, operation="remove")
    assert [] == there
    assert [volume.driver_name] == await names(three, "one")
    here = await three.volumes.manageable(ADMIN, "h1@two")
    assert [volume.id] == [one.volume_id for one in here]
