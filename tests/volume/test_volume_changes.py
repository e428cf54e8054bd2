"""Volumes that change: larger, of another type, on another back end; and what failure leaves."""

import msgspec
import pytest
from volume.volume_world import ADMIN, ALICE, SERVER

from micronova.errors import BadRequest, DriverError, QuotaExceeded, Rejected, WrongState
from micronova.testing.volume_ground import taken
from micronova.volume.db import Volume
from micronova.volume.driver import FromVolume
from micronova.volume.servers import ServerDisks
from micronova.volume.volumes import NewVolume


async def data(world, volume, length=8):
    path = str(world.folder / "look")
    await world.driver.copy_out(FromVolume(volume.driver_name), path, "raw")
    return taken(path, ((0, length),))[0]


# -- grown


async def test_a_volume_grows(world):
    volume = await world.volume()

    await world.volumes.extend(ALICE, volume.id, 3, in_use=False)
    volume = await world.until(volume.id, "available")

    assert (3, 0) == (volume.size_gib, volume.growing_gib)
    assert 3 == (await world.driver.list()).volumes[0].size_gib


async def test_a_volume_in_use_grows_and_its_server_is_told(world):
    grown = []
    world.volumes.on_grown = lambda tx, ctx, told: grown.append(told)
    volume = await world.volume()
    info = await world.attached(volume)
    with pytest.raises(WrongState):
        await world.volumes.extend(ALICE, volume.id, 2, in_use=False)

    await world.volumes.extend(ALICE, volume.id, 2, in_use=True)
    await world.until(volume.id, "in-use")

    assert [(info.id, SERVER, "h1", 2)] == [(one.attachment_id, one.server_id, one.host, one.size_gib) for one in grown]


async def test_a_volume_does_not_shrink(world):
    volume = await world.volume(size_gib=2)

    for size in (1, 2):
        with pytest.raises(BadRequest):
            await world.volumes.extend(ALICE, volume.id, size, in_use=False)


async def test_growth_counts_from_the_request_on_and_not_after_it_failed(wide):
    volume = await wide.volume(size_gib=10)
    driver = wide.hosts[volume.host].drivers[volume.backend]
    driver.slow(0.1, operation="extend")
    driver.refuse("extend", Rejected("no"))
    await wide.volumes.extend(ALICE, volume.id, 18, in_use=False)
    with pytest.raises(QuotaExceeded):
        await wide.volumes.create(ALICE, NewVolume(size_gib=5))

    volume = await wide.until(volume.id, "error_extending")

    assert (10, 0) == (volume.size_gib, volume.growing_gib)
    await wide.volume(size_gib=5)


async def test_growth_that_came_about_all_the_same_is_told(world):
    volume = await world.volume()
    world.driver.refuse("extend", DriverError("broken after it was done"), times=9)
    world.driver.slow(0.05, operation="extend")

    await world.volumes.extend(ALICE, volume.id, 3, in_use=False)
    world.driver.pool.put(msgspec.structs.replace(world.driver.pool.volume(volume.id), size_gib=3))
    volume = await world.until(volume.id, "available")

    assert (3, 0) == (volume.size_gib, volume.growing_gib)


async def test_growth_of_which_nothing_is_known_counts_until_it_is(world):
    volume = await world.volume()
    world.driver.refuse("extend", Rejected("broken"))
    world.driver.refuse("list", DriverError("it does not say"))

    await world.volumes.extend(ALICE, volume.id, 3, in_use=False)
    unknown = await world.until(volume.id, "error_extending")
    await world.idle()
    world.driver.pool.put(msgspec.structs.replace(world.driver.pool.volume(volume.id), size_gib=3))
    await world.volumes.reconcile(ADMIN)
    known = await world.row(volume.id)

    assert (1, 2) == (unknown.size_gib, unknown.growing_gib)
    assert ("error_extending", 3, 0) == (known.status, known.size_gib, known.growing_gib)


async def test_growth_cut_short_by_a_removal_that_failed_counts_no_more(world):
    volume = await world.volume()
    world.driver.slow(60, operation="extend")
    world.driver.refuse("remove", Rejected("no"))
    await world.volumes.extend(ALICE, volume.id, 3, in_use=False)

    await world.volumes.delete(ADMIN, volume.id, force=True)
    await world.until(volume.id, "error_deleting")
    await world.idle()
    await world.volumes.reconcile(ADMIN)

    row = await world.row(volume.id)
    assert (1, 0) == (row.size_gib, row.growing_gib)


async def test_a_volume_that_ends_with_its_server_while_it_moves_moves_no_more(world):
    volume = await world.volume()
    world.driver.refuse("remove", Rejected("no"))

    def end(tx):
        tx.change(tx.get(Volume, volume.id), status="retyping", migration_status="migrating")
        return ServerDisks(world.volumes).scrap(tx, ADMIN, volume.id)

    assert await world.db.write(end, ADMIN, why="its server ends")
    left = await world.until(volume.id, "error_deleting")
    assert left.migration_status is None


async def test_a_full_pool_is_told(world):
    world.driver.full = True

    made = await world.volumes.create(ALICE, NewVolume(size_gib=1))

    await world.until(made.row.id, "error")
    assert () == (await world.driver.list()).volumes


# -- other types and back ends


async def test_a_type_that_fits_is_taken_at_once(world):
    made = await world.volumes.types.create(ADMIN, {"name": "other"})
    volume = await world.volume()

    await world.volumes.retype(ALICE, volume.id, "other", may_move=False)

    assert made.id == (await world.row(volume.id)).type_id


async def test_a_type_that_does_not_fit_moves_the_volume_with_its_data(wide):
    for name in ("fast", "slow"):
        await wide.volumes.types.create(ADMIN, {"name": name, "extra_specs": {"volume_backend_name": name}})
    volume = await wide.volume(type_ref="slow", image_id=await wide.image(b"carry me"))
    with pytest.raises(BadRequest):
        await wide.volumes.retype(ALICE, volume.id, "fast", may_move=False)

    await wide.volumes.retype(ALICE, volume.id, "fast", may_move=True)
    moved = await wide.until(volume.id, "available")

    drivers = wide.hosts[volume.host].drivers
    wide.driver = drivers["fast"]
    assert ("fast", "success") == (moved.backend, moved.migration_status)
    assert b"carry me" == await data(wide, moved)
    assert () == (await drivers["slow"].list()).volumes


async def test_a_move_that_fails_leaves_the_volume_where_it_was(wide):
    volume = await wide.volume()
    other = "fast" if volume.backend == "slow" else "slow"
    drivers = wide.hosts[volume.host].drivers
    drivers[other].refuse("ensure", Rejected("no"))

    await wide.volumes.migrate(ADMIN, volume.id, f"{volume.host}@{other}#{other}")
    stayed = await wide.until(volume.id, "available")

    assert (volume.backend, "error") == (stayed.backend, stayed.migration_status)
    assert () == (await drivers[other].list()).volumes
    assert 1 == len((await drivers[volume.backend].list()).volumes)
