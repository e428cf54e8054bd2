"""What goes wrong, when: drawn from the seed. Bus, database, drivers, whole machines, guests.

A seed has a mood: which kinds of faults it knows and how often. So some seeds are calm, and what fails in a wild one
can often be found in a simpler one.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from micronova.bus.memory import Faults
from micronova.clock import SeededClock
from micronova.errors import DriverError, NoSpace, Rejected
from micronova.sim.gates import NO_TROUBLE, Trouble
from micronova.sim.world import API, Machine, World

T = TypeVar("T")
FINE = 1_000_000
READS = (
    *("list", "list_ports", "list_networks", "inspect", "console", "read", "names", "unfinished", "close"),
    *("stats", "copy_out", "get", "backups"),
)

MAKES = (
    *("ensure", "ensure_port", "ensure_ports", "ensure_network", "begin", "append"),
    *("ensure_volume", "ensure_snapshot", "extend", "copy_in", "put"),
)
"""Operations that may be refused for good, or for want of space."""


class Dice:
    """Chance by the seed, apart from what the managers draw."""

    def __init__(self, clock: SeededClock) -> None:
        self._clock = clock

    def happens(self, probability: float) -> bool:
        return self._clock.randbelow(FINE) < probability * FINE

    def between(self, least: float, most: float) -> float:
        return least + (most - least) * self._clock.randbelow(FINE) / FINE

    def number(self, least: int, most: int) -> int:
        return least + self._clock.randbelow(most - least + 1)

    def one(self, items: Sequence[T]) -> T:
        return items[self._clock.randbelow(len(items))]

    def weighed(self, items: Sequence[tuple[int, T]]) -> T:
        """One of (weight, item)."""
        left = self._clock.randbelow(sum(weight for weight, _ in items))
        for weight, item in items:
            left -= weight
            if left < 0:
                return item
        raise AssertionError("weights are positive")


class Mood(msgspec.Struct, frozen=True):
    """How likely a driver's call is refused, fails after its effect, is slow, hangs; how often disasters strike."""

    refuse: float
    late: float
    slow: float
    hang: float
    disasters: float


def mood(dice: Dice) -> Mood:
    """The mood of a seed."""
    return Mood(
        refuse=dice.one((0.0, 0.0, 0.05, 0.25)),
        late=dice.one((0.0, 0.0, 0.05, 0.25)),
        slow=dice.one((0.0, 0.3, 0.7)),
        hang=dice.one((0.0, 0.0, 0.02)),
        disasters=dice.one((0.0, 0.1, 0.25, 0.4)),
    )


class FaultPlan:
    """The faults of one simulation."""

    def __init__(self, world: World, dice: Dice) -> None:
        self.world = world
        self.dice = dice
        self.mood = mood(dice)
        self.calm = False
        self._chores: list[tuple[int, Callable[[], Any]]] = [
            (4, self._kill),
            (6, self._burn_fuse),
            (2, self._stop),
            (2, self._reboot),
            (3, self._cut),
            (3, self._database),
            (2, self._everybodys_database),
            (3, self._lose_commit),
            (5, self._bus),
            (4, self._crash_guest),
        ]
        world.on_death = self._start_later
        for machine in world.machines.values():
            machine.weather.trouble = self._trouble

    async def strike(self) -> None:
        """Something goes wrong, or is mended."""
        done = self.dice.weighed(self._chores)()
        if done is not None:
            await done

    async def heal(self) -> None:
        """Nothing goes wrong any more, and every machine's process runs."""
        self.calm = True
        self.world.bus.faults = None
        for machine in self.world.machines.values():
            mend(machine)
            machine.start()

    # -- drivers

    def _trouble(self, operation: str) -> Trouble:
        if self.calm:
            return NO_TROUBLE
        dice, mood = self.dice, self.mood
        before = after = 0.0
        if dice.happens(mood.slow):
            before, after = dice.between(0, 2), dice.between(0, 2)
        if dice.happens(mood.hang):
            before = dice.between(30, 1000)
        if operation in READS:
            refusal = DriverError("it does not say") if dice.happens(mood.refuse / 4) else None
            return Trouble(before, refusal)
        if dice.happens(mood.refuse):
            kinds = ((8, DriverError), (1, NoSpace), (1, Rejected)) if operation in MAKES else ((1, DriverError),)
            kind: type[DriverError] = dice.weighed(kinds)
            return Trouble(before, kind("it does not want to"), after)
        late = DriverError("it broke after it was done") if dice.happens(mood.late) else None
        return Trouble(before, None, after, late)

    # -- disasters

    def _machine(self) -> Machine:
        return self.dice.one(list(self.world.machines.values()))

    def _host(self) -> Machine:
        return self.dice.one(self.world.hosts)

    async def _kill(self) -> None:
        machine = self._machine()
        self.world.note(f"kill {machine.name}")
        await machine.kill()

    def _burn_fuse(self) -> None:
        """The process dies in the middle of what it will do soon."""
        machine = self._machine()
        if machine.process is not None:
            machine.process.life.fuse = self.dice.number(1, 60)
            self.world.note(f"{machine.name} dies after {machine.process.life.fuse} crossings")

    def _stop(self) -> None:
        """The process stops in order, as for an upgrade."""
        machine = self._machine()
        if machine.process is not None:
            self.world.note(f"{machine.name} is stopped")
            machine.process.leave()

    def _start_later(self, machine: Machine) -> None:
        """Somebody starts a dead process again, sooner or later."""
        longest = 8.0 if machine.name == API else self.dice.one((3.0, 40.0, 200.0))
        self._later(self.dice.between(0, longest), machine.start)

    async def _reboot(self) -> None:
        machine = self._host()
        self.world.note(f"power cut of {machine.name}")
        await machine.reboot()

    def _cut(self) -> None:
        machine = self._machine()
        self.world.note(f"{machine.name} is cut off")
        cut_off(machine)
        self._later(self.dice.between(1, 200), lambda: rejoin(machine))

    def _database(self) -> None:
        self._break_database([self._machine()])

    def _everybodys_database(self) -> None:
        self._break_database(list(self.world.machines.values()))

    def _break_database(self, machines: Sequence[Machine]) -> None:
        seconds = self.dice.between(0.5, self.dice.one((5.0, 60.0, 200.0)))
        self.world.note(f"no database for {', '.join(m.name for m in machines)} for {seconds:.1f} s")
        for machine in machines:
            machine.weather.db_down = True
        self._later(seconds, lambda: _database_is_back(machines))

    def _lose_commit(self) -> None:
        machine = self._machine()
        machine.weather.lose_commits = self.dice.number(1, 2)
        self.world.note(f"{machine.name} is not told of its next commits")

    def _bus(self) -> None:
        kinds = (
            Faults(drop=0.3, drop_call=0.2, drop_answer=0.2),
            Faults(repeat=0.4, delay=0.4, delay_range=(0.01, 8.0)),
            Faults(reorder=0.5, delay=0.2, delay_range=(0.01, 2.0)),
            Faults(down=True),
            None,
        )
        faults = self.dice.one(kinds)
        self.world.note(f"the bus: {faults or 'fine'}")
        self.world.bus.faults = faults
        self._later(self.dice.between(5, 60), self._bus_is_fine)

    def _bus_is_fine(self) -> None:
        self.world.bus.faults = None

    async def _crash_guest(self) -> None:
        machine = self._host()
        guests = await machine.compute.list()
        if guests:
            guest = self.dice.one(guests)
            self.world.note(f"guest {guest.id} on {machine.name} crashes")
            machine.compute.crash(guest.id)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        self.world.loop.call_later(seconds, action)


def cut_off(machine: Machine) -> None:
    """The machine and the bus are apart."""
    machine.weather.cut = True
    if machine.process is not None:
        machine.process.bus.deafen()


def rejoin(machine: Machine) -> None:
    """The machine and the bus are together again."""
    if machine.weather.cut:
        machine.weather.cut = False
        if machine.process is not None:
            machine.process.bus.hear_again()


def mend(machine: Machine) -> None:
    """Nothing is wrong with the machine any more."""
    machine.weather.calm.set()
    rejoin(machine)
    _database_is_back([machine])
    machine.weather.lose_commits = 0
    if machine.process is not None:
        machine.process.life.fuse = None


def _database_is_back(machines: Sequence[Machine]) -> None:
    for machine in machines:
        machine.weather.db_down = False
