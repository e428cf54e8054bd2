"""Network interfaces of servers that are there already: one more, one less, while the guest runs.

The port is the server's from the moment of the order, in the order's own transaction; the host then makes it real. An
attachment that fails gives the port back. Nova answers such an order when it is carried out, and so do we, up to a
limit: whoever asked reads errors from the answer, and slow hosts go on by themselves.
"""

import asyncio

import msgspec

from micronova.compute import db
from micronova.compute.build import sentence
from micronova.compute.db import Server
from micronova.compute.driver import Nic
from micronova.compute.power import Powers
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import Conflict, Error, NotFound
from micronova.manager import Step, task
from micronova.network.contract import NicInfo, NicRequest
from micronova.network.servers import ServerPlace
from micronova.tasks import Task

ANSWER_WITHIN = 30
"""Seconds an attachment may take before it is answered for while it still goes on."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.5


class Interfaces(Powers):
    """The part of the compute manager that plugs interfaces in and out."""

    async def attach_interface(self, ctx: Context, id: str, asked: NicRequest) -> tuple[Server, NicInfo]:
        """The server has one more interface, or soon will; returns both.

        Raises NotFound for a port or network that is not there, Conflict for one in use and by the server's lock,
        state or host, BadRequest, Forbidden, QuotaExceeded, Error when the host refused.
        """

        def order(tx: Tx) -> tuple[str, str]:
            server = self.changeable(tx, ctx, id, "os-attach-interfaces:create", "attach_interface")
            self.reachable(tx, server)
            owner = msgspec.structs.replace(ctx, project_id=server.project_id)
            place = ServerPlace(id, server.host, server.hostname)
            port_id = self.network.servers.attach(tx, owner, place, asked)
            self.touch(tx, server)
            return self.on(server.host).plug_interface.record(tx, ctx, id, port_id).id, port_id

        task_id, port_id = await self.network.insist(order, ctx, "an interface more by request")
        await self._carried_out(id, task_id)
        server, nics = await self.db.read(lambda tx: self._with_nics(tx, id))
        nic = next((nic for nic in nics if nic.port_id == port_id), None)
        if nic is None:
            raise Conflict(f"Port {port_id} was taken from instance {id} meanwhile.", id=id)
        return server, nic

    async def detach_interface(self, ctx: Context, id: str, port_id: str) -> None:
        """The server is losing an interface. Raises NotFound when it has none of this port, Conflict, Forbidden."""

        def order(tx: Tx) -> None:
            server = self.changeable(tx, ctx, id, "os-attach-interfaces:delete", "detach_interface")
            self.reachable(tx, server)
            _, nics = self._with_nics(tx, id)
            if all(nic.port_id != port_id for nic in nics):
                raise NotFound(f"Port {port_id} is not attached", id=port_id)
            self.on(server.host).unplug_interface.record(tx, ctx, id, port_id)

        await self.db.write(order, ctx, why="an interface less by request")

    def _with_nics(self, tx: Tx, id: str) -> tuple[Server, tuple[NicInfo, ...]]:
        return db.get_server(tx, id), self.network.servers.nics(tx, (id,)).get(id, ())

    async def _carried_out(self, id: str, task_id: str) -> None:
        """Return when the task is done, or after a while anyway. Raises Error when it was given up."""
        pause = _FIRST_PAUSE
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                while (task := await self.db.read(lambda tx: tx.get(Task, task_id))).open:
                    await asyncio.sleep(pause)
                    pause = min(_LONGEST_PAUSE, 1.5 * pause)
        except TimeoutError:
            return
        if task.state == "cancelled":
            raise Conflict(f"Instance {id} is being deleted", id=id)
        if task.state == "failed":
            raise Error(f"Failed to attach network adapter device to {id}: {sentence(Error(task.error))}", id=id)

    # -- on the host

    @task(
        deadline=300,
        resource="server",
        failed="settle_plug",
        retries=1,
        steps=(Step("network", "find_port", "free_port"), Step("attach", "plug_card", "unplug_card")),
    )
    async def plug_interface(self, ctx: Context, id: str, port_id: str) -> None:
        """The guest has a card of the port, and the row says that something changed."""
        await self._changed(ctx, id, "an interface was plugged in")

    async def find_port(self, ctx: Context, id: str, port_id: str) -> None:
        """Step: the port is still the server's. Raises NotFound when it was deleted since it was asked for."""
        _, nics = await self.db.read(lambda tx: self._with_nics(tx, id))
        if all(nic.port_id != port_id for nic in nics):
            raise NotFound(f"Port id {port_id} could not be found.", id=port_id)

    async def free_port(self, ctx: Context, id: str, port_id: str) -> None:
        """Undo, and the end of a detachment: the port is not the server's; its host hears of it."""
        await self.network.detach_from_server(ctx, id, port_id)

    async def plug_card(self, ctx: Context, id: str, port_id: str) -> None:
        """Step: the port is real here, and the guest has a card of it."""
        plugged = await self.network.plug_server(ctx, id)
        found = next((one for one in plugged if one.port_id == port_id), None)
        if found is None:
            raise NotFound(f"Port id {port_id} could not be found.", id=port_id)
        nic = Nic(port_id=port_id, mac=found.mac, device=found.device, mtu=found.mtu)
        await self.driver.attach_nic(id, nic)

    async def unplug_card(self, ctx: Context, id: str, port_id: str) -> None:
        """Undo, and the first step of a detachment: the guest has no card of the port."""
        await self.driver.detach_nic(id, port_id)

    async def settle_plug(self, ctx: Context, id: str, port_id: str, error: Error) -> None:
        """The attachment was given up: the port is not the server's, also when its host is dead."""
        await self.free_port(ctx, id, port_id)

    @task(
        deadline=300,
        resource="server",
        steps=(Step("detach", "unplug_card"), Step("network", "free_port")),
    )
    async def unplug_interface(self, ctx: Context, id: str, port_id: str) -> None:
        """The guest has no card of the port, the port is gone or free; a guest that keeps its card keeps the port."""
        await self._changed(ctx, id, "an interface was unplugged")

    async def _changed(self, ctx: Context, id: str, why: str) -> None:
        await self.db.write(lambda tx: self.touch(tx, db.get_server(tx, id)), ctx, why=why)
