"""Each invariant of volumes can fail: the world is broken on purpose, and the invariant that should says so."""

import asyncio
import contextlib
import copy
import functools

import msgspec
import pytest

from micronova.compute.create import NewServer
from micronova.compute.db import Server
from micronova.compute.volumes import NewDisk
from micronova.context import admin_context
from micronova.options import QuotaOptions
from micronova.sim import snapshot
from micronova.sim.asking import member
from micronova.sim.faults import Dice
from micronova.sim.invariants import ALWAYS, HEALED, broken
from micronova.sim.loop import VirtualLoop, run
from micronova.sim.volume_invariants import volume_quotas_are_kept
from micronova.sim.workload import Users
from micronova.sim.world import Ground, World
from micronova.tasks import Task
from micronova.volume.backups import NewBackup
from micronova.volume.db import Attachment, Backup, Snapshot, Transfer, Volume
from micronova.volume.driver import ExportSpec
from micronova.volume.drivers.pretended import Blocks
from micronova.volume.snapshots import NewSnapshot
from micronova.volume.volumes import NewVolume

GROUND = Ground()
ANN = member("p1")


class NotReally(Exception):
    """What was imagined is taken back."""


class Imagining(World):
    """A world that can be looked at as if something were wrong with its rows."""

    async def imagine(self, damage):
        """What is found wrong after the damage, which is undone."""
        self.damage = damage
        try:
            return broken((*ALWAYS, *HEALED), await snapshot.take(self, wanted=True))
        finally:
            self.damage = None

    damage = None

    async def read(self, fn):
        if self.damage is None:
            return await super().read(fn)
        found = []

        def write(tx):
            self.damage(tx)
            found.append(fn(tx))
            raise NotReally

        with contextlib.suppress(NotReally):
            await self.db.write(write, admin_context(self.clock), why="imagined")
        return found[0]


class Store:
    """A cloud with a server that has a volume, and a second volume with a snapshot and a backup."""

    def __init__(self, loop):
        self.world = Imagining(3, loop, GROUND, lambda line: None)
        self.users = Users(self.world, Dice(self.world.clock))
        self.rows = {}

    async def open(self):
        await self.world.open()
        await self.users.open()
        asked = NewServer(name="s", flavor_ref="tiny", image_ref=self.users._image_id)
        await self.ask(lambda api: api.compute.create(ANN, asked))
        for name in ("one", "two"):
            new = NewVolume(name=name, size_gib=1, type_ref="fast")
            await self.ask(lambda api, new=new: api.volume.create(ANN, new))
        await self.learn()
        one, two, server = self.rows["one"], self.rows["two"], self.rows["s"]
        await self.ask(lambda api: api.compute.attach_volume(ANN, server.id, NewDisk(volume_id=one.id)))
        await self.ask(lambda api: api.volume.create_snapshot(ANN, NewSnapshot(volume_id=two.id, name="shot")))
        await self.ask(lambda api: api.volume.back_up(ANN, NewBackup(volume_id=two.id, name="kept")))
        await self.learn()

    async def ask(self, ask):
        await asyncio.wait([self.world.request("asks", ask)])
        await asyncio.sleep(5)

    async def learn(self):
        for cls in (Server, Volume, Snapshot, Backup):
            self.rows |= {row.name: row for row in await self.world.read(lambda tx, cls=cls: tx.find(cls))}

    def backend(self, name="one"):
        volume = self.rows[name]
        return self.world.machines[volume.host].backends[volume.backend]

    async def change(self, damage):
        await self.world.db.write(damage, admin_context(self.world.clock), why="broken on purpose")

    async def names(self, invariants=(*ALWAYS, *HEALED)):
        return names(broken(invariants, await snapshot.take(self.world, wanted=True)))


def names(lines):
    """The invariants that said so."""
    return [line.split(":")[0] for line in lines]


def in_a_store(look):
    """What `look` finds in a cloud with volumes in use."""
    loop = VirtualLoop()
    store = Store(loop)

    async def live():
        await store.open()
        found = await look(store)
        assert [] == store.world.bugs
        await store.world.close()
        return found

    return run(live(), loop)


def volume(tx, name):
    return tx.first(Volume, name=name)


def forget_a_volume(tx):
    tx.delete(volume(tx, "two"))


def lose_a_server(tx):
    tx.change(tx.first(Attachment), server_id="nobody")


def lose_a_parent(tx):
    tx.change(tx.first(Backup), parent_id="gone")


def lose_a_group(tx):
    tx.change(volume(tx, "two"), group_id="gone")


def call_it_free(tx):
    tx.change(volume(tx, "one"), status="available")


def attach_it_twice(tx):
    tx.insert(msgspec.structs.replace(tx.first(Attachment), id="x", revision=1))


def offer_what_is_free(tx):
    two = volume(tx, "two")
    tx.insert(Transfer(id="x", volume_id=two.id, project_id="p1", salt="", key_hash="", created_at=tx.now))


def extend_without_a_task(tx):
    tx.change(volume(tx, "two"), status="extending")


def detach_without_a_task(tx):
    tx.change(tx.first(Attachment), status="detaching")


def take_a_snapshot_without_a_task(tx):
    tx.change(tx.first(Snapshot), status="creating")


def back_up_without_a_task(tx):
    tx.change(tx.first(Backup), status="creating")


def cancel_its_task(tx):
    two = volume(tx, "two")
    tx.change(two, status="retyping")
    tx.change(tx.first(Task, resource=f"volume:{two.id}"), open=True, cancelled=True, host="elsewhere")


def grow_for_ever(tx):
    tx.change(volume(tx, "two"), growing_gib=1)


def say_another_size(tx):
    tx.change(volume(tx, "two"), size_gib=2)


def say_another_size_of_a_snapshot(tx):
    tx.change(tx.first(Snapshot), size_gib=2)


def say_another_place(tx):
    tx.change(volume(tx, "two"), backend="plain")


def reach_it_otherwise(tx):
    row = tx.first(Attachment)
    tx.change(row, connection=msgspec.structs.replace(row.connection, export="other"))


def move_the_attachment(tx):
    row = tx.first(Attachment)
    tx.change(row, host="c1" if row.host != "c1" else "c2")


def keep_it_elsewhere(tx):
    row = tx.first(Backup)
    tx.change(row, host="c1" if row.host != "c1" else "c2")


ROW_BREAKS = [
    (forget_a_volume, "back_ends_have_the_volumes_of_rows"),
    (lose_a_server, "volumes_hold_together"),
    (lose_a_parent, "volumes_hold_together"),
    (lose_a_group, "volumes_hold_together"),
    (call_it_free, "volumes_say_who_has_them"),
    (attach_it_twice, "volumes_say_who_has_them"),
    (offer_what_is_free, "volumes_say_who_has_them"),
    (extend_without_a_task, "what_passes_in_volumes_has_an_owner"),
    (detach_without_a_task, "what_passes_in_volumes_has_an_owner"),
    (take_a_snapshot_without_a_task, "what_passes_in_volumes_has_an_owner"),
    (back_up_without_a_task, "what_passes_in_volumes_has_an_owner"),
    (cancel_its_task, "what_passes_in_volumes_has_an_owner"),
    (take_a_snapshot_without_a_task, "nothing_is_left_to_do_with_volumes"),
    (grow_for_ever, "nothing_is_left_to_do_with_volumes"),
    (say_another_size, "back_ends_have_the_volumes_of_rows"),
    (say_another_size_of_a_snapshot, "back_ends_have_the_volumes_of_rows"),
    (say_another_place, "back_ends_have_the_volumes_of_rows"),
    (reach_it_otherwise, "attachments_are_one_truth"),
    (move_the_attachment, "attachments_are_one_truth"),
    (keep_it_elsewhere, "backups_have_their_data"),
]


def test_nothing_is_wrong_with_volumes_that_nobody_broke():
    async def look(store):
        states = [store.rows[name].status for name in ("one", "two", "shot", "kept")]
        return states, await store.names(), list(store.users.data.data_are_where_they_should_be(await now(store)))

    assert (["in-use", "available", "available", "available"], [], []) == in_a_store(look)


@functools.cache
def wrong_rows():
    """What is found wrong after each damage, in one world."""

    async def look(store):
        return {damage: names(await store.world.imagine(damage)) for damage, _ in ROW_BREAKS}

    return in_a_store(look)


@pytest.mark.parametrize(("damage", "invariant"), ROW_BREAKS, ids=[damage.__name__ for damage, _ in ROW_BREAKS])
def test_wrong_rows_of_volumes_are_found(damage, invariant):
    assert invariant in wrong_rows()[damage]


BACK_END_BREAKS = [
    ("a lost volume", "back_ends_have_the_volumes_of_rows"),
    ("a volume of nobody", "back_ends_have_the_volumes_of_rows"),
    ("a lost snapshot", "back_ends_have_the_volumes_of_rows"),
    ("a snapshot of nobody", "back_ends_have_the_volumes_of_rows"),
    ("a second writer", "a_volume_has_one_writer"),
    ("an export of nobody", "attachments_are_one_truth"),
    ("a lost export", "attachments_are_one_truth"),
    ("a guest without its disk", "attachments_are_one_truth"),
    ("data of no backup", "backups_have_their_data"),
    ("a file that is left", "nothing_is_left_to_do_with_volumes"),
]


@functools.cache
def wrong_back_ends():
    """What is found wrong after each damage, in one world that is as it was before after each."""

    async def look(store):
        found = {}
        for damage, _ in BACK_END_BREAKS:
            there = {driver: copy.deepcopy(vars(driver.pool)) for driver in store.world.backends()}
            await damaged(store, damage)
            found[damage] = await store.names()
            for driver, before in there.items():
                vars(driver.pool).update(before)
        return found

    return in_a_store(look)


async def damaged(store, damage):
    one, two, pool = store.rows["one"], store.rows["two"], store.backend().pool
    other = store.backend("two").pool
    match damage:
        case "a lost volume":
            other.volumes.clear()
        case "a volume of nobody":
            pool.put(msgspec.structs.replace(pool.volumes[one.id], name="x"))
        case "a lost snapshot":
            other.snapshots.clear()
        case "a snapshot of nobody":
            other.snapshots["x"] = next(iter(other.snapshots.values()))
        case "a second writer":
            pool.exports["x"] = next(iter(pool.exports.values()))
        case "an export of nobody":
            other.exports["x"] = ExportSpec(id="x", volume=two.id)
        case "a lost export":
            pool.exports.clear()
        case "a guest without its disk":
            server = store.rows["s"]
            await store.world.machines[server.host].compute.detach_volume(server.id, one.id)
        case "data of no backup":
            store.world.machines["c1"].backups.pieces["x"] = {}
        case "a file that is left":
            (GROUND.folder / "volume-copies" / "c1").mkdir(parents=True, exist_ok=True)
            (GROUND.folder / "volume-copies" / "c1" / "move-x").touch()


@pytest.mark.parametrize(("damage", "invariant"), BACK_END_BREAKS)
def test_wrong_back_ends_are_found(damage, invariant):
    assert invariant in wrong_back_ends()[damage]


def test_more_volumes_than_the_quota_are_found():
    async def look(store):
        options = QuotaOptions(volumes=1, gigabytes=2, snapshots=0, backups=0, backup_gigabytes=0, volume_groups=0)
        return await store.names((volume_quotas_are_kept(options),))

    assert ["volume_quotas_kept"] * 5 == in_a_store(look)


def test_what_counts_for_a_quota_otherwise_than_rows_say_is_found():
    async def look(store):
        seen = await now(store)
        told = msgspec.structs.replace(seen, volume_usage={"p1": {"volumes": 9}})
        return [line.split(":")[0] for line in broken(HEALED, told)]

    assert ["volume_usage_is_what_rows_say"] * 5 == in_a_store(look)


@pytest.mark.parametrize("damage", ["lost", "swapped", "not new", "a changed snapshot"])
def test_data_that_are_not_what_they_were_are_found(damage):
    async def look(store):
        data = store.users.data
        written = await until_written(store)
        list(data.data_are_where_they_should_be(await now(store)))
        one, two = store.backend().pool, store.backend("two").pool
        match damage:
            case "lost":
                one.put(msgspec.structs.replace(one.volumes[written], blocks=Blocks()))
            case "swapped":
                two.put(msgspec.structs.replace(two.volumes[store.rows["two"].id], blocks=one.volumes[written].blocks))
            case "not new":
                await store.ask(lambda api: api.volume.create(ANN, NewVolume(name="new", size_gib=1, type_ref="fast")))
                await store.learn()
                new, pool = store.rows["new"], store.backend("new").pool
                pool.put(msgspec.structs.replace(pool.volumes[new.id], blocks=Blocks({0: b"somebody else's"})))
            case "a changed snapshot":
                id, kept = next(iter(two.snapshots.items()))
                two.snapshots[id] = msgspec.structs.replace(kept, blocks=Blocks({0: b"later"}))
        return len(list(data.data_are_where_they_should_be(await now(store))))

    assert 1 == in_a_store(look)


def test_a_volume_that_did_not_go_back_to_its_snapshot_is_found():
    async def look(store):
        data, two, pool = store.users.data, store.rows["two"], store.backend("two")
        list(data.data_are_where_they_should_be(await now(store)))
        with data.changing(two.id, store.rows["shot"].id):
            pool.write(two.id, {0: b"still here"})
        return list(data.data_are_where_they_should_be(await now(store)))

    assert any("was to hold" in line for line in in_a_store(look))


def test_a_copy_of_what_its_source_never_held_is_found():
    async def look(store):
        data, one = store.users.data, store.rows["one"]
        await until_written(store)
        list(data.data_are_where_they_should_be(await now(store)))
        new = NewVolume(name="copy", source_volume_id=one.id)
        await store.ask(lambda api: api.volume.create(ANN, new))
        await store.learn()
        store.backend("copy").write(store.rows["copy"].id, {1: b"of somebody else"})
        return list(data.data_are_where_they_should_be(await now(store)))

    assert any("new volume" in line for line in in_a_store(look))


def test_a_guest_that_writes_to_what_it_does_not_have_is_found():
    async def look(store):
        await store.change(lambda tx: tx.change(tx.first(Attachment), server_id="another"))
        await store.users.data.write_somewhere(store.users._dice)
        found, store.world.bugs[:] = list(store.world.bugs), []
        return found

    assert "which it does not have" in in_a_store(look)[0]


def test_a_guest_that_writes_to_where_its_volume_does_not_lie_is_found():
    async def look(store):
        await store.change(lambda tx: tx.change(volume(tx, "one"), backend="plain"))
        await store.users.data.write_somewhere(store.users._dice)
        found, store.world.bugs[:] = list(store.world.bugs), []
        return found

    assert "which lies elsewhere" in in_a_store(look)[0]


async def until_written(store):
    """The id of the volume that a guest wrote to."""
    await store.users.data.write_somewhere(store.users._dice)
    volume_id = store.rows["one"].id
    assert store.backend().pool.volumes[volume_id].blocks.data
    return volume_id


async def now(store):
    return await snapshot.take(store.world, wanted=True)
