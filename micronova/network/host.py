"""This host's side: what the driver has follows what the rows say, again and again, from any state.

One thing at a time: plugging, unplugging and reconciling share a lock, so that none sees another's half.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

from micronova.context import Context, admin_context
from micronova.db import Tx
from micronova.db.journal import newest_entry
from micronova.errors import DriverError
from micronova.network import db, duties, following, reach, specs, subports
from micronova.network.contract import Plugged
from micronova.network.db import Port
from micronova.network.driver import GroupSpec, NetworkDriver, NetworkSpec, PortSpec
from micronova.network.room import Room
from micronova.network.specs import View

LOG = logging.getLogger(__name__)

FULL_EVERY = 6
"""Of so many periodic looks one applies all filters again, whether or not they changed."""

SocketTaker = Callable[[str, socket.socket], Awaitable[None]]
SocketDropper = Callable[[str], Awaitable[None]]


class HostSide:
    """Networks and ports of one host."""

    def __init__(self, room: Room, host: str, driver: NetworkDriver) -> None:
        self.on_metadata_socket: SocketTaker | None = None
        self.on_metadata_gone: SocketDropper | None = None
        self._room = room
        self._host = host
        self._driver = driver
        self._lock = asyncio.Lock()
        self._networks: dict[str, NetworkSpec] = {}
        self._ports: dict[str, PortSpec] = {}
        self._groups: dict[str, GroupSpec] = {}
        self._listening: set[str] = set()
        self._looks = 0
        self._settled_at = -1

    async def open(self) -> None:
        """The driver is ready and the host as the rows say, but for what the driver refuses now: that heals later.

        Raises DriverError when the driver can't serve here.
        """
        await self._driver.init_host()
        try:
            await self.settle(full=True)
        except DriverError as err:
            LOG.warning("%s: not all networks could be made, trying again: %s", self._host, err)

    async def close(self) -> None:
        """Connections to the driver and guests' metadata sockets are let go; networks and ports stay."""
        for network_id in sorted(self._listening):
            await self._metadata_gone(network_id)
        await self._driver.close()

    async def look(self) -> None:
        """One periodic look. Raises DriverError when something could not be brought in order.

        Where the journal has grown by nothing since the last one, rows need not be read: only the host is looked at.
        """
        self._looks += 1
        full = self._looks % FULL_EVERY == 0
        newest = await self._room.db.ask(newest_entry)
        if full or newest != self._settled_at or not await self._keep():
            await self.settle(full=full)
            self._settled_at = newest

    async def _keep(self) -> bool:
        """What served the networks goes on, or is started again. False when the host has not what it was told."""
        async with self._lock:
            ports = {facts.id for facts in await self._driver.list_ports()}
            networks = set(await self._driver.list_networks())
            if ports != set(self._ports) or networks != set(self._networks):
                return False
            try:
                for spec in list(self._networks.values()):
                    await self._driver.ensure_network(spec)
            except DriverError:
                return False
        return True

    async def settle(self, *, full: bool) -> None:
        """What the driver has is what the rows say; with `full`, all filters are applied even where nothing changed.

        One network's or port's trouble doesn't keep the others from being served; the first is raised at the end.
        """
        async with self._lock:
            view, groups = await self._room.db.read(self._whole_view)
            there = {facts.id for facts in await self._driver.list_ports()}
            troubles = await self._remove_ports(there - {port.id for port in view.ports})
            troubles += await self._ensure_networks(view, view.networks)
            wanted = [specs.port_spec(view, port) for port in view.ports]
            stale = [spec for spec in wanted if full or spec.id not in there or self._ports.get(spec.id) != spec]
            changed = [group for id, group in groups.items() if full or self._groups.get(id) != group]
            troubles += await self._ensure_ports([spec for spec in stale if spec.parent is None], changed)
            await self._carry([spec for spec in stale if spec.parent is not None], changed)
            await self._tell_trunks(admin_context(self._room.clock), view)
            self._groups = {id: group for id, group in groups.items() if not troubles}
            extra = set(await self._driver.list_networks()) - set(view.networks)
            troubles += await self._remove_networks(extra)
        if troubles:
            raise troubles[0]

    async def follow(self, network_ids: Iterable[str], group_ids: Iterable[str]) -> None:
        """What the driver has of these networks and groups is what the rows say. Ports here are as they were."""
        async with self._lock:
            left, gone, groups = await self._room.db.read(lambda tx: self._news_of(tx, set(network_ids), group_ids))
            troubles = await self._remove_networks(gone & set(self._networks))
            troubles += await self._ensure_networks(left, self._changed(left))
            changed = {id: group for id, group in groups.items() if self._groups.get(id) != group}
            trouble = await self._ensure_ports((), tuple(changed.values()))
            self._groups.update({} if trouble else changed)
        if troubles + trouble:
            raise (troubles + trouble)[0]

    async def plug(self, ctx: Context, server_id: str) -> tuple[Plugged, ...]:
        """The server's ports are real here and ACTIVE. Raises DriverError; repeating is safe.

        Costs the same however many other ports there are: only what this host has not been told before is read.
        """
        async with self._lock:
            view, groups = await self._room.db.read(lambda tx: self._view_of(tx, server_id))
            if not view.ports:
                return ()
            mine = [port for port in view.ports if port.id not in view.carriers]
            wanted = [specs.port_spec(view, port) for port in mine]
            try:
                await self._plug(view, wanted, groups)
            except DriverError:
                self._forget(view)
                raise
            mark = partial(self._mark, ctx=ctx, ports=mine, status="ACTIVE")
            await self._room.db.write(mark, ctx, why="the ports are real")
            carried = [specs.port_spec(view, port) for port in view.ports if port.id in view.carriers]
            await self._carry(carried, tuple(groups.values()))
            await self._tell_trunks(ctx, view)
        networks = view.networks
        return tuple(
            Plugged(port_id=port.id, mac=port.mac, device=spec.device, mtu=networks[port.network_id].mtu)
            for port, spec in zip(mine, wanted, strict=True)
        )

    async def unplug(self, ctx: Context, server_id: str) -> None:
        """The server's ports aren't real here any more; networks without ports are gone. Repeating is safe."""
        async with self._lock:
            ports = await self._room.db.read(lambda tx: self._of_server(tx, server_id))
            mine = [port for port in ports if port.host in (self._host, "")]
            mark = partial(self._mark, ctx=ctx, ports=mine, status="DOWN")
            await self._room.db.write(mark, ctx, why="the ports are unplugged")
            troubles = await self._remove_ports(port.id for port in mine)
            networks = {port.network_id for port in mine}
            left, gone = await self._room.db.read(lambda tx: self._left_of(tx, networks))
            troubles += await self._remove_networks(gone & set(self._networks))
            troubles += await self._ensure_networks(left, self._changed(left))
            self._forget_unnamed()
        if troubles:
            raise troubles[0]

    # -- inside

    def _whole_view(self, tx: Tx) -> tuple[View, dict[str, GroupSpec]]:
        """All this host shall have."""
        view = self._joined(tx, specs.load(tx, specs.wanted_ports(tx, self._host)))
        return view, specs.members(tx, view.remote_groups())

    def _of_server(self, tx: Tx, server_id: str) -> list[Port]:
        """The server's ports in order, and then those that their trunks carry here."""
        ports = db.ports_of_devices(tx, [server_id])
        return [*ports, *subports.wanted(tx, self._host, ports)]

    def _view_of(self, tx: Tx, server_id: str) -> tuple[View, dict[str, GroupSpec]]:
        """A view of the server's ports on this host, in order, and groups that the driver doesn't know like that."""
        mine = [port for port in self._of_server(tx, server_id) if port.host == self._host]
        networks = reach.joined(tx, {port.network_id for port in mine})
        view = self._joined(tx, specs.load(tx, mine, (), specs.floating_here(tx, self._host, networks)))
        named = view.remote_groups()
        groups = specs.members(tx, named - set(self._groups))
        for port in mine:
            for id in named.intersection(port.security_group_ids) - set(groups):
                addresses = specs.addresses_of(port)
                if not addresses.issubset(self._groups[id].addresses):
                    groups[id] = specs.group_spec(id, addresses.union(self._groups[id].addresses))
        return view, groups

    def _news_of(
        self, tx: Tx, network_ids: set[str], group_ids: Iterable[str]
    ) -> tuple[View, set[str], dict[str, GroupSpec]]:
        left, gone = self._left_of(tx, network_ids)
        return left, gone, specs.members(tx, set(group_ids) & self._named())

    def _left_of(self, tx: Tx, network_ids: set[str]) -> tuple[View, set[str]]:
        """Of these networks and those joined with them: a view of what stays, and what has no use here any more."""
        kept, gone = specs.left_here(tx, self._host, network_ids)
        return self._joined(tx, specs.load(tx, (), kept, specs.floating_here(tx, self._host, kept))), gone

    def _joined(self, tx: Tx, view: View) -> View:
        return duties.limited(tx, specs.joined_on(tx, view, self._room.strategies, self._host), self._host)

    async def _plug(self, view: View, wanted: Sequence[PortSpec], groups: dict[str, GroupSpec]) -> None:
        for network_id in self._changed(view):
            await self._ensure_network(view, network_id)
        if len(wanted) == 1:
            await self._driver.ensure_port(wanted[0], tuple(groups.values()))
        else:
            await self._driver.ensure_ports(tuple(wanted), tuple(groups.values()))
        self._ports.update((spec.id, spec) for spec in wanted)
        self._groups.update(groups)

    def _changed(self, view: View) -> list[str]:
        """Networks of the view that the driver wasn't told of as they are now, or whose guests nobody listens to."""
        unheard = set(view.networks) - self._listening if self.on_metadata_socket is not None else set()
        return [id for id in sorted(view.networks) if id in unheard or self._networks.get(id) != self._spec(view, id)]

    def _spec(self, view: View, network_id: str) -> NetworkSpec:
        return specs.network_spec(view, network_id, self._room.strategies, self._room.options)

    def _forget(self, view: View) -> None:
        """After a failure the driver may have less than it was told of."""
        self._groups.clear()
        for id in view.networks:
            self._networks.pop(id, None)

    def _forget_unnamed(self) -> None:
        """The driver forgets groups that no port's rules name: of later members it has to be told again."""
        if self._groups:
            named = self._named()
            self._groups = {id: group for id, group in self._groups.items() if id in named}

    def _named(self) -> set[str]:
        """Groups that rules of ports here name as the other side."""
        found = {rule.remote_group for rules in {spec.rules for spec in self._ports.values()} for rule in rules}
        return {id for id in found if id is not None}

    async def _ensure_networks(self, view: View, ids: Iterable[str]) -> list[DriverError]:
        troubles = []
        for network_id in sorted(ids):
            try:
                await self._ensure_network(view, network_id)
            except DriverError as err:
                LOG.warning("network %s: %s", network_id, err)
                troubles.append(err)
        return troubles

    async def _ensure_network(self, view: View, network_id: str) -> None:
        spec = self._spec(view, network_id)
        await self._driver.ensure_network(spec)
        self._networks[network_id] = spec
        if self.on_metadata_socket is None or network_id in self._listening:
            return
        listening = await self._driver.metadata_socket(network_id)
        if listening is not None:
            self._listening.add(network_id)
            await self.on_metadata_socket(network_id, listening)

    async def _ensure_ports(self, wanted: Sequence[PortSpec], groups: Sequence[GroupSpec]) -> list[DriverError]:
        """All at once; when that is refused, one by one, to serve those that can be."""
        if not wanted and not groups:
            return []
        try:
            await self._driver.ensure_ports(tuple(wanted), tuple(groups))
        except DriverError as err:
            LOG.warning("%d ports and %d groups at once: %s; now one by one", len(wanted), len(groups), err)
            return await self._ensure_each(wanted, groups) if wanted else [err]
        self._ports.update((spec.id, spec) for spec in wanted)
        return []

    async def _ensure_each(self, wanted: Sequence[PortSpec], groups: Sequence[GroupSpec]) -> list[DriverError]:
        troubles = []
        for spec in wanted:
            named = {rule.remote_group for rule in spec.rules}
            try:
                await self._driver.ensure_port(spec, tuple(group for group in groups if group.id in named))
                self._ports[spec.id] = spec
            except DriverError as err:
                LOG.warning("port %s: %s", spec.id, err)
                troubles.append(err)
        return troubles

    async def _carry(self, wanted: Sequence[PortSpec], groups: Sequence[GroupSpec]) -> None:
        """Ports that trunks carry are real, as far as the driver can; of those that aren't, their trunks tell."""
        for err in await self._ensure_each(wanted, groups):
            LOG.warning("%s: a trunk can't carry all its ports: %s", self._host, err)
        real = {spec.id for spec in wanted if self._ports.get(spec.id) == spec}
        for spec in wanted:
            if spec.id not in real:
                self._ports.pop(spec.id, None)

    async def _tell_trunks(self, ctx: Context, view: View) -> None:
        """The trunks of the view's ports say whether all that they carry is real here."""
        parents = [port for port in view.ports if port.id in view.trunked]
        real = set(self._ports)
        news = await self._room.db.read(lambda tx: subports.differing(tx, parents, real)) if parents else []
        if news:

            def record(tx: Tx) -> None:
                marked = subports.settle(tx, parents, real)
                following.ports_moved(self._room, tx, ctx, marked, here=self._host)

            await self._room.db.write(record, ctx, why="what trunks carry is real, or is not")

    async def _remove_ports(self, ids: Iterable[str]) -> list[DriverError]:
        troubles = []
        for id in sorted(ids):
            self._ports.pop(id, None)
            try:
                await self._driver.remove_port(id)
            except DriverError as err:
                LOG.warning("port %s: %s", id, err)
                troubles.append(err)
        return troubles

    async def _remove_networks(self, ids: Iterable[str]) -> list[DriverError]:
        troubles = []
        for id in sorted(ids):
            self._networks.pop(id, None)
            try:
                await self._metadata_gone(id)
                await self._driver.remove_network(id)
            except DriverError as err:
                LOG.warning("network %s: %s", id, err)
                troubles.append(err)
        return troubles

    async def _metadata_gone(self, network_id: str) -> None:
        if network_id in self._listening:
            self._listening.discard(network_id)
            if self.on_metadata_gone is not None:
                await self.on_metadata_gone(network_id)

    def _mark(self, tx: Tx, ctx: Context, ports: Sequence[Port], status: str) -> None:
        """The ports have this status, as far as they are still there and where they were. Other hosts hear of it."""
        marked = []
        for port in ports:
            now = tx.first(Port, id=port.id)
            if now is not None and now.host == port.host and now.status != status:
                marked.append(tx.change(now, status=status, updated_at=tx.now))
        following.ports_moved(self._room, tx, ctx, marked, here=self._host)
