"""No floating IP is given twice: to many callers of many processes at once, and whoever is killed meanwhile."""

import asyncio
import contextlib
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from network.floating_writer import engine_of, manager_on, take
from network.network_world import ADMIN

from micronova.errors import Conflict, Unavailable
from micronova.network.attributes import for_create
from micronova.network.db import ROWS, Address, FloatingIp, Port
from micronova.network.manager import NetworkManager
from micronova.network.resources import NETWORK, SUBNET
from micronova.testing.ground import make_tables
from micronova.testing.servers import PostgresServer, find_postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
WRITER = Path(__file__).with_name("floating_writer.py")
CIDR, ROOM = "198.51.100.0/27", 29
"""A range, and how many floating IPs it has besides the gateway."""
ROUNDS, WRITERS = 3, 2


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'one.db'}"
        return
    if find_postgres() is None:
        pytest.skip("PostgreSQL is not installed")
    with PostgresServer() as server:
        yield server.dsn(server.new_database())


@contextlib.asynccontextmanager
async def managers(url: str, count: int):
    """So many managers with a database driver of their own each, as processes have, and an external network."""
    engine = engine_of(url)
    make_tables(engine, ROWS)
    made = [manager_on(url) for _ in range(count)]
    try:
        network = (await made[0].networks.create(ADMIN, [for_create(NETWORK, {"router:external": True})])).rows[0]
        await made[0].subnets.create(ADMIN, [for_create(SUBNET, {"network_id": network.id, "cidr": CIDR})])
        yield made, network.id
    finally:
        for manager in made:
            manager.db.close()


async def truth(manager: NetworkManager) -> list[str]:
    """The addresses of all floating IPs; each is its holder's, who has it alone."""

    def read(tx):
        return tx.find(FloatingIp), tx.find(Port), tx.find(Address)

    floating, ports, addresses = await manager.db.read(read)
    given = [row.floating_ip_address for row in floating]
    assert len(given) == len(set(given))
    assert sorted((row.holder_id, row.floating_ip_address) for row in floating) == sorted(
        (port.id, fixed.ip) for port in ports for fixed in port.fixed_ips
    )
    assert sorted((row.port_id, row.ip) for row in addresses) == sorted(
        (port.id, fixed.ip) for port in ports for fixed in port.fixed_ips
    )
    return given


async def fill(manager: NetworkManager, network_id: str) -> None:
    """Take what is left, one after the other."""
    with contextlib.suppress(Conflict):
        for _ in range(ROOM + 1):
            await take(manager, network_id)


async def test_callers_of_several_processes_at_once_get_one_each(url: str) -> None:
    async with managers(url, 3) as (made, network_id):

        async def caller(number: int) -> None:
            with contextlib.suppress(Conflict, Unavailable):
                row = await take(made[number % 3], network_id)
                if number % 4 == 0:
                    await made[(number + 1) % 3].floating_ips.delete(ADMIN, row.id)

        await asyncio.gather(*(caller(number) for number in range(48)))
        await truth(made[0])
        await fill(made[1], network_id)

        assert ROOM == len(await truth(made[2]))


async def test_whoever_is_killed_leaves_none_given_twice_and_none_lost(url: str) -> None:
    chance = random.Random("floating")
    async with managers(url, 1) as (made, network_id):
        for round in range(ROUNDS):
            kill_amid(url, network_id, round, chance.randint(4, 40))
            await truth(made[0])
        await fill(made[0], network_id)

        assert ROOM == len(await truth(made[0]))


def kill_amid(url: str, network_id: str, round: int, dots: int) -> None:
    """Processes take and give back floating IPs; both are killed when the first has done so many."""
    with contextlib.ExitStack() as stack:
        writers = []
        for number in range(WRITERS):
            words = [sys.executable, "-W", "ignore", str(WRITER), url, network_id, f"{round} {number}"]
            writers.append(stack.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE, text=True)))
            stack.callback(writers[-1].kill)
        first = writers[0].stdout
        assert first is not None
        told = [first.readline() for _ in range(dots)]
    assert [".\n"] * dots == told
