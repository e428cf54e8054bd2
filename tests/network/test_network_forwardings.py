"""Port forwardings: ports of a floating IP that stand for ports of guests, each once, gone with the guest's port."""

import asyncio

import pytest
from network.network_world import ALICE, room
from network.test_network_floating_ips import ways

from micronova.network.contract import NicRequest
from micronova.network.driver import ForwardingSpec


@pytest.fixture
async def r():
    async with room(serve=False) as made:
        yield made


@pytest.fixture
async def served():
    async with room() as made:
        yield made


async def scene(r):
    """A floating IP that stands for nothing, and two ports that it can reach."""
    out, network, router = await ways(r)
    ports = [await r.make("port", network_id=network) for _ in range(2)]
    floating = await r.make("floatingip", floating_network_id=out)
    return floating, ports, router


def body(port, outer=2222, inner=22, protocol="tcp", **more):
    values = {"internal_port_id": port["id"], "protocol": protocol, **more}
    if outer is not None:
        values["external_port"] = outer
    if inner is not None:
        values["internal_port"] = inner
    return {"port_forwarding": values}


def path(floating, one=None):
    return f"/floatingips/{floating['id']}/port_forwardings" + (f"/{one['id']}" if one else "")


async def forward(r, floating, port, *args, **more):
    return (await r.call("POST", path(floating), body(port, *args, **more)))["port_forwarding"]


async def test_a_forwarding_is_made_shown_changed_and_removed(r):
    floating, (port, other), router = await scene(r)

    made = await forward(r, floating, port, description="d")
    bound = (await r.call("GET", f"/floatingips/{floating['id']}"))["floatingip"]
    changed = await r.call("PUT", path(floating, made), {"port_forwarding": {"internal_port": 33}})
    moved = await r.call("PUT", path(floating, made), {"port_forwarding": {"internal_port_id": other["id"]}})
    listed = (await r.call("GET", path(floating)))["port_forwardings"]
    await r.call("DELETE", path(floating, made))
    free = (await r.call("GET", f"/floatingips/{floating['id']}"))["floatingip"]

    assert {
        "id": made["id"], "description": "d", "protocol": "tcp", "external_port": 2222,
        "external_port_range": "2222:2222", "internal_port": 22, "internal_port_range": "22:22",
        "internal_port_id": port["id"], "internal_ip_address": "10.0.0.2",
    } == made  # fmt: skip
    assert (router, "ACTIVE", None) == (bound["router_id"], bound["status"], bound["port_id"])
    assert [
        {
            "id": made["id"],
            "protocol": "tcp",
            "external_port": 2222,
            "internal_port": 22,
            "internal_port_id": port["id"],
            "internal_ip_address": "10.0.0.2",
        }
    ] == bound["port_forwardings"]
    assert (33, "33:33", "10.0.0.2") == tuple(
        changed["port_forwarding"][name] for name in ("internal_port", "internal_port_range", "internal_ip_address")
    )
    assert "10.0.0.3" == moved["port_forwarding"]["internal_ip_address"]
    assert [moved["port_forwarding"]] == listed
    assert (None, "DOWN", []) == (free["router_id"], free["status"], free["port_forwardings"])


async def test_lists_are_of_one_floating_ip_and_filtered_sorted_and_paged(r):
    floating, (port, other), _ = await scene(r)
    second = await r.make("floatingip", floating_network_id=floating["floating_network_id"])
    for outer, to in ((80, port), (90, port), (100, other)):
        await forward(r, floating, to, outer, outer)
    await forward(r, second, port, 80, 81)

    async def ports(query):
        return [one["external_port"] for one in (await r.call("GET", path(floating) + query))["port_forwardings"]]

    assert [100, 90, 80] == await ports("?sort_key=external_port&sort_dir=desc")
    assert [90] == await ports("?external_port=90")
    assert [100] == await ports(f"?internal_port_id={other['id']}&protocol=tcp")
    assert [80, 90] == await ports("?sort_key=external_port&limit=2")
    assert [] == await ports("?protocol=udp")


async def test_what_collides_outside_or_inside_is_refused(r):
    floating, (port, other), _ = await scene(r)
    await forward(r, floating, port, 2222, 22)
    await forward(r, floating, port, 2222, 22, "udp")
    ranged = await forward(
        r, floating, other, None, None, external_port_range="3000:3009", internal_port_range="4000:4009"
    )

    for wrong in (
        body(other, 2222, 5),
        body(port, 9, 22),
        body(port, 3005, 7),
        body(other, 5000, 4009),
        body(port, None, 8, external_port_range="2000:2500"),
        body(port, None, None, external_port_range="7000:7009", internal_port_range="8000:8005"),
        body(port, None, 9),
        body(port, 1, 0),
        body(port, 1, 2, "icmp"),
        body(port, 1, 2, external_port_range="4:5"),
        body(port, 1, 2, internal_ip_address="10.0.0.77"),
        body(port, None, 9, external_port_range="9:1"),
    ):
        status, _ = await r.refused("POST", path(floating), wrong)
        assert 400 == status, wrong
    assert (None, "3000:3009", None, "4000:4009") == tuple(
        ranged[name] for name in ("external_port", "external_port_range", "internal_port", "internal_port_range")
    )
    change = {"port_forwarding": {"external_port": 2222}}
    assert (400, "BadRequest") == await r.refused("PUT", path(floating, ranged), change)
    await r.call("PUT", path(floating, ranged), {"port_forwarding": {"external_port_range": "3001:3010"}})


async def test_a_floating_ip_is_bound_or_forwards_but_not_both(r):
    floating, (port, other), _ = await scene(r)
    bound = await r.make("floatingip", floating_network_id=floating["floating_network_id"], port_id=other["id"])
    await forward(r, floating, port)
    one = f"/floatingips/{floating['id']}"

    refused = [
        await r.refused("POST", path(floating), body(other, 1, 1)),
        await r.refused("POST", path(bound), body(port, 1, 1)),
        await r.refused("PUT", one, {"floatingip": {"port_id": other["id"]}}),
        await r.refused("PUT", f"/floatingips/{bound['id']}", {"floatingip": {"port_id": port["id"]}}),
        await r.refused("DELETE", one),
    ]
    kept = await r.call("PUT", one, {"floatingip": {"port_id": None}})

    assert [
        (409, "PortHasBindingFloatingIP"),
        (409, "FloatingIPPortAlreadyAssociated"),
        (409, "FipInUseByPortForwarding"),
        (400, "PortHasPortForwarding"),
        (409, "FipInUseByPortForwarding"),
    ] == refused
    assert kept["floatingip"]["router_id"] is not None


async def test_what_is_not_there_or_not_ones_own_is_not_found(r):
    floating, (port, _), _ = await scene(r)
    made = await forward(r, floating, port)
    second = await r.make("floatingip", floating_network_id=floating["floating_network_id"])

    assert (404, "FloatingIPNotFound") == await r.refused("GET", path(floating), token="bob")
    assert (403, "PolicyNotAuthorized") == await r.refused("POST", path(floating), body(port), token="bob")
    assert (404, "PortForwardingNotFound") == await r.refused("GET", path(second, made))
    assert (404, "PortForwardingNotFound") == await r.refused("DELETE", path(floating, {"id": "what"}))
    assert (404, "FloatingIPNotFound") == await r.refused("GET", path({"id": "none"}))
    assert (404, "PortNotFound") == await r.refused("POST", path(floating), body(second, 1, 1))
    assert (403, "PolicyNotAuthorized") == await r.refused("POST", path(floating), body(port, 1, 1), token="reader")
    assert 200 == (await r.client.request("GET", "/network/v2.0" + path(floating), token="reader")).status


async def test_what_no_router_joins_is_not_reached(r):
    floating, _, _ = await scene(r)
    apart, _ = await r.network("10.5.0.0/24")
    port = await r.make("port", network_id=apart)

    assert (400, "BadRequest") == await r.refused("POST", path(floating), body(port))


async def test_it_goes_with_its_port_or_the_address_and_keeps_its_router_in_place(r):
    floating, (port, other), router = await scene(r)
    await forward(r, floating, port)
    await forward(r, floating, other, 90, 90)
    interface = (await r.call("GET", f"/ports?device_id={router}&device_owner=network:router_interface"))["ports"][0]

    subnet = {"subnet_id": interface["fixed_ips"][0]["subnet_id"]}
    action = f"/routers/{router}/remove_router_interface"
    assert (409, "RouterInterfaceInUseByFloatingIP") == await r.refused("PUT", action, subnet)
    gone = {"router": {"external_gateway_info": None}}
    assert (409, "RouterExternalGatewayInUseByFloatingIp") == await r.refused("PUT", f"/routers/{router}", gone)
    await r.call("DELETE", f"/ports/{port['id']}")
    assert [90] == [one["external_port"] for one in (await r.call("GET", path(floating)))["port_forwardings"]]
    await r.call("PUT", f"/ports/{other['id']}", {"port": {"fixed_ips": [{"ip_address": "10.0.0.9"}]}})
    assert [] == (await r.call("GET", path(floating)))["port_forwardings"]
    assert (await r.call("GET", f"/floatingips/{floating['id']}"))["floatingip"]["router_id"] is None
    await r.call("PUT", action, subnet)


async def test_one_of_many_who_ask_for_a_port_at_once_gets_it(r):
    floating, (port, other), _ = await scene(r)
    asked = [body(port if number % 2 else other, 80, 100 + number) for number in range(8)]

    replies = await asyncio.gather(*(r.client.request("POST", "/network/v2.0" + path(floating), one) for one in asked))

    assert [201, *[400] * 7] == sorted(reply.status for reply in replies)


async def test_the_host_of_the_port_is_told_and_forgets(served):
    r = served
    floating, (port, _), _ = await scene(r)
    await r.manager.allocate_for_server(
        ALICE, "server1", "host1", "vm", (NicRequest(network_id=port["network_id"], port_id=port["id"]),), ()
    )
    await r.manager.plug_server(ALICE, "server1")

    made = await forward(r, floating, port, None, 22, external_port_range="2000:2009")
    await r.idle()
    told = r.driver.networks[port["network_id"]].forwardings
    await r.call("DELETE", path(floating, made))
    await r.idle()

    wanted = ForwardingSpec(
        floating_ip=floating["floating_ip_address"],
        protocol="tcp",
        outer=(2000, 2009),
        fixed_ip="10.0.0.2",
        inner=(22, 22),
        port_id=port["id"],
    )
    assert (wanted,) == told
    assert () == r.driver.networks[port["network_id"]].forwardings


@pytest.fixture
async def two_hosts():
    async with room("host1", "host2") as made:
        yield made


async def bind(r, port, server, host):
    request = NicRequest(network_id=port["network_id"], port_id=port["id"])
    await r.manager.allocate_for_server(ALICE, server, host, "vm", (request,), ())
    await r.hosts[host].manager.plug_server(ALICE, server)


async def outer_ports(r, network):
    await r.idle()
    found = {}
    for name, host in r.hosts.items():
        there = host.driver.networks.get(network)
        found[name] = [one.outer[0] for one in there.forwardings] if there else []
    return found


async def test_ports_at_two_hosts_are_not_behind_one_floating_ip(two_hosts):
    r = two_hosts
    floating, (port, other), _ = await scene(r)
    await bind(r, port, "server1", "host1")
    await bind(r, other, "server2", "host2")
    made = await forward(r, floating, port)

    new = await r.refused("POST", path(floating), body(other, 90, 90))
    to_itself = await r.call("PUT", path(floating, made), {"port_forwarding": {"internal_port_id": other["id"]}})

    assert (400, "BadRequest") == new
    assert other["id"] == to_itself["port_forwarding"]["internal_port_id"]
    assert {"host1": [], "host2": [2222]} == await outer_ports(r, port["network_id"])


async def test_a_floating_ip_is_at_the_host_of_its_oldest_forwarding_alone(two_hosts):
    r = two_hosts
    floating, (port, other), _ = await scene(r)
    first = await forward(r, floating, port, 80, 80)
    await forward(r, floating, other, 90, 90)

    await bind(r, other, "server2", "host2")
    alone = await outer_ports(r, port["network_id"])
    await bind(r, port, "server1", "host1")
    both = await outer_ports(r, port["network_id"])
    await r.call("DELETE", path(floating, first))
    left = await outer_ports(r, port["network_id"])

    assert {"host1": [], "host2": [90]} == alone
    assert {"host1": [80], "host2": []} == both
    assert {"host1": [], "host2": [90]} == left


@pytest.mark.parametrize("goes", ["server", "port", "address"])
async def test_a_floating_ip_goes_to_the_next_host_when_what_it_was_there_for_is_gone(two_hosts, goes):
    r = two_hosts
    floating, (port, other), _ = await scene(r)
    await forward(r, floating, port, 80, 80)
    await forward(r, floating, other, 90, 90)
    await bind(r, port, "server1", "host1")
    await bind(r, other, "server2", "host2")
    before = await outer_ports(r, port["network_id"])

    match goes:
        case "server":
            await r.manager.deallocate_for_server(ALICE, "server1")
        case "port":
            await r.call("DELETE", f"/ports/{port['id']}")
        case _:
            moved = {"port": {"fixed_ips": [{"ip_address": "10.0.0.9"}]}}
            await r.call("PUT", f"/ports/{port['id']}", moved)

    assert {"host1": [80], "host2": []} == before
    assert {"host1": [], "host2": [90]} == await outer_ports(r, port["network_id"])
