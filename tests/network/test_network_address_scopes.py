"""Address scopes: who sees them, which pools fit in, and what is not translated or not reached because of them."""

import pytest
from network.network_world import ADMIN, ALICE, room

from micronova.network.contract import NicRequest
from micronova.network.driver import NetworkSpec, PeerSpec, RouterSpec, SubnetSpec, WayOutSpec
from micronova.network.drivers.served.service_rules import paths

NOWHERE = "11111111-1111-1111-1111-111111111111"
EXTERNAL = {"router:external": True}


@pytest.fixture
async def r():
    async with room() as made:
        yield made


async def pool(r, scope, cidr, token=None, **values):
    asked = {"prefixes": [cidr], "default_prefixlen": 24, "address_scope_id": scope, **values}
    return (await r.make("subnetpool", token, **asked))["id"]


async def cut(r, pool_id, network, token=None):
    return await r.make("subnet", token, network_id=network, subnetpool_id=pool_id)


# -- the scopes themselves


async def test_a_scope_is_made_shown_changed_and_deleted(r):
    made = await r.make("address_scope", name="a", ip_version=4)
    path = f"/address-scopes/{made['id']}"

    changed = (await r.call("PUT", path, {"address_scope": {"name": "b"}}))["address_scope"]
    found = await r.call("GET", "/address-scopes?ip_version=4&name=b&fields=id")
    await r.call("DELETE", path)

    project = ALICE.project_id
    assert {"id": made["id"], "name": "a", "project_id": project, "tenant_id": project, "ip_version": 4,
            "shared": False} == made  # fmt: skip
    assert {**made, "name": "b"} == changed
    assert [{"id": made["id"]}] == found["address_scopes"]
    assert (404, "AddressScopeNotFound") == await r.refused("GET", path)


async def test_only_an_administrator_shares_a_scope_and_nobody_takes_that_back(r):
    made = await r.make("address_scope", ip_version=4)
    path, shared = f"/address-scopes/{made['id']}", {"address_scope": {"shared": True}}

    refused = [await r.refused("PUT", path, shared), await r.refused("GET", path, token="bob")]
    await r.call("PUT", path, shared, token="admin")
    seen = (await r.call("GET", path, token="bob"))["address_scope"]["shared"]

    assert [(403, "PolicyNotAuthorized"), (404, "AddressScopeNotFound")] == refused
    assert seen
    back = await r.refused("PUT", path, {"address_scope": {"shared": False}}, token="admin")
    assert (400, "AddressScopeUpdateError") == back
    body = {"address_scope": {"ip_version": 4, "shared": True}}
    assert (403, "PolicyNotAuthorized") == await r.refused("POST", "/address-scopes", body)


@pytest.mark.parametrize("values", [{}, {"ip_version": 5}, {"ip_version": "x"}, {"ip_version": 4, "name": "x" * 256}])
async def test_a_scope_that_can_not_be_is_refused(r, values):
    assert (400, "HTTPBadRequest") == await r.refused("POST", "/address-scopes", {"address_scope": values})


async def test_a_scope_with_pools_stays(r):
    scope = (await r.make("address_scope", ip_version=4))["id"]
    its = await pool(r, scope, "10.88.0.0/16")

    refused = await r.refused("DELETE", f"/address-scopes/{scope}")
    await r.call("PUT", f"/subnetpools/{its}", {"subnetpool": {"address_scope_id": None}})
    await r.call("DELETE", f"/address-scopes/{scope}")

    assert (409, "AddressScopeInUse") == refused


# -- pools in a scope


async def test_pools_of_a_scope_do_not_overlap(r):
    scope = (await r.make("address_scope", ip_version=4))["id"]
    await pool(r, scope, "10.88.0.0/16")
    other = await pool(r, None, "10.88.5.0/24")
    third = await pool(r, scope, "10.90.0.0/16")
    body = {"subnetpool": {"prefixes": ["10.0.0.0/8"], "address_scope_id": scope}}

    refused = [
        await r.refused("POST", "/subnetpools", body),
        await r.refused("PUT", f"/subnetpools/{other}", {"subnetpool": {"address_scope_id": scope}}),
        await r.refused("PUT", f"/subnetpools/{third}", {"subnetpool": {"prefixes": ["10.88.0.0/15", "10.90.0.0/16"]}}),
    ]

    assert [(409, "AddressScopePrefixConflict")] * 3 == refused


async def test_a_scope_takes_pools_of_its_ip_version_from_who_sees_it(r):
    six = (await r.make("address_scope", ip_version=6))["id"]
    hidden = (await r.make("address_scope", "admin", ip_version=4))["id"]
    body = {"prefixes": ["10.0.0.0/8"]}

    refused = [
        await r.refused("POST", "/subnetpools", {"subnetpool": {**body, "address_scope_id": id}})
        for id in (six, hidden, NOWHERE, "x")
    ]

    assert [
        (400, "IllegalSubnetPoolIpVersionAssociationToAddressScope"),
        (404, "AddressScopeNotFound"),
        (404, "AddressScopeNotFound"),
        (400, "HTTPBadRequest"),
    ] == refused


async def test_a_pool_in_another_projects_scope_is_changed_by_an_administrator_alone(r):
    scope = (await r.make("address_scope", "admin", ip_version=4, shared=True))["id"]
    path = f"/subnetpools/{await pool(r, scope, '10.88.0.0/16')}"
    body = {"subnetpool": {"name": "n"}}

    refused = await r.refused("PUT", path, body)
    changed = await r.call("PUT", path, body, token="admin")

    assert (400, "IllegalSubnetPoolUpdate") == refused
    assert "n" == changed["subnetpool"]["name"]


async def test_a_scope_may_be_opened_to_one_project(r):
    scope = (await r.make("address_scope", "admin", ip_version=4))["id"]
    rbac = {"object_type": "address_scope", "object_id": scope, "action": "access_as_shared",
            "target_tenant": ALICE.project_id}  # fmt: skip
    policy = (await r.call("POST", "/rbac-policies", {"rbac_policy": rbac}, token="admin"))["rbac_policy"]

    await pool(r, scope, "10.88.0.0/16")

    assert (404, "AddressScopeNotFound") == await r.refused("GET", f"/address-scopes/{scope}", token="bob")
    needed = await r.refused("DELETE", f"/rbac-policies/{policy['id']}", token="admin")
    assert (409, "RbacPolicyInUse") == needed


# -- networks in a scope


async def test_a_network_is_in_the_scope_of_its_subnets(r):
    scope = (await r.make("address_scope", ip_version=4))["id"]
    its, network = await pool(r, scope, "10.88.0.0/16"), await r.make("network")

    await cut(r, its, network["id"])

    shown = (await r.call("GET", f"/networks/{network['id']}"))["network"]
    assert (None, None) == (network["ipv4_address_scope"], network["ipv6_address_scope"])
    assert (scope, None) == (shown["ipv4_address_scope"], shown["ipv6_address_scope"])


async def test_subnets_of_a_network_are_all_from_one_scope(r):
    scope = (await r.make("address_scope", ip_version=4))["id"]
    its, other = await pool(r, scope, "10.88.0.0/16"), await pool(r, None, "10.90.0.0/16")
    network = (await r.make("network"))["id"]
    await cut(r, its, network)

    refused = [
        await r.refused("POST", "/subnets", {"subnet": {"network_id": network, **more}})
        for more in ({"subnetpool_id": other}, {"cidr": "10.91.0.0/24"})
    ]
    await r.make("subnet", network_id=network, cidr="fd00::/64", ip_version=6)
    await cut(r, await pool(r, scope, "10.92.0.0/16"), network)
    moved = await r.refused("PUT", f"/subnetpools/{its}", {"subnetpool": {"address_scope_id": None}})

    assert [(400, "NetworkAddressScopeAffinityError")] * 3 == [*refused, moved]


# -- what hosts do


async def world(r, inner, outer):
    """The spec, on its host, of a network in scope `inner` whose router leads out by one in scope `outer`."""
    outside = (await r.make("network", "admin", **EXTERNAL))["id"]
    inside = (await r.make("network", "admin"))["id"]
    await cut(r, await pool(r, outer, "198.51.100.0/24", "admin"), outside, "admin")
    subnet = await cut(r, await pool(r, inner, "10.88.0.0/16", "admin"), inside, "admin")
    router = (await r.make("router", "admin", external_gateway_info={"network_id": outside}))["id"]
    await r.call("PUT", f"/routers/{router}/add_router_interface", {"subnet_id": subnet["id"]}, token="admin")
    await r.manager.allocate_for_server(ADMIN, "srv", "host1", "srv", (NicRequest(network_id=inside),), ())
    await r.manager.plug_server(ADMIN, "srv")
    return subnet["id"], router, inside


async def scope(r):
    return (await r.make("address_scope", "admin", ip_version=4))["id"]


async def test_within_a_scope_nothing_is_translated_on_the_way_out(r):
    same = await scope(r)

    subnet, _, network = await world(r, same, same)

    way = r.driver.networks[network].routers[0].way_out
    assert (True, (subnet,), False) == (way.snat, way.direct, way.hides(subnet))


@pytest.mark.parametrize("scopes", [(False, False), (True, False), (False, True), (True, True)])
async def test_between_scopes_the_way_out_is_translated(r, scopes):
    inner, outer = [await scope(r) if there else None for there in scopes]

    subnet, _, network = await world(r, inner, outer)

    way = r.driver.networks[network].routers[0].way_out
    assert ((), True) == (way.direct, way.hides(subnet))


async def test_a_pool_that_changes_its_scope_changes_what_hosts_translate(r):
    same = await scope(r)
    subnet, _, network = await world(r, None, same)
    its = (await r.call("GET", f"/subnets/{subnet}", token="admin"))["subnet"]["subnetpool_id"]

    await r.call("PUT", f"/subnetpools/{its}", {"subnetpool": {"address_scope_id": same}}, token="admin")
    await r.idle()

    assert (subnet,) == r.driver.networks[network].routers[0].way_out.direct


@pytest.mark.parametrize("together", [True, False])
async def test_a_router_does_not_lead_from_one_scope_to_another(r, together):
    one = await scope(r)
    _, router, network = await world(r, one, None)
    beside = (await r.make("network", "admin"))["id"]
    subnet = await cut(r, await pool(r, one if together else None, "10.99.0.0/16", "admin"), beside, "admin")

    await r.call("PUT", f"/routers/{router}/add_router_interface", {"subnet_id": subnet["id"]}, token="admin")
    await r.idle()

    cidrs = ("10.99.0.0/24",) if together else ()
    assert (PeerSpec(network_id=beside, cidrs=cidrs),) == r.driver.networks[network].routers[0].peers


def test_the_linux_host_hides_only_subnets_that_are_not_known_outside():
    subnets = tuple(
        SubnetSpec(id=id, cidr=cidr, gateway=None) for id, cidr in (("a", "10.0.0.0/24"), ("b", "10.1.0.0/24"))
    )
    way = WayOutSpec(network_id="out", snat=True, direct=("a",))
    router = RouterSpec(id="r", addresses=(), subnet_ids=("a", "b"), way_out=way)

    ways = paths(NetworkSpec(id="n", mtu=1500, subnets=subnets, routers=(router,)))

    assert (("10.1.0.0/24",), ("10.0.0.0/24",)) == (ways.hidden, ways.plain)
