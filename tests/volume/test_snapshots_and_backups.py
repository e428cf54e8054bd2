"""Data never lost: snapshots gone back to, backups brought back, whole and in parts, and what is damaged."""

import os

import pytest
from volume.volume_world import ADMIN, ALICE

from micronova.errors import BadRequest, DriverError, NotFound, Rejected, WrongState
from micronova.tasks import Task
from micronova.testing.volume_ground import patch, taken
from micronova.volume.backups import NewBackup
from micronova.volume.copies import Upload
from micronova.volume.db import Backup
from micronova.volume.driver import FromVolume
from micronova.volume.drivers.backup_file import FileBackupStore
from micronova.volume.snapshots import NewSnapshot
from micronova.volume.volumes import NewVolume

MIB = 2**20


async def write(world, volume, data, offset=0):
    path = str(world.folder / "change")
    await world.driver.copy_out(FromVolume(volume.driver_name), path, "raw")
    patch(path, offset, data)
    await world.driver.copy_in(volume.driver_name, path, "raw")
    os.unlink(path)


async def look(world, volume, offset=0, length=8):
    path = str(world.folder / "look")
    await world.driver.copy_out(FromVolume(volume.driver_name), path, "raw")
    return taken(path, ((offset, length),))[0]


async def snapshot(world, volume):
    row = await world.volumes.create_snapshot(ALICE, NewSnapshot(volume_id=volume.id, force=True))
    return await world.when(lambda: world.snapshot_row(row.id), lambda found: found.status == "available")


async def backup(world, volume, **more):
    row = await world.volumes.back_up(ALICE, NewBackup(volume_id=volume.id, **more))
    return await world.when(lambda: one(world, row.id), lambda found: found.status == "available")


async def one(world, id):
    return await world.db.read(lambda tx: tx.first(Backup, id=id))


async def test_a_volume_goes_back_to_its_latest_snapshot_only(world):
    volume = await world.volume()
    await write(world, volume, b"before")
    first, second = await snapshot(world, volume), await snapshot(world, volume)
    await write(world, volume, b"after!")
    with pytest.raises(BadRequest):
        await world.volumes.revert(ALICE, volume.id, first.id)

    await world.volumes.revert(ALICE, volume.id, second.id)
    await world.until(volume.id, "available")

    assert b"before" == await look(world, volume, length=6)
    assert "available" == (await world.snapshot_row(second.id)).status


async def test_a_snapshot_that_can_not_be_taken_says_so_and_can_be_removed(world):
    volume = await world.volume()
    world.driver.refuse("ensure_snapshot", Rejected("no"))

    row = await world.volumes.create_snapshot(ALICE, NewSnapshot(volume_id=volume.id))
    await world.when(lambda: world.snapshot_row(row.id), lambda found: found.status == "error")
    await world.volumes.delete_snapshot(ALICE, row.id)

    await world.when(lambda: world.snapshot_row(row.id), lambda found: found is None)


async def test_a_backup_brings_back_what_was(world):
    volume = await world.volume()
    await write(world, volume, b"precious", 9 * MIB)
    kept = await backup(world, volume)
    await write(world, volume, b"nonsense", 9 * MIB)
    await write(world, volume, b"more", 100 * MIB)

    await world.volumes.restore(ALICE, kept.id, volume.id, None)
    await world.until(volume.id, "available")

    assert (b"precious", bytes(4)) == (
        await look(world, volume, 9 * MIB), await look(world, volume, 100 * MIB, 4)
    )  # fmt: skip
    assert 1 == kept.object_count


async def test_an_incremental_backup_keeps_what_changed_and_brings_back_all(world):
    volume = await world.volume()
    await write(world, volume, b"first", 0)
    await write(world, volume, b"second", 50 * MIB)
    whole = await backup(world, volume)
    await write(world, volume, b"SECOND", 50 * MIB)

    part = await backup(world, volume, incremental=True)
    copy = await world.volumes.restore(ALICE, part.id, None, "copy")
    copy = await world.until(copy.id, "available")

    files = {name: len(os.listdir(world.folder / "backups" / name)) for name in (whole.id, part.id)}
    assert (b"first", b"SECOND") == (await look(world, copy, 0, 5), await look(world, copy, 50 * MIB, 6))
    assert {whole.id: 3, part.id: 2} == files


async def test_an_incremental_backup_needs_a_first(world):
    volume = await world.volume()

    with pytest.raises(BadRequest):
        await world.volumes.back_up(ALICE, NewBackup(volume_id=volume.id, incremental=True))


async def test_a_volume_in_use_is_backed_up_when_that_is_said(world):
    volume = await world.volume()
    await world.attached(volume)
    with pytest.raises(WrongState):
        await world.volumes.back_up(ALICE, NewBackup(volume_id=volume.id))

    await backup(world, volume, force=True)

    await world.until(volume.id, "in-use")


async def test_a_damaged_backup_is_never_brought_back(world):
    volume = await world.volume()
    await write(world, volume, b"precious")
    kept = await backup(world, volume)
    piece = world.folder / "backups" / kept.id / "00000000"
    piece.write_bytes(piece.read_bytes()[:-3] + b"???")

    copy = await world.volumes.restore(ALICE, kept.id, None, None)
    await world.until(copy.id, "error")
    await world.volumes.restore(ALICE, kept.id, volume.id, None)
    await world.until(volume.id, "error_restoring")

    assert "available" == (await one(world, kept.id)).status


async def test_a_backup_that_fails_says_why_and_keeps_nothing(world):
    volume = await world.volume()
    world.driver.refuse("copy_out", Rejected("no"))

    row = await world.volumes.back_up(ALICE, NewBackup(volume_id=volume.id))
    failed = await world.when(lambda: one(world, row.id), lambda found: found.status == "error")
    await world.until(volume.id, "available")

    assert failed.fail_reason
    assert not (world.folder / "backups" / row.id).exists()


async def test_a_backup_in_a_store_that_its_host_no_longer_has_is_not_forgotten(world):
    volume = await world.volume()
    await write(world, volume, b"precious")
    kept = await backup(world, volume)

    class Other(FileBackupStore):
        name = "cinder.backup.drivers.another"

    world.volumes.store = Other(world.folder / "elsewhere")

    await world.volumes.delete_backup(ALICE, kept.id)
    await world.when(lambda: one(world, kept.id), lambda found: found.status == "error_deleting")

    assert (world.folder / "backups" / kept.id).exists()


async def test_a_record_of_a_backup_can_be_kept_and_brought_again(world):
    volume = await world.volume()
    await write(world, volume, b"precious")
    kept = await backup(world, volume)
    service, text = await world.volumes.export_record(ADMIN, kept.id)
    with pytest.raises(WrongState):
        await world.volumes.import_record(ADMIN, service, text)
    await world.db.write(lambda tx: tx.delete(tx.get(Backup, kept.id)), ADMIN, why="lost")

    again = await world.volumes.import_record(ADMIN, service, text)
    copy = await world.volumes.restore(ADMIN, again.id, None, None)
    copy = await world.until(copy.id, "available")

    assert b"precious" == await look(world, copy)
    with pytest.raises(BadRequest):
        await world.volumes.import_record(ADMIN, service, "nonsense")


async def test_nothing_is_left_of_copies(world):
    volume = await world.volume()
    await backup(world, volume)
    (world.volumes.copies / "left").write_bytes(b"x")

    await world.restart()

    assert not world.volumes.copies.exists()


async def test_what_a_forced_removal_cuts_short_is_settled(world):
    volume, other = await world.volume(), await world.volume()
    kept = await backup(world, volume)
    world.driver.slow(60, operation="copy_out")
    made = await world.volumes.back_up(ALICE, NewBackup(volume_id=volume.id))
    _, image_id = await world.volumes.upload(ALICE, other.id, Upload(name="i", disk_format="qcow2"))
    await world.when(lambda: world.rows(Task, open=True, state="running"), lambda rows: len(rows) == 2)

    for one_of in (volume, other):
        await world.volumes.delete(ADMIN, one_of.id, force=True)
        await world.gone(one_of.id)

    assert ("error", "available") == ((await one(world, made.id)).status, (await one(world, kept.id)).status)
    with pytest.raises(NotFound):
        await world.hosts["h1"].image.get(ALICE, image_id)


# -- on several hosts


async def test_a_backup_is_brought_back_on_another_host(wide):
    volume = await wide.volume(size_gib=1)
    wide.driver = wide.hosts[volume.host].drivers[volume.backend]
    await write(wide, volume, b"precious")
    kept = await backup(wide, volume)
    away = "h2" if volume.host == "h1" else "h1"
    await wide.volumes.freeze(ADMIN, volume.host, frozen=True)
    wide.hosts[away].volume.store = FileBackupStore(wide.folder / "nothing-here")

    made = await wide.volumes.restore(ALICE, kept.id, None, None)
    copy = await wide.until(made.id, "available")

    wide.driver = wide.hosts[copy.host].drivers[copy.backend]
    assert away == copy.host
    assert b"precious" == await look(wide, copy)


async def test_a_volume_of_another_host_is_attached_through_that_host(wide):
    await wide.volumes.freeze(ADMIN, "h1", frozen=True)
    volume = await wide.volume()

    info = await wide.attached(volume)

    there = await wide.hosts["h2"].drivers[volume.backend].list()
    assert ("h2", [info.id]) == (volume.host, [one.id for one in there.exports])


async def test_a_back_end_that_does_not_work_takes_nothing_and_is_tried_again(world):
    world.driver.refuse("init_host", DriverError("no disk"))
    await world.restart()
    nowhere = (await world.volumes.create(ALICE, NewVolume(size_gib=1))).row
    pools = await world.volumes.all_pools(ADMIN)

    await world.volumes.report_pools(ADMIN)
    volume = await world.volume()

    assert ("error", "no disk") == (nowhere.status, pools[0].row.reason)
    assert "file" == volume.backend
