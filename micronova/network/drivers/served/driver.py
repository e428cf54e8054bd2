"""What drivers whose networks have service namespaces do alike, and in which order.

What serves a network lives in its *service namespace*: the gateway's address, DHCP and DNS, the metadata address, NAT.
So networks with equal addresses never meet. What joins the namespace with guests and other hosts is the driver's.

Order is the safety: written down, made, joined, served; and backwards. Whoever is killed in between leaves something
that a repetition completes.
"""

import asyncio
import ipaddress
import logging
import os
import shutil
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from micronova.errors import ConfigError, DriverError, Error
from micronova.network.driver import GroupSpec, NetworkSpec, PortFacts, PortSpec
from micronova.network.drivers.served import dhcp, namespace, service
from micronova.network.drivers.served.kernel import Kernel
from micronova.network.drivers.served.names import NAMESPACES, check_id
from micronova.network.drivers.served.networks import Networks, check_unused

LOG = logging.getLogger(__name__)
COMMANDS = {
    "ip": "iproute2",
    "nsenter": "util-linux",
    "dnsmasq": "dnsmasq-base",
    "dhcp_release": "dnsmasq-utils",
    "dhcp_release6": "dnsmasq-utils",
}
"""What serving networks takes, by the package that has it."""
T = TypeVar("T")


class ServedDriver(ABC):
    """NetworkDriver but for `init_host` and `list_ports`; a driver says below what joins networks and makes ports.

    `run_folder` holds the files of servers and is empty after a reboot.
    """

    def __init__(self, kernel: Kernel, networks: Networks, run_folder: Path) -> None:
        self._kernel = kernel
        self._networks = networks
        self._names = kernel.names
        self._folder = run_folder / kernel.names.cloud
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=kernel.names.cloud)
        self._locks: dict[str, asyncio.Lock] = {}
        self._servers: dict[str, dhcp.Dnsmasq] = {}

    async def ensure_network(self, spec: NetworkSpec) -> None:
        """The network is on this host as described; one that is new and can't be leaves nothing behind."""
        async with self._lock(spec.id):
            new = await self._do(self._networks.admit, spec)
            try:
                await namespace.ensure(self._names.namespace_path(spec.id))
                await self._make(spec.id)
                await self._server(spec.id).ensure(spec, await self._specs_on(spec.id))
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
            await self._unmake(network_id)

    async def ensure_port(self, spec: PortSpec, groups: tuple[GroupSpec, ...] = ()) -> PortFacts:
        """The port is on this host as described."""
        await self.ensure_ports((spec,), groups)
        return PortFacts(id=spec.id, network_id=spec.network_id, device=spec.device)

    async def ensure_ports(self, specs: tuple[PortSpec, ...], groups: tuple[GroupSpec, ...] = ()) -> None:
        """All the ports and members of groups are on this host as described."""
        await self._make_ports(specs, groups)
        for network_id in sorted({spec.network_id for spec in specs}):
            async with self._lock(network_id):
                await self._server(network_id).serve([spec for spec in specs if spec.network_id == network_id])

    async def remove_port(self, port_id: str) -> None:
        """Nothing of the port is on this host, and its addresses are free."""
        check_id(port_id)
        spec = await self._unmake_port(port_id)
        if spec is not None and namespace.exists(self._names.namespace_path(spec.network_id)):
            async with self._lock(spec.network_id):
                await self._server(spec.network_id).forget(spec)

    async def list_networks(self) -> list[str]:
        """Every network of which anything is on this host, in order of id."""
        return await self._do(self._networks.present)

    async def close(self) -> None:
        """Sockets are closed; the driver opens them again when it is used again."""
        await self._do(self._kernel.close)

    async def erase(self) -> None:
        """Nothing that this driver ever made on this host is left."""
        await dhcp.end_all(self._folder)
        await self._erase()
        await self.close()
        self._servers.clear()

    # -- what a driver says

    @abstractmethod
    async def _make_ports(self, specs: tuple[PortSpec, ...], groups: tuple[GroupSpec, ...]) -> None:
        """The ports are there and judged, and have no leases yet."""

    @abstractmethod
    async def _unmake_port(self, port_id: str) -> PortSpec | None:
        """Nothing but leases of the port is left. Returns it as it was written down, None for an unknown one."""

    @abstractmethod
    async def _specs_on(self, network_id: str) -> list[PortSpec]:
        """The network's ports as they are written down, in order of id."""

    async def _make(self, network_id: str) -> None:
        """The network is there as written down, with a way between its service namespace and guests and other hosts."""
        await self._do(self._networks.make, network_id)

    async def _part(self, network_id: str) -> None:
        """Nothing of the network is left but its server's object."""
        await self._do(self._networks.unmake, network_id)
        await namespace.remove(self._names.namespace_path(network_id))
        await self._do(self._networks.forget, network_id)

    async def _erase(self) -> None:
        """No service namespace and no record is left. A driver first takes away what leads to them."""
        for path in sorted(NAMESPACES.glob(f"{self._names.cloud}-*")):
            await namespace.remove(path)
        await self._do(self._kernel.erase_records)

    # -- inside

    async def _unmake(self, network_id: str) -> None:
        check_unused(network_id, await self._specs_on(network_id))
        await self._server(network_id).remove()
        await self._part(network_id)
        self._servers.pop(network_id, None)

    async def _take_back(self, network_id: str, reason: Error) -> None:
        """Nothing of a network that failed to come is left, or what is left shows in `list_networks`."""
        LOG.info("network %s: taking back what was made: %s", network_id, reason)
        try:
            await self._unmake(network_id)
        except Error as err:
            LOG.warning("network %s: what was made could not be taken back: %s", network_id, err)

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


def links_in(link_range: str, *, widest: int) -> ipaddress.IPv4Network:
    """The range of all ways out of service namespaces. Raises ConfigError for none, or a prefix below `widest`."""
    try:
        links = ipaddress.IPv4Network(link_range)
    except ValueError as err:
        raise ConfigError(f"link_range {link_range!r} is no IPv4 network") from err
    if not widest <= links.prefixlen <= 28:
        raise ConfigError(f"link_range {link_range!r} must have a prefix length of {widest} to 28")
    return links


def need(driver: str, commands: Mapping[str, str]) -> None:
    """We are root, and the commands (by each the package that has it) are on this host. Raises DriverError if not."""
    if os.geteuid() != 0:
        raise DriverError(f"the {driver} network driver needs root")
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = {name: package for name, package in commands.items() if not shutil.which(name, path=path)}
    if missing:
        packages = " ".join(sorted(set(missing.values())))
        raise DriverError(f"{', '.join(missing)} missing on this host: install {packages}", missing=list(missing))
