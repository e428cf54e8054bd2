"""Volumes and snapshots asked for through the compute API, as long ago."""

from typing import Any

import pytest
from compute.server_world import PEOPLE, Said, ServerWorld
from compute.test_server_volumes import NOBODY, attach

OLD = "2.35"


async def ask(cloud: ServerWorld, what: str, body: Any = None, **how: Any) -> Said:
    return await cloud.ask(what, body, **{"version": OLD, **how})


async def create(cloud: ServerWorld, **more: Any) -> dict[str, Any]:
    """A volume that is available, as it was shown when it was asked for."""
    said = await ask(cloud, "POST /os-volumes", {"volume": {"size": "1", **more}})
    assert 200 == said.status, said.body
    made: dict[str, Any] = said.body["volume"]
    assert said.headers["location"].endswith(f"/os-volumes/{made['id']}")
    await cloud.until_volume(made["id"], "available")
    return made


async def test_a_volume_is_made_shown_listed_and_deleted(one: ServerWorld) -> None:
    made = await create(one, display_name="old", display_description="way", metadata={"Type": "work"})

    shown = (await ask(one, f"GET /os-volumes/{made['id']}")).body["volume"]
    lists = [(await ask(one, f"GET {path}")).body["volumes"] for path in ("/os-volumes", "/os-volumes/detail")]
    gone = await ask(one, f"DELETE /os-volumes/{made['id']}")

    assert {
        "id": made["id"],
        "status": "available",
        "size": 1,
        "availabilityZone": "nova",
        "createdAt": made["createdAt"],
        "attachments": [{}],
        "displayName": "old",
        "displayDescription": "way",
        "volumeType": "__DEFAULT__",
        "snapshotId": None,
        "metadata": {"Type": "work"},
    } == shown
    assert [[shown], [shown]] == lists
    assert 202 == gone.status
    await one.wait(lambda: one.volume(made["id"]), lambda row: row is None)


async def test_a_volume_in_use_shows_by_whom(one: ServerWorld) -> None:
    id, volume = await one.boot(), (await create(one))["id"]
    await attach(one, id, volume)
    await one.until_volume(volume, "in-use")

    shown = (await ask(one, f"GET /os-volumes/{volume}")).body["volume"]

    assert [{"id": volume, "volumeId": volume, "serverId": id, "device": "/dev/vdb"}] == shown["attachments"]


async def test_a_snapshot_is_made_shown_listed_and_deleted(one: ServerWorld) -> None:
    volume = (await create(one))["id"]
    body = {"snapshot": {"volume_id": volume, "display_name": "then", "force": "False"}}

    made = (await ask(one, "POST /os-snapshots", body)).body["snapshot"]
    path = f"/os-snapshots/{made['id']}"

    async def show() -> Said:
        return await ask(one, f"GET {path}")

    shown = (await one.wait(show, lambda said: said.body["snapshot"]["status"] == "available")).body["snapshot"]
    lists = [(await ask(one, f"GET {path}")).body["snapshots"] for path in ("/os-snapshots", "/os-snapshots/detail")]
    gone = await ask(one, f"DELETE {path}")
    await one.wait(show, lambda said: said.status == 404)

    assert {"id", "volumeId", "status", "size", "createdAt", "displayName", "displayDescription"} == set(shown)
    assert (volume, "then", None) == (shown["volumeId"], shown["displayName"], shown["displayDescription"])
    assert [[shown], [shown]] == lists
    assert 202 == gone.status


async def test_lists_are_cut_by_offset_and_limit(one: ServerWorld) -> None:
    ids = [(await create(one))["id"] for _ in range(3)][::-1]

    async def listed(query: str) -> list[str]:
        return [each["id"] for each in (await ask(one, "GET /os-volumes/detail", query=query)).body["volumes"]]

    assert ids == await listed("")
    assert ids[:2] == await listed("limit=2")
    assert ids[1:2] == await listed("limit=1&offset=1")
    assert 400 == (await ask(one, "GET /os-volumes", query="limit=x")).status


@pytest.mark.parametrize("size", ["#$%", "", "0", 0, -1, None])
async def test_a_size_that_is_none_is_refused(one: ServerWorld, size: object) -> None:
    said = await ask(one, "POST /os-volumes", {"volume": {"size": size, "display_name": "v"}})

    assert 400 == said.status


async def test_wrong_requests_are_told_apart(one: ServerWorld) -> None:
    foreign = await one.new_volume(who=PEOPLE["other"])
    missing = [f"{method} /{what}/{id}" for what in ("os-volumes", "os-snapshots") for method in ("GET", "DELETE")
               for id in (NOBODY, "invalid-1", "", foreign)]  # fmt: skip

    assert {404} == {(await ask(one, what)).status for what in missing}
    assert 404 == (await ask(one, "POST /os-snapshots", {"snapshot": {"volume_id": NOBODY}})).status
    assert 400 == (await ask(one, "POST /os-snapshots", {"snapshot": {}})).status
    assert 400 == (await ask(one, "POST /os-volumes", {"volume": {"size": 1, "colour": "red"}})).status
    assert 403 == (await ask(one, "POST /os-volumes", {"volume": {"size": 1}}, who="reader")).status
    assert 200 == (await ask(one, "GET /os-volumes", who="reader")).status


async def test_later_versions_do_not_have_them(one: ServerWorld) -> None:
    for what in ("GET /os-volumes", "GET /os-volumes/detail", "GET /os-snapshots", "POST /os-volumes"):
        assert 404 == (await one.ask(what, version="2.36")).status
