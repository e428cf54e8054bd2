"""Interfaces of servers that are there already: attached and detached, on fake drivers that refuse and die as well."""

import asyncio
from typing import Any

import pytest
from compute.server_world import CTX, MEMBER, PEOPLE, Host, Said, ServerWorld

from micronova.errors import DriverError, Rejected
from micronova.network import resources
from micronova.network.attributes import for_create
from micronova.network.db import Port

NOBODY = "99999999-0000-4000-8000-000000000000"


async def attach(cloud: ServerWorld, id: str, what: Any = None, **how: Any) -> Said:
    return await cloud.ask(f"POST /servers/{id}/os-interface", {"interfaceAttachment": what or {}}, **how)


async def interfaces(cloud: ServerWorld, id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await cloud.ask(f"GET /servers/{id}/os-interface")).body["interfaceAttachments"]
    return found


async def host_of(cloud: ServerWorld, id: str) -> Host:
    row = await cloud.row(id)
    assert row is not None
    return cloud.hosts[row.host]


def cards(host: Host, id: str) -> list[str]:
    return [nic.port_id for nic in host.driver._guests[id].spec.nics]


async def new_port(cloud: ServerWorld, network_id: str, project_id: str = MEMBER.project_id) -> str:
    asked = for_create(resources.PORT, {"network_id": network_id, "tenant_id": project_id})
    port = (await cloud.api.network.ports.create(PEOPLE["admin"], [asked])).rows[0]
    return port.id


async def port_row(cloud: ServerWorld, id: str) -> Port | None:
    return await cloud.db.read(lambda tx: tx.first(Port, id=id))


def error(said: Said) -> tuple[int, str]:
    (fault,) = said.body.values()
    return said.status, fault["message"]


async def test_an_interface_on_a_network_is_attached_live(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    other = await cloud.new_network("other", "10.61.0.0/24")

    said = await attach(cloud, id, {"net_id": other, "tag": "back"})

    shown = said.body["interfaceAttachment"]
    assert (200, other, "ACTIVE", "back", "10.61.0.2") == (
        said.status,
        shown["net_id"],
        shown["port_state"],
        shown["tag"],
        shown["fixed_ips"][0]["ip_address"],
    )
    assert [one["port_id"] for one in await interfaces(cloud, id)] == cards(await host_of(cloud, id), id)
    assert ["other", "private"] == sorted((await cloud.ask(f"GET /servers/{id}")).body["server"]["addresses"])
    assert shown["port_id"] in (await host_of(cloud, id)).net.ports


async def test_an_interface_gets_the_address_that_was_asked_for(cloud: ServerWorld) -> None:
    id = await cloud.boot()

    said = await attach(cloud, id, {"net_id": cloud.network_id, "fixed_ips": [{"ip_address": "10.60.0.77"}]})

    assert "10.60.0.77" == said.body["interfaceAttachment"]["fixed_ips"][0]["ip_address"]


async def test_without_a_word_the_only_network_is_taken(cloud: ServerWorld) -> None:
    id = await cloud.boot(networks="none")

    one = await cloud.ask(f"POST /servers/{id}/os-interface", {})
    await cloud.new_network("other", "10.61.0.0/24")
    two = await attach(cloud, id)

    assert cloud.network_id == one.body["interfaceAttachment"]["net_id"]
    assert 400 == two.status
    assert "Multiple possible networks found" in error(two)[1]


async def test_a_users_port_is_attached_and_free_again_after_it(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    port = await new_port(cloud, cloud.network_id)

    said = await attach(cloud, id, {"port_id": port})
    bound = await port_row(cloud, port)
    gone = await cloud.ask(f"DELETE /servers/{id}/os-interface/{port}")
    free = await cloud.wait(lambda: port_row(cloud, port), lambda row: row.device_id == "")

    assert (200, 202) == (said.status, gone.status)
    assert bound is not None
    assert (id, "ACTIVE") == (bound.device_id, bound.status)
    assert ("", "DOWN", bound.fixed_ips) == (free.host, free.status, bound.fixed_ips)
    assert port not in cards(await host_of(cloud, id), id)


async def test_a_port_of_the_cloud_is_gone_after_it_was_detached(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    host = await host_of(cloud, id)
    first = (await interfaces(cloud, id))[0]["port_id"]
    second = (await attach(cloud, id, {"net_id": cloud.network_id})).body["interfaceAttachment"]["port_id"]

    for port in (first, second):
        assert 202 == (await cloud.ask(f"DELETE /servers/{id}/os-interface/{port}")).status

    await cloud.wait(lambda: interfaces(cloud, id), lambda found: not found)
    assert [] == cards(host, id)
    assert None is await port_row(cloud, first)
    await cloud.wait(lambda: host.net.list_ports(), lambda ports: not ports)
    assert 404 == (await cloud.ask(f"DELETE /servers/{id}/os-interface/{first}")).status


async def test_a_new_interface_comes_last_whatever_went_before(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    first = (await interfaces(cloud, id))[0]["port_id"]
    second = (await attach(cloud, id)).body["interfaceAttachment"]["port_id"]
    await cloud.ask(f"DELETE /servers/{id}/os-interface/{first}")
    await cloud.wait(lambda: interfaces(cloud, id), lambda found: len(found) == 1)

    third = (await attach(cloud, id)).body["interfaceAttachment"]["port_id"]

    assert [second, third] == [one["port_id"] for one in await interfaces(cloud, id)]


async def test_a_restarted_server_has_what_was_attached(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    await attach(cloud, id)
    host = await host_of(cloud, id)
    before = cards(host, id)

    await cloud.act(id, "os-stop")
    await cloud.until(id, "SHUTOFF")
    while_off = (await attach(cloud, id)).body["interfaceAttachment"]["port_id"]
    await cloud.act(id, "os-start")
    await cloud.until(id, "ACTIVE")

    assert [*before, while_off] == cards(host, id)
    assert "ACTIVE" == (await interfaces(cloud, id))[-1]["port_state"]


async def test_what_cannot_be_attached_is_told_in_novas_words(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    mine = (await interfaces(cloud, id))[0]
    foreign = await cloud.new_network("foreign", "10.62.0.0/24", PEOPLE["other"])
    foreign_port = await new_port(cloud, foreign, "p2")
    net = cloud.network_id

    told = [
        error(await attach(cloud, id, what))
        for what in (
            {"net_id": net, "port_id": mine["port_id"]},
            {"fixed_ips": [{"ip_address": "10.60.0.9"}]},
            {"port_id": mine["port_id"]},
            {"port_id": NOBODY},
            {"port_id": foreign_port},
            {"net_id": NOBODY},
            {"net_id": foreign},
            {"net_id": net, "fixed_ips": [{"ip_address": "10.60.0.2"}]},
            {"net_id": net, "fixed_ips": [{"ip_address": "10.99.0.2"}]},
        )
    ]

    assert [
        (400, "Must not input both network_id and port_id"),
        (400, "Must input network_id when request IP address"),
        (409, f"Port {mine['port_id']} is still in use."),
        (404, f"Port id {NOBODY} could not be found."),
        (404, f"Port id {foreign_port} could not be found."),
        (404, f"Network {NOBODY} could not be found."),
        (404, f"Network {foreign} could not be found."),
        (409, f"Fixed IP address 10.60.0.2 is already in use on instance {id}."),
        (400, f"Fixed IP address 10.99.0.2 is not in any subnet of network {net}."),
    ] == told
    assert 1 == len(await interfaces(cloud, id))


@pytest.mark.parametrize(
    "what",
    [
        {"net_id": "not-a-uuid"},
        {"port_id": 7},
        {"fixed_ips": []},
        {"fixed_ips": [{"ip_address": "10.60.0.300"}], "net_id": NOBODY},
        {"fixed_ips": [{"ip_address": "10.60.0.3"}, {"ip_address": "10.60.0.4"}], "net_id": NOBODY},
        {"tag": "a,b"},
        {"nonsense": 1},
    ],
)
async def test_a_body_that_is_wrong_is_refused(cloud: ServerWorld, what: dict[str, Any]) -> None:
    id = await cloud.boot()

    assert 400 == (await attach(cloud, id, what)).status


async def test_tags_came_with_a_microversion(cloud: ServerWorld) -> None:
    id = await cloud.boot()

    said = [(await attach(cloud, id, {"tag": "a"}, version=version)).status for version in ("2.48", "2.49")]

    assert [400, 200] == said


async def test_state_lock_owner_and_quota_are_asked_first(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    port = (await interfaces(cloud, id))[0]["port_id"]
    path = f"/servers/{id}/os-interface"

    forbidden = [(await attach(cloud, id, who=who)).status for who in ("reader", "other")]
    await cloud.act(id, "lock")
    locked = [(await attach(cloud, id)).status, (await cloud.ask(f"DELETE {path}/{port}")).status]
    await cloud.act(id, "unlock")
    await cloud.act(id, "os-resetState", {"state": "error"}, who="admin")
    wrong = await attach(cloud, id)

    assert ([403, 404], [409, 409]) == (forbidden, locked)
    assert (409, f"Cannot 'attach_interface' instance {id} while it is in vm_state error") == error(wrong)
    assert 409 == (await cloud.ask(f"DELETE {path}/{port}")).status


async def test_an_administrators_interface_is_the_servers_owners(cloud: ServerWorld) -> None:
    id = await cloud.boot()

    said = await attach(cloud, id, {"net_id": cloud.network_id}, who="admin")

    row = await port_row(cloud, said.body["interfaceAttachment"]["port_id"])
    assert row is not None
    assert MEMBER.project_id == row.project_id


async def test_a_refused_card_is_told_and_its_port_is_given_back(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    host = await host_of(cloud, id)
    port = await new_port(cloud, cloud.network_id)
    host.driver.refuse("the guest has no slot left in /var/x/y", operation="attach_nic", times=2, error=Rejected)

    said = [await attach(cloud, id, what) for what in ({"port_id": port}, {"net_id": cloud.network_id})]

    assert [(500, f"Failed to attach network adapter device to {id}: the guest has no slot left in (a file)")] * 2 == [
        error(one) for one in said
    ]
    assert 1 == len(await interfaces(cloud, id)) == len(cards(host, id))
    row = await port_row(cloud, port)
    assert row is not None
    assert "" == row.device_id
    await cloud.wait(lambda: host.net.list_ports(), lambda ports: len(ports) == 1)
    assert "ACTIVE" == (await cloud.ask(f"GET /servers/{id}")).body["server"]["status"]


async def test_a_card_that_fails_once_is_tried_again(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    (await host_of(cloud, id)).driver.refuse("busy", operation="attach_nic", error=DriverError)

    said = await attach(cloud, id)

    assert 200 == said.status


async def test_a_guest_that_keeps_its_card_keeps_its_port(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    host = await host_of(cloud, id)
    port = (await interfaces(cloud, id))[0]["port_id"]
    host.driver.refuse("the guest did not let go", operation="detach_nic", error=Rejected)

    await cloud.ask(f"DELETE /servers/{id}/os-interface/{port}")
    await cloud.wait(lambda: cloud.tasks(id), lambda tasks: tasks[-1].state == "failed")

    assert [port] == [one["port_id"] for one in await interfaces(cloud, id)] == cards(host, id)


async def test_what_was_asked_is_in_its_history(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    port = (await attach(cloud, id)).body["interfaceAttachment"]["port_id"]
    await cloud.ask(f"DELETE /servers/{id}/os-interface/{port}")
    await cloud.wait(lambda: interfaces(cloud, id), lambda found: len(found) == 1)

    listed = (await cloud.ask(f"GET /servers/{id}/os-instance-actions")).body["instanceActions"]

    assert ["detach_interface", "attach_interface", "create"] == [one["action"] for one in listed]
    path = f"GET /servers/{id}/os-instance-actions/{listed[1]['request_id']}"
    events = (await cloud.ask(path)).body["instanceAction"]["events"]
    assert ["compute_network", "compute_attach", "compute_plug_interface"] == [one["event"] for one in events]


async def test_a_server_deleted_meanwhile_leaves_nothing(cloud: ServerWorld) -> None:
    id = await cloud.boot()
    (await host_of(cloud, id)).driver.slow(30, operation="attach_nic")
    asking = asyncio.ensure_future(attach(cloud, id))
    await cloud.wait(lambda: interfaces(cloud, id), lambda found: len(found) == 2)

    await cloud.ask(f"DELETE /servers/{id}")
    await cloud.until_gone(id)

    assert 409 == (await asking).status
    assert [] == await cloud.leaks()


async def test_killed_at_any_moment_it_is_attached_and_detached_once(small: ServerWorld) -> None:
    host = small.hosts["h1"]
    id = await small.boot()
    for turns in range(0, 120, 6):
        asking = asyncio.ensure_future(attach(small, id))
        await small.wait(lambda: interfaces(small, id), lambda found: len(found) == 2)
        for _ in range(turns):
            await asyncio.sleep(0)
        await host.stop()
        await host.start()
        port = (await asking).body["interfaceAttachment"]["port_id"]
        assert port == cards(host, id)[-1]
        await small.ask(f"DELETE /servers/{id}/os-interface/{port}")
        for _ in range(turns):
            await asyncio.sleep(0)
        await host.stop()
        await host.start()
        await small.wait(lambda: interfaces(small, id), lambda found: len(found) == 1)
        assert port not in cards(host, id)
        await host.network.reconcile(CTX)
        assert 1 == len(host.net.ports)
    assert [] == await small.leaks()
