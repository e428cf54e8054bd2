"""Many writers at once on PostgreSQL: still no address, MAC, quota or rule twice."""

import asyncio

import pytest
from network.network_world import ADMIN, ALICE, POLICY

from micronova.clock import SystemClock
from micronova.db import Database
from micronova.db.postgresql import PostgreSQL
from micronova.errors import BadRequest, Conflict, Error, QuotaExceeded, Unavailable
from micronova.network.attributes import for_create, for_update
from micronova.network.db import (
    ROWS,
    Address,
    FloatingIp,
    GivenSegment,
    Network,
    Port,
    Router,
    RouterPort,
    Rule,
    Subnet,
)
from micronova.network.drivers.fake import FakeNetworkDriver
from micronova.network.manager import NetworkManager
from micronova.network.resources import (
    FLOATING_IP,
    NETWORK,
    PORT,
    ROUTER,
    SECURITY_GROUP,
    SECURITY_GROUP_RULE,
    SUBNET,
    SUBNET_POOL,
)
from micronova.network.router_interfaces import Asked
from micronova.network.strategies.flat_dhcp import FlatDHCPManager
from micronova.network.strategies.vlan import VlanManager
from micronova.network.strategies.vxlan import VxlanManager
from micronova.testing.ground import ground, make_tables
from micronova.testing.servers import PostgresServer, find_postgres

pytestmark = [pytest.mark.slow, pytest.mark.skipif(find_postgres() is None, reason="PostgreSQL is not installed")]


@pytest.fixture(scope="module")
def server():
    made = PostgresServer()
    made.start()
    yield made
    made.close()


@pytest.fixture
def manager(server):
    clock = SystemClock()
    engine = PostgreSQL(server.dsn(server.new_database()), durable=False)
    make_tables(engine, ROWS)
    database = Database(engine, clock)
    runtime = ground(*ROWS, clock=clock, quota__ports=40, network__vlan_ranges=["rack:100:111"])
    strategies = (
        FlatDHCPManager(runtime, "h1", database),
        VlanManager(runtime, "h1", database),
        VxlanManager(runtime, "h1", database, address="192.0.2.1"),
    )
    yield NetworkManager(runtime, "h1", database, driver=FakeNetworkDriver(clock), policy=POLICY, strategies=strategies)
    database.close()
    runtime.db.close()


async def one(collection, resource, **values):
    return (await collection.create(ALICE, [for_create(resource, values)])).rows[0]


async def test_callers_at_once_never_get_the_same_address_and_never_more_than_the_quota(manager):
    network = await one(manager.networks, NETWORK, name="n")
    await one(manager.subnets, SUBNET, network_id=network.id, cidr="10.0.0.0/26")
    await one(manager.ports, PORT, network_id=network.id)
    refused = []

    async def caller():
        for _ in range(6):
            try:
                await one(manager.ports, PORT, network_id=network.id)
            except (Conflict, QuotaExceeded, Unavailable) as err:
                refused.append(err)

    await asyncio.gather(*(caller() for _ in range(8)))

    ports = await manager.db.read(lambda tx: tx.find(Port))
    addresses = await manager.db.read(lambda tx: tx.find(Address))
    assert 40 >= len(ports) == len({port.mac for port in ports}) == len({row.ip for row in addresses})
    assert len(ports) == len(addresses) == 49 - len(refused)


async def test_the_same_rule_at_once_is_made_once(manager):
    group = await one(manager.security_groups, SECURITY_GROUP, name="web")
    wish = {"security_group_id": group.id, "direction": "ingress", "protocol": "tcp"}

    found = await asyncio.gather(
        *(one(manager.security_group_rules, SECURITY_GROUP_RULE, **wish) for _ in range(6)), return_exceptions=True
    )

    rules = await manager.db.read(lambda tx: tx.find(Rule, group_id=group.id, protocol="tcp"))
    assert (1, 5) == (len(rules), sum(isinstance(one, Conflict) for one in found))


async def outside(manager, cidr="198.51.100.0/28"):
    """An external network of an administrator's."""
    wish = for_create(NETWORK, {"router:external": True})
    network = (await manager.networks.create(ADMIN, [wish])).rows[0]
    await manager.subnets.create(ADMIN, [for_create(SUBNET, {"network_id": network.id, "cidr": cidr})])
    return network


async def at_once(*calls):
    """How many calls were done, and what refused the others."""
    found = await asyncio.gather(*calls, return_exceptions=True)
    for one in found:
        assert isinstance(one, Error) or not isinstance(one, BaseException), one
    refused = [one for one in found if isinstance(one, Error)]
    return len(found) - len(refused), refused


async def test_no_floating_ip_is_given_twice(manager):
    out = await outside(manager)

    done, refused = await at_once(
        *(one(manager.floating_ips, FLOATING_IP, floating_network_id=out.id) for _ in range(20))
    )

    rows = await manager.db.read(lambda tx: tx.find(FloatingIp))
    holders = await manager.db.read(lambda tx: tx.find(Port))
    assert done == len(rows) == len({row.floating_ip_address for row in rows}) == len(holders)
    assert all(isinstance(err, Conflict | Unavailable) for err in refused)
    assert done <= 13


async def test_of_two_overlapping_networks_a_router_joins_one(manager):
    subnets = []
    for _ in range(5):
        network = await one(manager.networks, NETWORK)
        subnets.append(await one(manager.subnets, SUBNET, network_id=network.id, cidr="10.0.0.0/24"))
    router = await one(manager.routers, ROUTER)

    done, refused = await at_once(
        *(manager.add_router_interface(ALICE, router.id, Asked(subnet_id=subnet.id)) for subnet in subnets)
    )

    links = await manager.db.read(lambda tx: tx.find(RouterPort))
    assert (1, 1) == (done, len(links))
    assert all(isinstance(err, BadRequest | Conflict | Unavailable) for err in refused)


async def test_a_gateway_does_not_go_while_a_floating_ip_comes_to_need_it(manager):
    out = await outside(manager)
    network = await one(manager.networks, NETWORK)
    subnet = await one(manager.subnets, SUBNET, network_id=network.id, cidr="10.0.0.0/24")
    for _ in range(6):
        router = await one(manager.routers, ROUTER, external_gateway_info={"network_id": out.id})
        await manager.add_router_interface(ALICE, router.id, Asked(subnet_id=subnet.id))
        port = await one(manager.ports, PORT, network_id=network.id)
        wish = {"floating_network_id": out.id, "port_id": port.id}

        await at_once(
            one(manager.floating_ips, FLOATING_IP, **wish),
            manager.routers.update(ALICE, router.id, for_update(ROUTER, {"external_gateway_info": None})),
        )

        rows = await manager.db.read(lambda tx: tx.find(FloatingIp))
        now = await manager.db.read(lambda tx, id=router.id: tx.get(Router, id))
        assert all(row.router_id != now.id or now.external_network_id == out.id for row in rows)
        for row in rows:
            await manager.floating_ips.delete(ALICE, row.id)
        await manager.remove_router_interface(ALICE, router.id, Asked(subnet_id=subnet.id))
        await manager.routers.delete(ALICE, router.id)


async def test_no_piece_of_a_pool_is_given_twice(manager):
    pool = await one(manager.subnet_pools, SUBNET_POOL, prefixes=["10.88.0.0/21"], default_prefixlen=24)
    networks = [await one(manager.networks, NETWORK) for _ in range(12)]

    done, refused = await at_once(
        *(one(manager.subnets, SUBNET, network_id=network.id, subnetpool_id=pool.id) for network in networks)
    )

    subnets = await manager.db.read(lambda tx: tx.find(Subnet))
    assert done == len(subnets) == len({subnet.cidr for subnet in subnets})
    assert all(isinstance(err, Conflict | Unavailable) for err in refused)
    assert done <= 8


async def network_of(manager, type, **segment):
    values = {"provider:network_type": type, **{f"provider:{name}": value for name, value in segment.items()}}
    return (await manager.networks.create(ADMIN, [for_create(NETWORK, values)])).rows[0]


async def segments(manager, type):
    """The segments of networks; each must be recorded as given to its network."""
    rows = await manager.db.read(lambda tx: tx.find(Network, network_type=type))
    given = await manager.db.read(lambda tx: tx.find(GivenSegment, network_type=type))
    assert {(row.id, row.segmentation_id) for row in rows} == {(row.id, row.segmentation_id) for row in given}
    return [row.segmentation_id for row in rows]


async def test_no_vlan_is_given_twice_and_what_is_given_back_is_given_again(manager):
    done, refused = await at_once(*(network_of(manager, "vlan") for _ in range(16)))
    first = await segments(manager, "vlan")

    assert done == len(first) == len(set(first)) <= 12
    assert all(isinstance(err, Conflict | Unavailable) for err in refused)

    rows = await manager.db.read(lambda tx: tx.find(Network, network_type="vlan"))
    calls = [manager.networks.delete(ADMIN, row.id) for row in rows[::2]]
    await at_once(*calls, *(network_of(manager, "vlan") for _ in range(8)))
    second = await segments(manager, "vlan")

    assert len(second) == len(set(second)) <= 12
    assert set(second) <= set(range(100, 112))


async def test_no_vni_is_given_twice(manager):
    done, _ = await at_once(*(network_of(manager, "vxlan") for _ in range(24)))

    found = await segments(manager, "vxlan")
    assert done == len(found) == len(set(found))


async def test_the_vlan_that_all_ask_for_is_given_to_one(manager):
    for vlan in range(2000, 2004):
        done, refused = await at_once(
            *(network_of(manager, "vlan", physical_network="rack", segmentation_id=vlan) for _ in range(6))
        )

        assert 1 == done
        assert all(isinstance(err, Conflict | Unavailable) for err in refused)
    assert [2000, 2001, 2002, 2003] == sorted(await segments(manager, "vlan"))
