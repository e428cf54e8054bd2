"""One server examined and mended: its state against its tasks, its guest against its row, its volumes and ports.

What is done are the manager's own tasks and methods, asked again. What is wrong with its volumes themselves is theirs
to say and to mend.
"""

from micronova.compute import db, states
from micronova.compute.db import Server
from micronova.compute.driver import GuestFacts
from micronova.compute.rebuild import Rebuilds
from micronova.compute.reconcile import Reconciles, differs
from micronova.compute.removal import Removes
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import DriverError, Error, Unavailable, WrongState
from micronova.manager import remote
from micronova.repair import WAKE, Examination, Finding, late, wake
from micronova.tasks import Task
from micronova.volume import states as volume_states
from micronova.volume.servers import SeenDisk

REMOVE, GIVE_UP, REBUILD, POWER, BELIEVE = "remove", "give up", "rebuild", "power", "believe"
DISKS, PORTS, FREE = "disks", "ports", "free"
WHY = "mended by request"
RUNS = ("running", "paused")
NOBODY = Error("No task did what was asked.")


class Repairs(Rebuilds, Removes, Reconciles):
    """The part of the compute manager that says what is wrong with a server, and mends it."""

    # -- examined

    async def examine(self, ctx: Context, id: str) -> Examination | None:
        """What is wrong with the server of this id, or with servers that have the volume or attachment of this id.

        None when there are none.
        """
        server = await self.db.read(lambda tx: tx.first(Server, id=id))
        if server is None:
            return await self._examine_users(ctx, id)

        def read(tx: Tx) -> tuple[list[Task], list[SeenDisk], list[Finding]]:
            tasks = tx.find(Task, resource=f"server:{id}", open=True, cancelled=False, order=(("seq", True),))
            down = self.runtime.config.options.service.down_seconds
            return tasks, self.disks_of(tx, id), late(tx, "server", id, tasks, down)

        tasks, disks, found = await self.db.read(read)
        if not tasks:
            found += self._of_row(server)
        if not (tasks or found) and server.host:
            found += await self._of_guest(ctx, server, disks)
        told = states.status(server.vm_state, server.task_state)
        summary = f"server {server.name} ({id}) is {told} on {server.host or 'no host'}"
        return Examination(summary=summary, findings=tuple(found), also=tuple(disk.id for disk in disks))

    async def _examine_users(self, ctx: Context, id: str) -> Examination | None:
        """What is wrong with the use of a volume."""

        def read(tx: Tx) -> list[tuple[SeenDisk, Server | None, bool]]:
            disks = self._disks.held(tx, id) if self._disks is not None else []
            return [
                (
                    disk,
                    tx.first(Server, id=disk.server_id),
                    tx.count(Task, resource=f"server:{disk.server_id}", open=True) > 0,
                )
                for disk in disks
            ]

        found: list[Finding] = []
        for disk, server, busy in await self.db.read(read):
            if server is None and not busy:
                what = f"is for server {disk.server_id}, which is not there"
                found.append(Finding(kind="attachment", id=disk.id, what=what, cure="have it detached", action=FREE))
            elif server is not None and server.host and not busy and not self._of_row(server):
                found += await self._of_guest(ctx, server, [disk], whole=False)
        return Examination(findings=tuple(found)) if found else None

    def _of_row(self, server: Server) -> list[Finding]:
        """What the row alone has wrong, of which no task takes care."""
        doing = server.task_state or ("building" if server.vm_state == states.BUILDING else "")
        what = f"is {doing}, and no task sees to that"
        if server.task_state == states.DELETING:
            return [_finding(server, what, "have it removed", REMOVE)]
        if server.vm_state == states.BUILDING:
            return [_finding(server, what, "give the build up: it is in error then", GIVE_UP)]
        if server.task_state == states.REBUILDING:
            return [_finding(server, what, "give that up: it is in error then, to be rebuilt again", REBUILD)]
        if doing:
            return [_finding(server, what, "give that up, and say what its guest does", POWER)]
        if server.vm_state == states.ERROR:
            said = f": {server.fault.message}" if server.fault else ""
            advice = "reboot it hard, which makes its guest anew, rebuild it, or delete it"
            return [Finding(kind="server", id=server.id, what=f"is in error{said}", advice=advice)]
        return []

    async def _of_guest(
        self, ctx: Context, server: Server, disks: list[SeenDisk], *, whole: bool = True
    ) -> list[Finding]:
        """What the guest does, and has, that the row does not say. `whole`: these are all its disks."""
        try:
            facts = await self.on(server.host).look_at_guest(ctx, server.id)
        except (DriverError, Unavailable) as err:
            what = f"has a guest that can't be looked at: {err}"
            advice = f"see whether host {server.host} serves servers"
            return [Finding(kind="server", id=server.id, what=what, advice=advice)]
        if facts is None:
            return []
        if differs(server, facts):
            told = states.status(server.vm_state, None)
            cure = "put it into error" if facts.power == "absent" else "have its row say so"
            return [_finding(server, f"is {told}, its guest is {facts.power}", cure, BELIEVE)]
        if facts.power not in RUNS:
            return []
        found = _of_disks(server, disks, facts, all_of_them=whole)
        return [*found, *await self._of_ports(server)] if whole else found

    @remote(wait=20)
    async def look_at_guest(self, ctx: Context, id: str) -> GuestFacts | None:
        """What guest `id` of this host does. None: it is off, as guests are that live in this process's memory."""
        facts = await self.driver.inspect(id)
        return None if facts.power == "absent" and await self._is_off(id) else facts

    async def _is_off(self, id: str) -> bool:
        server = await self.db.read(lambda tx: tx.first(Server, id=id))
        return self.guests_in_memory and server is not None and server.vm_state == states.STOPPED

    async def _of_ports(self, server: Server) -> list[Finding]:
        nics = await self.db.read(lambda tx: self.network.servers.nics(tx, (server.id,)).get(server.id, ()))
        down = [nic.port_id for nic in nics if nic.status != "ACTIVE"]
        what = f"runs, and its ports {', '.join(down)} are not active"
        return [_finding(server, what, "have them plugged in again", PORTS)] if down else []

    # -- mended

    async def cure(self, ctx: Context, finding: Finding) -> None:
        """What the finding's action says is done, or recorded as a task. Safe to repeat.

        Raises WrongState when it is no longer called for, NotFound, and what hosts raise that are asked.
        """
        if finding.action == WAKE:
            await wake(self)
            return
        if finding.action == FREE:
            await self.db.write(lambda tx: self.disks.release(tx, ctx, finding.id), ctx, why=WHY)
            return
        server = await self.db.read(lambda tx: self._idle(tx, finding))
        if finding.action == REMOVE:
            await self.db.write(lambda tx: self._record_removal(tx, ctx, finding), ctx, why=WHY)
        elif finding.action == GIVE_UP:
            await self.settle_build(ctx, server.id, NOBODY)
        elif finding.action == REBUILD:
            await self.settle_rebuild(ctx, server.id, NOBODY)
        elif finding.action in (POWER, BELIEVE):
            await self.on(server.host).believe_guest(ctx, server.id)
        elif finding.action == DISKS:
            facts = await self.on(server.host).look_at_guest(ctx, server.id)
            if facts is not None:
                await self.db.write(lambda tx: self._record_disks(tx, ctx, finding, facts), ctx, why=WHY)
        elif finding.action == PORTS:
            await self.network.on(server.host).plug_server(ctx, server.id)

    def _idle(self, tx: Tx, finding: Finding) -> Server:
        """The server, with which nothing is being done. Raises NotFound, WrongState."""
        if tx.count(Task, resource=f"server:{finding.id}", open=True):
            raise WrongState(f"something is being done to server {finding.id}: look again", id=finding.id)
        return db.get_server(tx, finding.id)

    def _record_removal(self, tx: Tx, ctx: Context, finding: Finding) -> None:
        server = self._idle(tx, finding)
        if server.task_state == states.DELETING:
            self.on(self._undertaker(tx, server)).remove.record(tx, ctx, server.id)

    def _record_disks(self, tx: Tx, ctx: Context, finding: Finding, facts: GuestFacts) -> None:
        server = self._idle(tx, finding)
        missing, strays = _differing(self.disks_of(tx, server.id), facts)
        for disk in missing:
            self.on(server.host).plug_volume.record(tx, ctx, server.id, disk.id, disk.volume_id)
        for volume_id in strays:
            self.on(server.host).shed_volume.record(tx, ctx, server.id, volume_id)

    @remote(wait=30)
    async def believe_guest(self, ctx: Context, id: str) -> None:
        """The row of a server of this host says what its guest does. Raises NotFound, DriverError."""
        server, _ = await self.read_server(id)
        if server.task_state is not None:
            await self.settle_power(ctx, id, NOBODY)
            return
        await self.reconcile_power(ctx, [server], {id: await self.driver.inspect(id)})


def _of_disks(server: Server, disks: list[SeenDisk], facts: GuestFacts, *, all_of_them: bool) -> list[Finding]:
    """Volumes that the server has and its guest has not, or, where the disks are all it has, the other way round."""
    missing, strays = _differing(disks, facts)
    whats, cures = [], []
    if missing:
        whats.append(f"has volumes that its guest has not: {', '.join(disk.volume_id for disk in missing)}")
        cures.append("have them plugged in again; one that its guest does not take is detached")
    if strays and all_of_them:
        whats.append(f"has a guest with volumes that are not its own: {', '.join(strays)}")
        cures.append("have what is not its own taken from its guest")
    return [_finding(server, "; ".join(whats), "; ".join(cures), DISKS)] if whats else []


def _differing(disks: list[SeenDisk], facts: GuestFacts) -> tuple[list[SeenDisk], list[str]]:
    """Disks that the guest lacks, and volumes that it has of nobody."""
    owned = {disk.volume_id for disk in disks}
    attached = [disk for disk in disks if disk.status == volume_states.ATTACHED]
    missing = [disk for disk in attached if disk.volume_id not in facts.volumes]
    return missing, [volume for volume in facts.volumes if volume not in owned]


def _finding(server: Server, what: str, cure: str, action: str) -> Finding:
    return Finding(kind="server", id=server.id, what=what, cure=cure, action=action)
