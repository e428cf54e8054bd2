"""The block storage API as clients see it: shapes, statuses, microversions, lists, actions."""

import pytest
from volume.volume_world import ALICE, BOB, NOWHERE, SERVER

ONE = {"volume": {"size": 1, "name": "one", "metadata": {"a": "b"}}}


async def made(world, body=None, **more):
    volume = (await world.ask("POST /volumes", body or ONE, **more))["volume"]
    await world.until(volume["id"], "available")
    return volume["id"]


async def test_versions_are_told_to_everybody(world):
    root = await world.client.request("GET", "/volume/", token="")
    version = await world.client.request("GET", "/volume/v3/", token="")

    told = version.json["versions"][0]
    assert (300, 200) == (root.status, version.status)
    assert ("v3.0", "CURRENT", "3.0", "3.70") == (told["id"], told["status"], told["min_version"], told["version"])
    assert "http://cloud.test/volume/v3/" == told["links"][1]["href"]


async def test_a_path_names_the_callers_project_or_none(world):
    mine = await world.reply(f"GET /{ALICE.project_id}/volumes")
    theirs = await world.reply(f"GET /{BOB.project_id}/volumes")
    none = await world.reply("GET /volumes")

    assert (200, 400, 200) == (mine.status, theirs.status, none.status)


async def test_a_volume_is_shown_as_the_microversion_has_it(world):
    id = await made(world)

    old = (await world.ask(f"GET /volumes/{id}", version="3.0"))["volume"]
    new = (await world.ask(f"GET /volumes/{id}"))["volume"]
    admins = (await world.ask(f"GET /volumes/{id}", who="admin"))["volume"]

    assert ("one", 1, "false", {"a": "b"}, "__DEFAULT__") == (
        old["name"], old["size"], old["bootable"], old["metadata"], old["volume_type"]
    )  # fmt: skip
    assert {"group_id", "service_uuid", "shared_targets", "volume_type_id", "consumes_quota"} == set(new) - set(old)
    assert "h1@file#file" == admins["os-vol-host-attr:host"]
    assert "os-vol-host-attr:host" not in new


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"volume": {"size": 0}}, 400),
        ({"volume": {"size": -1}}, 400),
        ({"volume": {"size": "#$%"}}, 400),
        ({"volume": {"size": True}}, 400),
        ({"volume": {}}, 400),
        ({}, 400),
        ([], 400),
        ({"volume": {"size": 1, "name": "x" * 256}}, 400),
        ({"volume": {"size": 1, "metadata": {"": "x"}}}, 400),
        ({"volume": {"size": 1, "name": "nul\x00"}}, 400),
        ({"volume": {"size": 1, "snapshot_id": NOWHERE}}, 404),
        ({"volume": {"size": 1, "volume_type": NOWHERE}}, 404),
        ({"volume": {"size": 1, "availability_zone": "mars"}}, 400),
    ],
)
async def test_a_wrong_request_is_told(world, body, status):
    reply = await world.reply("POST /volumes", body)

    fault = {400: "badRequest", 404: "itemNotFound"}[status]
    assert status == reply.status
    assert status == reply.json[fault]["code"]


async def test_a_quota_is_told_as_413(world):
    await world.ask(f"PUT /os-quota-sets/{ALICE.project_id}", {"quota_set": {"volumes": 0}}, who="admin", status=200)

    reply = await world.reply("POST /volumes", ONE)

    assert (413, 413) == (reply.status, reply.json["overLimit"]["code"])


async def test_lists_filter_sort_and_page(world):
    for name, size in (("a", 1), ("b", 3), ("c", 2)):
        await made(world, {"volume": {"size": size, "name": name, "metadata": {"is": name}}})

    async def names(query):
        return [one["name"] for one in (await world.ask(f"GET /volumes/detail?{query}"))["volumes"]]

    assert ["c", "b", "a"] == await names("")
    assert ["a", "c", "b"] == await names("sort=size:asc")
    assert ["b", "c", "a"] == await names("sort_key=size&sort_dir=desc")
    assert ["b"] == await names("name=b")
    assert ["c", "b", "a"] == await names("status=available&bootable=false")
    assert [] == await names("status=error")
    assert ["a"] == await names("metadata=%7B%27is%27:%27a%27%7D")
    assert ["b"] == await names("offset=1&limit=1")
    assert [] == await names("limit=0")
    page = await world.ask("GET /volumes?limit=2&sort=name:asc&with_count=True")
    rest = await world.ask("GET " + page["volumes_links"][0]["href"].partition("/volume/v3")[2])
    assert (["a", "b"], 3, ["c"]) == (
        [one["name"] for one in page["volumes"]], page["count"], [one["name"] for one in rest["volumes"]]
    )  # fmt: skip


@pytest.mark.parametrize(
    "query", ["limit=x", "limit=-1", "sort=color", "sort=name:up", "offset=x", "bootable=maybe", "name=%00"]
)
async def test_a_wrong_list_is_told(world, query):
    assert 400 == (await world.reply(f"GET /volumes?{query}")).status


async def test_an_unknown_marker_is_not_found(world):
    assert 404 == (await world.reply(f"GET /volumes?marker={NOWHERE}")).status


async def test_who_may_see_all_projects(world):
    await made(world)

    every = await world.ask("GET /volumes/detail?all_tenants=1", who="admin")
    own = await world.ask("GET /volumes/detail", who="admin")
    other = await world.ask("GET /volumes/detail?all_tenants=1", who="bob")

    assert (1, 0, 0) == (len(every["volumes"]), len(own["volumes"]), len(other["volumes"]))


async def test_metadata_come_and_go(world):
    id = await made(world)

    added = await world.ask(f"POST /volumes/{id}/metadata", {"metadata": {"c": "d"}}, status=200)
    replaced = await world.ask(f"PUT /volumes/{id}/metadata", {"metadata": {"e": "f"}})
    one = await world.ask(f"PUT /volumes/{id}/metadata/g", {"meta": {"g": "h"}})
    wrong = await world.reply(f"PUT /volumes/{id}/metadata/g", {"meta": {"x": "h"}})
    await world.ask(f"DELETE /volumes/{id}/metadata/e", status=200)
    gone = await world.reply(f"DELETE /volumes/{id}/metadata/e")

    assert {"a": "b", "c": "d"} == added["metadata"]
    assert {"e": "f"} == replaced["metadata"]
    assert {"g": "h"} == one["meta"]
    assert (400, 404) == (wrong.status, gone.status)
    assert {"metadata": {"g": "h"}} == await world.ask(f"GET /volumes/{id}/metadata")


@pytest.mark.parametrize(
    ("action", "who", "status"),
    [
        ({"os-extend": {"new_size": 2}}, "alice", 202),
        ({"os-extend": {"new_size": 1}}, "alice", 400),
        ({"os-extend": {"new_size": None}}, "alice", 400),
        ({"os-extend": {}}, "alice", 400),
        ({"os-set_bootable": {"bootable": True}}, "alice", 200),
        ({"os-set_bootable": {"bootable": "perhaps"}}, "alice", 400),
        ({"os-update_readonly_flag": {"readonly": True}}, "alice", 202),
        ({"os-reset_status": {"status": "error"}}, "admin", 202),
        ({"os-reset_status": {"status": "happy"}}, "admin", 400),
        ({"os-reset_status": {"status": "error"}}, "alice", 403),
        ({"os-force_delete": {}}, "admin", 202),
        ({"os-force_delete": {}}, "alice", 403),
        ({"os-reserve": {}}, "alice", 202),
        ({"os-unreserve": {}}, "alice", 400),
        ({"os-attach": {"mountpoint": "/dev/vdc"}}, "alice", 400),
        ({"os-attach": {"instance_uuid": SERVER, "mountpoint": "/dev/vdc"}}, "alice", 202),
        ({"os-retype": {"new_type": NOWHERE}}, "alice", 404),
        ({"os-retype": {"new_type": "__DEFAULT__"}}, "alice", 400),
        ({"os-volume_upload_image": {"image_name": "i", "disk_format": "vmdk"}}, "alice", 400),
        ({"os-set_image_metadata": {"metadata": {"k": "v"}}}, "alice", 200),
        ({"os-unset_image_metadata": {"key": "k"}}, "alice", 404),
        ({"revert": {"snapshot_id": NOWHERE}}, "alice", 404),
        ({"os-unmanage": {}}, "alice", 403),
        ({"os-dance": {}}, "alice", 400),
        ({}, "alice", 400),
        ({"os-extend": {"new_size": 2}}, "bob", 404),
        ({"os-extend": {"new_size": 2}}, "reader", 403),
    ],
)
async def test_an_action_answers(world, action, who, status):
    id = await made(world)

    reply = await world.reply(f"POST /volumes/{id}/action", action, who=who)

    assert status == reply.status, reply.content


async def test_snapshots_on_the_wire(world):
    id = await made(world)

    new = {"snapshot": {"volume_id": id, "name": "s", "metadata": {"k": "v"}}}
    snapshot = (await world.ask("POST /snapshots", new))["snapshot"]
    await world.when(lambda: world.snapshot_row(snapshot["id"]), lambda row: row.status == "available")
    shown = (await world.ask(f"GET /snapshots/{snapshot['id']}"))["snapshot"]
    renamed = await world.ask(f"PUT /snapshots/{snapshot['id']}", {"snapshot": {"name": "t"}})
    forbidden = await world.reply(f"POST /snapshots/{snapshot['id']}/action", {"os-force_delete": {}})
    await world.ask(f"DELETE /snapshots/{snapshot['id']}")
    await world.when(lambda: world.snapshot_row(snapshot["id"]), lambda row: row is None)

    assert ("creating", "available", "100%") == (
        snapshot["status"], shown["status"], shown["os-extended-snapshot-attributes:progress"]
    )  # fmt: skip
    assert "t" == renamed["snapshot"]["name"]
    assert 403 == forbidden.status
    assert 404 == (await world.reply(f"GET /snapshots/{snapshot['id']}")).status


@pytest.mark.parametrize(
    ("version", "force", "status"),
    [("3.0", None, 400), ("3.0", True, 202), ("3.66", None, 202), ("3.66", True, 202), ("3.66", False, 400)],
)
async def test_a_volume_in_use_is_taken_as_the_microversion_says(world, version, force, status):
    id = await made(world)
    await world.attached(await world.row(id))
    body = {"volume_id": id, **({} if force is None else {"force": force})}

    reply = await world.reply("POST /snapshots", {"snapshot": body}, version=version)

    assert status == reply.status, reply.content


async def test_attachments_on_the_wire(world):
    id = await made(world)
    hidden = await world.reply("GET /attachments", version="3.26")

    new = {"attachment": {"volume_uuid": id, "instance_uuid": SERVER}}
    attachment = (await world.ask("POST /attachments", new, status=200))["attachment"]
    path = f"/attachments/{attachment['id']}"
    connector = {"attachment": {"connector": {"host": "h1", "ip": "192.0.2.1"}}}
    connected = (await world.ask(f"PUT {path}", connector))["attachment"]
    await world.ask(f"POST {path}/action", {"os-complete": {}}, status=204)
    listed = (await world.ask(f"GET /attachments?instance_id={SERVER}"))["attachments"]
    volume = (await world.ask(f"GET /volumes/{id}"))["volume"]
    left = await world.ask(f"DELETE {path}", status=200)
    await world.until(id, "available")

    assert 404 == hidden.status
    assert ("reserved", {}) == (attachment["status"], attachment["connection_info"])
    assert ("attaching", "nbd") == (connected["status"], connected["connection_info"]["driver_volume_type"])
    assert [("attached", SERVER)] == [(one["status"], one["instance"]) for one in listed]
    assert [(SERVER, attachment["id"])] == [(one["server_id"], one["attachment_id"]) for one in volume["attachments"]]
    assert {"attachments": []} == left


async def test_a_transfer_changes_hands_once(world):
    id = await made(world)

    offer = (await world.ask("POST /volume-transfers", {"transfer": {"volume_id": id, "name": "gift"}}))["transfer"]
    waiting = (await world.row(id)).status
    path = f"/volume-transfers/{offer['id']}/accept"
    wrong = await world.reply(f"POST {path}", {"accept": {"auth_key": "guess"}}, who="bob")
    await world.ask(f"POST {path}", {"accept": {"auth_key": offer["auth_key"]}}, who="bob")
    again = await world.reply(f"POST {path}", {"accept": {"auth_key": offer["auth_key"]}}, who="bob")

    row = await world.row(id)
    assert "awaiting-transfer" == waiting
    assert (400, 404) == (wrong.status, again.status)
    assert (BOB.project_id, "available") == (row.project_id, row.status)
    assert 404 == (await world.reply(f"GET /volumes/{id}")).status


async def test_a_transfer_can_be_withdrawn(world):
    id = await made(world)
    offer = (await world.ask("POST /os-volume-transfer", {"transfer": {"volume_id": id}}, version="3.0"))["transfer"]
    hidden = await world.reply(f"GET /os-volume-transfer/{offer['id']}", who="bob")

    await world.ask(f"DELETE /os-volume-transfer/{offer['id']}")

    assert 404 == hidden.status
    assert "available" == (await world.row(id)).status
    assert [] == (await world.ask("GET /os-volume-transfer/detail"))["transfers"]


async def test_quotas_on_the_wire(world):
    await made(world, {"volume": {"size": 3}})
    project = ALICE.project_id

    usage = (await world.ask(f"GET /os-quota-sets/{project}?usage=True"))["quota_set"]
    limits = (await world.ask("GET /limits"))["limits"]["absolute"]
    foreign = await world.reply(f"GET /os-quota-sets/{project}", who="bob")
    await world.ask(f"PUT /os-quota-sets/{project}", {"quota_set": {"gigabytes": 7}}, who="admin")
    unknown = await world.reply(f"PUT /os-quota-sets/{project}", {"quota_set": {"apples": 7}}, who="admin")
    changed = (await world.ask(f"GET /os-quota-sets/{project}"))["quota_set"]
    await world.ask(f"DELETE /os-quota-sets/{project}", who="admin", status=200)
    again = (await world.ask(f"GET /os-quota-sets/{project}"))["quota_set"]

    assert {"limit": 100_000, "in_use": 3, "reserved": 0} == usage["gigabytes"]
    assert 3 == usage["gigabytes___DEFAULT__"]["in_use"]
    assert (1, 3) == (limits["totalVolumesUsed"], limits["totalGigabytesUsed"])
    assert (403, 400) == (foreign.status, unknown.status)
    assert (7, 100_000) == (changed["gigabytes"], again["gigabytes"])


async def test_types_on_the_wire(world):
    new = {"volume_type": {"name": "fast", "extra_specs": {"volume_backend_name": "file"}}}
    fast = (await world.ask("POST /types", new, who="admin", status=200))["volume_type"]
    path = f"/types/{fast['id']}"
    twice = await world.reply("POST /types", new, who="admin")
    blank = await world.reply("POST /types", {"volume_type": {"name": " "}}, who="admin")
    users = (await world.ask(f"GET {path}"))["volume_type"]
    await world.ask(f"POST {path}/extra_specs", {"extra_specs": {"x": "y"}}, who="admin", status=200)
    mismatch = await world.reply(f"PUT {path}/extra_specs/x", {"z": "y"}, who="admin")
    await world.ask(f"DELETE {path}/extra_specs/x", who="admin")
    id = await made(world, {"volume": {"size": 1, "volume_type": "fast"}})
    used = await world.reply(f"DELETE {path}", who="admin")

    assert (409, 400, 400, 400) == (twice.status, blank.status, mismatch.status, used.status)
    assert ({}, {"volume_backend_name": "file"}) == (users["extra_specs"], fast["extra_specs"])
    assert "fast" == (await world.ask(f"GET /volumes/{id}"))["volume"]["volume_type"]
    assert 403 == (await world.reply("POST /types", new)).status


async def test_a_private_type_is_for_those_who_were_let_in(world):
    new = {"volume_type": {"name": "secret", "os-volume-type-access:is_public": False}}
    secret = (await world.ask("POST /types", new, who="admin", status=200))["volume_type"]
    path = f"/types/{secret['id']}"
    hidden = await world.reply(f"GET {path}")

    await world.ask(f"POST {path}/action", {"addProjectAccess": {"project": ALICE.project_id}}, who="admin")
    access = await world.ask(f"GET {path}/os-volume-type-access", who="admin")
    await made(world, {"volume": {"size": 1, "volume_type": "secret"}})

    assert 404 == hidden.status
    assert [ALICE.project_id] == [one["project_id"] for one in access["volume_type_access"]]
    assert (
        404 == (await world.reply("POST /volumes", {"volume": {"size": 1, "volume_type": "secret"}}, who="bob")).status
    )


async def test_a_type_that_encrypts_has_keys_that_nobody_sees(world):
    luks = (await world.ask("POST /types", {"volume_type": {"name": "luks"}}, who="admin", status=200))["volume_type"]
    how = {"encryption": {"provider": "luks", "control_location": "front-end", "key_size": 512}}
    await world.ask(f"POST /types/{luks['id']}/encryption", how, who="admin", status=200)

    id = await made(world, {"volume": {"size": 1, "volume_type": "luks"}})
    shown = (await world.ask(f"GET /volumes/{id}"))["volume"]
    key = await world.volumes.encryption_key(world.hosts["h1"].service.ctx, id)

    assert shown["encrypted"]
    assert 64 == len(key)
    plain = await world.reply(
        "POST /volumes", {"volume": {"size": 1, "source_volid": id, "volume_type": "__DEFAULT__"}}
    )
    copy = await made(world, {"volume": {"size": 1, "source_volid": id}})
    assert key == await world.volumes.encryption_key(world.hosts["h1"].service.ctx, copy)
    assert 400 == plain.status
    assert 400 == (await world.reply("POST /backups", {"backup": {"volume_id": id}})).status
    kept = (world.folder / "volume-keys" / shown["encryption_key_id"]).read_bytes()
    assert key not in kept
    for one in (id, copy):
        await world.ask(f"DELETE /volumes/{one}")
        await world.gone(one)
    assert ["seal"] == [file.name for file in (world.folder / "volume-keys").iterdir()]


async def test_qos_specs_reach_who_attaches(world):
    new = {"qos_specs": {"name": "slow", "consumer": "front-end", "total_iops_sec": "100"}}
    qos = (await world.ask("POST /qos-specs", new, who="admin", status=200))["qos_specs"]
    kind = (await world.ask("GET /types"))["volume_types"][0]
    await world.ask(f"GET /qos-specs/{qos['id']}/associate?vol_type_id={kind['id']}", who="admin", status=202)

    info = await world.attached(await world.volume())
    used = await world.reply(f"DELETE /qos-specs/{qos['id']}", who="admin")
    await world.ask(f"DELETE /qos-specs/{qos['id']}?force=True", who="admin")

    assert {"total_iops_sec": "100"} == info.qos
    assert 400 == used.status


async def test_the_clouds_side_on_the_wire(world):
    services = (await world.ask("GET /os-services", who="admin"))["services"]
    pools = (await world.ask("GET /scheduler-stats/get_pools?detail=True", who="admin"))["pools"]
    zones = (await world.ask("GET /os-availability-zone"))["availabilityZoneInfo"]
    await world.ask(
        "PUT /os-services/disable-log-reason",
        {"host": "h1@file", "binary": "cinder-volume", "disabled_reason": "tea"},
        who="admin",
    )
    nowhere = (await world.ask("POST /volumes", ONE))["volume"]
    message = (await world.ask("GET /messages"))["messages"][0]

    assert ["cinder-scheduler", "cinder-volume", "cinder-backup"] == [one["binary"] for one in services]
    assert ("h1@file#file", 1024.0) == (pools[0]["name"], pools[0]["capabilities"]["total_capacity_gb"])
    assert [{"zoneName": "nova", "zoneState": {"available": True}}] == zones
    assert "error" == nowhere["status"]
    assert nowhere["id"] == message["resource_uuid"]
    assert 403 == (await world.reply("GET /os-services")).status


async def test_groups_on_the_wire(world):
    kind = (await world.ask("POST /group_types", {"group_type": {"name": "g"}}, who="admin"))["group_type"]
    type_id = (await world.ask("GET /types"))["volume_types"][0]["id"]
    new = {"group": {"name": "db", "group_type": kind["id"], "volume_types": [type_id]}}
    group = (await world.ask("POST /groups", new))["group"]
    one = await made(world, {"volume": {"size": 1, "group_id": group["id"], "volume_type": type_id}})
    shot = await world.ask("POST /group_snapshots", {"group_snapshot": {"group_id": group["id"], "name": "s"}})

    async def shown():
        return (await world.ask(f"GET /group_snapshots/{shot['group_snapshot']['id']}"))["group_snapshot"]

    await world.when(shown, lambda found: found["status"] == "available")
    await world.ask(f"DELETE /group_snapshots/{shot['group_snapshot']['id']}")
    await world.idle()
    full = await world.reply(f"POST /groups/{group['id']}/action", {"delete": {}})
    await world.ask(f"POST /groups/{group['id']}/action", {"delete": {"delete-volumes": True}})
    await world.gone(one)

    assert 400 == full.status
    assert 404 == (await world.reply(f"GET /groups/{group['id']}")).status


async def test_backups_on_the_wire(world):
    volume = await world.volume(image_id=await world.image(b"precious"), metadata={"k": "v"})
    backup = (await world.ask("POST /backups", {"backup": {"volume_id": volume.id, "name": "b"}}))["backup"]
    path = f"/backups/{backup['id']}"

    async def shown():
        return (await world.ask(f"GET {path}"))["backup"]

    await world.when(shown, lambda found: found["status"] == "available")
    more = {"backup": {"volume_id": volume.id, "incremental": True}}
    child = (await world.ask("POST /backups", more))["backup"]
    await world.idle()
    needed = await world.reply(f"DELETE {path}")
    restored = (await world.ask(f"POST {path}/restore", {"restore": {}}))["restore"]
    again = await world.until(restored["volume_id"], "available")
    await world.ask(f"DELETE /backups/{child['id']}")
    await world.idle()
    await world.ask(f"DELETE {path}")
    await world.idle()

    assert 400 == needed.status
    assert ({"k": "v"}, True) == (again.metadata, again.bootable)
    assert 404 == (await world.reply(f"GET {path}")).status
    assert [] == list((world.folder / "backups").iterdir())


async def test_a_name_is_needed_to_change_or_remove(world):
    for what in ("GET /volumes/", "PUT /volumes/", "DELETE /volumes/"):
        assert 404 == (await world.reply(what)).status
