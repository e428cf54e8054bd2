"""Flavors through their API."""

import pytest
from compute.api_world import CTX, World

from micronova.compute.flavors import ensure_default_flavors

NEW = {"name": "f1", "ram": 64, "vcpus": 2, "disk": 3}


@pytest.fixture
def world() -> World:
    return World()


async def create(world: World, **more: object) -> dict[str, object]:
    said = await world.ask("POST /flavors", {"flavor": {**NEW, **more}})
    assert said.status == 200, said.body
    return said.body["flavor"]  # type: ignore[no-any-return]


async def ids(world: World, query: str = "", who: str = "admin") -> list[str]:
    said = await world.ask("GET /flavors/detail", query=query, who=who)
    return [flavor["id"] for flavor in said.body["flavors"]]


async def test_a_flavor_is_shown_as_it_was_created(world: World) -> None:
    made = await create(
        world, id="42", swap=5, rxtx_factor="1.5", description="d", **{"OS-FLV-EXT-DATA:ephemeral": "7"}
    )

    shown = (await world.ask("GET /flavors/42", who="reader")).body["flavor"]
    assert shown == made
    assert shown == {
        "id": "42",
        "name": "f1",
        "ram": 64,
        "vcpus": 2,
        "disk": 3,
        "swap": 5,
        "OS-FLV-EXT-DATA:ephemeral": 7,
        "OS-FLV-DISABLED:disabled": False,
        "os-flavor-access:is_public": True,
        "rxtx_factor": 1.5,
        "description": "d",
        "extra_specs": {},
        "links": [
            {"rel": "self", "href": "http://falconframework.org/compute/v2.1/flavors/42"},
            {"rel": "bookmark", "href": "http://falconframework.org/compute/flavors/42"},
        ],
    }


@pytest.mark.parametrize(
    ("version", "missing", "swap"),
    [
        ("2.1", {"description", "extra_specs"}, ""),
        ("2.55", {"extra_specs"}, ""),
        ("2.61", set(), ""),
        ("2.75", set(), 0),
    ],
)
async def test_each_microversion_shows_its_own_fields(
    world: World, version: str, missing: set[str], swap: object
) -> None:
    flavor = await create(world)

    shown = (await world.ask(f"GET /flavors/{flavor['id']}", version=version)).body["flavor"]

    assert set(flavor) - set(shown) == missing
    assert shown["swap"] == swap


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": " f"},
        {"name": "x" * 256},
        {"name": "a\x01"},
        {"ram": 0},
        {"ram": "many"},
        {"vcpus": -1},
        {"disk": -1},
        {"disk": 2**31},
        {"id": " 1"},
        {"id": "a/b"},
        {"rxtx_factor": 0},
        {"os-flavor-access:is_public": "perhaps"},
        {"unknown": 1},
    ],
    ids=str,
)
async def test_a_wrong_flavor_is_refused_with_the_reason(world: World, wrong: dict[str, object]) -> None:
    said = await world.ask("POST /flavors", {"flavor": {**NEW, **wrong}})

    assert said.status == 400
    assert said.body["error"]["message"]


async def test_a_description_needs_its_microversion(world: World) -> None:
    said = await world.ask("POST /flavors", {"flavor": {**NEW, "description": "d"}}, version="2.54")

    assert said.status == 400


async def test_name_and_id_are_unique(world: World) -> None:
    await create(world, id="42")

    for other in ({"name": "f1"}, {"name": "f2", "id": "42"}):
        assert (await world.ask("POST /flavors", {"flavor": {**NEW, **other}})).status == 409


async def test_only_administrators_manage_flavors(world: World) -> None:
    flavor = await create(world)

    assert (await world.ask("POST /flavors", {"flavor": NEW}, who="member")).status == 403
    assert (await world.ask(f"DELETE /flavors/{flavor['id']}", who="member")).status == 403


async def test_a_deleted_flavor_is_gone(world: World) -> None:
    flavor = await create(world)

    assert (await world.ask(f"DELETE /flavors/{flavor['id']}")).status == 202
    assert (await world.ask(f"GET /flavors/{flavor['id']}")).status == 404
    assert (await world.ask(f"DELETE /flavors/{flavor['id']}")).status == 404


async def test_a_description_can_be_changed_since_2_55(world: World) -> None:
    await create(world, id="42")

    said = await world.ask("PUT /flavors/42", {"flavor": {"description": "new"}}, version="2.55")
    assert (said.status, said.body["flavor"]["description"]) == (200, "new")
    assert (await world.ask("PUT /flavors/42", {"flavor": {"description": "new"}}, version="2.54")).status == 404


async def test_lists_are_filtered_sorted_and_paged(world: World) -> None:
    for id, ram, disk in (("a", 64, 1), ("b", 128, 20), ("c", 256, 0)):
        await create(world, id=id, name=f"n{id}", ram=ram, disk=disk)

    assert await ids(world) == ["a", "b", "c"]
    assert await ids(world, "minRam=128") == ["b", "c"]
    assert await ids(world, "minDisk=1") == ["a", "b"]
    assert await ids(world, "sort_key=memory_mb&sort_dir=desc") == ["c", "b", "a"]
    assert await ids(world, "marker=a") == ["b", "c"]
    page = (await world.ask("GET /flavors", query="limit=2")).body
    assert [flavor["id"] for flavor in page["flavors"]] == ["a", "b"]
    assert page["flavors_links"][0]["href"].endswith("/compute/v2.1/flavors?limit=2&marker=b")


@pytest.mark.parametrize(
    "query", ["minRam=x", "minDisk=-1", "marker=none", "limit=-1", "sort_key=x", "is_public=x", "y=1"]
)
async def test_a_wrong_query_is_refused(world: World, query: str) -> None:
    assert (await world.ask("GET /flavors", query=query)).status == 400


async def test_a_private_flavor_is_seen_by_those_with_access_only(world: World) -> None:
    await create(world, id="42", **{"os-flavor-access:is_public": False})

    assert (await world.ask("GET /flavors/42", who="member")).status == 404
    said = await world.ask("POST /flavors/42/action", {"addTenantAccess": {"tenant": "p1"}})
    assert said.body == {"flavor_access": [{"flavor_id": "42", "tenant_id": "p1"}]}
    assert await ids(world, who="member") == ["42"]
    assert await ids(world, who="other") == []
    assert await ids(world, "is_public=None") == ["42"]
    assert await ids(world, "is_public=False") == ["42"]
    assert await ids(world) == []
    assert (await world.ask("POST /flavors/42/action", {"addTenantAccess": {"tenant": "p1"}})).status == 409
    said = await world.ask("POST /flavors/42/action", {"removeTenantAccess": {"tenant": "p1"}})
    assert said.body == {"flavor_access": []}
    assert (await world.ask("POST /flavors/42/action", {"removeTenantAccess": {"tenant": "p1"}})).status == 404


async def test_access_is_given_to_projects_that_exist_and_by_administrators(world: World) -> None:
    await create(world, id="42", **{"os-flavor-access:is_public": False})
    body = {"addTenantAccess": {"tenant": "none"}}

    assert (await world.ask("POST /flavors/42/action", body)).status == 400
    assert (
        await world.ask("POST /flavors/42/action", {"addTenantAccess": {"tenant": "p2"}}, who="member")
    ).status == 403
    assert (await world.ask("POST /flavors/42/action", {"explode": {}})).status == 400


async def test_a_public_flavor_has_no_list_of_access(world: World) -> None:
    await create(world, id="42")

    assert (await world.ask("GET /flavors/42/os-flavor-access")).status == 404
    assert (await world.ask("POST /flavors/42/action", {"addTenantAccess": {"tenant": "p1"}})).status == 409


async def test_extra_specs_are_set_shown_and_unset(world: World) -> None:
    await create(world, id="42")
    specs = "/flavors/42/os-extra_specs"

    said = await world.ask(f"POST {specs}", {"extra_specs": {"hw:a": "1", "b": 2}})
    assert said.body == {"extra_specs": {"hw:a": "1", "b": "2"}}
    assert (await world.ask(f"PUT {specs}/hw:a", {"hw:a": "3"})).body == {"hw:a": "3"}
    assert (await world.ask(f"GET {specs}/hw:a", who="reader")).body == {"hw:a": "3"}
    assert (await world.ask(f"GET {specs}", who="reader")).body == {"extra_specs": {"hw:a": "3", "b": "2"}}
    assert (await world.ask(f"DELETE {specs}/b")).status == 200
    assert (await world.ask(f"DELETE {specs}/b")).status == 404
    assert (await world.ask(f"GET {specs}/b")).status == 404
    assert (await world.ask(f"PUT {specs}/hw:a", {"other": "3"})).status == 400
    assert (await world.ask(f"PUT {specs}/hw:a", {"hw:a": "3", "b": "2"})).status == 400
    assert (await world.ask(f"POST {specs}", {"extra_specs": {"ü": "1"}})).status == 400
    assert (await world.ask(f"POST {specs}", {"extra_specs": {"a": "1"}}, who="member")).status == 403


async def test_a_new_cloud_gets_flavors_once(world: World) -> None:
    first = await ensure_default_flavors(world.db, world.clock, CTX)
    again = await ensure_default_flavors(world.db, world.clock, CTX)

    assert [flavor.name for flavor in first][:2] == ["m1.tiny", "m1.small"]
    assert not again
    assert (await world.ask("GET /flavors/1", who="member")).body["flavor"]["ram"] == 128
