"""Security groups: the default one, rules that make sense, rules that are new, who may be in which."""

import pytest
from network.network_world import ALICE, room


@pytest.fixture
async def r():
    async with room(serve=False) as made:
        yield made


def rule(group, **values):
    return {"security_group_rule": {"security_group_id": group, "direction": "ingress", **values}}


async def test_a_project_has_a_default_group_from_the_first_look(r):
    groups = (await r.call("GET", "/security-groups"))["security_groups"]
    again = (await r.call("GET", "/security-groups?name=default"))["security_groups"]

    assert groups == again
    rules = [(one["direction"], one["ethertype"], one["remote_group_id"]) for one in groups[0]["security_group_rules"]]
    own = groups[0]["id"]
    assert [
        ("egress", "IPv4", None), ("egress", "IPv6", None), ("ingress", "IPv4", own), ("ingress", "IPv6", own)
    ] == sorted(rules, key=str)  # fmt: skip
    assert [] == (await r.call("GET", "/security-groups?project_id=x"))["security_groups"]


async def test_the_default_group_keeps_its_name_and_stays(r):
    group = (await r.call("GET", "/security-groups"))["security_groups"][0]
    path = f"/security-groups/{group['id']}"

    assert (409, "SecurityGroupCannotUpdateDefault") == await r.refused("PUT", path, {"security_group": {"name": "x"}})
    assert (409, "SecurityGroupCannotRemoveDefault") == await r.refused("DELETE", path)
    new = {"security_group": {"name": "default"}}
    assert (409, "SecurityGroupDefaultAlreadyExists") == await r.refused("POST", "/security-groups", new)
    other = await r.make("security_group", name="x")
    assert (409, "SecurityGroupCannotUpdateDefault") == await r.refused("PUT", f"/security-groups/{other['id']}", new)
    changed = await r.call("PUT", path, {"security_group": {"description": "d"}})
    assert "d" == changed["security_group"]["description"]
    await r.call("DELETE", path, token="admin")


async def test_a_new_group_lets_out_and_not_in(r):
    group = await r.make("security_group", name="web")

    assert {"egress"} == {one["direction"] for one in group["security_group_rules"]}
    assert {"IPv4", "IPv6"} == {one["ethertype"] for one in group["security_group_rules"]}


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"protocol": "tcp", "port_range_min": 22, "port_range_max": "22"}, {"protocol": "tcp", "port_range_max": 22}),
        ({"protocol": 17}, {"protocol": "17"}),
        ({"protocol": "TCP", "ethertype": "ipv6"}, {"protocol": "tcp", "ethertype": "IPv6"}),
        ({"protocol": "any"}, {"protocol": None}),
        ({"protocol": "icmp", "ethertype": "IPv6"}, {"protocol": "ipv6-icmp"}),
        ({"protocol": "icmp", "port_range_min": 8, "port_range_max": 0}, {"port_range_min": 8}),
        ({"remote_ip_prefix": "10.0.0.5/24"}, {"remote_ip_prefix": "10.0.0.5/24", "normalized_cidr": "10.0.0.0/24"}),
        ({"remote_ip_prefix": "10.0.0.5"}, {"remote_ip_prefix": "10.0.0.5/32", "normalized_cidr": "10.0.0.5/32"}),
    ],
)
async def test_a_rule_that_makes_sense_is_kept_in_one_form(r, values, shown):
    group = await r.make("security_group", name="web")

    made = (await r.call("POST", "/security-group-rules", rule(group["id"], **values)))["security_group_rule"]

    assert shown == {name: made[name] for name in shown}
    assert {"security_group_rule": made} == await r.call("GET", f"/security-group-rules/{made['id']}")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"protocol": "tcp", "port_range_min": -16, "port_range_max": 80}, "Invalid value for port -16"),
        ({"protocol": "tcp", "port_range_min": 80, "port_range_max": 79}, "port_range_min must be <= port_range_max"),
        ({"protocol": "tcp", "port_range_min": 80, "port_range_max": 65536}, "Invalid value for port 65536"),
        ({"protocol": "tcp", "port_range_max": 6}, "port_range_min must be <= port_range_max"),
        ({"protocol": "tcp", "port_range_min": 0, "port_range_max": 6}, "Invalid value for port 0"),
        ({"protocol": "icmp", "port_range_min": 1, "port_range_max": 256}, "Invalid value for ICMP code"),
        ({"protocol": "icmp", "port_range_min": -1, "port_range_max": 25}, "Invalid value"),
        ({"protocol": "icmp", "port_range_max": 6}, "ICMP type (port-range-min) is missing"),
        ({"protocol": "icmp", "port_range_min": 300, "port_range_max": 1}, "Invalid value for ICMP type"),
        ({"protocol": "esp", "port_range_min": 1, "port_range_max": 1}, "Invalid protocol esp for port range"),
        ({"port_range_min": 1, "port_range_max": 1}, "Must also specify protocol"),
        ({"protocol": "bad"}, "Security group rule protocol bad not supported"),
        ({"protocol": 256}, "Security group rule protocol 256 not supported"),
        ({"protocol": "²"}, "not supported"),
        ({"protocol": "ipv6-icmp"}, "Invalid ethertype IPv4"),
        ({"ethertype": "bad"}, "Security group rule for ethertype 'bad' not supported"),
        ({"direction": "sideways"}, "is not in"),
        ({"remote_ip_prefix": "fd00::/64"}, "Conflicting value ethertype IPv4"),
        ({"remote_ip_prefix": "10.0.0/24x"}, "not a valid IP subnet"),
        ({"remote_ip_prefix": "10.0.0.0/24", "remote_group_id": "GROUP"}, "Only remote_ip_prefix or remote_group_id"),
    ],
)
async def test_a_rule_without_sense_is_refused_with_the_reason(r, values, sentence):
    group = await r.make("security_group", name="web")
    values = {name: group["id"] if value == "GROUP" else value for name, value in values.items()}

    reply = await r.client.post("/network/v2.0/security-group-rules", rule(group["id"], **values))

    assert 400 == reply.status, reply.content
    assert sentence in reply.json["NeutronError"]["message"]


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ({}, {"protocol": "any"}),
        ({"protocol": "tcp"}, {"protocol": 6, "description": "again"}),
        ({"remote_ip_prefix": "10.0.0.5/24"}, {"remote_ip_prefix": "10.0.0.0/24"}),
        ({"protocol": "icmp", "ethertype": "IPv6"}, {"protocol": "58", "ethertype": "IPv6"}),
    ],
)
async def test_a_rule_that_is_there_already_is_refused_with_its_id(r, one, same):
    group = await r.make("security_group", name="web")
    made = (await r.call("POST", "/security-group-rules", rule(group["id"], **one)))["security_group_rule"]

    reply = await r.client.post("/network/v2.0/security-group-rules", rule(group["id"], **same))

    assert (409, "SecurityGroupRuleExists") == (reply.status, reply.json["NeutronError"]["type"])
    assert made["id"] in reply.json["NeutronError"]["message"]


async def test_rules_and_groups_that_are_not_there_are_not_found(r):
    nowhere = "11111111-1111-1111-1111-111111111111"
    group = await r.make("security_group", name="web")

    path = "/security-group-rules"
    assert (404, "SecurityGroupNotFound") == await r.refused("POST", path, rule(nowhere))
    assert (404, "SecurityGroupNotFound") == await r.refused("POST", path, rule(group["id"], remote_group_id=nowhere))
    assert (404, "SecurityGroupNotFound") == await r.refused("POST", path, rule(group["id"]), token="bob")
    assert (404, "SecurityGroupRuleNotFound") == await r.refused("GET", f"{path}/{nowhere}")
    assert (404, "SecurityGroupNotFound") == await r.refused("DELETE", f"/security-groups/{nowhere}")
    assert 405 == (await r.client.put(f"/network/v2.0{path}/{nowhere}", {})).status


async def test_a_group_in_use_stays_and_one_that_goes_takes_rules_that_name_it(r):
    web, db = [await r.make("security_group", name=name) for name in ("web", "db")]
    await r.call("POST", "/security-group-rules", rule(db["id"], remote_group_id=web["id"]))
    network, _ = await r.network()
    port = await r.make("port", network_id=network, security_groups=[web["id"]])

    assert (409, "SecurityGroupInUse") == await r.refused("DELETE", f"/security-groups/{web['id']}")
    await r.call("PUT", f"/ports/{port['id']}", {"port": {"security_groups": []}})
    await r.call("DELETE", f"/security-groups/{web['id']}")
    left = (await r.call("GET", f"/security-groups/{db['id']}"))["security_group"]
    assert {"egress"} == {one["direction"] for one in left["security_group_rules"]}
    assert left["revision_number"] > db["revision_number"]


async def test_ports_are_in_groups_of_their_own_project(r):
    network, _ = await r.network(token="admin", shared=True)
    group = await r.make("security_group", name="web")

    refused = await r.refused(
        "POST", "/ports", {"port": {"network_id": network, "security_groups": [group["id"]]}}, token="bob"
    )

    assert (404, "SecurityGroupNotFound") == refused
    assert ALICE.project_id == group["project_id"]
