"""Networks and ports on a Linux host: bridges and taps, nftables, and a service namespace per network.

The bridge of a network and the taps of its ports live in the namespace this process runs in. What serves the network
lives in a *service namespace*: the gateway's address, DHCP and DNS, the metadata address, NAT. So networks with equal
addresses never meet. From there a /30 of its own leads to the host, which knows the way to a network's addresses when
no other network had them first. A network that spans hosts has an uplink on its bridge, by which nothing of the service
namespace passes but what it forwards; a flat network is a bridge of the host's own.

Order is the safety: written down, filtered, made, attached; and backwards. Whoever is killed in between leaves
something a repetition completes, and never a port without its filters.
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
from micronova.command import run
from micronova.config import Config
from micronova.errors import ConfigError, DriverError, Error
from micronova.network.driver import GroupSpec, NetworkSpec, PortFacts, PortSpec
from micronova.network.drivers.linux.kernel import BridgeKernel
from micronova.network.drivers.linux.networks import BridgeNetworks
from micronova.network.drivers.linux.ports import Ports
from micronova.network.drivers.served import dhcp, namespace, service
from micronova.network.drivers.served.names import NAMESPACES, Names, check_id
from micronova.network.drivers.served.segments import NO_WIRES, HostWires, mapping

LOG = logging.getLogger(__name__)
COMMANDS = {
    "ip": "iproute2",
    "nsenter": "util-linux",
    "dnsmasq": "dnsmasq-base",
    "dhcp_release": "dnsmasq-utils",
    "dhcp_release6": "dnsmasq-utils",
}
FIRST_GROUP = 2**30
T = TypeVar("T")


class LinuxNetworkDriver:
    """NetworkDriver by what the Linux kernel has.

    `state` is the cloud's folder for this driver; two clouds on a host need two. `prefix` (one to three letters) begins
    the names of all interfaces but taps. `link_range` is used between host and service namespaces only.
    `tap_owner` is the user id that may open taps; `run_folder` holds the files of servers and is empty after a reboot.
    `wires` are the host's bridges and interfaces that networks may be on.
    Raises ConfigError when one of these can't be.
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
    ) -> None:
        self._names = Names(prefix, state)
        self._folder = run_folder / self._names.cloud
        self._clock = clock
        self._kernel = BridgeKernel(self._names, state, link_range, wires)
        self._networks = BridgeNetworks(self._kernel, clock, _range(link_range), wires)
        self._ports = Ports(self._kernel, clock, tap_owner)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=self._names.cloud)
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
        """This host can serve: kernel, tables and records are ready, and half-removed things are gone.

        Raises DriverError when something is missing, naming it.
        """
        _need_commands()
        if not Path("/proc/sys/net/bridge").exists() and shutil.which("modprobe"):
            await run(["modprobe", "br_netfilter"], ok=(0, 1))
        await self._do(self._kernel.prepare)

    async def ensure_network(self, spec: NetworkSpec) -> None:
        """The network is on this host as described; one that is new and can't be leaves nothing behind."""
        async with self._lock(spec.id):
            new = await self._do(self._networks.admit, spec)
            try:
                await namespace.ensure(self._names.namespace_path(spec.id))
                await self._do(self._networks.make, spec.id)
                await self._server(spec.id).ensure(spec, await self._do(self._ports.specs_on, spec.id))
            except Error as err:
                if new:
                    await self._take_back(spec.id, err)
                raise

    async def metadata_socket(self, network_id: str) -> socket.socket | None:
        """A socket inside the network's service namespace, listening on the metadata address."""
        check_id(network_id)
        path = self._names.namespace_path(network_id)
        return await self._do(service.listen_inside, path)

    async def remove_network(self, network_id: str) -> None:
        """Nothing of the network is on this host."""
        check_id(network_id)
        async with self._lock(network_id):
            await self._unmake(network_id)

    async def _unmake(self, network_id: str) -> None:
        await self._do(self._networks.check_unused, network_id)
        await self._server(network_id).remove()
        await self._do(self._networks.unmake, network_id)
        await namespace.remove(self._names.namespace_path(network_id))
        await self._do(self._networks.forget, network_id)
        self._servers.pop(network_id, None)

    async def _take_back(self, network_id: str, reason: Error) -> None:
        """Nothing of a network that failed to come is left, or what is left shows in `list_networks`."""
        LOG.info("network %s: taking back what was made: %s", network_id, reason)
        try:
            await self._unmake(network_id)
        except Error as err:
            LOG.warning("network %s: what was made could not be taken back: %s", network_id, err)

    async def ensure_port(self, spec: PortSpec, groups: tuple[GroupSpec, ...] = ()) -> PortFacts:
        """The port is on this host as described."""
        await self.ensure_ports((spec,), groups)
        return PortFacts(id=spec.id, network_id=spec.network_id, device=spec.device)

    async def ensure_ports(self, specs: tuple[PortSpec, ...], groups: tuple[GroupSpec, ...] = ()) -> None:
        """All the ports and members of groups are on this host as described."""
        await self._do(self._ports.make, specs, groups)
        for network_id in sorted({spec.network_id for spec in specs}):
            async with self._lock(network_id):
                await self._server(network_id).serve([spec for spec in specs if spec.network_id == network_id])

    async def remove_port(self, port_id: str) -> None:
        """Nothing of the port is on this host, and its addresses are free."""
        check_id(port_id)
        spec = await self._do(self._ports.spec_of, port_id)
        await self._do(self._ports.remove, port_id)
        if spec is not None and namespace.exists(self._names.namespace_path(spec.network_id)):
            async with self._lock(spec.network_id):
                await self._server(spec.network_id).forget(spec)

    async def list_ports(self) -> list[PortFacts]:
        """Every port whose interface is on this host, in order of id."""
        return await self._do(self._ports.present)

    async def list_networks(self) -> list[str]:
        """Every network of which anything is on this host, in order of id."""
        return await self._do(self._networks.present)

    async def close(self) -> None:
        """Sockets are closed; the driver opens them again when it is used again."""
        await self._do(self._kernel.close)

    async def erase(self) -> None:
        """Nothing that this driver ever made on this host is left."""
        await dhcp.end_all(self._folder)
        await self._do(self._unmake_all)
        for path in sorted(NAMESPACES.glob(f"{self._names.cloud}-*")):
            await namespace.remove(path)
        await self._do(self._kernel.erase_records)
        await self.close()
        self._servers.clear()

    def _unmake_all(self) -> None:
        doomed = self._ports.surrender()
        for link in self._kernel.links.all():
            if link.name.startswith(self._names.interfaces):
                doomed.append(link.name)
        self._kernel.links.drop_rules(self._kernel.names.interfaces)
        self._kernel.links.delete_all(doomed, group=FIRST_GROUP + self._clock.randbelow(FIRST_GROUP))
        self._kernel.erase_filter()

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


def _range(text: str) -> ipaddress.IPv4Network:
    try:
        links = ipaddress.IPv4Network(text)
    except ValueError as err:
        raise ConfigError(f"link_range {text!r} is no IPv4 network") from err
    if not 8 <= links.prefixlen <= 28:
        raise ConfigError(f"link_range {text!r} must have a prefix length of 8 to 28")
    return links


def _need_commands() -> None:
    if os.geteuid() != 0:
        raise DriverError("the Linux network driver needs root")
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = {name: package for name, package in COMMANDS.items() if not shutil.which(name, path=path)}
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise DriverError(f"{', '.join(missing)} missing on this host: install {packages}", missing=list(missing))
