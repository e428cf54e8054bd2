"""What the bus within one process promises beyond any bus: faults on demand, the same for the same seed."""

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from micronova.bus import at, fanout
from micronova.bus.memory import Faults, MemoryBus
from micronova.clock import SystemClock
from micronova.errors import DeadlineExceeded, HostUnreachable, Unavailable


class SeededClock(SystemClock):
    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop whose time passes only when everybody waits, and then at once."""

    def __init__(self) -> None:
        super().__init__(_Selector(self))
        self.passed = 0.0

    def time(self) -> float:
        return self.passed


class _Selector(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.passed += timeout or 0
        return super().select(0)


T = TypeVar("T")
Heard = list[tuple[float, bytes]]


def play(faults: Faults, seed: int = 1, count: int = 200) -> Heard:
    """What one listener hears, and when, of `count` numbered casts, one every 10 ms."""

    async def scene() -> Heard:
        heard: Heard = []
        loop = asyncio.get_running_loop()
        bus = MemoryBus(SeededClock(seed), faults)

        async def handle(message: bytes) -> None:
            heard.append((round(loop.time(), 6), message))

        await bus.start()
        await bus.listen("compute", "one", handle)
        for number in range(count):
            await bus.cast("compute", b"%03d" % number)
            await asyncio.sleep(0.01)
        await asyncio.sleep(10)
        await bus.stop()
        return heard

    return run(scene)


def run(scene: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(scene())


def messages(heard: Heard) -> list[bytes]:
    return [message for _, message in heard]


SENT = [b"%03d" % number for number in range(200)]
EVERYTHING = Faults(drop=0.1, repeat=0.1, reorder=0.1, delay=0.3, delay_range=(0.001, 0.2))


def test_without_faults_all_arrives_once_and_in_order():
    assert messages(play(Faults())) == SENT


def test_the_same_seed_makes_the_same_faults_and_another_seed_others():
    assert play(EVERYTHING, seed=7) == play(EVERYTHING, seed=7)
    assert play(EVERYTHING, seed=7) != play(EVERYTHING, seed=8)


def test_dropped_casts_are_missing_and_the_others_in_order():
    heard = messages(play(Faults(drop=0.25)))

    assert 120 < len(heard) < 180
    assert heard == [message for message in SENT if message in heard]


def test_repeated_casts_arrive_twice_and_none_is_missing():
    heard = messages(play(Faults(repeat=0.25)))

    assert 220 < len(heard) < 280
    assert sorted(set(heard)) == SENT
    assert {heard.count(message) for message in SENT} == {1, 2}


def test_reordered_casts_are_overtaken_by_the_next_and_none_is_missing():
    heard = messages(play(Faults(reorder=0.25, delay_range=(1, 1))))

    assert heard != SENT
    assert sorted(heard) == SENT
    assert all(abs(SENT.index(message) - place) <= 5 for place, message in enumerate(heard))


def test_a_reordered_cast_that_nothing_overtakes_comes_late():
    heard = play(Faults(reorder=1, delay_range=(2, 2)), count=1)

    assert heard == [(2.0, b"000")]


def test_delayed_casts_come_late_within_the_range():
    heard = play(Faults(delay=1, delay_range=(0.5, 1.5)))

    late = [when - int(message) / 100 for when, message in heard]
    assert len(heard) == 200
    assert 0.5 <= min(late) < 0.6
    assert 1.4 < max(late) <= 1.5 + 1e-6


def call_with(faults: Faults, wait: float = 5) -> tuple[str, float, int]:
    """How a call ends, after how long, and how often it was handled."""

    async def scene() -> tuple[str, float, int]:
        handled = []
        bus = MemoryBus(SeededClock(1), faults)

        async def handle(message: bytes) -> bytes:
            handled.append(message)
            return message

        await bus.start()
        await bus.listen("compute", "one", handle)
        try:
            told = (await bus.call("compute", b"answer", wait)).decode()
        except Unavailable as err:
            told = type(err).__name__
        await bus.stop()
        return told, asyncio.get_running_loop().time(), len(handled)

    return run(scene)


def test_a_delayed_call_is_answered_late():
    assert call_with(Faults(delay=1, delay_range=(2, 2))) == ("answer", 2.0, 1)


def test_a_call_delayed_beyond_its_time_is_given_up_and_never_handled():
    assert call_with(Faults(delay=1, delay_range=(9, 9))) == ("DeadlineExceeded", 5.0, 0)


def test_a_dropped_call_is_given_up_in_time_and_not_handled():
    assert call_with(Faults(drop_call=1)) == ("DeadlineExceeded", 5.0, 0)


def test_a_call_whose_answer_is_dropped_was_handled_all_the_same():
    assert call_with(Faults(drop_answer=1)) == ("DeadlineExceeded", 5.0, 1)


def test_a_bus_that_is_down_refuses_at_once():
    assert call_with(Faults(down=True)) == ("Unavailable", 0.0, 0)


async def test_faults_can_be_changed_while_it_runs():
    bus = MemoryBus(SeededClock(1), Faults(down=True))
    await bus.start()
    with pytest.raises(Unavailable):
        await bus.cast("compute", b"")

    bus.faults = None

    await bus.cast("compute", b"")
    await bus.stop()


async def test_stopping_loses_the_casts_that_are_still_under_way():
    heard = []

    async def handle(message: bytes) -> None:
        heard.append(message)

    bus = MemoryBus(SeededClock(1), Faults(delay=1, delay_range=(60, 60)))
    await bus.start()
    await bus.listen("compute", "one", handle)
    await bus.cast("compute", b"never started")
    await bus.cast("compute", b"")
    await asyncio.sleep(0)

    await bus.stop()

    assert heard == []


def test_any_one_of_a_topic_takes_turns():
    async def scene() -> list[str]:
        turns: list[str] = []
        bus = MemoryBus(SeededClock(1))
        await bus.start()
        for host in ("one", "two", "three"):

            async def handle(message: bytes, host: str = host) -> None:
                turns.append(host)

            await bus.listen("compute", host, handle)
        for _ in range(6):
            await bus.call("compute", b"", 1)
        await bus.stop()
        return turns

    assert run(scene) == ["one", "two", "three"] * 2


async def test_two_buses_in_one_process_do_not_reach_each_other():
    one, other = MemoryBus(SeededClock(1)), MemoryBus(SeededClock(1))
    await one.start()
    await other.start()

    async def handle(message: bytes) -> bytes:
        return b"here"

    await one.listen("compute", "h", handle)

    with pytest.raises(HostUnreachable):
        await other.call(at("compute", "h"), b"", 1)
    await other.cast(fanout("compute"), b"")
    assert b"here" == await one.call("compute", b"", 1)
    await one.stop()
    await other.stop()


def test_a_call_that_waits_takes_exactly_its_time():
    async def scene() -> float:
        bus = MemoryBus(SeededClock(1))
        await bus.start()

        async def handle(message: bytes) -> bytes:
            await asyncio.sleep(60)
            return b""

        await bus.listen("compute", "one", handle)
        with pytest.raises(DeadlineExceeded, match=r"compute did not answer within 2\.5 s"):
            await bus.call("compute", b"", 2.5)
        return asyncio.get_running_loop().time()

    assert run(scene) == 2.5
