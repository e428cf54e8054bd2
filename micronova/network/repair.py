"""One port or network examined and mended: whether its hosts have what its rows say.

What is done is what hosts do when something changes: they are told to follow their rows.
"""

from micronova import heartbeat
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import DriverError, Unavailable, WrongState
from micronova.manager import remote
from micronova.network import db, specs
from micronova.network.db import Network, Port
from micronova.network.driver import NetworkDriver
from micronova.network.room import HOST_RESOURCE
from micronova.network.trace.tracing import Tracing
from micronova.repair import WAKE, Examination, Finding, late, wake
from micronova.tasks import Task

FOLLOW = "follow"


class Repairs(Tracing):
    """The part of the network manager that says what is wrong with a port or network, and mends it."""

    driver: NetworkDriver

    async def examine(self, ctx: Context, id: str) -> Examination | None:
        """What is wrong with the port or network of this id; None when there is none."""
        row = await self.db.read(lambda tx: tx.first(Port, id=id) or tx.first(Network, id=id))
        if row is None:
            return None
        kind = "port" if isinstance(row, Port) else "network"
        found: list[Finding] = []
        for host in await self.db.read(lambda tx: _hosts(tx, row)):
            found += await self._examine_on(ctx, (kind, id), host)
        summary = f"{kind} {row.name or id} ({id}) is {row.status}"
        return Examination(summary=summary, findings=tuple(found))

    async def _examine_on(self, ctx: Context, about: tuple[str, str], host: str) -> list[Finding]:
        def read(tx: Tx) -> tuple[list[Finding], bool]:
            down = self.runtime.config.options.service.down_seconds
            tasks = tx.find(Task, resource=f"{HOST_RESOURCE}:{host}", open=True, cancelled=False)
            up = any(heartbeat.is_up(row, tx.now, down) for row in heartbeat.services(tx, topic=self.topic, host=host))
            return late(tx, *about, tasks, down), up

        found, up = await self.db.read(read)
        if not up:
            what = f"is on host {host}, whose network service is down"
            return [_finding(about, what, advice="start that service; guests there go on meanwhile")]
        try:
            told = await self.on(host).differs_here(ctx, about[1])
        except (DriverError, Unavailable) as err:
            return [*found, _finding(about, f"can't be looked at on host {host}: {err}", advice="see that host's log")]
        if told:
            found.append(_finding(about, told, cure=f"have host {host} follow its rows", action=FOLLOW))
        return found

    @remote(wait=30)
    async def differs_here(self, ctx: Context, id: str) -> str:
        """What of a port or network this host has and its rows have not, or the other way round; "" for nothing."""
        wanted = await self.db.read(lambda tx: specs.wanted_ports(tx, self.host))
        if any(port.network_id == id for port in wanted):
            has = id in await self.driver.list_networks()
            return "" if has else f"has ports on host {self.host}, which has not got it"
        has = id in {facts.id for facts in await self.driver.list_ports()}
        if has == (id in {port.id for port in wanted}):
            return ""
        return f"is on host {self.host}, which should not have it" if has else f"is not on host {self.host}"

    async def cure(self, ctx: Context, finding: Finding) -> None:
        """What the finding's action says is recorded as a task. Raises WrongState when there is nothing to be done."""
        if finding.action == WAKE:
            await wake(self)
            return

        def record(tx: Tx) -> None:
            row = tx.first(Port, id=finding.id) or tx.first(Network, id=finding.id)
            hosts = _hosts(tx, row) if row is not None else []
            if not hosts:
                raise WrongState(f"{finding.kind} {finding.id} has changed since it was looked at: look again")
            self.room.tell(tx, ctx, hosts)

        await self.db.write(record, ctx, why="mended by request")


def _hosts(tx: Tx, row: Port | Network) -> list[str]:
    """Where it should be."""
    hosts = {row.host} if isinstance(row, Port) else db.hosts_of_network(tx, row.id)
    return sorted(hosts - {""})


def _finding(about: tuple[str, str], what: str, *, cure: str = "", advice: str = "", action: str = "") -> Finding:
    kind, id = about
    return Finding(kind=kind, id=id, what=what, cure=cure, advice=advice, action=action)
