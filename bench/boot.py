"""Servers on fake drivers, from the request to ACTIVE and to gone: `python -m bench.boot`.

CPU is that of the cloud's process, user and system, requests and polling included. The floor of a boot's CPU is
sqlite3 alone making as many transactions and lines as one boot was seen to make.
"""

import asyncio
import sqlite3
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path

import uvloop

from bench.cloud import Client, Cloud, Result, Template, active, furnish, server, until
from micronova.clock import SystemClock, process_cpu_seconds

SERVERS = "/compute/v2.1/servers"
AT_ONCE = 8
COMMITS, LINES = 12, 29
"""Write transactions of one boot with a port and the lines they change, journal included: counted over 20 boots."""


class Boots:
    """Boots and deletes on one cloud."""

    def __init__(self, cloud: Cloud, client: Client, template: Template) -> None:
        self._cloud = cloud
        self._client = client
        self._template = template
        self._clock = SystemClock()

    async def one(self) -> tuple[float, float]:
        """Seconds from the request to ACTIVE, and from the request to gone."""
        begun = self._clock.monotonic()
        made = (await self._client.ask("POST", SERVERS, server(self._template, "one"))).json["server"]["id"]
        path = f"{SERVERS}/{made}"

        async def ready() -> bool:
            found = (await self._client.ask("GET", path)).json["server"]["status"]
            if found == "ERROR":
                raise RuntimeError("a server went into error instead of booting")
            return bool(found == "ACTIVE")

        async def gone() -> bool:
            return (await self._client.send(self._client.message("GET", path))).status == 404

        await until(ready, every=0.002)
        booted = self._clock.monotonic() - begun
        begun = self._clock.monotonic()
        await self._client.ask("DELETE", path)
        await until(gone, every=0.002)
        return booted, self._clock.monotonic() - begun

    async def many(self, named: int, servers: int) -> list[Result]:
        """So many servers, AT_ONCE requests under way, until all are active; then until all are gone."""

        async def create(client: Client, number: int) -> None:
            await client.ask("POST", SERVERS, server(self._template, f"many-{number}"))

        async def all_active() -> bool:
            return await active(self._client) >= servers

        took, cpu = await self._timed(create, range(servers), all_active)
        listed = (await self._client.ask("GET", f"{SERVERS}?limit=1000")).json["servers"]
        ids = [one["id"] for one in listed]

        async def delete(client: Client, number: int) -> None:
            await client.ask("DELETE", f"{SERVERS}/{ids[number]}")

        async def all_gone() -> bool:
            return not (await self._client.ask("GET", f"{SERVERS}?limit=1000")).json["servers"]

        gone, gone_cpu = await self._timed(delete, range(len(ids)), all_gone)
        return [
            (f"boot of {named}, {AT_ONCE} at once", servers / took, "/s"),
            (f"boot of {named}: CPU per server", cpu / servers * 1e3, "ms"),
            (f"delete of {named}, {AT_ONCE} at once", servers / gone, "/s"),
            (f"delete of {named}: CPU per server", gone_cpu / servers * 1e3, "ms"),
        ]

    async def _timed(
        self, job: Callable[[Client, int], Awaitable[None]], numbers: range, done: Callable[[], Awaitable[bool]]
    ) -> tuple[float, float]:
        """Wall and CPU seconds of all jobs and what follows from them."""
        left = iter(numbers)

        async def worker() -> None:
            async with Client(self._cloud.url) as client:
                client.token = self._client.token
                for number in left:
                    await job(client, number)

        begun, cpu = self._clock.monotonic(), self._cloud.process.cpu_seconds()
        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
        await until(done)
        return self._clock.monotonic() - begun, self._cloud.process.cpu_seconds() - cpu


def _floor(times: int) -> float:
    """CPU seconds of a boot's transactions by sqlite3 alone."""
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(sqlite3.connect(Path(folder) / "floor.db", isolation_level=None)) as db,
    ):
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("CREATE TABLE lines (id INTEGER PRIMARY KEY, owner TEXT, body TEXT)")
        before = process_cpu_seconds()
        for _ in range(times):
            for commit in range(COMMITS):
                db.execute("BEGIN IMMEDIATE")
                for _ in range(LINES // COMMITS + (commit < LINES % COMMITS)):
                    db.execute("INSERT INTO lines (owner, body) VALUES (?, ?)", ("a project", "x" * 400))
                db.execute("COMMIT")
        return (process_cpu_seconds() - before) / times


async def _measure(folder: Path, *, quick: bool) -> list[Result]:
    async with AsyncExitStack() as stack:
        cloud = stack.enter_context(Cloud(folder))
        client = await stack.enter_async_context(Client(cloud.url))
        await client.log_in(cloud)
        boots = Boots(cloud, client, await furnish(client))
        ones, floors = [], []
        for _ in range(3 if quick else 15):
            ones.append(await boots.one())
            floors.append(_floor(20))
        results = [
            ("boot of one, request to ACTIVE", statistics.median(took for took, _ in ones) * 1e3, "ms"),
            ("delete of one, request to gone", statistics.median(took for _, took in ones) * 1e3, "ms"),
            ("boot: floor", statistics.median(floors) * 1e3, "ms"),
        ]
        for servers in (40, 100):
            results += await boots.many(servers, servers // 10 if quick else servers)
        return results


def measure(*, quick: bool = False) -> list[Result]:
    """(what, how much, unit) for one server, 40 and 100 (quick: 4 and 10); takes about half a minute."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(Path(folder), quick=quick))


if __name__ == "__main__":
    for what, how_much, unit in measure():
        print(f"{what:<48}{how_much:>10.3f} {unit}")
