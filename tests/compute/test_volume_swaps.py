"""Disks that become other volumes under running guests: one truth, whoever refuses or dies in the middle of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from compute.server_world import CTX, PEOPLE, Host, Said, ServerWorld
from compute.test_server_volumes import NOBODY, SLOW, all_tasks, attach, detach, error, exports, guest_disks, now, swap

from micronova.compute import swaps
from micronova.errors import DriverError, Rejected
from micronova.volume.changes import Reset
from micronova.volume.db import Attachment
from micronova.volume.drivers.fake import copy_blocks

ADMIN = PEOPLE["admin"]
WORD = b"kept"


class Pair:
    """A cloud of one host, a server that has a volume with a word in it, and a volume to take its place."""

    def __init__(self, cloud: ServerWorld) -> None:
        self.cloud = cloud
        self.host: Host = cloud.hosts["h1"]
        self.server = self.old = self.new = ""

    async def swap(self, new: str = "", old: str = "") -> Said:
        return await swap(self.cloud, self.server, old or self.old, new or self.new)

    async def begun(self, operation: str) -> None:
        """A swap has come to where the operation is called; it takes long."""
        self.slow(SLOW, operation)
        assert 202 == (await self.swap()).status
        await self.cloud.wait(lambda: self._called(operation), bool)
        await asyncio.sleep(0.05)

    async def _called(self, operation: str) -> bool:
        method = {"hold_volume": "exchange_disk", "switch_volume": "exchange_disk", "remove_export": "disconnect"}
        tasks = await all_tasks(self.cloud)
        return method.get(operation, "copy_disk") in {task.method for task in tasks if task.open}

    def slow(self, seconds: float, operation: str) -> None:
        self.host.driver.slow(seconds, operation=operation)
        self.host.disks.slow(seconds, operation=operation)

    async def settled(self) -> None:
        await self.cloud.wait(
            lambda: all_tasks(self.cloud), lambda rows: not any(row.open and now(row) for row in rows)
        )

    async def disk(self, volume: str) -> Attachment:
        (row,) = await self.cloud.attachments(volume)
        return row

    async def statuses(self) -> tuple[str, str]:
        rows = [await self.cloud.volume(id) for id in (self.old, self.new)]
        return rows[0].status, rows[1].status

    async def shown(self) -> list[str]:
        """What the server's owner sees of its disks."""
        said = await self.cloud.ask(f"GET /servers/{self.server}/os-volume_attachments")
        return [disk["volumeId"] for disk in said.body["volumeAttachments"]]

    async def one_truth(self, has: str, free: str) -> None:
        """The server's only disk is `has`, with the word in it; the other one is nobody's, and nothing is left."""
        await self.settled()
        row = await self.disk(has)
        looks = (row.status, row.server_id, row.host, row.device, row.tag, row.delete_on_termination, row.replaces)
        assert ("attached", self.server, "h1", "/dev/vdb", "data", True, None) == looks
        assert [] == await self.cloud.attachments(free)
        assert ["in-use", "available"] == [(await self.cloud.volume(id)).status for id in (has, free)]
        assert [has] == guest_disks(self.host, self.server) == await self.shown()
        assert [row.id] == await exports(self.cloud)
        assert [WORD] == list(self.host.disks.pool.volume(has).blocks.data.values())
        assert {} == self.host.driver._guests[self.server].followed
        assert [] == await self.host.compute.audit(CTX)
        assert [] == await self.host.volume.audit(CTX)


@pytest.fixture
async def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    monkeypatch.setattr(swaps, "_LONGEST_PAUSE", 0.05)
    world = ServerWorld(tmp_path, tasks__retry_seconds=0.01)
    await world.open("h1")
    made = Pair(world)
    made.host.driver.mirror = lambda old, new: copy_blocks([made.host.disks], old, new)
    made.server, made.old, made.new = await world.boot(), await world.new_volume(), await world.new_volume()
    assert 200 == (await attach(world, made.server, made.old, tag="data", delete_on_termination=True)).status
    await world.until_volume(made.old, "in-use")
    made.host.disks.write(made.old, {3: WORD})
    yield made
    await world.close()


async def test_a_disk_becomes_another_volume_and_goes_back(pair: Pair) -> None:
    said = await pair.swap()

    assert 202 == said.status
    await pair.one_truth(has=pair.new, free=pair.old)
    await pair.swap(new=pair.old, old=pair.new)
    await pair.one_truth(has=pair.old, free=pair.new)
    actions = (await pair.cloud.ask(f"GET /servers/{pair.server}/os-instance-actions")).body["instanceActions"]
    assert 2 == [action["action"] for action in actions].count("swap_volume")


async def test_until_the_exchange_the_server_has_the_old_volume_and_nobody_else_either(pair: Pair) -> None:
    pair.slow(0.3, "follow_volume")
    await pair.swap()
    await pair.cloud.until_volume(pair.new, "attaching")

    told, seen = await pair.statuses(), await pair.shown()
    again, third = await pair.swap(), await pair.cloud.new_volume()
    other = await pair.swap(new=third)
    apart = await detach(pair.cloud, pair.server, pair.old)
    twice = await attach(pair.cloud, pair.server, pair.new)
    found = await pair.host.volume.examine(CTX, pair.old), await pair.host.volume.examine(CTX, pair.new)

    assert (("detaching", "attaching"), [pair.old]) == (told, seen)
    assert [400] * 4 == [said.status for said in (again, other, apart, twice)]
    assert "status must be in-use to detach, but current status is: detaching" in error(apart)[1]
    assert [(), ()] == [one.findings for one in found if one is not None]
    await pair.one_truth(has=pair.new, free=pair.old)


async def test_the_order_of_disks_stays_as_it_was(pair: Pair) -> None:
    later = await pair.cloud.new_volume()
    await attach(pair.cloud, pair.server, later)
    await pair.cloud.until_volume(later, "in-use")

    await pair.swap()
    await pair.settled()

    assert [pair.new, later] == await pair.shown() == guest_disks(pair.host, pair.server)


async def test_only_volumes_that_can_take_each_others_place_are_swapped(pair: Pair) -> None:
    cloud, types = pair.cloud, pair.cloud.api.volume.types
    kind = await types.create(ADMIN, {"name": "safe"})
    await types.encrypt(ADMIN, kind.id, {"provider": "luks", "key_size": 256}, fresh=True)
    large, other = await cloud.new_volume(size_gib=2), await cloud.new_volume(who=PEOPLE["other"])
    written, safe = await cloud.new_volume(), await cloud.new_volume(type_ref="safe")
    await cloud.api.volume.set_readonly(ADMIN, written, True)
    held, third = await cloud.new_volume(), await cloud.boot()
    await attach(cloud, third, held)
    await attach(cloud, pair.server, large)
    await cloud.until_volume(large, "in-use")
    await cloud.until_volume(held, "in-use")

    said = {
        "must be detached": [await pair.swap(new=pair.old), await pair.swap(new=held)],
        "same size or larger": [await pair.swap(old=large)],
        "another project's": [await pair.swap(new=other)],
        "encrypted, or neither": [await pair.swap(new=safe)],
        "must be writable": [await pair.swap(new=written)],
        "attached to a different instance": [await pair.swap(old=held), await pair.swap(old=pair.new, new=pair.old)],
        "could not be found": [await pair.swap(new=NOBODY)],
    }

    for text, answers in said.items():
        assert all(400 == one.status and text in error(one)[1] for one in answers), (text, answers)
    assert ("in-use", "available") == await pair.statuses()
    assert [] == await cloud.attachments(pair.new)


async def test_a_volume_that_several_servers_have_is_not_swapped(pair: Pair) -> None:
    cloud, types = pair.cloud, pair.cloud.api.volume.types
    await types.create(ADMIN, {"name": "shared", "extra_specs": {"multiattach": "<is> True"}})
    shared, other = await cloud.new_volume(type_ref="shared"), await cloud.boot()
    for server in (pair.server, other):
        await attach(cloud, server, shared)
        await cloud.wait(lambda: cloud.attachments(shared), lambda rows: all(row.status == "attached" for row in rows))

    said = await pair.swap(old=shared)

    assert 409 == said.status
    assert "more than one read/write attachment" in error(said)[1]


async def test_a_larger_volume_takes_the_place(pair: Pair) -> None:
    pair.new = await pair.cloud.new_volume(size_gib=2)

    said = await pair.swap()

    assert 202 == said.status
    await pair.one_truth(has=pair.new, free=pair.old)


@pytest.mark.parametrize("kind", [DriverError, Rejected])
@pytest.mark.parametrize("operation", ["follow_volume", "hold_volume", "switch_volume"])
async def test_a_guest_that_refuses_once_is_asked_again_or_keeps_the_old_volume(
    pair: Pair, operation: str, kind: type[DriverError]
) -> None:
    pair.host.driver.refuse("no", operation=operation, error=kind)

    await pair.swap()

    await pair.settled()
    stays = (operation, kind) == ("follow_volume", Rejected)
    pair.old, pair.new = (pair.new, pair.old) if stays else (pair.old, pair.new)
    await pair.one_truth(has=pair.new, free=pair.old)


async def test_a_guest_that_never_waits_keeps_the_old_volume(pair: Pair) -> None:
    pair.host.driver.refuse("no", operation="hold_volume", times=99, error=Rejected)

    await pair.swap()

    await pair.one_truth(has=pair.old, free=pair.new)


async def test_a_guest_that_never_lets_go_has_the_old_volume_for_good(pair: Pair) -> None:
    pair.host.driver.refuse("no", operation="switch_volume", times=99, error=Rejected)

    await pair.swap()

    await pair.one_truth(has=pair.old, free=pair.new)


async def test_a_back_end_that_can_not_export_the_new_volume_changes_nothing(pair: Pair) -> None:
    pair.host.disks.refuse("ensure_export", Rejected("no"), times=9)

    await pair.swap()

    await pair.settled()
    pair.host.disks.refuse("ensure_export", Rejected("no"), times=0)
    await pair.one_truth(has=pair.old, free=pair.new)


DYING = ["ensure_export", "follow_volume", "hold_volume", "switch_volume", "remove_export"]


@pytest.mark.parametrize("operation", DYING)
async def test_a_swap_goes_on_where_its_host_died(pair: Pair, operation: str) -> None:
    await pair.begun(operation)

    await pair.host.stop()
    pair.slow(0, operation)
    await pair.host.start()

    await pair.one_truth(has=pair.new, free=pair.old)


@pytest.mark.parametrize("operation", DYING)
async def test_a_swap_whose_guest_died_with_its_host_leaves_one_volume_whole(pair: Pair, operation: str) -> None:
    await pair.begun(operation)

    await pair.host.stop()
    pair.host.driver.crash(pair.server)
    pair.slow(0, operation)
    await pair.host.start()
    await pair.settled()
    await pair.cloud.act(pair.server, "reboot", {"type": "HARD"})
    await pair.cloud.until(pair.server, "ACTIVE")

    exchanged = operation in ("switch_volume", "remove_export")
    has, free = (pair.new, pair.old) if exchanged else (pair.old, pair.new)
    await pair.one_truth(has=has, free=free)


@pytest.mark.parametrize("operation", DYING)
async def test_a_server_deleted_in_the_middle_leaves_both_volumes_free(pair: Pair, operation: str) -> None:
    path = f"/servers/{pair.server}/os-volume_attachments/{pair.old}"
    await pair.cloud.ask(f"PUT {path}", {"volumeAttachment": {"volumeId": pair.old, "delete_on_termination": False}})
    await pair.begun(operation)

    pair.slow(0, operation)
    await pair.cloud.ask(f"DELETE /servers/{pair.server}")

    await pair.host.stop()
    await pair.host.start()
    await pair.cloud.until_gone(pair.server)
    await pair.settled()
    assert ("available", "available") == await pair.statuses()
    assert [] == await exports(pair.cloud)
    assert [] == [*await pair.cloud.attachments(pair.old), *await pair.cloud.attachments(pair.new)]
    assert [] == [*await pair.cloud.leaks(), *await pair.host.volume.audit(CTX)]


async def test_a_guest_that_starts_again_meanwhile_has_the_old_volume_and_then_the_new_one(pair: Pair) -> None:
    pair.slow(0.2, "follow_volume")
    await pair.swap()
    await pair.cloud.until_volume(pair.new, "attaching")

    await pair.cloud.act(pair.server, "reboot", {"type": "SOFT"})

    await pair.one_truth(has=pair.new, free=pair.old)


async def test_a_new_volume_that_is_taken_away_meanwhile_leaves_the_old_one(pair: Pair) -> None:
    pair.slow(0.2, "follow_volume")
    await pair.swap()
    await pair.cloud.until_volume(pair.new, "attaching")

    await pair.cloud.api.volume.detach(ADMIN, (await pair.disk(pair.new)).id)

    await pair.one_truth(has=pair.old, free=pair.new)


@pytest.mark.parametrize("state", ["locked", "off", "moving"])
async def test_a_server_that_is_not_ready_for_it_keeps_its_volume(pair: Pair, state: str) -> None:
    cloud = pair.cloud
    match state:
        case "off":
            await cloud.act(pair.server, "os-stop")
            await cloud.until(pair.server, "SHUTOFF")
        case "moving":
            await cloud.api.volume.reset(ADMIN, pair.old, Reset(status="retyping"))
        case "locked":
            await cloud.act(pair.server, "lock")

    said = await pair.swap()

    assert {"locked": 202, "off": 409, "moving": 400}[state] == said.status
    await pair.settled()
    assert [pair.new if state == "locked" else pair.old] == await pair.shown()
