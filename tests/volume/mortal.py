"""Services that die at a chosen moment, as by kill -9: what is stored by then stays, nothing is stored afterwards.

A life counts the moments at which something durable has just happened: a transaction was committed, a back end or a
store has done what it was asked to. At the chosen one it ends: whatever the process would still do fails.
"""

import asyncio
import contextlib
import inspect
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from volume.volume_world import ADMIN, POLICY, Host, World

from micronova.db import Database
from micronova.errors import DriverError
from micronova.image.manager import ImageManager
from micronova.manager import Runtime
from micronova.service import Service
from micronova.tasks import Task
from micronova.volume.driver import GIB, Connection, VolumeSpec
from micronova.volume.drivers.backup_file import FileBackupStore
from micronova.volume.drivers.fake import FakeVolumeDriver
from micronova.volume.drivers.pretended import Blocks, Volume, write_file
from micronova.volume.manager import VolumeManager
from micronova.volume.scratch import CopyFile

VOLUMES = {
    "ensure": "its back end had made the volume",
    "remove": "its back end had removed the volume",
    "extend": "its back end had made the volume larger",
    "ensure_export": "its back end had exported the volume",
    "remove_export": "its back end had removed the export",
    "ensure_snapshot": "its back end had taken the snapshot",
    "ensure_group_snapshot": "its back end had taken the snapshots of the group",
    "remove_snapshot": "its back end had removed the snapshot",
    "revert": "its back end had put the data of the snapshot back",
    "copy_out": "its back end had copied the data to a file",
    "copy_in": "its back end had copied the data from a file",
    "rename": "its back end had renamed the volume",
}
SOON = 5
"""Seconds: what is to be run later waits for its time."""
READS = {"bring": "its data had been read from the other host", "check_same": "its data had been compared"}
CLAIM = "tasks to run"
WRITES = {CLAIM: "the task was taken up", "leases of running tasks": "", "what the back end told": ""}
"""What transactions of the cloud's own account are called; "" counts for nothing."""


class Died(BaseException):
    """The process is no more."""


class Life:
    """One process's time: `moments` are those it has lived through since it was given a last one."""

    def __init__(self) -> None:
        self.moments: list[str] = []
        self.last = 0
        self.over = asyncio.Event()

    def end_at(self, number: int) -> None:
        """The moment of this number, counted from now, is the last."""
        self.moments, self.last = [], number

    def go_on(self) -> None:
        """There is no last moment any more."""
        self.last = 0

    def check(self) -> None:
        """Raises Died after the end."""
        if self.over.is_set():
            raise Died

    def lived(self, moment: str) -> None:
        """Something has been done for good. Raises Died when it was the last."""
        self.check()
        if self.last and moment:
            self.moments.append(moment)
            if len(self.moments) == self.last:
                self.over.set()
                raise Died


class MortalDatabase(Database):
    """The world's database as one process uses it."""

    def __init__(self, whole: Database, life: Life) -> None:
        self.__dict__.update(whole.__dict__)
        self._life = life

    async def read(self, fn: Callable[[Any], Any]) -> Any:
        self._life.check()
        return await super().read(fn)

    async def write(self, fn: Callable[[Any], Any], ctx: Any, *, why: str) -> Any:
        self._life.check()
        result = await super().write(fn, ctx, why=why)
        if why != CLAIM or result:
            self._life.lived(WRITES.get(why, _wrote(why)))
        return result


def _wrote(why: str) -> str:
    return "the progress of the task was noted" if why.startswith("task ") else f'the row said "{why}"'


class Mortal:
    """A driver, store or reader as one process uses it: what `moments` has words for counts."""

    def __init__(self, inner: Any, life: Life, moments: Mapping[str, str]) -> None:
        self._life = life
        for name in dir(inner):
            found = None if name.startswith("_") else getattr(inner, name)
            if inspect.iscoroutinefunction(found):
                setattr(self, name, self._wrapped(found, moments.get(name, "")))
            elif found is not None and not callable(found):
                setattr(self, name, found)

    def _wrapped(self, method: Callable[..., Awaitable[Any]], moment: str) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **named: Any) -> Any:
            self._life.check()
            result = await method(*args, **named)
            self._life.lived(moment)
            return result

        return call


class MortalDriver(Mortal):
    """A volume driver that may also leave a volume half made."""

    def __init__(self, inner: FakeVolumeDriver, life: Life) -> None:
        super().__init__(inner, life, VOLUMES)
        whole = self.ensure

        async def ensure(spec: VolumeSpec) -> Any:
            life.check()
            if spec.name not in inner.pool.volumes:
                inner.pool.volumes[spec.name] = Volume(spec.name, spec.size_gib, Blocks(), complete=False)
                life.lived("its back end had half made the volume")
            return await whole(spec)

        self.ensure = ensure


class PretendedReader:
    """Reads what pretended back ends of living hosts export."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def bring(self, connection: Connection, path: str) -> None:
        found = self._behind(connection)
        write_file(path, "raw", found.blocks, found.size_gib * GIB)

    async def check_same(self, one: Connection, other: Connection) -> None:
        if first(self._behind(one).blocks) != first(self._behind(other).blocks):
            raise DriverError("not the same")

    def _behind(self, connection: Connection) -> Volume:
        for host in self._world.hosts.values():
            for driver in host.drivers.values():
                export = driver.pool.exports.get(connection.export)
                if host.service is not None and export is not None:
                    return driver.pool.volume(export.volume)
        raise DriverError("nobody answers")


def first(blocks: Blocks) -> bytes:
    """What the first block holds."""
    return blocks.data.get(0, b"").rstrip(b"\0")


class LeftFile(CopyFile):
    """A file that is left by whoever dies while it is needed."""

    def __init__(self, path: Path, life: Life) -> None:
        super().__init__(path)
        self._life = life

    async def __aexit__(self, *about: Any) -> None:
        if not self._life.over.is_set():
            await super().__aexit__(*about)


class MortalManager(VolumeManager):
    """The manager of a process that may die."""

    life: Life

    def copy_file(self, name: str) -> CopyFile:
        return LeftFile(self.copies / name, self.life)


class MortalHost(Host):
    """A host whose service lives until it dies; what it has outlives it."""

    def make(self) -> None:
        world, life = self.world, Life()
        db = MortalDatabase(world.db, life)
        self.life = life
        self.runtime = Runtime(world.runtime.config, world.runtime.clock, world.runtime.bus, db)
        self.image = ImageManager(self.runtime, self.name, driver=world.store, policy=POLICY)
        self.kept = FileBackupStore.configured(world.runtime.config, world.runtime.clock)
        moments = {"put": "a piece of it was in the store", "remove": "its pieces were removed from the store"}
        self.volume = MortalManager(
            self.runtime,
            self.name,
            drivers={name: MortalDriver(driver, life) for name, driver in self.drivers.items()},
            image=self.image,
            policy=POLICY,
            backup_store=Mortal(self.kept, life, moments),
        )
        self.volume.life = life
        self.volume.reader = Mortal(PretendedReader(world), life, READS)

    async def die(self) -> None:
        """The process is gone without a word."""
        service, self.service = self.service, None
        if service is not None:
            await killed(service, self.life, [self.image, self.volume])


async def killed(service: Service, life: Life, managers: list[Any]) -> None:
    """Nothing of the service goes on, and it could not finish anything."""
    life.over.set()
    runner = service.runner
    jobs = [job for job in (runner._loop, *runner._running.values(), *service._timers) if job is not None]
    for job in jobs:
        job.cancel()
    for job in jobs:
        with contextlib.suppress(Died, asyncio.CancelledError):
            await job
    for subscription in service._subscriptions:
        await subscription.close()
    for manager in managers:
        manager.serving = False


class MortalWorld(World):
    """A world with a host that dies and comes again."""

    host: MortalHost

    async def begin(self, *names: str, dying: str = "h1") -> None:
        """Hosts, h1 if none is named; one of them will die."""
        await self.runtime.bus.start()
        for name in names or ("h1",):
            drivers = {backend: FakeVolumeDriver(name=backend) for backend in self.backends}
            self.hosts[name] = MortalHost(self, name, drivers)
            await self.hosts[name].start()
        self.host = self.hosts[dying]
        self._look()

    def _look(self) -> None:
        self.volumes = self.hosts["h1"].volume
        self.driver = self.hosts["h1"].drivers[self.backends[0]]

    async def live_and_die(self, act: Callable[["MortalWorld"], Awaitable[None]], last: int) -> str:
        """Do it, in a life that ends at its moment number `last`; returns that moment, "" when it was done before."""
        life = self.host.life
        life.end_at(last)
        doing = asyncio.ensure_future(self._whole(act))
        ended = asyncio.ensure_future(life.over.wait())
        await asyncio.wait((doing, ended), return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()
        doing.cancel()
        with contextlib.suppress(Died, asyncio.CancelledError):
            await doing
        life.go_on()
        if not life.over.is_set():
            return ""
        await self.host.die()
        return life.moments[-1]

    async def _whole(self, act: Callable[["MortalWorld"], Awaitable[None]]) -> None:
        await act(self)
        await self.idle()

    async def come_back(self) -> None:
        """One restart and one tick."""
        if self.host.service is None:
            await self.host.start()
            self._look()
        await self.idle()
        for host in self.hosts.values():
            await host.volume.report_pools(ADMIN)
            await host.volume.reconcile(ADMIN)

    async def idle(self) -> None:
        """Nothing that may run soon is left to be done."""

        def soon(rows: list[Task]) -> list[Task]:
            horizon = self.runtime.clock.now() + timedelta(seconds=SOON)
            return [row for row in rows if row.run_at < horizon or row.cancelled]

        await self.when(lambda: self.rows(Task, open=True), lambda rows: not soon(rows))

    async def wait_long(self) -> None:
        """Whatever waits for its time has had it."""

        def due(tx: Any) -> None:
            for task in tx.find(Task, open=True):
                tx.change(task, run_at=tx.now)

        await self.db.write(due, ADMIN, why="time goes by")
        for host in self.hosts.values():
            host.service.runner.nudge()
        await self.idle()
