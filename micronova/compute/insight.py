"""What operators ask of servers: how many in which state, why one is where it is, whether rows and guests agree."""

from collections.abc import Sequence
from typing import Any

from micronova.clock import iso
from micronova.compute import states
from micronova.compute.base import ComputeBase
from micronova.compute.db import Server
from micronova.compute.driver import GuestFacts, HostFacts
from micronova.compute.flavors import ensure_default_flavors
from micronova.context import Context
from micronova.db import Tx
from micronova.db.journal import Entry
from micronova.errors import Conflict, NotFound
from micronova.manager import remote
from micronova.tasks import Task
from micronova.volume.servers import SeenDisk
from micronova.volume.states import ATTACHED


class Insights(ComputeBase):
    """The part of the compute manager that explains."""

    facts: HostFacts | None = None
    """What the driver found of this host when it began to serve."""

    async def bootstrap(self, ctx: Context) -> None:
        """A new cloud has flavors. Safe to repeat."""
        await ensure_default_flavors(self.db, self.clock, ctx)

    def banner(self) -> list[str]:
        """What a user should know of how this host runs guests."""
        if self.facts is None:
            return []
        return [f"guests run under {self.facts.accel}: {self.facts.reason}" if self.facts.reason else self.facts.accel]

    def count_by_status(self, tx: Tx) -> dict[str, int]:
        """Servers of the whole cloud by the status that clients see."""
        counts: dict[str, int] = {}
        for server in tx.find(Server):
            status = states.status(server.vm_state, server.task_state)
            counts[status] = counts.get(status, 0) + 1
        return counts

    def ids_by_name(self, tx: Tx, name: str) -> list[str]:
        """Ids of servers called `name`, those that are gone included: these behind, the latest last."""
        alive = [server.id for server in tx.find(Server, name=name)]
        removed = tx.find(Entry, table_name=Server.TABLE, op="delete", order=(("seq", True),))
        return [*alive, *(entry.row_id for entry in removed if _named(entry, name))]

    async def explain(self, ctx: Context, name_or_id: str) -> dict[str, Any]:
        """Why a server is where it is or is not: its state, fault, decisions and tasks; `lines` tell it to a person.

        Raises NotFound when there was never such a server, Conflict when several have the name.
        """

        def read(tx: Tx) -> tuple[Server | None, str, list[Task]]:
            id = self._meant(tx, name_or_id)
            return tx.first(Server, id=id), id, tx.find(Task, resource=f"server:{id}", order=(("seq", True),))

        server, id, tasks = await self.db.read(read)
        try:
            decided = await self.scheduler.explain(ctx, id)
        except NotFound:
            decided = ""
        return {
            "id": id,
            "server": _state(server),
            "decisions": decided,
            "tasks": [{"id": t.id, "method": t.method, "state": t.state, "error": t.error} for t in tasks],
            "lines": [*_tell(server, id), *decided.splitlines(), *(_tell_task(task) for task in tasks)],
        }

    def _meant(self, tx: Tx, name_or_id: str) -> str:
        """The id of the server called so, or of the latest that was. Raises NotFound, Conflict when several are."""
        if tx.first(Server, id=name_or_id) is not None:
            return name_or_id
        having = [server.id for server in tx.find(Server, name=name_or_id, order=(("id", True),))]
        if len(having) > 1:
            raise Conflict(f"{name_or_id} means several servers, name one: {', '.join(having)}")
        known = tx.count(Entry, table_name=Server.TABLE, row_id=name_or_id)
        known = known or tx.count(Task, resource=f"server:{name_or_id}")
        named = [name_or_id] if known else self.ids_by_name(tx, name_or_id)
        if not named:
            raise NotFound(f"There is no server {name_or_id}, and there was none.")
        return named[-1]

    @remote(wait=30)
    async def audit(self, ctx: Context) -> list[str]:
        """One sentence for every difference between the servers of this host and its guests."""

        def read(tx: Tx) -> tuple[dict[str, Server], set[str], dict[str, list[SeenDisk]]]:
            servers = {server.id: server for server in tx.find(Server, host=self.host)}
            busy = {task.resource.partition(":")[2] for task in tx.find(Task, topic=self.topic, open=True)}
            return servers, busy, {id: self.disks_of(tx, id) for id in servers}

        guests = {guest.id: guest for guest in await self.driver.list()}
        servers, busy, disks = await self.db.read(read)
        found = [f"guest {id} belongs to no server" for id in guests if id not in servers and id not in busy]
        for id, server in servers.items():
            runs = guests[id].power == "running" if id in guests else False
            if id in busy or server.vm_state not in (states.ACTIVE, states.STOPPED):
                continue
            if runs != (server.vm_state == states.ACTIVE):
                power = guests[id].power if id in guests else "absent"
                found.append(f"server {id} is {server.vm_state}, its guest is {power}")
            found += _audit_disks(id, disks[id], guests.get(id))
        return found


def _audit_disks(id: str, disks: Sequence[SeenDisk], guest: GuestFacts | None) -> list[str]:
    """One sentence for every volume that a server has and its guest has not, or the other way round."""
    if guest is None:
        return []
    owned = {disk.volume_id for disk in disks}
    attached = {disk.volume_id for disk in disks if disk.status == ATTACHED}
    missing = sorted(attached - set(guest.volumes))
    strays = [volume for volume in guest.volumes if volume not in owned]
    found = [f"server {id} has volume {volume}, its guest has not" for volume in missing]
    return found + [f"guest {id} has volume {volume}, its server has not" for volume in strays]


def _named(entry: Entry, name: str) -> bool:
    return bool(entry.before.get("name") == name)


def _state(server: Server | None) -> dict[str, Any] | None:
    if server is None:
        return None
    return {
        "name": server.name,
        "status": states.status(server.vm_state, server.task_state),
        "host": server.host,
        "fault": server.fault.message if server.fault else None,
    }


def _tell(server: Server | None, id: str) -> list[str]:
    if server is None:
        return [f"server {id} is gone"]
    status = states.status(server.vm_state, server.task_state)
    doing = f", {server.task_state}" if server.task_state else ""
    told = [f"server {server.name} ({server.id}) is {status}{doing} on {server.host or 'no host'}"]
    if server.fault:
        told.append(f"fault: {server.fault.message} ({iso(server.fault.created_at)})")
    return told


def _tell_task(task: Task) -> str:
    now = task.log[-1].name if task.open and task.log else ""
    said = f", in step {now}" if now else ""
    return f"task {task.method} {task.state}{said}{': ' + task.error if task.error else ''} ({task.id})"
