"""A cloud of several hosts in one process: real managers on fake machines, one bus, one database, one virtual clock.

A machine outlives its processes: guests, networks, image bytes stay when a process is killed, and the next finds them.
"""

import asyncio
import logging
import shutil
import tempfile
import weakref
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from micronova import config
from micronova.bus.memory import MemoryBus
from micronova.clock import SeededClock
from micronova.compute.db import ROWS as COMPUTE_ROWS
from micronova.compute.drivers.fake import FakeComputeDriver
from micronova.compute.manager import ComputeManager
from micronova.compute.policies import RULES as COMPUTE_RULES
from micronova.config import Config
from micronova.context import Context, admin_context
from micronova.db import Database, Row, Tx
from micronova.db.database import Engine
from micronova.db.sqlite import SQLite
from micronova.errors import Error
from micronova.image.cache import ImageCache
from micronova.image.db import ROWS as IMAGE_ROWS
from micronova.image.manager import ImageManager
from micronova.image.policies import RULES as IMAGE_RULES
from micronova.image.stores.fake import FakeStore
from micronova.image.stores.file import FileStore
from micronova.manager import Manager, Runtime
from micronova.network.db import ROWS as NETWORK_ROWS
from micronova.network.drivers.fake import FakeNetworkDriver
from micronova.network.drivers.fake_switch import FakeSwitch
from micronova.network.manager import NetworkManager
from micronova.network.policies import RULES as NETWORK_RULES
from micronova.network.strategies.base import StrategyManager
from micronova.network.strategies.flat_dhcp import FlatDHCPManager
from micronova.network.strategies.vlan import VlanManager
from micronova.network.strategies.vxlan import VxlanManager
from micronova.network.switch_file import SwitchSettings
from micronova.network.switches import Switch
from micronova.policy import Policy
from micronova.scheduler.db import ROWS as SCHEDULER_ROWS
from micronova.scheduler.manager import SchedulerManager
from micronova.schema import CORE, statements
from micronova.service import Service
from micronova.sim.gates import (
    Copies,
    GatedBus,
    GatedCompute,
    GatedEngine,
    GatedNetwork,
    GatedStore,
    GatedSwitch,
    Weather,
)
from micronova.sim.life import Life, owned_tasks
from micronova.sim.loop import VirtualLoop
from micronova.sim.volume_gates import BACKENDS, Backups, GatedBackups, GatedReader, GatedVolumes
from micronova.volume.db import ROWS as VOLUME_ROWS
from micronova.volume.driver import Connection
from micronova.volume.drivers.fake import FakeVolumeDriver, copy_blocks
from micronova.volume.manager import VolumeManager
from micronova.volume.policies import RULES as VOLUME_RULES

LOG = logging.getLogger(__name__)
T = TypeVar("T")

ROWS: tuple[type[Row], ...] = (*CORE, *IMAGE_ROWS, *SCHEDULER_ROWS, *NETWORK_ROWS, *VOLUME_ROWS, *COMPUTE_ROWS)
PROJECTS = ("p1", "p2")
"""Whose things are in the cloud."""
API = "api"
HOSTS = ("c1", "c2", "c3")
STORES = ("c1", "c2")
"""Hosts with back ends of volumes; other hosts reach them."""
ADDRESSES = {name: f"192.0.2.{number}" for number, name in enumerate((API, *HOSTS), 1)}
"""Where the hosts' tunnels end."""
SWITCH = SwitchSettings(driver="fake", hosts={name: (f"Eth1/{at}",) for at, name in enumerate(HOSTS, 1)})
"""The switch that all hosts hang on."""
VCPUS, RAM_MIB, DISK_GIB = 4, 4096, 32
"""What each host has."""
DYING_TURNS = 50
"""Turns of the loop within which every task of a killed process must have ended."""
BACKEND = {"driver": "fake", "over_commit": 1.4}
FLAGS: dict[str, Any] = {
    "simulate": True,
    "state": "simulated",
    "quota.instances": 7,
    "quota.cores": 14,
    "quota.ram": 6000,
    "quota.networks": 3,
    "quota.subnets": 4,
    "quota.ports": 9,
    "quota.security_groups": 4,
    "quota.security_group_rules": 22,
    "network.vlan_ranges": ["rack:100:101"],
    "network.vni_ranges": ["1:4"],
    "quota.volumes": 7,
    "quota.snapshots": 4,
    "quota.gigabytes": 18,
    "quota.per_volume_gigabytes": 4,
    "quota.backups": 3,
    "quota.backup_gigabytes": 6,
    "quota.volume_groups": 2,
    "volume.attach_seconds": 320,
    # seldom, because each costs time that another seed could have
    "service.report_seconds": 15,
    "tasks.sweep_seconds": 8,
    **{f"volume.backends.{name}.{option}": value for name in BACKENDS for option, value in BACKEND.items()},
}


class Ground:
    """What all simulations of a process share because it never changes: options, rules, compiled statements."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="micronova-sim-"))
        self._end = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        flags = {**FLAGS, "state": str(self.folder)}
        self.configs: dict[str, Config] = {
            host: config.load(flags={**flags, "host": host, "network.tunnel_address": address})
            for host, address in ADDRESSES.items()
        }
        self.policy = Policy({**COMPUTE_RULES, **VOLUME_RULES, **NETWORK_RULES, **IMAGE_RULES})
        self.plans: dict[type[Row], Any] = {}
        self.compiled: dict[Any, Any] = {}
        self.tables = statements(ROWS, SQLite("sqlite://").dialect)

    def close(self) -> None:
        """The folder of files that lived for a moment is gone. Repeating changes nothing."""
        self._end()


class SharedDatabase(Database):
    """A database of one process that takes compiled statements from the ground."""

    def __init__(self, engine: Engine, clock: SeededClock, ground: Ground) -> None:
        super().__init__(engine, clock, inline=True)
        self._plans = ground.plans
        self._compiled = ground.compiled


class Images(ImageManager):
    """The image manager with copies in memory."""

    def __init__(self, runtime: Runtime, *, driver: GatedStore, copies: GatedStore, policy: Policy) -> None:
        super().__init__(runtime, driver=driver, policy=policy)
        self._cache = ImageCache(cast(FileStore, copies))


class Machine:
    """A host's hardware, and the process that runs on it, if one does."""

    def __init__(self, world: "World", name: str) -> None:
        self.name = name
        self.world = world
        self.weather = Weather()
        self.compute = FakeComputeDriver(world.clock, vcpus=VCPUS, ram_mib=RAM_MIB, disk_gib=DISK_GIB)
        self.network = FakeNetworkDriver(world.clock)
        self.store = FakeStore()
        self.copies = Copies()
        self.backends = {
            backend: FakeVolumeDriver(name=backend, capacity_gib=size_gib, capabilities=can)
            for backend, (size_gib, can) in BACKENDS.items()
            if name in STORES
        }
        self.backups = Backups()
        self.compute.mirror = world.mirror
        self.process: Process | None = None

    @property
    def up(self) -> bool:
        return self.process is not None

    def files(self) -> tuple[str, ...]:
        """Files of copies that are under way, or were left behind."""
        folder = self.world.ground.folder / "volume-copies" / self.name
        return tuple(sorted(file.name for file in folder.iterdir())) if folder.is_dir() else ()

    def start(self) -> None:
        """A process runs on the machine and begins to serve. One that runs already is left alone."""
        if self.process is None:
            self.process = Process(self)
            self.process.begin()

    async def kill(self) -> None:
        """No process runs on the machine; it had no time to say good-bye."""
        process = self.process
        if process is not None:
            process.life.end()
            await process.dead()

    async def reboot(self) -> None:
        """No process runs, no guest, no network: as after a power cut."""
        await self.kill()
        for guest in await self.compute.list():
            await self.compute.stop(guest.id, wait=0)
        for driver in self.backends.values():
            driver.power_cut()
        await self.network.erase()


class Process:
    """One run of the service on a machine."""

    def __init__(self, machine: Machine) -> None:
        world, weather = machine.world, machine.weather
        self._machine = machine
        self.life = life = Life(machine.name, self._died)
        self.bus = GatedBus(world.bus, life, weather)
        self.db = SharedDatabase(GatedEngine(world.engine, life, weather), world.clock, world.ground)
        policy = world.ground.policy
        runtime = Runtime(world.ground.configs[machine.name], world.clock, self.bus, self.db)
        store, copies = GatedStore(machine.store, life, weather), GatedStore(machine.copies, life, weather)
        self.scheduler = SchedulerManager(runtime)
        self.image = Images(runtime, driver=store, copies=copies, policy=policy)
        network = GatedNetwork(machine.network, life, weather)
        switch = Switch("rack", SWITCH, GatedSwitch(world.switch, life, weather))
        strategies: tuple[StrategyManager, ...] = (
            VxlanManager(runtime, address=ADDRESSES[machine.name]),
            FlatDHCPManager(runtime),
            VlanManager(runtime, switches={switch.name: switch}),
        )
        self.network = NetworkManager(runtime, driver=network, policy=policy, strategies=strategies)
        self.volume = self._volumes(machine, runtime)
        self.compute = ComputeManager(
            runtime,
            driver=GatedCompute(machine.compute, life, weather),
            network=self.network,
            image=self.image,
            scheduler=self.scheduler,
            policy=policy,
            volume=self.volume,
        )
        self.volume.on_grown = self.compute.record_grown
        self.volume.guests = self.compute
        stores = (self.image, self.volume) if machine.backends else ()
        on_hosts = (*strategies, *stores, self.network, self.compute)
        served: list[Manager] = [self.image, self.scheduler] if machine.name == API else list(on_hosts)
        self.service = Service(runtime, served)
        self.serving = False

    def _volumes(self, machine: Machine, runtime: Runtime) -> VolumeManager:
        world, outside = machine.world, (self.life, machine.weather)
        folder = world.ground.folder / machine.name
        manager = VolumeManager(
            runtime,
            drivers={
                name: GatedVolumes(driver, machine.copies, folder, outside) for name, driver in machine.backends.items()
            },
            image=self.image,
            policy=world.ground.policy,
            backup_store=GatedBackups(machine.backups, *outside),
        )
        manager.reader = GatedReader(world.backends, *outside)
        return manager

    def begin(self) -> None:
        """Start the service; a process that can't start ends."""
        self.life.spawn(self.service.start(), f"start {self._machine.name}").add_done_callback(self._started)

    def leave(self) -> None:
        """Stop the service in order; then the process ends."""
        self.life.spawn(self.service.stop(), f"stop {self._machine.name}").add_done_callback(self._left)

    async def dead(self) -> None:
        """Nothing of the dead process runs any more. Raises RuntimeError when a task refuses to end."""
        for _ in range(DYING_TURNS):
            if not self.life.names:
                return
            await asyncio.sleep(0)
        raise RuntimeError(f"tasks of {self._machine.name} don't end when cancelled: {self.life.names}")

    def _started(self, task: "asyncio.Task[None]") -> None:
        if task.cancelled():
            return
        err = task.exception()
        if err is None:
            self.serving = True
            return
        if not isinstance(err, Error):
            self._machine.world.bug(f"{self._machine.name} can't start", err)
        self._machine.world.note(f"{self._machine.name} could not start: {err}")
        self.life.end()

    def _left(self, task: "asyncio.Task[None]") -> None:
        err = None if task.cancelled() else task.exception()
        if err is not None:
            self._machine.world.bug(f"{self._machine.name} can't stop", err)
        self.life.end()

    def _died(self, life: Life) -> None:
        self.bus.deafen()
        self._machine.process = None
        self._machine.world.note(f"{self._machine.name} is dead")
        self._machine.world.on_death(self._machine)


class World:
    """All of it. `bugs` are exceptions that nobody raised on purpose."""

    def __init__(self, seed: int, loop: VirtualLoop, ground: Ground, say: Callable[[str], None]) -> None:
        self.loop = loop
        self.ground = ground
        self.clock = SeededClock(seed, loop.time)
        self.bus = MemoryBus(self.clock)
        self.engine = SQLite("sqlite://")
        connection = self.engine.connect(write=True)
        for statement in ground.tables:
            connection.cursor().execute(statement)
        self.db = SharedDatabase(self.engine, self.clock, ground)
        self.ctx: Context = admin_context(self.clock)
        self.switch = FakeSwitch("rack", SWITCH)
        self.machines = {name: Machine(self, name) for name in (API, *HOSTS)}
        self.bugs: list[str] = []
        self.on_death: Callable[[Machine], None] = lambda machine: None
        """Called when a machine's process has died, however."""
        self._say = say
        loop.set_task_factory(owned_tasks)  # type: ignore[arg-type]
        loop.set_exception_handler(self._unhandled)

    @property
    def api(self) -> Machine:
        return self.machines[API]

    @property
    def hosts(self) -> list[Machine]:
        return [self.machines[name] for name in HOSTS]

    def mirror(self, old: Connection, new: Connection) -> None:
        """A guest has made its volume's new place hold what the old one does."""
        copy_blocks(self.backends(), old, new)

    def backends(self) -> list[FakeVolumeDriver]:
        """All back ends of volumes, on whatever host."""
        return [driver for machine in self.hosts for driver in machine.backends.values()]

    async def open(self) -> None:
        """Every machine's process serves."""
        await self.bus.start()
        for machine in self.machines.values():
            machine.start()
        await asyncio.sleep(1)

    async def close(self) -> None:
        """No process runs any more."""
        for machine in self.machines.values():
            await machine.kill()

    def request(self, what: str, ask: Callable[["Process"], Coroutine[Any, Any, Any]]) -> asyncio.Task[Any] | None:
        """Somebody asks the API: `ask` runs in its process. None when that does not run."""
        process = self.api.process
        if process is None:
            self.note(f"{what}: nobody answers")
            return None
        task = process.life.spawn(ask(process), f"request {what}")
        task.add_done_callback(partial(self._answered, what))
        return task

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """What the database holds, whatever the weather."""
        return await self.db.read(fn)

    def note(self, what: str) -> None:
        """Remember what happened."""
        self._say(f"{self.loop.time():9.3f} {what}")

    def bug(self, what: str, err: BaseException | None) -> None:
        """Something raised what it never should."""
        self.bugs.append(f"{what}: {type(err).__name__}: {err}" if err else what)

    def _answered(self, what: str, task: "asyncio.Task[Any]") -> None:
        if task.cancelled():
            self.note(f"{what}: the connection was lost")
            return
        err = task.exception()
        if err is None:
            self.note(f"{what}: done")
        elif isinstance(err, Error):
            self.note(f"{what}: {type(err).__name__}: {err}")
        else:
            self.bug(what, err)

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.bug(str(context.get("message")), context.get("exception"))
