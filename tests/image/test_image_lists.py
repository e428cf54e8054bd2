"""Lists of images: who sees what, filters, sorting, pages."""

from pathlib import Path

import pytest
from image_world import World, make_world

from micronova.image.manager import ImageManager

IMAGES = "/image/v2/images"


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Nothing here needs a running service."""
    return make_world(tmp_path)


async def follow(world: World, path: str, token: str = "ann") -> list[str]:
    """The names on all pages."""
    names, pages = [], 0
    while path:
        body = (await world.client.get(path, token=token)).json()
        names += [image["name"] for image in body["images"]]
        path = "/image" + body["next"] if "next" in body else ""
        pages += 1
        assert pages < 50
    return names


async def test_everybody_sees_what_is_theirs_or_public(world: World) -> None:
    await world.image(name="anns", visibility="private")
    await world.image(name="bobs", visibility="private", token="bob")
    await world.image(name="all", visibility="public", token="admin")

    assert {"anns", "all"} == set(await world.names())
    assert {"bobs", "all"} == set(await world.names(token="bob"))
    assert {"anns", "bobs", "all"} == set(await world.names(token="admin"))
    assert ["anns"] == await world.names("?visibility=private")


async def test_community_images_are_seen_when_asked_for(world: World) -> None:
    id = await world.image(name="ours", visibility="community", token="bob")

    assert [] == await world.names()
    assert ["ours"] == await world.names("?visibility=community")
    assert ["ours"] == await world.names("?visibility=all")
    assert ["ours"] == await world.names(token="bob")
    assert 200 == (await world.client.get(f"{IMAGES}/{id}")).status


async def test_a_private_image_of_others_is_not_found_and_a_public_one_not_theirs_to_change(world: World) -> None:
    private = await world.image(visibility="private", token="bob")
    public = await world.image(visibility="public", token="admin")
    change = [{"op": "replace", "path": "/name", "value": "mine"}]

    statuses = [
        (await world.client.get(f"{IMAGES}/{private}")).status,
        (await world.client.patch(f"{IMAGES}/{private}", change)).status,
        (await world.client.delete(f"{IMAGES}/{private}")).status,
        (await world.client.patch(f"{IMAGES}/{public}", change)).status,
        (await world.client.delete(f"{IMAGES}/{public}")).status,
        (await world.upload(public, b"x")).status,
        (await world.client.put(f"{IMAGES}/{public}/tags/t")).status,
        (await world.client.post(f"{IMAGES}/{public}/actions/deactivate")).status,
    ]

    assert [404, 404, 404, 403, 403, 403, 403, 403] == statuses


async def test_hidden_images_are_listed_when_asked_for(world: World) -> None:
    await world.image(name="hidden", os_hidden=True)
    await world.image(name="shown")

    assert ["shown"] == await world.names()
    assert ["hidden"] == await world.names("?os_hidden=true")


@pytest.fixture
async def shelf(world: World) -> World:
    await world.image(name="a", data=b"x" * 10, tags=["red", "big"], min_ram=5, os_distro="cirros")
    await world.image(name="b:1", data=b"x" * 20, tags=["red"], protected=True)
    await world.image(name='c,"d"', disk_format="iso", os_distro="debian")
    return world


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("name=a", ["a"]),
        ("name=b%3A1", ["b:1"]),
        ("name=in:a,b:1", ["a", "b:1"]),
        ("name=in:a,%22c,%5C%22d%5C%22%22", ["a", 'c,"d"']),
        ("name=nobody", []),
        ("status=active", ["a", "b:1"]),
        ("status=in:queued,saving", ['c,"d"']),
        ("disk_format=iso", ['c,"d"']),
        ("disk_format=in:iso,raw&container_format=bare", ["a", "b:1", 'c,"d"']),
        ("protected=true", ["b:1"]),
        ("tag=red", ["a", "b:1"]),
        ("tag=red&tag=big", ["a"]),
        ("tag=red&tag=blue", []),
        ("size=20", ["b:1"]),
        ("size_min=10&size_max=15", ["a"]),
        ("min_ram=5", ["a"]),
        ("os_distro=debian", ['c,"d"']),
        ("owner=p-ann", ["a", "b:1", 'c,"d"']),
        ("owner=p-bob", []),
        ("created_at=gte:2020-01-01T00:00:00Z", ["a", "b:1", 'c,"d"']),
        ("created_at=lt:2020-01-01T00:00:00Z", []),
        ("updated_at=2020-01-01T00:00:00%2B02:00", []),
        ("id=in:", []),
        ("visibility=shared", ["a", "b:1", 'c,"d"']),
    ],
)
async def test_a_filter_finds_what_it_names(shelf: World, query: str, names: list[str]) -> None:
    assert sorted(names) == sorted(await shelf.names("?" + query))


@pytest.mark.parametrize(
    "query",
    [
        "limit=-1",
        "limit=a",
        "limit=%D9%A1",
        "marker=nobody",
        "sort_key=odd",
        "sort_dir=odd",
        "sort=name:odd",
        "sort=name,size,status,id",
        "sort=name&sort_key=name",
        "sort_key=name&sort_key=id&sort_dir=asc&sort_dir=asc&sort_dir=asc",
        "visibility=odd",
        "member_status=odd",
        "os_hidden=perhaps",
        "protected=perhaps",
        "changes-since=2020-01-01T00:00:00Z",
        "created_at=yesterday",
        "created_at=in:2020-01-01T00:00:00Z",
        "size_min=a",
        "size=99999999999999999999",
        "name=gt:a",
        "name=in:%22open",
        "name=%FF",
    ],
)
async def test_a_wrong_query_is_refused(shelf: World, query: str) -> None:
    reply = await shelf.client.get(f"{IMAGES}?{query}")

    assert 400 == reply.status, reply.text


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("sort=name:asc", ["a", "b:1", 'c,"d"']),
        ("sort=name", ['c,"d"', "b:1", "a"]),
        ("sort=size:desc,name:asc", ["b:1", "a", 'c,"d"']),
        ("sort_key=size&sort_dir=asc", ['c,"d"', "a", "b:1"]),
        ("sort_key=disk_format&sort_key=name&sort_dir=asc&sort_dir=desc", ['c,"d"', "b:1", "a"]),
        ("", ['c,"d"', "b:1", "a"]),
    ],
)
async def test_images_are_sorted_as_asked(shelf: World, query: str, names: list[str]) -> None:
    assert names == await shelf.names("?" + query)


@pytest.mark.parametrize("sort", ["name:asc", "name:desc", "size:asc", "container_format:desc", "created_at:asc"])
@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_pages_join_to_the_whole_list_when_keys_are_equal(world: World, sort: str, limit: int) -> None:
    for name in ("same", "same", None, "same", None, "other", "same"):
        await world.image(name=name)
    path = f"{IMAGES}?sort={sort}"
    whole = [image["id"] for image in (await world.client.get(path)).json()["images"]]

    found, next_path = [], f"{path}&limit={limit}"
    while next_path:
        body = (await world.client.get(next_path)).json()
        assert len(body["images"]) <= limit
        found += [image["id"] for image in body["images"]]
        next_path = "/image" + body["next"] if "next" in body else ""

    assert whole == found
    assert 7 == len(found)


async def test_links_keep_the_query(world: World) -> None:
    for name in ("a", "b", "c"):
        await world.image(name=name, tags=["é"])

    body = (await world.client.get(f"{IMAGES}?tag=%C3%A9&limit=2&sort=name:asc")).json()

    assert "/v2/images?tag=%C3%A9&limit=2&sort=name%3Aasc" == body["first"]
    assert body["next"].startswith("/v2/images?tag=%C3%A9&limit=2&sort=name%3Aasc&marker=")
    assert "/v2/schemas/images" == body["schema"]
    assert ["a", "b", "c"] == await follow(world, f"{IMAGES}?tag=%C3%A9&limit=2&sort=name:asc")


async def test_no_page_is_larger_than_allowed_and_zero_is_none(world: World) -> None:
    await world.image(name="a")

    assert [] == await world.names("?limit=0")
    assert ["a"] == await world.names("?limit=1000000")


async def test_a_marker_one_may_not_see_is_unknown(world: World) -> None:
    id = await world.image(visibility="private", token="bob")

    assert 400 == (await world.client.get(f"{IMAGES}?marker={id}")).status


async def test_a_rare_match_is_found_behind_many_others(world: World) -> None:
    await world.image(name="rare", rare="yes")
    images: ImageManager = world.images
    await world.runtime.db.write(
        lambda tx: [tx.insert(_plain(world, tx.now, i)) for i in range(1200)], world.service.ctx, why="many"
    )

    assert ["rare"] == await world.names("?rare=yes&limit=5")
    assert images.host == "host1"


def _plain(world: World, now: object, number: int) -> object:
    from micronova.image.db import Image

    id = world.runtime.clock.new_id()
    return Image(id=id, owner="p-ann", name=f"n{number}", created_at=now, updated_at=now)  # type: ignore[arg-type]
