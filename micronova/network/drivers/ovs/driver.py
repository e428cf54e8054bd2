"""Networks and ports by Open vSwitch: one integration bridge a cloud, whose flows part networks and judge packets.

What serves a network (its gateway, DHCP and DNS, metadata, NAT) lives in a service namespace and is the same as with
Linux bridges; only the wire between it and the guests is another. Open vSwitch itself may be the system's or one that
we start; where the kernel has no module for it, it switches in user space.

Order is the safety: written down, judged by flows, made, plugged in; and backwards.
"""

import asyncio
import ipaddress
import logging
import os
import shutil
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Self, TypeVar

from micronova.clock import Clock
from micronova.config import Config
from micronova.errors import ConfigError, DriverError, Error
from micronova.network.driver import GroupSpec, NetworkSpec, PortFacts, PortSpec
from micronova.network.drivers.ovs.board import Board
from micronova.network.drivers.ovs.clients import settle_clients
from micronova.network.drivers.ovs.instance import SYSTEM, Instance
from micronova.network.drivers.ovs.interfaces import Interfaces
from micronova.network.drivers.ovs.kernel import SwitchKernel, SwitchNetworks
from micronova.network.drivers.ovs.ports import Ports
from micronova.network.drivers.ovs.uplinks import Uplinks
from micronova.network.drivers.served import dhcp, namespace, service
from micronova.network.drivers.served.names import NAMESPACES, Names, check_id
from micronova.network.drivers.served.records import PortRecord, Records
from micronova.network.drivers.served.segments import NO_WIRES, HostWires, mapping

LOG = logging.getLogger(__name__)
COMMANDS = {
    "ip": "iproute2",
    "nsenter": "util-linux",
    "dnsmasq": "dnsmasq-base",
    "dhcp_release": "dnsmasq-utils",
    "ovs-vsctl": "openvswitch-switch",
    "ovs-ofctl": "openvswitch-switch",
    "ovs-appctl": "openvswitch-switch",
    "ovs-vswitchd": "openvswitch-switch",
}
T = TypeVar("T")


class OvsNetworkDriver:
    """NetworkDriver by Open vSwitch.

    `state` is the cloud's folder for this driver; two clouds on a host need two. `prefix` (one to three letters) begins
    the names of all interfaces but taps. `link_range` is used between host and service namespaces only.
    `tap_owner` is the user id that may open taps; `run_folder` holds the files of servers and is empty after a reboot.
    `wires` are the host's bridges of Open vSwitch and interfaces that networks may be on; `system` is where the
    system's Open vSwitch has its sockets. Raises ConfigError when one of these can't be.
    """

    def __init__(
        self,
        state: Path,
        clock: Clock,
        *,
        prefix: str = "mn",
        link_range: str = "100.64.0.0/16",
        tap_owner: int | None = None,
        run_folder: Path = Path("/run"),
        wires: HostWires = NO_WIRES,
        system: Path = SYSTEM,
    ) -> None:
        self._names = Names(prefix, state)
        self._folder = run_folder / self._names.cloud
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=self._names.cloud)
        self._kernel = SwitchKernel(self._names, state, link_range)
        self._networks = SwitchNetworks(self._kernel, clock, _range(link_range), wires)
        self._records = Records(state / "ovs")
        self._ports = Ports(self._records)
        self._interfaces = Interfaces(self._kernel, self._records, clock, tap_owner)
        uplinks = Uplinks(self._names, wires)
        self._board = Board(self._kernel, self._ports, uplinks, Instance(run_folder, system), self._do)
        self._loaded = False
        self._set_ups = 0
        self._locks: dict[str, asyncio.Lock] = {}
        self._servers: dict[str, dhcp.Dnsmasq] = {}

    @classmethod
    def configured(cls, config: Config, clock: Clock) -> Self:
        """The driver as the configuration wants it."""
        options = config.options.network
        wires = HostWires(
            bridges=mapping("network.bridges", options.bridges),
            interfaces=mapping("network.interfaces", options.interfaces),
        )
        return cls(config.state / "network", clock, link_range=options.link_range, wires=wires)

    async def init_host(self) -> None:
        """This host can serve: Open vSwitch runs with our bridge, and half-removed things are gone.

        Raises DriverError when something is missing, naming it.
        """
        _need_commands()
        async with self._board.turn:
            await self._load()
            await self._do(self._prepare)
            await self._board.ready()
            await self._board.clean()

    async def ensure_network(self, spec: NetworkSpec) -> None:
        """The network is on this host as described; one that is new and can't be leaves nothing behind."""
        async with self._lock(spec.id):
            await self._load()
            new = spec.id not in self._kernel.records.networks
            await self._do(self._networks.admit, spec)
            try:
                await namespace.ensure(self._names.namespace_path(spec.id))
                await self._do(self._networks.make, spec.id)
                async with self._board.turn:
                    await self._settle_clients(spec.id)
                    await self._board.attach(spec.id)
                await self._server(spec.id).ensure(spec, self._specs_on(spec.id))
            except Error as err:
                if new:
                    await self._take_back(spec.id, err)
                raise

    async def metadata_socket(self, network_id: str) -> socket.socket | None:
        """A socket inside the network's service namespace, listening on the metadata address."""
        check_id(network_id)
        return await self._do(service.listen_inside, self._names.namespace_path(network_id))

    async def remove_network(self, network_id: str) -> None:
        """Nothing of the network is on this host."""
        check_id(network_id)
        async with self._lock(network_id):
            await self._load()
            await self._unmake(network_id)

    async def ensure_port(self, spec: PortSpec, groups: tuple[GroupSpec, ...] = ()) -> PortFacts:
        """The port is on this host as described."""
        await self.ensure_ports((spec,), groups)
        return PortFacts(id=spec.id, network_id=spec.network_id, device=spec.device)

    async def ensure_ports(self, specs: tuple[PortSpec, ...], groups: tuple[GroupSpec, ...] = ()) -> None:
        """All the ports and members of groups are on this host as described."""
        async with self._board.turn:
            await self._make(specs, groups)
        for network_id in sorted({spec.network_id for spec in specs}):
            async with self._lock(network_id):
                await self._server(network_id).serve([spec for spec in specs if spec.network_id == network_id])

    async def remove_port(self, port_id: str) -> None:
        """Nothing of the port is on this host, and its addresses are free."""
        check_id(port_id)
        async with self._board.turn:
            await self._load()
            record = self._records.ports.get(port_id)
            device = await self._do(self._interfaces.of, port_id)
            if device is not None:
                await self._board.unplug(device)
                await self._do(self._interfaces.remove, port_id, device)
            await self._board.forget(port_id)
            if record is not None and namespace.exists(self._names.namespace_path(record.spec.network_id)):
                await self._settle_clients(record.spec.network_id)
        if record is not None and namespace.exists(self._names.namespace_path(record.spec.network_id)):
            async with self._lock(record.spec.network_id):
                await self._server(record.spec.network_id).forget(record.spec)

    async def list_ports(self) -> list[PortFacts]:
        """Every port whose interface is on this host, in order of id."""
        return await self._do(self._interfaces.present)

    async def list_networks(self) -> list[str]:
        """Every network of which anything is on this host, in order of id."""
        return await self._do(self._networks.present)

    async def close(self) -> None:
        """Sockets are closed; the driver opens them again when it is used again."""
        await self._do(self._kernel.close)

    async def erase(self) -> None:
        """Nothing that this driver ever made on this host is left; nor is an Open vSwitch that served it alone."""
        await dhcp.end_all(self._folder)
        async with self._board.turn:
            await self._load()
            await self._board.erase()
            await self._do(self._interfaces.remove_all)
            for path in sorted(NAMESPACES.glob(f"{self._names.cloud}-*")):
                await namespace.remove(path)
            await self._do(self._records.erase)
            await self._do(self._kernel.erase_records)
            self._loaded = False
        await self.close()
        self._servers.clear()

    def _prepare(self) -> None:
        self._interfaces.expect()
        self._kernel.prepare()
        self._interfaces.forget_what_is_gone()

    async def _load(self) -> None:
        """What is written down about ports is known."""
        if not self._loaded:
            await self._do(self._records.load)
            self._loaded = True

    async def _make(self, specs: tuple[PortSpec, ...], groups: tuple[GroupSpec, ...]) -> None:
        await self._load()
        self._ports.check(specs, groups)
        for spec in specs:
            if spec.network_id not in self._kernel.records.networks:
                raise DriverError(f"network {spec.network_id} is not on this host")
        switch = await self._board.ready()
        if self._board.set_ups != self._set_ups:
            self._set_ups = self._board.set_ups
            self._interfaces.distrust()
        unsure = await self._do(self._interfaces.unsure, specs)
        made = await self._do(self._interfaces.ours, unsure)
        change = self._ports.put(specs, groups, made)
        try:
            await self._board.judge(switch, change)
        except DriverError:
            self._ports.put_back(change)
            raise
        self._ports.forget_groups()
        for network_id in sorted({spec.network_id for spec in specs if _may_ask_anew(spec, change.ports[spec.id])}):
            await self._settle_clients(network_id)
        if unsure:
            await self._do(self._interfaces.make, unsure)
            await self._board.plug(switch, [spec.id for spec in unsure])
            self._interfaces.trust(unsure)

    async def _settle_clients(self, network_id: str) -> None:
        await self._do(settle_clients, self._names.namespace_path(network_id), self._specs_on(network_id))

    async def _unmake(self, network_id: str) -> None:
        self._check_unused(network_id)
        await self._server(network_id).remove()
        async with self._board.turn:
            self._check_unused(network_id)
            await self._board.detach(network_id)
            await self._do(self._networks.unmake, network_id)
            await namespace.remove(self._names.namespace_path(network_id))
            await self._do(self._networks.forget, network_id)
        self._servers.pop(network_id, None)

    def _check_unused(self, network_id: str) -> None:
        holders = [spec.id for spec in self._specs_on(network_id)]
        if holders:
            raise DriverError(f"network {network_id} still has {len(holders)} ports on this host", ports=holders[:10])

    async def _take_back(self, network_id: str, reason: Error) -> None:
        """Nothing of a network that failed to come is left, or what is left shows in `list_networks`."""
        LOG.info("network %s: taking back what was made: %s", network_id, reason)
        try:
            await self._unmake(network_id)
        except Error as err:
            LOG.warning("network %s: what was made could not be taken back: %s", network_id, err)

    def _specs_on(self, network_id: str) -> list[PortSpec]:
        return [record.spec for record in self._records.ports_of(network_id)]

    async def _do(self, work: Callable[..., T], *args: object) -> T:
        """Run in the one thread that holds our kernel handles: one change at a time, in order of asking."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, partial(work, *args))

    def _lock(self, network_id: str) -> asyncio.Lock:
        return self._locks.setdefault(network_id, asyncio.Lock())

    def _server(self, network_id: str) -> dhcp.Dnsmasq:
        if network_id not in self._servers:
            folder = self._folder / self._names.folder(network_id)
            self._servers[network_id] = dhcp.Dnsmasq(folder, self._names.namespace_path(network_id))
        return self._servers[network_id]


def _may_ask_anew(new: PortSpec, old: PortRecord | None) -> bool:
    """Whether DHCP must learn anew for whom the port's guest may ask."""
    return old is None or (old.spec.mac, old.spec.allowed_pairs, old.spec.secured) != (
        new.mac,
        new.allowed_pairs,
        new.secured,
    )


def _range(text: str) -> ipaddress.IPv4Network:
    try:
        links = ipaddress.IPv4Network(text)
    except ValueError as err:
        raise ConfigError(f"link_range {text!r} is no IPv4 network") from err
    if not 16 <= links.prefixlen <= 28:
        raise ConfigError(f"link_range {text!r} must have a prefix length of 16 to 28")
    return links


def _need_commands() -> None:
    if os.geteuid() != 0:
        raise DriverError("the Open vSwitch network driver needs root")
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = {name: package for name, package in COMMANDS.items() if not shutil.which(name, path=path)}
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise DriverError(f"{', '.join(missing)} missing on this host: install {packages}", missing=list(missing))
