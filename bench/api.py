"""CPU of the server per request, beside a bare ASGI application that answers as many bytes: `python -m bench.api`.

Rounds of the cloud and of the floor alternate, and the median of the rounds counts. What is asked for is there: 1,
100 and 1,000 servers on fake drivers. Memory and idle CPU with 1,000 servers are measured on the way.
"""

import asyncio
import statistics
import tempfile
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop
from argon2 import PasswordHasher

from bench.canned import Canned
from bench.cloud import Client, Cloud, Result, Template, active, furnish, many, until
from micronova.clock import process_cpu_seconds
from micronova.identity.passwords import Cost

NETWORK = "/network/v2.0"


class Case:
    """One request, ours and the floor's, and what each round cost."""

    def __init__(self, name: str, times: int, message: bytes, floor: bytes) -> None:
        self.name = name
        self.times = times
        self.message = message
        self.floor = floor
        self.ours: list[float] = []
        self.canned: list[float] = []


class Requests:
    """Measures requests on one cloud."""

    def __init__(self, cloud: Cloud, client: Client, canned: Canned, floor: Client, *, quick: bool) -> None:
        self._cloud = cloud
        self._client = client
        self._canned = canned
        self._floor = floor
        self._quick = quick

    async def case(self, name: str, times: int, message: bytes) -> Case:
        """A request, tried once to see how large its answer is. Raises RuntimeError when it is refused."""
        reply = await self._client.send(message)
        if reply.status >= 400:
            raise RuntimeError(f"{name}: {reply.status} {reply.content[:300]!r}")
        floor = self._floor.message("GET", f"/{len(reply.content)}")
        return Case(name, max(2, times // 10) if self._quick else times, message, floor)

    async def get(self, name: str, times: int, path: str) -> Case:
        return await self.case(name, times, self._client.message("GET", path))

    async def run(self, cases: list[Case]) -> list[Result]:
        """Milliseconds of CPU per request: each case, then its floor."""
        for _ in range(2 if self._quick else 5):
            for case in cases:
                ours, floor = self._cloud.process.cpu_seconds, self._canned.process.cpu_seconds
                case.ours.append(await _round(self._client, case.message, case.times, ours))
                case.canned.append(await _round(self._floor, case.floor, case.times, floor))
        return [
            line
            for case in cases
            for line in (
                (f"{case.name}: CPU", statistics.median(case.ours) * 1e3, "ms"),
                (f"{case.name}: floor", statistics.median(case.canned) * 1e3, "ms"),
            )
        ]


async def _round(client: Client, message: bytes, times: int, spent: Callable[[], float]) -> float:
    """CPU seconds per request of `times` in a row."""
    before = spent()
    for _ in range(times):
        await client.send(message)
    return (spent() - before) / times


async def _small(requests: Requests, client: Client, cloud: Cloud) -> list[Case]:
    """Tokens, and lists that are short."""
    tokens = "/identity/v3/auth/tokens"
    rescope = {"auth": {"identity": {"methods": ["token"], "token": {"id": client.token}}}}
    return [
        await requests.case("token by password", 20, client.message("POST", tokens, cloud.login())),
        await requests.case("token by token", 200, client.message("POST", tokens, rescope)),
        await requests.case(
            "token validate", 200, client.message("GET", tokens, headers={"x-subject-token": client.token})
        ),
        await requests.get("GET networks", 200, f"{NETWORK}/networks"),
        await requests.get("GET ports", 200, f"{NETWORK}/ports"),
        await requests.get("GET images", 200, "/image/v2/images"),
        await requests.get("GET flavors/detail", 200, "/compute/v2.1/flavors/detail"),
    ]


def _argon2() -> float:
    """Milliseconds of CPU of the bare library verifying one password at our cost."""
    cost = Cost()
    hasher = PasswordHasher(cost.passes, cost.memory_kib, 1, hash_len=32, salt_len=16)
    stored = hasher.hash("a password")
    spent = []
    for _ in range(9):
        before = process_cpu_seconds()
        hasher.verify(stored, "a password")
        spent.append(process_cpu_seconds() - before)
    return statistics.median(spent) * 1e3


async def _fill(client: Client, template: Template, servers: int) -> None:
    """There are as many active servers."""
    missing = servers - await active(client)
    while missing > 0:
        share = min(missing, 100)
        await many(client, template, share)
        missing -= share

    async def there() -> bool:
        return await active(client) >= servers

    await until(there)


async def _measure(folder: Path, *, quick: bool) -> list[Result]:
    async with AsyncExitStack() as stack:
        cloud, canned = stack.enter_context(Cloud(folder)), stack.enter_context(Canned())
        client = await stack.enter_async_context(Client(cloud.url))
        floor = await stack.enter_async_context(Client(canned.url))
        await client.log_in(cloud)
        template = await furnish(client)
        requests = Requests(cloud, client, canned, floor, quick=quick)
        results = await requests.run(await _small(requests, client, cloud))
        results.append(("argon2id alone", _argon2(), "ms"))
        most = 20 if quick else 1000
        detail = "/compute/v2.1/servers/detail?limit=1000"
        few = 10 if quick else 100
        for servers, named, times in ((few, "100", 30), (most, "1,000", 5)):
            await _fill(client, template, servers)
            cases = [await requests.get(f"GET servers/detail, {named}", times, detail)]
            if servers == few:
                one = (await client.ask("GET", "/compute/v2.1/servers?limit=1")).json["servers"][0]["id"]
                cases.insert(0, await requests.get("GET server", 200, f"/compute/v2.1/servers/{one}"))
            results += await requests.run(cases)
        results.append(("RSS with 1,000 servers", cloud.process.rss_mib(), "MiB"))
        idle = await cloud.process.idle_percent(2 if quick else 20)
        results.append(("idle CPU with 1,000 servers", idle, "%"))
        return results


def measure(*, quick: bool = False) -> list[Result]:
    """(what, how much, unit) for requests and their floors; takes about a minute; `quick` has 10 and 20 servers."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(Path(folder), quick=quick))


if __name__ == "__main__":
    for what, how_much, unit in measure():
        print(f"{what:<48}{how_much:>10.3f} {unit}")
