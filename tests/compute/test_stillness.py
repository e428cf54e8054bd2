"""Snapshots of volumes in use: guests that can hold still do so for a moment, and go on whatever happens then."""

import pytest
from compute.server_world import MEMBER, Host, ServerWorld
from compute.test_server_volumes import SLOW, all_tasks, attach, host_of, now

from micronova.errors import DriverError, Rejected
from micronova.volume.db import Message, Snapshot
from micronova.volume.driver import SnapshotFacts, SnapshotSpec
from micronova.volume.snapshots import NewSnapshot

AGENT = {"hw_qemu_guest_agent": "yes"}
STRICT = {**AGENT, "os_require_quiesce": "True"}


async def used(cloud: ServerWorld, properties: dict[str, str]) -> tuple[str, str, Host]:
    """A server of an image with these properties, its volume, and its host."""
    id, volume = await cloud.boot(imageRef=await cloud.new_image(properties)), await cloud.new_volume()
    await attach(cloud, id, volume)
    await cloud.until_volume(volume, "in-use")
    return id, volume, await host_of(cloud, id)


async def taken(cloud: ServerWorld, volume: str, status: str = "available") -> Snapshot:
    """A snapshot of the volume in use, when it has this status."""
    asked = NewSnapshot(volume_id=volume, force=True, metadata={"mine": "1"})
    return await until_taken(cloud, (await cloud.api.volume.create_snapshot(MEMBER, asked)).id, status)


async def until_taken(cloud: ServerWorld, id: str, status: str = "available") -> Snapshot:
    async def look() -> Snapshot | None:
        return await cloud.db.read(lambda tx: tx.first(Snapshot, id=id))

    found: Snapshot = await cloud.wait(look, lambda row: row is not None and row.status == status)
    return found


async def test_a_guest_with_an_agent_holds_still_for_the_moment(one: ServerWorld) -> None:
    id, volume, host = await used(one, AGENT)
    host.disks.slow(0.2, operation="ensure_snapshot")
    made = await one.api.volume.create_snapshot(MEMBER, NewSnapshot(volume_id=volume, force=True))

    async def frozen() -> bool:
        return host.driver._guests[id].frozen

    await one.wait(frozen, bool)
    snapshot = await until_taken(one, made.id)

    assert {"quiesced": "yes"} == snapshot.metadata
    assert not await frozen()


async def test_a_guest_without_an_agent_is_left_alone(one: ServerWorld) -> None:
    id, volume, host = await used(one, {})
    host.driver.refuse("nobody asks", operation="freeze")

    snapshot = await taken(one, volume)

    assert {"mine": "1"} == snapshot.metadata
    assert not host.driver._guests[id].spec.agent


@pytest.mark.parametrize("kind", [Rejected, DriverError])
async def test_an_agent_that_does_not_answer_is_told_of(one: ServerWorld, kind: type[DriverError]) -> None:
    _, volume, host = await used(one, AGENT)
    host.driver.refuse("no answer", operation="freeze", error=kind)

    snapshot = await taken(one, volume)

    assert {"mine": "1", "quiesced": "no"} == snapshot.metadata


async def test_what_was_taken_of_a_restless_guest_is_not_called_quiesced_by_a_later_try(
    one: ServerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, volume, host = await used(one, AGENT)
    take = host.disks.ensure_snapshot

    async def take_silently(spec: SnapshotSpec) -> SnapshotFacts:
        await take(spec)
        monkeypatch.undo()
        raise DriverError("its answer was lost")

    monkeypatch.setattr(host.disks, "ensure_snapshot", take_silently)
    host.driver.refuse("no answer", operation="freeze")

    snapshot = await taken(one, volume)

    assert {"mine": "1", "quiesced": "no"} == snapshot.metadata


async def test_a_guest_that_went_on_too_early_is_told_of(one: ServerWorld) -> None:
    id, volume, host = await used(one, AGENT)
    host.disks.slow(0.3, operation="ensure_snapshot")
    made = await one.api.volume.create_snapshot(MEMBER, NewSnapshot(volume_id=volume, force=True))

    async def thawed() -> bool:
        return await host.driver.thaw(id)

    await one.wait(thawed, bool)

    assert {"quiesced": "no"} == (await until_taken(one, made.id)).metadata


async def test_where_stillness_is_required_there_is_no_snapshot_without_it(one: ServerWorld) -> None:
    _, volume, host = await used(one, STRICT)
    still = await taken(one, volume)
    host.driver.refuse("no answer", operation="freeze", error=Rejected)

    refused = await taken(one, volume, "error")

    assert "yes" == still.metadata["quiesced"]
    (told,) = await one.db.read(lambda tx: tx.find(Message, resource_id=refused.id))
    assert "could not be frozen, which its image requires: no answer" in told.text
    assert [still.id] == [one.name for one in (await host.disks.list()).snapshots]


async def test_where_stillness_is_required_it_is_required_to_the_end(one: ServerWorld) -> None:
    id, volume, host = await used(one, STRICT)
    host.disks.slow(0.3, operation="ensure_snapshot")
    made = await one.api.volume.create_snapshot(MEMBER, NewSnapshot(volume_id=volume, force=True))

    async def thawed() -> bool:
        return await host.driver.thaw(id)

    await one.wait(thawed, bool)

    assert "error" == (await until_taken(one, made.id, "error")).status


async def test_a_guest_holds_still_for_each_of_its_volumes_in_turn(one: ServerWorld) -> None:
    id, first, host = await used(one, STRICT)
    second = await one.new_volume()
    await attach(one, id, second)
    await one.until_volume(second, "in-use")
    host.disks.slow(0.1, operation="ensure_snapshot")

    asked = [NewSnapshot(volume_id=volume, force=True) for volume in (first, second)]
    made = [await one.api.volume.create_snapshot(MEMBER, each) for each in asked]

    assert ["yes", "yes"] == [(await until_taken(one, each.id)).metadata["quiesced"] for each in made]


async def test_a_guest_that_is_off_holds_still_by_itself(one: ServerWorld) -> None:
    id, volume, _ = await used(one, STRICT)
    await one.act(id, "os-stop")
    await one.until(id, "SHUTOFF")

    assert {"mine": "1"} == (await taken(one, volume)).metadata


async def test_a_guest_goes_on_when_its_snapshot_fails(one: ServerWorld) -> None:
    id, volume, host = await used(one, AGENT)
    host.disks.refuse("ensure_snapshot", Rejected("no"))

    await taken(one, volume, "error")

    assert not host.driver._guests[id].frozen


async def test_a_guest_goes_on_when_its_host_died_meanwhile(one: ServerWorld) -> None:
    id, volume, host = await used(one, AGENT)
    host.disks.slow(SLOW, operation="ensure_snapshot")
    made = await one.api.volume.create_snapshot(MEMBER, NewSnapshot(volume_id=volume, force=True))

    async def frozen() -> bool:
        return host.driver._guests[id].frozen

    await one.wait(frozen, bool)
    host.driver.refuse("killed", operation="thaw", times=1)
    await host.stop()
    left = await frozen()
    host.disks.slow(0, operation="ensure_snapshot")
    await host.start()
    snapshot = await until_taken(one, made.id)
    await one.wait(lambda: all_tasks(one), lambda tasks: not any(task.open and now(task) for task in tasks))

    assert left
    assert {"quiesced": "yes"} == snapshot.metadata
    assert not await frozen()
