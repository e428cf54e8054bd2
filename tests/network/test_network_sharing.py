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
