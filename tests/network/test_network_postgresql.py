"""Many writers at once on PostgreSQL: still no address, MAC, quota or rule twice."""

import asyncio

import pytest
from network.network_world import ALICE, POLICY

from micronova.clock import SystemClock
from micronova.db import Database
from micronova.db.postgresql import PostgreSQL
from micronova.errors import Conflict, QuotaExceeded, Unavailable
from micronova.network.attributes import for_create
from micronova.network.db import ROWS, Address, Port, Rule
from micronova.network.drivers.fake import FakeNetworkDriver
from micronova.network.flat_dhcp import FlatDHCPManager
from micronova.network.resources import NETWORK, PORT, SECURITY_GROUP, SECURITY_GROUP_RULE, SUBNET
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
    runtime = ground(*ROWS, clock=clock, quota__ports=40)
    yield FlatDHCPManager(runtime, "h1", database, driver=FakeNetworkDriver(clock), policy=POLICY)
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
