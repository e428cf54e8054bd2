"""Servers on, off and standing still: start, stop, reboot, pause.

What was asked for is recorded; the host does it and says how it ended.
"""

from micronova.compute import db, states
from micronova.compute.build import Builds, sentence
from micronova.compute.db import Fault
from micronova.compute.driver import GuestFacts
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import Error
from micronova.manager import task


class Powers(Builds):
    """The part of the compute manager that switches guests."""

    async def stop(self, ctx: Context, id: str) -> None:
        """The server is being shut down. Raises NotFound, Conflict by its lock, state or host."""

        def order(tx: Tx) -> None:
            server = self.changeable(tx, ctx, id, "servers:stop", "stop")
            self.reachable(tx, server)
            self.touch(tx, server, task_state=states.POWERING_OFF, power_wanted=False)
            self.on(server.host).power_off.record(tx, ctx, id)

        await self.db.write(order, ctx, why="stop by request")

    async def start(self, ctx: Context, id: str) -> None:
        """The server is being started. Raises NotFound, Conflict by its lock, state or host."""

        def order(tx: Tx) -> None:
            server = self.changeable(tx, ctx, id, "servers:start", "start")
            self.reachable(tx, server)
            self.touch(tx, server, task_state=states.POWERING_ON, power_wanted=True)
            self.on(server.host).power_on.record(tx, ctx, id)

        await self.db.write(order, ctx, why="start by request")

    async def reboot(self, ctx: Context, id: str, *, hard: bool) -> None:
        """The server is being restarted: by asking its guest or, `hard`, by force, which also starts a stopped one.

        Raises NotFound, Conflict by its lock, state or host.
        """

        def order(tx: Tx) -> None:
            server = self.changeable(tx, ctx, id, "servers:reboot", "reboot hard" if hard else "reboot")
            self.reachable(tx, server)
            state = states.REBOOTING_HARD if hard else states.REBOOTING
            self.touch(tx, server, task_state=state, power_wanted=True)
            self.on(server.host).restart.record(tx, ctx, id, hard)

        await self.db.write(order, ctx, why=f"{'hard' if hard else 'soft'} reboot by request")

    async def pause(self, ctx: Context, id: str) -> None:
        """The server is being made to stand still. Raises NotFound, Conflict by its lock, state or host."""

        def order(tx: Tx) -> None:
            server = self.changeable(tx, ctx, id, "os-pause-server:pause", "pause")
            self.reachable(tx, server)
            self.touch(tx, server, task_state=states.PAUSING)
            self.on(server.host).halt.record(tx, ctx, id)

        await self.db.write(order, ctx, why="pause by request")

    async def unpause(self, ctx: Context, id: str) -> None:
        """The server is being made to go on. Raises NotFound, Conflict by its lock, state or host."""

        def order(tx: Tx) -> None:
            server = self.changeable(tx, ctx, id, "os-pause-server:unpause", "unpause")
            self.reachable(tx, server)
            self.touch(tx, server, task_state=states.UNPAUSING)
            self.on(server.host).go_on.record(tx, ctx, id)

        await self.db.write(order, ctx, why="unpause by request")

    # -- on the host

    @task(deadline=300, resource="server", failed="settle_power")
    async def power_off(self, ctx: Context, id: str) -> None:
        """The guest is shut down and the row says so."""
        await self.driver.stop(id, wait=self.options.shutdown_seconds)
        await self.powered(ctx, id, states.STOPPED, states.SHUTDOWN, "its guest is shut down")

    @task(deadline=300, resource="server", failed="settle_power")
    async def power_on(self, ctx: Context, id: str) -> None:
        """The guest runs and the row says so."""
        await self.bring_up(ctx, id)
        await self.powered(ctx, id, states.ACTIVE, states.RUNNING, "its guest runs")

    @task(deadline=300, resource="server", failed="settle_power")
    async def restart(self, ctx: Context, id: str, hard: bool) -> None:
        """The guest was restarted, or started when it was off, and the row says so."""
        facts = await self.driver.inspect(id)
        if facts.power in ("running", "paused"):
            await self.driver.reboot(id, hard=hard)
        else:
            await self.bring_up(ctx, id)
        await self.powered(ctx, id, states.ACTIVE, states.RUNNING, "its guest was restarted")

    @task(deadline=300, resource="server", failed="settle_power")
    async def halt(self, ctx: Context, id: str) -> None:
        """The guest stands still with its memory kept, and the row says so."""
        await self.driver.pause(id, paused=True)
        await self.powered(ctx, id, states.PAUSED, states.POWER_PAUSED, "its guest stands still")

    @task(deadline=300, resource="server", failed="settle_power")
    async def go_on(self, ctx: Context, id: str) -> None:
        """The paused guest runs again, and the row says so."""
        await self.driver.pause(id, paused=False)
        await self.powered(ctx, id, states.ACTIVE, states.RUNNING, "its guest goes on")

    async def settle_power(self, ctx: Context, id: str, *rest: object) -> None:
        """What was asked for did not happen: the row says what the guest is really doing, and why it failed."""
        error = rest[-1]
        message = sentence(error) if isinstance(error, Error) else str(error)
        server, _ = await self.read_server(id)
        facts = await self.driver.inspect(id) if server.host == self.host else None

        def settle(tx: Tx) -> None:
            now = db.get_server(tx, id)
            if now.task_state == states.DELETING:
                return
            fault = Fault(code=500, message=message, created_at=tx.now)
            self.touch(tx, now, task_state=None, fault=fault, **found_power(facts))

        await self.db.write(settle, ctx, why=f"it failed: {message}")

    async def bring_up(self, ctx: Context, id: str) -> None:
        """The server's guest runs here on plugged ports, made anew where it was gone. Safe to repeat."""
        server, given = await self.read_server(id)
        files = await self.boot_files(ctx, server, given)
        await self.driver.ensure(await self.guest_spec(ctx, server, given, files))

    async def powered(self, ctx: Context, id: str, vm_state: str, power_state: int, why: str) -> None:
        """The row says what an action achieved; a server that is being deleted stays so."""

        def note(tx: Tx) -> None:
            server = db.get_server(tx, id)
            if server.task_state == states.DELETING:
                return
            launched = server.launched_at or (tx.now if vm_state == states.ACTIVE else None)
            self.touch(
                tx,
                server,
                vm_state=vm_state,
                task_state=None,
                power_state=power_state,
                power_wanted=vm_state == states.ACTIVE,
                launched_at=launched,
                fault=None,
            )

        await self.db.write(note, ctx, why=why)


def found_power(facts: GuestFacts | None) -> dict[str, object]:
    """What a server's row should say of its power, given what its guest does. Nothing when that is not known."""
    if facts is None:
        return {}
    power = states.POWERS.get(facts.power, states.NO_STATE)
    if facts.power == "absent":
        return {"power_state": power}
    if facts.power == "running":
        return {"power_state": power, "vm_state": states.ACTIVE, "power_wanted": True}
    if facts.power == "paused":
        return {"power_state": power, "vm_state": states.PAUSED}
    return {"power_state": power, "vm_state": states.STOPPED, "power_wanted": False}
