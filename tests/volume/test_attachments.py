"""Attachments: one row each, from reservation to the end, whatever crashes on the way."""

import asyncio
from functools import partial

import msgspec
import pytest
from volume.volume_world import ADMIN, ALICE, BOB, HERE, SERVER

from micronova.errors import BadRequest, DriverError, NotFound, Rejected, WrongState
from micronova.tasks import Task
from micronova.volume.contract import AttachRequest, Connector
from micronova.volume.db import Attachment
from micronova.volume.driver import ExportSpec, NbdConnection
from micronova.volume.legacy import Use
from micronova.volume.servers import ServerDisks
from micronova.volume.snapshots import NewSnapshot

OTHER = "33333333-3333-4333-8333-333333333333"
AWAY = Connector(host="h9", ip="192.0.2.9")


def asked(volume, server=SERVER, **more):
    return AttachRequest(volume_id=volume.id, server_id=server, **more)


async def exports(world):
    return [one.id for one in (await world.driver.list()).exports]


async def test_an_attachment_goes_its_way(world):
    volume = await world.volume()

    info = await world.volumes.reserve(ALICE, asked(volume, boot_index=0, delete_on_termination=True))
    reserved = (await world.row(volume.id)).status
    connected = await world.volumes.connect(ALICE, info.id, HERE)
    attaching = (await world.row(volume.id)).status
    await world.volumes.complete(ALICE, info.id, device="/dev/vdb")
    in_use = (await world.row(volume.id)).status

    row = await world.attachment_row(info.id)
    disks = await world.db.read(lambda tx: world.volumes.disks_of(tx, [SERVER]))
    assert ("reserved", "attaching", "in-use") == (reserved, attaching, in_use)
    assert isinstance(connected.connection, NbdConnection)
    assert ("attached", "h1", "/dev/vdb") == (row.status, row.host, row.device)
    assert [(info.id, volume.id, 0, True)] == [
        (one.id, one.serial, one.boot_index, one.delete_on_termination) for one in disks[SERVER]
    ]
    assert [info.id] == await exports(world)


async def test_detaching_takes_export_and_row_away(world):
    volume = await world.volume()
    info = await world.attached(volume)

    await world.volumes.begin_detach(ALICE, info.id)
    detaching = (await world.row(volume.id)).status
    await world.volumes.detach(ALICE, info.id)
    await world.until(volume.id, "available")

    assert "detaching" == detaching
    assert ([], []) == (await exports(world), await world.rows(Attachment))


async def test_every_step_can_be_repeated(world):
    volume = await world.volume()

    first = await world.volumes.reserve(ALICE, asked(volume))
    again = await world.volumes.reserve(ALICE, asked(volume))
    for _ in range(2):
        await world.volumes.connect(ALICE, first.id, HERE)
    for _ in range(2):
        await world.volumes.complete(ALICE, first.id)
    for _ in range(2):
        await world.volumes.begin_detach(ALICE, first.id)
    for _ in range(2):
        await world.volumes.roll_detaching(ALICE, first.id)

    assert first.id == again.id
    assert ["attached"] == [row.status for row in await world.rows(Attachment)]


async def test_a_volume_is_one_servers(world):
    volume = await world.volume()
    await world.volumes.reserve(ALICE, asked(volume))

    with pytest.raises(WrongState):
        await world.volumes.reserve(ALICE, asked(volume, OTHER))


async def test_many_servers_want_it_at_once_and_one_gets_it(world):
    volume = await world.volume()
    servers = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(8)]

    results = await asyncio.gather(
        *(world.volumes.reserve(ALICE, asked(volume, server)) for server in servers), return_exceptions=True
    )

    assert 1 == sum(not isinstance(one, Exception) for one in results)
    assert 1 == len(await world.rows(Attachment))


async def test_a_shared_volume_is_several_servers_but_each_once(world):
    await world.volumes.types.create(ADMIN, {"name": "shared", "extra_specs": {"multiattach": "<is> True"}})
    volume = await world.volume(type_ref="shared")
    first = await world.attached(volume)

    second = await world.attached(volume, OTHER)
    with pytest.raises(BadRequest):
        await world.volumes.reserve(ALICE, asked(volume))
    await world.volumes.detach(ALICE, first.id)
    await world.idle()

    assert "in-use" == (await world.row(volume.id)).status
    assert [second.id] == [row.id for row in await world.rows(Attachment)]


async def test_a_volume_for_reading_is_exported_for_reading(world):
    volume = await world.volume()
    await world.volumes.set_readonly(ALICE, volume.id, True)

    info = await world.attached(volume)

    assert (await world.attachment_row(info.id)).connection.read_only


async def test_a_refused_export_can_be_tried_again_or_given_up(world):
    volume = await world.volume()
    info = await world.volumes.reserve(ALICE, asked(volume))
    world.driver.refuse("ensure_export", DriverError("not now"))
    with pytest.raises(DriverError):
        await world.volumes.connect(ALICE, info.id, HERE)

    again = await world.volumes.connect(ALICE, info.id, HERE)
    await world.volumes.detach(ALICE, info.id)
    await world.until(volume.id, "available")

    assert again.connection is not None
    assert [] == await exports(world)


async def test_detached_while_it_is_exported_leaves_no_export(world):
    volume = await world.volume()
    info = await world.volumes.reserve(ALICE, asked(volume))
    world.driver.slow(0.1, operation="ensure_export")
    connecting = asyncio.ensure_future(world.volumes.connect(ALICE, info.id, HERE))
    await world.when(lambda: world.attachment_row(info.id), lambda row: row.status == "attaching")

    await world.volumes.detach(ALICE, info.id)
    with pytest.raises((NotFound, WrongState)):
        await connecting
    await world.until(volume.id, "available")

    assert [] == await exports(world)


async def test_who_reserves_and_does_not_come_loses_it(tmp_path):
    from volume.volume_world import World

    world = World(tmp_path, volume__attach_seconds=0.2)
    await world.open("h1")
    volume = await world.volume()
    connected = await world.volume()

    await world.volumes.reserve(ALICE, asked(volume))
    info = await world.volumes.reserve(ALICE, asked(connected))
    await world.volumes.connect(ALICE, info.id, HERE)

    await world.until(volume.id, "available")
    await world.until(connected.id, "available")
    assert ([], []) == (await exports(world), await world.rows(Attachment))
    await world.close()


async def test_who_came_keeps_it_and_nothing_waits_for_him_any_more(world):
    volume = await world.volume()
    await world.attached(volume)
    await world.idle()

    assert [] == await world.rows(Task, open=True)


async def test_a_removed_export_that_fails_is_tried_again(world):
    volume = await world.volume()
    info = await world.attached(volume)
    world.driver.refuse("remove_export", DriverError("busy"), times=3)

    await world.volumes.detach(ALICE, info.id)

    await world.until(volume.id, "available")


async def test_a_removed_export_that_fails_for_good_is_told_and_can_be_detached_again(world):
    volume = await world.volume()
    info = await world.attached(volume)
    world.driver.refuse("remove_export", Rejected("no"))
    await world.volumes.detach(ALICE, info.id)
    await world.when(lambda: world.attachment_row(info.id), lambda row: row.status == "error_detaching")

    await world.volumes.detach(ALICE, info.id)

    await world.until(volume.id, "available")


async def test_a_server_that_goes_frees_its_volumes_in_any_state(world):
    ends, stays, begun = await world.volume(), await world.volume(), await world.volume()
    info = await world.volumes.reserve(ALICE, asked(ends, delete_on_termination=True))
    await world.volumes.connect(ALICE, info.id, HERE)
    await world.volumes.complete(ALICE, info.id)
    await world.attached(stays)
    await world.volumes.reserve(ALICE, asked(begun))

    for _ in range(2):
        free = partial(ServerDisks(world.volumes).free, ctx=ALICE, server_id=SERVER)
        await world.db.write(free, ALICE, why="its server is gone")

    await world.gone(ends.id)
    await world.until(stays.id, "available")
    await world.until(begun.id, "available")
    assert ([], []) == (await exports(world), await world.rows(Attachment))


# -- after a crash


async def test_exports_that_a_reboot_took_are_there_again(world):
    volume = await world.volume()
    info = await world.attached(volume)
    await world.driver.remove_export(info.id)

    await world.restart()

    assert [info.id] == await exports(world)


async def test_an_export_of_no_attachment_is_removed(world):
    volume = await world.volume()
    await world.driver.ensure_export(ExportSpec(id="stray", volume=volume.driver_name))
    assert ["back end file has an export stray that belongs to no attachment"] == await world.volumes.audit(ADMIN)

    await world.volumes.reconcile(ADMIN)

    assert ([], []) == (await exports(world), await world.volumes.audit(ADMIN))


async def test_a_volume_that_its_back_end_lost_is_in_error(world):
    volume = await world.volume()
    world.driver.lose(volume.driver_name)
    assert [f"volume {volume.id} is not on back end file"] == await world.volumes.audit(ADMIN)

    await world.volumes.reconcile(ADMIN)

    assert "error" == (await world.row(volume.id)).status


async def test_what_nobody_here_made_is_told_and_stays(world):
    from micronova.volume.driver import VolumeSpec

    await world.driver.ensure(VolumeSpec(name="theirs", size_gib=1))

    await world.volumes.reconcile(ADMIN)

    assert ["back end file has a volume theirs that belongs to nobody"] == await world.volumes.audit(ADMIN)
    assert 1 == len((await world.driver.list()).volumes)


@pytest.mark.parametrize(
    "operation", ["ensure", "remove", "extend", "ensure_snapshot", "remove_snapshot", "remove_export"]
)
async def test_what_a_dead_service_left_is_finished_by_the_next(world, operation):
    volume = await world.volume()
    taken = await world.volumes.create_snapshot(ALICE, NewSnapshot(volume_id=volume.id))
    await world.when(lambda: world.snapshot_row(taken.id), lambda row: row.status == "available")
    info = await world.attached(await world.volume(size_gib=2))
    world.driver.slow(60, operation=operation)
    await begin(world, operation, volume, taken, info)
    await world.when(lambda: world.rows(Task, open=True), lambda rows: any(row.state == "running" for row in rows))

    world.driver.slow(0, operation=operation)
    await world.restart()
    await world.idle()

    statuses = {row.status for row in await world.rows(type(volume))}
    assert statuses <= {"available", "in-use"}
    assert [] == await world.volumes.audit(ADMIN)


async def begin(world, operation, volume, snapshot, info):
    from micronova.volume.volumes import NewVolume

    match operation:
        case "ensure":
            await world.volumes.create(ALICE, NewVolume(size_gib=1))
        case "remove":
            other = await world.volume()
            await world.volumes.delete(ALICE, other.id)
        case "extend":
            await world.volumes.extend(ALICE, volume.id, 2, in_use=False)
        case "ensure_snapshot":
            await world.volumes.create_snapshot(ALICE, NewSnapshot(volume_id=volume.id))
        case "remove_snapshot":
            await world.volumes.delete_snapshot(ALICE, snapshot.id)
        case "remove_export":
            await world.volumes.detach(ALICE, info.id)


# -- the old way


async def test_the_old_way_claims_attaches_and_detaches(world):
    volume = await world.volume()

    await world.volumes.claim(ALICE, volume.id)
    claimed = (await world.row(volume.id)).status
    await world.volumes.attach_to(ALICE, volume.id, Use(server_id=SERVER, device="/dev/vdb"))
    used = (await world.row(volume.id)).status
    await world.volumes.announce_detach(ALICE, volume.id)
    await world.volumes.roll_back_detach(ALICE, volume.id)
    await world.volumes.detach_from(ALICE, volume.id, None)
    await world.until(volume.id, "available")

    assert ("attaching", "in-use") == (claimed, used)
    assert [] == await world.rows(Attachment)


async def test_the_old_way_unclaims(world):
    volume = await world.volume()
    with pytest.raises(WrongState):
        await world.volumes.unclaim(ALICE, volume.id)

    await world.volumes.claim(ALICE, volume.id)
    with pytest.raises(WrongState):
        await world.volumes.claim(ALICE, volume.id)
    await world.volumes.unclaim(ALICE, volume.id)

    assert ("available", []) == ((await world.row(volume.id)).status, await world.rows(Attachment))


async def test_the_old_way_connects_and_disconnects(world):
    volume = await world.volume()

    row = await world.volumes.initialize(ALICE, volume.id, HERE, {"host": "h1"})
    await world.volumes.attach_to(ALICE, volume.id, Use(server_id=SERVER, device="/dev/vdb"))
    one = await world.rows(Attachment)
    await world.volumes.terminate(ALICE, volume.id, HERE)
    await world.until(volume.id, "available")

    assert row.connection is not None
    assert [row.id] == [only.id for only in one]
    assert [] == await exports(world)


async def test_a_remote_host_is_told_where_to_go(world):
    volume = await world.volume()

    info = await world.attached(volume, connector=AWAY)

    row = await world.attachment_row(info.id)
    assert row.connection.host
    assert msgspec.json.decode(msgspec.json.encode(info), type=type(info)).id == info.id
    with pytest.raises(NotFound):
        await world.volumes.detach(BOB, info.id)
