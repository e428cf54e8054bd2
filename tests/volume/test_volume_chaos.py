"""Whatever is asked, with back ends that fail and services that die: rows and back ends agree afterwards."""

import asyncio
import contextlib
import random

import pytest
from volume.volume_world import ADMIN, ALICE, HERE, World

from micronova.errors import DriverError, Error, Rejected
from micronova.tasks import Task
from micronova.volume import states
from micronova.volume.backups import NewBackup
from micronova.volume.contract import AttachRequest
from micronova.volume.copies import Upload
from micronova.volume.db import Attachment, Backup, Snapshot, Volume
from micronova.volume.snapshots import NewSnapshot
from micronova.volume.volumes import NewVolume

STEPS = 40
FALLIBLE = ("ensure", "remove", "extend", "ensure_snapshot", "remove_snapshot", "ensure_export", "remove_export")


class Chaos:
    """Asks for one thing after another, as chance has it; what is refused is refused."""

    def __init__(self, world: World, seed: int) -> None:
        self.world = world
        self.chance = random.Random(seed)

    async def pick(self, cls):
        rows = await self.world.rows(cls)
        return self.chance.choice(rows) if rows else None

    async def step(self):
        what = self.chance.choice(
            (
                self.create, self.create, self.copy, self.delete, self.extend, self.snapshot, self.unsnapshot,
                self.reserve, self.reserve, self.go_on, self.go_on, self.detach, self.back_up, self.forget_backup,
                self.upload, self.move, self.fail, self.die,
            )
        )  # fmt: skip
        with contextlib.suppress(Error):
            await what()
        for _ in range(self.chance.choice((0, 5, 50, 500))):
            await asyncio.sleep(0)

    async def create(self):
        await self.world.volumes.create(ALICE, NewVolume(size_gib=self.chance.randint(1, 3)))

    async def copy(self):
        origin = await self.pick(self.chance.choice((Volume, Snapshot)))
        if isinstance(origin, Volume):
            await self.world.volumes.create(ALICE, NewVolume(source_volume_id=origin.id))
        elif origin is not None:
            await self.world.volumes.create(ALICE, NewVolume(snapshot_id=origin.id))

    async def delete(self):
        row = await self.pick(Volume)
        if row is not None:
            force = self.chance.random() < 0.3
            await self.world.volumes.delete(ADMIN if force else ALICE, row.id, cascade=True, force=force)

    async def extend(self):
        row = await self.pick(Volume)
        if row is not None:
            await self.world.volumes.extend(ALICE, row.id, row.size_gib + 1, in_use=True)

    async def snapshot(self):
        row = await self.pick(Volume)
        if row is not None:
            await self.world.volumes.create_snapshot(ALICE, NewSnapshot(volume_id=row.id, force=True))

    async def unsnapshot(self):
        row = await self.pick(Snapshot)
        if row is not None:
            await self.world.volumes.delete_snapshot(ALICE, row.id)

    async def reserve(self):
        row = await self.pick(Volume)
        if row is not None:
            server = f"{self.chance.randrange(3):08d}-0000-4000-8000-000000000000"
            await self.world.volumes.reserve(ALICE, AttachRequest(volume_id=row.id, server_id=server))

    async def go_on(self):
        row = await self.pick(Attachment)
        if row is not None:
            await self.world.volumes.connect(ALICE, row.id, HERE)
            await self.world.volumes.complete(ALICE, row.id)

    async def detach(self):
        row = await self.pick(Attachment)
        if row is not None:
            await self.world.volumes.detach(ALICE, row.id)

    async def back_up(self):
        row = await self.pick(Volume)
        if row is not None:
            more = self.chance.random() < 0.5
            await self.world.volumes.back_up(ALICE, NewBackup(volume_id=row.id, force=True, incremental=more))

    async def forget_backup(self):
        row = await self.pick(Backup)
        if row is not None:
            await self.world.volumes.delete_backup(ALICE, row.id)

    async def upload(self):
        row = await self.pick(Volume)
        if row is not None:
            await self.world.volumes.upload(ALICE, row.id, Upload(name="i", disk_format="qcow2"))

    async def move(self):
        row = await self.pick(Volume)
        if row is not None:
            other = next(name for name in self.world.backends if name != row.backend)
            await self.world.volumes.migrate(ADMIN, row.id, f"h1@{other}#{other}")

    async def fail(self):
        driver = self.world.hosts["h1"].drivers[self.chance.choice(self.world.backends)]
        error = self.chance.choice((DriverError("busy"), DriverError("busy"), Rejected("never")))
        driver.refuse(self.chance.choice(FALLIBLE), error, times=self.chance.randint(1, 2))

    async def die(self):
        await self.world.restart()


async def unowned(world):
    """Rows that say something is under way though nothing is."""
    tasks = {task.resource.partition(":")[2] for task in await world.rows(Task, open=True)}
    passing = [row for row in await world.rows(Volume) if row.status in states.TRANSIENT and row.id not in tasks]
    passing += [row for row in await world.rows(Snapshot) if row.status in ("creating", "deleting", "restoring")]
    passing += [row for row in await world.rows(Backup) if row.status in ("creating", "deleting", "restoring")]
    passing += [
        row
        for row in await world.rows(Attachment)
        if row.status in ("reserved", "attaching", "detaching") and row.id not in tasks
    ]
    return [(type(row).__name__, row.status) for row in passing]


async def check(world):
    await world.volumes.reconcile(ADMIN)
    assert [] == await unowned(world)
    assert [] == await world.volumes.audit(ADMIN)
    attachments = {row.id: row for row in await world.rows(Attachment)}
    volumes = {row.driver_name: row for row in await world.rows(Volume)}
    for name, driver in world.hosts["h1"].drivers.items():
        there = await driver.list()
        assert {one.id for one in there.exports} <= set(attachments)
        for one in there.volumes:
            row = volumes[one.name]
            assert (name, one.size_gib) == (row.backend, row.size_gib) or row.status.startswith("error")
    for row in volumes.values():
        used = [one.status for one in attachments.values() if one.volume_id == row.id]
        if row.status in states.FOLLOWS_ATTACHMENTS:
            assert states.of_attachments(used) == row.status
    assert not list(world.volumes.copies.glob("*"))
    kept = {row.location for row in await world.rows(Backup)}
    assert set(await world.volumes.store.backups()) <= kept


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
async def test_rows_and_back_ends_agree_after_anything(tmp_path, seed):
    world = World(tmp_path, ("one", "two"), tasks__retry_seconds=0.001)
    await world.open("h1")
    chaos = Chaos(world, seed)

    for _ in range(STEPS):
        await chaos.step()
    for driver in world.hosts["h1"].drivers.values():
        driver._refusals.clear()
    await world.idle()

    await check(world)
    await world.close()
