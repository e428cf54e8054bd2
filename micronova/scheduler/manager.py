"""The scheduler manager: hosts and what they hold, and the one place where a host is taken for a server."""

from datetime import datetime, timedelta
from functools import partial

import msgspec

from micronova import heartbeat
from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import BadRequest, NotFound
from micronova.heartbeat import ServiceRow
from micronova.manager import Manager, Runtime, periodic
from micronova.policy import Policy
from micronova.scheduler import db
from micronova.scheduler.db import Allocation, Decision, Host
from micronova.scheduler.driver import Choice, HostState, Ratios, Request, SchedulerDriver
from micronova.scheduler.drivers.filter import FilterDriver
from micronova.scheduler.story import tell

SEEDS = 1 << 30
COMPUTE = "compute"


class HostReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a host says it has. `hostname` is its hypervisor's name, by default the host's."""

    host: str
    hypervisor_type: str
    hypervisor_version: int
    vcpus: int
    ram_mib: int
    disk_gib: int
    hostname: str = ""
    address: str = "127.0.0.1"
    reserved_ram_mib: int = 0
    cpu_model: str = ""
    accel: str = ""
    zone: str = "nova"


class HostView(msgspec.Struct, frozen=True, kw_only=True):
    """A host, its service (None: it never served) and what is taken of it."""

    row: Host
    zone: str
    service: ServiceRow | None
    up: bool
    vcpus_used: int = 0
    ram_used_mib: int = 0
    disk_used_gib: int = 0
    servers: int = 0

    @property
    def enabled(self) -> bool:
        return self.service is not None and not self.service.disabled


class SchedulerManager(Manager):
    """Which hosts live, what they hold, which to take, and why."""

    topic = "scheduler"

    def __init__(
        self,
        runtime: Runtime,
        host: str | None = None,
        db_driver: Database | None = None,
        *,
        driver: SchedulerDriver | None = None,
        policy: Policy | None = None,
    ) -> None:
        super().__init__(runtime, host, db_driver)
        options = runtime.config.options
        self.driver: SchedulerDriver = driver or FilterDriver()
        self.policy = policy
        self.ratios = Ratios(
            cpu=options.scheduler.cpu_ratio,
            ram=options.scheduler.ram_ratio,
            disk=options.scheduler.disk_ratio,
        )
        self._down_seconds = options.service.down_seconds

    # -- hosts

    async def report(self, ctx: Context, said: HostReport) -> Host:
        """Note what a host has; the same again changes nothing."""
        return await self.db.write(partial(self._note, said=said), ctx, why="a host said what it has")

    def _note(self, tx: Tx, said: HostReport) -> Host:
        facts = msgspec.structs.asdict(said)
        facts["hostname"] = said.hostname or said.host
        row = tx.first(Host, host=said.host)
        if row is None:
            return tx.insert(Host(id=self.clock.new_id(), created_at=tx.now, updated_at=tx.now, **facts))
        changed = tx.change(row, **facts)
        return tx.change(changed, updated_at=tx.now) if changed is not row else row

    async def hosts(self, ctx: Context) -> list[HostView]:
        """All hosts by name, with what is taken of them."""
        return await self.db.read(self.views)

    def views(self, tx: Tx) -> list[HostView]:
        """The table of hosts inside the caller's transaction."""
        used, zones = db.used(tx), db.zones(tx)
        services = {row.host: row for row in heartbeat.services(tx, topic=COMPUTE)}
        return [
            self._view(row, services.get(row.host), used.get(row.host, (0, 0, 0, 0)), zones, tx.now)
            for row in db.hosts(tx)
        ]

    def _view(
        self,
        row: Host,
        service: ServiceRow | None,
        used: tuple[int, int, int, int],
        zones: dict[str, str],
        now: datetime,
    ) -> HostView:
        return HostView(
            row=row,
            zone=zones.get(row.host) or (service.zone if service else row.zone),
            service=service,
            up=service is not None and heartbeat.is_up(service, now, self._down_seconds),
            vcpus_used=used[0],
            ram_used_mib=used[1],
            disk_used_gib=used[2],
            servers=used[3],
        )

    async def forget_host(self, ctx: Context, host: str) -> None:
        """The host is out of the table. Raises BadRequest while it holds servers."""
        await self.db.write(partial(self.drop_host, host=host), ctx, why="the host was given up")

    def drop_host(self, tx: Tx, host: str) -> None:
        """`forget_host` inside the caller's transaction; a missing host is success."""
        held = tx.count(Allocation, host=host)
        if held:
            raise BadRequest(f"Host {host} still holds {held} servers.", servers=held)
        row = tx.first(Host, host=host)
        if row is not None:
            tx.delete(row)

    # -- allocations

    def claim(self, tx: Tx, ctx: Context, request: Request) -> Decision:
        """Take a host for `request` in the caller's write transaction; returns the decision, stored.

        Never raises for want of a host: then `host` is "", `message` says why, and nothing is held. A consumer that
        holds a host already gives it up to the new one, or keeps it when none is found.
        """
        choice = self._choose(tx, request)
        if choice.host:
            self.release(tx, request.consumer_id)
            self._hold(tx, request, choice.host)
        return tx.insert(self._decision(tx, ctx, request, choice))

    def _hold(self, tx: Tx, request: Request, host: str) -> Allocation:
        return tx.insert(
            Allocation(
                consumer_id=request.consumer_id,
                project_id=request.project_id,
                host=host,
                vcpus=request.vcpus,
                ram_mib=request.ram_mib,
                disk_gib=request.disk_gib,
                created_at=tx.now,
            )
        )

    def _choose(self, tx: Tx, request: Request) -> Choice:
        own = db.held_by_project(tx, request.project_id)
        held = tx.first(Allocation, consumer_id=request.consumer_id)
        states = tuple(_state(view, own.get(view.row.host, 0), held) for view in self.views(tx))
        return self.driver.choose(request, states, self.ratios, self.clock.randbelow(SEEDS))

    def _decision(self, tx: Tx, ctx: Context, request: Request, choice: Choice) -> Decision:
        return Decision(
            id=self.clock.new_id(),
            consumer_id=request.consumer_id,
            project_id=request.project_id,
            request_id=ctx.request_id,
            driver=self.driver.name,
            request=request,
            created_at=tx.now,
            **msgspec.structs.asdict(choice),
        )

    def release(self, tx: Tx, consumer_id: str) -> None:
        """The consumer holds nothing. Repeating changes nothing."""
        held = tx.first(Allocation, consumer_id=consumer_id)
        if held is not None:
            tx.delete(held)

    def change(self, tx: Tx, consumer_id: str, *, vcpus: int, ram_mib: int, disk_gib: int) -> Allocation:
        """The consumer holds this much on the host where it is, whether that fits or not. Raises NotFound."""
        held = tx.first(Allocation, consumer_id=consumer_id)
        if held is None:
            raise NotFound(f"Server {consumer_id} holds no host.", id=consumer_id)
        return tx.change(held, vcpus=vcpus, ram_mib=ram_mib, disk_gib=disk_gib)

    def allocation(self, tx: Tx, consumer_id: str) -> Allocation | None:
        """What the consumer holds, or None."""
        return tx.first(Allocation, consumer_id=consumer_id)

    # -- why

    @periodic(every=3600)
    async def forget_decisions(self, ctx: Context) -> None:
        """Decisions about consumers that hold nothing any more are dropped when they are as old as finished tasks."""
        keep = timedelta(days=self.config.options.tasks.keep_days)

        def drop(tx: Tx) -> None:
            for row in db.old_decisions(tx, tx.now - keep):
                tx.delete(row)

        await self.db.write(drop, ctx, why="nobody asks why any more")

    async def decisions(self, ctx: Context, consumer_id: str) -> list[Decision]:
        """All decisions for a consumer, oldest first; another project's only for an administrator."""
        found = await self.db.read(partial(db.decisions, consumer_id=consumer_id))
        return [row for row in found if ctx.is_admin or row.project_id == ctx.project_id]

    async def explain(self, ctx: Context, consumer_id: str) -> str:
        """Why the consumer is where it is, or nowhere: lines of text, newest decision last. Raises NotFound."""
        found = await self.decisions(ctx, consumer_id)
        if not found:
            raise NotFound(f"No host was ever looked for for {consumer_id}.", id=consumer_id)
        return "\n\n".join(tell(row) for row in found)


def _state(view: HostView, own: int, held: Allocation | None) -> HostState:
    """The driver's row of a host; what the consumer itself holds there counts as free."""
    mine = held if held is not None and held.host == view.row.host else None
    return HostState(
        host=view.row.host,
        zone=view.zone,
        up=view.up,
        enabled=view.enabled,
        vcpus=view.row.vcpus,
        ram_mib=max(0, view.row.ram_mib - view.row.reserved_ram_mib),
        disk_gib=view.row.disk_gib,
        vcpus_used=view.vcpus_used - (mine.vcpus if mine else 0),
        ram_used_mib=view.ram_used_mib - (mine.ram_mib if mine else 0),
        disk_used_gib=view.disk_used_gib - (mine.disk_gib if mine else 0),
        servers=view.servers - (1 if mine else 0),
        own_servers=own - (1 if mine else 0),
    )
