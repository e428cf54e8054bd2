"""Hosts, services, zones, aggregates, quotas, usage, server groups and versions through their API."""

import uuid
from typing import Any

import pytest
from compute.api_world import CTX, World

from micronova.compute.db import QuotaLimit, ServerGroup

USAGE = {"free_ram_mb", "local_gb", "running_vms", "vcpus", "vcpus_used", "cpu_info", "current_workload"}


@pytest.fixture
def world() -> World:
    return World()


async def first(world: World, path: str, **more: Any) -> Any:
    """The first thing of a list."""
    said = await world.ask(f"GET {path}", **more)
    assert said.status == 200, said.body
    return next(iter(said.body.values()))[0]


# -- hypervisors


async def test_a_host_is_shown_with_its_usage_until_2_87(world: World) -> None:
    await world.host(reserved_ram_mib=96)
    await world.server()

    shown = await first(world, "/os-hypervisors/detail", version="2.87")

    assert (shown["hypervisor_hostname"], shown["state"], shown["status"]) == ("h1", "up", "enabled")
    assert (shown["memory_mb"], shown["memory_mb_used"], shown["free_ram_mb"]) == (4096, 96, 4000)
    assert (shown["running_vms"], shown["current_workload"]) == (1, 0)
    assert shown["cpu_info"]["model"] == "max"
    assert isinstance((await first(world, "/os-hypervisors/detail", version="2.27"))["cpu_info"], str)


async def test_since_2_88_usage_is_not_told_here(world: World) -> None:
    await world.host()

    shown = await first(world, "/os-hypervisors/detail", version="2.88")

    assert not USAGE & set(shown)
    assert "uptime" in shown
    assert (await world.ask("GET /os-hypervisors/statistics", version="2.88")).status == 404
    assert (await world.ask("GET /os-hypervisors/statistics", version="2.87")).body["hypervisor_statistics"][
        "count"
    ] == 1


async def test_hosts_go_by_number_until_2_52_and_by_uuid_since(world: World) -> None:
    await world.host()

    old = await first(world, "/os-hypervisors", version="2.52")
    new = await first(world, "/os-hypervisors", version="2.53")

    assert isinstance(old["id"], int)
    assert uuid.UUID(new["id"])
    assert (await world.ask(f"GET /os-hypervisors/{old['id']}", version="2.52")).status == 200
    assert (await world.ask(f"GET /os-hypervisors/{new['id']}", version="2.53")).status == 200
    assert (await world.ask("GET /os-hypervisors/999", version="2.52")).status == 404
    assert (await world.ask("GET /os-hypervisors/h1", version="2.53")).status == 400
    assert (await world.ask(f"GET /os-hypervisors/{uuid.UUID(int=1)}", version="2.53")).status == 404


async def test_servers_are_listed_with_their_host(world: World) -> None:
    await world.host()
    await world.host("h2")
    server = await world.server()
    servers = [{"uuid": server.id, "name": "web1"}]

    old = await world.ask("GET /os-hypervisors/h/servers", version="2.52")
    new = await world.ask("GET /os-hypervisors", query="with_servers=true", version="2.75")

    assert [one.get("servers") for one in old.body["hypervisors"]] == [servers, None]
    assert [one["servers"] for one in new.body["hypervisors"]] == [servers, []]
    assert "servers" not in await first(world, "/os-hypervisors", version="2.75")


async def test_hosts_are_found_by_a_part_of_their_name(world: World) -> None:
    await world.host()

    assert (await world.ask("GET /os-hypervisors/h1/search", version="2.52")).status == 200
    assert (await world.ask("GET /os-hypervisors/x/search", version="2.52")).status == 404
    assert (await world.ask("GET /os-hypervisors/h1/search", version="2.53")).status == 404
    assert (await world.ask("GET /os-hypervisors", query="hypervisor_hostname_pattern=h")).status == 200
    assert (await world.ask("GET /os-hypervisors", query="hypervisor_hostname_pattern=x")).status == 404
    assert (await world.ask("GET /os-hypervisors", query="hypervisor_hostname_pattern=h&limit=1")).status == 400


async def test_lists_of_hosts_are_paged(world: World) -> None:
    for name in ("h1", "h2", "h3"):
        await world.host(name)

    page = (await world.ask("GET /os-hypervisors", query="limit=2")).body

    assert len(page["hypervisors"]) == 2
    assert f"marker={page['hypervisors'][1]['id']}" in page["hypervisors_links"][0]["href"]
    assert (await world.ask("GET /os-hypervisors", query="x=1", version="2.53")).status == 400


async def test_uptime_is_not_told(world: World) -> None:
    await world.host()

    assert (await world.ask("GET /os-hypervisors/1/uptime", version="2.1")).status == 501


@pytest.mark.parametrize("path", ["/os-hypervisors", "/os-services", "/os-aggregates", "/os-availability-zone/detail"])
async def test_hosts_are_for_administrators(world: World, path: str) -> None:
    assert (await world.ask(f"GET {path}", who="member")).status == 403
    assert (await world.ask(f"GET {path}", who="")).status == 401


# -- services


async def test_services_are_listed_by_host_and_binary(world: World) -> None:
    await world.host()
    await world.host("h2")

    everything = (await world.ask("GET /os-services")).body["services"]
    one = (await world.ask("GET /os-services", query="host=h2&binary=nova-compute")).body["services"]

    assert [(s["binary"], s["host"], s["zone"]) for s in everything] == [
        ("nova-compute", "h1", "nova"),
        ("nova-compute", "h2", "nova"),
        ("nova-scheduler", "h1", "internal"),
        ("nova-scheduler", "h2", "internal"),
    ]
    assert [(s["state"], s["status"], s["forced_down"]) for s in one] == [("up", "enabled", False)]
    assert not one[0]["updated_at"].endswith("Z")
    assert "forced_down" not in await first(world, "/os-services", version="2.1")
    assert isinstance((await first(world, "/os-services", version="2.1"))["id"], int)


async def test_a_service_is_disabled_enabled_and_forced_down(world: World) -> None:
    await world.host()
    id = (await first(world, "/os-services"))["id"]

    async def put(body: dict[str, Any]) -> Any:
        return (await world.ask(f"PUT /os-services/{id}", body)).body["service"]

    off = await put({"status": "disabled", "disabled_reason": "repair"})
    assert (off["status"], off["disabled_reason"]) == ("disabled", "repair")
    on = await put({"status": "enabled"})
    assert (on["status"], on["disabled_reason"]) == ("enabled", None)
    assert (await put({"forced_down": True}))["state"] == "down"


@pytest.mark.parametrize(
    "body",
    [{}, {"disabled_reason": "x"}, {"status": "enabled", "disabled_reason": "x"}, {"status": "off"}, {"x": 1}],
    ids=str,
)
async def test_a_wrong_change_of_a_service_is_refused(world: World, body: dict[str, Any]) -> None:
    await world.host()
    id = (await first(world, "/os-services"))["id"]

    assert (await world.ask(f"PUT /os-services/{id}", body)).status == 400


async def test_only_services_that_run_servers_are_changed(world: World) -> None:
    await world.host()
    other = await first(world, "/os-services", query="binary=nova-scheduler")

    assert (await world.ask(f"PUT /os-services/{other['id']}", {"status": "disabled"})).status == 400
    assert (await world.ask(f"PUT /os-services/{uuid.UUID(int=1)}", {"status": "disabled"})).status == 404
    assert (await world.ask("PUT /os-services/h1", {"status": "disabled"})).status == 400


async def test_old_microversions_name_host_and_binary(world: World) -> None:
    await world.host()
    named = {"host": "h1", "binary": "nova-compute"}

    async def put(action: str, version: str = "2.52", **more: Any) -> Any:
        return await world.ask(f"PUT /os-services/{action}", {**named, **more}, version=version)

    assert (await put("disable")).body == {"service": {**named, "status": "disabled"}}
    said = await put("disable-log-reason", disabled_reason="r")
    assert said.body == {"service": {**named, "status": "disabled", "disabled_reason": "r"}}
    assert (await put("enable")).body == {"service": {**named, "status": "enabled"}}
    assert (await put("force-down", forced_down=True)).body == {"service": {**named, "forced_down": True}}
    assert (await put("force-down", "2.10", forced_down=True)).status == 404
    assert (await put("disable-log-reason")).status == 400
    assert (await put("explode")).status == 404
    assert (await put("enable", host="none")).status == 404


async def test_a_service_is_forgotten_when_its_host_holds_nothing(world: World) -> None:
    await world.host()
    await world.host("h2")
    await world.server("h2")
    h1, h2 = (await world.ask("GET /os-services", query="binary=nova-compute")).body["services"]

    assert (await world.ask(f"DELETE /os-services/{h2['id']}")).status == 409
    assert (await world.ask(f"DELETE /os-services/{h1['id']}")).status == 204
    assert (await world.ask(f"DELETE /os-services/{h1['id']}")).status == 404
    assert len((await world.ask("GET /os-hypervisors")).body["hypervisors"]) == 1


# -- zones, hosts, aggregates


async def test_zones_follow_aggregates(world: World) -> None:
    await world.host()
    await world.host("h2")
    made = (await world.ask("POST /os-aggregates", {"aggregate": {"name": "a", "availability_zone": "east"}})).body
    await world.ask(f"POST /os-aggregates/{made['aggregate']['id']}/action", {"add_host": {"host": "h2"}})

    zones = (await world.ask("GET /os-availability-zone", who="reader")).body["availabilityZoneInfo"]
    detail = (await world.ask("GET /os-availability-zone/detail")).body["availabilityZoneInfo"]

    assert zones == [
        {"zoneName": "east", "zoneState": {"available": True}, "hosts": None},
        {"zoneName": "nova", "zoneState": {"available": True}, "hosts": None},
    ]
    assert [zone["zoneName"] for zone in detail] == ["east", "internal", "nova"]
    assert detail[0]["hosts"]["h2"]["nova-compute"]["available"] is True


async def test_old_clients_list_hosts(world: World) -> None:
    await world.host()
    await world.server()

    hosts = (await world.ask("GET /os-hosts", version="2.1", query="zone=nova")).body["hosts"]
    shown = (await world.ask("GET /os-hosts/h1", version="2.1")).body["host"]

    assert hosts == [{"host_name": "h1", "service": "compute", "zone": "nova"}]
    assert [one["resource"]["project"] for one in shown] == ["(total)", "(used_now)", "p1"]
    assert (await world.ask("GET /os-hosts/none", version="2.1")).status == 404
    assert (await world.ask("GET /os-hosts", version="2.43")).status == 404


async def test_an_aggregate_is_made_changed_and_removed(world: World) -> None:
    await world.host()
    made = (await world.ask("POST /os-aggregates", {"aggregate": {"name": "a"}})).body["aggregate"]
    one, action = f"/os-aggregates/{made['id']}", f"/os-aggregates/{made['id']}/action"

    assert "hosts" not in made
    assert (await world.ask(f"POST {action}", {"add_host": {"host": "h1"}})).body["aggregate"]["hosts"] == ["h1"]
    assert (await world.ask(f"POST {action}", {"add_host": {"host": "h1"}})).status == 409
    assert (await world.ask(f"POST {action}", {"add_host": {"host": "none"}})).status == 404
    said = await world.ask(f"POST {action}", {"set_metadata": {"metadata": {"ssd": "true", "gone": None}}})
    assert said.body["aggregate"]["metadata"] == {"ssd": "true"}
    said = await world.ask(f"PUT {one}", {"aggregate": {"name": "b", "availability_zone": "east"}})
    assert (said.body["aggregate"]["name"], said.body["aggregate"]["availability_zone"]) == ("b", "east")
    assert said.body["aggregate"]["updated_at"]
    assert (await world.ask(f"DELETE {one}")).status == 400
    assert (await world.ask(f"POST {action}", {"remove_host": {"host": "h1"}})).body["aggregate"]["hosts"] == []
    assert (await world.ask(f"POST {action}", {"remove_host": {"host": "h1"}})).status == 404
    assert (await world.ask(f"DELETE {one}")).status == 200
    assert (await world.ask(f"GET {one}")).status == 404


async def test_a_host_is_in_one_zone_only(world: World) -> None:
    await world.host()
    for name in ("a", "b"):
        made = (await world.ask("POST /os-aggregates", {"aggregate": {"name": name, "availability_zone": name}})).body
        said = await world.ask(f"POST /os-aggregates/{made['aggregate']['id']}/action", {"add_host": {"host": "h1"}})

    assert said.status == 409


@pytest.mark.parametrize(
    ("what", "body", "status"),
    [
        ("POST /os-aggregates", {"aggregate": {"name": ""}}, 400),
        ("POST /os-aggregates", {"aggregate": {"name": "x" * 256}}, 400),
        ("POST /os-aggregates", {"aggregate": {"name": "a", "availability_zone": "a:b"}}, 400),
        ("GET /os-aggregates/a", None, 400),
        ("GET /os-aggregates/7", None, 404),
        ("PUT /os-aggregates/7", {"aggregate": {}}, 400),
        ("POST /os-aggregates/7/action", {"add_host": {}}, 400),
        ("POST /os-aggregates/7/action", {"explode": {}}, 400),
    ],
)
async def test_a_wrong_question_about_aggregates_is_refused(world: World, what: str, body: Any, status: int) -> None:
    assert (await world.ask(what, body)).status == status


# -- quotas, limits, usage


async def test_quotas_are_set_shown_and_reset(world: World) -> None:
    usual = (await world.ask("GET /os-quota-sets/p2/defaults", who="other")).body["quota_set"]

    said = await world.ask("PUT /os-quota-sets/p2", {"quota_set": {"instances": "3", "cores": 7}})
    assert (said.body["quota_set"]["instances"], said.body["quota_set"]["cores"]) == (3, 7)
    assert "id" not in said.body["quota_set"]
    shown = (await world.ask("GET /os-quota-sets/p2", who="other")).body["quota_set"]
    assert (shown["id"], shown["instances"], shown["ram"]) == ("p2", 3, usual["ram"])
    assert (await world.ask("DELETE /os-quota-sets/p2")).status == 202
    assert (await world.ask("GET /os-quota-sets/p2")).body["quota_set"] == usual


async def test_a_quota_is_not_set_below_what_is_used_unless_forced(world: World) -> None:
    await world.server()
    await world.server()

    assert (await world.ask("PUT /os-quota-sets/p1", {"quota_set": {"instances": 1}})).status == 400
    assert (await world.ask("PUT /os-quota-sets/p1", {"quota_set": {"instances": 1, "force": "True"}})).status == 200
    detail = (await world.ask("GET /os-quota-sets/p1/detail", who="member")).body["quota_set"]
    assert detail["instances"] == {"limit": 1, "in_use": 2, "reserved": 0}
    assert detail["ram"]["in_use"] == 256


@pytest.mark.parametrize(
    "wrong", [{"instances": -2}, {"instances": "x"}, {"networks": 1}, {"cores": 2**31}, {"cores": True}]
)
async def test_a_wrong_quota_is_refused(world: World, wrong: dict[str, Any]) -> None:
    assert (await world.ask("PUT /os-quota-sets/p1", {"quota_set": wrong})).status == 400


async def test_quotas_of_others_are_for_administrators(world: World) -> None:
    assert (await world.ask("GET /os-quota-sets/p2", who="member")).status == 403
    assert (await world.ask("PUT /os-quota-sets/p1", {"quota_set": {"cores": 1}}, who="member")).status == 403
    assert (await world.ask("GET /os-quota-sets/none")).status == 400
    assert (await world.ask("GET /limits", who="member", query="tenant_id=p2")).status == 403
    assert (await world.ask("GET /limits", query="tenant_id=p2")).status == 200


@pytest.mark.parametrize(
    ("version", "files", "networks"), [("2.1", True, True), ("2.36", True, False), ("2.57", False, False)]
)
async def test_each_microversion_has_its_own_resources(world: World, version: str, files: bool, networks: bool) -> None:
    quotas = (await world.ask("GET /os-quota-sets/p1", version=version)).body["quota_set"]
    limits = (await world.ask("GET /limits", version=version)).body["limits"]["absolute"]

    assert ("injected_files" in quotas, "maxPersonality" in limits) == (files, files)
    assert ("floating_ips" in quotas, "maxSecurityGroups" in limits) == (networks, networks)


async def test_the_default_class_changes_the_default_of_all(world: World) -> None:
    said = await world.ask("PUT /os-quota-class-sets/default", {"quota_class_set": {"instances": 5}})

    assert said.body["quota_class_set"]["instances"] == 5
    assert (await world.ask("GET /os-quota-class-sets/default")).body["quota_class_set"]["id"] == "default"
    assert (await world.ask("GET /os-quota-sets/p1")).body["quota_set"]["instances"] == 5


async def test_a_users_quota_stays_within_the_projects(world: World) -> None:
    await world.ask("PUT /os-quota-sets/p1", {"quota_set": {"instances": 3}})

    over = await world.ask("PUT /os-quota-sets/p1", {"quota_set": {"instances": 4}}, query="user_id=u1")
    fits = await world.ask("PUT /os-quota-sets/p1", {"quota_set": {"instances": 2}}, query="user_id=u1")

    assert over.status == 400
    assert fits.body["quota_set"]["instances"] == 2
    assert (await world.ask("GET /os-quota-sets/p1")).body["quota_set"]["instances"] == 3
    assert len(await world.db.read(lambda tx: tx.find(QuotaLimit))) == 2


async def test_limits_tell_what_is_used_and_refuse_unknown_parameters(world: World) -> None:
    await world.server()

    absolute = (await world.ask("GET /limits", who="reader")).body["limits"]["absolute"]

    assert (absolute["totalInstancesUsed"], absolute["totalRAMUsed"], absolute["maxTotalInstances"]) == (1, 128, 1000)
    assert (await world.ask("GET /limits", query="reserved=1", version="2.74")).status == 200
    assert (await world.ask("GET /limits", query="reserved=1", version="2.75")).status == 400


async def test_usage_sums_the_servers_of_a_period(world: World) -> None:
    server = await world.server()
    await world.server(project_id="p2")

    shown = (await world.ask("GET /os-simple-tenant-usage/p1", who="reader")).body["tenant_usage"]
    listed = (await world.ask("GET /os-simple-tenant-usage", query="detailed=1")).body["tenant_usages"]
    before = await world.ask("GET /os-simple-tenant-usage/p1", query="start=2020-01-01&end=2020-02-01T00:00:00")

    assert [one["instance_id"] for one in shown["server_usages"]] == [server.id]
    assert shown["total_hours"] >= 0
    assert [one["tenant_id"] for one in listed] == ["p1", "p2"]
    assert before.body == {"tenant_usage": {}}


async def test_usage_is_paged_and_guarded(world: World) -> None:
    await world.server()
    last = await world.server()

    page = (await world.ask("GET /os-simple-tenant-usage/p1", query="limit=1")).body

    assert len(page["tenant_usage"]["server_usages"]) == 1
    assert "tenant_usage_links" in page
    rest = (await world.ask("GET /os-simple-tenant-usage/p1", query=f"limit=1&marker={last.id}")).body
    assert rest == {"tenant_usage": {}}
    assert (await world.ask("GET /os-simple-tenant-usage", who="member")).status == 403
    assert (await world.ask("GET /os-simple-tenant-usage/p2", who="member")).status == 403
    for query in ("start=x", "start=2021-01-01&end=2020-01-01"):
        assert (await world.ask("GET /os-simple-tenant-usage/p1", query=query)).status == 400


# -- server groups


async def test_a_server_group_is_made_shown_and_removed(world: World) -> None:
    body = {"server_group": {"name": "g", "policy": "anti-affinity", "rules": {"max_server_per_host": 2}}}

    made = (await world.ask("POST /os-server-groups", body, who="member")).body["server_group"]

    assert made == {
        "id": made["id"],
        "name": "g",
        "policy": "anti-affinity",
        "rules": {"max_server_per_host": 2},
        "members": [],
        "project_id": "p1",
        "user_id": "u1",
    }
    one = f"/os-server-groups/{made['id']}"
    assert (await world.ask(f"GET {one}", who="reader")).body["server_group"] == made
    assert (await world.ask(f"GET {one}", who="other")).status == 404
    assert (await world.ask(f"DELETE {one}", who="reader")).status == 403
    assert (await world.ask(f"DELETE {one}", who="member")).status == 204
    assert (await world.ask(f"GET {one}", who="member")).status == 404


async def test_old_microversions_have_a_list_of_policies(world: World) -> None:
    body = {"server_group": {"name": "g", "policies": ["affinity"]}}

    made = (await world.ask("POST /os-server-groups", body, version="2.1")).body["server_group"]

    assert made == {"id": made["id"], "name": "g", "policies": ["affinity"], "members": [], "metadata": {}}
    soft = {"server_group": {"name": "g", "policies": ["soft-affinity"]}}
    assert (await world.ask("POST /os-server-groups", soft, version="2.14")).status == 400
    assert (await world.ask("POST /os-server-groups", soft, version="2.15")).status == 200
    assert (await world.ask("POST /os-server-groups", body, version="2.64")).status == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"policy": "both"},
        {"policy": "affinity", "rules": {"max_server_per_host": 2}},
        {"rules": {"max_server_per_host": 0}},
        {"rules": {"x": 1}},
    ],
    ids=str,
)
async def test_a_wrong_group_is_refused(world: World, wrong: dict[str, Any]) -> None:
    body = {"server_group": {"name": "g", "policy": "anti-affinity", **wrong}}

    assert (await world.ask("POST /os-server-groups", body)).status == 400


async def test_members_that_are_gone_are_not_shown(world: World) -> None:
    server = await world.server()
    now = world.clock.now()
    facts = {"project_id": "p1", "user_id": "u1", "name": "g", "policy": "affinity", "created_at": now}
    row = ServerGroup(id="g1", members=(server.id, "gone"), **facts)  # type: ignore[arg-type]
    await world.db.write(lambda tx: tx.insert(row), CTX, why="test")

    assert (await first(world, "/os-server-groups", who="reader"))["members"] == [server.id]


async def test_groups_are_listed_by_project_and_paged(world: World) -> None:
    for who in ("member", "other", "member"):
        await world.ask("POST /os-server-groups", {"server_group": {"name": who, "policy": "affinity"}}, who=who)

    async def count(query: str, who: str) -> int:
        return len((await world.ask("GET /os-server-groups", query=query, who=who)).body["server_groups"])

    assert await count("", "member") == 2
    assert await count("all_projects=true", "member") == 2
    assert await count("all_projects=true", "admin") == 3
    assert await count("all_projects=true&limit=1", "admin") == 1
    assert await count("offset=1", "member") == 1


async def test_a_project_has_so_many_groups_and_no_more() -> None:
    world = World(quota__server_groups=1)
    body = {"server_group": {"name": "g", "policy": "affinity"}}

    statuses = [(await world.ask("POST /os-server-groups", body, who="member")).status for _ in range(2)]

    assert statuses == [200, 403]


# -- versions


async def test_versions_are_told_to_everybody(world: World) -> None:
    version = (await world.ask("GET ", who="")).body["version"]

    assert (version["id"], version["min_version"], version["version"]) == ("v2.1", "2.1", "2.96")
    assert version["links"][0] == {"rel": "self", "href": "http://falconframework.org/compute/v2.1/"}


async def test_extensions_are_told_to_old_clients(world: World) -> None:
    names = {one["name"] for one in (await world.ask("GET /extensions", who="reader")).body["extensions"]}

    assert "Hosts" in names
    assert (await world.ask("GET /extensions/os-consoles")).body["extension"]["alias"] == "os-consoles"
    assert (await world.ask("GET /extensions/none")).status == 404
