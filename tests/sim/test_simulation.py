"""Seeds: the same one gives the same life, wherever; a few are lived through."""

import asyncio
import os
import subprocess
import sys

import pytest

from micronova.sim.loop import VirtualLoop, run
from micronova.sim.many import live_through
from micronova.sim.simulation import Simulation, simulate
from micronova.sim.world import Ground

GROUND = Ground()
STORMY = 4


def test_the_same_seed_lives_the_same_life_twice():
    stories = [[], []]

    first, second = (simulate(STORMY, 30, ground=GROUND, say=story.append) for story in stories)

    assert stories[0] == stories[1]
    assert first == second
    assert first.digest != simulate(STORMY + 1, 30, ground=GROUND).digest


@pytest.mark.slow
def test_processes_that_hash_differently_live_the_same_life():
    code = f"from micronova.sim.simulation import simulate; print(simulate({STORMY}, 30).digest)"
    environments = [{**os.environ, "PYTHONHASHSEED": number} for number in ("1", "2")]
    started = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for environment in environments
    ]

    digests = [process.communicate(timeout=100)[0] for process in started]

    assert digests[0]
    assert digests[0] == digests[1]


@pytest.mark.parametrize("seed", [0, 26, 42, 57, 66])
def test_a_few_seeds_pass(seed):
    assert () == simulate(seed, ground=GROUND).problems


def test_an_exception_that_nobody_raised_on_purpose_fails_the_seed():
    loop = VirtualLoop()
    simulation = Simulation(1, loop, GROUND, lambda line: None)

    async def live():
        await simulation.world.open()
        simulation.world.request("a wrong turn", lambda api: _wrong())
        await asyncio.sleep(1)
        problems = await simulation.wrong()
        await simulation.world.close()
        return problems

    async def _wrong():
        raise ZeroDivisionError("a bug")

    assert ["a wrong turn: ZeroDivisionError: a bug"] == run(live(), loop)


def test_many_seeds_come_in_order():
    outcomes = list(live_through(range(3), 3, 1))

    assert [0, 1, 2] == [outcome.seed for outcome in outcomes]
