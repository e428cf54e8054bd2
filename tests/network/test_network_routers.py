"""Routers: what they join, how they lead out, what keeps them and what they keep."""

import pytest
from network.network_world import ALICE, room

EXTERNAL = {"router:external": True}


@pytest.fixture
async def r():
    async with room(serve=False) as made:
        yield made


async def external(r, cidr="198.51.100.0/24"):
    """Ids of a network that leads out and its subnet."""
    return await r.network(cidr, "admin", **EXTERNAL)


async def join(r, router, **what):
    return await r.call("PUT", f"/routers/{router}/add_router_interface", what)


async def refused_join(r, router, **what):
    return await r.refused("PUT", f"/routers/{router}/add_router_interface", what)


async def refused_leave(r, router, **what):
    return await r.refused("PUT", f"/routers/{router}/remove_router_interface", what)


async def ports_of(r, owner, token="admin"):
    return (await r.call("GET", f"/ports?device_owner=network:{owner}", token=token))["ports"]


async def test_a_router_is_shown_as_clients_expect_it(r):
    made = await r.make("router", name="rt", description="d")

    assert {
        "id", "name", "description", "project_id", "tenant_id", "tags", "created_at", "updated_at", "revision_number",
        "status", "admin_state_up", "external_gateway_info", "routes", "availability_zone_hints", "availability_zones",
        "flavor_id",
    } == set(made)  # fmt: skip
    assert ("ACTIVE", True, None, []) == tuple(
        made[name] for name in ("status", "admin_state_up", "external_gateway_info", "routes")
    )


async def test_a_router_changes_is_listed_and_goes(r):
    made = await r.make("router", name="rt")
    path = f"/routers/{made['id']}"

    changed = (await r.call("PUT", path, {"router": {"name": "other", "admin_state_up": False}}))["router"]
    listed = (await r.call("GET", "/routers?name=other&fields=id&admin_state_up=false"))["routers"]
    await r.call("PUT", f"{path}/tags", {"tags": ["a"]})
    tagged = (await r.call("GET", "/routers?tags=a"))["routers"]
    await r.call("DELETE", path)

    assert ("other", False, made["revision_number"] + 1) == (
        changed["name"], changed["admin_state_up"], changed["revision_number"],
    )  # fmt: skip
    assert ([{"id": made["id"]}], 1) == (listed, len(tagged))
    assert (404, "RouterNotFound") == await r.refused("GET", path)


async def test_a_gateway_takes_an_address_and_gives_it_back(r):
    network, subnet = await external(r)

    made = await r.make("router", external_gateway_info={"network_id": network})
    gateway = await ports_of(r, "router_gateway")
    cleared = (await r.call("PUT", f"/routers/{made['id']}", {"router": {"external_gateway_info": {}}}))["router"]

    assert {
        "network_id": network,
        "enable_snat": True,
        "external_fixed_ips": [{"subnet_id": subnet, "ip_address": "198.51.100.2"}],
    } == made["external_gateway_info"]
    assert [("", made["id"])] == [(port["project_id"], port["device_id"]) for port in gateway]
    assert (None, []) == (cleared["external_gateway_info"], await ports_of(r, "router_gateway"))


async def test_snat_and_addresses_are_an_administrators_to_set(r):
    network, subnet = await external(r)
    wish = {"network_id": network, "enable_snat": False, "external_fixed_ips": [{"ip_address": "198.51.100.77"}]}

    made = await r.make("router", "admin", external_gateway_info=wish)
    again = await r.call("PUT", f"/routers/{made['id']}", {"router": {"external_gateway_info": wish}}, token="admin")

    assert {**wish, "external_fixed_ips": [{"subnet_id": subnet, "ip_address": "198.51.100.77"}]} == made[
        "external_gateway_info"
    ]
    assert made["revision_number"] == again["router"]["revision_number"]
    for part in ({"enable_snat": False}, {"external_fixed_ips": [{"ip_address": "198.51.100.78"}]}):
        body = {"router": {"external_gateway_info": {"network_id": network, **part}}}
        assert (403, "PolicyNotAuthorized") == await r.refused("POST", "/routers", body)


async def test_a_gateway_needs_an_external_network(r):
    network, _ = await r.network()

    body = {"router": {"external_gateway_info": {"network_id": network}}}

    assert (400, "BadRequest") == await r.refused("POST", "/routers", body)
    assert [] == (await r.call("GET", "/routers"))["routers"]


async def test_an_interface_by_subnet_has_the_gateway_address(r):
    network, subnet = await r.network()
    router = await r.make("router")

    joint = await join(r, router["id"], subnet_id=subnet)

    port = (await r.call("GET", f"/ports/{joint['port_id']}"))["port"]
    assert (router["id"], network, subnet, [subnet]) == (
        joint["id"], joint["network_id"], joint["subnet_id"], joint["subnet_ids"],
    )  # fmt: skip
    assert ("network:router_interface", router["id"], "10.0.0.1", "ACTIVE", []) == (
        port["device_owner"], port["device_id"], port["fixed_ips"][0]["ip_address"], port["status"],
        port["security_groups"],
    )  # fmt: skip


async def test_an_interface_by_port_has_the_ports_address(r):
    network, _ = await r.network()
    router = await r.make("router")
    port = await r.make("port", network_id=network)

    joint = await join(r, router["id"], port_id=port["id"])
    busy = await r.make("router")

    assert port["id"] == joint["port_id"]
    assert (409, "PortInUse") == await refused_join(r, busy["id"], port_id=port["id"])


async def test_interfaces_that_cannot_be_are_refused(r):
    _, subnet = await r.network()
    _, overlapping = await r.network("10.0.0.128/25")
    without = await r.make("subnet", network_id=(await r.make("network"))["id"], cidr="10.3.0.0/24", gateway_ip=None)
    out, _ = await external(r, "10.9.0.0/24")
    _, same_as_out = await r.network("10.9.0.0/26")
    router = (await r.make("router", external_gateway_info={"network_id": out}))["id"]
    bare = await r.make("port", network_id=(await r.make("network"))["id"])
    await join(r, router, subnet_id=subnet)

    assert (400, "BadRequest") == await refused_join(r, router, subnet_id=subnet)
    assert (400, "BadRequest") == await refused_join(r, router, subnet_id=overlapping)
    assert (400, "BadRequest") == await refused_join(r, router, subnet_id=without["id"])
    assert (400, "BadRequest") == await refused_join(r, router, subnet_id=same_as_out)
    assert (400, "BadRequest") == await refused_join(r, router, port_id=bare["id"])
    assert (400, "BadRequest") == await refused_join(r, router)
    assert (400, "BadRequest") == await refused_join(r, router, subnet_id=subnet, port_id=bare["id"])
    assert (404, "SubnetNotFound") == await refused_join(r, router, subnet_id=router)
    assert (404, "PortNotFound") == await refused_join(r, router, port_id=router)
    assert 1 == len(await ports_of(r, "router_interface"))


async def test_the_overlap_is_named(r):
    _, one = await r.network()
    _, two = await r.network("10.0.0.128/25")
    router = (await r.make("router"))["id"]
    await join(r, router, subnet_id=one)

    reply = await r.client.put(f"/network/v2.0/routers/{router}/add_router_interface", {"subnet_id": two})

    assert (
        f"Bad router request: Cidr 10.0.0.128/25 of subnet {two} overlaps with cidr 10.0.0.0/24 of subnet {one}."
        == reply.json["NeutronError"]["message"]
    )


async def test_another_project_reaches_neither_router_nor_subnet(r):
    _, subnet = await r.network()
    router = (await r.make("router"))["id"]
    foreign = (await r.make("router", "bob"))["id"]

    path = f"/routers/{foreign}/add_router_interface"

    assert (404, "SubnetNotFound") == await r.refused("PUT", path, {"subnet_id": subnet}, token="bob")
    assert (404, "RouterNotFound") == await refused_join(r, foreign, subnet_id=subnet)
    assert (403, "PolicyNotAuthorized") == await r.refused(
        "PUT", f"/routers/{router}/add_router_interface", {"subnet_id": subnet}, token="reader"
    )


async def test_interfaces_leave_by_subnet_or_port_and_are_missed_by_name(r):
    _, one = await r.network()
    _, two = await r.network("10.1.0.0/24")
    router = (await r.make("router"))["id"]
    first, second = await join(r, router, subnet_id=one), await join(r, router, subnet_id=two)
    path = f"/routers/{router}"
    busy = await r.refused("DELETE", path)
    mixed = await refused_leave(r, router, port_id=first["port_id"], subnet_id=two)

    left = await r.call("PUT", f"{path}/remove_router_interface", {"subnet_id": one})
    await r.call("PUT", f"{path}/remove_router_interface", {"port_id": second["port_id"]})

    assert ((409, "RouterInUse"), (400, "SubnetMismatchForPort")) == (busy, mixed)
    assert (first["port_id"], one) == (left["port_id"], left["subnet_id"])
    assert (404, "RouterInterfaceNotFoundForSubnet") == await refused_leave(r, router, subnet_id=one)
    assert (404, "RouterInterfaceNotFound") == await refused_leave(r, router, port_id=second["port_id"])
    assert [] == await ports_of(r, "router_interface")
    await r.call("DELETE", path)


async def test_a_joined_subnet_stays_and_so_does_its_gateway(r):
    network, subnet = await r.network()
    router = (await r.make("router"))["id"]
    await join(r, router, subnet_id=subnet)

    change = {"subnet": {"gateway_ip": "10.0.0.254", "allocation_pools": [{"start": "10.0.0.2", "end": "10.0.0.9"}]}}

    assert (409, "SubnetInUse") == await r.refused("DELETE", f"/subnets/{subnet}")
    assert (409, "NetworkInUse") == await r.refused("DELETE", f"/networks/{network}")
    assert (409, "GatewayIpInUse") == await r.refused("PUT", f"/subnets/{subnet}", change)


async def test_a_routers_port_changes_its_address_but_not_its_router(r):
    _, subnet = await r.network()
    router = (await r.make("router"))["id"]
    joint = await join(r, router, subnet_id=subnet)
    path = f"/ports/{joint['port_id']}"

    moved = await r.call("PUT", path, {"port": {"fixed_ips": [{"subnet_id": subnet, "ip_address": "10.0.0.9"}]}})

    assert "10.0.0.9" == moved["port"]["fixed_ips"][0]["ip_address"]
    assert (409, "UnsupportedPortDeviceOwner") == await r.refused("PUT", path, {"port": {"device_id": ""}})
    assert (400, "BadRequest") == await r.refused("PUT", path, {"port": {"fixed_ips": []}})
    assert (409, "ServicePortInUse") == await r.refused("DELETE", path)


async def test_ipv6_subnets_of_one_network_share_an_interface(r):
    network, four = await r.network()
    six = [
        await r.make("subnet", network_id=network, cidr=cidr, ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
        for cidr in ("fd00:1::/64", "fd00:2::/64")
    ]
    router = (await r.make("router"))["id"]

    joints = [await join(r, router, subnet_id=id) for id in (four, six[0]["id"], six[1]["id"])]
    await r.call("PUT", f"/routers/{router}/remove_router_interface", {"subnet_id": six[0]["id"]})

    assert joints[0]["port_id"] != joints[1]["port_id"] == joints[2]["port_id"]
    left = (await r.call("GET", f"/ports/{joints[1]['port_id']}"))["port"]["fixed_ips"]
    assert [{"subnet_id": six[1]["id"], "ip_address": "fd00:2::1"}] == left


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ({"destination": "10.8.0.0/16", "nexthop": "10.7.0.1"}, (400, "InvalidRoutes")),
        ({"destination": "10.8.0.0/16", "nexthop": "10.0.0.1"}, (400, "InvalidRoutes")),
        ({"destination": "fd00::/64", "nexthop": "10.0.0.9"}, (400, "InvalidRoutes")),
        ({"destination": "10.8.0.0", "nexthop": "10.0.0.9"}, (400, "HTTPBadRequest")),
        ({"destination": "10.8.0.0/16"}, (400, "HTTPBadRequest")),
    ],
)
async def test_routes_that_lead_nowhere_are_refused(r, route, expected):
    _, subnet = await r.network()
    router = (await r.make("router"))["id"]
    await join(r, router, subnet_id=subnet)

    assert expected == await r.refused("PUT", f"/routers/{router}", {"router": {"routes": [route]}})


async def test_extra_routes_come_and_go_and_keep_their_interface(r):
    _, subnet = await r.network()
    router = (await r.make("router"))["id"]
    await join(r, router, subnet_id=subnet)
    path = f"/routers/{router}"
    one, two = ({"destination": f"10.{n}.0.0/16", "nexthop": "10.0.0.9"} for n in (8, 9))

    await r.call("PUT", path, {"router": {"routes": [one]}})
    added = await r.call("PUT", f"{path}/add_extraroutes", {"router": {"routes": [one, two]}})
    needed = await refused_leave(r, router, subnet_id=subnet)
    removed = await r.call("PUT", f"{path}/remove_extraroutes", {"router": {"routes": [one]}})
    cleared = await r.call("PUT", path, {"router": {"routes": []}})

    assert ([one, two], [two], []) == tuple(body["router"]["routes"] for body in (added, removed, cleared))
    assert (409, "RouterInterfaceInUseByRoute") == needed
    await r.call("PUT", f"{path}/remove_router_interface", {"subnet_id": subnet})


async def test_routers_count_against_the_quota():
    async with room(serve=False, quota__routers=1) as r:
        await r.make("router")

        assert (409, "OverQuota") == await r.refused("POST", "/routers", {"router": {}})


async def test_an_external_network_that_is_used_stays_external(r):
    network, _ = await external(r)
    made = await r.make("router", external_gateway_info={"network_id": network})
    change = {"network": EXTERNAL | {"router:external": False}}

    busy = await r.refused("PUT", f"/networks/{network}", change, token="admin")
    await r.call("DELETE", f"/routers/{made['id']}")
    await r.call("PUT", f"/networks/{network}", change, token="admin")

    assert (409, "ExternalNetworkInUse") == busy


async def test_one_external_network_is_the_default(r):
    made = await r.make("network", "admin", is_default=True, **EXTERNAL)
    body = {"network": {"is_default": True, **EXTERNAL}}

    listed = (await r.call("GET", "/networks?router:external=True&is_default=True"))["networks"]

    assert [made["id"]] == [network["id"] for network in listed]
    assert (400, "DefaultExternalNetworkExists") == await r.refused("POST", "/networks", body, token="admin")


# -- distributed and highly available


async def test_a_router_is_distributed_and_highly_available_unless_an_administrator_says_otherwise(r):
    usual = await r.make("router", "admin", distributed=None)
    other = await r.make("router", "admin", distributed=False, ha=False, project_id=ALICE.project_id)

    found = await r.call("GET", "/routers?distributed=False&fields=id", token="admin")

    assert (True, True) == (usual["distributed"], usual["ha"])
    assert (False, False) == (other["distributed"], other["ha"])
    assert [{"id": other["id"]}] == found["routers"]


async def test_how_a_router_is_spread_is_an_administrators_to_see_and_say(r):
    made = await r.make("router")
    path = f"/routers/{made['id']}"

    refused = [await r.refused("POST", "/routers", {"router": {name: True}}) for name in ("distributed", "ha")] + [
        await r.refused("PUT", path, {"router": {name: False}}) for name in ("distributed", "ha")
    ]

    assert [(403, "PolicyNotAuthorized")] * 4 == refused
    assert not {"distributed", "ha"} & set(made)
    assert (400, "InvalidInput") == await r.refused("GET", "/routers?ha=True")


async def test_a_router_is_spread_in_another_way_only_while_it_is_down(r):
    made = await r.make("router", "admin", distributed=False, ha=False)
    path, wanted = f"/routers/{made['id']}", {"distributed": True, "ha": True}

    refused = [await r.refused("PUT", path, {"router": {name: True}}, token="admin") for name in wanted]
    same = await r.call("PUT", path, {"router": {"distributed": False, "name": "n"}}, token="admin")
    changed = await r.call("PUT", path, {"router": {**wanted, "admin_state_up": False}}, token="admin")

    assert [(400, "BadRequest")] * 2 == refused
    assert "n" == same["router"]["name"]
    assert (True, True) == (changed["router"]["distributed"], changed["router"]["ha"])
