"""QoS policies and rules: whose they are, where they hold, who hears of a change, when they may go."""

import pytest
from network.network_world import ADMIN, ALICE, BOB, room

from micronova.network.contract import NicRequest
from micronova.network.driver import QosSpec, RateSpec


@pytest.fixture
async def r():
    async with room(serve=False) as made:
        yield made


@pytest.fixture
async def served():
    async with room("host1", "host2") as made:
        yield made


async def policy(r, token="admin", **values):
    return (await r.call("POST", "/qos/policies", {"policy": {"name": "p", **values}}, token=token))["policy"]


async def rule(r, of, kind="bandwidth_limit", token="admin", **values):
    noun = f"{kind}_rule"
    return (await r.call("POST", f"/qos/policies/{of['id']}/{noun}s", {noun: values}, token=token))[noun]


async def shown(r, path, token="admin"):
    (value,) = (await r.call("GET", path, token=token)).values()
    return value


async def test_a_policy_and_its_rules_are_shown_as_clients_expect_them(r):
    made = await policy(r, description="d", shared=True)
    limit = await rule(r, made, max_kbps=2000, max_burst_kbps=300, direction="ingress")
    mark = await rule(r, made, "dscp_marking", dscp_mark=26)
    one = f"/qos/policies/{made['id']}"

    whole = await shown(r, one, "alice")

    assert {
        "id", "name", "description", "project_id", "tenant_id", "shared", "is_default", "rules", "tags", "created_at",
        "updated_at", "revision_number",
    } == set(made)  # fmt: skip
    assert {"id": limit["id"], "max_kbps": 2000, "max_burst_kbps": 300, "direction": "ingress"} == limit
    assert {"id": mark["id"], "dscp_mark": 26} == mark
    assert [
        {**limit, "type": "bandwidth_limit", "qos_policy_id": made["id"]},
        {**mark, "type": "dscp_marking", "qos_policy_id": made["id"]},
    ] == whole["rules"]
    assert whole["revision_number"] > made["revision_number"]
    assert [limit] == await shown(r, f"{one}/bandwidth_limit_rules", "alice")
    assert [] == await shown(r, f"{one}/bandwidth_limit_rules?max_kbps=3")
    assert mark == await shown(r, f"{one}/dscp_marking_rules/{mark['id']}")


async def test_rules_are_changed_and_removed_also_without_their_policy(r):
    made = await policy(r)
    limit = await rule(r, made, max_kbps=2000)
    path = f"/qos/policies/{made['id']}/bandwidth_limit_rules/{limit['id']}"
    alias = f"/qos/alias_bandwidth_limit_rules/{limit['id']}"

    changed = await r.call("PUT", path, {"bandwidth_limit_rule": {"max_kbps": 1}}, token="admin")
    again = await r.call("PUT", alias, {"bandwidth_limit_rule": {"max_burst_kbps": 7}}, token="admin")
    there = await shown(r, alias)
    await r.call("DELETE", alias, token="admin")

    assert 1 == changed["bandwidth_limit_rule"]["max_kbps"]
    assert {"id": limit["id"], "max_kbps": 1, "max_burst_kbps": 7, "direction": "egress"} == there
    assert there == again["alias_bandwidth_limit_rule"]
    assert (404, "QosRuleNotFound") == await r.refused("GET", path, token="admin")
    assert (404, "QosRuleNotFound") == await r.refused("GET", alias, token="admin")


async def test_each_type_of_rule_is_once_a_policy_and_direction(r):
    made = await policy(r)
    limit = await rule(r, made, max_kbps=2000)
    await rule(r, made, max_kbps=2000, direction="ingress")
    await rule(r, made, "dscp_marking", dscp_mark=8)
    one = f"/qos/policies/{made['id']}"

    same = {"bandwidth_limit_rule": {"max_kbps": 3}}
    assert (409, "QoSRulesConflict") == await r.refused("POST", f"{one}/bandwidth_limit_rules", same, token="admin")
    other = {"bandwidth_limit_rule": {"direction": "ingress"}}
    path = f"{one}/bandwidth_limit_rules/{limit['id']}"
    assert (409, "QoSRulesConflict") == await r.refused("PUT", path, other, token="admin")
    more = {"minimum_bandwidth_rule": {"min_kbps": 2001}}
    wanted = (409, "QoSRuleParameterConflict")
    assert wanted == await r.refused("POST", f"{one}/minimum_bandwidth_rules", more, token="admin")
    for kind, wrong in (
        ("bandwidth_limit", {}),
        ("bandwidth_limit", {"max_kbps": -1}),
        ("bandwidth_limit", {"max_kbps": "x"}),
        ("bandwidth_limit", {"max_kbps": 1, "direction": "up"}),
        ("dscp_marking", {"dscp_mark": 7}),
        ("dscp_marking", {"dscp_mark": 64}),
    ):
        body = {f"{kind}_rule": wrong}
        assert 400 == (await r.refused("POST", f"{one}/{kind}_rules", body, token="admin"))[0], wrong
    nowhere = f"/qos/policies/{limit['id']}/bandwidth_limit_rules"
    assert (404, "QosPolicyNotFound") == await r.refused("POST", nowhere, same, token="admin")
    assert (404, "QosPolicyNotFound") == await r.refused("GET", "/qos/policies/x", token="admin")
    assert (404, "QosRuleNotFound") == await r.refused("GET", f"{one}/dscp_marking_rules/{limit['id']}", token="admin")


async def test_members_use_policies_but_do_not_make_them(r):
    own = await policy(r, project_id=ALICE.project_id)
    foreign = await policy(r)
    one = f"/qos/policies/{own['id']}"

    assert (403, "PolicyNotAuthorized") == await r.refused("POST", "/qos/policies", {"policy": {"name": "x"}})
    assert (403, "PolicyNotAuthorized") == await r.refused("PUT", one, {"policy": {"name": "x"}})
    assert (403, "PolicyNotAuthorized") == await r.refused("DELETE", one)
    body = {"bandwidth_limit_rule": {"max_kbps": 3}}
    assert (403, "PolicyNotAuthorized") == await r.refused("POST", f"{one}/bandwidth_limit_rules", body)
    hidden = f"/qos/policies/{foreign['id']}"
    assert (404, "QosPolicyNotFound") == await r.refused("PUT", hidden, {"policy": {"name": "x"}})
    assert (403, "PolicyNotAuthorized") == await r.refused("POST", f"{hidden}/bandwidth_limit_rules", body)
    assert (404, "QosPolicyNotFound") == await r.refused("GET", f"{hidden}/bandwidth_limit_rules")
    assert [own["id"]] == [one["id"] for one in await shown(r, "/qos/policies", "alice")]
    for noun, values in (("network", {}), ("port", {"network_id": (await r.network())[0]})):
        wanted = {noun: {**values, "qos_policy_id": foreign["id"]}}
        assert (404, "QosPolicyNotFound") == await r.refused("POST", f"/{noun}s", wanted)


async def test_a_policy_in_use_stays(r):
    made = await policy(r, shared=True)
    one = f"/qos/policies/{made['id']}"
    network, _ = await r.network(qos_policy_id=made["id"])
    other, _ = await r.network("10.5.0.0/24")
    port = await r.make("port", network_id=other, qos_policy_id=made["id"])
    out, _ = await r.network("198.51.100.0/24", "admin", **{"router:external": True})
    floating = await r.make("floatingip", floating_network_id=out, qos_policy_id=made["id"])
    inherited = await r.make("port", network_id=network)

    assert (made["id"], None) == (port["qos_policy_id"], port["qos_network_policy_id"])
    assert (None, made["id"]) == (inherited["qos_policy_id"], inherited["qos_network_policy_id"])
    assert made["id"] == floating["qos_policy_id"]
    assert [network] == [n["id"] for n in await shown(r, f"/networks?qos_policy_id={made['id']}", "alice")]
    assert (409, "RbacPolicyInUse") == await r.refused("PUT", one, {"policy": {"shared": False}}, token="admin")
    for noun, id in (("network", network), ("port", port["id"]), ("floatingip", floating["id"])):
        assert (409, "QosPolicyInUse") == await r.refused("DELETE", one, token="admin")
        freed = (await r.call("PUT", f"/{noun}s/{id}", {noun: {"qos_policy_id": None}}))[noun]
        assert freed["qos_policy_id"] is None
    await r.call("PUT", one, {"policy": {"shared": False}}, token="admin")
    await r.call("DELETE", one, token="admin")


async def test_a_policy_that_an_administrator_put_there_is_not_taken_off_by_others(r):
    made = await policy(r)
    network, _ = await r.network()
    await r.call("PUT", f"/networks/{network}", {"network": {"qos_policy_id": made["id"]}}, token="admin")

    off = {"network": {"qos_policy_id": None}}
    assert (403, "PolicyRemoveAuthorizationError") == await r.refused("PUT", f"/networks/{network}", off)
    await r.make("port", network_id=network)
    await r.call("PUT", f"/networks/{network}", off, token="admin")


async def test_new_networks_have_the_default_policy_of_their_project(r):
    default = await policy(r, project_id=ALICE.project_id, is_default=True)
    other = await policy(r, project_id=ALICE.project_id)

    plain, asked = await r.make("network"), await r.make("network", qos_policy_id=other["id"])
    bobs = await r.make("network", "bob")

    assert [default["id"], other["id"], None] == [one["qos_policy_id"] for one in (plain, asked, bobs)]
    second = {"policy": {"is_default": True}}
    wanted = (409, "QoSPolicyDefaultAlreadyExists")
    assert wanted == await r.refused("PUT", f"/qos/policies/{other['id']}", second, token="admin")
    await r.call("PUT", f"/qos/policies/{default['id']}", {"policy": {"is_default": False}}, token="admin")
    await r.call("PUT", f"/qos/policies/{other['id']}", second, token="admin")


async def test_nobody_reserves_bandwidth(r):
    made = await policy(r, shared=True)
    network, _ = await r.network()
    port = await r.make("port", network_id=network, qos_policy_id=made["id"])
    path = f"/qos/policies/{made['id']}/minimum_bandwidth_rules"
    body = {"minimum_bandwidth_rule": {"min_kbps": 1000}}

    refused = await r.refused("POST", path, body, token="admin")
    await r.call("PUT", f"/ports/{port['id']}", {"port": {"qos_policy_id": None}})
    await r.call("POST", path, body, token="admin")
    again = await r.refused("PUT", f"/ports/{port['id']}", {"port": {"qos_policy_id": made["id"]}})
    on_network = await r.refused("PUT", f"/networks/{network}", {"network": {"qos_policy_id": made["id"]}})

    assert [(409, "QosRuleNotSupported")] * 2 == [refused, again]
    assert (409, "QosRuleNotSupportedByNetwork") == on_network


async def test_rule_types_are_those_that_hosts_know(r):
    types = await shown(r, "/qos/rule-types", "alice")
    details = await shown(r, "/qos/rule-types/bandwidth_limit")

    assert [{"type": "bandwidth_limit"}, {"type": "dscp_marking"}] == types
    assert {"type", "drivers"} == set(details)
    assert ["max_kbps", "max_burst_kbps", "direction"] == [
        one["parameter_name"] for one in details["drivers"][0]["supported_parameters"]
    ]
    assert 403 == (await r.refused("GET", "/qos/rule-types/bandwidth_limit"))[0]
    assert 404 == (await r.refused("GET", "/qos/rule-types/nothing", token="admin"))[0]


async def test_a_policy_is_shared_with_one_project(r):
    made = await policy(r)
    rbac = {
        "object_type": "qos_policy",
        "object_id": made["id"],
        "action": "access_as_shared",
        "target_tenant": BOB.project_id,
    }

    given = (await r.call("POST", "/rbac-policies", {"rbac_policy": rbac}, token="admin"))["rbac_policy"]
    seen = await shown(r, f"/qos/policies/{made['id']}", "bob")
    network = await r.make("network", "bob", qos_policy_id=made["id"])

    assert seen["shared"]
    assert not (await shown(r, f"/qos/policies/{made['id']}"))["shared"]
    assert [made["id"]] == [one["id"] for one in await shown(r, "/qos/policies", "bob")]
    assert [] == await shown(r, "/qos/policies", "alice")
    one = f"/rbac-policies/{given['id']}"
    assert (409, "RbacPolicyInUse") == await r.refused("DELETE", one, token="admin")
    await r.call("DELETE", f"/networks/{network['id']}", token="bob")
    await r.call("DELETE", one, token="admin")
    assert [] == await shown(r, "/qos/policies", "bob")


async def test_hosts_are_told_what_holds_for_their_ports_and_of_every_change(served):
    r = served
    general, special = await policy(r, shared=True), await policy(r, shared=True)
    limit = await rule(r, general, max_kbps=1000, max_burst_kbps=100)
    await rule(r, special, "dscp_marking", dscp_mark=26)
    network, _ = await r.network(qos_policy_id=general["id"])
    port = await r.make("port", network_id=network)
    requests = (NicRequest(network_id=network, port_id=port["id"]),)
    await r.manager.allocate_for_server(ALICE, "server1", "host2", "vm", requests, ())
    there = r.hosts["host2"]
    await there.manager.plug_server(ADMIN, "server1")

    def told():
        return there.driver.ports[port["id"]].qos

    assert QosSpec(egress=RateSpec(kbps=1000, burst_kbit=100)) == told()
    path = f"/qos/policies/{general['id']}/bandwidth_limit_rules/{limit['id']}"
    await r.call("PUT", path, {"bandwidth_limit_rule": {"max_kbps": 500, "direction": "ingress"}}, token="admin")
    await r.idle()
    assert QosSpec(ingress=RateSpec(kbps=500, burst_kbit=100)) == told()
    await r.call("PUT", f"/ports/{port['id']}", {"port": {"qos_policy_id": special["id"]}})
    await r.idle()
    assert QosSpec(dscp=26) == told()
    await r.call("PUT", f"/ports/{port['id']}", {"port": {"qos_policy_id": None}})
    await r.call("PUT", f"/networks/{network}", {"network": {"qos_policy_id": None}})
    await r.idle()
    assert QosSpec() == told()


async def test_a_floating_ip_carries_its_limit_to_the_host_of_its_port(served):
    r = served
    made = await policy(r, shared=True)
    await rule(r, made, max_kbps=1000)
    out, _ = await r.network("198.51.100.0/24", "admin", **{"router:external": True})
    network, subnet = await r.network()
    router = (await r.make("router", external_gateway_info={"network_id": out}))["id"]
    await r.call("PUT", f"/routers/{router}/add_router_interface", {"subnet_id": subnet})
    port = await r.make("port", network_id=network)
    floating = await r.make("floatingip", floating_network_id=out, port_id=port["id"])
    requests = (NicRequest(network_id=network, port_id=port["id"]),)
    await r.manager.allocate_for_server(ALICE, "server1", "host1", "vm", requests, ())
    await r.manager.plug_server(ADMIN, "server1")

    await r.call("PUT", f"/floatingips/{floating['id']}", {"floatingip": {"qos_policy_id": made["id"]}})
    await r.idle()

    assert [QosSpec(egress=RateSpec(kbps=1000))] == [one.qos for one in r.driver.networks[network].floating]


async def test_a_page_goes_on_behind_a_policy_of_somebody_else(r):
    hidden = await policy(r, name="a")
    seen = await policy(r, name="b", shared=True)

    assert [seen["id"]] == [one["id"] for one in await shown_page(r, f"sort_key=name&limit=1&marker={hidden['id']}")]
    assert (404, "QosPolicyNotFound") == await r.refused("GET", f"/qos/policies?marker={seen['project_id']}")


async def shown_page(r, query):
    return (await r.call("GET", f"/qos/policies?{query}"))["policies"]
