"""One seed from its beginning to its end: users and faults take turns, then everything heals and is looked over."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator

import msgspec

from micronova.clock import SeededClock
from micronova.sim import history, snapshot
from micronova.sim.faults import Dice, FaultPlan
from micronova.sim.invariants import ALWAYS, HEALED, Invariant, broken, quotas_are_kept
from micronova.sim.loop import VirtualLoop, run
from micronova.sim.volume_invariants import volume_quotas_are_kept
from micronova.sim.workload import Users
from micronova.sim.world import Ground, World

EVENTS = 60
HEALING = 900.0
"""Seconds of virtual time in which everything must have healed."""
LOOK_EVERY = 15.0
QUIET = 25.0
"""Seconds for which a healed cloud must stay healed."""
REMEMBERED = 25
OTHER_CHANCE = 0x5EED
Say = Callable[[str], None]


class Outcome(msgspec.Struct, frozen=True):
    """How a seed went. `problems` is empty when it passed; `last` are its last events."""

    seed: int
    problems: tuple[str, ...]
    last: tuple[str, ...]
    digest: str


class Log(logging.Handler):
    """Exceptions that the cloud caught and logged because they are bugs."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self._world.bug(record.getMessage(), record.exc_info[1])


class Simulation:
    """One world with its users and faults."""

    def __init__(self, seed: int, loop: VirtualLoop, ground: Ground, say: Say) -> None:
        self.seed = seed
        self.last: deque[str] = deque(maxlen=REMEMBERED)
        self._say = say
        self.world = World(seed, loop, ground, self._note)
        self.dice = Dice(SeededClock(seed ^ OTHER_CHANCE, loop.time))
        self.users = Users(self.world, self.dice)
        self.faults = FaultPlan(self.world, self.dice)
        options = ground.configs["api"].options.quota
        self.always: tuple[Invariant, ...] = (
            *ALWAYS,
            quotas_are_kept(options),
            volume_quotas_are_kept(options),
            self.users.data.data_are_where_they_should_be,
        )

    async def live(self, events: int) -> Outcome:
        """Go through `events` events and the healing after them; ends with the first thing that is wrong."""
        problems = await self._live(events)
        digest = await self.world.read(history.digest)
        self.world.on_death = lambda machine: None
        await self.world.close()
        return Outcome(self.seed, tuple(problems), tuple(self.last), digest)

    async def _live(self, events: int) -> list[str]:
        self.faults.calm = True
        await self.world.open()
        await self.users.open()
        await self.users.move_in()
        self.faults.calm = False
        for _ in range(events):
            if self.dice.happens(self.faults.mood.disasters):
                await self.faults.strike()
            else:
                await self.users.act()
            await asyncio.sleep(self._pause())
            problems = await self.wrong()
            if problems:
                return problems
        return await self._heal()

    def _pause(self) -> float:
        times = (0.0, self.dice.between(0, 3), self.dice.between(3, 40), self.dice.between(300, 700))
        return self.dice.weighed(tuple(zip((80, 320, 40, 1), times, strict=True)))

    async def _heal(self) -> list[str]:
        self._note(f"{self.world.loop.time():9.3f} healing")
        await self.faults.heal()
        ends = self.world.loop.time() + HEALING
        while self.world.loop.time() < ends:
            await asyncio.sleep(LOOK_EVERY)
            problems = await self.wrong()
            if problems:
                return problems
            if not await self.unhealed():
                break
        await asyncio.sleep(QUIET)
        return await self.wrong() or await self.unhealed() or await self._unexplained()

    async def wrong(self) -> list[str]:
        """What is wrong now and may never be."""
        return list(self.world.bugs) or broken(self.always, await snapshot.take(self.world))

    async def unhealed(self) -> list[str]:
        """What is wrong now and may not be once everything has healed."""
        return broken(HEALED, await snapshot.take(self.world, wanted=True))

    async def _unexplained(self) -> list[str]:
        found = await self.world.read(lambda tx: list(history.unexplained(tx)))
        return [f"the_journal_explains_every_row: {what}" for what in found]

    def _note(self, line: str) -> None:
        self.last.append(line)
        self._say(line)


def simulate(seed: int, events: int = EVENTS, *, ground: Ground | None = None, say: Say = lambda line: None) -> Outcome:
    """Live through one seed; the same seed and number of events give the same outcome."""
    loop = VirtualLoop()
    simulation = Simulation(seed, loop, ground or Ground(), say)
    with _listening(simulation.world):
        return run(simulation.live(events), loop)


@contextlib.contextmanager
def _listening(world: World) -> Iterator[None]:
    """Exceptions that are logged are the world's bugs; nothing is printed."""
    logger = logging.getLogger("micronova")
    handler, propagates, level = Log(world), logger.propagate, logger.level
    logger.addHandler(handler)
    logger.propagate = False
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagates
        logger.setLevel(level)
