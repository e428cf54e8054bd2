"""What belongs to a server: metadata, tags, addresses, interfaces, groups, history, and the edges of each."""

from compute.server_world import ServerWorld


async def test_metadata(cloud: ServerWorld) -> None:
    id = await cloud.boot(metadata={"a": "1"})
    path = f"/servers/{id}/metadata"

    assert {"a": "1", "b": "2"} == (await cloud.ask(f"POST {path}", {"metadata": {"b": "2"}})).body["metadata"]
    assert {"c": "3"} == (await cloud.ask(f"PUT {path}", {"metadata": {"c": "3"}})).body["metadata"]
    assert {"meta": {"d": "4"}} == (await cloud.ask(f"PUT {path}/d", {"meta": {"d": "4"}})).body
    assert {"meta": {"d": "4"}} == (await cloud.ask(f"GET {path}/d")).body
    assert 204 == (await cloud.ask(f"DELETE {path}/c")).status
    assert {"metadata": {"d": "4"}} == (await cloud.ask(f"GET {path}")).body
    wrong = [
        (await cloud.ask(f"GET {path}/x")).status,
        (await cloud.ask(f"DELETE {path}/x")).status,
        (await cloud.ask(f"PUT {path}/d", {"meta": {"e": "4"}})).status,
        (await cloud.ask(f"PUT {path}/d", {"meta": {"d": 4}})).status,
        (await cloud.ask(f"POST {path}", {"metadata": {"": "4"}})).status,
        (await cloud.ask(f"POST {path}", {"metadata": {f"k{n}": "v" for n in range(129)}})).status,
        (await cloud.ask(f"POST {path}", {"metadata": {"a": "b"}}, who="reader")).status,
    ]
    assert [404, 404, 400, 400, 400, 403, 403] == wrong


async def test_tags(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    path = f"/servers/{id}/tags"

    assert 201 == (await cloud.ask(f"PUT {path}/blue")).status
    assert 204 == (await cloud.ask(f"PUT {path}/blue")).status
    assert 204 == (await cloud.ask(f"GET {path}/blue")).status
    assert {"tags": ["blue"]} == (await cloud.ask(f"GET {path}")).body
    assert {"tags": ["a", "b"]} == (await cloud.ask(f"PUT {path}", {"tags": ["b", "a", "b"]})).body
    assert 204 == (await cloud.ask(f"DELETE {path}/a")).status
    assert 404 == (await cloud.ask(f"DELETE {path}/a")).status
    assert 404 == (await cloud.ask(f"GET {path}/a")).status
    assert 400 == (await cloud.ask(f"PUT {path}/a,b")).status
    assert 400 == (await cloud.ask(f"PUT {path}", {"tags": [str(n) for n in range(51)]})).status
    assert 204 == (await cloud.ask(f"DELETE {path}")).status
    assert {"tags": []} == (await cloud.ask(f"GET {path}")).body
    assert 404 == (await cloud.ask(f"GET {path}", version="2.25")).status


async def test_addresses_and_interfaces(cloud: ServerWorld) -> None:
    id = await cloud.boot()

    ips = (await cloud.ask(f"GET /servers/{id}/ips")).body
    one = (await cloud.ask(f"GET /servers/{id}/ips/private")).body
    nics = (await cloud.ask(f"GET /servers/{id}/os-interface")).body["interfaceAttachments"]

    assert {"addresses": {"private": [{"version": 4, "addr": "10.60.0.2"}]}} == ips
    assert ips["addresses"] == one
    assert (cloud.network_id, "10.60.0.2") == (nics[0]["net_id"], nics[0]["fixed_ips"][0]["ip_address"])
    port = nics[0]["port_id"]
    assert {"interfaceAttachment": nics[0]} == (await cloud.ask(f"GET /servers/{id}/os-interface/{port}")).body
    assert (
        "tag"
        not in (await cloud.ask(f"GET /servers/{id}/os-interface/{port}", version="2.69")).body["interfaceAttachment"]
    )
    assert 404 == (await cloud.ask(f"GET /servers/{id}/os-interface/{id}")).status
    assert 404 == (await cloud.ask(f"GET /servers/{id}/ips/none")).status


async def test_security_groups(cloud: ServerWorld) -> None:
    id = await cloud.boot()

    groups = (await cloud.ask(f"GET /servers/{id}/os-security-groups")).body["security_groups"]

    assert ["default"] == [group["name"] for group in groups]
    assert 202 == (await cloud.act(id, "removeSecurityGroup", {"name": "default"})).status
    assert "security_groups" not in (await cloud.ask(f"GET /servers/{id}")).body["server"]
    assert 404 == (await cloud.act(id, "removeSecurityGroup", {"name": "default"})).status
    assert 202 == (await cloud.act(id, "addSecurityGroup", {"name": groups[0]["id"]})).status
    assert [{"name": "default"}] == (await cloud.ask(f"GET /servers/{id}")).body["server"]["security_groups"]
    assert 404 == (await cloud.act(id, "addSecurityGroup", {"name": "none"})).status


async def test_its_history_outlives_it(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    await cloud.act(id, "os-stop")
    await cloud.until(id, "SHUTOFF")
    await cloud.ask(f"DELETE /servers/{id}")
    await cloud.until_gone(id)
    path = f"GET /servers/{id}/os-instance-actions"

    listed = (await cloud.ask(path)).body["instanceActions"]

    assert ["delete", "stop", "create"] == [one["action"] for one in listed]
    assert 404 == (await cloud.ask(path, version="2.20")).status
    assert 404 == (await cloud.ask(path, who="other")).status
    one = (await cloud.ask(f"{path}/{listed[2]['request_id']}")).body["instanceAction"]
    assert ["compute_network", "compute_image", "compute_spawn", "compute_build"] == [
        event["event"] for event in one["events"]
    ]
    assert {"Success"} == {event["result"] for event in one["events"]}
    assert "traceback" not in one["events"][0]
    assert 404 == (await cloud.ask(f"{path}/req-none")).status
    assert ["stop"] == [
        one["action"]
        for one in (await cloud.ask(path, query=f"limit=1&marker={listed[0]['request_id']}")).body["instanceActions"]
    ]


async def test_an_update_changes_what_was_named(cloud: ServerWorld) -> None:
    id = await cloud.boot(description="old")
    change = {"name": "new", "accessIPv6": "::babe:1", "OS-DCF:diskConfig": "AUTO", "description": None}

    said = await cloud.ask(f"PUT /servers/{id}", {"server": change})

    shown = said.body["server"]
    assert ("new", "::babe:1", "AUTO", None) == (
        shown["name"],
        shown["accessIPv6"],
        shown["OS-DCF:diskConfig"],
        shown["description"],
    )
    wrong = [
        (await cloud.ask(f"PUT /servers/{id}", {"server": {"name": ""}})).status,
        (await cloud.ask(f"PUT /servers/{id}", {"server": {"status": "ACTIVE"}})).status,
        (await cloud.ask(f"PUT /servers/{id}", {"server": {"description": "x"}}, version="2.18")).status,
        (await cloud.ask(f"PUT /servers/{id}", {"server": {"hostname": "a b"}})).status,
        (await cloud.ask(f"PUT /servers/{id}", {"server": {"name": "x"}}, who="reader")).status,
    ]
    assert [400, 400, 400, 400, 403] == wrong


async def test_odds_and_ends(cloud: ServerWorld) -> None:
    id = await cloud.boot()

    assert {"volumeAttachments": []} == (await cloud.ask(f"GET /servers/{id}/os-volume_attachments")).body
    assert 404 == (await cloud.ask(f"GET /servers/{id}/os-volume_attachments/{id}")).status
    assert {"password": ""} == (await cloud.ask(f"GET /servers/{id}/os-server-password")).body
    assert 403 == (await cloud.ask(f"GET /servers/{id}/diagnostics")).status
    assert "running" == (await cloud.ask(f"GET /servers/{id}/diagnostics", who="admin")).body["state"]
    for action in ({"nonsense": 1}, {}, {"os-stop": None, "os-start": None}, {"reboot": {"type": "MEDIUM"}}):
        assert 400 == (await cloud.ask(f"POST /servers/{id}/action", action)).status
    assert 410 == (await cloud.act(id, "resetNetwork")).status
    assert 400 == (await cloud.act(id, "os-getConsoleOutput", {"length": -2})).status
