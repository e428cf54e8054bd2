"""Servers that begin with volumes: booted from them, or having them beside; real managers on fake drivers."""

import json
from typing import Any

import msgspec
from compute.server_world import MEMBER, PEOPLE, Said, ServerWorld

from micronova.errors import Rejected
from micronova.scheduler.db import Allocation
from micronova.volume.db import Volume
from micronova.volume.snapshots import NewSnapshot

NOBODY = "99999999-0000-4000-8000-000000000000"


def error(said: Said) -> tuple[int, str]:
    (fault,) = said.body.values()
    return said.status, fault["message"]


async def create(cloud: ServerWorld, *devices: dict[str, Any], version: str = "2.96", **more: Any) -> Said:
    body = cloud.body(**{"imageRef": None, "block_device_mapping_v2": list(devices), **more})
    return await cloud.ask("POST /servers", body, version=version)


async def boot(cloud: ServerWorld, *devices: dict[str, Any], **more: Any) -> str:
    said = await create(cloud, *devices, **more)
    assert 202 == said.status, said.body
    id: str = said.body["server"]["id"]
    await cloud.until(id, "ACTIVE")
    return id


def of_image(cloud: ServerWorld, **more: Any) -> dict[str, Any]:
    """A root volume made of the world's image."""
    asked = {"source_type": "image", "uuid": cloud.image_id, "destination_type": "volume"}
    return {**asked, "boot_index": 0, "volume_size": 2, **more}


def root(id: str, **more: Any) -> dict[str, Any]:
    """A root volume that is there."""
    return {"source_type": "volume", "uuid": id, "destination_type": "volume", "boot_index": 0, **more}


async def shown_volumes(cloud: ServerWorld, id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await cloud.ask(f"GET /servers/{id}/os-volume_attachments")).body[
        "volumeAttachments"
    ]
    return found


async def spec_of(cloud: ServerWorld, id: str) -> Any:
    row = await cloud.row(id)
    assert row is not None
    return cloud.hosts[row.host].driver._guests[id].spec


async def new_snapshot(cloud: ServerWorld, volume: str) -> str:
    snapshot = await cloud.api.volume.create_snapshot(MEMBER, NewSnapshot(volume_id=volume))
    await cloud.wait(lambda: cloud.api.volume.get_snapshot(MEMBER, snapshot.id), lambda row: row.status == "available")
    return snapshot.id


async def test_a_server_boots_from_a_volume_made_of_an_image(cloud: ServerWorld) -> None:
    id = await boot(cloud, of_image(cloud, delete_on_termination=True, tag="root"))

    shown = (await cloud.ask(f"GET /servers/{id}")).body["server"]
    (disk,) = await shown_volumes(cloud, id)
    spec = await spec_of(cloud, id)
    volume = await cloud.until_volume(disk["volumeId"], "in-use")
    held = await cloud.db.read(lambda tx: tx.find(Allocation, consumer_id=id))
    assert "" == shown["image"]
    assert ("/dev/vda", "root", True) == (disk["device"], disk["tag"], disk["delete_on_termination"])
    assert (None, [(volume.id, 0)]) == (spec.disk, [(one.volume_id, one.boot_index) for one in spec.volumes])
    assert (2, True, "") == (volume.size_gib, volume.bootable, volume.name)
    assert [0] == [row.disk_gib for row in held]
    assert "p1" == volume.project_id


async def test_the_volume_ends_with_its_server_or_stays(cloud: ServerWorld) -> None:
    for ends in (True, False):
        id = await boot(cloud, of_image(cloud, delete_on_termination=ends))
        volume = (await shown_volumes(cloud, id))[0]["volumeId"]

        await cloud.ask(f"DELETE /servers/{id}")

        await cloud.until_gone(id)
        if ends:
            await cloud.wait(lambda volume=volume: cloud.volume(volume), lambda row: row is None)
        else:
            await cloud.until_volume(volume, "available")
    assert [] == await cloud.leaks()


async def test_a_server_boots_from_an_existing_volume(cloud: ServerWorld) -> None:
    volume = await cloud.new_volume(image_id=cloud.image_id)

    id = await boot(cloud, root(volume))

    assert [volume] == [disk["volumeId"] for disk in await shown_volumes(cloud, id)]
    await cloud.until_volume(volume, "in-use")


async def test_a_server_boots_from_a_snapshot(cloud: ServerWorld) -> None:
    volume = await cloud.new_volume(image_id=cloud.image_id)
    snapshot = await new_snapshot(cloud, volume)

    id = await boot(cloud, root(snapshot, source_type="snapshot"))

    (disk,) = await shown_volumes(cloud, id)
    made = await cloud.until_volume(disk["volumeId"], "in-use")
    assert (snapshot, True) == (made.snapshot_id, made.bootable)


async def test_the_old_way_of_saying_it_boots_too(cloud: ServerWorld) -> None:
    volume, data = await cloud.new_volume(image_id=cloud.image_id), await cloud.new_volume()
    devices = [{"device_name": "vda", "volume_id": volume}, {"device_name": "/dev/vdc", "volume_id": data}]

    id = await boot(cloud, block_device_mapping_v2=None, block_device_mapping=devices)

    assert [("/dev/vda", volume), ("/dev/vdc", data)] == [
        (disk["device"], disk["volumeId"]) for disk in await shown_volumes(cloud, id)
    ]


async def test_a_server_with_an_image_has_volumes_beside(cloud: ServerWorld) -> None:
    data = await cloud.new_volume()
    local = {"source_type": "image", "uuid": cloud.image_id, "destination_type": "local", "boot_index": 0}
    blank = {"source_type": "blank", "destination_type": "volume", "volume_size": 3, "disk_bus": "scsi"}

    id = await boot(cloud, local, root(data, boot_index=-1), blank, imageRef=cloud.image_id)

    spec = await spec_of(cloud, id)
    disks = await shown_volumes(cloud, id)
    assert spec.disk is not None
    assert [("/dev/vdb", "virtio"), ("/dev/sdc", "scsi")] == [
        (disk["device"], one.bus) for disk, one in zip(disks, spec.volumes, strict=True)
    ]
    assert cloud.image_id == (await cloud.ask(f"GET /servers/{id}")).body["server"]["image"]["id"]


async def test_the_volumes_image_says_what_is_booted(cloud: ServerWorld) -> None:
    kernel = await cloud.new_image(disk_format="aki", container_format="aki")
    image = await cloud.new_image({"kernel_id": kernel, "os_command_line": "console=hvc0", "hw_disk_bus": "scsi"})
    volume = await cloud.new_volume(image_id=image)

    id = await boot(cloud, root(volume))

    spec = await spec_of(cloud, id)
    shown = (await cloud.ask(f"GET /servers/{id}", who="admin")).body["server"]
    assert ("console=hvc0", True, "scsi") == (spec.cmdline, bool(spec.kernel), spec.volumes[0].bus)
    assert (kernel, "/dev/sda") == (
        shown["OS-EXT-SRV-ATTR:kernel_id"],
        shown["OS-EXT-SRV-ATTR:root_device_name"],
    )


async def test_what_can_not_be_had_is_refused(cloud: ServerWorld) -> None:
    blank = await cloud.new_volume()
    local = {"source_type": "image", "uuid": cloud.image_id, "destination_type": "local", "boot_index": 0}
    scratch = {"source_type": "blank", "destination_type": "local"}
    wrong: list[tuple[str, Said]] = [
        ("is not bootable", await create(cloud, root(blank))),
        ("failed to get volume", await create(cloud, root(NOBODY))),
        ("failed to get image", await create(cloud, of_image(cloud, uuid=NOBODY))),
        ("failed to get snapshot", await create(cloud, root(NOBODY, source_type="snapshot"))),
        ("Boot sequence", await create(cloud, of_image(cloud, boot_index=1))),
        ("Boot sequence", await create(cloud, root(blank, boot_index=-1), imageRef=cloud.image_id)),
        ("non-zero size", await create(cloud, of_image(cloud, volume_size=None))),
        ("to local is not supported", await create(cloud, local)),
        ("no swap", await create(cloud, local, scratch, imageRef=cloud.image_id)),
        ("disk bus", await create(cloud, of_image(cloud, disk_bus="warp"))),
        ("disk bus", await create(cloud, of_image(cloud, disk_bus="ide"))),
        ("multiple instances", await create(cloud, root(blank), min_count=2, max_count=2)),
        ("Volume type", await create(cloud, of_image(cloud, volume_type="none"))),
        ("existing volume", await create(cloud, root(blank, volume_type="none"))),
        ("volume_type", await create(cloud, of_image(cloud, volume_type="x"), version="2.66")),
        ("tag", await create(cloud, of_image(cloud, tag="x"), version="2.41")),
        ("Missing imageRef", await create(cloud)),
    ]

    for part, said in wrong:
        assert 400 == said.status, (part, said.body)
        assert part in error(said)[1]
    assert [] == (await cloud.ask("GET /servers")).body["servers"]


async def test_a_volume_is_had_by_one_server_only(cloud: ServerWorld) -> None:
    volume = await cloud.new_volume(image_id=cloud.image_id)
    await boot(cloud, root(volume))

    said = await create(cloud, root(volume))

    assert 400 == said.status


async def test_a_volume_that_can_not_be_made_is_told_in_the_server(cloud: ServerWorld) -> None:
    for host in cloud.hosts.values():
        host.disks.refuse("ensure", Rejected("the pool is on fire"), times=9)

    said = await create(cloud, of_image(cloud))

    shown = await cloud.until(said.body["server"]["id"], "ERROR")
    assert "could not be made" in shown["fault"]["message"]
    await cloud.wait(lambda: cloud.db.read(lambda tx: tx.find(Volume)), lambda rows: not rows)
    assert [] == await cloud.leaks()


async def test_a_build_that_fails_gives_its_volumes_back(cloud: ServerWorld) -> None:
    mine = await cloud.new_volume()
    for host in cloud.hosts.values():
        host.driver.refuse("no", times=9)

    said = await create(cloud, of_image(cloud), root(mine, boot_index=None))

    id = said.body["server"]["id"]
    await cloud.until(id, "ERROR")
    await cloud.until_volume(mine, "available")
    left = await cloud.wait(
        lambda: cloud.db.read(lambda tx: tx.find(Volume)), lambda rows: [mine] == [row.id for row in rows]
    )
    assert 1 == len(left)
    assert [] == [export for host in cloud.hosts.values() for export in (await host.disks.list()).exports]


async def test_a_server_deleted_while_its_volume_is_made_leaves_nothing(cloud: ServerWorld) -> None:
    for host in cloud.hosts.values():
        host.disks.slow(0.3, operation="ensure")
    said = await create(cloud, of_image(cloud, delete_on_termination=True))
    id = said.body["server"]["id"]
    await cloud.wait(lambda: cloud.db.read(lambda tx: tx.find(Volume)), bool)

    await cloud.ask(f"DELETE /servers/{id}")

    await cloud.until_gone(id)
    await cloud.wait(lambda: cloud.db.read(lambda tx: tx.find(Volume)), lambda rows: not rows)
    assert [] == await cloud.leaks()


async def test_the_root_volume_can_not_be_detached(cloud: ServerWorld) -> None:
    id = await boot(cloud, of_image(cloud))
    volume = (await shown_volumes(cloud, id))[0]["volumeId"]

    said = await cloud.ask(f"DELETE /servers/{id}/os-volume_attachments/{volume}")

    assert (400, "Cannot detach a root device volume") == error(said)


async def test_a_rebuild_keeps_the_root_volume_and_refuses_another_image(cloud: ServerWorld) -> None:
    id = await boot(cloud, of_image(cloud))
    other = await cloud.new_image()

    said = await cloud.act(id, "rebuild", {"imageRef": other})
    same = await cloud.act(id, "rebuild", {"imageRef": cloud.image_id})

    assert (400, "Unable to rebuild with a different image for a volume-backed server.") == error(said)
    assert 202 == same.status
    shown = await cloud.until(id, "ACTIVE")
    assert "" == shown["image"]
    assert 1 == len((await spec_of(cloud, id)).volumes)


async def test_a_stopped_server_starts_from_its_volume(cloud: ServerWorld) -> None:
    id = await boot(cloud, of_image(cloud))
    await cloud.act(id, "os-stop")
    await cloud.until(id, "SHUTOFF")

    await cloud.act(id, "os-start")

    await cloud.until(id, "ACTIVE")
    assert [0] == [disk.boot_index for disk in (await spec_of(cloud, id)).volumes]


async def test_a_volume_only_its_host_serves_draws_its_server_there(cloud: ServerWorld) -> None:
    for host in cloud.hosts.values():
        host.disks.capabilities = msgspec.structs.replace(host.disks.capabilities, remote=False)
        await host.volume.report_pools(PEOPLE["admin"])
    volumes = [await cloud.new_volume(image_id=cloud.image_id) for _ in range(3)]

    ids = [await boot(cloud, root(volume)) for volume in volumes]

    for id, volume in zip(ids, volumes, strict=True):
        server, row = await cloud.row(id), await cloud.volume(volume)
        assert server is not None
        assert row is not None
        assert server.host == row.host


async def test_quotas_of_volumes_hold_for_servers(cloud: ServerWorld) -> None:
    await cloud.api.volume.quota_sets.update(PEOPLE["admin"], "p1", {"volumes": 0})

    said = await create(cloud, of_image(cloud))

    shown = await cloud.until(said.body["server"]["id"], "ERROR")
    assert "Maximum number of volumes allowed (0) exceeded" in shown["fault"]["message"]


async def test_the_guest_is_told_of_its_disks(cloud: ServerWorld) -> None:
    id = await boot(cloud, of_image(cloud, tag="root"), config_drive=True)

    files = (await spec_of(cloud, id)).config_drive

    volume = (await shown_volumes(cloud, id))[0]["volumeId"]
    told = json.loads(files["openstack/latest/meta_data.json"])["devices"]
    assert [("disk", volume, "/dev/vda", ["root"])] == [
        (one["type"], one["serial"], one["path"], one["tags"]) for one in told
    ]


async def test_many_servers_boot_each_from_a_volume_of_its_own(cloud: ServerWorld) -> None:
    said = await create(cloud, of_image(cloud), min_count=2, max_count=2, return_reservation_id=True)

    assert 202 == said.status
    servers = await cloud.wait(
        lambda: cloud.ask("GET /servers/detail"),
        lambda answer: ["ACTIVE", "ACTIVE"] == [server["status"] for server in answer.body["servers"]],
    )
    roots = {server["os-extended-volumes:volumes_attached"][0]["id"] for server in servers.body["servers"]}
    assert 2 == len(roots)
