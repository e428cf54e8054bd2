"""`micronova repair` of what is the volume room's: each kind of disagreement is told in a sentence, and mended."""

import msgspec
import pytest
from volume.volume_world import ADMIN, ALICE, HERE, NOWHERE, SERVER

from micronova.errors import WrongState
from micronova.tasks import Task, finish
from micronova.volume.backups import NewBackup
from micronova.volume.contract import AttachRequest
from micronova.volume.db import Attachment, Backup, GroupSnapshot, Pool, Snapshot, Volume
from micronova.volume.driver import ExportSpec, SnapshotSpec
from micronova.volume.snapshots import NewSnapshot


async def change(world, cls, id, **fields):
    await world.db.write(lambda tx: tx.change(tx.get(cls, id), **fields), ADMIN, why="broken by the test")


async def abandon(world):
    """Nobody is at work on anything."""

    def end(tx):
        for task in tx.find(Task, open=True):
            finish(tx, task, "cancelled")

    await world.db.write(end, ADMIN, why="broken by the test")


async def told(world, id):
    """What is found, and what would be done about it."""
    examined = await world.volumes.examine(ADMIN, id)
    return [(one.kind, one.id, one.what, one.cure) for one in examined.findings]


async def mended(world, id):
    """What is done, and what is found when it is done."""
    examined = await world.volumes.examine(ADMIN, id)
    for finding in examined.findings:
        await world.volumes.cure(ADMIN, finding)
    await world.idle()
    return (await world.volumes.examine(ADMIN, id)).findings


async def snapshot_of(world, volume):
    row = await world.volumes.create_snapshot(ALICE, NewSnapshot(volume_id=volume.id))
    await world.idle()
    return row.id


async def backup_of(world, volume):
    row = await world.volumes.back_up(ALICE, NewBackup(volume_id=volume.id))
    await world.idle()
    return row.id


async def test_what_is_well_has_nothing_to_be_said_of_it(world):
    volume = await world.volume()
    snapshot, backup = await snapshot_of(world, volume), await backup_of(world, volume)
    attached = await world.attached(volume)

    found = [await world.volumes.examine(ADMIN, id) for id in (volume.id, snapshot, backup, attached.id)]

    assert [()] * 4 == [one.findings for one in found]
    assert [
        f"volume v ({volume.id}) is in-use on h1@file#file, with one attachment",
        f"snapshot {snapshot} of volume {volume.id} is available",
        f"backup {backup} of volume {volume.id} is available",
        f"attachment {attached.id} of volume {volume.id} is attached",
    ] == [one.summary for one in found]


async def test_nobody_knows_a_stranger(world):
    assert await world.volumes.examine(ADMIN, NOWHERE) is None


@pytest.mark.parametrize(
    ("status", "cure", "afterwards"),
    [
        ("creating", "have it made", "available"),
        ("downloading", "have it made", "available"),
        ("uploading", "say that it is available", "available"),
        ("backing-up", "say that it is available", "available"),
        ("extending", "say that it is available", "available"),
        ("retyping", "leave it where its row says, and remove what of it is on other back ends", "available"),
        ("reverting", "put it into error: nobody knows to which snapshot", "error"),
        ("restoring-backup", "put it into error_restoring: what it holds is not known", "error_restoring"),
        ("managing", "put it into error_managing", "error_managing"),
        ("in-use", "say that it is available", "available"),
        ("error_extending", "ask its back end for its size, and have it be as it was", "available"),
    ],
)
async def test_a_status_that_nobody_sees_to_is_settled(world, status, cure, afterwards):
    volume = await world.volume()
    await change(world, Volume, volume.id, status=status)

    found = await told(world, volume.id)
    await mended(world, volume.id)

    assert [("volume", volume.id, cure)] == [(kind, id, done) for kind, id, _, done in found]
    assert afterwards == (await world.row(volume.id)).status


@pytest.mark.parametrize(
    ("status", "cure"),
    [
        ("deleting", "have it removed, with its attachments and snapshots"),
        ("error_deleting", "have it removed again"),
    ],
)
async def test_a_removal_that_nobody_sees_to_is_finished(world, status, cure):
    volume = await world.volume()
    await snapshot_of(world, volume)
    await change(world, Volume, volume.id, status=status)
    (finding,) = (await world.volumes.examine(ADMIN, volume.id)).findings

    await world.volumes.cure(ADMIN, finding)

    assert cure == finding.cure
    await world.gone(volume.id)
    assert ([], []) == (await world.rows(Snapshot), list((await world.driver.list()).volumes))


async def test_growth_goes_on(world):
    volume = await world.volume()
    await change(world, Volume, volume.id, status="extending", growing_gib=2)

    found = await told(world, volume.id)
    left = await mended(world, volume.id)

    assert [("volume", volume.id, "is extending, and no task sees to that", "have it grow to 3 GiB")] == found
    assert () == left
    assert (3, 0) == ((await world.row(volume.id)).size_gib, (await world.row(volume.id)).growing_gib)


async def test_growth_that_is_counted_and_never_comes_counts_no_more(world):
    volume = await world.volume()
    await change(world, Volume, volume.id, growing_gib=5)

    found = await told(world, volume.id)

    assert ["counts 5 GiB more than it has, for growth that nobody sees to"] == [what for _, _, what, _ in found]
    assert () == await mended(world, volume.id)
    assert 0 == (await world.row(volume.id)).growing_gib


async def test_a_revert_goes_on(world):
    volume = await world.volume()
    snapshot = await snapshot_of(world, volume)
    await change(world, Volume, volume.id, status="reverting")
    await change(world, Snapshot, snapshot, status="restoring")

    left = await mended(world, volume.id)

    assert () == left
    assert "available" == (await world.snapshot_row(snapshot)).status


async def test_a_volume_of_another_size_than_its_row_says(world):
    volume = await world.volume()
    await world.driver.extend(volume.id, 3)

    more = await told(world, volume.id)
    assert () == await mended(world, volume.id)
    counted = (await world.row(volume.id)).size_gib
    await change(world, Volume, volume.id, size_gib=5)
    less = await told(world, volume.id)
    assert () == await mended(world, volume.id)

    assert [("volume", volume.id, "has 1 GiB, on back end file 3", "count the 3 GiB that it has")] == more
    assert [("volume", volume.id, "has 5 GiB, on back end file 3", "have it grow there to 5 GiB")] == less
    assert (3, [5]) == (counted, [one.size_gib for one in (await world.driver.list()).volumes])


async def test_a_volume_that_its_back_end_lost(world):
    volume = await world.volume()
    world.driver.lose(volume.id)

    found = await told(world, volume.id)
    (left,) = await mended(world, volume.id)

    assert [("volume", volume.id, "is not on back end file", "put it into error")] == found
    assert ("is in error", "") == (left.what, left.cure)
    assert "delete it" in left.advice


async def test_exports_are_those_of_attachments(world):
    volume = await world.volume()
    attached = await world.attached(volume)
    await world.driver.remove_export(attached.id)
    await world.driver.ensure_export(ExportSpec(id="stray", volume=volume.id))

    found = await told(world, volume.id)
    left = await mended(world, volume.id)

    assert [
        ("volume", volume.id, "has an export stray that belongs to no attachment", "remove the export"),
        (
            "attachment",
            attached.id,
            "is attached, and back end file has no export for it",
            "have it exported again",
        ),
    ] == found
    assert () == left
    assert [attached.id] == [one.id for one in (await world.driver.list()).exports]


@pytest.mark.parametrize(
    ("status", "cure"),
    [
        ("reserved", "have it detached"),
        ("attaching", "have it detached"),
        ("detaching", "say that it is attached, as its user still has it"),
        ("error_detaching", "have it detached again"),
    ],
)
async def test_an_attachment_that_nobody_watches(world, status, cure):
    volume = await world.volume()
    attached = await world.attached(volume)
    await change(world, Attachment, attached.id, status=status)
    await world.db.write(lambda tx: world.volumes.settle_status(tx, tx.get(Volume, volume.id)), ADMIN, why="test")

    ((kind, id, _, told_cure),) = await told(world, attached.id)
    (finding,) = (await world.volumes.examine(ADMIN, volume.id)).findings
    await world.volumes.cure(ADMIN, finding)
    await world.idle()

    assert ("attachment", attached.id, cure) == (kind, id, told_cure)
    row = await world.row(volume.id)
    assert ("in-use" if status == "detaching" else "available") == row.status
    assert () == (await world.volumes.examine(ADMIN, volume.id)).findings


async def test_an_attachment_that_somebody_watches_is_well(world):
    volume = await world.volume()
    info = await world.volumes.reserve(ALICE, AttachRequest(volume_id=volume.id, server_id=SERVER))
    await world.volumes.connect(ALICE, info.id, HERE)

    assert [] == await told(world, info.id)


@pytest.mark.parametrize(
    ("status", "cure", "afterwards"),
    [
        ("creating", "have it taken", "available"),
        ("restoring", "say that it is available", "available"),
        ("deleting", "have it removed", None),
        ("error_deleting", "have it removed again", None),
    ],
)
async def test_a_snapshot_that_nobody_sees_to(world, status, cure, afterwards):
    volume = await world.volume()
    snapshot = await snapshot_of(world, volume)
    await change(world, Snapshot, snapshot, status=status)

    found = await told(world, snapshot)
    left = await mended(world, volume.id)

    assert [("snapshot", snapshot, cure)] == [(kind, id, done) for kind, id, _, done in found]
    assert () == left
    row = await world.snapshot_row(snapshot)
    assert afterwards == (row.status if row is not None else None)


async def test_a_snapshot_of_a_group_that_nobody_sees_to_is_taken_and_the_groups_with_it(world):
    volume = await world.volume()
    snapshot = await snapshot_of(world, volume)
    shot = GroupSnapshot(
        id=NOWHERE,
        group_id="g",
        project_id=ALICE.project_id,
        user_id=ALICE.user_id,
        status="creating",
        group_type_id="t",
        created_at=volume.created_at,
    )
    await world.db.write(lambda tx: tx.insert(shot), ADMIN, why="broken by the test")
    await change(world, Snapshot, snapshot, status="creating", group_snapshot_id=shot.id)

    found = await told(world, snapshot)
    await mended(world, snapshot)

    assert ["have it taken"] == [cure for _, _, _, cure in found]
    assert ["available"] == [row.status for row in await world.rows(GroupSnapshot)]


async def test_a_snapshot_that_its_back_end_lost_and_one_that_is_nobodys(world):
    volume = await world.volume()
    snapshot = await snapshot_of(world, volume)
    await world.driver.remove_snapshot(SnapshotSpec(snapshot, volume.id))
    await world.driver.ensure_snapshot(SnapshotSpec("theirs", volume.id))

    found = await told(world, volume.id)

    assert [
        ("snapshot", snapshot, "is not on back end file", "put it into error"),
        ("volume", volume.id, "has a snapshot theirs on back end file that belongs to nobody", ""),
    ] == found


@pytest.mark.parametrize(
    ("status", "afterwards"),
    [("creating", "available"), ("restoring", "available"), ("deleting", None), ("error_deleting", None)],
)
async def test_a_backup_that_nobody_sees_to(world, status, afterwards):
    volume = await world.volume()
    backup = await backup_of(world, volume)
    await change(world, Backup, backup, status=status)
    (finding,) = (await world.volumes.examine(ADMIN, backup)).findings

    await world.volumes.cure(ADMIN, finding)
    await world.idle()

    rows = await world.rows(Backup)
    assert [afterwards] * (afterwards is not None) == [row.status for row in rows]
    assert [backup] * (afterwards is not None) == await world.volumes.store.backups()


async def test_a_backup_whose_data_are_gone(world):
    volume = await world.volume()
    backup = await backup_of(world, volume)
    await world.volumes.store.remove(backup)

    found = await told(world, backup)
    (left,) = await mended(world, backup)

    assert [("backup", backup, "has no data in the store of host h1", "put it into error")] == found
    assert "is in error: Its data are gone." == left.what


async def test_a_back_end_that_does_not_work_is_told_of_all_that_lies_there(world):
    volume = await world.volume()
    await change(world, Pool, "h1@file#file", working=False, reason="its disk is gone")

    found = await told(world, volume.id)

    assert [("back end", "h1@file#file", "does not work: its disk is gone", "")] == found


async def test_a_task_that_waits_for_a_dead_host_is_told(wide):
    await wide.hosts["h2"].stop()
    volume = await wide.volume()
    where = volume.backend
    await change(wide, Volume, volume.id, host="h2", status="extending", growing_gib=1)
    await wide.db.write(
        lambda tx: wide.volumes.on("h2").grow.record(tx, ADMIN, volume.id, 2), ADMIN, why="asked by the test"
    )

    found = await told(wide, volume.id)

    assert ("volume", volume.id) == found[0][:2]
    assert "waits for host h2, whose volume service is down" in found[0][2]
    assert found[1][:2] in (("back end", f"h2@{where}#{where}"),)


async def test_what_has_changed_since_it_was_looked_at_is_left_alone(world):
    volume = await world.volume()
    await change(world, Volume, volume.id, status="deleting")
    (finding,) = (await world.volumes.examine(ADMIN, volume.id)).findings
    await change(world, Volume, volume.id, status="available")

    with pytest.raises(WrongState):
        await world.volumes.cure(ADMIN, finding)

    assert "available" == (await world.row(volume.id)).status


async def test_a_choice_is_told_with_all_that_was_looked_at(wide):
    await wide.volumes.types.create(ADMIN, {"name": "quick", "extra_specs": {"volume_backend_name": "fast"}})
    pool = (await wide.rows(Pool, id="h2@fast#fast"))[0]
    await change(wide, Pool, pool.id, total_gib=0.5, free_gib=0.5, capabilities=thick(pool))
    volume = await wide.volume(type_ref="quick")

    told = await wide.volumes.explain(ADMIN, "v")

    assert f"volume v ({volume.id}), 1 GiB, is available on h1@fast#fast" == told["lines"][0]
    assert told["lines"][1].endswith("h1@fast#fast has the most room of 1: 20480 GiB")
    assert [
        "  looked at 4 back ends",
        "  filter extra specs removed 2: h1@slow#slow has volume_backend_name slow, not fast, "
        "h2@slow#slow has volume_backend_name slow, not fast",
        "  filter room removed 1: h2@fast#fast lacks 0.5 GiB",
        "  1. h1@fast#fast  room 20480 GiB",
    ] == told["lines"][2:6]


def thick(pool):
    return msgspec.structs.replace(pool.capabilities, thin=False)
