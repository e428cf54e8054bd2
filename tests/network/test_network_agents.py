"""Agents: each host's service by its parts, alive or not, switched off and on; what is taken from one isn't served."""

import pytest
from network.network_world import ADMIN, ALICE, room

from micronova.network.contract import NicRequest
from micronova.network.db import Agent

PARTS = ["DHCP agent", "L3 agent", "Linux bridge agent", "Metadata agent"]
NOWHERE = "11111111-1111-1111-1111-111111111111"


@pytest.fixture
async def r():
    async with room("host1", "host2") as made:
        yield made


async def agents(r, query=""):
    return (await r.call("GET", f"/agents{query}", token="admin"))["agents"]


async def agent(r, agent_type, host="host1"):
    [found] = await agents(r, f"?agent_type={agent_type}&host={host}")
    return found


async def plugged(r, network):
    """A server with a port of the network is on host1."""
    requests = (NicRequest(network_id=network),)
    await r.manager.allocate_for_server(ALICE, "srv", "host1", "srv", requests, ())
    await r.manager.plug_server(ALICE, "srv")


# -- who there is


async def test_each_host_has_an_agent_a_part(r):
    found = await agents(r, "?sort_key=host&sort_key=agent_type")

    assert [(host, part) for host in ("host1", "host2") for part in PARTS] == [
        (one["host"], one["agent_type"]) for one in found
    ]
    assert all(one["alive"] and one["admin_state_up"] for one in found)
    assert {"agent": found[0]} == await r.call("GET", f"/agents/{found[0]['id']}", token="admin")
    assert {
        "id", "agent_type", "binary", "topic", "host", "availability_zone", "admin_state_up", "alive", "created_at",
        "started_at", "heartbeat_timestamp", "description", "resources_synced", "configurations",
    } == set(found[0])  # fmt: skip


async def test_agents_are_found_by_type_in_any_case_by_host_and_by_life(r):
    dhcp = await agents(r, "?agent_type=dhcp%20AGENT")
    here = await agents(r, "?host=host2&alive=True&fields=host")
    dead = await agents(r, "?alive=False")

    assert ["DHCP agent"] * 2 == [one["agent_type"] for one in dhcp]
    assert [{"host": "host2"}] * 4 == here
    assert [] == dead
    assert (400, "HTTPBadRequest") == await r.refused("GET", "/agents?alive=maybe", token="admin")


async def test_agents_are_an_administrators_to_see_and_change(r):
    one = await agent(r, "L3 agent")
    path = f"/agents/{one['id']}"

    assert {"agents": []} == await r.call("GET", "/agents")
    assert (404, "AgentNotFound") == await r.refused("GET", path)
    assert (404, "AgentNotFound") == await r.refused("PUT", path, {"agent": {"admin_state_up": False}})
    assert (404, "AgentNotFound") == await r.refused("DELETE", path)
    assert (403, "PolicyNotAuthorized") == await r.refused("GET", f"{path}/l3-routers")
    assert (400, "HTTPBadRequest") == await r.refused("PUT", path, {"agent": {"host": "x"}}, token="admin")


async def test_an_agent_of_a_host_that_stopped_is_dead(r):
    await r.hosts["host2"].service.stop()

    found = await agents(r, "?agent_type=DHCP%20agent&sort_key=host")

    assert [True, False] == [one["alive"] for one in found]


async def test_a_description_is_changed_and_a_deleted_agent_of_a_living_host_comes_back(r):
    one = await agent(r, "DHCP agent")
    path = f"/agents/{one['id']}"

    changed = (await r.call("PUT", path, {"agent": {"description": "rack 2"}}, token="admin"))["agent"]
    await r.call("DELETE", path, token="admin")
    gone = await agents(r, "?host=host1&agent_type=DHCP%20agent")
    await r.manager.reconcile(ADMIN)
    back = await agent(r, "DHCP agent")

    assert (None, "rack 2") == (one["description"], changed["description"])
    assert [] == gone
    assert (None, True) == (back["description"], back["id"] != one["id"])


async def test_another_life_of_a_host_keeps_what_was_said_of_its_agents(r):
    one = await agent(r, "DHCP agent")
    await r.call("PUT", f"/agents/{one['id']}", {"agent": {"admin_state_up": False}}, token="admin")

    await r.manager.init_host(ADMIN)

    assert not (await agent(r, "DHCP agent"))["admin_state_up"]
    assert 8 == len(await agents(r))


async def test_another_driver_is_another_agent():
    async with room("host1", network__driver="ovs") as r:
        before = await agents(r, "?sort_key=agent_type")
        old = await r.manager.db.read(lambda tx: tx.first(Agent, agent_type="Open vSwitch agent"))
        await r.manager.db.write(lambda tx: tx.change(old, agent_type="Linux bridge agent"), ADMIN, why="it was once")

        await r.manager.reconcile(ADMIN)

        after = await agents(r, "?sort_key=agent_type")
        assert ["DHCP agent", "L3 agent", "Metadata agent", "Open vSwitch agent"] == [
            one["agent_type"] for one in before
        ]
        assert [one["agent_type"] for one in before] == [one["agent_type"] for one in after]


# -- what they serve


@pytest.mark.parametrize(
    ("kind", "noun", "rule", "hosted", "not_hosted"),
    [
        ("DHCP agent", "network", "dhcp-network", "NetworkHostedByDHCPAgent", "NetworkNotHostedByDhcpAgent"),
        ("L3 agent", "router", "l3-router", "RouterHostedByL3Agent", "RouterNotHostedByL3Agent"),
    ],
)
async def test_every_host_serves_everything_until_it_is_taken_away(r, kind, noun, rule, hosted, not_hosted):
    subject = (await r.network())[0] if noun == "network" else (await r.make("router"))["id"]
    one, other = await agent(r, kind), await agent(r, kind, "host2")
    path, sides = f"/agents/{one['id']}/{rule}s", f"/{noun}s/{subject}/{rule.split('-')[0]}-agents"

    async def seen():
        on = [row["id"] for row in (await r.call("GET", path, token="admin"))[f"{noun}s"]]
        return on, [row["id"] for row in (await r.call("GET", sides, token="admin"))["agents"]]

    before = await seen()
    again = await r.refused("POST", path, {f"{noun}_id": subject}, token="admin")
    await r.call("DELETE", f"{path}/{subject}", token="admin")
    taken = await seen()
    twice = await r.refused("DELETE", f"{path}/{subject}", token="admin")
    await r.call("POST", path, {f"{noun}_id": subject}, token="admin")

    assert ([subject], [one["id"], other["id"]]) == before == await seen()
    assert ([], [other["id"]]) == taken
    assert [(409, hosted), (409, not_hosted)] == [again, twice]


async def test_a_network_without_dhcp_is_served_by_who_was_given_it(r):
    network = (await r.make("network"))["id"]
    one = await agent(r, "DHCP agent")

    before = await r.call("GET", f"/networks/{network}/dhcp-agents", token="admin")
    await r.call("POST", f"/agents/{one['id']}/dhcp-networks", {"network_id": network}, token="admin")
    after = await r.call("GET", f"/networks/{network}/dhcp-agents?fields=id", token="admin")
    await r.call("DELETE", f"/networks/{network}")

    assert {"agents": []} == before
    assert {"agents": [{"id": one["id"]}]} == after
    assert {"networks": []} == await r.call("GET", f"/agents/{one['id']}/dhcp-networks", token="admin")


async def test_what_no_agent_can_serve_is_refused(r):
    network, _ = await r.network()
    dhcp, l3 = await agent(r, "DHCP agent"), await agent(r, "L3 agent")
    path = f"/agents/{dhcp['id']}/dhcp-networks"
    await r.call("PUT", f"/agents/{dhcp['id']}", {"agent": {"admin_state_up": False}}, token="admin")
    wrong = [
        ("POST", f"/agents/{l3['id']}/dhcp-networks", {"network_id": network}),
        ("POST", path, {"network_id": network}),
        ("POST", f"/agents/{NOWHERE}/dhcp-networks", {"network_id": network}),
        ("DELETE", f"{path}/{NOWHERE}", None),
        ("DELETE", f"{path}/x", None),
        ("POST", path, {"network_id": "x"}),
        ("POST", path, {"network": network}),
        ("GET", f"/networks/{NOWHERE}/dhcp-agents", None),
    ]

    refused = [await r.refused(method, where, body, token="admin") for method, where, body in wrong]

    assert [
        (404, "InvalidDHCPAgent"),
        (404, "InvalidDHCPAgent"),
        (404, "AgentNotFound"),
        (404, "NetworkNotFound"),
        (404, "NetworkNotFound"),
        (400, "HTTPBadRequest"),
        (400, "HTTPBadRequest"),
        (404, "NetworkNotFound"),
    ] == refused
    assert {"networks": []} == await r.call("GET", f"/agents/{l3['id']}/dhcp-networks", token="admin")


# -- what of it is real


async def told(r, network):
    """Whether host1 serves DHCP for the network, and whether its router forwards."""
    await r.idle()
    spec = r.driver.networks[network]
    return spec.subnets[0].dhcp, spec.routers[0].up


async def test_a_host_follows_what_is_taken_from_it_and_given_back(r):
    network, subnet = await r.network()
    router = (await r.make("router"))["id"]
    await r.call("PUT", f"/routers/{router}/add_router_interface", {"subnet_id": subnet})
    await plugged(r, network)
    dhcp, l3 = await agent(r, "DHCP agent"), await agent(r, "L3 agent")
    seen = [await told(r, network)]

    for verb, path in (
        ("DELETE", f"/agents/{dhcp['id']}/dhcp-networks/{network}"),
        ("DELETE", f"/agents/{l3['id']}/l3-routers/{router}"),
    ):
        await r.call(verb, path, token="admin")
        seen.append(await told(r, network))
    await r.call("POST", f"/agents/{dhcp['id']}/dhcp-networks", {"network_id": network}, token="admin")
    await r.call("POST", f"/agents/{l3['id']}/l3-routers", {"router_id": router}, token="admin")
    seen.append(await told(r, network))

    assert [(True, True), (False, True), (False, False), (True, True)] == seen


@pytest.mark.parametrize(("kind", "expected"), [("DHCP agent", (False, True)), ("L3 agent", (True, False))])
async def test_an_agent_that_is_switched_off_serves_nothing(r, kind, expected):
    network, subnet = await r.network()
    router = (await r.make("router"))["id"]
    await r.call("PUT", f"/routers/{router}/add_router_interface", {"subnet_id": subnet})
    await plugged(r, network)
    path = f"/agents/{(await agent(r, kind))['id']}"

    await r.call("PUT", path, {"agent": {"admin_state_up": False}}, token="admin")
    off = await told(r, network)
    await r.call("PUT", path, {"agent": {"admin_state_up": True}}, token="admin")

    assert (expected, (True, True)) == (off, await told(r, network))


async def test_an_agent_tells_what_its_host_has(r):
    network, _ = await r.network()
    await plugged(r, network)

    found = {one["agent_type"]: one["configurations"] for one in await agents(r, "?host=host1")}

    assert {"networks": 1, "ports": 1} == found["DHCP agent"]
    assert {"agent_mode": "dvr_snat", "networks": 1} == found["L3 agent"]
    assert {"devices": 1} == found["Linux bridge agent"]


# -- zones


async def zones(r, query=""):
    return (await r.call("GET", f"/availability_zones{query}"))["availability_zones"]


async def test_a_zone_is_there_for_networks_and_for_routers_while_an_agent_is_switched_on(r):
    before = await zones(r)
    for host in ("host1", "host2"):
        path = f"/agents/{(await agent(r, 'L3 agent', host))['id']}"
        await r.call("PUT", path, {"agent": {"admin_state_up": False}}, token="admin")

    after = await zones(r, "?resource=router&name=nova&fields=state")

    assert [
        {"name": "nova", "resource": "network", "state": "available"},
        {"name": "nova", "resource": "router", "state": "available"},
    ] == before
    assert [{"state": "unavailable"}] == after
    assert [] == await zones(r, "?name=mars")
    assert (400, "InvalidInput") == await r.refused("GET", "/availability_zones?colour=red")


@pytest.mark.parametrize("noun", ["network", "router"])
async def test_a_hint_names_a_zone_that_is_there(r, noun):
    made = await r.make(noun, availability_zone_hints=["nova"])

    refused = await r.refused("POST", f"/{noun}s", {noun: {"availability_zone_hints": ["nova", "mars"]}})

    assert ["nova"] == made["availability_zone_hints"]
    assert (404, "AvailabilityZoneNotFound") == refused


async def test_a_trace_tells_of_a_router_that_was_taken_from_the_host(r):
    outside, _ = await r.network("198.51.100.0/24", "admin", **{"router:external": True})
    network, subnet = await r.network()
    router = (await r.make("router", external_gateway_info={"network_id": outside}))["id"]
    await r.call("PUT", f"/routers/{router}/add_router_interface", {"subnet_id": subnet})
    await plugged(r, network)
    [port] = (await r.call("GET", "/ports?device_id=srv"))["ports"]
    before = await r.manager.trace(ADMIN, port["id"], "192.0.2.1", "icmp", None, None)

    l3 = await agent(r, "L3 agent")
    await r.call("DELETE", f"/agents/{l3['id']}/l3-routers/{router}", token="admin")

    after = await r.manager.trace(ADMIN, port["id"], "192.0.2.1", "icmp", None, None)
    assert (True, False) == (before.passes, after.passes)
