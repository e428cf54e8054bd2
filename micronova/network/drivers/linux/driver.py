"""Networks and ports on a Linux host: bridges and taps, nftables, and a service namespace per network.

The bridge of a network and the taps of its ports live in the namespace this process runs in. What serves the network
lives in a *service namespace*: the gateway's address, DHCP and DNS, the metadata address, NAT. So networks with equal
addresses never meet. From there a /30 of its own leads to the host, which knows the way to a network's addresses when
no other network had them first. A network that spans hosts has an uplink on its bridge, by which nothing of the service
namespace passes but what it forwards; a flat network is a bridge of the host's own.

Order is the safety: written down, filtered, made, attached; and backwards. Whoever is killed in between leaves
something a repetition completes, and never a port without its filters.
"""

import shutil
from pathlib import Path
from typing import Self

from micronova.clock import Clock
from micronova.command import run
from micronova.config import Config
from micronova.network.driver import GroupSpec, PortFacts, PortSpec
from micronova.network.drivers.linux.kernel import BridgeKernel
from micronova.network.drivers.linux.networks import BridgeNetworks
from micronova.network.drivers.linux.ports import Ports
from micronova.network.drivers.served import segments
from micronova.network.drivers.served.driver import COMMANDS, ServedDriver, links_in, need
from micronova.network.drivers.served.names import Names
from micronova.network.drivers.served.segments import NO_WIRES, HostWires

FIRST_GROUP = 2**30
WIDEST_LINKS = 8


class LinuxNetworkDriver(ServedDriver):
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
        kernel = BridgeKernel(Names(prefix, state), state, link_range, wires)
        networks = BridgeNetworks(kernel, clock, links_in(link_range, widest=WIDEST_LINKS), wires)
        super().__init__(kernel, networks, run_folder)
        self._clock = clock
        self._ports = Ports(kernel, clock, tap_owner)

    @classmethod
    def configured(cls, config: Config, clock: Clock) -> Self:
        """The driver as the configuration wants it."""
        options = config.options.network
        return cls(config.state / "network", clock, link_range=options.link_range, wires=segments.configured(options))

    async def init_host(self) -> None:
        """This host can serve: kernel, tables and records are ready, and half-removed things are gone.

        Raises DriverError when something is missing, naming it.
        """
        need("Linux", COMMANDS)
        if not Path("/proc/sys/net/bridge").exists() and shutil.which("modprobe"):
            await run(["modprobe", "br_netfilter"], ok=(0, 1))
        await self._do(self._kernel.prepare)

    async def list_ports(self) -> list[PortFacts]:
        """Every port whose interface is on this host, in order of id."""
        return await self._do(self._ports.present)

    async def _make_ports(self, specs: tuple[PortSpec, ...], groups: tuple[GroupSpec, ...]) -> None:
        await self._do(self._ports.make, specs, groups)

    async def _unmake_port(self, port_id: str) -> PortSpec | None:
        spec = await self._do(self._ports.spec_of, port_id)
        await self._do(self._ports.remove, port_id)
        return spec

    async def _specs_on(self, network_id: str) -> list[PortSpec]:
        return await self._do(self._ports.specs_on, network_id)

    async def _erase(self) -> None:
        await self._do(self._unmake_all)
        await super()._erase()

    def _unmake_all(self) -> None:
        doomed = self._ports.surrender()
        for link in self._kernel.links.all():
            if link.name.startswith(self._names.interfaces):
                doomed.append(link.name)
        self._kernel.links.drop_rules(self._kernel.names.interfaces)
        self._kernel.links.delete_all(doomed, group=FIRST_GROUP + self._clock.randbelow(FIRST_GROUP))
        self._kernel.erase_filter()
