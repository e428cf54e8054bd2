"""Which type of network carries what: chosen by name, given once, refused in words that say what there is."""

import asyncio
import contextlib
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from network.network_world import ADMIN, ALICE, POLICY, flat_dhcp, room, spanning, vxlan

from micronova import config
from micronova.clock import SystemClock
from micronova.db import Database
from micronova.db.sqlite import SQLite
from micronova.errors import ConfigError, Conflict, NotFound, Unavailable
from micronova.manager import Runtime
from micronova.network.attributes import for_create
from micronova.network.db import ROWS, GivenSegment, Network
from micronova.network.drivers.fake import FakeNetworkDriver
from micronova.network.manager import NetworkManager
from micronova.network.resources import NETWORK
from micronova.network.segments import pairs_of, vlan_ranges, vni_ranges
from micronova.network.strategies.flat import FlatManager
from micronova.network.strategies.flat_dhcp import FlatDHCPManager
from micronova.network.strategies.vlan import VlanManager
from micronova.network.strategies.vxlan import VxlanManager
from micronova.testing.ground import ground, make_tables

VLANS = {"network__vlan_ranges": ["rack:100:103"], "network__interfaces": ["lab:eth7"]}
WIRES = {"network__bridges": ["office:br-office", "lab:br-lab"]}
TYPE, PHYSICAL, ID = "provider:network_type", "provider:physical_network", "provider:segmentation_id"


@pytest.fixture
async def r():
    flags = {**VLANS, **WIRES, "network__vni_ranges": ["5:7"]}
    async with room(serve=False, carriers=spanning, **flags) as made:
        yield made


def carried(shown):
    return shown[TYPE], shown[PHYSICAL], shown[ID]


async def made(r, **values):
    return carried(await r.make("network", "admin", **values))


async def refused(r, **values):
    reply = await r.client.request("POST", "/network/v2.0/networks", {"network": values}, token="admin")
    assert reply.status >= 400, reply.content
    error = reply.json["NeutronError"]
    return reply.status, error["type"], error["message"]


async def test_who_asks_for_no_type_gets_the_first_configured_one(r):
    network = await r.make("network")

    shown = (await r.call("GET", f"/networks/{network['id']}", token="admin"))["network"]
    assert ("vxlan", None, 5) == carried(shown)
    assert TYPE not in network


async def test_a_type_names_its_strategy(r):
    assert ("vlan", "rack", 100) == await made(r, **{TYPE: "vlan"})
    assert ("vlan", "rack", 101) == await made(r, **{TYPE: "vlan", PHYSICAL: "rack"})
    assert ("vlan", "lab", 4094) == await made(r, **{TYPE: "vlan", PHYSICAL: "lab", ID: 4094})
    assert ("vxlan", None, 5) == await made(r, **{TYPE: "vxlan"})
    assert ("vxlan", None, 16777215) == await made(r, **{TYPE: "vxlan", ID: 16777215})
    assert ("flat", "office", None) == await made(r, **{TYPE: "flat", PHYSICAL: "office"})


async def test_a_type_without_a_strategy_is_refused_with_those_there_are(r):
    assert (400, "InvalidInput") == (await refused(r, **{TYPE: "geneve"}))[:2]
    assert "'geneve' not supported, this cloud has: vxlan, vlan, flat" in (await refused(r, **{TYPE: "geneve"}))[2]


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({TYPE: "vlan", PHYSICAL: "rack", ID: 0}, "segmentation_id out of range (1 through 4094)"),
        ({TYPE: "vlan", PHYSICAL: "rack", ID: 4095}, "segmentation_id out of range (1 through 4094)"),
        ({TYPE: "vlan", ID: 100}, "segmentation_id requires physical_network"),
        ({TYPE: "vlan", PHYSICAL: "nowhere"}, "physical_network 'nowhere' unknown for VLAN"),
        ({TYPE: "vxlan", ID: 0}, "segmentation_id out of range (1 through 16777215)"),
        ({TYPE: "vxlan", ID: 16777216}, "segmentation_id out of range (1 through 16777215)"),
        ({TYPE: "vxlan", PHYSICAL: "rack"}, "physical_network specified for vxlan"),
        ({TYPE: "flat"}, "physical_network required for flat"),
        ({TYPE: "flat", PHYSICAL: "nowhere"}, "physical_network 'nowhere' unknown for flat"),
        ({TYPE: "flat", PHYSICAL: "office", ID: 3}, "segmentation_id specified for a flat network"),
    ],
)
async def test_a_segment_that_can_not_be_is_refused(r, asked, reason):
    status, type, message = await refused(r, **asked)

    assert (400, "InvalidInput") == (status, type)
    assert reason in message


async def test_a_segment_that_is_taken_is_refused(r):
    for asked, type in (
        ({TYPE: "vlan", PHYSICAL: "rack", ID: 100}, "VlanIdInUse"),
        ({TYPE: "vxlan", ID: 5}, "TunnelIdInUse"),
        ({TYPE: "flat", PHYSICAL: "office"}, "FlatNetworkInUse"),
    ):
        await made(r, **asked)
        assert (409, type) == (await refused(r, **asked))[:2]


async def test_the_same_vlan_of_another_physical_network_is_another(r):
    await made(r, **{TYPE: "vlan", PHYSICAL: "rack", ID: 102})

    assert ("vlan", "lab", 102) == await made(r, **{TYPE: "vlan", PHYSICAL: "lab", ID: 102})


async def test_only_an_admin_names_a_segment(r):
    for asked in ({TYPE: "vlan"}, {PHYSICAL: "rack"}, {ID: 100}):
        assert (403, "PolicyNotAuthorized") == await r.refused("POST", "/networks", {"network": asked})


async def test_networks_are_found_by_their_segment_and_keep_it(r):
    network = await r.make("network", "admin", **{TYPE: "vlan"})
    await r.make("network", "admin")

    for query in (f"{TYPE}=vlan", f"{PHYSICAL}=rack", f"{ID}=100"):
        found = (await r.call("GET", f"/networks?{query}", token="admin"))["networks"]
        assert [network["id"]] == [one["id"] for one in found]
    for change in ({TYPE: "vxlan"}, {PHYSICAL: "lab"}, {ID: 101}):
        path = f"/networks/{network['id']}"
        assert 400 == (await r.refused("PUT", path, {"network": change}, token="admin"))[0]


async def test_a_range_that_is_used_up_is_a_conflict_until_one_is_given_back(r):
    networks = [await r.make("network") for _ in range(3)]

    assert (409, "NoNetworkAvailable") == await r.refused("POST", "/networks", {"network": {}})
    await r.call("DELETE", f"/networks/{networks[1]['id']}")
    assert ("vxlan", None, 6) == await made(r)


async def test_a_wire_that_is_not_the_clouds_is_given_to_nobody_who_does_not_name_it():
    def only_flat(runtime, host):
        return (FlatManager(runtime, host),)

    async with room(serve=False, carriers=only_flat, **WIRES) as r:
        assert (409, "NoNetworkAvailable") == await r.refused("POST", "/networks", {"network": {}})


async def test_the_largest_packet_follows_from_the_type(r):
    assert 1450 == (await r.make("network"))["mtu"]
    assert 1500 == (await r.make("network", "admin", **{TYPE: "vlan"}))["mtu"]
    assert (400, "InvalidInput") == await r.refused("POST", "/networks", {"network": {"mtu": 1451}})
    assert 1400 == (await r.make("network", mtu=1400))["mtu"]


async def test_tunnels_over_ipv6_take_more_of_each_packet():
    async with room(serve=False, carriers=spanning, **VLANS) as r:
        r.hosts["host1"].strategies[0].address = "2001:db8::1"

        assert 1430 == (await r.make("network"))["mtu"]


async def test_a_network_whose_strategy_is_gone_can_be_seen_and_deleted():
    async with room("host1", serve=False, carriers=vxlan) as r:
        network, _ = await r.network()
        port = await r.make("port", network_id=network)
        r.hosts["host1"].carriers = flat_dhcp
        r.hosts["host1"].begin()
        manager = r.hosts["host1"].manager

        assert network == (await manager.networks.get(ALICE, network)).rows[0].id
        assert "vxlan" == (await manager.ports.get(ALICE, port["id"])).parts[port["id"]][1]
        await manager.ports.delete(ALICE, port["id"])
        await manager.networks.delete(ALICE, network)
        assert [] == await r.runtime.db.read(lambda tx: tx.find(GivenSegment))


async def test_routers_do_not_join_a_wire_on_which_somebody_else_is_the_gateway(r):
    network = await r.make("network", "admin", **{TYPE: "flat", PHYSICAL: "office", "shared": True})
    subnet = await r.make("subnet", "admin", network_id=network["id"], cidr="10.9.0.0/24")
    port = await r.make("port", "admin", network_id=network["id"])
    router = await r.make("router", "admin")

    path = f"/routers/{router['id']}/add_router_interface"
    for asked in ({"subnet_id": subnet["id"]}, {"port_id": port["id"]}):
        assert (400, "BadRequest") == await r.refused("PUT", path, asked, token="admin")


async def test_two_strategies_of_one_type_refuse_the_start():
    def twice(runtime, host):
        return (FlatDHCPManager(runtime, host), FlatManager(runtime, host))

    with pytest.raises(ConfigError, match="FlatDHCPManager and FlatManager both carry networks of type 'flat'"):
        async with room(serve=False, carriers=twice):
            pass


async def test_no_strategy_at_all_refuses_the_start():
    with pytest.raises(ConfigError, match=r"network\.strategies: at least one is needed"):
        async with room(serve=False, carriers=lambda runtime, host: ()):
            pass


# -- never twice


KINDS = st.sampled_from(["next", "vlan", "given", "delete"])
ACTIONS = st.lists(st.tuples(KINDS, st.integers(100, 104)), max_size=16)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ACTIONS)
def test_whatever_is_asked_no_segment_is_given_twice_and_none_is_lost(actions):
    asyncio.run(play(actions))


async def play(actions):
    async with room(serve=False, carriers=spanning, **VLANS, network__vni_ranges=["1:4"]) as r:
        for action, number in actions:
            await act(r, action, number)
        await check(r)
        await asyncio.gather(*(act(r, action, number) for action, number in actions))
        await check(r)


async def act(r, action, number):
    asked = {
        "next": {},
        "vlan": {TYPE: "vlan"},
        "given": {TYPE: "vlan", PHYSICAL: "rack", ID: number},
    }
    if action != "delete":
        with contextlib.suppress(Conflict):
            await r.manager.networks.create(ADMIN, [for_create(NETWORK, asked[action])])
        return
    there = await r.runtime.db.read(lambda tx: tx.find(Network, order=(("id", True),)))
    if there:
        with contextlib.suppress(NotFound):
            await r.manager.networks.delete(ADMIN, random.Random(number).choice(there).id)


async def check(r):
    """Every network has the segment that is recorded for it, and nobody else has it."""
    rows = await r.runtime.db.read(lambda tx: tx.find(Network))
    given_ones = await r.runtime.db.read(lambda tx: tx.find(GivenSegment))
    segments = {row.id: (row.network_type, row.physical_network or "", row.segmentation_id) for row in rows}
    assert segments == {row.id: (row.network_type, row.physical_network, row.segmentation_id) for row in given_ones}
    assert len(set(segments.values())) == len(segments)


async def test_two_processes_on_one_file_never_give_the_same_vlan(tmp_path):
    runtime, managers = ground(*ROWS, network__vlan_ranges=["rack:100:111"]), []
    for host in ("h1", "h2"):
        engine = SQLite(f"sqlite:///{tmp_path / 'one.db'}", durable=False)
        if not managers:
            make_tables(engine, ROWS)
        db = Database(engine, runtime.clock)
        strategies = (VlanManager(runtime, host, db),)
        driver = FakeNetworkDriver(runtime.clock)
        managers.append(NetworkManager(runtime, host, db, driver=driver, policy=POLICY, strategies=strategies))

    async def make(number):
        with contextlib.suppress(Conflict, Unavailable):
            return (await managers[number % 2].networks.create(ADMIN, [for_create(NETWORK, {})])).rows[0]

    made = [row for row in await asyncio.gather(*(make(number) for number in range(16))) if row is not None]
    await asyncio.gather(*(managers[1].networks.delete(ADMIN, row.id) for row in made[:4]))
    made += [row for row in await asyncio.gather(*(make(number) for number in range(4))) if row is not None]

    kept = [row.segmentation_id for row in made[4:]]
    assert len(kept) == len(set(kept)) <= 12
    assert set(kept) <= set(range(100, 112))
    for manager in managers:
        manager.db.close()
    runtime.db.close()


# -- the options


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda: vlan_ranges("o", ["rack:1"], 4094), "'rack:1' is not of the form PHYSICAL_NETWORK:FIRST:LAST"),
        (lambda: vlan_ranges("o", [":1:2"], 4094), "':1:2' names no physical network"),
        (lambda: vlan_ranges("o", ["rack:5:4"], 4094), "'rack:5:4' is not a range within 1 to 4094"),
        (lambda: vlan_ranges("o", ["rack:1:4095"], 4094), "'rack:1:4095' is not a range within 1 to 4094"),
        (lambda: vlan_ranges("o", ["rack:0:9"], 4094), "'rack:0:9' is not a range within 1 to 4094"),
        (lambda: vlan_ranges("o", ["a:1:5", "b:1:5", "a:5:9"], 4094), "1 to 5 and 5 to 9 overlap"),
        (lambda: vni_ranges("o", ["1-5"], 9), "'1-5' is not of the form FIRST:LAST"),
        (lambda: pairs_of("o", ["rack"]), "'rack' is not of the form PHYSICAL_NETWORK:NAME"),
        (lambda: pairs_of("o", ["a:x", "a:y"]), "'a' comes twice"),
    ],
)
def test_a_wrong_option_is_refused_by_its_value(made, reason):
    with pytest.raises(ConfigError, match="configuration: o: ") as refusal:
        made()
    assert reason in str(refusal.value)


def test_a_tunnel_ends_at_an_address():
    loaded = config.load(flags={"network.tunnel_address": "nowhere"})
    runtime = Runtime(loaded, SystemClock(), None, None)

    with pytest.raises(ConfigError, match="'nowhere' is not an IP address"):
        VxlanManager(runtime)


def test_vlans_of_wired_and_of_ranged_physical_networks_are_known():
    loaded = config.load(flags={"network.vlan_ranges": ["rack:1:9"], "network.interfaces": ["lab:eth7"]})

    assert {"rack", "lab"} == VlanManager(Runtime(loaded, SystemClock(), None, None)).physical
