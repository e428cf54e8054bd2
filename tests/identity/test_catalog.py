"""Version documents, services, endpoints and regions over HTTP."""

from typing import Any

import pytest
from identity_world import SERVICES, Cloud

V3 = "/identity/v3"
UNKNOWN = "0" * 32


async def test_versions_are_told_to_everybody_with_links_through_the_prefix(cloud: Cloud) -> None:
    root = await cloud.get("/identity", token="")
    slash = await cloud.get("/identity/", token="")
    three = await cloud.get("/identity/v3", token="nonsense")

    document = {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": "http://cloud.test/identity/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }
    assert (300, {"versions": {"values": [document]}}) == (root.status, root.json)
    assert root.json == slash.json
    assert "http://cloud.test/identity/v3/" == root.headers["location"]
    assert (200, {"version": document}) == (three.status, three.json)


async def test_an_unknown_path_has_keystones_error(cloud: Cloud) -> None:
    answer = await cloud.get(f"{V3}/nothing")
    method = await cloud.put(f"{V3}/users")

    assert {"code": 404, "message": "The resource could not be found.", "title": "Not Found"} == answer.json["error"]
    assert (405, 405) == (method.status, method.json["error"]["code"])


async def test_services_are_made_changed_found_and_deleted_with_their_endpoints(cloud: Cloud) -> None:
    made = await cloud.make("service", name="s", type="t", description="d")
    endpoint = await cloud.make("endpoint", service_id=made["id"], interface="public", url="http://a:1/x")

    changed = await cloud.patch(f"{V3}/services/{made['id']}", {"service": {"description": "e"}})
    found = await cloud.get(f"{V3}/services", type="t")
    gone = await cloud.delete(f"{V3}/services/{made['id']}")

    assert {"id", "name", "type", "description", "enabled", "links"} == set(made)
    assert "e" == changed.json["service"]["description"]
    assert [made["id"]] == [service["id"] for service in found.json["services"]]
    assert 204 == gone.status
    assert 404 == (await cloud.get(f"{V3}/endpoints/{endpoint['id']}")).status


async def test_endpoints_are_made_changed_found_and_deleted(cloud: Cloud) -> None:
    service = await cloud.make("service", type="t")
    made = await cloud.make(
        "endpoint", service_id=service["id"], interface="public", url="http://a:1/x", region="RegionOne"
    )
    one = f"{V3}/endpoints/{made['id']}"

    changed = await cloud.patch(one, {"endpoint": {"url": "http://b:2", "interface": "internal", "region_id": None}})
    found = await cloud.get(f"{V3}/endpoints", service_id=service["id"], interface="internal")
    gone = [(await cloud.delete(one)).status for _ in range(2)]

    assert {"id", "service_id", "region", "region_id", "interface", "url", "enabled", "links"} == set(made)
    assert ("RegionOne", "RegionOne") == (made["region"], made["region_id"])
    assert ("http://b:2", None) == (changed.json["endpoint"]["url"], changed.json["endpoint"]["region_id"])
    assert [made["id"]] == [endpoint["id"] for endpoint in found.json["endpoints"]]
    assert [204, 404] == gone


@pytest.mark.parametrize(
    "change",
    [
        {"interface": "secret"},
        {"url": ""},
        {"url": "http://a b"},
        {"url": None},
        {"enabled": "False"},
        {"service_id": UNKNOWN},
        {"region_id": "nowhere"},
    ],
)
async def test_an_endpoint_that_makes_no_sense_is_refused(cloud: Cloud, change: dict[str, Any]) -> None:
    service = await cloud.make("service", type="t")
    fields = {"service_id": service["id"], "interface": "public", "url": "http://a"}

    assert 400 == (await cloud.post(f"{V3}/endpoints", {"endpoint": {**fields, **change}})).status


async def test_a_region_named_the_old_way_is_made(cloud: Cloud) -> None:
    service = await cloud.make("service", type="t")

    await cloud.make("endpoint", service_id=service["id"], interface="public", url="http://a", region="new")

    assert 200 == (await cloud.get(f"{V3}/regions/new")).status


async def test_a_change_of_the_catalog_shows_at_once_and_fills_in_the_project(cloud: Cloud) -> None:
    service = await cloud.make("service", type="t", name="n")
    for interface, address in (("public", "http://a/$(project_id)s"), ("admin", "http://a/%(nobody)s")):
        await cloud.make("endpoint", service_id=service["id"], interface=interface, url=address)

    scoped = await cloud.get(f"{V3}/auth/catalog", token=cloud.demo)

    (shown,) = [found for found in scoped.json["catalog"] if found["type"] == "t"]
    assert [f"http://a/{await cloud.project_id('demo')}"] == [endpoint["url"] for endpoint in shown["endpoints"]]


async def test_what_is_off_is_not_in_the_catalog(cloud: Cloud) -> None:
    compute = (await cloud.get(f"{V3}/services", type="compute")).json["services"][0]
    await cloud.patch(f"{V3}/services/{compute['id']}", {"service": {"enabled": False}})

    catalog = (await cloud.get(f"{V3}/auth/catalog")).json["catalog"]

    assert ["identity"] == [service["type"] for service in catalog]


# -- regions


async def test_regions_have_the_id_one_asks_for(cloud: Cloud) -> None:
    made = await cloud.make("region", id="north", description="d")
    put = await cloud.put(f"{V3}/regions/south", {"region": {"parent_region_id": "north"}})
    below = await cloud.get(f"{V3}/regions", parent_region_id="north")
    unnamed = await cloud.make("region")

    assert ("north", None, "d") == (made["id"], made["parent_region_id"], made["description"])
    assert (201, "south") == (put.status, put.json["region"]["id"])
    assert ["south"] == [region["id"] for region in below.json["regions"]]
    assert 32 == len(unnamed["id"])
    assert 409 == (await cloud.post(f"{V3}/regions", {"region": {"id": "north"}})).status


async def test_regions_make_no_circle(cloud: Cloud) -> None:
    await cloud.make("region", id="a")
    await cloud.make("region", id="b", parent_region_id="a")

    circle = await cloud.patch(f"{V3}/regions/a", {"region": {"parent_region_id": "b"}})
    unknown = await cloud.post(f"{V3}/regions", {"region": {"parent_region_id": "nowhere"}})

    assert (400, 404) == (circle.status, unknown.status)


async def test_a_region_in_use_stays(cloud: Cloud) -> None:
    await cloud.patch(f"{V3}/regions/RegionOne", {"region": {"parent_region_id": (await cloud.make("region"))["id"]}})

    refused = await cloud.delete(f"{V3}/regions/RegionOne")
    await cloud.make("region", id="empty")
    gone = await cloud.delete(f"{V3}/regions/empty")

    assert 403 == refused.status
    assert (
        "Unable to delete region RegionOne because it or its child regions have associated endpoints."
        == (refused.json["error"]["message"])
    )
    assert 204 == gone.status


async def test_everybody_may_read_regions_but_not_services(cloud: Cloud) -> None:
    assert 200 == (await cloud.get(f"{V3}/regions", token=cloud.demo)).status
    assert 403 == (await cloud.get(f"{V3}/services", token=cloud.demo)).status
    assert 403 == (await cloud.get(f"{V3}/endpoints", token=cloud.demo)).status
    assert 403 == (await cloud.post(f"{V3}/regions", {"region": {}}, token=cloud.demo)).status


# -- a new cloud


async def test_what_a_cloud_starts_with_is_made_once(cloud: Cloud) -> None:
    lists = ("users", "projects", "domains", "roles", "services", "endpoints", "role_assignments", "role_inferences")
    before = [(await cloud.get(f"{V3}/{name}")).json for name in lists]

    await cloud.manager.bootstrap(cloud.ctx, "another", "another", SERVICES)

    assert before == [(await cloud.get(f"{V3}/{name}")).json for name in lists]
    assert 201 == (await cloud.login("admin", "secret")).status
