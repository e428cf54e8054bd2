"""Groups whose snapshots are taken at one instant: where their volumes lie, what is refused, what is told."""

import pytest
from volume.volume_world import ADMIN, ALICE

from micronova.errors import BadRequest, DriverError, Rejected, WrongState
from micronova.tasks import Task
from micronova.testing.volume_ground import patch, taken
from micronova.volume.db import Group, GroupSnapshot, GroupType, Snapshot
from micronova.volume.driver import Capabilities, FromSnapshot, FromVolume
from micronova.volume.group_specs import CONSISTENT
from micronova.volume.groups import NewGroup
from micronova.volume.transfers import NewTransfer


async def grouped(world, count=2, specs=None):
    """A group of a type with these specs, and its volumes."""
    specs = {CONSISTENT: "<is> True"} if specs is None else specs
    kind = GroupType(id="kind", name="k", group_specs=specs, created_at=world.runtime.clock.now())
    await world.db.write(lambda tx: tx.insert(kind), ADMIN, why="test")
    asked = NewGroup(name="g", group_type="kind", volume_types=("__DEFAULT__",))
    group = await world.volumes.create_group(ALICE, asked)
    return group, [await world.volume(group_id=group.id, type_ref="__DEFAULT__") for _ in range(count)]


async def settled(world, shot):
    async def look():
        return await world.db.read(lambda tx: tx.first(GroupSnapshot, id=shot.id))

    return await world.when(look, lambda row: row.status != "creating")


async def test_the_volumes_of_a_consistent_group_lie_on_one_back_end(wide):
    _, volumes = await grouped(wide, count=4)

    assert 1 == len({(volume.host, volume.backend) for volume in volumes})


async def test_a_volume_of_another_back_end_does_not_join_a_consistent_group(wide):
    group, [first] = await grouped(wide, count=1)
    await wide.volumes.freeze(ADMIN, first.host, frozen=True)
    other = await wide.volume(type_ref="__DEFAULT__")

    with pytest.raises(BadRequest, match="another back end"):
        await wide.volumes.update_group(ALICE, group.id, {}, [other.id], [])


async def test_a_consistent_group_snapshot_is_taken_by_one_call_and_brings_back_what_was(world):
    group, volumes = await grouped(world)
    for volume, data in zip(volumes, (b"one", b"two"), strict=True):
        path = str(world.folder / "change")
        await world.driver.copy_out(FromVolume(volume.driver_name), path, "raw")
        patch(path, 0, data)
        await world.driver.copy_in(volume.driver_name, path, "raw")
        taken(path, ())
    await world.attached(volumes[0])
    world.driver.refuse("ensure_snapshot", Rejected("alone"), times=10)

    shot = await world.volumes.create_group_snapshot(ALICE, group.id, "s", None)

    assert "available" == (await settled(world, shot)).status
    rows = {row.volume_id: row for row in await world.rows(Snapshot, group_snapshot_id=shot.id)}
    assert {("available", "100%", 1)} == {(row.status, row.progress, row.size_gib) for row in rows.values()}
    for volume, data in zip(volumes, (b"one", b"two"), strict=True):
        path = str(world.folder / "look")
        await world.driver.copy_out(FromSnapshot(rows[volume.id].id, volume.driver_name), path, "raw")
        assert [data] == taken(path, ((0, 3),))


async def test_a_group_snapshot_that_fails_leaves_none_that_counts_and_can_be_removed(world):
    group, _ = await grouped(world)
    world.driver.refuse("ensure_group_snapshot", DriverError("no"), times=10)

    shot = await world.volumes.create_group_snapshot(ALICE, group.id, "s", None)
    failed = await settled(world, shot)
    statuses = {row.status for row in await world.rows(Snapshot, group_snapshot_id=shot.id)}
    there = (await world.driver.list()).snapshots
    await world.volumes.delete_group_snapshot(ALICE, shot.id)
    await world.idle()

    assert ("error", {"error"}, ()) == (failed.status, statuses, there)
    assert [] == await world.rows(GroupSnapshot)


async def test_a_group_snapshot_is_taken_though_its_host_dies_meanwhile(world):
    group, _ = await grouped(world)
    world.driver.slow(60, operation="ensure_group_snapshot")
    shot = await world.volumes.create_group_snapshot(ALICE, group.id, "s", None)
    await world.hosts["h1"].stop()
    world.driver.slow(0, operation="ensure_group_snapshot")

    await world.hosts["h1"].start()

    assert "available" == (await settled(world, shot)).status
    assert 2 == len((await world.driver.list()).snapshots)


async def test_a_back_end_that_can_not_do_it_refuses_at_once(world):
    group, _ = await grouped(world)
    world.driver.capabilities = Capabilities(protocol="nbd", snapshot_in_use=True)
    await world.volumes.report_pools(ADMIN)

    with pytest.raises(BadRequest, match="consistent"):
        await world.volumes.create_group_snapshot(ALICE, group.id, "s", None)

    assert ([], []) == (await world.rows(GroupSnapshot), await world.rows(Snapshot))


async def test_snapshots_of_other_groups_are_taken_one_by_one(world):
    group, _ = await grouped(world, specs={})
    world.driver.refuse("ensure_group_snapshot", Rejected("together"), times=10)

    shot = await world.volumes.create_group_snapshot(ALICE, group.id, "s", None)

    assert "available" == (await settled(world, shot)).status


async def test_a_group_goes_with_all_its_volumes_or_stays_with_all(world):
    group, [free, used] = await grouped(world)
    info = await world.attached(used)

    with pytest.raises(WrongState):
        await world.volumes.delete_group(ALICE, group.id, with_volumes=True)
    kept = [(await world.row(volume.id)).group_id for volume in (free, used)]
    await world.volumes.detach(ALICE, info.id)
    await world.until(used.id, "available")
    await world.volumes.delete_group(ALICE, group.id, with_volumes=True)

    assert [group.id, group.id] == kept
    assert [] == await world.rows(Group)
    await world.gone(free.id)
    await world.gone(used.id)


async def test_a_group_snapshot_whose_volumes_are_removed_by_force_is_not_left_half_made(world):
    group, [volume] = await grouped(world, count=1)
    world.driver.slow(0.2, operation="ensure_group_snapshot")
    shot = await world.volumes.create_group_snapshot(ALICE, group.id, "s", None)

    await world.volumes.delete(ADMIN, volume.id, cascade=True, force=True)
    await world.gone(volume.id)

    assert "error" == (await settled(world, shot)).status
    await world.volumes.delete_group_snapshot(ALICE, shot.id)
    assert ([], ()) == (await world.rows(GroupSnapshot), (await world.driver.list()).snapshots)


async def test_a_volume_removed_by_force_while_its_group_is_snapshot_goes_with_what_was_taken(world):
    _, volumes = await grouped(world)
    world.driver.slow(0.3, operation="ensure_group_snapshot")
    await world.volumes.create_group_snapshot(ALICE, volumes[0].group_id, "s", None)
    await world.when(lambda: world.rows(Task, method="snap_group", state="running"), bool)

    # The back end takes the snapshots only now, when a removal that did not wait had gone through.
    await world.volumes.delete(ADMIN, volumes[0].id, cascade=True, force=True)
    await world.gone(volumes[0].id)

    there = await world.driver.list()
    assert [volumes[1].driver_name] == [one.name for one in there.volumes]
    assert [volumes[1].driver_name] == [one.volume for one in there.snapshots]
    scraps = await world.rows(Task, method="scrap")
    assert [1] == [task.attempts for task in scraps]


async def test_a_volume_of_a_group_is_not_handed_over_without_it(world):
    _, [volume] = await grouped(world, count=1)

    with pytest.raises(WrongState, match="group"):
        await world.volumes.offer(ALICE, NewTransfer(volume_id=volume.id))


async def test_a_lost_task_of_a_group_snapshot_is_mended_for_all_of_it(world):
    group, volumes = await grouped(world)
    world.driver.slow(60, operation="ensure_group_snapshot")
    shot = await world.volumes.create_group_snapshot(ALICE, group.id, "s", None)
    owned = await world.volumes.examine(ADMIN, volumes[0].id)
    await world.hosts["h1"].stop()
    world.driver.slow(0, operation="ensure_group_snapshot")
    for task in await world.rows(Task, method="snap_group"):
        await world.db.write(lambda tx, task=task: tx.delete(tx.get(Task, task.id)), ADMIN, why="lost")
    await world.hosts["h1"].start()
    world.volumes = world.hosts["h1"].volume

    found = (await world.volumes.examine(ADMIN, volumes[0].id)).findings
    for finding in found:
        await world.volumes.cure(ADMIN, finding)

    assert ((), 1) == (owned.findings, len(found))
    assert "available" == (await settled(world, shot)).status


async def test_a_snapshot_that_is_being_taken_with_others_is_not_removed_from_under_them(world):
    group, _ = await grouped(world)
    world.driver.slow(60, operation="ensure_group_snapshot")
    shot = await world.volumes.create_group_snapshot(ALICE, group.id, "s", None)
    row, _ = await world.rows(Snapshot, group_snapshot_id=shot.id)

    with pytest.raises(WrongState, match="being taken"):
        await world.volumes.delete_snapshot(ADMIN, row.id, force=True)


async def test_a_volume_of_a_group_does_not_move_away_from_it(wide):
    _, [volume] = await grouped(wide, count=1)
    other = "fast" if volume.backend == "slow" else "slow"

    with pytest.raises(WrongState, match="group"):
        await wide.volumes.migrate(ADMIN, volume.id, f"{volume.host}@{other}")
