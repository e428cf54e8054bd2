"""The end of a server: whatever its state and whatever runs for it, its guest, ports, volumes, claim and rows go."""

from micronova import tasks
from micronova.compute import db, states
from micronova.compute.build import sentence
from micronova.compute.db import Server
from micronova.compute.guest_disks import GuestDisks
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import Error, NotFound
from micronova.manager import task
from micronova.tasks import Task

ANY_HOST = ""


class Removes(GuestDisks):
    """The part of the compute manager that deletes servers."""

    async def delete(self, ctx: Context, id: str, *, rule: str = "servers:delete") -> None:
        """The server is being deleted; what runs for it ends first. Repeating changes nothing.

        Raises NotFound, Forbidden, Conflict when it is locked.
        """

        def order(tx: Tx) -> None:
            server = self.changeable(tx, ctx, id, rule)
            if server.task_state == states.DELETING:
                return
            if not server.host:
                self._forget(tx, ctx, server)
                return
            self.touch(tx, server, task_state=states.DELETING, progress=0)
            self.on(self._undertaker(tx, server)).remove.record(tx, ctx, id)

        await self.db.write(order, ctx, why="deleted by request")

    def _undertaker(self, tx: Tx, server: Server) -> str:
        """Who deletes: the server's host, or any when that is dead, whose init_host then ends what is left there."""
        if self.host_is_up(tx, server.host):
            return server.host
        for begun in tx.find(Task, resource=f"server:{server.id}", open=True):
            tasks.finish(tx, begun, "cancelled")
        return ANY_HOST

    @task(deadline=600, resource="server", failed="settle_remove", retries=8, supersedes=True)
    async def remove(self, ctx: Context, id: str) -> None:
        """Nothing is left of the server. Safe to repeat."""
        await self.driver.remove(id)
        await self.network.unplug_server(ctx, id)
        await self.network.deallocate_for_server(ctx, id)

        def forget(tx: Tx) -> None:
            server = tx.first(Server, id=id)
            if server is not None:
                self._forget(tx, ctx, server)

        await self.db.write(forget, ctx, why="its guest is gone")

    def _forget(self, tx: Tx, ctx: Context, server: Server) -> None:
        self.scheduler.release(tx, server.id)
        self.give_up(tx, ctx, server)
        db.forget_server(tx, server)

    async def settle_remove(self, ctx: Context, id: str, error: Error) -> None:
        """The server could not be deleted: it is in error, to be deleted again."""

        def settle(tx: Tx) -> None:
            server = db.get_server(tx, id)
            fault = db.Fault(code=500, message=f"Deleting failed: {sentence(error)}", created_at=tx.now)
            self.touch(tx, server, vm_state=states.ERROR, task_state=None, fault=fault)

        try:
            await self.db.write(settle, ctx, why=f"deleting failed: {sentence(error)}")
        except NotFound:
            return
