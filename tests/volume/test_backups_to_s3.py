"""Backups in a bucket: whole and incremental, brought back here and elsewhere; what is told when the store fails."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from volume.s3_server import PRESENT, S3Server
from volume.volume_world import ADMIN, ALICE, World

from micronova.testing.volume_ground import patch, taken
from micronova.volume.backups import NewBackup
from micronova.volume.db import Backup, Message, Volume
from micronova.volume.driver import FromVolume
from micronova.volume.drivers.backup_s3 import S3BackupStore

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not PRESENT, reason="needs moto, flask and botocore")]
MIB = 2**20


@pytest.fixture
async def world(tmp_path: Path, server: S3Server, bucket: S3BackupStore) -> AsyncIterator[World]:
    """Two hosts that keep backups in the same bucket."""
    server.mend()
    made = World(tmp_path)
    await made.open("h1", "h2")
    for host in made.hosts.values():
        host.volume.store = bucket
    yield made
    server.mend()
    await made.close()


def driver(world: World, volume: Volume):
    return world.hosts[volume.host].drivers[volume.backend]


async def write(world: World, volume: Volume, data: bytes, offset: int = 0) -> None:
    path = str(world.folder / "change")
    await driver(world, volume).copy_out(FromVolume(volume.driver_name), path, "raw")
    patch(path, offset, data)
    await driver(world, volume).copy_in(volume.driver_name, path, "raw")
    os.unlink(path)


async def look(world: World, volume: Volume, offset: int, length: int) -> bytes:
    path = str(world.folder / "look")
    await driver(world, volume).copy_out(FromVolume(volume.driver_name), path, "raw")
    return taken(path, ((offset, length),))[0]


async def one(world: World, id: str) -> Backup | None:
    return await world.db.read(lambda tx: tx.first(Backup, id=id))


async def backed_up(world: World, volume: Volume, status: str = "available", **more: object) -> Backup:
    row = await world.volumes.back_up(ALICE, NewBackup(volume_id=volume.id, **more))
    found: Backup = await world.when(lambda: one(world, row.id), lambda found: found.status == status)
    await world.until(volume.id, "available")
    return found


async def test_whole_and_incremental_backups_are_brought_back_here_and_to_a_host_that_made_none(
    world: World, bucket: S3BackupStore
) -> None:
    volume = await world.volume()
    await write(world, volume, b"first" * 1000)
    await write(world, volume, b"second" * 1000, 50 * MIB)
    whole = await backed_up(world, volume)
    await write(world, volume, b"SECOND" * 1000, 50 * MIB)
    part = await backed_up(world, volume, incremental=True)
    await write(world, volume, b"nonsense" * 1000)
    await world.hosts[volume.host].stop()
    away = "h1" if volume.host == "h2" else "h2"
    world.volumes = world.hosts[away].volume
    await world.volumes.freeze(ADMIN, volume.host, frozen=True)

    copy = await world.volumes.restore(ALICE, part.id, None, "copy")
    copy = await world.until(copy.id, "available")
    old = await world.volume()
    await world.volumes.restore(ALICE, whole.id, old.id, None)
    old = await world.until(old.id, "available")

    assert {part.id, whole.id} <= set(await bucket.backups())
    assert (away, away) == (copy.host, old.host)
    assert b"firstfirst" == await look(world, copy, 0, 10)
    assert b"SECOND" == await look(world, copy, 50 * MIB, 6)
    assert b"second" == await look(world, old, 50 * MIB, 6)


async def test_a_deleted_backup_leaves_the_bucket_whichever_host_is_there(world: World, bucket: S3BackupStore) -> None:
    volume = await world.volume()
    await write(world, volume, b"data")
    kept = await backed_up(world, volume)
    await world.hosts[kept.host].stop()
    world.volumes = world.hosts["h1" if kept.host == "h2" else "h2"].volume

    await world.volumes.delete_backup(ALICE, kept.id)

    await world.when(lambda: one(world, kept.id), lambda found: found is None)
    assert kept.id not in await bucket.backups()


async def test_a_store_that_fails_in_the_middle_is_told_and_keeps_nothing(
    world: World, server: S3Server, bucket: S3BackupStore
) -> None:
    volume = await world.volume()
    for number in range(4):
        await write(world, volume, b"data", number * 8 * MIB)
    server.fail("PUT", "/", skip=2)

    failed = await backed_up(world, volume, status="error")

    assert "The backup store does not work now: it answered 503 ServiceUnavailable." == failed.fail_reason
    await world.idle()
    assert failed.id not in await bucket.backups()
    server.mend()
    await backed_up(world, volume)


async def test_a_store_that_is_away_is_told_and_what_is_left_goes_when_it_is_back(
    world: World, server: S3Server, bucket: S3BackupStore
) -> None:
    volume = await world.volume()
    await write(world, volume, b"data")
    server.fail("PUT", "index")
    row = await world.volumes.back_up(ALICE, NewBackup(volume_id=volume.id))
    for host in world.hosts.values():
        host.volume.store = server.store(endpoint="http://127.0.0.1:9", tries=1)
    failed = await world.when(lambda: one(world, row.id), lambda found: found.status == "error")
    await world.until(volume.id, "available")

    for host in world.hosts.values():
        host.volume.store = bucket
    server.mend()

    assert failed.fail_reason.startswith("The backup store ")
    found = await world.when(bucket.backups, lambda found: row.id not in found)
    assert row.id not in found


@pytest.mark.parametrize("wrong", ["bucket", "key"])
async def test_a_store_that_is_set_up_wrong_is_told_at_once(world: World, server: S3Server, wrong: str) -> None:
    volume = await world.volume()
    store = server.store(bucket="elsewhere") if wrong == "bucket" else S3BackupStore(server.options(), "no")
    world.hosts[volume.host].volume.store = store

    failed = await backed_up(world, volume, status="error")

    words = {"bucket": "The backup store has no bucket elsewhere.", "key": "The backup store refuses the access key"}
    assert (failed.fail_reason or "").startswith(words[wrong])


async def test_an_object_cut_short_is_never_brought_back(world: World, bucket: S3BackupStore) -> None:
    volume = await world.volume()
    await write(world, volume, b"precious" * 1000)
    kept = await backed_up(world, volume)
    await bucket.put(kept.id, "00000000", (await bucket.get(kept.id, "00000000"))[:-3])

    copy = await world.volumes.restore(ALICE, kept.id, None, None)
    await world.until(copy.id, "error")
    await world.volumes.restore(ALICE, kept.id, volume.id, None)
    await world.until(volume.id, "error_restoring")

    [message] = await world.rows(Message, resource_id=copy.id)
    assert message.text.endswith("A piece of the backup is damaged.")
    assert "available" == (await one(world, kept.id)).status  # type: ignore[union-attr]
