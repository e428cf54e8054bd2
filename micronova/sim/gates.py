"""Where a simulated process touches its world: bus, database, drivers. Here it can be refused, held up, or die.

Each gate keeps the contract of what is behind it; what goes wrong is the fault plan's decision.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from sqlalchemy.engine.interfaces import Dialect

from micronova.bus import Handler, Subscription
from micronova.bus.memory import MemoryBus
from micronova.compute.driver import GuestFacts, GuestSpec, HostFacts, Nic, VolumeDisk
from micronova.compute.drivers.fake import FakeComputeDriver
from micronova.db.database import Connection
from micronova.db.sqlite import SQLite
from micronova.db.tx import Cursor
from micronova.errors import DriverError, Error, Unavailable
from micronova.image.stores.fake import FakeStore
from micronova.network.driver import NetworkSpec, PortFacts, PortSpec
from micronova.network.drivers.fake import FakeNetworkDriver
from micronova.network.drivers.fake_switch import FakeSwitch
from micronova.network.switch import SwitchChange, SwitchFacts
from micronova.sim.life import Life

T = TypeVar("T")


class Trouble(msgspec.Struct, frozen=True):
    """What befalls one call of a driver: seconds before and after its effect, and an error before or after it."""

    before: float = 0.0
    refusal: DriverError | None = None
    after: float = 0.0
    late_error: DriverError | None = None


NO_TROUBLE = Trouble()


class Weather:
    """What goes wrong now, for one host. The fault plan changes it; gates look at it."""

    def __init__(self) -> None:
        self.cut = False
        """The host can't reach the bus, and nobody reaches it."""
        self.db_down = False
        self.lose_commits = 0
        """So many of the next commits are stored, but nobody is told."""
        self.trouble: Callable[[str], Trouble] = lambda operation: NO_TROUBLE
        self.calm = asyncio.Event()
        """Set when nothing goes wrong any more: what hangs goes on."""

    async def hold_up(self, seconds: float) -> None:
        """So many seconds have passed, or all is calm."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.calm.wait()


class GatedBus:
    """The bus as one process has it."""

    def __init__(self, bus: MemoryBus, life: Life, weather: Weather) -> None:
        self._bus = bus
        self._life = life
        self._weather = weather
        self._listening: list[tuple[str, str, Handler]] = []
        self._subscriptions: list[Subscription] = []

    async def start(self) -> None:
        """The bus runs already."""

    async def stop(self) -> None:
        """The bus runs on for others."""

    async def listen(self, topic: str, host: str, handler: Handler) -> Subscription:
        self._life.cross()
        self._listening.append((topic, host, handler))
        subscription = await self._bus.listen(topic, host, handler)
        self._subscriptions.append(subscription)
        if self._weather.cut:
            self.deafen()
        return subscription

    async def call(self, address: str, message: bytes, wait: float) -> bytes:
        self._refuse()
        answer = await self._bus.call(address, message, wait)
        self._life.cross()
        return answer

    async def cast(self, address: str, message: bytes) -> None:
        self._refuse()
        await self._bus.cast(address, message)

    def deafen(self) -> None:
        """Nothing reaches this process any more. What it is handling goes on."""
        for subscription in self._subscriptions:
            self._bus.forget(subscription)  # type: ignore[arg-type]
        self._subscriptions.clear()

    def hear_again(self) -> None:
        """What it listened to reaches it again."""
        self._life.spawn(self._listen_again(), f"listen again {self._life.host}")

    async def _listen_again(self) -> None:
        self.deafen()
        for topic, host, handler in self._listening:
            self._subscriptions.append(await self._bus.listen(topic, host, handler))

    def _refuse(self) -> None:
        self._life.cross()
        if self._weather.cut:
            raise Unavailable("The message bus can't be reached.")


class ConnectionLost(sqlite3.OperationalError):
    """The database went away."""


class GatedEngine:
    """The database as one process has it."""

    writers = 0
    reads_inline = True
    tries = 2

    def __init__(self, engine: SQLite, life: Life, weather: Weather) -> None:
        self.dialect: Dialect = engine.dialect
        self._engine = engine
        self._life = life
        self._weather = weather

    def connect(self, *, write: bool) -> "GatedConnection":
        return GatedConnection(self._engine.connect(write=write), self._life, self._weather)

    def is_duplicate(self, err: Exception) -> bool:
        return self._engine.is_duplicate(err)

    def is_conflict(self, err: Exception) -> bool:
        return self._engine.is_conflict(err)

    def is_gone(self, err: Exception) -> bool:
        return isinstance(err, ConnectionLost)

    def meaning(self, err: Exception) -> Error | None:
        return self._engine.meaning(err)

    def pause(self, seconds: float) -> None:
        """Nobody is waited for: all runs in one thread."""


class GatedConnection:
    """A connection that can be lost."""

    def __init__(self, connection: Connection, life: Life, weather: Weather) -> None:
        self._connection = connection
        self._life = life
        self._weather = weather

    def cursor(self) -> Cursor:
        return self._connection.cursor()

    def begin(self, *, write: bool) -> None:
        self._life.cross()
        if self._weather.db_down:
            raise ConnectionLost("the database is down")
        self._connection.begin(write=write)

    def commit(self) -> None:
        try:
            self._life.cross()
        except asyncio.CancelledError:
            self._connection.rollback()
            raise
        self._connection.commit()
        self._life.cross()
        if self._weather.lose_commits:
            self._weather.lose_commits -= 1
            raise ConnectionLost("the connection broke after the commit")

    def rollback(self) -> None:
        self._connection.rollback()

    def close(self) -> None:
        self._connection.close()


class DriverGate:
    """What all gates of drivers have in common."""

    def __init__(self, life: Life, weather: Weather) -> None:
        self._life = life
        self._weather = weather

    async def _do(self, operation: str, effect: Callable[[], Awaitable[T]]) -> T:
        self._life.cross()
        trouble = self._weather.trouble(operation)
        if trouble.before:
            await self._weather.hold_up(trouble.before)
        if trouble.refusal is not None:
            raise trouble.refusal
        self._life.cross()
        result = await effect()
        self._life.cross()
        if trouble.after:
            await self._weather.hold_up(trouble.after)
        if trouble.late_error is not None:
            raise trouble.late_error
        return result


class GatedCompute(DriverGate):
    """The hypervisor of a machine."""

    def __init__(self, driver: FakeComputeDriver, life: Life, weather: Weather) -> None:
        super().__init__(life, weather)
        self._driver = driver

    async def init_host(self) -> HostFacts:
        facts = await self._do("init_host", self._driver.init_host)
        # these guests outlive the process, as real ones do
        return msgspec.structs.replace(facts, accel="kvm")

    async def ensure(self, spec: GuestSpec, *, running: bool = True) -> GuestFacts:
        return await self._do("ensure", lambda: self._driver.ensure(spec, running=running))

    async def remove(self, id: str) -> None:
        await self._do("remove", lambda: self._driver.remove(id))

    async def stop(self, id: str, *, wait: float) -> None:
        await self._do("stop", lambda: self._driver.stop(id, wait=wait))

    async def reboot(self, id: str, *, hard: bool) -> None:
        await self._do("reboot", lambda: self._driver.reboot(id, hard=hard))

    async def pause(self, id: str, *, paused: bool) -> None:
        await self._do("pause", lambda: self._driver.pause(id, paused=paused))

    async def attach_nic(self, id: str, nic: Nic) -> None:
        await self._do("attach_nic", lambda: self._driver.attach_nic(id, nic))

    async def detach_nic(self, id: str, port_id: str) -> None:
        await self._do("detach_nic", lambda: self._driver.detach_nic(id, port_id))

    async def attach_volume(self, id: str, disk: VolumeDisk) -> None:
        await self._do("attach_volume", lambda: self._driver.attach_volume(id, disk))

    async def detach_volume(self, id: str, volume_id: str) -> None:
        await self._do("detach_volume", lambda: self._driver.detach_volume(id, volume_id))

    async def extend_volume(self, id: str, volume_id: str, size_gib: int) -> None:
        await self._do("extend_volume", lambda: self._driver.extend_volume(id, volume_id, size_gib))

    async def follow_volume(self, id: str, disk: VolumeDisk, of: str = "") -> bool:
        return await self._do("follow_volume", lambda: self._driver.follow_volume(id, disk, of))

    async def hold_volume(self, id: str, disk: VolumeDisk, of: str = "") -> None:
        await self._do("hold_volume", lambda: self._driver.hold_volume(id, disk, of))

    async def switch_volume(self, id: str, disk: VolumeDisk, of: str = "") -> None:
        await self._do("switch_volume", lambda: self._driver.switch_volume(id, disk, of))

    async def unfollow_volume(self, id: str, volume_id: str) -> None:
        await self._do("unfollow_volume", lambda: self._driver.unfollow_volume(id, volume_id))

    async def freeze(self, id: str) -> None:
        await self._do("freeze", lambda: self._driver.freeze(id))

    async def thaw(self, id: str) -> bool:
        return await self._do("thaw", lambda: self._driver.thaw(id))

    async def inspect(self, id: str) -> GuestFacts:
        return await self._do("inspect", lambda: self._driver.inspect(id))

    async def list(self) -> list[GuestFacts]:
        return await self._do("list", self._driver.list)

    async def console(self, id: str, *, max_bytes: int) -> bytes:
        return await self._do("console", lambda: self._driver.console(id, max_bytes=max_bytes))

    async def close(self) -> None:
        await self._do("close", self._driver.close)


class GatedSwitch(DriverGate):
    """The switch between the machines, as one of them reaches it."""

    def __init__(self, driver: FakeSwitch, life: Life, weather: Weather) -> None:
        super().__init__(life, weather)
        self._driver = driver

    async def apply(self, change: SwitchChange) -> None:
        await self._do("apply", lambda: self._driver.apply(change))

    async def facts(self, ports: tuple[str, ...] = ()) -> SwitchFacts:
        return await self._do("facts", lambda: self._driver.facts(ports))

    async def close(self) -> None:
        await self._do("close", self._driver.close)


class GatedNetwork(DriverGate):
    """The network of a machine."""

    def __init__(self, driver: FakeNetworkDriver, life: Life, weather: Weather) -> None:
        super().__init__(life, weather)
        self._driver = driver

    async def init_host(self) -> None:
        await self._do("init_host", self._driver.init_host)

    async def ensure_network(self, spec: NetworkSpec) -> None:
        await self._do("ensure_network", lambda: self._driver.ensure_network(spec))

    async def metadata_socket(self, network_id: str) -> None:
        """None: nobody listens in a simulation."""

    async def remove_network(self, network_id: str) -> None:
        await self._do("remove_network", lambda: self._driver.remove_network(network_id))

    async def ensure_port(self, spec: PortSpec, *more: Any) -> PortFacts:
        return await self._do("ensure_port", lambda: self._driver.ensure_port(spec, *more))

    async def ensure_ports(self, specs: tuple[PortSpec, ...], *more: Any) -> None:
        await self._do("ensure_ports", lambda: self._driver.ensure_ports(specs, *more))

    async def remove_port(self, port_id: str) -> None:
        await self._do("remove_port", lambda: self._driver.remove_port(port_id))

    async def list_ports(self) -> list[PortFacts]:
        return await self._do("list_ports", self._driver.list_ports)

    async def list_networks(self) -> list[str]:
        return await self._do("list_networks", self._driver.list_networks)

    async def close(self) -> None:
        await self._do("close", self._driver.close)

    async def erase(self) -> None:
        await self._do("erase", self._driver.erase)


class Copies(FakeStore):
    """Image bytes that have a path, like files, without being any."""

    FOLDER = "/copies"

    async def names(self) -> list[str]:
        """Names of all committed bytes, sorted."""
        await self._called("names")
        return sorted(self.committed)

    def path(self, name: str) -> str | None:
        return f"{self.FOLDER}/{name}" if name in self.committed else None


class GatedStore(DriverGate):
    """Image bytes on a machine."""

    def __init__(self, store: FakeStore, life: Life, weather: Weather) -> None:
        super().__init__(life, weather)
        self._store = store

    async def begin(self, name: str) -> None:
        await self._do("begin", lambda: self._store.begin(name))

    async def append(self, name: str, data: bytes) -> None:
        await self._do("append", lambda: self._store.append(name, data))

    async def commit(self, name: str) -> None:
        await self._do("commit", lambda: self._store.commit(name))

    async def read(self, name: str, offset: int, length: int) -> bytes:
        return await self._do("read", lambda: self._store.read(name, offset, length))

    async def remove(self, name: str) -> None:
        await self._do("remove_bytes", lambda: self._store.remove(name))

    async def unfinished(self) -> list[str]:
        return await self._do("unfinished", self._store.unfinished)

    async def names(self) -> list[str]:
        """Names of all committed bytes, sorted."""
        return await self._do("names", self._store.names)  # type: ignore[attr-defined]

    def path(self, name: str) -> str | None:
        return self._store.path(name)
