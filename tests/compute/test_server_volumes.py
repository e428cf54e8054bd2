"""Volumes of servers that are there already: attached and detached, on fake drivers that refuse and die as well."""

import asyncio
from typing import Any

import pytest
from compute.server_world import CTX, MEMBER, PEOPLE, Host, Said, ServerWorld

from micronova.db.journal import Entry
from micronova.errors import DriverError, Rejected
from micronova.tasks import Task

NOBODY = "99999999-0000-4000-8000-000000000000"


async def attach(cloud: ServerWorld, id: str, volume: str, version: str = "2.96", **more: Any) -> Said:
    body = {"volumeAttachment": {"volumeId": volume, **more}}
    return await cloud.ask(f"POST /servers/{id}/os-volume_attachments", body, version=version)


async def detach(cloud: ServerWorld, id: str, volume: str, **how: Any) -> Said:
    return await cloud.ask(f"DELETE /servers/{id}/os-volume_attachments/{volume}", **how)


async def attached(cloud: ServerWorld, **more: Any) -> tuple[str, str]:
    """A server with a volume; their ids."""
    id, volume = await cloud.boot(), await cloud.new_volume()
    said = await attach(cloud, id, volume, **more)
    assert 200 == said.status, said.body
    await cloud.until_volume(volume, "in-use")
    return id, volume


async def host_of(cloud: ServerWorld, id: str) -> Host:
    row = await cloud.row(id)
    assert row is not None
    return cloud.hosts[row.host]


def guest_disks(host: Host, id: str) -> list[str]:
    return [disk.volume_id for disk in host.driver._guests[id].spec.volumes]


async def exports(cloud: ServerWorld) -> list[str]:
    return [export.id for host in cloud.hosts.values() for export in (await host.disks.list()).exports]


def error(said: Said) -> tuple[int, str]:
    (fault,) = said.body.values()
    return said.status, fault["message"]


async def test_a_volume_is_attached_to_a_running_server(cloud: ServerWorld) -> None:
    id, volume = await cloud.boot(), await cloud.new_volume()

    said = await attach(cloud, id, volume, tag="data", delete_on_termination=True)

    assert {
        "id": volume,
        "volumeId": volume,
        "serverId": id,
        "device": "/dev/vdb",
        "tag": "data",
        "delete_on_termination": True,
    } == said.body["volumeAttachment"]
    row = await cloud.until_volume(volume, "in-use")
    (attachment,) = await cloud.attachments(volume)
    assert ("attached", id, "/dev/vdb", 1) == (attachment.status, attachment.server_id, attachment.device, row.size_gib)
    assert [volume] == guest_disks(await host_of(cloud, id), id)
    assert [attachment.id] == await exports(cloud)


@pytest.mark.parametrize(
    ("version", "fields"),
    [
        ("2.1", {"id", "volumeId", "serverId", "device"}),
        ("2.70", {"id", "volumeId", "serverId", "device", "tag"}),
        ("2.79", {"id", "volumeId", "serverId", "device", "tag", "delete_on_termination"}),
        (
            "2.89",
            {"volumeId", "serverId", "device", "tag", "delete_on_termination", "attachment_id", "bdm_uuid"},
        ),
    ],
)
async def test_each_microversion_shows_its_fields(cloud: ServerWorld, version: str, fields: set[str]) -> None:
    id, volume = await attached(cloud)

    one = await cloud.ask(f"GET /servers/{id}/os-volume_attachments/{volume}", version=version)
    many = await cloud.ask(f"GET /servers/{id}/os-volume_attachments", version=version)

    assert fields == set(one.body["volumeAttachment"])
    assert [one.body["volumeAttachment"]] == many.body["volumeAttachments"]


async def test_a_server_shows_its_volumes(cloud: ServerWorld) -> None:
    id, volume = await attached(cloud)
    key = "os-extended-volumes:volumes_attached"

    old = await cloud.ask(f"GET /servers/{id}", version="2.1")
    new = await cloud.ask(f"GET /servers/{id}")
    listed = await cloud.ask("GET /servers/detail")

    assert [{"id": volume}] == old.body["server"][key]
    assert [{"id": volume, "delete_on_termination": False}] == new.body["server"][key]
    assert new.body["server"][key] == listed.body["servers"][0][key]


async def test_a_detached_volume_is_free_and_nothing_of_it_is_left(cloud: ServerWorld) -> None:
    id, volume = await attached(cloud)

    said = await detach(cloud, id, volume)

    assert 202 == said.status
    await cloud.until_volume(volume, "available")
    assert [] == guest_disks(await host_of(cloud, id), id)
    assert [] == await exports(cloud)
    assert [] == await cloud.attachments(volume)
    assert 404 == (await detach(cloud, id, volume)).status


async def test_devices_get_the_next_free_name(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    names = []

    for device in (None, "/dev/vdd", None, "/dev/sdf", None):
        volume = await cloud.new_volume()
        said = await attach(cloud, id, volume, device=device)
        names.append(said.body["volumeAttachment"]["device"])
        await cloud.until_volume(volume, "in-use")
    taken = await attach(cloud, id, await cloud.new_volume(), device="/dev/vdc")

    assert ["/dev/vdb", "/dev/vdd", "/dev/vdc", "/dev/sdf", "/dev/vde"] == names
    assert (409, "The supplied device path (/dev/vdc) is in use.") == error(taken)
    buses = {disk.bus for disk in (await host_of(cloud, id)).driver._guests[id].spec.volumes}
    assert {"virtio", "scsi"} == buses


async def test_wrong_requests_are_told_apart(cloud: ServerWorld) -> None:
    id, volume = await attached(cloud)
    other, free = await cloud.boot(), await cloud.new_volume()
    foreign = await cloud.new_volume(who=PEOPLE["other"])

    assert 404 == (await attach(cloud, id, NOBODY)).status
    assert 404 == (await attach(cloud, NOBODY, free)).status
    assert 404 == (await attach(cloud, id, foreign)).status
    assert 400 == (await attach(cloud, id, "no-uuid")).status
    assert 400 == (await attach(cloud, id, free, device="vdb")).status
    assert 400 == (await attach(cloud, id, free, version="2.48", tag="x")).status
    assert 400 == (await attach(cloud, id, free, version="2.78", delete_on_termination=True)).status
    assert 400 == (await attach(cloud, id, free, colour="red")).status
    assert (400, f"Invalid volume: volume {volume} is already attached to instances: {id}") == error(
        await attach(cloud, other, volume)
    )
    assert 404 == (await detach(cloud, other, volume)).status
    assert 404 == (await cloud.ask(f"GET /servers/{other}/os-volume_attachments/{volume}")).status
    assert 403 == (await detach(cloud, id, volume, who="reader")).status
    assert 404 == (await detach(cloud, id, volume, who="other")).status


async def test_states_and_locks_are_respected(cloud: ServerWorld) -> None:
    id, volume = await attached(cloud)
    free = await cloud.new_volume()
    await cloud.act(id, "lock")

    locked = await attach(cloud, id, free, version="2.60"), await detach(cloud, id, volume)
    await cloud.act(id, "unlock")
    await cloud.act(id, "os-resetState", {"state": "error"}, who="admin")
    broken = await attach(cloud, id, free), await detach(cloud, id, volume)

    assert [409, 409] == [said.status for said in locked]
    assert [409, 409] == [said.status for said in broken]
    assert f"Cannot 'attach_volume' instance {id} while it is in vm_state error" == error(broken[0])[1]


async def test_a_paused_server_takes_a_volume_but_keeps_it(cloud: ServerWorld) -> None:
    id, volume = await cloud.boot(), await cloud.new_volume()
    await cloud.act(id, "pause")
    await cloud.until(id, "PAUSED")

    await attach(cloud, id, volume)
    await cloud.until_volume(volume, "in-use")
    said = await detach(cloud, id, volume)

    assert 202 == said.status
    await cloud.until_volume(volume, "in-use")
    await cloud.wait(lambda: cloud.tasks(id), lambda tasks: not any(task.open for task in tasks))
    assert ["attached"] == [row.status for row in await cloud.attachments(volume)]
    assert [volume] == guest_disks(await host_of(cloud, id), id)


async def test_a_stopped_server_has_its_volumes_when_it_starts(cloud: ServerWorld) -> None:
    id, first = await attached(cloud)
    await cloud.act(id, "os-stop")
    await cloud.until(id, "SHUTOFF")
    second = await cloud.new_volume()
    await attach(cloud, id, second)
    await cloud.until_volume(second, "in-use")
    await detach(cloud, id, first)
    await cloud.until_volume(first, "available")

    await cloud.act(id, "os-start")
    await cloud.until(id, "ACTIVE")

    assert [second] == guest_disks(await host_of(cloud, id), id)


@pytest.mark.parametrize("error", [DriverError, Rejected])
async def test_a_guest_that_refuses_a_volume_gives_it_back(cloud: ServerWorld, error: type[DriverError]) -> None:
    id, volume = await cloud.boot(), await cloud.new_volume()
    (await host_of(cloud, id)).driver.refuse("no slot left", operation="attach_volume", error=error, times=9)

    said = await attach(cloud, id, volume)

    assert 200 == said.status
    await cloud.wait(lambda: cloud.attachments(volume), lambda rows: not rows)
    assert "available" == (await cloud.until_volume(volume, "available")).status
    assert [] == await exports(cloud)
    await cloud.until(id, "ACTIVE")


async def test_a_guest_that_keeps_its_volume_keeps_it_in_its_row(cloud: ServerWorld) -> None:
    id, volume = await attached(cloud)
    (await host_of(cloud, id)).driver.refuse("busy", operation="detach_volume", error=Rejected, times=1)

    await detach(cloud, id, volume)

    await cloud.wait(lambda: cloud.tasks(id), lambda tasks: not any(task.open for task in tasks))
    assert "in-use" == (await cloud.until_volume(volume, "in-use")).status
    assert 202 == (await detach(cloud, id, volume)).status
    await cloud.until_volume(volume, "available")


async def test_a_deleted_server_frees_its_volumes_or_ends_them(cloud: ServerWorld) -> None:
    id, kept = await attached(cloud)
    gone = await cloud.new_volume()
    await attach(cloud, id, gone, delete_on_termination=True)
    await cloud.until_volume(gone, "in-use")

    await cloud.ask(f"DELETE /servers/{id}")

    await cloud.until_gone(id)
    await cloud.until_volume(kept, "available")
    await cloud.wait(lambda: cloud.volume(gone), lambda row: row is None)
    assert [] == await exports(cloud)
    assert [] == await cloud.leaks()


async def test_what_ends_with_the_server_can_be_changed(cloud: ServerWorld) -> None:
    id, volume = await attached(cloud)
    path = f"PUT /servers/{id}/os-volume_attachments/{volume}"

    said = await cloud.ask(path, {"volumeAttachment": {"volumeId": volume, "delete_on_termination": True}})
    other = await cloud.ask(path, {"volumeAttachment": {"volumeId": volume, "device": "/dev/vdz"}})
    early = await cloud.ask(
        path, {"volumeAttachment": {"volumeId": volume, "delete_on_termination": True}}, version="2.84"
    )

    assert (202, 400, 400) == (said.status, other.status, early.status)
    assert "The device property is not mutable" == error(other)[1]
    assert [True] == [row.delete_on_termination for row in await cloud.attachments(volume)]


async def swap(cloud: ServerWorld, id: str, old: str, new: str, who: str = "admin", version: str = "2.84") -> Said:
    body = {"volumeAttachment": {"volumeId": new}}
    return await cloud.ask(f"PUT /servers/{id}/os-volume_attachments/{old}", body, who=who, version=version)


@pytest.mark.parametrize("version", ["2.1", "2.84", "2.85"])
async def test_only_an_administrator_says_that_a_disk_is_another_volume(cloud: ServerWorld, version: str) -> None:
    id, volume = await attached(cloud)
    other = await cloud.new_volume()

    as_member = await swap(cloud, id, volume, other, "member", version)
    none = await swap(cloud, id, NOBODY, other, version=version), await swap(cloud, NOBODY, volume, other)
    as_admin = await swap(cloud, id, volume, other, version=version)

    assert [403, 404, 404, 202] == [said.status for said in (as_member, *none, as_admin)]
    await cloud.until_volume(other, "in-use")
    await cloud.until_volume(volume, "available")


async def test_a_volume_that_grew_is_seen_by_its_guest(cloud: ServerWorld) -> None:
    id, volume = await attached(cloud)
    host = await host_of(cloud, id)

    await cloud.api.volume.extend(MEMBER, volume, 3, in_use=True)

    async def sizes() -> dict[str, int]:
        return host.driver._guests[id].sizes

    assert {volume: 3} == await cloud.wait(sizes, bool)
    assert 3 == (await cloud.until_volume(volume, "in-use")).size_gib


async def test_a_host_that_starts_again_brings_guests_back_with_their_volumes(cloud: ServerWorld) -> None:
    id, volume = await attached(cloud)
    host = await host_of(cloud, id)
    await host.stop()
    host.driver.crash(id)

    await host.start()

    await cloud.until(id, "ACTIVE")
    assert [volume] == guest_disks(host, id)
    assert "running" == host.driver._guests[id].power


async def test_a_guest_loses_a_disk_that_no_row_gives_it(cloud: ServerWorld) -> None:
    id, volume = await attached(cloud)
    host = await host_of(cloud, id)
    (attachment,) = await cloud.attachments(volume)

    await cloud.api.volume.detach(CTX, attachment.id)
    await cloud.until_volume(volume, "available")
    told = await host.compute.audit(CTX)
    await host.compute.reconcile(CTX)

    async def there() -> list[str]:
        return guest_disks(host, id)

    assert [f"guest {id} has volume {volume}, its server has not"] == told
    assert [] == await cloud.wait(there, lambda found: not found)


async def test_servers_share_a_volume_that_may_be_shared(cloud: ServerWorld) -> None:
    shared = {"name": "shared", "extra_specs": {"multiattach": "<is> True"}}
    await cloud.api.volume.types.create(PEOPLE["admin"], shared)
    one, two = await cloud.boot(), await cloud.boot(name="web2")
    volume = await cloud.new_volume(type_ref="shared")

    early = await attach(cloud, one, volume, version="2.59")
    said = [await attach(cloud, id, volume) for id in (one, two)]
    again = await attach(cloud, one, volume)

    assert (400, "Multiattach volumes are only supported starting with compute API version 2.60.") == error(early)
    assert [200, 200] == [answer.status for answer in said]
    assert 400 == again.status
    await cloud.wait(
        lambda: cloud.attachments(volume), lambda rows: ["attached", "attached"] == [row.status for row in rows]
    )


SLOW = 30.0
"""Longer than any test waits: whoever is in such a call is interrupted there."""


async def interrupted(cloud: ServerWorld, host: Host, operation: str) -> None:
    """The host's service ends while it is within an operation of one of its drivers, and begins again."""

    async def within() -> bool:
        return any(task.open and task.state == "running" for task in await all_tasks(cloud))

    await cloud.wait(within, bool)
    await asyncio.sleep(0.05)
    await host.stop()
    host.driver.slow(0, operation=operation)
    host.disks.slow(0, operation=operation)
    await host.start()
    await cloud.wait(lambda: all_tasks(cloud), lambda tasks: not any(task.open and now(task) for task in tasks))


async def all_tasks(cloud: ServerWorld) -> list[Task]:
    return await cloud.db.read(lambda tx: tx.find(Task))


def now(task: Task) -> bool:
    """Whether the task is something to be done now, not a watch for later."""
    return task.method != "expire"


@pytest.mark.parametrize("operation", ["attach_volume", "ensure_export"])
async def test_an_attachment_goes_on_where_its_host_died(one: ServerWorld, operation: str) -> None:
    id, volume = await one.boot(), await one.new_volume()
    host = await host_of(one, id)
    host.driver.slow(SLOW, operation=operation)
    host.disks.slow(SLOW, operation=operation)

    await attach(one, id, volume)
    await interrupted(one, host, operation)

    await one.until_volume(volume, "in-use")
    assert [volume] == guest_disks(host, id)
    assert [row.id for row in await one.attachments(volume)] == await exports(one)


@pytest.mark.parametrize("operation", ["detach_volume", "remove_export"])
async def test_a_detachment_goes_on_where_its_host_died(one: ServerWorld, operation: str) -> None:
    id, volume = await attached(one)
    host = await host_of(one, id)
    host.driver.slow(SLOW, operation=operation)
    host.disks.slow(SLOW, operation=operation)

    await detach(one, id, volume)
    await interrupted(one, host, operation)

    await one.until_volume(volume, "available")
    assert [] == guest_disks(host, id)
    assert [] == await exports(one)


@pytest.mark.parametrize("operation", ["ensure", "ensure_export", "attach_volume"])
async def test_a_server_deleted_in_the_middle_of_an_attachment_leaves_nothing(one: ServerWorld, operation: str) -> None:
    id, volume = await one.boot(), await one.new_volume()
    host = await host_of(one, id)
    host.driver.slow(0.3, operation=operation)
    host.disks.slow(0.3, operation=operation)

    await attach(one, id, volume, delete_on_termination=operation == "ensure_export")
    await one.ask(f"DELETE /servers/{id}")

    await one.until_gone(id)
    if operation == "ensure_export":
        await one.wait(lambda: one.volume(volume), lambda row: row is None)
    else:
        await one.until_volume(volume, "available")
    await one.wait(lambda: exports(one), lambda found: not found)
    assert [] == await one.leaks()


async def test_an_attachment_that_is_taken_away_meanwhile_puts_nothing_into_the_guest(one: ServerWorld) -> None:
    id, volume = await one.boot(), await one.new_volume()
    host = await host_of(one, id)
    host.disks.slow(0.3, operation="ensure_export")

    said = await attach(one, id, volume)
    (attachment,) = await one.attachments(volume)
    await one.api.volume.detach(CTX, attachment.id)

    await one.wait(lambda: one.tasks(id), lambda tasks: not any(task.open for task in tasks))
    assert 200 == said.status
    assert [] == guest_disks(host, id)
    await one.until_volume(volume, "available")
    await one.wait(lambda: exports(one), lambda found: not found)


async def test_what_was_asked_for_is_told_by_its_name(one: ServerWorld) -> None:
    id, volume = await attached(one)
    await one.api.volume.extend(MEMBER, volume, 2, in_use=True)
    await one.wait(lambda: one.tasks(id), lambda tasks: any(task.method == "extend_volume" for task in tasks))
    await one.until_volume(volume, "in-use")
    await detach(one, id, volume)
    await one.until_volume(volume, "available")

    listed = (await one.ask(f"GET /servers/{id}/os-instance-actions")).body["instanceActions"]

    assert ["detach_volume", "extend_volume", "attach_volume", "create"] == [each["action"] for each in listed]


async def test_an_encrypted_and_limited_volume_comes_with_its_key_and_limits(one: ServerWorld) -> None:
    admin, types = PEOPLE["admin"], one.api.volume.types
    kind = await types.create(admin, {"name": "safe"})
    await types.encrypt(admin, kind.id, {"provider": "luks", "key_size": 256}, fresh=True)
    qos = await one.api.volume.qos.create(admin, "slow", "front-end", {"total_iops_sec": "500"})
    await one.api.volume.qos.associate(admin, qos.id, kind.id)
    id, volume = await one.boot(), await one.new_volume(type_ref="safe")

    await attach(one, id, volume)
    await one.until_volume(volume, "in-use")

    (disk,) = (await host_of(one, id)).driver._guests[id].spec.volumes
    assert (True, {"iops-total": 500}) == (disk.encrypted, disk.throttle)
    key = disk.key.decode()
    assert 32 == len(bytes.fromhex(key))
    journal = await one.db.read(lambda tx: str(tx.find(Entry)))
    assert key not in journal
