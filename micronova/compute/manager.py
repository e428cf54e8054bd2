"""The compute manager: servers, from request to removal. Here: what can be asked of them; its parts do the rest.

create.py   requests to rows          build.py      rows to guests, step by step
power.py    start, stop, pause        rebuild.py    a new guest for the same server
removal.py  the end of a server       changes.py    names, locks, metadata, tags
interfaces.py, volumes.py  one more, one less
moves.py    volumes that change their place  stillness.py  guests that hold still
swaps.py    disks that become other volumes
boot_volumes.py  what a server begins with
reconcile.py  rows and guests of this host in agreement
repair.py   one server examined and mended
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from micronova import heartbeat
from micronova.compute import db, states
from micronova.compute.changes import Changes
from micronova.compute.db import Server, ServerGroup, ServerLine
from micronova.compute.interfaces import Interfaces
from micronova.compute.moves import Moves
from micronova.compute.query import BY_AGE, ServerQuery
from micronova.compute.repair import Repairs
from micronova.compute.security_groups import Groups
from micronova.compute.show import Beside
from micronova.compute.stillness import Stills
from micronova.compute.swaps import Swaps
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, NotFound, WrongState
from micronova.manager import remote
from micronova.network.contract import NicInfo
from micronova.network.summary import summary
from micronova.tasks import Task

MAX_CONSOLE_BYTES = 100 * 1024


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What else of servers is to be shown, each at the price of a query."""

    user_data: bool = False
    host_status: bool = False
    groups: bool = False


Known = Callable[[str, int], bool]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page of servers: in order, those whose rows had to be read by id, and what is beside them."""

    lines: Sequence[Server | ServerLine] = ()
    rows: Mapping[str, Server] = {}
    beside: Beside = Beside()
    more: bool = False


class ComputeManager(Repairs, Moves, Swaps, Stills, Interfaces, Changes, Groups):
    """Servers, from request to removal."""

    # -- one server

    async def get(self, ctx: Context, id: str, *, rule: str = "servers:show") -> Server:
        """Server `id`. Raises NotFound for a missing one and another project's, Forbidden by `rule`."""
        return await self.db.read(lambda tx: self.owned(tx, ctx, id, rule))

    async def show(self, ctx: Context, id: str, wanted: Wanted, *, rule: str = "servers:show") -> tuple[Server, Beside]:
        """Server `id` with what is shown beside it. Raises NotFound, Forbidden."""

        def read(tx: Tx) -> tuple[Server, Beside]:
            server = self.owned(tx, ctx, id, rule)
            return server, self._beside(tx, (server,), wanted)

        return await self.db.read(read)

    async def beside(self, ctx: Context, server: Server, wanted: Wanted) -> Beside:
        """What is shown beside a server."""
        return await self.db.read(lambda tx: self._beside(tx, (server,), wanted))

    async def nics(self, ctx: Context, id: str, *, rule: str) -> tuple[Server, Sequence[NicInfo]]:
        """A server and its interfaces in order. Raises NotFound, Forbidden."""

        def read(tx: Tx) -> tuple[Server, Sequence[NicInfo]]:
            server = self.owned(tx, ctx, id, rule)
            return server, self.network.servers.nics(tx, (id,)).get(id, ())

        return await self.db.read(read)

    # -- many servers

    async def find(self, ctx: Context, query: ServerQuery) -> tuple[Sequence[Server | ServerLine], bool]:
        """The servers a query asks for, in short, and whether there are more behind them.

        Raises BadRequest when its marker is no server of the caller's.
        """
        if query.nothing:
            return (), False
        return await self.db.read(lambda tx: self._lines(tx, ctx, query))

    async def page(self, ctx: Context, query: ServerQuery, wanted: Wanted, known: Known) -> Page:
        """The servers a query asks for with what is shown beside them.

        `known` (id, revision) says whose rows need not be read. Raises BadRequest as `find` does.
        """
        if query.nothing:
            return Page()

        def read(tx: Tx) -> Page:
            lines, more = self._lines(tx, ctx, query)
            unknown = [line for line in lines if not known(line.id, line.revision)]
            return Page(lines=lines, rows=self._rows(tx, unknown), beside=self._beside(tx, lines, wanted), more=more)

        return await self.db.read(read)

    def _lines(self, tx: Tx, ctx: Context, query: ServerQuery) -> tuple[Sequence[Server | ServerLine], bool]:
        if query.where or query.tests or query.addresses or query.marker or query.order != BY_AGE:
            return self._find(tx, ctx, query)
        where = {} if query.all_projects else {"project_id": ctx.project_id}
        found = tx.find(ServerLine, order=query.order, limit=query.limit + 1, **where)  # type: ignore[arg-type]
        return found[: query.limit], len(found) > query.limit > 0

    def _rows(self, tx: Tx, lines: Sequence[Server | ServerLine]) -> dict[str, Server]:
        have = {line.id: line for line in lines if isinstance(line, Server)}
        missing = [line.id for line in lines if line.id not in have]
        if missing:
            have |= {server.id: server for server in tx.find(Server, id=missing)}
        return have

    def _find(self, tx: Tx, ctx: Context, query: ServerQuery) -> tuple[list[Server], bool]:
        where = dict(query.where)
        if not query.all_projects:
            where["project_id"] = ctx.project_id
        marker = self._marker(tx, where, query)
        tested = bool(query.tests or query.addresses)
        most = None if tested else query.limit + 1
        found = tx.find(Server, order=query.order, after=marker, limit=most, **where)
        if query.tests:
            found = [server for server in found if _passes(query.tests, server)]
        if query.addresses:
            nics = self.network.servers.nics(tx, [server.id for server in found])
            found = [server for server in found if _has_address(nics.get(server.id, ()), query)]
        return found[: query.limit], len(found) > query.limit > 0

    def _marker(self, tx: Tx, where: dict[str, object], query: ServerQuery) -> Server | None:
        if query.marker is None:
            return None
        row = tx.first(Server, id=query.marker)
        if row is None or ("project_id" in where and row.project_id != where["project_id"]):
            raise BadRequest(f"marker [{query.marker}] not found")
        return row

    # -- beside the rows

    def _beside(self, tx: Tx, servers: Sequence[Server | ServerLine], wanted: Wanted) -> Beside:
        if not servers:
            return Beside()
        ids = [server.id for server in servers]
        seen = summary(tx, ids)
        return Beside(
            user_data=db.user_data_of(tx, ids) if wanted.user_data else {},
            hosts=self._host_statuses(tx) if wanted.host_status else {},
            groups=self._groups_of(tx, servers) if wanted.groups else {},
            nics=seen.nics,
            security_groups=seen.groups,
            disks=self._disks.of(tx, ids) if self._disks is not None and self._disks.any(tx) else {},
        )

    def _host_statuses(self, tx: Tx) -> dict[str, str]:
        down = self.runtime.config.options.service.down_seconds
        return {row.host: _host_status(row, tx, down) for row in heartbeat.services(tx, topic=self.topic)}

    def _groups_of(self, tx: Tx, servers: Sequence[Server | ServerLine]) -> dict[str, list[str]]:
        groups = tx.find(ServerGroup, project_id=sorted({server.project_id for server in servers}))
        return {server.id: [group.id for group in groups if server.id in group.members] for server in servers}

    # -- its history, its console

    async def actions(self, ctx: Context, id: str, *, deleted: bool, rule: str) -> list[Task]:
        """What was asked for server `id`, newest first; with `deleted` of one that is gone too. Raises NotFound."""

        def read(tx: Tx) -> list[Task]:
            found = tx.find(Task, resource=f"server:{id}", order=(("seq", False),))
            if tx.first(Server, id=id) is not None or not deleted:
                self.owned(tx, ctx, id, rule)
            elif not found or not (ctx.is_admin or found[0].project_id == ctx.project_id):
                raise NotFound(f"Instance {id} could not be found.", id=id)
            return found

        return await self.db.read(read)

    async def console(self, ctx: Context, id: str) -> bytes:
        """The end of what the guest wrote on its serial port. Raises NotFound, WrongState before it has a host."""
        server = await self.get(ctx, id, rule="os-console-output")
        if not server.host or server.vm_state == states.BUILDING:
            raise WrongState(f"Instance {id} is not ready", id=id)
        return await self.on(server.host).console_tail(ctx, id)

    @remote(wait=10)
    async def console_tail(self, ctx: Context, id: str) -> bytes:
        """The last of what guest `id` of this host wrote on its serial port."""
        return await self.driver.console(id, max_bytes=MAX_CONSOLE_BYTES)

    async def user_data(self, ctx: Context, id: str) -> str | None:
        """The server's user data, base64. Raises NotFound."""

        def read(tx: Tx) -> str | None:
            return db.get_input(tx, self.owned(tx, ctx, id, "servers:show").id).user_data

        return await self.db.read(read)

    async def may(self, ctx: Context, id: str, rule: str, action: str) -> Server:
        """The server, if the caller may do `action` to it now. Raises what asking for the action would."""
        return await self.db.read(lambda tx: self.changeable(tx, ctx, id, rule, action))


def _passes(tests: Sequence[Callable[[Server], bool]], server: Server) -> bool:
    return all(test(server) for test in tests)


def _has_address(nics: Sequence[NicInfo], query: ServerQuery) -> bool:
    """Whether the server has an address for each that the query asks for."""
    have = [(version, ip) for nic in nics for _, ip, version in nic.fixed_ips]
    have += [(4, ip) for nic in nics for ip in nic.floating_ips]
    return all(any(version == kind and test(ip) for version, ip in have) for kind, test in query.addresses)


def _host_status(row: heartbeat.ServiceRow, tx: Tx, down_seconds: float) -> str:
    if row.forced_down:
        return "DOWN"
    if row.disabled:
        return "MAINTENANCE"
    return "UP" if heartbeat.is_up(row, tx.now, down_seconds) else "UNKNOWN"
