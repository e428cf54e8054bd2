"""Virtual time."""

import asyncio
from datetime import timedelta

import pytest

from micronova.clock import SeededClock, SystemClock
from micronova.sim.loop import Deadlock, VirtualLoop, run


def test_a_day_passes_in_a_moment_and_in_order():
    real = SystemClock()
    began = real.monotonic()
    loop = VirtualLoop()
    clock = SeededClock(1, loop.time)
    seen = []

    async def sleeper(name, seconds):
        await asyncio.sleep(seconds)
        seen.append((name, clock.now() - clock.BEGINNING))

    async def main():
        await asyncio.gather(sleeper("night", 86400), sleeper("noon", 43200))

    run(main(), loop)

    assert [("noon", timedelta(hours=12)), ("night", timedelta(days=1))] == seen
    assert real.monotonic() - began < 5


def test_time_limits_are_virtual_too():
    loop = VirtualLoop()

    async def main():
        async with asyncio.timeout(3600):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        run(main(), loop)

    assert 3600 == loop.time()


def test_everybody_waiting_for_ever_is_told():
    async def main():
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run(main(), VirtualLoop())


def test_the_same_seed_gives_the_same_chance():
    def draw(seed):
        clock = SeededClock(seed, lambda: 0.0)
        return [clock.new_id(), clock.randbelow(1000), clock.secret(4)]

    assert draw(7) == draw(7)
    assert draw(7) != draw(8)
