"""Address groups: ranges under a name, in rules; hosts get the ranges, follow a change, and none lets nobody in."""

import pytest
from network.network_world import ADMIN, ALICE, BOB, room

from micronova.network.contract import NicRequest


@pytest.fixture
async def r():
    async with room() as made:
        yield made


async def shown(r, path, token=None):
    (value,) = (await r.call("GET", path, token=token)).values()
    return value


async def change(r, group, action, *addresses):
    path = f"/address-groups/{group['id']}/{action}_addresses"
    return (await r.call("PUT", path, {"addresses": list(addresses)}))["address_group"]["addresses"]


async def test_a_group_is_made_shown_changed_and_removed(r):
    made = await r.make("address_group", name="g", addresses=["10.1.1.3/32", "192.168.0.10/24", "2001:db8::f00/64"])

    added = await change(r, made, "add", "10.2.0.0/16")
    left = await change(r, made, "remove", "10.1.1.3", "192.168.0.99/24")
    renamed = await r.call("PUT", f"/address-groups/{made['id']}", {"address_group": {"name": "h"}})
    listed = await shown(r, "/address-groups?name=h")
    await r.call("DELETE", f"/address-groups/{made['id']}")

    assert ["10.1.1.3/32", "192.168.0.0/24", "2001:db8::/64"] == made["addresses"]
    assert [*made["addresses"], "10.2.0.0/16"] == added
    assert ["2001:db8::/64", "10.2.0.0/16"] == left
    assert [renamed["address_group"]] == listed
    assert (404, "AddressGroupNotFound") == await r.refused("GET", f"/address-groups/{made['id']}")


async def test_what_is_no_range_is_refused(r):
    made = await r.make("address_group", addresses=["10.0.0.0/8"])
    path = f"/address-groups/{made['id']}"

    for wrong in (["10.0.0.1"], ["x"], "10.0.0.0/8", [None], [1]):
        assert 400 == (await r.refused("POST", "/address-groups", {"address_group": {"addresses": wrong}}))[0], wrong
        assert 400 == (await r.refused("PUT", f"{path}/add_addresses", {"addresses": wrong}))[0], wrong
    again = {"addresses": ["10.0.0.0/8"]}
    assert (400, "AddressesAlreadyExist") == await r.refused("PUT", f"{path}/add_addresses", again)
    other = {"addresses": ["10.9.9.9/32"]}
    assert (404, "AddressesNotFound") == await r.refused("PUT", f"{path}/remove_addresses", other)
    assert 400 == (await r.refused("PUT", path, {"address_group": {"addresses": []}}))[0]
    assert (404, "AddressGroupNotFound") == await r.refused("PUT", f"{path}/add_addresses", other, token="bob")
    assert 403 == (await r.refused("PUT", f"{path}/add_addresses", other, token="reader"))[0]


async def rule(r, group, addresses, **values):
    return await r.make(
        "security_group_rule",
        security_group_id=group["id"],
        direction="ingress",
        remote_address_group_id=addresses["id"],
        **values,
    )


async def test_rules_name_it_and_hosts_follow_it(r):
    trusted = await r.make("address_group", addresses=["198.51.100.0/24", "2001:db8::/64"])
    web = await r.make("security_group", name="web")
    made = await rule(r, web, trusted, protocol="tcp", port_range_min=80, port_range_max=80)
    network, _ = await r.network()
    requests = (NicRequest(network_id=network),)
    (nic,) = await r.manager.allocate_for_server(ALICE, "server1", "host1", "vm", requests, ("web",))
    await r.manager.plug_server(ADMIN, "server1")

    def remotes():
        return [one.remotes for one in r.driver.ports[nic.port_id].rules if one.direction == "ingress"]

    assert trusted["id"] == made["remote_address_group_id"]
    assert [("198.51.100.0/24", "2001:db8::/64")] == remotes()
    await change(r, trusted, "add", "203.0.113.0/24")
    await r.idle()
    assert [("198.51.100.0/24", "2001:db8::/64", "203.0.113.0/24")] == remotes()
    await change(r, trusted, "remove", "198.51.100.0/24", "2001:db8::/64", "203.0.113.0/24")
    await r.idle()
    assert [] == remotes()
    path = f"/address-groups/{trusted['id']}"
    assert (409, "AddressGroupInUse") == await r.refused("DELETE", path)
    await r.call("DELETE", f"/security-group-rules/{made['id']}")
    await r.call("DELETE", path)


async def test_a_rule_names_one_other_side_and_names_it_once(r):
    one, two = await r.make("address_group"), await r.make("address_group")
    web = await r.make("security_group", name="web")
    await rule(r, web, one)
    await rule(r, web, two)
    same = {"security_group_id": web["id"], "direction": "ingress", "remote_address_group_id": one["id"]}

    async def refused(**more):
        return await r.refused("POST", "/security-group-rules", {"security_group_rule": {**same, **more}})

    assert (409, "SecurityGroupRuleExists") == await refused()
    assert (400, "SecurityGroupMultipleRemoteEntites") == await refused(remote_ip_prefix="10.0.0.0/8")
    assert (400, "SecurityGroupMultipleRemoteEntites") == await refused(remote_group_id=web["id"])
    assert (404, "AddressGroupNotFound") == await refused(remote_address_group_id=web["id"])


def given(kind, id, project=BOB.project_id):
    return {
        "rbac_policy": {
            "object_type": kind,
            "object_id": id,
            "action": "access_as_shared",
            "target_tenant": project,
        }
    }


async def test_groups_and_pools_are_shared_with_one_project_until_it_needs_them(r):
    addresses = await r.make("address_group")
    group = await r.make("security_group", name="g")
    pool = await r.make("subnetpool", name="p", prefixes=["10.64.0.0/16"], default_prefixlen=24)
    scope = await r.make("address_scope", name="s", ip_version=4)
    shared = {"address_group": addresses, "security_group": group, "subnetpool": pool, "address_scope": scope}
    paths = {kind: f"/{kind.replace('_', '-')}s/{row['id']}" for kind, row in shared.items()}
    before = [await r.refused("GET", path, token="bob") for path in paths.values()]

    policies = {
        kind: (await r.call("POST", "/rbac-policies", given(kind, row["id"])))["rbac_policy"]["id"]
        for kind, row in shared.items()
    }
    seen = {kind: (await shown(r, path, "bob"))["shared"] for kind, path in paths.items()}
    network = await r.make("network", "bob")
    port = await r.make("port", "bob", network_id=network["id"], security_groups=[group["id"]])
    own = await r.make("security_group", "bob", name="own")
    body = {"security_group_id": own["id"], "direction": "ingress", "remote_address_group_id": addresses["id"]}
    rule = await r.make("security_group_rule", "bob", **body)
    subnet = await r.make("subnet", "bob", network_id=network["id"], ip_version=4, subnetpool_id=pool["id"])
    bobs = await r.make("subnetpool", "bob", prefixes=["10.65.0.0/16"], address_scope_id=scope["id"])
    held = {kind: await r.refused("DELETE", f"/rbac-policies/{id}") for kind, id in policies.items()}

    assert {404} == {status for status, _ in before}
    assert dict.fromkeys(shared, True) == seen
    assert dict.fromkeys(shared, (409, "RbacPolicyInUse")) == held
    assert not (await shown(r, paths["subnetpool"]))["shared"]
    foreign = {"security_group_rule": {"security_group_id": group["id"], "direction": "ingress"}}
    assert (403, "PolicyNotAuthorized") == await r.refused("POST", "/security-group-rules", foreign, token="bob")
    for path in (
        f"/ports/{port['id']}",
        f"/security-group-rules/{rule['id']}",
        f"/subnets/{subnet['id']}",
        f"/subnetpools/{bobs['id']}",
    ):
        await r.call("DELETE", path, token="bob")
    for id in policies.values():
        await r.call("DELETE", f"/rbac-policies/{id}")
    assert {404} == {(await r.refused("GET", path, token="bob"))[0] for path in paths.values()}


async def test_only_networks_lead_out_and_only_administrators_open_to_all(r):
    group = await r.make("security_group", name="g")
    out = given("security_group", group["id"], "*")

    assert (403, "PolicyNotAuthorized") == await r.refused("POST", "/rbac-policies", out)
    policy = (await r.call("POST", "/rbac-policies", out, token="admin"))["rbac_policy"]
    assert (await shown(r, f"/security-groups/{group['id']}", "bob"))["shared"]
    assert (409, "DuplicateRbacPolicy") == await r.refused("POST", "/rbac-policies", out, token="admin")
    await r.call("DELETE", f"/rbac-policies/{policy['id']}", token="admin")
    out["rbac_policy"]["action"] = "access_as_external"
    assert (400, "InvalidInput") == await r.refused("POST", "/rbac-policies", out, token="admin")
    missing = given("security_group", policy["id"])
    assert (404, "SecurityGroupNotFound") == await r.refused("POST", "/rbac-policies", missing)
    assert (404, "QosPolicyNotFound") == await r.refused("POST", "/rbac-policies", given("qos_policy", group["id"]))


async def test_policies_go_with_what_they_are_about(r):
    group = await r.make("security_group", name="g")
    await r.call("POST", "/rbac-policies", given("security_group", group["id"]))

    await r.call("DELETE", f"/security-groups/{group['id']}")

    assert [] == await shown(r, "/rbac-policies")


async def test_floating_ip_pools_are_the_ranges_of_external_networks(r):
    out, subnet = await r.network("198.51.100.0/24", "admin", **{"router:external": True})
    await r.network("10.3.0.0/24")

    pools = await shown(r, "/floatingip_pools")
    narrow = await shown(r, f"/floatingip_pools?fields=cidr&network_id={out}")

    assert [
        {
            "subnet_id": subnet,
            "subnet_name": "",
            "network_id": out,
            "cidr": "198.51.100.0/24",
            "project_id": ALICE.project_id,
            "tenant_id": ALICE.project_id,
        }
    ] == pools
    assert [{"cidr": "198.51.100.0/24"}] == narrow
    assert [] == await shown(r, "/floatingip_pools?cidr=10.0.0.0/8")
