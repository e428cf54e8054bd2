"""Garbage in any attribute, query or path is answered with a reason, never with a failure of ours."""

import asyncio
from collections.abc import Callable, Iterator
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from network.network_world import ADMIN, room

from micronova.network.listing import RESERVED, TESTS
from micronova.network.resources import RESOURCES

pytestmark = pytest.mark.slow
SETTINGS = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # a failure names its one request; making the list around it smaller takes minutes
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
NOWHERE = "11111111-1111-1111-1111-111111111111"
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
PLAUSIBLE = st.sampled_from(
    [
        "", "0", "-1", "true", "None", "default", "10.0.0.0/24", "10.0.0.5", "10.0.0.999", "fd00::/64", "fd00::1",
        "fe80::1%eth0", "0.0.0.0", "255.255.255.255/32", "fa:16:3e:00:00:01", "ff:ff:ff:ff:ff:ff", "slaac", "IPv6",
        "ingress", "tcp", "icmp", "network:router_interface", "network:dhcp", "NETWORK", "SUBNET", "GROUP", "PORT",
        "ROUTER", "FLOATINGIP", "SUBNETPOOL", "POLICY", "EXTERNAL", {"network_id": "EXTERNAL"},
        {"network_id": "NETWORK", "enable_snat": None},
        {"network_id": "EXTERNAL", "external_fixed_ips": [{"ip_address": "198.51.100.9"}]},
        NOWHERE, "::/0", "x" * 300, "\0", "a\0b", "²", "\u0661", 0, 1, -1, 4, 6, 65536, 2**31, 2**63, 10**30, 1.5, True,
        False, None, [], {},
        [None], [[]], [{}], {"": ""}, [{"ip_address": "10.0.0.7"}], [{"subnet_id": "SUBNET"}], [{"start": "10.0.0.1"}],
        [{"start": "10.0.0.2", "end": "fd00::"}], [{"destination": "10.0.0.0/8", "nexthop": "fd00::1"}], ["10.0.0.1"],
        [{"ip_address": "10.0.0.0/8", "mac_address": None}], ["GROUP", "GROUP"],
    ]
)  # fmt: skip
JSON = st.recursive(
    PLAUSIBLE | TEXT | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
NAMES = {resource.noun: [a.name for a in resource.attributes] for resource in RESOURCES}
SENSE = {
    "network": {},
    "subnet": {"network_id": "NETWORK", "cidr": "10.7.0.0/24"},
    "port": {"network_id": "NETWORK"},
    "security_group": {"name": "x"},
    "security_group_rule": {"security_group_id": "GROUP", "direction": "ingress"},
    "router": {},
    "floatingip": {"floating_network_id": "EXTERNAL"},
    "subnetpool": {"prefixes": ["10.88.0.0/16"]},
    "port_forwarding": {"internal_port_id": "PORT", "protocol": "tcp", "external_port": 80, "internal_port": 81},
    "address_scope": {"ip_version": 4},
    "metering_label": {},
    "metering_label_rule": {"metering_label_id": "LABEL", "direction": "ingress", "remote_ip_prefix": "10.0.0.0/8"},
    "agent": {},
    "policy": {"name": "p"},
    "trunk": {"port_id": "PORT"},
    "address_group": {"addresses": ["10.0.0.0/8"]},
    "bandwidth_limit_rule": {"max_kbps": 1000},
    "dscp_marking_rule": {"dscp_mark": 8},
    "minimum_bandwidth_rule": {"min_kbps": 1},
    "rbac_policy": {
        "object_type": "network",
        "object_id": "NETWORK",
        "action": "access_as_shared",
        "target_tenant": NOWHERE,
    },
}
NOUN = st.sampled_from(sorted(NAMES))
PATHS = {resource.noun: resource.path for resource in RESOURCES}
PARENTS = {"port_forwarding": "FLOATINGIP"}


def path_of(noun, ids):
    """The path of a collection; what lives inside of another resource is looked for in the one that is there."""
    return f"/network/v2.0/{PATHS[noun]}".replace("{id}", ids[PARENTS.get(noun, "QOS")])


def body_of(noun):
    """A body that makes sense but for some attributes."""
    odd = st.dictionaries(st.sampled_from(NAMES[noun]), JSON, max_size=4)
    return st.tuples(
        st.just(noun),
        st.builds(lambda kept, odd: {**kept, **odd}, st.sampled_from([SENSE.get(noun, {}), {}]), odd) | JSON,
        st.sampled_from(["alice", "admin", "bob"]),
    )


def place(value, ids):
    """The value with real ids for their names."""
    if isinstance(value, str):
        return ids.get(value, value)
    if isinstance(value, list):
        return [place(item, ids) for item in value]
    if isinstance(value, dict):
        return {key: place(item, ids) for key, item in value.items()}
    return value


async def furnished(r):
    """Ids of one of each."""
    network, subnet = await r.network()
    port = await r.make("port", network_id=network)
    group = await r.make("security_group", name="web")
    external, _ = await r.network("198.51.100.0/24", "admin", **{"router:external": True})
    router = await r.make("router", external_gateway_info={"network_id": external})
    await r.call("PUT", f"/routers/{router['id']}/add_router_interface", {"subnet_id": subnet})
    floating = await r.make("floatingip", floating_network_id=external)
    pool = await r.make("subnetpool", prefixes=["10.99.0.0/16"])
    rbac = {"object_type": "network", "object_id": network, "action": "access_as_shared", "target_tenant": NOWHERE}
    policy = (await r.call("POST", "/rbac-policies", {"rbac_policy": rbac}))["rbac_policy"]
    named = {"NETWORK": network, "SUBNET": subnet, "PORT": port["id"], "GROUP": group["id"]}
    return {**named, "EXTERNAL": external, "ROUTER": router["id"], "FLOATINGIP": floating["id"],
            "SUBNETPOOL": pool["id"], "POLICY": policy["id"], **await served(r, floating, port),
            **await operated(r)}  # fmt: skip


async def operated(r):
    """Ids of what operators have, and of an address scope."""
    await r.manager.agents.announce(ADMIN, "host1")
    label = (await r.call("POST", "/metering/metering-labels", {"metering_label": {}}, token="admin"))["metering_label"]
    agents = (await r.call("GET", "/agents?agent_type=DHCP%20agent", token="admin"))["agents"]
    return {
        "LABEL": label["id"],
        "AGENT": agents[0]["id"],
        "SCOPE": (await r.make("address_scope", ip_version=4))["id"],
    }


async def served(r, floating, port):
    """Ids of a QoS policy with a rule of each type, and of a forwarding."""
    qos = (await r.call("POST", "/qos/policies", {"policy": {}}, token="admin"))["policy"]["id"]
    limit = await r.call(
        "POST", f"/qos/policies/{qos}/bandwidth_limit_rules", {"bandwidth_limit_rule": {"max_kbps": 9}}, token="admin"
    )
    one = {"internal_port_id": port["id"], "protocol": "tcp", "external_port": 22, "internal_port": 22}
    forwarding = await r.call("POST", f"/floatingips/{floating['id']}/port_forwardings", {"port_forwarding": one})
    return {
        "QOS": qos,
        "RULE": limit["bandwidth_limit_rule"]["id"],
        "FORWARDING": forwarding["port_forwarding"]["id"],
    }


@pytest.fixture(scope="module")
def play() -> Iterator[Callable]:
    """Runs a coroutine function (room, ids) in one room for all examples."""
    limits = {
        f"quota__{name}": 10**9
        for name in (
            "networks",
            "subnets",
            "ports",
            "security_groups",
            "security_group_rules",
            "routers",
            "floating_ips",
            "rbac_policies",
        )
    }
    made = room(serve=False, **limits)
    with asyncio.Runner() as runner:
        r = runner.run(made.__aenter__())
        ids = runner.run(furnished(r))
        yield lambda run: runner.run(run(r, ids))
        runner.run(made.__aexit__(None, None, None))


def check(reply, *what):
    assert reply.status < 500, (what, reply.content)
    if reply.status >= 400:
        error = reply.json["NeutronError"]
        assert error["type"], what
        assert error["message"], what


@SETTINGS
@given(st.lists(NOUN.flatmap(body_of), min_size=5, max_size=20))
def test_a_post_of_anything_is_made_or_refused(play, bodies):
    async def run(r, ids):
        for noun, given_, token in bodies:
            body = {noun: place(given_, ids)}
            reply = await r.client.post(path_of(noun, ids), body, token=token)
            check(reply, body)

    play(run)


@SETTINGS
@given(st.lists(NOUN.flatmap(body_of), min_size=5, max_size=20))
def test_a_put_of_anything_is_done_or_refused(play, bodies):
    async def run(r, ids):
        for noun, given_, token in bodies:
            id = ids.get(noun.split("_")[-1].upper(), NOWHERE)
            body = {noun: place(given_, ids)}
            check(await r.client.put(f"{path_of(noun, ids)}/{id}", body, token=token), body)

    play(run)


def query_of(noun):
    names = st.sampled_from([*NAMES[noun], *RESERVED, *TESTS])
    values = PLAUSIBLE.map(str) | TEXT | st.sampled_from(["name", "id", "asc", "ip_address=10.0.0.2", "2020-01-01"])
    return st.tuples(st.just(noun), st.lists(st.tuples(names, values), max_size=4))


@SETTINGS
@given(st.lists(NOUN.flatmap(query_of), min_size=5, max_size=20))
def test_a_query_of_anything_is_answered_or_refused(play, queries):
    async def run(r, ids):
        for noun, query in queries:
            path = f"{path_of(noun, ids)}?{urlencode([(name, place(value, ids)) for name, value in query])}"
            check(await r.client.request("GET", path), path)

    play(run)


@SETTINGS
@given(st.lists(JSON, min_size=5, max_size=20))
def test_an_action_on_a_router_with_anything_is_done_or_refused(play, values):
    async def run(r, ids):
        for value in values:
            for action in ("add_router_interface", "remove_router_interface", "add_extraroutes", "remove_extraroutes"):
                odd = place(value, ids)
                for body in (odd, {"subnet_id": odd}, {"port_id": odd}, {"router": odd}, {"router": {"routes": odd}}):
                    check(await r.client.put(f"/network/v2.0/routers/{ids['ROUTER']}/{action}", body), action, body)

    play(run)


@SETTINGS
@given(st.lists(JSON, min_size=5, max_size=20))
def test_quotas_and_tags_of_anything_are_set_or_refused(play, values):
    async def run(r, ids):
        for value in values:
            for path, body in (
                ("quotas/x", {"quota": {"network": value}}),
                ("quotas/x", {"quota": value}),
                ("quotas/x", value),
                (f"networks/{ids['NETWORK']}/tags", {"tags": value}),
                (f"networks/{ids['NETWORK']}/tags", value),
            ):
                check(await r.client.put(f"/network/v2.0/{path}", body, token="admin"), path, body)

    play(run)


@SETTINGS
@given(st.lists(JSON, min_size=5, max_size=20))
def test_an_agent_is_given_anything_or_refuses_it(play, values):
    async def run(r, ids):
        for value in values:
            odd = place(value, ids)
            for rule, name in (("dhcp-networks", "network_id"), ("l3-routers", "router_id")):
                path = f"/network/v2.0/agents/{ids['AGENT']}/{rule}"
                for body in (odd, {name: odd}):
                    check(await r.client.post(path, body, token="admin"), path, body)

    play(run)
