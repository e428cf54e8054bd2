"""Garbage where the first look at a body does not reach: segments, things within things, actions, paths of anything."""

import asyncio
from collections.abc import Callable, Iterator
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from network.network_world import room, spanning
from network.test_network_fuzz import JSON, NAMES, PLAUSIBLE, SETTINGS, TEXT, check, furnished, path_of, place

pytestmark = pytest.mark.slow
FLAGS = {
    "network__vlan_ranges": ["rack:100:140"],
    "network__bridges": ["office:br-office", "lab:br-lab"],
    "network__vni_ranges": ["1:999999"],
    **{f"quota__{noun}": 10**9 for noun in ("networks", "subnets", "ports", "security_groups", "rbac_policies")},
}
ODD = PLAUSIBLE | TEXT | JSON
TYPES = st.sampled_from(["vlan", "vxlan", "flat", "gre", "geneve", "local", "VLAN"]) | ODD
WIRES = st.sampled_from(["rack", "office", "lab", "nowhere"]) | ODD
IDS = st.sampled_from([0, 1, 100, 4094, 4095, 1 << 24, "100", -1, 100.0]) | ODD
SEGMENT = {"provider:network_type": TYPES, "provider:physical_network": WIRES, "provider:segmentation_id": IDS}
NETWORK = st.fixed_dictionaries({}, optional=SEGMENT)
SEGMENTS = NETWORK | st.fixed_dictionaries({"segments": st.lists(NETWORK | ODD, max_size=3) | ODD})
NOUNS = {
    "policy": "QOS",
    "trunk": "TRUNK",
    "address_group": "ADDRESSES",
    "address_scope": "SCOPE",
    "metering_label": "LABEL",
    "agent": "AGENT",
    "port_forwarding": "FORWARDING",
    "bandwidth_limit_rule": "RULE",
    "dscp_marking_rule": "DSCP",
    "minimum_bandwidth_rule": "MINIMUM",
    "floatingip": "FLOATINGIP",
    "port": "PORT",
    "network": "NETWORK",
}
ACTIONS = (
    ("trunks", "TRUNK", "add_subports", "sub_ports"),
    ("trunks", "TRUNK", "remove_subports", "sub_ports"),
    ("address-groups", "ADDRESSES", "add_addresses", "addresses"),
    ("address-groups", "ADDRESSES", "remove_addresses", "addresses"),
)
WITHIN = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "port_id": ODD,
            "segmentation_id": IDS,
            "segmentation_type": st.sampled_from(["vlan", "inherit"]) | ODD,
        },
    )
    | ODD,
    max_size=3,
)
PATHS = (
    *("auto-allocated-topology/{}", "network-ip-availabilities/{}", "qos/rule-types/{}", "extensions/{}"),
    *("quotas/{}", "quotas/{}/details", "quotas/{}/default", "agents/{}", "agents/{}/dhcp-networks"),
    *("agents/{}/l3-routers", "networks/{}/dhcp-agents", "routers/{}/l3-agents", "trunks/{}/get_subports"),
    *("floatingips/{}/port_forwardings", "qos/policies/{}/dscp_marking_rules", "metering/metering-labels/{}"),
    *("qos/alias_bandwidth_limit_rules/{}", "address-scopes/{}", "networks/{}/tags", "networks/NETWORK/tags/{}"),
)


async def made(r) -> dict[str, str]:
    """Ids of one of each."""
    ids = await furnished(r)
    port = (await r.make("port", network_id=ids["NETWORK"]))["id"]
    rules = f"/qos/policies/{ids['QOS']}"
    dscp = await r.call("POST", f"{rules}/dscp_marking_rules", {"dscp_marking_rule": {"dscp_mark": 8}}, token="admin")
    least = {"minimum_bandwidth_rule": {"min_kbps": 1}}
    minimum = await r.call("POST", f"{rules}/minimum_bandwidth_rules", least, token="admin")
    return {
        **ids,
        "TRUNK": (await r.make("trunk", port_id=port))["id"],
        "ADDRESSES": (await r.make("address_group", addresses=["10.0.0.0/8"]))["id"],
        "DSCP": dscp["dscp_marking_rule"]["id"],
        "MINIMUM": minimum["minimum_bandwidth_rule"]["id"],
    }


@pytest.fixture(scope="module")
def play() -> Iterator[Callable]:
    """Runs a coroutine function (room, ids) in one room for all examples."""
    opened = room(serve=False, carriers=spanning, **FLAGS)
    with asyncio.Runner() as runner:
        r = runner.run(opened.__aenter__())
        ids = runner.run(made(r))
        yield lambda run: runner.run(run(r, ids))
        runner.run(opened.__aexit__(None, None, None))


@SETTINGS
@given(st.lists(st.tuples(SEGMENTS, st.sampled_from(["admin", "alice"])), min_size=5, max_size=20))
def test_a_network_on_any_segment_is_made_or_refused(play, bodies):
    async def run(r, ids):
        for given_, token in bodies:
            body = {"network": place(given_, ids)}
            reply = await r.client.post("/network/v2.0/networks", body, token=token)
            check(reply, body)
            if reply.status == 201:
                made_ = f"/network/v2.0/networks/{reply.json['network']['id']}"
                check(await r.client.put(made_, body, token=token), body)
                check(await r.client.request("DELETE", made_, token=token), body)

    play(run)


def change_of(noun):
    return st.tuples(st.just(noun), st.dictionaries(st.sampled_from(NAMES[noun]), ODD, max_size=3) | JSON)


@SETTINGS
@given(st.lists(st.sampled_from(sorted(NOUNS)).flatmap(change_of), min_size=5, max_size=20))
def test_what_is_there_is_changed_to_anything_or_refuses(play, changes):
    async def run(r, ids):
        for noun, given_ in changes:
            body = {noun: place(given_, ids)}
            for token in ("alice", "admin"):
                path = f"{path_of(noun, ids)}/{ids[NOUNS[noun]]}"
                check(await r.client.put(path, body, token=token), path, body)

    play(run)


@SETTINGS
@given(st.lists(WITHIN | JSON, min_size=5, max_size=20))
def test_an_action_with_anything_is_done_or_refused(play, values):
    async def run(r, ids):
        for value in values:
            odd = place(value, ids)
            for plural, noun, action, key in ACTIONS:
                path = f"/network/v2.0/{plural}/{ids[noun]}/{action}"
                for body in (odd, {key: odd}):
                    check(await r.client.put(path, body), path, body)

    play(run)


@SETTINGS
@given(st.lists(st.tuples(st.sampled_from(PATHS), PLAUSIBLE.map(str) | TEXT), min_size=5, max_size=20))
def test_a_path_of_anything_is_answered_or_refused(play, asked):
    async def run(r, ids):
        for path, odd in asked:
            url = f"/network/v2.0/{path.format(quote(place(odd, ids), safe='')).replace('NETWORK', ids['NETWORK'])}"
            for method in ("GET", "DELETE") if "auto" in path or "tags" in path else ("GET",):
                reply = await r.client.request(method, url, token="admin")
                assert reply.status < 500, (method, url, reply.content)

    play(run)
