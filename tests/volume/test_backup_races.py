"""Backups whose tasks meet others' requests, or die at a bad moment: none that is good loses data, nothing is stuck."""

import asyncio
from datetime import timedelta

import msgspec
import pytest
from volume.volume_world import ADMIN, ALICE

from micronova.errors import BadRequest, WrongState
from micronova.tasks import Task
from micronova.volume.backups import NewBackup
from micronova.volume.changes import Reset
from micronova.volume.db import Backup
from micronova.volume.drivers.backup_file import FileBackupStore
from micronova.volume.scratch import CopyFile
from micronova.volume.snapshots import NewSnapshot


class GatedStore(FileBackupStore):
    """A store that keeps nothing before its gate is opened."""

    def __init__(self, folder):
        super().__init__(folder)
        self.reached, self.gate = asyncio.Event(), asyncio.Event()

    async def put(self, backup, piece, data):
        self.reached.set()
        await self.gate.wait()
        await super().put(backup, piece, data)


async def one(world, id):
    return await world.db.read(lambda tx: tx.first(Backup, id=id))


async def kept(world, volume, **more):
    row = await world.volumes.back_up(ALICE, NewBackup(volume_id=volume.id, **more))
    await world.when(lambda: one(world, row.id), lambda found: found.status == "available")
    await world.idle()
    return row


async def begun(world, volume):
    """A backup whose task is about to keep its first piece."""
    store = world.hosts["h1"].volume.store = GatedStore(world.folder / "gated")
    row = await world.volumes.back_up(ALICE, NewBackup(volume_id=volume.id))
    await store.reached.wait()
    return row, store


async def reopened(world, **fields):
    """The task of a backup as it was when its service died, just before it could say that it is done."""

    def write(tx):
        [task] = tx.find(Task, method="keep")
        tx.change(task, state="queued", open=True, finished_at=None, lease_until=None, leased_by="", **fields)

    await world.db.write(write, ADMIN, why="test")


async def test_a_backup_outlives_its_volume_that_is_removed_before_its_task_is_closed(world):
    volume = await world.volume()
    backup = await kept(world, volume)
    await reopened(world, run_at=world.runtime.clock.now() + timedelta(hours=1))

    await world.volumes.delete(ALICE, volume.id)
    await world.gone(volume.id)

    assert "available" == (await one(world, backup.id)).status
    assert [backup.id] == await world.volumes.store.backups()


async def test_a_backup_that_is_good_stays_though_its_task_is_given_up_afterwards(world):
    volume = await world.volume()
    backup = await kept(world, volume)

    await reopened(world, deadline_at=world.runtime.clock.now() - timedelta(seconds=1))
    await world.when(lambda: world.rows(Task, method="keep"), lambda rows: rows[0].state == "failed")

    assert "available" == (await one(world, backup.id)).status
    assert [backup.id] == await world.volumes.store.backups()


async def test_a_backup_that_is_removed_by_force_while_it_is_made_leaves_nothing_stuck(world):
    volume = await world.volume()
    backup, store = await begun(world, volume)

    await world.volumes.delete_backup(ADMIN, backup.id, force=True)
    await world.when(lambda: one(world, backup.id), lambda found: found is None)
    store.gate.set()
    await world.until(volume.id, "available")
    await world.idle()

    assert [] == await store.backups()


async def test_a_backup_that_is_gone_before_it_is_begun_leaves_its_volume_as_it_was(world):
    volume = await world.volume()
    world.driver.slow(60, operation="copy_out")
    backup = await world.volumes.back_up(ALICE, NewBackup(volume_id=volume.id))
    await world.when(lambda: world.rows(Task, open=True, state="running"), bool)
    await world.volumes.delete_backup(ADMIN, backup.id, force=True)
    await world.when(lambda: one(world, backup.id), lambda found: found is None)

    world.driver.slow(0, operation="copy_out")
    await world.restart()

    assert "available" == (await world.until(volume.id, "available")).status


async def test_a_backup_that_is_said_to_be_in_error_while_it_is_made_keeps_nothing(world):
    volume = await world.volume()
    backup, store = await begun(world, volume)

    await world.volumes.reset_backup(ADMIN, backup.id, "error")
    store.gate.set()
    await world.until(volume.id, "available")
    await world.idle()

    assert ("error", []) == ((await one(world, backup.id)).status, await store.backups())


async def test_a_volume_waits_for_the_last_of_its_backups(world):
    volume = await world.volume()
    shot = await world.volumes.create_snapshot(ALICE, NewSnapshot(volume_id=volume.id))
    await world.when(lambda: world.snapshot_row(shot.id), lambda found: found.status == "available")
    store = world.hosts["h1"].volume.store = GatedStore(world.folder / "gated")
    first = await world.volumes.back_up(ALICE, NewBackup(volume_id=volume.id, snapshot_id=shot.id))
    await store.reached.wait()
    world.driver.slow(60, operation="copy_out")
    await world.volumes.back_up(ALICE, NewBackup(volume_id=volume.id))

    store.gate.set()
    await world.when(lambda: one(world, first.id), lambda found: found.status == "available")

    assert "backing-up" == (await world.row(volume.id)).status


async def test_pieces_on_a_host_that_is_away_go_when_it_is_back(wide):
    volume = await wide.volume()
    for name, host in wide.hosts.items():
        host.volume.store = FileBackupStore(wide.folder / name)
    host = wide.hosts[volume.host]
    host.drivers[volume.backend].slow(60, operation="copy_out")
    backup = await wide.volumes.back_up(ALICE, NewBackup(volume_id=volume.id))
    await wide.when(lambda: wide.rows(Task, method="keep", state="running"), bool)
    await host.stop()
    store = FileBackupStore(wide.folder / volume.host)
    await store.put(backup.id, "00000000", b"half")

    await reopened(wide, deadline_at=wide.runtime.clock.now() - timedelta(hours=1))
    await wide.when(lambda: one(wide, backup.id), lambda found: found.status == "error")
    await host.start()
    host.volume.store = store

    await wide.when(store.backups, lambda found: not found)


async def test_a_backup_whose_restore_is_called_off_can_be_used_again(world):
    volume = await world.volume()
    backup = await kept(world, volume)
    await world.hosts["h1"].stop()
    await world.volumes.restore(ALICE, backup.id, volume.id, None)
    await world.volumes.reset(ADMIN, volume.id, Reset(status="available"))

    await world.hosts["h1"].start()

    await world.when(lambda: one(world, backup.id), lambda found: found.status == "available")


async def test_a_backup_is_not_removed_while_a_volume_is_made_from_it(world):
    backup = await kept(world, await world.volume())
    world.driver.slow(60, operation="ensure")
    await world.volumes.restore(ALICE, backup.id, None, "copy")

    with pytest.raises(WrongState, match="being made"):
        await world.volumes.delete_backup(ALICE, backup.id)


async def test_a_snapshot_is_backed_up_as_one_of_its_own_volume_and_of_its_own_moment(world):
    volume, other = await world.volume(), await world.volume()
    shot = await world.volumes.create_snapshot(ALICE, NewSnapshot(volume_id=other.id))
    await world.when(lambda: world.snapshot_row(shot.id), lambda found: found.status == "available")

    with pytest.raises(BadRequest, match="does not match"):
        await world.volumes.back_up(ALICE, NewBackup(volume_id=volume.id, snapshot_id=shot.id))
    backup = await kept(world, other, snapshot_id=shot.id)

    assert shot.created_at == backup.data_timestamp


async def test_a_project_builds_on_backups_of_its_own_only(world):
    volume = await world.volume()
    await kept(world, volume)

    with pytest.raises(BadRequest, match="No backups available"):
        await world.volumes.back_up(ADMIN, NewBackup(volume_id=volume.id, incremental=True))


async def test_what_a_file_store_keeps_is_for_nobody_else_on_the_host(tmp_path):
    await FileBackupStore(tmp_path / "shared").put("backup", "00000000", b"data")

    assert 0 == (tmp_path / "shared" / "backup").stat().st_mode & 0o077


async def test_copies_under_way_are_for_nobody_else_on_the_host(tmp_path):
    async with CopyFile(tmp_path / "host" / "copy") as path:
        assert 0 == path.parent.stat().st_mode & 0o077


async def test_two_backups_of_the_same_pieces_that_are_removed_at_once_leave_none(world, monkeypatch):
    manager, volume = world.hosts["h1"].volume, await world.volume()
    both, write = asyncio.Barrier(2), manager.db.write

    async def write_when_both_have_looked(fn, ctx, *, why):
        if why == "its data are gone":
            await both.wait()
        return await write(fn, ctx, why=why)

    monkeypatch.setattr(manager.db, "write", write_when_both_have_looked)
    first = await one(world, (await kept(world, volume)).id)
    twin = msgspec.structs.replace(first, id="twin", status="deleting")
    await world.db.write(lambda tx: tx.insert(twin), ADMIN, why="test")

    await asyncio.gather(manager.drop_backup(ADMIN, first.id), manager.drop_backup(ADMIN, "twin"))
    await world.idle()

    assert ([], []) == (await world.rows(Backup), await manager.store.backups())
