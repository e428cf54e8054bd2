"""A process that takes and gives back floating IPs until it is killed: `python floating_writer.py URL NETWORK SEED`."""

import asyncio
import contextlib
import random
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[:0] = [str(Path(__file__).parents[1])]

from network.network_world import ALICE, POLICY

from micronova.db import Database
from micronova.db.postgresql import PostgreSQL
from micronova.db.sqlite import SQLite
from micronova.errors import Conflict, Unavailable
from micronova.network.attributes import for_create
from micronova.network.db import ROWS
from micronova.network.drivers.fake import FakeNetworkDriver
from micronova.network.manager import NetworkManager
from micronova.network.resources import FLOATING_IP
from micronova.network.strategies.flat_dhcp import FlatDHCPManager
from micronova.testing.ground import ground

AT_ONCE = 4


def engine_of(url: str):
    """The engine of a database's URL."""
    return SQLite(url, durable=False) if url.startswith("sqlite") else PostgreSQL(url, durable=False)


def manager_on(url: str) -> NetworkManager:
    """A network manager on a database that is there, as another process of the cloud has one."""
    runtime = ground(*ROWS, quota__floating_ips=10**6)
    database = Database(engine_of(url), runtime.clock)
    runtime.db.close()
    strategies = (FlatDHCPManager(runtime, "h1", database),)
    driver = FakeNetworkDriver(runtime.clock)
    return NetworkManager(runtime, "h1", database, driver=driver, policy=POLICY, strategies=strategies)


async def take(manager: NetworkManager, network_id: str):
    """A new floating IP."""
    return (
        await manager.floating_ips.create(ALICE, [for_create(FLOATING_IP, {"floating_network_id": network_id})])
    ).rows[0]


async def caller(manager: NetworkManager, network_id: str, chance: random.Random) -> None:
    """Take and give back, for ever; a dot for each."""
    mine: list[str] = []
    while True:
        with contextlib.suppress(Conflict, Unavailable):
            if mine and chance.random() < 0.4:
                await manager.floating_ips.delete(ALICE, mine.pop(chance.randrange(len(mine))))
            else:
                mine.append((await take(manager, network_id)).id)
        print(".", flush=True)
        await asyncio.sleep(0)


async def main(url: str, network_id: str, seed: str) -> None:
    manager = manager_on(url)
    await asyncio.gather(*(caller(manager, network_id, random.Random(f"{seed} {n}")) for n in range(AT_ONCE)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
