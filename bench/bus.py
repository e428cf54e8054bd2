"""What a call costs on both buses, beside the floor of each in the same run: `python bench/bus.py`.

CPU of a call over NATS is that of client, server and broker together; client and server share a process, as the
floor's do. Rounds of all candidates are interleaved and the best round counts, so that a busy machine hurts none
more than another.
"""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import nats
import uvloop

from micronova.bus.memory import MemoryBus
from micronova.bus.nats import NatsBus, NatsOptions
from micronova.clock import SystemClock, process_cpu_seconds
from micronova.testing.servers import NatsServer, find_nats_server

Call = Callable[[bytes], Awaitable[bytes]]
Result = tuple[str, float, str]

PAYLOAD = b"x" * 1024
ROUNDS = 5
AT_ONCE = 64


async def echo(message: bytes) -> bytes:
    return message


class Candidate:
    """One way to make a call, and what it cost so far."""

    def __init__(self, name: str, call: Call, calls: int, broker: int | None) -> None:
        self.name = name
        self.best: dict[int, tuple[float, float]] = {}
        self._call = call
        self._calls = calls
        self._broker = broker

    async def measure(self, at_once: int) -> None:
        """Another round is counted: CPU and wall seconds per call, `at_once` calls under way."""
        share = self._calls // at_once
        loop = asyncio.get_running_loop()
        cpu, begun = self._cpu_seconds(), loop.time()
        await asyncio.gather(*(self._repeat(share) for _ in range(at_once)))
        calls = share * at_once
        spent = (self._cpu_seconds() - cpu) / calls, (loop.time() - begun) / calls
        self.best[at_once] = min(self.best.get(at_once, spent), spent)

    async def _repeat(self, times: int) -> None:
        for _ in range(times):
            await self._call(PAYLOAD)

    def _cpu_seconds(self) -> float:
        return process_cpu_seconds() + (_cpu_seconds_of(self._broker) if self._broker else 0.0)


def _cpu_seconds_of(pid: int) -> float:
    """CPU seconds the threads of another process have used: nanoseconds in proc's schedstat (proc(5))."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


async def _in_process(stack: AsyncExitStack) -> list[Candidate]:
    bus = MemoryBus(SystemClock())
    await bus.start()
    stack.push_async_callback(bus.stop)
    await bus.listen("compute", "one", echo)

    async def call(message: bytes) -> bytes:
        return await bus.call("compute.one", message, 5)

    async def bare(message: bytes) -> bytes:
        return await echo(message)

    return [Candidate("bare await", bare, 30_000, None), Candidate("memory bus", call, 30_000, None)]


async def _over_nats(stack: AsyncExitStack, broker: NatsServer) -> list[Candidate]:
    server, client = [NatsBus(NatsOptions(urls=(broker.url,)), SystemClock()) for _ in range(2)]
    for bus in (server, client):
        await bus.start()
        stack.push_async_callback(bus.stop)
    await server.listen("compute", "one", echo)
    bare_server, bare_client = await nats.connect(broker.url), await nats.connect(broker.url)
    stack.push_async_callback(bare_server.close)
    stack.push_async_callback(bare_client.close)

    async def answer(message: nats.aio.msg.Msg) -> None:
        await bare_server.publish(message.reply, message.data)

    await bare_server.subscribe("floor", cb=answer)
    await bare_server.flush()

    async def call(message: bytes) -> bytes:
        return await client.call("compute.one", message, 5)

    async def bare(message: bytes) -> bytes:
        return bytes((await bare_client.request("floor", message, timeout=5)).data)

    return [
        Candidate("bare nats-py request", bare, 1_000, broker.pid),
        Candidate("nats bus", call, 1_000, broker.pid),
    ]


async def _measure() -> list[Result]:
    async with AsyncExitStack() as stack:
        candidates = await _in_process(stack)
        if find_nats_server() is not None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            broker = stack.enter_context(NatsServer(Path(folder)))
            candidates += await _over_nats(stack, broker)
        for _ in range(ROUNDS):
            for candidate in candidates:
                for at_once in (1, AT_ONCE):
                    await candidate.measure(at_once)
        return [
            line
            for candidate in candidates
            for at_once, (cpu, wall) in sorted(candidate.best.items())
            for line in (
                (f"{candidate.name}, {at_once} at once: CPU per call", cpu * 1e6, "µs"),
                (f"{candidate.name}, {at_once} at once: time per call", wall * 1e6, "µs"),
            )
        ]


def measure() -> list[Result]:
    """(what, how much, unit) for a 1 KiB call on both buses and their floors; takes a few seconds.

    Without nats-server only the bus within the process is measured.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure())


if __name__ == "__main__":
    for what, how_much, unit in measure():
        print(f"{what:<48}{how_much:>10.2f} {unit}")
