"""Images over HTTP: registration, changes, lists, discovery, and the words of refusals."""

from pathlib import Path

import pytest
from image_world import BARE, OLD_PATCH, World, make_world

IMAGES = "/image/v2/images"
UNKNOWN = "11111111-2222-3333-4444-555555555555"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nothing here needs a running service."""
    return make_world(tmp_path)


async def test_versions_are_told_without_a_token(world: World) -> None:
    reply = await world.client.get("/image", token="")

    assert 300 == reply.status
    first = reply.json()["versions"][0]
    assert {"id": "v2.9", "status": "CURRENT", "links": [{"rel": "self", "href": "http://cloud/image/v2/"}]} == first
    assert 200 == (await world.client.get("/image/versions", token="")).status
    assert 300 == (await world.client.get("/image/v2/", token="")).status


async def test_without_a_token_nothing_else_is_told(world: World) -> None:
    reply = await world.client.get(IMAGES, token="")

    assert 401 == reply.status
    assert "<h1>401 Unauthorized</h1>" in reply.text


async def test_a_new_image_is_queued_and_shown_in_full(world: World) -> None:
    reply = await world.client.post(IMAGES, json={"name": "Æther ☃", "os_distro": "x", "tags": ["a", "a"], **BARE})

    image = reply.json()
    assert 201 == reply.status
    assert f"http://cloud{IMAGES}/{image['id']}" == reply.headers["location"]
    expected = {"name": "Æther ☃", "status": "queued", "visibility": "shared", "owner": "p-ann", "size": None}
    expected |= {"os_distro": "x", "tags": ["a"], "protected": False, "os_hidden": False, "min_disk": 0}
    expected |= {"self": f"/v2/images/{image['id']}", "file": f"/v2/images/{image['id']}/file"}
    assert expected == {name: image[name] for name in expected}
    assert image == (await world.client.get(f"{IMAGES}/{image['id']}")).json()


async def test_an_image_may_bring_its_id_once(world: World) -> None:
    body = {"id": UNKNOWN, "name": "mine"}

    replies = [await world.client.post(IMAGES, json=body) for _ in range(2)]

    assert [201, 409] == [reply.status for reply in replies]
    assert f"Image ID {UNKNOWN} already exists!" in replies[1].text
    assert "text/html; charset=UTF-8" == replies[1].headers["content-type"]


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        ({"name": "x" * 10_000}, 400, "too long"),
        ({"name": "a\nb"}, 400, "control characters"),
        ({"name": 5}, 400, "not of type 'string'"),
        ({"id": "no-uuid"}, 400, "not a UUID"),
        ({"disk_format": "wrong"}, 400, "is not one of"),
        ({"container_format": ["raw"]}, 400, "is not one of"),
        ({"visibility": None}, 400, "is not one of"),
        ({"protected": "yes"}, 400, "not of type 'boolean'"),
        ({"min_disk": -1}, 400, "Cannot be a negative value"),
        ({"min_ram": 2**40}, 400, "Cannot be above"),
        ({"min_ram": True}, 400, "not of type 'integer'"),
        ({"tags": "a"}, 400, "not of type 'array'"),
        ({"tags": ["x" * 256]}, 400, "too long"),
        ({"tags": [str(i) for i in range(129)]}, 413, "Attempted: 129, Maximum: 128"),
        ({"k" * 256: "v"}, 400, "Custom property should not be greater than 255"),
        ({"a\u0000": "v"}, 400, "can't be the name"),
        ({"custom": "\u0000"}, 400, "control characters"),
        ({"custom": {"a": 1}}, 400, "not of type 'string'"),
        ({"self": "x"}, 403, "Attribute 'self' is read-only."),
        ({"status": "active"}, 403, "Attribute 'status' is read-only."),
        ({"os_hash_value": "ab"}, 403, "is read-only."),
        ({"os_glance_foo": "x"}, 403, "Attribute 'os_glance_foo' is reserved."),
        ({"deleted": "x"}, 403, "Attribute 'deleted' is reserved."),
        ({"owner": "p-bob"}, 403, "You are not permitted to create images owned by 'p-bob'"),
        ({"visibility": "public"}, 403, "publicize_image"),
        ([], 400, "must be a JSON object"),
        (b"{", 400, "not valid JSON"),
        (b'"\\ud800"', 400, "not valid JSON"),
        (b"\xff", 400, "not valid JSON"),
    ],
)
async def test_a_wrong_image_is_refused_with_the_reason(world: World, body: object, status: int, sentence: str) -> None:
    reply = await world.client.post(IMAGES, json=body)

    assert status == reply.status, reply.text
    assert sentence in reply.text
    assert [] == await world.names()


async def test_a_reader_may_look_but_not_touch(world: World) -> None:
    id = await world.image(name="a")

    made = await world.client.post(IMAGES, json=BARE, token="reader")
    gone = await world.client.delete(f"{IMAGES}/{id}", token="reader")

    assert [403, 403] == [made.status, gone.status]
    assert ["a"] == await world.names(token="reader")


async def test_an_administrator_may_create_for_others(world: World) -> None:
    id = await world.image(token="admin", owner="p-ann", name="gift")

    assert "p-ann" == (await world.shown(id, "ann"))["owner"]


async def test_what_does_not_exist_is_not_found(world: World) -> None:
    for path in (
        f"{IMAGES}/",
        f"{IMAGES}/{UNKNOWN}",
        f"{IMAGES}/{UNKNOWN}/file",
        f"{IMAGES}/no%20id",
        f"{IMAGES}/{UNKNOWN}/members",
    ):
        reply = await world.client.get(path)

        assert 404 == reply.status, path
        assert "<h1>404 Not Found</h1>" in reply.text
    gone = await world.client.delete(f"{IMAGES}/{UNKNOWN}")
    assert f"Failed to find image {UNKNOWN} to delete" in gone.text


async def test_words_of_others_are_escaped_in_refusals(world: World) -> None:
    reply = await world.client.get(f"{IMAGES}?sort_key=<script>")

    assert 400 == reply.status
    assert "&lt;script&gt;" in reply.text
    assert "<script>" not in reply.text


# -- changes


async def test_a_patch_adds_replaces_and_removes(world: World) -> None:
    id = await world.image(name="a", old="1", kept="2")
    changes = [
        {"op": "replace", "path": "/name", "value": "b"},
        {"op": "add", "path": "/new~1prop", "value": "3"},
        {"op": "remove", "path": "/old"},
        {"op": "replace", "path": "/tags", "value": ["t", "u", "t"]},
        {"op": "add", "path": "/min_ram", "value": 64},
    ]

    reply = await world.client.patch(f"{IMAGES}/{id}", changes)

    image = reply.json()
    assert 200 == reply.status
    assert ("b", "3", "2", ["t", "u"], 64) == tuple(
        image[name] for name in ("name", "new/prop", "kept", "tags", "min_ram")
    )
    assert "old" not in image


async def test_the_older_patch_is_understood_too(world: World) -> None:
    id = await world.image(name="a", there="1")

    good = await world.client.patch(f"{IMAGES}/{id}", [{"replace": "/name", "value": "b"}], OLD_PATCH)
    bad = await world.client.patch(f"{IMAGES}/{id}", [{"add": "/there", "value": "2"}], OLD_PATCH)

    assert (200, "b") == (good.status, good.json()["name"])
    assert 409 == bad.status
    assert "Property there already present." in bad.text


@pytest.mark.parametrize(
    ("change", "status", "sentence"),
    [
        ({"op": "replace", "path": "/status", "value": "active"}, 403, "Attribute 'status' is read-only."),
        ({"op": "replace", "path": "/id", "value": UNKNOWN}, 403, "Attribute 'id' is read-only."),
        ({"op": "add", "path": "/os_glance_foo", "value": "x"}, 403, "is reserved."),
        ({"op": "add", "path": "/deleted", "value": "x"}, 403, "is reserved."),
        ({"op": "remove", "path": "/name"}, 403, "Property name may not be removed."),
        ({"op": "remove", "path": "/nothing"}, 409, "Property nothing does not exist."),
        ({"op": "replace", "path": "/nothing", "value": "x"}, 409, "Property nothing does not exist."),
        ({"op": "replace", "path": "/owner", "value": "p-bob"}, 403, "Owner can't be updated by non admin."),
        ({"op": "replace", "path": "/visibility", "value": "public"}, 403, "publicize_image"),
        ({"op": "replace", "path": "/visibility", "value": "odd"}, 400, "is not one of"),
        ({"op": "replace", "path": "/name", "value": "x" * 256}, 400, "too long"),
        ({"op": "add", "path": "/a", "value": 5}, 400, "not of type 'string'"),
        ({"op": "add", "path": "/a"}, 400, 'Operation "add" requires a member named "value".'),
        ({"op": "move", "path": "/a"}, 400, "Invalid operation: `move`"),
        ({"path": "/a"}, 400, "Unable to find `op`"),
        ({"op": "add", "value": "x"}, 400, "Unable to find 'path'"),
        ({"op": "add", "path": "name", "value": "x"}, 400, 'does not start with "/"'),
        ({"op": "add", "path": "/a//b", "value": "x"}, 400, 'contains adjacent "/"'),
        ({"op": "add", "path": "/a/", "value": "x"}, 400, 'end with "/"'),
        ({"op": "add", "path": "/a~2", "value": "x"}, 400, "recognized escape sequence"),
        ({"op": "add", "path": "/a/b", "value": "x"}, 400, "Invalid JSON pointer for this resource: '/a/b'"),
        ({"op": "add", "path": 5, "value": "x"}, 400, "must be a string"),
        ({"op": "add", "path": "/locations/-", "value": {}}, 403, "add locations if locations are invisible"),
        ("nonsense", 400, "Operations must be JSON objects."),
    ],
)
async def test_a_wrong_change_is_refused_and_nothing_changes(
    world: World, change: object, status: int, sentence: str
) -> None:
    id = await world.image(name="a")
    before = await world.shown(id)

    reply = await world.client.patch(f"{IMAGES}/{id}", [{"op": "add", "path": "/first", "value": "1"}, change])

    assert status == reply.status, reply.text
    assert sentence in reply.text
    assert before == await world.shown(id)


async def test_a_patch_of_another_type_is_refused(world: World) -> None:
    id = await world.image()

    assert 415 == (await world.client.patch(f"{IMAGES}/{id}", [], "application/json")).status
    assert 400 == (await world.client.patch(f"{IMAGES}/{id}", {})).status


async def test_formats_are_fixed_once_there_are_bytes(world: World) -> None:
    id = await world.image(data=b"x" * 10)

    reply = await world.client.patch(f"{IMAGES}/{id}", [{"op": "replace", "path": "/disk_format", "value": "iso"}])

    assert 403 == reply.status
    assert "Attribute disk_format can be only replaced for a queued image." in reply.text


async def test_too_many_properties_are_refused(world: World) -> None:
    id = await world.image()
    changes = [{"op": "add", "path": f"/p{i}", "value": "x"} for i in range(129)]

    reply = await world.client.patch(f"{IMAGES}/{id}", changes)

    assert 413 == reply.status
    assert "image properties. Attempted: 129, Maximum: 128" in reply.text


async def test_a_protected_image_is_not_deleted(world: World) -> None:
    id = await world.image(protected=True)

    kept = await world.client.delete(f"{IMAGES}/{id}")
    await world.client.patch(f"{IMAGES}/{id}", [{"op": "replace", "path": "/protected", "value": False}])
    gone = await world.client.delete(f"{IMAGES}/{id}")

    assert (403, 204) == (kept.status, gone.status)
    assert f"Image {id} is protected and cannot be deleted." in kept.text
    assert 404 == (await world.client.delete(f"{IMAGES}/{id}")).status


async def test_tags_come_and_go(world: World) -> None:
    id = await world.image()

    for tag in ("t%C3%BC", "two%20words", "100%25", "t%C3%BC"):
        assert 204 == (await world.client.put(f"{IMAGES}/{id}/tags/{tag}")).status
    assert ["tü", "two words", "100%"] == (await world.shown(id))["tags"]
    assert 204 == (await world.client.delete(f"{IMAGES}/{id}/tags/two%20words")).status
    assert 404 == (await world.client.delete(f"{IMAGES}/{id}/tags/two%20words")).status
    assert 400 == (await world.client.put(f"{IMAGES}/{id}/tags/{'x' * 256}")).status
    assert ["tü", "100%"] == (await world.shown(id))["tags"]


# -- discovery


async def test_schemas_name_what_they_describe(world: World) -> None:
    for name in ("image", "images", "member", "members"):
        assert name == (await world.client.get(f"/image/v2/schemas/{name}")).json()["name"]


async def test_only_what_works_is_announced(world: World) -> None:
    methods = (await world.client.get("/image/v2/info/import")).json()["import-methods"]["value"]

    assert ["glance-direct"] == methods
    assert [{"id": "file", "default": "true"}] == (await world.client.get("/image/v2/info/stores")).json()["stores"]
    assert [] == (await world.client.get("/image/v2/tasks")).json()["tasks"]
    assert [] == (await world.client.get("/image/v2/metadefs/namespaces")).json()["namespaces"]
    assert 404 == (await world.client.get("/image/v2/metadefs/namespaces/x")).status
