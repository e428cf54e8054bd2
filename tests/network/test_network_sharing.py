"""RBAC policies: a network for one more project or for all, and closed again only when nobody else is on it."""

import pytest
from network.network_world import ALICE, BOB, room


@pytest.fixture
async def r():
    async with room(serve=False) as made:
        yield made


async def give(r, network, target, token=None, action="access_as_shared"):
    body = {"object_type": "network", "object_id": network, "action": action, "target_tenant": target}
    return (await r.call("POST", "/rbac-policies", {"rbac_policy": body}, token=token))["rbac_policy"]


async def test_a_policy_opens_a_network_to_one_project(r):
    network, subnet = await r.network()
    hidden = await r.refused("GET", f"/networks/{network}", token="bob")

    made = await give(r, network, BOB.project_id)

    seen = (await r.call("GET", "/networks", token="bob"))["networks"]
    assert ((404, "NetworkNotFound"), [(network, True)]) == (hidden, [(one["id"], one["shared"]) for one in seen])
    assert not (await r.call("GET", f"/networks/{network}"))["network"]["shared"]
    assert [subnet] == [one["id"] for one in (await r.call("GET", "/subnets", token="bob"))["subnets"]]
    await r.make("port", "bob", network_id=network)
    assert {
        "id": made["id"], "project_id": ALICE.project_id, "tenant_id": ALICE.project_id, "object_type": "network",
        "object_id": network, "action": "access_as_shared", "target_tenant": BOB.project_id,
    } == made  # fmt: skip


async def test_a_policy_that_is_used_stays(r):
    network, _ = await r.network()
    made = await give(r, network, BOB.project_id)
    port = await r.make("port", "bob", network_id=network)

    busy = await r.refused("DELETE", f"/rbac-policies/{made['id']}")
    await r.call("DELETE", f"/ports/{port['id']}", token="bob")
    await r.call("DELETE", f"/rbac-policies/{made['id']}")

    assert (409, "RbacPolicyInUse") == busy
    assert (404, "NetworkNotFound") == await r.refused("GET", f"/networks/{network}", token="bob")


async def test_a_policy_for_all_is_what_shared_says(r):
    network, _ = await r.network(token="admin")

    made = await give(r, network, "*", "admin")
    shared = (await r.call("GET", f"/networks/{network}", token="bob"))["network"]["shared"]
    await r.call("PUT", f"/networks/{network}", {"network": {"shared": False}}, token="admin")

    assert shared
    assert (404, "RbacPolicyNotFound") == await r.refused("GET", f"/rbac-policies/{made['id']}", token="admin")
    await r.call("PUT", f"/networks/{network}", {"network": {"shared": True}}, token="admin")
    listed = (await r.call("GET", f"/rbac-policies?object_id={network}", token="admin"))["rbac_policies"]
    assert [("*", "access_as_shared")] == [(one["target_tenant"], one["action"]) for one in listed]


async def test_only_owners_share_and_only_administrators_with_all(r):
    network, _ = await r.network()
    body = {"object_type": "network", "object_id": network, "action": "access_as_shared", "target_tenant": "*"}
    await give(r, network, BOB.project_id)

    for_all = await r.refused("POST", "/rbac-policies", {"rbac_policy": body})
    foreign = {"rbac_policy": {**body, "target_tenant": "d" * 32}}
    again = {"rbac_policy": {**body, "target_tenant": BOB.project_id}}

    assert (403, "PolicyNotAuthorized") == for_all
    assert (400, "InvalidInput") == await r.refused("POST", "/rbac-policies", foreign, token="bob")
    assert (409, "DuplicateRbacPolicy") == await r.refused("POST", "/rbac-policies", again)


async def test_a_policy_goes_to_another_project(r):
    network, _ = await r.network()
    made = await give(r, network, "d" * 32)

    await r.call("PUT", f"/rbac-policies/{made['id']}", {"rbac_policy": {"target_tenant": BOB.project_id}})

    assert network == (await r.call("GET", f"/networks/{network}", token="bob"))["network"]["id"]


async def test_a_network_takes_its_policies_with_it(r):
    network, _ = await r.network()
    await give(r, network, BOB.project_id)

    await r.call("DELETE", f"/networks/{network}")

    assert [] == (await r.call("GET", "/rbac-policies"))["rbac_policies"]


async def shown(r, network, token="admin"):
    return (await r.call("GET", f"/networks/{network}", token=token))["network"]


async def gateway(r, token, network):
    return await r.make("router", token, external_gateway_info={"network_id": network})


async def test_a_network_leads_out_one_project_alone(r):
    network, _ = await r.network("198.51.100.0/24", token="admin")

    made = await give(r, network, BOB.project_id, "admin", action="access_as_external")
    seen = await shown(r, network, "bob")
    router = await gateway(r, "bob", network)
    floating = await r.make("floatingip", "bob", floating_network_id=network)

    assert (True, False) == (seen["router:external"], seen["shared"])
    assert "access_as_external" == made["action"]
    assert network == router["external_gateway_info"]["network_id"]
    assert floating["floating_ip_address"].startswith("198.51.100.")
    assert [] == (await r.call("GET", "/networks"))["networks"]
    assert (404, "NetworkNotFound") == await r.refused(
        "POST", "/floatingips", {"floatingip": {"floating_network_id": network}}, token="alice"
    )


async def test_who_is_led_out_by_a_network_puts_nothing_else_on_it(r):
    network, _ = await r.network("198.51.100.0/24", token="admin")
    await give(r, network, BOB.project_id, "admin", action="access_as_external")

    refused = await r.refused("POST", "/ports", {"port": {"network_id": network}}, token="bob")

    assert (403, "PolicyNotAuthorized") == refused
    assert [] == (await r.call("GET", "/subnets", token="bob"))["subnets"]


async def test_a_network_leads_out_until_its_last_policy_goes(r):
    network, _ = await r.network("198.51.100.0/24", token="admin")
    first = await give(r, network, ALICE.project_id, "admin", action="access_as_external")
    second = await give(r, network, BOB.project_id, "admin", action="access_as_external")

    await r.call("DELETE", f"/rbac-policies/{first['id']}", token="admin")
    between = (await shown(r, network))["router:external"]
    await r.call("DELETE", f"/rbac-policies/{second['id']}", token="admin")

    assert between
    assert not (await shown(r, network))["router:external"]
    assert (404, "NetworkNotFound") == await r.refused("GET", f"/networks/{network}", token="bob")


async def test_a_way_out_stays_while_the_project_has_it_by_no_other_policy(r):
    network, _ = await r.network("198.51.100.0/24", token="admin")
    for_all = await give(r, network, "*", "admin", action="access_as_external")
    router = await gateway(r, "bob", network)

    last = await r.refused("DELETE", f"/rbac-policies/{for_all['id']}", token="admin")
    own = await give(r, network, BOB.project_id, "admin", action="access_as_external")
    await give(r, network, ALICE.project_id, "admin", action="access_as_external")
    await r.call("DELETE", f"/rbac-policies/{for_all['id']}", token="admin")
    needed = await r.refused("DELETE", f"/rbac-policies/{own['id']}", token="admin")
    moved = {"rbac_policy": {"target_tenant": "d" * 32}}
    to_others = await r.refused("PUT", f"/rbac-policies/{own['id']}", moved, token="admin")
    await r.call("DELETE", f"/routers/{router['id']}", token="bob")
    await r.call("DELETE", f"/rbac-policies/{own['id']}", token="admin")

    assert [(409, "ExternalNetworkInUse"), (409, "RbacPolicyInUse")] == [last, needed]
    assert (409, "RbacPolicyInUse") == to_others
    assert (await shown(r, network))["router:external"]


async def test_a_way_out_for_all_becomes_one_for_a_project_that_uses_it(r):
    network, _ = await r.network("198.51.100.0/24", token="admin", **{"router:external": True})
    [policy] = (await r.call("GET", f"/rbac-policies?object_id={network}", token="admin"))["rbac_policies"]
    await gateway(r, "bob", network)
    path = f"/rbac-policies/{policy['id']}"

    to_another = await r.refused("PUT", path, {"rbac_policy": {"target_tenant": ALICE.project_id}}, token="admin")
    await r.call("PUT", path, {"rbac_policy": {"target_tenant": BOB.project_id}}, token="admin")
    await r.call("PUT", f"/networks/{network}", {"network": {"name": "renamed"}}, token="admin")

    assert (409, "RbacPolicyInUse") == to_another
    assert "renamed" == (await shown(r, network, "bob"))["name"]
    assert (404, "NetworkNotFound") == await r.refused("GET", f"/networks/{network}", token="alice")


async def test_a_network_that_leads_out_no_more_has_no_policy_for_it(r):
    network, _ = await r.network("198.51.100.0/24", token="admin")
    await give(r, network, BOB.project_id, "admin", action="access_as_external")
    await give(r, network, BOB.project_id, "admin")

    await r.call("PUT", f"/networks/{network}", {"network": {"router:external": False}}, token="admin")

    left = (await r.call("GET", f"/rbac-policies?object_id={network}", token="admin"))["rbac_policies"]
    assert ["access_as_shared"] == [one["action"] for one in left]
    assert (False, True) == ((seen := await shown(r, network, "bob"))["router:external"], seen["shared"])


async def test_the_default_way_out_is_everybodys(r):
    network, _ = await r.network("198.51.100.0/24", token="admin", **{"router:external": True}, is_default=True)
    [policy] = (await r.call("GET", f"/rbac-policies?object_id={network}", token="admin"))["rbac_policies"]

    refused = await r.refused("DELETE", f"/rbac-policies/{policy['id']}", token="admin")

    assert (409, "RbacPolicyInUse") == refused


async def test_only_administrators_make_a_network_everybodys_way_out(r):
    network, _ = await r.network()
    body = {"object_type": "network", "object_id": network, "action": "access_as_external", "target_tenant": "*"}

    refused = await r.refused("POST", "/rbac-policies", {"rbac_policy": body})
    await give(r, network, BOB.project_id, action="access_as_external")

    assert (403, "PolicyNotAuthorized") == refused
    assert (await shown(r, network, "bob"))["router:external"]
