"""Lists of servers: filters, order, pages, and what rows rendered before are worth."""

from typing import Any

from compute.server_world import ServerWorld


async def names(cloud: ServerWorld, query: str, **how: Any) -> list[str]:
    said = await cloud.ask("GET /servers/detail", query=query, **how)
    assert 200 == said.status, said.body
    return [one["name"] for one in said.body["servers"]]


async def three(cloud: ServerWorld) -> list[str]:
    ids = [
        await cloud.boot(name="web-1", metadata={"a": "b"}, tags=["blue", "x"]),
        await cloud.boot(name="web-2", flavorRef="2", tags=["blue"], networks="none"),
        await cloud.boot(name="db-1"),
    ]
    await cloud.act(ids[2], "os-stop")
    await cloud.until(ids[2], "SHUTOFF")
    return ids


async def test_filters(cloud: ServerWorld) -> None:
    ids = await three(cloud)
    moment = (await cloud.row(ids[2])).updated_at.isoformat().replace("+00:00", "Z")  # type: ignore[union-attr]
    everything = ["db-1", "web-2", "web-1"]
    wanted: list[tuple[str, list[str]]] = [
        ("", everything),
        ("name=web", ["web-2", "web-1"]),
        ("name=WEB-1", ["web-1"]),
        ("name=%5Eweb-%5B0-9%5D%2B%24", ["web-2", "web-1"]),
        ("name=%5E.*-1%24", ["db-1", "web-1"]),
        ("status=SHUTOFF", ["db-1"]),
        ("status=active", ["web-2", "web-1"]),
        ("status=ACTIVE&status=SHUTOFF", everything),
        ("status=ERROR", []),
        ("flavor=2", ["web-2"]),
        ("flavor=77", []),
        (f"image={cloud.image_id}", everything),
        ("tags=blue", ["web-2", "web-1"]),
        ("tags=blue,x", ["web-1"]),
        ("tags-any=x,y", ["web-1"]),
        ("not-tags=blue", ["db-1"]),
        ("not-tags-any=x,y", ["db-1", "web-2"]),
        ("ip=10.60.0.2", ["web-1"]),
        ("ip=10.60.0.", ["db-1", "web-1"]),
        ("ip6=2001", []),
        (f"changes-since={moment}", ["db-1"]),
        ("changes-since=2999-01-01T00:00:00Z", []),
        ("locked=true", []),
        ("power_state=4", ["db-1"]),
        ("vm_state=stopped", ["db-1"]),
        ("sort_key=display_name&sort_dir=asc", ["db-1", "web-1", "web-2"]),
        ("sort_key=display_name&sort_dir=desc", ["web-2", "web-1", "db-1"]),
        ("sort_key=created_at&sort_dir=asc", ["web-1", "web-2", "db-1"]),
        ("limit=2", ["db-1", "web-2"]),
        (f"marker={ids[1]}", ["web-1"]),
        ("limit=0", []),
    ]

    found = [(query, await names(cloud, query)) for query, _ in wanted]

    assert wanted == found


async def test_pages_follow_each_other(cloud: ServerWorld) -> None:
    await three(cloud)
    for path in ("GET /servers", "GET /servers/detail"):
        seen, query = [], "limit=1&sort_key=display_name&sort_dir=asc"

        for _ in range(5):
            said = (await cloud.ask(path, query=query)).body
            seen += [one["name"] for one in said["servers"]]
            links = said.get("servers_links")
            if not links:
                break
            assert "next" == links[0]["rel"]
            query = links[0]["href"].partition("?")[2]

        assert ["db-1", "web-1", "web-2"] == seen


async def test_whose_servers_are_listed(cloud: ServerWorld) -> None:
    await cloud.boot(name="mine")
    other = {**cloud.body(name="theirs", networks="none")["server"], "imageRef": cloud.image_id}
    id = (await cloud.ask("POST /servers", {"server": other}, who="other")).body["server"]["id"]
    await cloud.until(id, "ACTIVE")

    assert ["mine"] == await names(cloud, "")
    assert ["theirs"] == await names(cloud, "", who="other")
    assert [] == await names(cloud, "", who="admin")
    assert ["theirs", "mine"] == await names(cloud, "all_tenants=1", who="admin")
    assert ["mine"] == await names(cloud, "all_tenants=True&project_id=p1", who="admin")
    assert ["mine"] == await names(cloud, "project_id=p2")
    on_hosts = [name for host in ("h1", "h2") for name in await names(cloud, f"all_tenants=1&host={host}", who="admin")]
    assert {"mine", "theirs"} == set(on_hosts)
    assert 403 == (await cloud.ask("GET /servers/detail", query="all_tenants=1")).status
    assert 400 == (await cloud.ask("GET /servers", query="all_tenants=maybe", who="admin")).status


async def test_wrong_questions(cloud: ServerWorld) -> None:
    wanted = [
        ("nonsense=1", "2.74", 200),
        ("nonsense=1", "2.75", 400),
        ("tags=a", "2.25", 200),
        ("status=nonsense", "2.37", 200),
        ("status=nonsense", "2.38", 400),
        ("status=deleted", "2.96", 403),
        ("limit=-1", "2.1", 400),
        ("limit=x", "2.1", 400),
        ("marker=nobody", "2.1", 400),
        ("sort_key=nonsense", "2.1", 400),
        ("sort_key=vcpus", "2.74", 200),
        ("sort_key=vcpus", "2.75", 400),
        ("sort_dir=up", "2.1", 400),
        ("changes-since=yesterday", "2.1", 400),
        ("name=(a%2B)%2B", "2.1", 400),
        ("name=[", "2.1", 400),
        ("metadata=a", "2.1", 400),
        ("deleted=true", "2.1", 200),
    ]

    found = [
        (query, version, (await cloud.ask("GET /servers/detail", query=query, version=version)).status)
        for query, version, _ in wanted
    ]

    assert wanted == found


async def test_a_list_shows_what_single_servers_show(cloud: ServerWorld) -> None:
    ids = await three(cloud)
    for version in ("2.1", "2.96"):
        for who, query in (("member", ""), ("admin", "all_tenants=1")):
            for _ in range(2):
                listed = await cloud.ask("GET /servers/detail", query=query, version=version, who=who)
                single = [(await cloud.ask(f"GET /servers/{id}", version=version, who=who)).body for id in ids]
                for one in single:
                    one["server"].pop("server_groups", None)
                assert [one["server"] for one in reversed(single)] == listed.body["servers"]


async def test_a_list_is_never_out_of_date(cloud: ServerWorld) -> None:
    ids = await three(cloud)
    await names(cloud, "")

    await cloud.ask(f"PUT /servers/{ids[0]}", {"server": {"name": "renamed"}})
    await cloud.ask(f"POST /servers/{ids[1]}/metadata", {"metadata": {"new": "1"}})
    listed = (await cloud.ask("GET /servers/detail")).body["servers"]

    assert ["db-1", "web-2", "renamed"] == [one["name"] for one in listed]
    assert {"new": "1"} == listed[1]["metadata"]


async def test_a_name_is_no_id(cloud: ServerWorld) -> None:
    await cloud.boot(name="web1")

    said = await cloud.ask("GET /servers/web1")

    assert {"itemNotFound": {"code": 404, "message": "Instance web1 could not be found."}} == said.body
