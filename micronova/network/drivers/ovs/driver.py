"""Networks and ports by Open vSwitch: one integration bridge a cloud, whose flows part networks and judge packets.

What serves a network (its gateway, DHCP and DNS, metadata, NAT) lives in a service namespace and is the same as with
Linux bridges; only the wire between it and the guests is another. Open vSwitch itself may be the system's or one that
we start; where the kernel has no module for it, it switches in user space.

Order is the safety: written down, judged by flows, made, plugged in; and backwards.
"""

from pathlib import Path
from typing import Self

from micronova.clock import Clock
from micronova.config import Config
from micronova.errors import DriverError
from micronova.network.driver import GroupSpec, PortFacts, PortSpec
from micronova.network.drivers.ovs.board import Board
from micronova.network.drivers.ovs.clients import settle_clients
from micronova.network.drivers.ovs.instance import SYSTEM, Instance
from micronova.network.drivers.ovs.interfaces import Interfaces
from micronova.network.drivers.ovs.kernel import SwitchKernel, SwitchNetworks
from micronova.network.drivers.ovs.ports import Ports
from micronova.network.drivers.ovs.uplinks import Uplinks
from micronova.network.drivers.served import namespace, segments
from micronova.network.drivers.served.driver import COMMANDS, ServedDriver, links_in, need
from micronova.network.drivers.served.names import Names
from micronova.network.drivers.served.networks import check_unused
from micronova.network.drivers.served.records import PortRecord, Records
from micronova.network.drivers.served.segments import NO_WIRES, HostWires

SWITCH_COMMANDS = dict.fromkeys(("ovs-vsctl", "ovs-ofctl", "ovs-appctl", "ovs-vswitchd"), "openvswitch-switch")
WIDEST_LINKS = 16


class OvsNetworkDriver(ServedDriver):
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
        kernel = SwitchKernel(Names(prefix, state), state, link_range)
        networks = SwitchNetworks(kernel, clock, links_in(link_range, widest=WIDEST_LINKS), wires)
        super().__init__(kernel, networks, run_folder)
        self._records = Records(state / "ovs")
        self._ports = Ports(self._records)
        self._interfaces = Interfaces(kernel, self._records, clock, tap_owner)
        uplinks = Uplinks(self._names, wires)
        self._board = Board(kernel, self._ports, uplinks, Instance(run_folder, system), self._do)
        self._loaded = False
        self._set_ups = 0

    @classmethod
    def configured(cls, config: Config, clock: Clock) -> Self:
        """The driver as the configuration wants it."""
        options = config.options.network
        return cls(config.state / "network", clock, link_range=options.link_range, wires=segments.configured(options))

    async def init_host(self) -> None:
        """This host can serve: Open vSwitch runs with our bridge, and half-removed things are gone.

        Raises DriverError when something is missing, naming it.
        """
        need("Open vSwitch", COMMANDS | SWITCH_COMMANDS)
        async with self._board.turn:
            await self._load()
            await self._do(self._prepare)
            await self._board.ready()
            await self._board.clean()

    async def list_ports(self) -> list[PortFacts]:
        """Every port whose interface is on this host, in order of id."""
        return await self._do(self._interfaces.present)

    def _prepare(self) -> None:
        self._interfaces.expect()
        self._kernel.prepare()
        self._interfaces.forget_what_is_gone()

    async def _load(self) -> None:
        """What is written down about ports is known."""
        if not self._loaded:
            await self._do(self._records.load)
            self._loaded = True

    async def _make_ports(self, specs: tuple[PortSpec, ...], groups: tuple[GroupSpec, ...]) -> None:
        async with self._board.turn:
            await self._load()
            await self._plug_in(specs, groups)

    async def _plug_in(self, specs: tuple[PortSpec, ...], groups: tuple[GroupSpec, ...]) -> None:
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

    async def _unmake_port(self, port_id: str) -> PortSpec | None:
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
        return record.spec if record is not None else None

    async def _specs_on(self, network_id: str) -> list[PortSpec]:
        await self._load()
        return [record.spec for record in self._records.ports_of(network_id)]

    async def _settle_clients(self, network_id: str) -> None:
        await self._do(settle_clients, self._names.namespace_path(network_id), await self._specs_on(network_id))

    async def _make(self, network_id: str) -> None:
        await super()._make(network_id)
        async with self._board.turn:
            await self._settle_clients(network_id)
            await self._board.attach(network_id)

    async def _part(self, network_id: str) -> None:
        async with self._board.turn:
            check_unused(network_id, await self._specs_on(network_id))
            await self._board.detach(network_id)
            await super()._part(network_id)

    async def _erase(self) -> None:
        """Nor is an Open vSwitch left that served us alone."""
        async with self._board.turn:
            await self._load()
            await self._board.erase()
            await self._do(self._interfaces.remove_all)
            await self._do(self._records.erase)
            await super()._erase()
            self._loaded = False


def _may_ask_anew(new: PortSpec, old: PortRecord | None) -> bool:
    """Whether DHCP must learn anew for whom the port's guest may ask."""
    return old is None or (old.spec.mac, old.spec.allowed_pairs, old.spec.secured) != (
        new.mac,
        new.allowed_pairs,
        new.secured,
    )
