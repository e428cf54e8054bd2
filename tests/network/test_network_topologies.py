"""A network on request: what it is made of, that it is made once, and what it takes to make one."""

import asyncio

import pytest
from network.network_world import ALICE, BOB, room

PATH = f"/auto-allocated-topology/{ALICE.project_id}"
EXTERNAL = {"router:external": True}


@pytest.fixture
async def r():
    async with room(serve=False) as made:
        yield made


async def outside(r):
    network = await r.make("network", "admin", **EXTERNAL, is_default=True)
    await r.make("subnet", "admin", network_id=network["id"], cidr="198.51.100.0/24")
    return network["id"]


async def pool(r, cidr, length, **values):
    usual = {"is_default": True, "shared": True}
    await r.make("subnetpool", "admin", prefixes=[cidr], default_prefixlen=length, **{**usual, **values})


async def furnished(r):
    out = await outside(r)
    await pool(r, "10.88.0.0/16", 24)
    await pool(r, "fd00::/48", 64)
    return out


async def count(r):
    return [len((await r.call("GET", f"/{kind}"))[kind]) for kind in ("networks", "subnets", "routers", "ports")]


async def test_a_network_is_made_with_all_it_takes(r):
    out = await furnished(r)

    made = (await r.call("GET", PATH))["auto_allocated_topology"]

    project = ALICE.project_id
    network = (await r.call("GET", f"/networks/{made['id']}"))["network"]
    [router] = (await r.call("GET", "/routers"))["routers"]
    subnets = (await r.call("GET", f"/subnets?network_id={made['id']}&sort_key=ip_version"))["subnets"]
    owners = [port["device_owner"] for port in (await r.call("GET", f"/ports?network_id={made['id']}"))["ports"]]
    assert {"id": made["id"], "project_id": project, "tenant_id": project} == made
    assert ("auto_allocated_network", True, project) == (
        network["name"], network["admin_state_up"], network["project_id"],
    )  # fmt: skip
    assert ("auto_allocated_router", out) == (router["name"], router["external_gateway_info"]["network_id"])
    assert [("auto_allocated_subnet_v4", "10.88.0.0/24"), ("auto_allocated_subnet_v6", "fd00::/64")] == [
        (subnet["name"], subnet["cidr"]) for subnet in subnets
    ]
    assert ["network:router_interface"] * 2 == owners


async def test_it_is_made_once_however_many_ask(r):
    await furnished(r)

    found = await asyncio.gather(*(r.call("GET", PATH) for _ in range(4)))
    found.append(await r.call("GET", "/auto-allocated-topology/None"))

    assert 1 == len({one["auto_allocated_topology"]["id"] for one in found})
    assert 1 == len((await r.call("GET", "/routers"))["routers"])


async def test_it_goes_as_a_whole_and_comes_again(r):
    await furnished(r)
    before = await count(r)
    first = (await r.call("GET", PATH))["auto_allocated_topology"]["id"]

    await r.call("DELETE", PATH)
    after = await count(r)
    await r.call("DELETE", PATH)
    second = (await r.call("GET", PATH))["auto_allocated_topology"]["id"]

    assert before == after
    assert first != second


async def test_one_that_is_used_stays(r):
    await furnished(r)
    network = (await r.call("GET", PATH))["auto_allocated_topology"]["id"]
    await r.make("port", network_id=network)
    before = await count(r)

    refused = await r.refused("DELETE", PATH)

    assert 409 == refused[0]
    assert before == await count(r)


async def test_one_whose_network_was_taken_apart_is_made_anew(r):
    await furnished(r)
    first = (await r.call("GET", PATH))["auto_allocated_topology"]["id"]
    [router] = (await r.call("GET", "/routers"))["routers"]
    for subnet in (await r.call("GET", f"/subnets?network_id={first}"))["subnets"]:
        await r.call("PUT", f"/routers/{router['id']}/remove_router_interface", {"subnet_id": subnet["id"]})
    await r.call("DELETE", f"/networks/{first}")

    second = (await r.call("GET", PATH))["auto_allocated_topology"]["id"]

    assert first != second
    assert 1 == len((await r.call("GET", "/routers"))["routers"])


async def test_a_trial_tells_what_is_missing_and_makes_nothing(r):
    trial = f"{PATH}?fields=dry-run"

    told = [(await r.client.get(f"/network/v2.0{trial}")).json["NeutronError"]["message"]]
    await outside(r)
    told.append((await r.client.get(f"/network/v2.0{trial}")).json["NeutronError"]["message"])
    await pool(r, "10.88.0.0/16", 24)
    passed = (await r.call("GET", trial))["auto_allocated_topology"]

    assert ["No default router:external network", "No default subnetpools defined"] == [
        one.removeprefix("Deployment error: ").rstrip(".") for one in told
    ]
    assert "dry-run=pass" == passed["id"]
    assert [] == (await r.call("GET", "/routers"))["routers"]
    assert (400, "BadRequest") == await r.refused("GET", f"{PATH}?fields=id")


async def test_what_can_not_be_made_is_a_conflict_and_leaves_nothing(r):
    missing = await r.refused("GET", PATH)
    await outside(r)
    await pool(r, "10.88.0.0/16", 24, shared=False)
    before = await count(r)

    hidden = await r.refused("GET", PATH)

    assert [(409, "AutoAllocationFailure")] * 2 == [missing, hidden]
    assert before == await count(r)


async def test_only_an_administrator_asks_for_others(r):
    await furnished(r)
    other = f"/auto-allocated-topology/{BOB.project_id}"

    refused = [await r.refused(verb, other) for verb in ("GET", "DELETE")]
    made = (await r.call("GET", other, token="admin"))["auto_allocated_topology"]

    assert [(403, "PolicyNotAuthorized")] * 2 == refused
    assert BOB.project_id == (await r.call("GET", f"/networks/{made['id']}", token="bob"))["network"]["project_id"]
