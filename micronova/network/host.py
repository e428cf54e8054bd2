"""This host's side: what the driver has follows what the rows say, again and again, from any state.

One thing at a time: plugging, unplugging and reconciling share a lock, so that none sees another's half.
"""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence

from micronova.context import Context
from micronova.db import Tx
from micronova.db.journal import newest_entry
from micronova.errors import DriverError
from micronova.network import db, reach, specs
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
            troubles += await self._ensure_ports(stale, changed)
            self._groups = {id: group for id, group in groups.items() if not troubles}
            extra = set(await self._driver.list_networks()) - set(view.networks)
            troubles += await self._remove_networks(extra)
        if troubles:
            raise troubles[0]

    async def plug(self, ctx: Context, server_id: str) -> tuple[Plugged, ...]:
        """The server's ports are real here and ACTIVE. Raises DriverError; repeating is safe.

        Costs the same however many other ports there are: only what this host has not been told before is read.
        """
        async with self._lock:
            view, groups = await self._room.db.read(lambda tx: self._view_of(tx, server_id))
            if not view.ports:
                return ()
            wanted = [specs.port_spec(view, port) for port in view.ports]
            try:
                await self._plug(view, wanted, groups)
            except DriverError:
                self._forget(view)
                raise
            await self._room.db.write(lambda tx: _mark(tx, view.ports, "ACTIVE"), ctx, why="the ports are real")
        networks = view.networks
        return tuple(
            Plugged(port_id=port.id, mac=port.mac, device=spec.device, mtu=networks[port.network_id].mtu)
            for port, spec in zip(view.ports, wanted, strict=True)
        )

    async def unplug(self, ctx: Context, server_id: str) -> None:
        """The server's ports aren't real here any more; networks without ports are gone. Repeating is safe."""
        async with self._lock:
            ports = await self._room.db.read(lambda tx: db.ports_of_devices(tx, [server_id]))
            mine = [port for port in ports if port.host in (self._host, "")]
            await self._room.db.write(lambda tx: _mark(tx, mine, "DOWN"), ctx, why="the ports are unplugged")
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
        view = specs.load(tx, specs.wanted_ports(tx, self._host))
        return view, specs.members(tx, view.remote_groups())

    def _view_of(self, tx: Tx, server_id: str) -> tuple[View, dict[str, GroupSpec]]:
        """A view of the server's ports on this host, in order, and groups that the driver doesn't know like that."""
        mine = [port for port in db.ports_of_devices(tx, [server_id]) if port.host == self._host]
        networks = reach.joined(tx, {port.network_id for port in mine})
        view = specs.load(tx, mine, (), specs.floating_here(tx, self._host, networks))
        named = view.remote_groups()
        groups = specs.members(tx, named - set(self._groups))
        for port in mine:
            for id in named.intersection(port.security_group_ids) - set(groups):
                addresses = specs.addresses_of(port)
                if not addresses.issubset(self._groups[id].addresses):
                    groups[id] = specs.group_spec(id, addresses.union(self._groups[id].addresses))
        return view, groups

    def _left_of(self, tx: Tx, network_ids: set[str]) -> tuple[View, set[str]]:
        """Of these networks and those joined with them: a view of what stays, and what has no use here any more."""
        kept, gone = specs.left_here(tx, self._host, network_ids)
        return specs.load(tx, (), kept, specs.floating_here(tx, self._host, kept)), gone

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
        return specs.network_spec(view, network_id, self._room.strategy, self._room.options)

    def _forget(self, view: View) -> None:
        """After a failure the driver may have less than it was told of."""
        self._groups.clear()
        for id in view.networks:
            self._networks.pop(id, None)

    def _forget_unnamed(self) -> None:
        """The driver forgets groups that no port's rules name: of later members it has to be told again."""
        if self._groups:
            named = {rule.remote_group for rules in {spec.rules for spec in self._ports.values()} for rule in rules}
            self._groups = {id: group for id, group in self._groups.items() if id in named}

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


def _mark(tx: Tx, ports: Sequence[Port], status: str) -> None:
    """The ports have this status, as far as they are still there and still where they were."""
    for port in ports:
        now = tx.first(Port, id=port.id)
        if now is not None and now.host == port.host and now.status != status:
            tx.change(now, status=status, updated_at=tx.now)
