"""The volume service dies after every durable step of every operation: one restart and one tick bring order.

What was seen is compared with faults.json, from which the page doc/volume-faults.md is made. When it has changed for a
reason, MICRONOVA_RECORD=1 in the environment of this test writes it anew; then run script/docs.
"""

import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from volume.faults import Seen, agree
from volume.mortal import MortalWorld, first
from volume.volume_world import ADMIN, ALICE, HERE, SERVER

from micronova.image.db import Image
from micronova.tasks import Task
from micronova.volume import states
from micronova.volume.backups import NewBackup
from micronova.volume.contract import AttachRequest
from micronova.volume.db import Attachment, Backup, Group, GroupSnapshot, GroupType, Snapshot, Volume
from micronova.volume.drivers.pretended import Blocks
from micronova.volume.drivers.pretended import Volume as Pretended
from micronova.volume.group_specs import CONSISTENT
from micronova.volume.groups import NewGroup
from micronova.volume.managed import Adoption
from micronova.volume.snapshots import NewSnapshot
from micronova.volume.volumes import NewVolume

RETRY = 0.01
RECORD = Path(__file__).parent / "faults.json"
PASSING = ("creating", "deleting", "restoring")
LONG = 100
SWEEP = 60
"""Seconds: nothing is found by chance, only by whoever is told of it or starts."""
Step = Callable[[MortalWorld], Awaitable[None]]


async def nothing(world: MortalWorld) -> None:
    """There is nothing."""


async def one(world: MortalWorld) -> None:
    """One volume with data."""
    write(world, (await world.volume(name="one")).id, b"first")


def write(world: MortalWorld, name: str, data: bytes) -> None:
    """The volume holds these data alone."""
    pool = world.driver.pool
    pool.put(Pretended(name, pool.volume(name).size_gib, Blocks({0: data})))


async def used(world: MortalWorld) -> None:
    await one(world)
    await world.attached(await the(world))


async def with_snapshot(world: MortalWorld) -> None:
    await one(world)
    await snapshot(world)
    await world.idle()
    write(world, (await the(world)).id, b"second")


async def with_backup(world: MortalWorld) -> None:
    await one(world)
    await back_up(world)
    await world.idle()
    write(world, (await the(world)).id, b"second")


async def filed(world: MortalWorld) -> None:
    await world.image(b"image")


async def with_types(world: MortalWorld) -> None:
    await world.volumes.types.create(ADMIN, {"name": "other", "extra_specs": {"volume_backend_name": "two"}})
    await one(world)


async def group(world: MortalWorld) -> None:
    """Two volumes of a group that is snapshot at one instant."""
    kind = GroupType(id="kind", name="k", group_specs={CONSISTENT: "<is> True"}, created_at=world.runtime.clock.now())
    await world.db.write(lambda tx: tx.insert(kind), ADMIN, why="test")
    asked = NewGroup(name="g", group_type="kind", volume_types=("__DEFAULT__",))
    made = await world.volumes.create_group(ALICE, asked)
    for name in ("one", "other"):
        await world.volume(name=name, group_id=made.id, type_ref="__DEFAULT__")


async def one_here(world: MortalWorld) -> None:
    """One volume with data on the first of two hosts."""
    await world.volumes.freeze(ADMIN, "h2", frozen=True)
    await one(world)
    await world.volumes.freeze(ADMIN, "h2", frozen=False)


async def foreign(world: MortalWorld) -> None:
    world.driver.pool.put(Pretended("theirs", 1, Blocks({0: b"theirs"})))


async def the(world: MortalWorld) -> Volume:
    (row,) = await world.rows(Volume)
    return row


async def only(world: MortalWorld, kind: type) -> str:
    (row,) = await world.rows(kind)
    return str(row.id)


# -- what is asked


async def create(world: MortalWorld) -> None:
    await world.volumes.create(ALICE, NewVolume(name="new", size_gib=1))


async def create_from_image(world: MortalWorld) -> None:
    (image,) = await world.db.read(lambda tx: tx.find(Image))
    await world.volumes.create(ALICE, NewVolume(name="new", size_gib=1, image_id=image.id))


async def clone(world: MortalWorld) -> None:
    await world.volumes.create(ALICE, NewVolume(name="new", source_volume_id=(await the(world)).id))


async def create_from_snapshot(world: MortalWorld) -> None:
    await world.volumes.create(ALICE, NewVolume(name="new", snapshot_id=await only(world, Snapshot)))


async def delete(world: MortalWorld) -> None:
    await world.volumes.delete(ALICE, (await the(world)).id, cascade=True)


async def extend(world: MortalWorld) -> None:
    await world.volumes.extend(ALICE, (await the(world)).id, 3, in_use=True)


async def snapshot(world: MortalWorld) -> None:
    await world.volumes.create_snapshot(ALICE, NewSnapshot(volume_id=(await the(world)).id, force=True))


async def delete_snapshot(world: MortalWorld) -> None:
    await world.volumes.delete_snapshot(ALICE, await only(world, Snapshot))


async def revert(world: MortalWorld) -> None:
    await world.volumes.revert(ALICE, (await the(world)).id, await only(world, Snapshot))


async def attach(world: MortalWorld) -> None:
    asked = AttachRequest(volume_id=(await the(world)).id, server_id=SERVER, device="/dev/vdb")
    info = await world.volumes.reserve(ALICE, asked)
    await world.volumes.connect(ALICE, info.id, HERE)
    await world.volumes.complete(ALICE, info.id)


async def detach(world: MortalWorld) -> None:
    id = await only(world, Attachment)
    await world.volumes.begin_detach(ALICE, id)
    await world.volumes.detach(ALICE, id)


async def back_up(world: MortalWorld) -> None:
    volume = await the(world)
    more = bool(await world.rows(Backup))
    await world.volumes.back_up(ALICE, NewBackup(volume_id=volume.id, force=True, incremental=more))


async def delete_backup(world: MortalWorld) -> None:
    await world.volumes.delete_backup(ALICE, await only(world, Backup))


async def restore(world: MortalWorld) -> None:
    await world.volumes.restore(ALICE, await only(world, Backup), (await the(world)).id, None)


async def restore_to_new(world: MortalWorld) -> None:
    await world.volumes.restore(ALICE, await only(world, Backup), None, "new")


async def retype(world: MortalWorld) -> None:
    await world.volumes.retype(ADMIN, (await the(world)).id, "other", may_move=True)


async def migrate(world: MortalWorld) -> None:
    await world.volumes.migrate(ADMIN, (await the(world)).id, "h1@two#two")


async def migrate_far(world: MortalWorld) -> None:
    await world.volumes.migrate(ADMIN, (await the(world)).id, "h2@one#one")


async def snapshot_group(world: MortalWorld) -> None:
    await world.volumes.create_group_snapshot(ALICE, await only(world, Group), "shot", None)


async def adopt(world: MortalWorld) -> None:
    await world.volumes.adopt(ADMIN, Adoption(pool="h1@one#one", source_name="theirs", name="new"))


async def let_go(world: MortalWorld) -> None:
    await world.volumes.unmanage(ADMIN, (await the(world)).id)


class Story:
    """What is there before, and what is asked. `waits`: by several requests; who does not go on has his time.

    `dying`: who dies, of two hosts where it is named.
    """

    def __init__(self, before: Step, act: Step, *, waits: bool = False, dying: str = "") -> None:
        self.before, self.act, self.waits, self.dying = before, act, waits, dying

    async def begin(self, folder: Path) -> MortalWorld:
        """A world in which it can happen."""
        flags = {"tasks__sweep_seconds": SWEEP, "tasks__retry_seconds": RETRY}
        world = MortalWorld(folder, ("one", "two"), **flags)
        await world.begin(*(("h1", "h2") if self.dying else ("h1",)), dying=self.dying or "h1")
        await self.before(world)
        await world.idle()
        return world


STORIES = {
    "create": Story(nothing, create),
    "create from an image": Story(filed, create_from_image),
    "create from a snapshot": Story(with_snapshot, create_from_snapshot),
    "clone": Story(one, clone),
    "clone, in use": Story(used, clone),
    "delete": Story(one, delete),
    "delete with snapshots": Story(with_snapshot, delete),
    "extend": Story(one, extend),
    "extend, in use": Story(used, extend),
    "snapshot": Story(one, snapshot),
    "snapshot, in use": Story(used, snapshot),
    "delete a snapshot": Story(with_snapshot, delete_snapshot),
    "snapshot a group": Story(group, snapshot_group),
    "revert to a snapshot": Story(with_snapshot, revert),
    "attach": Story(one, attach, waits=True),
    "detach": Story(used, detach, waits=True),
    "back up": Story(one, back_up),
    "back up what has changed": Story(with_backup, back_up),
    "delete a backup": Story(with_backup, delete_backup),
    "restore": Story(with_backup, restore),
    "restore to a new volume": Story(with_backup, restore_to_new),
    "retype to another back end": Story(with_types, retype),
    "migrate to another back end": Story(one, migrate),
    "migrate to another host, which dies": Story(one_here, migrate_far, dying="h2"),
    "take over (manage)": Story(foreign, adopt),
    "let go (unmanage)": Story(one, let_go),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", STORIES)
async def test_a_death_after_any_step_is_made_good_by_one_restart_and_one_tick(tmp_path: Path, name: str) -> None:
    story, seen = STORIES[name], list[Seen]()
    done = await undisturbed(tmp_path / "whole", story)

    for number in itertools.count(1):
        assert number < LONG
        world = await story.begin(tmp_path / str(number))
        before = await summary(world)
        moment = await world.live_and_die(story.act, number)
        if moment:
            there = await summary(world)
            await world.come_back()
            first = await left(world)
            became = await outcome(world, story, (before, there, done))
            seen.append(Seen(moment, became, len({*first, *await left(world)})))
        await world.close()
        if not moment:
            break

    assert [] == [one for one in seen if one.left]
    agree(RECORD, name, seen)


async def undisturbed(folder: Path, story: Story) -> object:
    """How it ends when nobody dies."""
    world = await story.begin(folder)
    await story.act(world)
    await world.idle()
    found = await summary(world)
    assert [] == await left(world)
    await world.close()
    return found


async def outcome(world: MortalWorld, story: Story, found: tuple[object, object, object]) -> str:
    """What became of it, given what there was before it, at the death, and when it is done. Waits if it has to."""
    before, there, done = found
    now = await summary(world)
    if now not in (before, done) and story.waits:
        await world.wait_long()
        assert before == await summary(world)
        return "undone, when its time is up"
    assert now in (before, done), (before, now, done)
    if now == before:
        return "undone"
    return "done" if there == done else "retried"


async def summary(world: MortalWorld) -> object:
    """All that users and back ends have, without ids: rows, and the data behind them."""
    pools = {(host.name, name): driver.pool for host, name, driver in everywhere(world)}
    volumes, kept = await world.rows(Volume), await world.host.kept.backups()
    attachments, backups = await world.rows(Attachment), await world.rows(Backup)
    exported = {id for pool in pools.values() for id in pool.exports}

    def shown(row: Volume) -> object:
        found = pools[row.host, row.backend].volumes.get(row.driver_name)
        data = None if found is None else (found.size_gib, found.complete, first(found.blocks))
        return str(row.name), row.status, row.size_gib, row.growing_gib, row.host, row.backend, data

    return (
        sorted(shown(row) for row in volumes),
        sorted((row.status, row.size_gib) for row in await world.rows(Snapshot)),
        sorted(row.status for row in await world.rows(GroupSnapshot)),
        sorted((row.status, row.id in exported) for row in attachments),
        sorted((row.status, row.object_count, row.location in kept) for row in backups),
        {place: sorted(len(name) for name in pool.volumes) for place, pool in pools.items()},
    )


def everywhere(world: MortalWorld) -> list[tuple[Any, str, Any]]:
    """(host, name, driver) of every back end."""
    return [(host, name, driver) for host in world.hosts.values() for name, driver in host.drivers.items()]


async def left(world: MortalWorld) -> list[str]:
    """Exports, volumes, snapshots, files, pieces and rows that are nobody's, or that nobody sees to."""
    tasks = {task.resource.partition(":")[2] for task in await world.rows(Task, open=True)}
    volumes, snapshots = await world.rows(Volume), await world.rows(Snapshot)
    attachments, backups = await world.rows(Attachment), await world.rows(Backup)
    groups = await world.rows(GroupSnapshot)
    found = [f"volume {row.status}" for row in volumes if row.status in states.TRANSIENT and row.id not in tasks]
    found += [f"row {row.status}" for row in (*snapshots, *backups, *groups) if row.status in PASSING]
    passing = (states.RESERVED, states.ATTACHING, states.DETACHING)
    found += [f"attachment {row.status}" for row in attachments if row.status in passing and row.id not in tasks]
    for host, name, driver in everywhere(world):
        there = await driver.list()
        mine = {row.driver_name for row in volumes if (row.host, row.backend) == (host.name, name)}
        found += [f"{name}: volume {one.name}" for one in there.volumes if one.name not in mine and is_ours(one.name)]
        found += [f"{name}: snapshot" for one in there.snapshots if one.name not in {row.id for row in snapshots}]
        found += [f"{name}: export" for one in there.exports if one.id not in {row.id for row in attachments}]
        found += [f"file {file.name}" for file in host.volume.copies.glob("*")]
    locations = {row.location for row in backups}
    found += [f"pieces of {name}" for name in await world.host.kept.backups() if name not in locations]
    for row in (*volumes, *snapshots, *attachments, *backups):
        examined = await world.volumes.examine(ADMIN, row.id)
        found += [f"{one.kind} {one.what}" for one in examined.findings]
    return found


def is_ours(name: str) -> bool:
    """Whether a back end's volume was made by us, or is still."""
    return name != "theirs" and not name.startswith("volume-")
