"""What hosts are told of routers and floating IPs, and which of them are told."""

import pytest
from network.network_world import ALICE, room

from micronova.network.contract import NicRequest
from micronova.network.driver import FloatingSpec, PeerSpec, WayOutSpec

EXTERNAL = {"router:external": True}


async def boot(r, network, server="srv", host="host1"):
    manager = r.hosts[host].manager
    requests = await manager.check_requests(ALICE, (NicRequest(network_id=network),), ())
    nics = await manager.allocate_for_server(ALICE, server, host, server, requests, ())
    await manager.plug_server(ALICE, server)
    return nics[0]


async def join(r, router, subnet):
    await r.call("PUT", f"/routers/{router}/add_router_interface", {"subnet_id": subnet})


@pytest.fixture
async def r():
    async with room("host1", "host2") as made:
        yield made


async def test_a_network_without_a_router_keeps_its_own_way_out(r):
    network, _ = await r.network()

    await boot(r, network)

    spec = r.driver.networks[network]
    assert (True, (), ()) == (spec.nat, spec.routers, spec.floating)


async def test_a_router_brings_its_other_networks_to_the_host(r):
    one, first = await r.network()
    two, second = await r.network("10.1.0.0/24")
    await boot(r, one)
    router = (await r.make("router"))["id"]

    await join(r, router, first)
    await join(r, router, second)
    await r.idle()
    there = dict(r.driver.networks)
    await r.call("PUT", f"/routers/{router}/remove_router_interface", {"subnet_id": second})
    await r.idle()

    assert {one, two} == set(there)
    spec = there[one].routers[0]
    assert (router, ("10.0.0.1/24",), (first,), None, True) == (
        spec.id, spec.addresses, spec.subnet_ids, spec.way_out, spec.up,
    )  # fmt: skip
    assert (PeerSpec(network_id=two, cidrs=("10.1.0.0/24",)),) == spec.peers
    assert (PeerSpec(network_id=one, cidrs=("10.0.0.0/24",)),) == there[two].routers[0].peers
    assert {one} == set(r.driver.networks)
    assert {} == r.hosts["host2"].driver.networks


async def test_plugging_brings_the_joined_networks_and_unplugging_takes_them_away(r):
    one, first = await r.network()
    two, second = await r.network("10.1.0.0/24")
    router = (await r.make("router"))["id"]
    for subnet in (first, second):
        await join(r, router, subnet)

    await boot(r, one)
    there = set(r.driver.networks)
    await r.manager.unplug_server(ALICE, "srv")

    assert ({one, two}, {}) == (there, r.driver.networks)


async def test_a_gateway_its_snat_and_routes_reach_the_host(r):
    out, _ = await r.network("198.51.100.0/24", "admin", **EXTERNAL)
    network, subnet = await r.network()
    await boot(r, network)
    router = (await r.make("router"))["id"]
    await join(r, router, subnet)
    path = f"/routers/{router}"

    gateway = {"network_id": out, "enable_snat": False}
    routes = [{"destination": "10.8.0.0/16", "nexthop": "10.0.0.9"}]
    await r.call("PUT", path, {"router": {"external_gateway_info": gateway, "routes": routes}}, token="admin")
    await r.idle()
    led = r.driver.networks[network].routers[0]
    await r.call("PUT", path, {"router": {"external_gateway_info": None, "admin_state_up": False}})
    await r.idle()

    assert WayOutSpec(network_id=out, snat=False, addresses=("198.51.100.2",)) == led.way_out
    assert (("10.8.0.0/16", "10.0.0.9"),) == led.routes
    after = r.driver.networks[network].routers[0]
    assert (None, False) == (after.way_out, after.up)


async def test_a_floating_ip_is_where_its_port_is(r):
    out, _ = await r.network("198.51.100.0/24", "admin", **EXTERNAL)
    network, subnet = await r.network()
    router = (await r.make("router", external_gateway_info={"network_id": out}))["id"]
    await join(r, router, subnet)
    one, two = await boot(r, network, "one", "host1"), await boot(r, network, "two", "host2")
    made = await r.make("floatingip", floating_network_id=out, port_id=one.port_id)
    ip, path = made["floating_ip_address"], f"/floatingips/{made['id']}"

    def told():
        return [r.hosts[host].driver.networks[network].floating for host in ("host1", "host2")]

    await r.idle()
    first = told()
    await r.call("PUT", path, {"floatingip": {"port_id": two.port_id}})
    await r.idle()
    moved = told()
    await r.call("DELETE", path)
    await r.idle()

    assert [(FloatingSpec(floating_ip=ip, fixed_ip="10.0.0.2", port_id=one.port_id),), ()] == first
    assert [(), (FloatingSpec(floating_ip=ip, fixed_ip="10.0.0.3", port_id=two.port_id),)] == moved
    assert [(), ()] == told()


async def test_of_two_routers_on_a_subnet_the_gateway_is_the_owner(r):
    network, subnet = await r.network()
    await boot(r, network)
    routers = [(await r.make("router"))["id"] for _ in range(2)]
    port = await r.make("port", network_id=network)
    await r.call("PUT", f"/routers/{routers[0]}/add_router_interface", {"port_id": port["id"]})

    await join(r, routers[1], subnet)
    await r.idle()

    owned = {spec.id: spec.subnet_ids for spec in r.driver.networks[network].routers}
    assert {routers[0]: (), routers[1]: (subnet,)} == owned
