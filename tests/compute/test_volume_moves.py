"""Volumes that change their back end under running guests: one truth, whoever refuses or dies in the middle of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from compute.server_world import CTX, MEMBER, PEOPLE, Host, ServerWorld
from compute.test_server_volumes import SLOW, all_tasks, attach, detach, error, now

from micronova.compute.driver import VolumeDisk
from micronova.compute.manager import ComputeManager
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import DriverError, HostUnreachable, Rejected, WrongState
from micronova.tasks import Task
from micronova.volume.changes import Reset
from micronova.volume.contract import Moving, Stillness
from micronova.volume.db import Message, Volume
from micronova.volume.driver import NbdConnection
from micronova.volume.drivers.fake import FakeVolumeDriver, copy_blocks
from micronova.volume.snapshots import NewSnapshot

ADMIN = PEOPLE["admin"]
WORD = b"kept"


class Wide:
    """A cloud of one host with two back ends, and a server that has a volume."""

    def __init__(self, cloud: ServerWorld) -> None:
        self.cloud = cloud
        self.host: Host = cloud.hosts["h1"]
        self.server = self.volume = self.first = ""

    async def row(self) -> Volume:
        row = await self.cloud.volume(self.volume)
        assert row is not None
        return row

    async def move(self) -> str:
        """The volume is asked to go to the other back end; its name."""
        other = _other((await self.row()).backend)
        await self.cloud.api.volume.migrate(ADMIN, self.volume, f"h1@{other}#{other}")
        return other

    async def settled(self, status: str = "in-use") -> Volume:
        await self.cloud.until_volume(self.volume, status)
        await self.cloud.wait(
            lambda: all_tasks(self.cloud), lambda rows: not any(row.open and now(row) for row in rows)
        )
        return await self.row()

    async def places(self) -> dict[str, tuple[list[str], list[str]]]:
        """By back end: the volumes that are there, and the exports."""
        found = {}
        for name, driver in self.host.backends.items():
            there = await driver.list()
            found[name] = ([one.name for one in there.volumes], [one.id for one in there.exports])
        return found

    def slow(self, seconds: float, operation: str) -> None:
        """Every driver takes so long for an operation."""
        self.host.driver.slow(seconds, operation=operation)
        for driver in self.host.backends.values():
            driver.slow(seconds, operation=operation)

    def uses(self, disk: VolumeDisk | None = None) -> str:
        """The back end that the guest uses, of its only disk or of this one."""
        connection = (disk or self.host.driver.disks(self.server)[0]).connection
        assert isinstance(connection, NbdConnection)
        return connection.path.split("/")[2]

    async def holds(self) -> list[bytes]:
        """What the guest reads."""
        driver = self.host.backends[self.uses()]
        return list(driver.pool.volume((await self.row()).driver_name).blocks.data.values())

    async def one_truth(self, backend: str) -> None:
        """The volume is on this back end alone, its guest uses it there, and has its data."""
        row = await self.row()
        assert (backend, backend) == (row.backend, self.uses())
        assert row.migration_status in (("success",) if backend != self.first else ("success", "error", None))
        attachments = [each.id for each in await self.cloud.attachments(self.volume)]
        assert {backend: ([row.driver_name], attachments), _other(backend): ([], [])} == await self.places()
        assert [WORD] == await self.holds()
        assert {} == self.host.driver._guests[self.server].followed
        assert [] == await self.host.compute.audit(CTX)
        assert [] == await self.host.volume.audit(CTX)


@pytest.fixture
async def wide(tmp_path: Path) -> AsyncIterator[Wide]:
    world = ServerWorld(tmp_path, tasks__retry_seconds=0.01)
    await world.open("h1")
    host = world.hosts["h1"]
    host.disks.name = "fake"
    host.backends["fast"] = FakeVolumeDriver(name="fast")
    await host.stop()
    await host.start()
    yield Wide(world)
    await world.close()


@pytest.fixture
async def used(wide: Wide) -> Wide:
    """The volume is attached and holds a word."""
    cloud = wide.cloud
    for name in wide.host.backends:
        await cloud.api.volume.types.create(ADMIN, {"name": name, "extra_specs": {"volume_backend_name": name}})
    wide.server, wide.volume = await cloud.boot(), await cloud.new_volume()
    assert 200 == (await attach(cloud, wide.server, wide.volume)).status
    await cloud.until_volume(wide.volume, "in-use")
    wide.first = (await wide.row()).backend
    wide.host.backends[wide.first].write(wide.volume, {3: WORD})
    wide.host.driver.mirror = lambda old, new: copy_blocks(list(wide.host.backends.values()), old, new)
    return wide


def _other(backend: str) -> str:
    return "fast" if backend == "fake" else "fake"


def _all_done(tasks: list[Task]) -> bool:
    return not any(task.open and now(task) for task in tasks)


async def test_a_volume_moves_under_its_running_guest(used: Wide) -> None:
    other = await used.move()
    moving = (await used.row()).status

    await used.settled()

    assert "retyping" == moving
    await used.one_truth(other)
    await used.move()
    await used.settled()
    await used.one_truth(used.first)


async def test_a_new_type_moves_a_volume_in_use(used: Wide) -> None:
    other = _other(used.first)
    await used.cloud.api.volume.retype(MEMBER, used.volume, other, may_move=True)

    row = await used.settled()

    await used.one_truth(other)
    kind = await used.cloud.db.read(lambda tx: used.cloud.api.volume.types.visible(tx, ADMIN, other))
    assert kind.id == row.type_id


async def test_an_encrypted_volume_in_use_moves_and_an_idle_one_does_not(used: Wide) -> None:
    cloud, types = used.cloud, used.cloud.api.volume.types
    kind = await types.create(ADMIN, {"name": "safe"})
    await types.encrypt(ADMIN, kind.id, {"provider": "luks", "key_size": 256}, fresh=True)
    used.volume = volume = await cloud.new_volume(type_ref="safe")
    with pytest.raises(WrongState, match="not offered for encrypted volumes"):
        await used.move()
    await attach(cloud, used.server, volume)
    await cloud.until_volume(volume, "in-use")

    other = await used.move()

    assert other == (await used.settled()).backend
    disk = next(disk for disk in used.host.driver.disks(used.server) if disk.volume_id == volume)
    assert (True, True) == (disk.encrypted, bool(disk.key))
    assert other == used.uses(disk)


async def test_a_volume_that_moves_can_not_be_detached_or_swapped(used: Wide) -> None:
    cloud = used.cloud
    used.host.driver.slow(0.3, operation="follow_volume")
    await used.move()

    said = await detach(cloud, used.server, used.volume)

    assert 400 == said.status
    assert "must be in-use to detach, but current status is: retyping" in error(said)[1]
    await used.settled()
    await used.one_truth(_other(used.first))


async def test_only_what_one_server_uses_moves_meanwhile(used: Wide) -> None:
    cloud = used.cloud
    await cloud.api.volume.create_snapshot(MEMBER, NewSnapshot(volume_id=used.volume, force=True))
    with pytest.raises(WrongState, match="has no snapshots"):
        await used.move()

    used.volume = await cloud.new_volume()
    await cloud.api.volume.claim(MEMBER, used.volume)
    with pytest.raises(WrongState, match="available or in-use"):
        await used.move()


FAILING = [
    *[(name, DriverError) for name in ("follow_volume", "hold_volume", "switch_volume")],
    *[(name, Rejected) for name in ("follow_volume", "hold_volume", "switch_volume")],
]


@pytest.mark.parametrize(("operation", "kind"), FAILING)
async def test_a_guest_that_refuses_once_is_told_again_or_stays(
    used: Wide, operation: str, kind: type[DriverError]
) -> None:
    used.host.driver.refuse("no", operation=operation, error=kind)

    await used.move()

    row = await used.settled()
    await used.one_truth(row.backend)
    stays = (operation, kind) == ("follow_volume", Rejected)
    assert stays == (used.first == row.backend)


async def test_a_guest_that_is_off_keeps_its_volume_where_it_was_and_says_so(used: Wide) -> None:
    await used.cloud.act(used.server, "os-stop")
    await used.cloud.until(used.server, "SHUTOFF")

    await used.move()

    await used.settled()
    await used.one_truth(used.first)
    told = await used.cloud.db.read(lambda tx: tx.find(Message, resource_id=used.volume))
    assert ["VOLUME_VOLUME_010_001"] == [message.event_id for message in told]


@pytest.mark.parametrize("operation", ["ensure", "ensure_export"])
async def test_a_back_end_that_can_not_take_the_volume_changes_nothing(used: Wide, operation: str) -> None:
    used.host.backends[_other(used.first)].refuse(operation, Rejected("no"), times=9)

    await used.move()

    await used.settled()
    await used.one_truth(used.first)


@pytest.mark.parametrize(
    "operation", ["follow_volume", "hold_volume", "switch_volume", "ensure", "ensure_export", "remove"]
)
async def test_a_move_goes_on_where_its_host_died(used: Wide, operation: str) -> None:
    used.slow(SLOW, operation)
    await used.move()
    await used.cloud.wait(lambda: _called(used, operation), bool)
    await asyncio.sleep(0.05)

    await used.host.stop()
    used.slow(0, operation)
    await used.host.start()

    await used.settled()
    await used.one_truth(_other(used.first))


@pytest.mark.parametrize("operation", ["follow_volume", "hold_volume", "switch_volume"])
async def test_a_server_deleted_while_its_volume_moves_leaves_the_volume_whole(used: Wide, operation: str) -> None:
    used.host.driver.slow(0.2, operation=operation)
    await used.move()
    await used.cloud.wait(lambda: _called(used, operation), bool)

    await used.cloud.ask(f"DELETE /servers/{used.server}")

    await used.cloud.until_gone(used.server)
    row = await used.settled("available")
    assert {row.backend: ([row.driver_name], []), _other(row.backend): ([], [])} == await used.places()
    blocks = used.host.backends[row.backend].pool.volume(row.driver_name).blocks.data
    assert [WORD] == list(blocks.values())
    assert [] == await used.cloud.leaks()


async def _called(used: Wide, operation: str) -> bool:
    """Whether the move has come to where the operation is called."""
    tasks = await all_tasks(used.cloud)
    methods = {task.method for task in tasks if task.open}
    return ("switch_disk" if operation in ("hold_volume", "switch_volume") else "move") in methods


async def test_a_guest_that_dies_before_the_change_is_started_from_the_old_place(used: Wide) -> None:
    used.host.driver.slow(0.2, operation="hold_volume")
    await used.move()
    await used.cloud.wait(lambda: _called(used, "hold_volume"), bool)

    used.host.driver.crash(used.server)
    await used.settled()
    await used.cloud.act(used.server, "reboot", {"type": "HARD"})
    await used.cloud.until(used.server, "ACTIVE")

    row = await used.settled()
    await used.one_truth(row.backend)


async def test_a_move_that_an_administrator_ends_leaves_the_volume_where_it_was(used: Wide) -> None:
    used.host.driver.slow(0.2, operation="follow_volume")
    await used.move()
    await used.cloud.wait(lambda: _called(used, "follow_volume"), bool)

    await used.cloud.api.volume.reset(ADMIN, used.volume, Reset(status="in-use", migration_status="none"))

    await used.settled()
    await used.one_truth(used.first)


async def test_the_rounds_of_a_host_leave_a_move_alone(used: Wide) -> None:
    used.host.driver.slow(0.3, operation="hold_volume")
    other = await used.move()
    await used.cloud.wait(lambda: _called(used, "hold_volume"), bool)

    told = await used.host.volume.audit(CTX)
    await used.host.volume.reconcile(CTX)

    await used.settled()
    await used.one_truth(other)
    assert [] == told


class Away:
    """Guests whose hosts are out of reach for a while."""

    def __init__(self, guests: ComputeManager) -> None:
        self._guests = guests
        self.missed = 3

    async def follow_move(self, ctx: Context, move: Moving) -> bool:
        if self.missed > 0:
            self.missed -= 1
            raise HostUnreachable("nobody listens there")
        return await self._guests.follow_move(ctx, move)

    def record_switch(self, tx: Tx, ctx: Context, move: Moving) -> bool:
        return self._guests.record_switch(tx, ctx, move)

    async def unfollow_move(self, ctx: Context, move: Moving) -> None:
        await self._guests.unfollow_move(ctx, move)

    async def freeze_guest(self, ctx: Context, server_id: str, host: str) -> Stillness:
        return await self._guests.freeze_guest(ctx, server_id, host)

    async def thaw_guest(self, ctx: Context, server_id: str, host: str) -> bool:
        return await self._guests.thaw_guest(ctx, server_id, host)


async def test_a_guest_whose_host_is_away_for_a_while_is_waited_for(used: Wide) -> None:
    used.host.volume.guests = away = Away(used.host.compute)

    other = await used.move()

    await used.settled()
    await used.one_truth(other)
    assert 0 == away.missed
