"""The bus within one process: no wire, the same promises, and every fault of a real one on demand."""

import asyncio
import types
from collections.abc import Generator
from typing import Self

import msgspec

from micronova.bus import Handler, at, check_names, fanout
from micronova.bus.handling import Handling
from micronova.clock import Clock
from micronova.config import Config
from micronova.errors import DeadlineExceeded, HostUnreachable, Unavailable

CHANCE = 1_000_000


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong, as probabilities from 0 to 1; ranges are seconds, shortest and longest."""

    drop: float = 0.0
    """A cast is lost."""
    repeat: float = 0.0
    """A cast arrives twice; each of the two may be late."""
    reorder: float = 0.0
    """A cast is overtaken by the next one sent, or comes `delay_range` late when none follows."""
    delay: float = 0.0
    """A cast, or the request of a call, comes late by a time drawn from `delay_range`."""
    delay_range: tuple[float, float] = (0.001, 0.1)
    drop_call: float = 0.0
    """The request of a call is lost: the caller waits in vain."""
    drop_answer: float = 0.0
    """A call is handled, but its answer is lost."""
    down: bool = False
    """Nothing can be sent, as when the broker is gone."""


NO_FAULTS = Faults()


class _Listener:
    """One `listen`: where its messages go until it is closed."""

    def __init__(self, bus: "MemoryBus", topic: str, host: str, handler: Handler) -> None:
        self.topic = topic
        self.addresses = (topic, at(topic, host))
        self.handling = Handling(at(topic, host), handler)
        self._bus = bus

    async def close(self) -> None:
        """Take no new messages; those being handled are finished first."""
        self._bus.forget(self)
        await self.handling.finish()


class _Route:
    """What is behind one address, in the order in which it came."""

    def __init__(self) -> None:
        self.handlings: list[Handling[bytes]] = []
        self._turn = 0

    def next(self) -> Handling[bytes]:
        """The one whose turn it is."""
        turn = self._turn
        if turn >= len(self.handlings):
            turn = 0
        self._turn = turn + 1
        return self.handlings[turn]


class MemoryBus:
    """Carries messages between the services of one process. Deterministic when the event loop is."""

    def __init__(self, clock: Clock, faults: Faults | None = None) -> None:
        self.faults = faults
        self._clock = clock
        self._up = False
        self._listeners: list[_Listener] = []
        self._routes: dict[str, _Route] = {}
        self._everybody: dict[str, list[Handling[bytes]]] = {}
        self._late: dict[int, asyncio.Task[None]] = {}
        self._sent_late = 0
        self._held: list[asyncio.Event] = []

    @classmethod
    def configured(cls, config: Config, clock: Clock) -> Self:
        """The bus as the configuration wants it."""
        return cls(clock)

    async def start(self) -> None:
        """Messages can be sent from here on."""
        self._up = True

    async def stop(self) -> None:
        """Finish what is being handled; casts under way are lost. Repeating changes nothing."""
        listeners = list(self._listeners)
        for listener in listeners:
            self.forget(listener)
        late, self._late, self._held = list(self._late.values()), {}, []
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        for listener in listeners:
            await listener.handling.finish()
        self._up = False

    async def listen(self, topic: str, host: str, handler: Handler) -> _Listener:
        """Serve `topic`, `topic.host` and `topic.*` with `handler`. See Bus."""
        check_names(topic, host)
        listener = _Listener(self, topic, host, handler)
        self._listeners.append(listener)
        for address in listener.addresses:
            self._routes.setdefault(address, _Route()).handlings.append(listener.handling)
        self._everybody.setdefault(fanout(topic), []).append(listener.handling)
        return listener

    def forget(self, listener: _Listener) -> None:
        """`listener` gets no more messages. Repeating changes nothing."""
        if listener not in self._listeners:
            return
        self._listeners.remove(listener)
        self._everybody[fanout(listener.topic)].remove(listener.handling)
        for address in listener.addresses:
            handlings = self._routes[address].handlings
            handlings.remove(listener.handling)
            if not handlings:
                del self._routes[address]

    async def call(self, address: str, message: bytes, wait: float) -> bytes:
        """Send and await the answer. See Bus for what it raises."""
        route = self._routes.get(address)
        if route is None or self.faults is not None or not self._up:
            return await self._call_with_faults(self.faults or NO_FAULTS, address, message, wait)
        task = route.next().begin(message)
        # The task stands before us in the loop's queue: one that needs no waiting is done after this turn,
        # and the timer, the dearest part of a call, is saved.
        await _turn()
        if task.done() and not task.cancelled() and (answer := task.result()) is not None:
            return answer
        return await _answer(task, address, wait, asyncio.get_running_loop().time() + wait)

    async def cast(self, address: str, message: bytes) -> None:
        """Send and forget. See Bus for what it raises."""
        self._refuse_when_down()
        faults = self.faults
        if faults is None:
            self._deliver(address, message)
            return
        if self._happens(faults.drop):
            return
        for _ in range(2 if self._happens(faults.repeat) else 1):
            self._send(faults, address, message)

    def _route(self, address: str) -> _Route:
        """Where a call goes. Raises what `call` raises at once."""
        self._refuse_when_down()
        if address.endswith(".*"):
            raise ValueError("a fan-out can't be called, only cast")
        route = self._routes.get(address)
        if route is None:
            raise HostUnreachable(f"Nobody listens at {address}.", address=address)
        return route

    def _refuse_when_down(self) -> None:
        if not self._up or (self.faults is not None and self.faults.down):
            raise Unavailable("The message bus is down.")

    def _deliver(self, address: str, message: bytes) -> None:
        if (route := self._routes.get(address)) is not None:
            route.next().begin(message)
        for handling in self._everybody.get(address, ()):
            handling.begin(message)

    async def _call_with_faults(self, faults: Faults, address: str, message: bytes, wait: float) -> bytes:
        loop = asyncio.get_running_loop()
        ends = loop.time() + wait
        self._route(address)
        if self._happens(faults.drop_call):
            await asyncio.sleep(wait)
            raise _too_late(address, wait)
        if self._happens(faults.delay):
            await asyncio.sleep(min(self._some_delay(faults), wait))
            if loop.time() >= ends:
                raise _too_late(address, wait)
        lost = self._happens(faults.drop_answer)
        task = self._route(address).next().begin(message)
        if lost:
            await asyncio.sleep(ends - loop.time())
            raise _too_late(address, wait)
        return await _answer(task, address, wait, ends)

    def _send(self, faults: Faults, address: str, message: bytes) -> None:
        overtaken, self._held = self._held, []
        if self._happens(faults.reorder):
            let_go = asyncio.Event()
            self._held.append(let_go)
            self._send_late(self._some_delay(faults), let_go, address, message)
        elif self._happens(faults.delay):
            self._send_late(self._some_delay(faults), None, address, message)
        else:
            self._deliver(address, message)
        for earlier in overtaken:
            earlier.set()

    def _send_late(self, delay: float, let_go: asyncio.Event | None, address: str, message: bytes) -> None:
        self._sent_late += 1
        number = self._sent_late

        async def arrive() -> None:
            try:
                await self._pause(delay, let_go)
                self._deliver(address, message)
            finally:
                self._late.pop(number, None)

        self._late[number] = asyncio.get_running_loop().create_task(arrive())

    async def _pause(self, delay: float, let_go: asyncio.Event | None) -> None:
        if let_go is None:
            await asyncio.sleep(delay)
            return
        try:
            async with asyncio.timeout(delay):
                await let_go.wait()
        except TimeoutError:
            self._held = [event for event in self._held if event is not let_go]

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self._clock.randbelow(CHANCE) < probability * CHANCE

    def _some_delay(self, faults: Faults) -> float:
        shortest, longest = faults.delay_range
        return shortest + (longest - shortest) * self._clock.randbelow(CHANCE) / CHANCE


@types.coroutine
def _turn() -> Generator[None, None, None]:
    """Let the loop run once what is queued."""
    yield


async def _answer(task: asyncio.Task[bytes | None], address: str, wait: float, ends: float) -> bytes:
    """What `task` answers; it works on when the loop's time is `ends`. Raises DeadlineExceeded then."""
    loop = asyncio.get_running_loop()
    await asyncio.wait((task,), timeout=max(ends - loop.time(), 0))
    if task.done() and not task.cancelled() and (answer := task.result()) is not None:
        return answer
    await asyncio.sleep(ends - loop.time())
    raise _too_late(address, wait)


def _too_late(address: str, wait: float) -> DeadlineExceeded:
    return DeadlineExceeded(f"{address} did not answer within {wait:g} s.", address=address, wait=wait)
