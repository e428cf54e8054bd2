"""Floating IPs: allocated once, standing for one address, moved, freed with their ports, never given twice."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from network.network_world import ADMIN, ALICE, room

from micronova.errors import Conflict
from micronova.network.attributes import for_create
from micronova.network.contract import NicRequest
from micronova.network.db import Address, FloatingIp, Port, Router, RouterPort
from micronova.network.resources import FLOATING_IP

EXTERNAL = {"router:external": True}


@pytest.fixture
async def r():
    async with room(serve=False) as made:
        yield made


async def ways(r, cidr="198.51.100.0/24"):
    """Ids of an external network, a private network and a router between them."""
    out, _ = await r.network(cidr, "admin", **EXTERNAL)
    network, subnet = await r.network()
    router = (await r.make("router", external_gateway_info={"network_id": out}))["id"]
    await r.call("PUT", f"/routers/{router}/add_router_interface", {"subnet_id": subnet})
    return out, network, router


async def change(r, id, **values):
    return (await r.call("PUT", f"/floatingips/{id}", {"floatingip": values}))["floatingip"]


async def test_a_floating_ip_is_shown_as_clients_expect_it(r):
    out, network, router = await ways(r)
    port = await r.make("port", network_id=network, name="p")

    made = await r.make("floatingip", floating_network_id=out, port_id=port["id"], description="d")

    assert {
        "id", "project_id", "tenant_id", "description", "tags", "created_at", "updated_at", "revision_number", "status",
        "floating_network_id", "floating_ip_address", "port_id", "fixed_ip_address", "router_id", "dns_name",
        "dns_domain", "port_details", "port_forwardings", "qos_policy_id",
    } == set(made)  # fmt: skip
    assert ("198.51.100.3", "10.0.0.2", router, "ACTIVE") == tuple(
        made[name] for name in ("floating_ip_address", "fixed_ip_address", "router_id", "status")
    )
    assert ("p", network) == (made["port_details"]["name"], made["port_details"]["network_id"])
    assert [made["id"]] == [
        one["id"] for one in (await r.call("GET", f"/floatingips?port_id={port['id']}&status=ACTIVE"))["floatingips"]
    ]


async def test_it_is_given_taken_off_moved_and_deleted(r):
    out, network, _ = await ways(r)
    ports = [(await r.make("port", network_id=network))["id"] for _ in range(2)]
    made = await r.make("floatingip", floating_network_id=out)

    first = await change(r, made["id"], port_id=ports[0])
    kept = await change(r, made["id"], description="x")
    moved = await change(r, made["id"], port_id=ports[1])
    freed = await change(r, made["id"], port_id=None)
    await r.call("DELETE", f"/floatingips/{made['id']}")

    assert [None, *ports[:1], *ports, None] == [one["port_id"] for one in (made, first, kept, moved, freed)]
    assert ("DOWN", None, None, None) == tuple(
        freed[name] for name in ("status", "router_id", "fixed_ip_address", "port_details")
    )
    assert [] == (await r.call("GET", "/ports?device_owner=network:floatingip", token="admin"))["ports"]


async def test_one_address_of_a_port_has_one_floating_ip(r):
    out, network, _ = await ways(r)
    port = await r.make("port", network_id=network, fixed_ips=[{"ip_address": "10.0.0.5"}, {"ip_address": "10.0.0.6"}])
    body = {"floatingip": {"floating_network_id": out, "port_id": port["id"]}}

    unclear = await r.refused("POST", "/floatingips", body)
    for ip in ("10.0.0.5", "10.0.0.6"):
        body["floatingip"]["fixed_ip_address"] = ip
        await r.call("POST", "/floatingips", body)

    assert (400, "BadRequest") == unclear
    assert (409, "FloatingIPPortAlreadyAssociated") == await r.refused("POST", "/floatingips", body)
    body["floatingip"]["fixed_ip_address"] = "10.0.0.7"
    assert (400, "BadRequest") == await r.refused("POST", "/floatingips", body)


async def test_what_cannot_be_reached_has_no_floating_ip(r):
    out, _, _ = await ways(r)
    apart, _ = await r.network("10.5.0.0/24")
    port = await r.make("port", network_id=apart)
    body = {"floating_network_id": out, "port_id": port["id"]}

    assert (404, "ExternalGatewayForFloatingIPNotFound") == await r.refused(
        "POST", "/floatingips", {"floatingip": body}
    )
    for odd in ({"floating_network_id": apart}, {"floating_network_id": out, "fixed_ip_address": "10.0.0.2"}):
        assert (400, "BadRequest") == await r.refused("POST", "/floatingips", {"floatingip": odd})
    none = {"floatingip": {"floating_network_id": out, "port_id": out}}
    assert (404, "PortNotFound") == await r.refused("POST", "/floatingips", none)
    assert [] == (await r.call("GET", "/floatingips"))["floatingips"]


async def test_addresses_may_be_chosen_by_an_administrator_and_subnets_by_all(r):
    out, _, _ = await ways(r)
    second = await r.make("subnet", "admin", network_id=out, cidr="203.0.113.0/24")

    chosen = await r.make("floatingip", "admin", floating_network_id=out, floating_ip_address="198.51.100.99")
    there = await r.make("floatingip", floating_network_id=out, subnet_id=second["id"])

    assert ("198.51.100.99", "203.0.113.2") == (chosen["floating_ip_address"], there["floating_ip_address"])
    wish = {"floatingip": {"floating_network_id": out, "floating_ip_address": "198.51.100.99"}}
    assert (403, "PolicyNotAuthorized") == await r.refused("POST", "/floatingips", wish)
    assert (409, "IpAddressAlreadyAllocated") == await r.refused("POST", "/floatingips", wish, token="admin")


async def test_a_full_subnet_is_left_for_the_next_and_a_full_network_says_so(r):
    out, _ = await r.network("198.51.100.0/30", "admin", **EXTERNAL)
    await r.make("subnet", "admin", network_id=out, cidr="203.0.113.0/30")

    made = [await r.make("floatingip", floating_network_id=out) for _ in range(2)]

    assert ["198.51.100.2", "203.0.113.2"] == [one["floating_ip_address"] for one in made]
    full = {"floatingip": {"floating_network_id": out}}
    assert (409, "IpAddressGenerationFailure") == await r.refused("POST", "/floatingips", full)


async def test_ways_that_floating_ips_need_stay(r):
    out, network, router = await ways(r)
    subnet = (await r.call("GET", f"/networks/{network}"))["network"]["subnets"][0]
    port = await r.make("port", network_id=network)
    await r.make("floatingip", floating_network_id=out, port_id=port["id"])

    leave = await r.refused("PUT", f"/routers/{router}/remove_router_interface", {"subnet_id": subnet})
    clear = await r.refused("PUT", f"/routers/{router}", {"router": {"external_gateway_info": None}})
    await r.call("DELETE", f"/ports/{port['id']}")
    await r.call("PUT", f"/routers/{router}/remove_router_interface", {"subnet_id": subnet})

    assert (409, "RouterInterfaceInUseByFloatingIP") == leave
    assert (409, "RouterExternalGatewayInUseByFloatingIp") == clear


async def test_a_port_that_goes_or_changes_its_address_frees_its_floating_ip(r):
    out, network, _ = await ways(r)
    ports = [(await r.make("port", network_id=network))["id"] for _ in range(2)]
    made = [(await r.make("floatingip", floating_network_id=out, port_id=id))["id"] for id in ports]

    await r.call("DELETE", f"/ports/{ports[0]}")
    await r.call("PUT", f"/ports/{ports[1]}", {"port": {"fixed_ips": [{"ip_address": "10.0.0.99"}]}})

    found = [(await r.call("GET", f"/floatingips/{id}"))["floatingip"] for id in made]
    assert [(None, "DOWN", None)] * 2 == [(one["port_id"], one["status"], one["router_id"]) for one in found]


async def test_another_projects_port_is_not_for_its_floating_ip(r):
    out, network, _ = await ways(r)
    port = await r.make("port", network_id=network)
    foreign = await r.make("floatingip", "bob", floating_network_id=out)
    path, body = f"/floatingips/{foreign['id']}", {"floatingip": {"port_id": port["id"]}}

    assert (404, "PortNotFound") == await r.refused("PUT", path, body, token="bob")
    assert (404, "FloatingIPNotFound") == await r.refused("PUT", path, body)


async def test_a_servers_interfaces_tell_their_floating_ips():
    async with room() as r:
        out, network, _ = await ways(r)
        requests = await r.manager.check_requests(ALICE, (NicRequest(network_id=network),), ())
        nics = await r.manager.allocate_for_server(ALICE, "srv", "host1", "srv", requests, ())

        made = await r.make("floatingip", floating_network_id=out, port_id=nics[0].port_id)
        told = await r.manager.nics_of(ALICE, ["srv"])
        await r.manager.deallocate_for_server(ALICE, "srv")

        assert (made["floating_ip_address"],) == told["srv"][0].floating_ips
        freed = (await r.call("GET", f"/floatingips/{made['id']}"))["floatingip"]
        assert freed["port_id"] is None


async def test_callers_at_once_never_get_the_same_floating_ip(r):
    out, _ = await r.network("198.51.100.0/27", "admin", **EXTERNAL)
    refused = []

    async def caller():
        for _ in range(5):
            try:
                await r.manager.floating_ips.create(ALICE, [for_create(FLOATING_IP, {"floating_network_id": out})])
            except Conflict as err:
                refused.append(err)

    await asyncio.gather(*(caller() for _ in range(8)))

    rows = await r.runtime.db.read(lambda tx: tx.find(FloatingIp))
    assert 29 == len(rows) == len({row.floating_ip_address for row in rows})
    assert 40 - 29 == len(refused)


STEP = st.tuples(
    st.sampled_from(["port", "unport", "fip", "place", "free", "unfip", "join", "leave", "gateway", "clear", "move"]),
    st.integers(0, 3),
    st.integers(0, 3),
)


async def take(r, ids, step):
    """One step of a life, on things that may be there or not."""
    what, one, two = step
    ports, floating = ids["ports"], ids["floating"]
    router = ids["routers"][one % 2]
    subnet = ids["subnets"][two % 2]
    port, fip = ports[one] if one < len(ports) else ids["out"], floating[two] if two < len(floating) else ids["out"]
    actions = {
        "port": ("POST", "/ports", {"port": {"network_id": ids["networks"][one % 2]}}),
        "unport": ("DELETE", f"/ports/{port}", None),
        "fip": ("POST", "/floatingips", {"floatingip": {"floating_network_id": ids["out"]}}),
        "place": ("PUT", f"/floatingips/{fip}", {"floatingip": {"port_id": port}}),
        "free": ("PUT", f"/floatingips/{fip}", {"floatingip": {"port_id": None}}),
        "unfip": ("DELETE", f"/floatingips/{fip}", None),
        "join": ("PUT", f"/routers/{router}/add_router_interface", {"subnet_id": subnet}),
        "leave": ("PUT", f"/routers/{router}/remove_router_interface", {"subnet_id": subnet}),
        "gateway": ("PUT", f"/routers/{router}", {"router": {"external_gateway_info": {"network_id": ids["out"]}}}),
        "clear": ("PUT", f"/routers/{router}", {"router": {"external_gateway_info": None}}),
        "move": ("PUT", f"/ports/{port}", {"port": {"fixed_ips": [{"subnet_id": subnet}]}}),
    }
    method, path, body = actions[what]
    reply = await r.client.request(method, f"/network/v2.0{path}", body)
    assert reply.status < 500, (step, reply.content)
    if reply.status == 201:
        (ports if what == "port" else floating).append(reply.json["port" if what == "port" else "floatingip"]["id"])


def consistent(tx):
    """Every belonging has its owner, and every floating IP a way."""
    ports = {row.id: row for row in tx.find(Port)}
    routers = {row.id: row for row in tx.find(Router)}
    links = tx.find(RouterPort)
    assert all(row.port_id in ports for row in tx.find(Address))
    assert {id for row in routers.values() for id in row.interface_ids} == {link.id for link in links}
    assert all(link.id in ports and link.router_id in routers for link in links)
    rows = tx.find(FloatingIp)
    serving = {row.gateway_port_id for row in routers.values() if row.gateway_port_id}
    serving |= {link.id for link in links} | {row.holder_id for row in rows}
    assert serving == {id for id, port in ports.items() if port.device_owner.startswith("network:")}
    for row in rows:
        assert (row.port_id is None) == (row.router_id is None) == (row.status == "DOWN")
        if row.port_id is not None:
            assert row.fixed_ip_address in [fixed.ip for fixed in ports[row.port_id].fixed_ips]
            assert row.floating_network_id == routers[row.router_id].external_network_id
            assert any(
                link.router_id == row.router_id and link.network_id == ports[row.port_id].network_id for link in links
            )


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(STEP, min_size=5, max_size=60))
def test_whatever_happens_everything_has_its_owner(steps):
    async def run():
        async with room(serve=False) as r:
            out, network, router = await ways(r)
            other, subnet = await r.network("10.1.0.0/24")
            first = (await r.call("GET", f"/networks/{network}"))["network"]["subnets"][0]
            second = (await r.make("router"))["id"]
            ids = {"out": out, "networks": [network, other], "subnets": [first, subnet], "routers": [router, second]}
            ids |= {"ports": [], "floating": []}
            for step in steps:
                await take(r, ids, step)
                await r.runtime.db.read(consistent)

    asyncio.run(run())


async def test_an_administrators_floating_ip_may_stand_for_anybodys_port(r):
    out, network, _ = await ways(r)
    port = await r.make("port", network_id=network)

    made = await r.make("floatingip", "admin", floating_network_id=out, port_id=port["id"])

    assert (ADMIN.project_id, port["id"]) == (made["project_id"], made["port_id"])
