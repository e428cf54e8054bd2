"""What operators see and say of hosts: their services, what they have and hold, the zones they form.

The facts are the scheduler's and the services' own; this part only joins them with the servers.
"""

from collections.abc import Iterable, Sequence
from functools import partial

import msgspec

from micronova import heartbeat
from micronova.compute import inputs
from micronova.compute.db import Server
from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import BadRequest, Conflict, NotFound
from micronova.heartbeat import ServiceRow
from micronova.scheduler import db as schedule
from micronova.scheduler.manager import COMPUTE, HostView, SchedulerManager

SHOWN = (COMPUTE, "scheduler")
"""Topics whose services are the compute API's."""
INTERNAL = "internal"
"""The zone of services that run no servers."""


class ServiceView(msgspec.Struct, frozen=True, kw_only=True):
    """A service as operators see it."""

    row: ServiceRow
    zone: str
    up: bool


class Hypervisor(msgspec.Struct, frozen=True, kw_only=True):
    """A host with the servers on it."""

    view: HostView
    servers: tuple[Server, ...] = ()

    @property
    def busy(self) -> int:
        """How many of the servers something is being done to."""
        return sum(1 for server in self.servers if server.task_state is not None)


class ServiceChange(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of a service; None leaves it."""

    disabled: bool | None = None
    reason: str | None = None
    forced_down: bool | None = None


class Hosts:
    """Hosts and services for operators."""

    def __init__(self, db: Database, scheduler: SchedulerManager, down_seconds: float) -> None:
        self._db = db
        self._scheduler = scheduler
        self._down_seconds = down_seconds

    # -- hypervisors

    async def hypervisors(self, ctx: Context) -> list[Hypervisor]:
        """All hosts that run servers, with their servers, in the order they came."""

        def read(tx: Tx) -> list[Hypervisor]:
            views = sorted(self._scheduler.views(tx), key=lambda view: view.row.number)
            by_host: dict[str, list[Server]] = {view.row.host: [] for view in views}
            for server in tx.find(Server, order=(("seq", True),), host=list(by_host)):
                by_host[server.host].append(server)
            return [Hypervisor(view=view, servers=tuple(by_host[view.row.host])) for view in views]

        return await self._db.read(read)

    async def hypervisor(self, ctx: Context, id: str) -> Hypervisor:
        """The host by its UUID or number. Raises NotFound."""
        for found in await self.hypervisors(ctx):
            if id in (found.view.row.id, str(found.view.row.number)):
                return found
        raise NotFound(f"Compute host {id} could not be found.", id=id)

    async def matching(self, ctx: Context, pattern: str) -> list[Hypervisor]:
        """The hosts whose hypervisor's name contains `pattern`. Raises NotFound when there are none."""
        found = [one for one in await self.hypervisors(ctx) if pattern in one.view.row.hostname]
        if not found:
            raise NotFound(f"No hypervisor matching '{pattern}' could be found.")
        return found

    # -- services

    async def services(self, ctx: Context, host: str | None = None, binary: str | None = None) -> list[ServiceView]:
        """The services of the compute API, by topic and host."""
        found = await self._db.read(partial(self._services, host=host))
        return [view for view in found if binary is None or view.row.binary == binary]

    def _services(self, tx: Tx, host: str | None = None) -> list[ServiceView]:
        zones = schedule.zones(tx)
        rows = [row for row in heartbeat.services(tx, host=host) if row.topic in SHOWN]
        return [
            ServiceView(
                row=row,
                zone=zones.get(row.host, row.zone) if row.topic == COMPUTE else INTERNAL,
                up=heartbeat.is_up(row, tx.now, self._down_seconds),
            )
            for row in rows
        ]

    async def change_service(self, ctx: Context, id: str, change: ServiceChange) -> ServiceView:
        """The service is as asked. Raises NotFound, BadRequest when it is not one that runs servers."""

        def write(tx: Tx) -> ServiceView:
            row = _service(self._services(tx), id).row
            if row.topic != COMPUTE:
                raise BadRequest(
                    f"Updating a {row.binary} service is not supported. Only nova-compute services can be."
                )
            _apply(tx, row, change)
            return _service(self._services(tx), id)

        return await self._db.write(write, ctx, why=change.reason or "changed by an operator")

    async def change_service_of(self, ctx: Context, host: str, binary: str, change: ServiceChange) -> None:
        """The service `binary` of `host` is as asked. Raises NotFound."""

        def write(tx: Tx) -> None:
            rows = [view.row for view in self._services(tx, host) if view.row.binary == binary]
            if not rows:
                raise NotFound(f"Could not find binary {binary} on host {host}.")
            _apply(tx, rows[0], change)

        await self._db.write(write, ctx, why=change.reason or "changed by an operator")

    async def delete_service(self, ctx: Context, id: str) -> None:
        """The service is forgotten, and its host. Raises NotFound, Conflict while the host holds servers."""

        def write(tx: Tx) -> None:
            row = _service(self._services(tx), id).row
            if row.topic == COMPUTE:
                if tx.count(Server, host=row.host):
                    raise Conflict(
                        "Unable to delete compute service that is hosting instances. Migrate or delete the "
                        "instances first."
                    )
                self._scheduler.drop_host(tx, row.host)
            heartbeat.forget(tx, row.id)

        await self._db.write(write, ctx, why="given up by an operator")


def _service(views: Iterable[ServiceView], id: str) -> ServiceView:
    for view in views:
        if id in (view.row.id, str(inputs.number_of(view.row.id))):
            return view
    raise NotFound(f"Service {id} could not be found.", id=id)


def _apply(tx: Tx, row: ServiceRow, change: ServiceChange) -> None:
    if change.disabled is not None:
        heartbeat.set_disabled(tx, row.id, change.disabled, change.reason)
    if change.forced_down is not None:
        heartbeat.set_forced_down(tx, row.id, change.forced_down)


def zone_is_available(views: Sequence[ServiceView]) -> bool:
    """Whether any service of a zone takes work."""
    return any(not view.row.disabled for view in views)
