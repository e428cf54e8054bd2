"""What every part of the compute manager stands on: its collaborators, whose server it is, what state it must be in."""

from typing import Any

from micronova import heartbeat
from micronova.compute import db, states
from micronova.compute.db import Fault, Server
from micronova.compute.driver import ComputeDriver
from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import Conflict, Error, NotFound, WrongState
from micronova.image.manager import ImageManager
from micronova.manager import Manager, Runtime
from micronova.network.manager import NetworkManager
from micronova.policy import Policy
from micronova.scheduler import db as scheduler_db
from micronova.scheduler.manager import SchedulerManager
from micronova.volume.manager import VolumeManager
from micronova.volume.servers import SeenDisk, ServerDisks

PREFIX = "os_compute_api:"


class ComputeBase(Manager):
    """Servers on hosts: what the manager's parts share."""

    topic = "compute"

    def __init__(
        self,
        runtime: Runtime,
        host: str | None = None,
        db_driver: Database | None = None,
        *,
        driver: ComputeDriver,
        network: NetworkManager,
        image: ImageManager,
        scheduler: SchedulerManager,
        policy: Policy,
        volume: VolumeManager | None = None,
    ) -> None:
        """`volume` is None in a cloud whose servers have no volumes."""
        super().__init__(runtime, host, db_driver)
        self.driver = driver
        self.volume = volume
        self._disks = ServerDisks(volume) if volume is not None else None
        self.network = network
        self.image = image
        self.scheduler = scheduler
        self.policy = policy
        self.options = runtime.config.options.compute

    @property
    def volumes(self) -> VolumeManager:
        """The volume manager. Raises Error where there is none."""
        if self.volume is None:
            raise Error("This cloud has no volumes.", status=501)
        return self.volume

    @property
    def disks(self) -> ServerDisks:
        """Volumes of servers inside transactions. Raises Error where there are none."""
        if self._disks is None:
            raise Error("This cloud has no volumes.", status=501)
        return self._disks

    def disks_of(self, tx: Tx, server_id: str) -> list[SeenDisk]:
        """A server's volumes in order of boot, then age."""
        return self._disks.of(tx, (server_id,)).get(server_id, []) if self._disks is not None else []

    def owned(self, tx: Tx, ctx: Context, id: str, rule: str) -> Server:
        """Server `id`, if the caller may see it and passes `rule` for it.

        Raises NotFound for a missing one and another project's, Forbidden by the rule.
        """
        server = db.get_server(tx, id)
        if not ctx.is_admin and server.project_id != ctx.project_id:
            raise NotFound(f"Instance {id} could not be found.", id=id)
        self.policy.require(ctx, PREFIX + rule, {"project_id": server.project_id, "user_id": server.user_id})
        return server

    def changeable(self, tx: Tx, ctx: Context, id: str, rule: str, action: str = "") -> Server:
        """A server the caller may change: `owned`, not locked, in a state that allows `action`.

        Raises Conflict when it is locked, WrongState when its state does not allow it.
        """
        server = self.owned(tx, ctx, id, rule)
        if server.locked_by and not ctx.is_admin:
            raise Conflict(f"Instance {id} is locked", id=id)
        if action:
            states.check(action, id, server.vm_state, server.task_state, server.launched_at is not None)
        return server

    def reachable(self, tx: Tx, server: Server) -> None:
        """Return when the server's host is up. Raises Conflict when it has none or that is down."""
        if not server.host:
            raise WrongState(f"Instance {server.id} is not ready", id=server.id)
        if not self.host_is_up(tx, server.host):
            raise Conflict("Service is unavailable at this time.", host=server.host)

    def host_is_up(self, tx: Tx, host: str) -> bool:
        """Whether a compute service lives on `host` now."""
        down = self.runtime.config.options.service.down_seconds
        return any(heartbeat.is_up(row, tx.now, down) for row in heartbeat.services(tx, topic=self.topic, host=host))

    def zone_of(self, tx: Tx, host: str) -> str:
        """The availability zone of a host: its aggregate's, else the one its service names."""
        named = scheduler_db.zones(tx).get(host)
        if named:
            return named
        return next((row.zone for row in heartbeat.services(tx, topic=self.topic, host=host)), "")

    def touch(self, tx: Tx, server: Server, **fields: Any) -> Server:
        """Store a change that the owner sees as an update."""
        return tx.change(server, updated_at=tx.now, **fields)

    async def fail(self, ctx: Context, id: str, message: str, **fields: Any) -> None:
        """Put a server into error with a fault, and `fields` besides; a server that is being deleted stays so.

        Raises NotFound when it is gone.
        """

        def settle(tx: Tx) -> None:
            server = db.get_server(tx, id)
            if server.task_state == states.DELETING:
                return
            fault = Fault(code=500, message=message, created_at=tx.now)
            self.touch(tx, server, vm_state=states.ERROR, task_state=None, fault=fault, **fields)

        await self.db.write(settle, ctx, why=message)

    def require(self, ctx: Context, rule: str, **target: str) -> None:
        """Raises Forbidden unless the caller passes the rule for the target."""
        self.policy.require(ctx, PREFIX + rule, target or None)

    def allows(self, ctx: Context, rule: str) -> bool:
        """Whether the caller passes the rule in its own project."""
        return self.policy.allows(ctx, PREFIX + rule)
