"""`micronova repair` of a server: its state, its guest, its volumes and ports; what belongs to it is examined too."""

from typing import Any

import msgspec
import pytest
from compute.server_world import PEOPLE, Host, ServerWorld

from micronova.compute.db import Server
from micronova.errors import NotFound
from micronova.network.db import Port
from micronova.operations import Operations
from micronova.tasks import Task
from micronova.volume.db import Attachment, Volume

ADMIN = PEOPLE["admin"]
NOBODY = "99999999-0000-4000-8000-000000000000"


async def change(cloud: ServerWorld, cls: Any, id: str, **fields: Any) -> None:
    await cloud.db.write(lambda tx: tx.change(tx.get(cls, id), **fields), ADMIN, why="broken by the test")


async def host_of(cloud: ServerWorld, id: str) -> Host:
    row = await cloud.row(id)
    assert row is not None
    return cloud.hosts[row.host]


async def repair(cloud: ServerWorld, id: str, *, do: bool = False) -> list[tuple[str, str]]:
    """What is found, and what would be, or was, done about it."""
    managers = {"network": cloud.api.network, "volume": cloud.api.volume, "compute": cloud.compute}
    operations = Operations(managers)
    report = await operations.repair(ADMIN, id, do=do)
    assert all(one.done or not do or not one.finding.action for one in report.ailments), report
    return [(one.finding.what, one.finding.cure) for one in report.ailments]


async def quiet(cloud: ServerWorld) -> None:
    """Nothing is being done."""
    await cloud.wait(lambda: cloud.db.read(lambda tx: tx.find(Task, open=True, cancelled=False)), lambda rows: not rows)


async def with_volume(cloud: ServerWorld) -> tuple[str, str]:
    id, volume = await cloud.boot(), await cloud.new_volume()
    body = {"volumeAttachment": {"volumeId": volume}}
    assert 200 == (await cloud.ask(f"POST /servers/{id}/os-volume_attachments", body)).status
    await cloud.until_volume(volume, "in-use")
    await quiet(cloud)
    return id, volume


async def test_a_server_that_is_well_has_nothing_to_be_said_of_it(cloud: ServerWorld) -> None:
    id, volume = await with_volume(cloud)

    found = [await repair(cloud, one) for one in (id, volume)]

    assert [[], []] == found


async def test_nobody_knows_a_stranger(cloud: ServerWorld) -> None:
    with pytest.raises(
        NotFound,
        match=f"there is no server, volume, snapshot, attachment, backup, port or network with the id {NOBODY}",
    ):
        await repair(cloud, NOBODY)


async def test_what_only_a_host_knows_of_is_told(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    host = await host_of(cloud, id)
    await cloud.db.write(lambda tx: tx.delete(tx.get(Server, id)), ADMIN, why="broken by the test")

    with pytest.raises(NotFound, match=f"left alone: {host.name}: guest {id} belongs to no server"):
        await repair(cloud, id)


@pytest.mark.parametrize(
    ("fields", "cure", "status"),
    [
        ({"task_state": "powering-off"}, "give that up, and say what its guest does", "ACTIVE"),
        ({"vm_state": "building", "task_state": "spawning"}, "give the build up: it is in error then", "ERROR"),
        (
            {"task_state": "rebuilding"},
            "give that up: it is in error then, to be rebuilt again",
            "ERROR",
        ),
        ({"task_state": "deleting"}, "have it removed", None),
    ],
)
async def test_a_state_that_nobody_sees_to_is_settled(
    cloud: ServerWorld, fields: dict[str, str], cure: str, status: str | None
) -> None:
    id = await cloud.boot()
    await change(cloud, Server, id, **fields)

    found = await repair(cloud, id, do=True)

    assert [cure] == [done for _, done in found]
    assert found[0][0].endswith(", and no task sees to that")
    if status is None:
        await cloud.until_gone(id)
    else:
        await cloud.until(id, status)


async def test_a_guest_that_is_off_is_believed(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    host = await host_of(cloud, id)
    await host.driver.stop(id, wait=1)

    found = await repair(cloud, id, do=True)

    assert [("is ACTIVE, its guest is shutdown", "have its row say so")] == found
    assert "SHUTOFF" == (await cloud.until(id, "SHUTOFF"))["status"]


async def test_a_guest_that_is_gone_puts_its_server_into_error(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    host = await host_of(cloud, id)
    await host.driver.remove(id)

    found = await repair(cloud, id, do=True)
    left = await repair(cloud, id)

    assert [("is ACTIVE, its guest is absent", "put it into error")] == found
    assert [("is in error: The guest is no longer on its host.", "")] == left


@pytest.mark.parametrize("asked_by", ["server", "volume"])
async def test_a_volume_that_its_guest_lost_is_plugged_in_again(cloud: ServerWorld, asked_by: str) -> None:
    id, volume = await with_volume(cloud)
    host = await host_of(cloud, id)
    await host.driver.detach_volume(id, volume)

    found = await repair(cloud, id if asked_by == "server" else volume, do=True)
    await quiet(cloud)

    assert [f"has volumes that its guest has not: {volume}"] == [what for what, _ in found]
    assert [volume] == [disk.volume_id for disk in host.driver.disks(id)]
    assert [] == await repair(cloud, id)


async def test_a_volume_that_is_not_the_servers_is_taken_from_its_guest(cloud: ServerWorld) -> None:
    id, volume = await with_volume(cloud)
    host = await host_of(cloud, id)
    (disk,) = host.driver.disks(id)
    await host.driver.attach_volume(id, msgspec.structs.replace(disk, volume_id=NOBODY))

    found = await repair(cloud, id, do=True)
    await quiet(cloud)

    assert [
        (f"has a guest with volumes that are not its own: {NOBODY}", "have what is not its own taken from its guest")
    ] == found
    assert [volume] == [disk.volume_id for disk in host.driver.disks(id)]


async def test_ports_that_are_not_active_are_plugged_in_again(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    (port,) = await cloud.db.read(lambda tx: tx.find(Port, device_id=id))
    await change(cloud, Port, port.id, status="DOWN")

    found = await repair(cloud, id, do=True)

    assert [(f"runs, and its ports {port.id} are not active", "have them plugged in again")] == found
    assert [] == await repair(cloud, id)


async def test_a_volume_of_a_server_that_is_not_there_is_freed(cloud: ServerWorld) -> None:
    _, volume = await with_volume(cloud)
    (attachment,) = await cloud.attachments(volume)
    await change(cloud, Attachment, attachment.id, server_id=NOBODY)

    found = await repair(cloud, volume, do=True)

    assert [(f"is for server {NOBODY}, which is not there", "have it detached")] == found
    await cloud.until_volume(volume, "available")


async def test_what_is_wrong_with_its_volumes_is_told_with_the_server(cloud: ServerWorld) -> None:
    id, volume = await with_volume(cloud)
    host = await host_of(cloud, id)
    (attachment,) = await cloud.attachments(volume)
    await host.disks.remove_export(attachment.id)
    await change(cloud, Volume, volume, status="extending")

    found = await repair(cloud, id)

    assert [("is attached, and back end fake has no export for it", "have it exported again")] == found


async def test_a_port_that_its_host_lost_is_made_again(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    host = await host_of(cloud, id)
    (port,) = await cloud.db.read(lambda tx: tx.find(Port, device_id=id))
    well = [await repair(cloud, one) for one in (port.id, port.network_id)]
    await host.net.remove_port(port.id)

    found = await repair(cloud, port.id, do=True)
    await quiet(cloud)

    assert [[], []] == well
    assert [(f"is not on host {host.name}", f"have host {host.name} follow its rows")] == found
    assert [port.id] == [facts.id for facts in await host.net.list_ports()]
    assert [] == await repair(cloud, port.id)


async def test_a_network_on_a_host_that_is_down_is_told(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    host = await host_of(cloud, id)
    await host.stop()

    found = await repair(cloud, cloud.network_id)

    assert [(f"is on host {host.name}, whose network service is down", "")] == found
