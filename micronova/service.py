"""The service: wraps managers of one host, so that others can reach them and their periodic work gets done.

Start: `init_host` of each, then listen on the bus, then tasks, periodic work, signs of life. Stop: the other way round.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from micronova import __version__, heartbeat, tasks
from micronova.bus import Subscription
from micronova.context import Context, admin_context
from micronova.db import Tx, journal
from micronova.errors import Error, Stale
from micronova.heartbeat import Announcement
from micronova.manager import Manager, Offers, Runtime
from micronova.rpc import Offered, Server
from micronova.runner import Runner

LOG = logging.getLogger(__name__)

TIDY_EVERY, TIDY_MOST = 3600.0, 100
BINARIES = {
    "compute": "nova-compute",
    "scheduler": "nova-scheduler",
    "network": "neutron-agent",
    "image": "glance-api",
    "volume": "cinder-volume",
    "identity": "keystone",
}
"""What clients expect a service to be called (Compute API reference, "Compute services")."""


class Service:
    """Managers of one host at work."""

    def __init__(self, runtime: Runtime, managers: Sequence[Manager], host: str | None = None) -> None:
        self._runtime = runtime
        self._managers = list(managers)
        self.host = host or runtime.config.host
        self.ctx: Context = admin_context(runtime.clock)
        self.runner = Runner(runtime, {manager.topic: manager for manager in managers}, self.host, self.ctx)
        self._subscriptions: list[Subscription] = []
        self._timers: list[asyncio.Task[None]] = []
        self._begun: list[Manager] = []

    async def start(self) -> None:
        """Bring the host in line with the database, then serve. Raises Error when a manager can't serve here."""
        for manager in self._managers:
            await manager.init_host(self.ctx)
            self._begun.append(manager)
            manager.serving = True
        for manager in self._managers:
            offers = type(manager).offers()
            server = self._server(manager, offers)
            listen = self._runtime.bus.listen(manager.topic, self.host, server.handle)
            self._subscriptions.append(await listen)
        await self._report()
        await self.runner.start()
        self._start_timers()
        LOG.info("%s serves %s", self.host, ", ".join(manager.topic for manager in self._managers))

    async def stop(self) -> None:
        """Stop in order; what guests use stays. Repeating changes nothing."""
        for timer in self._timers:
            timer.cancel()
        for timer in self._timers:
            with contextlib.suppress(asyncio.CancelledError):
                await timer
        for subscription in self._subscriptions:
            await subscription.close()
        await self.runner.stop()
        for manager in reversed(self._begun):
            manager.serving = False
            try:
                await manager.close_host()
            except Error as err:
                LOG.warning("%s does not let go of its host: %s", manager.topic, err)
        if self._begun:
            with contextlib.suppress(Error):
                await self._report(stopped=True)
        self._timers, self._subscriptions, self._begun = [], [], []

    def _server(self, manager: Manager, offers: Offers) -> Server:
        offered = {
            name: Offered(partial(method.fn, manager), method.signature) for name, method in offers.remote.items()
        }
        return Server(manager.topic, manager.version, offered, self._runtime.clock, self.runner.nudge)

    def _start_timers(self) -> None:
        every = self._runtime.config.options.service.report_seconds
        self._timers.append(asyncio.create_task(self._repeat(every, "report", self._report), name="report"))
        self._timers.append(asyncio.create_task(self._repeat(TIDY_EVERY, "tidy", self.tidy), name="tidy"))
        for manager in self._managers:
            for name, method in type(manager).offers().periodic.items():
                run = partial(method.fn, manager, self.ctx)
                timer = self._repeat(method.every, f"{manager.topic}.{name}", run)
                self._timers.append(asyncio.create_task(timer, name=f"{manager.topic}.{name}"))

    async def _repeat(self, every: float, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Call `run` every `every` seconds, never twice at once; a failure is logged and does not stop the timer."""
        healthy = True
        while True:
            await asyncio.sleep(every)
            try:
                await run()
                if not healthy:
                    LOG.warning("%s works again", name)
                healthy = True
            except Error as err:
                if healthy:
                    LOG.warning("%s failed: %s", name, err)
                healthy = False
            except Exception:
                LOG.exception("%s failed", name)

    async def tidy(self) -> None:
        """Forget finished tasks and journal lines that are older than the configuration keeps them."""
        options = self._runtime.config.options
        parts = (
            partial(tasks.trim, days=options.tasks.keep_days),
            partial(journal.trim, days=options.database.journal_days),
        )
        for part in parts:
            try:
                for _ in range(TIDY_MOST):
                    if not await self._runtime.db.write(part, self.ctx, why="older than they are kept"):
                        break
            except Stale:
                continue  # another host's service tidies up at the same moment

    async def _report(self, *, stopped: bool = False) -> None:
        zone = self._runtime.config.options.service.zone
        said = [
            Announcement(m.topic, self.host, BINARIES.get(m.topic, m.topic), zone, __version__) for m in self._managers
        ]

        def write(tx: Tx) -> None:
            for announcement in said:
                heartbeat.report(tx, self._runtime.clock, announcement, stopped=stopped)

        await self._runtime.db.write(write, self.ctx, why="sign of life")
