"""What POST /servers takes and refuses: every wrong body gets the reason, and nothing is recorded."""

import base64
from typing import Any

from compute.server_world import CTX, ServerWorld

from micronova.compute.db import Server, ServerGroup

NOBODY = "00000000-0000-4000-8000-000000000000"
WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"name": ""}, "2.96", "name"),
    ({"name": "x" * 256}, "2.96", "name"),
    ({"name": "a\x00b"}, "2.96", "name"),
    ({"name": " a"}, "2.96", "name"),
    ({"name": 7}, "2.96", "name"),
    ({"nonsense": 1}, "2.96", "nonsense"),
    ({"imageRef": None}, "2.96", "Missing imageRef attribute"),
    ({"imageRef": "tiny"}, "2.96", "Invalid imageRef provided."),
    ({"imageRef": NOBODY}, "2.96", "Can not find requested image"),
    ({"flavorRef": "9"}, "2.96", "Flavor 9 could not be found."),
    ({"flavorRef": None}, "2.96", "flavorRef"),
    ({"key_name": "none"}, "2.96", "Invalid key_name provided."),
    ({"networks": None}, "2.96", "networks"),
    ({"networks": [{"uuid": "x"}]}, "2.96", "network uuid is not in proper format (x)"),
    ({"networks": [{"uuid": NOBODY}]}, "2.96", NOBODY),
    ({"networks": [{"port": NOBODY, "fixed_ip": "10.60.0.9"}]}, "2.96", "cannot be used with port"),
    ({"networks": [{}]}, "2.96", "missing 'uuid'"),
    ({"networks": "some"}, "2.96", "networks"),
    ({"networks": "auto"}, "2.36", "networks"),
    ({"security_groups": [{"name": "none"}]}, "2.96", "none"),
    ({"user_data": "not base64!"}, "2.96", "user_data"),
    ({"user_data": "A" * 65536}, "2.96", "user_data"),
    ({"metadata": {"k": "v" * 256}}, "2.96", "metadata"),
    ({"metadata": {"k": 1}}, "2.96", "metadata"),
    ({"config_drive": "maybe"}, "2.96", "config_drive"),
    ({"min_count": 0}, "2.96", "min_count"),
    ({"min_count": 3, "max_count": 2}, "2.96", "min_count must be <= max_count"),
    ({"availability_zone": "mars"}, "2.96", "The requested availability zone is not available"),
    ({"accessIPv4": "::1"}, "2.96", "accessIPv4"),
    ({"description": "x"}, "2.18", "description"),
    ({"tags": ["a"]}, "2.51", "tags"),
    ({"tags": ["a,b"]}, "2.52", "tags"),
    ({"hostname": "a"}, "2.89", "hostname"),
    ({"hostname": "not_plain"}, "2.90", "hostname"),
    ({"trusted_image_certificates": ["x"]}, "2.63", "certificates"),
    ({"personality": []}, "2.57", "personality"),
    ({"block_device_mapping_v2": [{"source_type": "volume", "uuid": NOBODY, "boot_index": 0}]}, "2.96", "failed to"),
    ({"imageRef": None, "block_device_mapping": [{"volume_id": NOBODY}]}, "2.96", "Boot sequence"),
]


async def test_a_wrong_body_is_refused_with_the_reason(cloud: ServerWorld) -> None:
    for changes, version, reason in WRONG:
        said = await cloud.ask("POST /servers", cloud.body(**changes), version=version)

        assert 400 == said.status, (changes, said.body)
        assert reason in said.body["badRequest"]["message"], (changes, said.body)

    assert 0 == await cloud.db.read(lambda tx: tx.count(Server))


async def test_several_networks_are_ambiguous(cloud: ServerWorld) -> None:
    await cloud.new_network("second", "10.61.0.0/24")

    said = await cloud.ask("POST /servers", cloud.body(networks="auto"))

    assert (409, "conflictingRequest") == (said.status, next(iter(said.body)))


async def test_a_project_without_networks_gets_one_only_where_the_cloud_can_make_one(cloud: ServerWorld) -> None:
    at_once = await cloud.ask("POST /servers", cloud.body(networks="auto"), who="other")
    of_old = await cloud.ask("POST /servers", cloud.body(networks=[]), who="other", version="2.1")

    assert (400, 202) == (at_once.status, of_old.status)
    assert "Unable to automatically allocate a network for project" in at_once.body["badRequest"]["message"]


async def test_hosts_are_for_administrators(cloud: ServerWorld) -> None:
    body = cloud.body(availability_zone="nova:h2")

    denied = await cloud.ask("POST /servers", body)
    wanted = cloud.body(host="h2", networks="none")
    wrong = await cloud.ask("POST /servers", cloud.body(availability_zone="nova:h9", networks="none"), who="admin")
    placed = await cloud.ask("POST /servers", wanted, who="admin")

    assert (403, 400, 202) == (denied.status, wrong.status, placed.status)
    shown = await cloud.until(placed.body["server"]["id"], "ACTIVE")
    assert "h2" == shown["OS-EXT-SRV-ATTR:host"]


async def test_a_full_quota_is_told_with_the_numbers(small: ServerWorld) -> None:
    for number in range(3):
        await small.boot(name=f"s{number}")

    said = await small.ask("POST /servers", small.body())

    wanted = "Quota exceeded for instances: Requested 1, but already used 3 of 3 instances"
    assert {"forbidden": {"code": 403, "message": wanted}} == said.body


async def test_many_are_made_at_once_as_far_as_the_quota_goes(small: ServerWorld) -> None:
    body = small.body(min_count=2, max_count="5", return_reservation_id="True")

    said = await small.ask("POST /servers", body)

    assert 202 == said.status
    reservation = said.body["reservation_id"]
    listed = await small.ask("GET /servers/detail", query=f"reservation_id={reservation}", version="2.1")
    assert ["web1-3", "web1-2", "web1-1"] == [one["name"] for one in listed.body["servers"]]
    for one in listed.body["servers"]:
        await small.until(one["id"], "ACTIVE")
    assert 403 == (await small.ask("POST /servers", small.body(min_count=2))).status


async def test_one_address_is_not_for_many(cloud: ServerWorld) -> None:
    network = {"uuid": cloud.network_id, "fixed_ip": "10.60.0.40"}

    many = await cloud.ask("POST /servers", cloud.body(networks=[network], min_count=2))
    id = await cloud.boot(networks=[network])

    assert 400 == many.status
    shown = (await cloud.ask(f"GET /servers/{id}")).body["server"]
    assert "10.60.0.40" == shown["addresses"]["private"][0]["addr"]


async def test_what_was_asked_for_is_kept(cloud: ServerWorld) -> None:
    data = base64.b64encode(b"#!/bin/sh\n").decode()

    id = await cloud.boot(
        name="Web Server.One",
        user_data=data,
        tags=["b", "a"],
        description="mine",
        accessIPv4="192.0.2.1",
        config_drive="true",
        availability_zone="nova",
        security_groups=[{"name": "default"}],
        adminPass="geheim",
    )

    shown = (await cloud.ask(f"GET /servers/{id}", who="admin")).body["server"]
    assert data == shown["OS-EXT-SRV-ATTR:user_data"]
    assert (["a", "b"], "mine", "192.0.2.1", "True", "nova") == (
        shown["tags"],
        shown["description"],
        shown["accessIPv4"],
        shown["config_drive"],
        shown["pinned_availability_zone"],
    )
    assert "web-server-one" == shown["OS-EXT-SRV-ATTR:hostname"]


async def test_an_image_may_come_as_the_boot_device(cloud: ServerWorld) -> None:
    device = {"source_type": "image", "destination_type": "local", "boot_index": 0, "uuid": cloud.image_id}

    id = await cloud.boot(block_device_mapping_v2=[device])
    alone = await cloud.ask("POST /servers", cloud.body(imageRef=None, block_device_mapping_v2=[device]))

    assert cloud.image_id == (await cloud.ask(f"GET /servers/{id}")).body["server"]["image"]["id"]
    assert 400 == alone.status


async def test_a_group_keeps_servers_apart(cloud: ServerWorld) -> None:
    group = NOBODY.replace("8000", "8001")

    def make(tx: Any) -> None:
        tx.insert(
            ServerGroup(
                id=group, project_id="p1", user_id="u1", name="g", policy="anti-affinity", created_at=cloud.clock.now()
            )
        )

    await cloud.db.write(make, CTX, why="test")
    ids = []
    for number in range(3):
        body = {**cloud.body(name=f"s{number}"), "os:scheduler_hints": {"group": group}}
        ids.append((await cloud.ask("POST /servers", body)).body["server"]["id"])

    first, second = await cloud.until(ids[0], "ACTIVE"), await cloud.until(ids[1], "ACTIVE")
    third = await cloud.until(ids[2], "ERROR")
    hosts = {first["OS-EXT-SRV-ATTR:host"], second["OS-EXT-SRV-ATTR:host"]}
    assert {"h1", "h2"} == hosts
    assert [group] == third["server_groups"]
    unknown = {**cloud.body(), "os:scheduler_hints": {"group": NOBODY}}
    assert 400 == (await cloud.ask("POST /servers", unknown)).status


async def test_an_image_larger_than_the_flavor_is_refused(cloud: ServerWorld) -> None:
    image = await cloud.new_image(name="big", min_disk=2, min_ram=200)

    ram = await cloud.ask("POST /servers", cloud.body(imageRef=image))
    disk = await cloud.ask("POST /servers", cloud.body(imageRef=await cloud.new_image(name="wide", min_disk=2)))

    assert "Flavor's memory is too small for requested image." == ram.body["badRequest"]["message"]
    assert disk.body["badRequest"]["message"].startswith("Flavor's disk is too small for requested image.")


async def test_an_image_with_a_kernel_boots_that_kernel(cloud: ServerWorld) -> None:
    kernel = await cloud.new_image(name="kernel")
    image = await cloud.new_image({"kernel_id": kernel, "ramdisk_id": kernel, "os_command_line": "quiet"}, name="tiny")

    id = await cloud.boot(imageRef=image)

    row = await cloud.row(id)
    assert row is not None
    spec = cloud.hosts[row.host].driver._guests[id].spec
    assert spec.kernel is not None
    assert (spec.kernel, "quiet") == (spec.initrd, spec.cmdline)
    assert kernel == row.kernel_id


async def test_nobody_boots_a_kernel_he_does_not_see(cloud: ServerWorld) -> None:
    secret = await cloud.new_image(name="secret", visibility="private")
    image = await cloud.new_image({"kernel_id": secret}, name="trap")

    said = await cloud.ask("POST /servers", cloud.body(imageRef=image))

    assert (400, True) == (said.status, secret in said.body["badRequest"]["message"])
