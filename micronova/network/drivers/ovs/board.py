"""The integration bridge of one cloud: who is plugged in, and which flows it has. What is written down is made so.

Flows come before the port that they judge, and go after it. The bridge passes nothing without flows; whoever finds it
without those that were given, because the switch was started anew or somebody flushed it, gives it all that is written
down, before anything else.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from micronova.errors import DriverError
from micronova.network.drivers.ovs import openflow, pipeline, processes
from micronova.network.drivers.ovs.database import Database, Plug
from micronova.network.drivers.ovs.instance import Instance, Switch
from micronova.network.drivers.ovs.kernel import SwitchKernel
from micronova.network.drivers.ovs.names import Numbers, integration_bridge
from micronova.network.drivers.ovs.openflow import NOTHING, Flows, Piece
from micronova.network.drivers.ovs.pipeline import Wired
from micronova.network.drivers.ovs.ports import Change, Ports
from micronova.network.drivers.ovs.processes import Home
from micronova.network.drivers.ovs.uplinks import Uplinks, Way
from micronova.network.drivers.served.kernel import FIRST_ZONE
from micronova.network.drivers.served.names import host_mac
from micronova.network.drivers.served.records import NetworkRecord

LOG = logging.getLogger(__name__)
T = TypeVar("T")


class Do(Protocol):
    """Runs work in the one thread that holds the kernel's handles."""

    async def __call__(self, work: Callable[..., T], *args: object) -> T: ...


class Board:
    """The bridge. Its methods must not overlap: who calls them holds `turn`.

    `set_ups` tells how often it was given all that is written down.
    """

    def __init__(self, kernel: SwitchKernel, ports: Ports, uplinks: Uplinks, instance: Instance, do: Do) -> None:
        self.turn = asyncio.Lock()
        self.set_ups = 0
        self._kernel = kernel
        self._names = kernel.names
        self._ports = ports
        self._uplinks = uplinks
        self._instance = instance
        self._do = do
        self._database = Database(kernel.names.cloud)
        self._bridge = integration_bridge(kernel.names)
        self._flows = Flows()
        self._switch: Switch | None = None
        self._wired: dict[str, Wired] = {}
        self._ways: dict[str, Way] = {}
        self._meters: dict[int, str] = {}

    async def ready(self) -> Switch:
        """Open vSwitch runs, and the bridge has its flows. Raises DriverError when it can't be made so."""
        switch = await self._instance.ensure(await self._home())
        if switch != self._switch:
            self._flows.forget()
            self._switch = switch
        try:
            known = await self._flows.known(switch.bridge(self._bridge))
        except DriverError as err:
            LOG.warning("the bridge %s does not answer, setting it up: %s", self._bridge, err)
            known = False
        if not known:
            await self._set_up(switch)
        return switch

    async def clean(self) -> None:
        """No port is plugged in of which nothing is written down."""
        switch = await self.ready()
        wanted = {record.spec.device for record in self._ports.records.ports.values()} | self._used()
        stale = sorted(set(await self._database.plugged(switch)) - wanted)
        if stale:
            LOG.info("unplugging what nothing is written of: %s", ", ".join(stale))
            await self._database.remove(switch, stale)

    async def attach(self, network_id: str) -> None:
        """The network's gateway and its way to other hosts are plugged in, as its record says."""
        switch = await self.ready()
        record = self._kernel.records.networks[network_id]
        bridges = await self._database.bridges(switch)
        await self._wire(record, switch, bridges)
        wired, way = self._wired[network_id], self._ways.get(network_id)
        if way is not None:
            await self._do(self._settle, record, way, switch)
        await self._change(switch, {f"network {network_id}": pipeline.network(wired)}, [network_id])
        plugs = [Plug(name=self._names.service(network_id), number=wired.service)]
        if way is not None:
            plugs += [way.plug] if way.far is None else [way.plug, way.far]
        await self._do(self._kernel.deafen, [self._names.service(network_id), *self._tunnel(network_id)])
        await self._database.ensure(switch, self._bridge, plugs)
        await self._leave_unused(switch)

    async def detach(self, network_id: str) -> None:
        """Nothing of the network is plugged in, its flows are gone, and its connections forgotten."""
        switch = await self.ready()
        names = [self._names.service(network_id), self._names.uplink(network_id)]
        self._wired.pop(network_id, None)
        self._ways.pop(network_id, None)
        await self._database.remove(switch, names)
        await self._change(switch, {f"network {network_id}": NOTHING}, [network_id])
        for name in names:
            await self._do(self._kernel.hear, name)
        record = self._kernel.records.networks.get(network_id)
        if record is not None:
            await openflow.forget_connections(switch.bridge(self._bridge), record.number + FIRST_ZONE)
        await self._leave_unused(switch)

    async def judge(self, switch: Switch, change: Change) -> None:
        """The flows follow what was written down about ports and groups."""
        zones = {id: record.number + FIRST_ZONE for id, record in dict(self._kernel.records.networks).items()}
        known = self._ports.records.ports
        networks = {known[id].spec.network_id for id in change.ports}
        meters = self._ports.meters(change.ports)
        await self._measure(switch, {number: meter for number, meter in meters.items() if meter})
        if await self._change(switch, self._ports.pieces(change, zones), networks):
            await openflow.settled(switch.bridge(self._bridge))
        await self._measure(switch, {number: meter for number, meter in meters.items() if not meter})

    async def plug(self, switch: Switch, port_ids: Iterable[str]) -> None:
        """The interfaces of these ports are plugged in, and heard by the switch only."""
        known = [self._ports.records.ports[id] for id in port_ids]
        records = [record for record in known if record.spec.parent is None]
        await self._do(self._kernel.deafen, [record.spec.device for record in records])
        plugs = [Plug(name=record.spec.device, number=record.mark, own=True) for record in records]
        await self._database.ensure(switch, self._bridge, plugs)

    async def unplug(self, device: str) -> None:
        """The interface is not plugged in."""
        await self._database.remove(await self.ready(), [device])

    async def forget(self, port_id: str) -> None:
        """The port's record and flows are gone."""
        record = self._ports.records.ports.get(port_id)
        if record is None:
            return
        switch = await self.ready()
        chains = self._ports.drop(port_id)
        pieces = {f"port {port_id}": NOTHING, **self._ports.cleared(chains)}
        await self._change(switch, pieces, [record.spec.network_id])
        await self._measure(switch, {record.mark: ""})
        self._ports.forget_groups()

    async def erase(self) -> None:
        """The bridge is gone, and every port of ours on other bridges."""
        switch = await self._instance.running(await self._home())
        if switch is not None:
            await self._database.remove_bridge(switch, self._bridge)
            await self._database.remove(switch, await self._database.plugged(switch))
        self._flows.forget()
        self._wired.clear()
        self._ways.clear()
        self._switch = None
        await self._instance.leave(await self._home())

    async def _home(self) -> Home:
        return await self._do(processes.home)

    async def _set_up(self, switch: Switch) -> None:
        """The bridge is there, with the flows of all that is written down."""
        await self._database.ensure_bridge(switch, self._bridge)
        if not await self._database.carries_tcp(switch):
            LOG.warning(
                "Open vSwitch switches in user space and leaves checksums unfinished, so TCP between guests may fail: "
                "set its other_config:userspace-tso-enable=true and start it anew, or load the module openvswitch"
            )
        bridges = await self._database.bridges(switch)
        self._wired.clear()
        self._ways.clear()
        for record in dict(self._kernel.records.networks).values():
            await self._wire(record, switch, bridges, leads=False)
        pieces = {"everyone": pipeline.everyone()}
        pieces |= {f"network {id}": pipeline.network(wired) for id, wired in self._wired.items()}
        pieces |= {f"copies {id}": self._copies(id) for id in self._wired}
        self._meters.clear()
        meters = self._ports.meters(self._ports.records.ports)
        await self._measure(switch, {number: meter for number, meter in meters.items() if meter})
        pieces |= self._ports.all_pieces({id: wired.zone for id, wired in self._wired.items()})
        await self._flows.replace(switch.bridge(self._bridge), pieces)
        self.set_ups += 1

    async def _wire(self, record: NetworkRecord, switch: Switch, bridges: set[str], *, leads: bool = True) -> None:
        """It is known how the bridge has the network. `leads`: one that can't lead to other hosts is an error."""
        spec, way = record.spec, None
        try:
            way = self._uplinks.way(spec, record.number, switch.datapath, bridges)
        except DriverError as err:
            if leads:
                raise
            LOG.warning("network %s has no way to other hosts: %s", spec.id, err)
        self._ways.pop(spec.id, None)
        if way is not None:
            self._ways[spec.id] = way
        self._wired[spec.id] = Wired(
            spec=spec,
            zone=record.number + FIRST_ZONE,
            service=Numbers.SERVICES + record.number,
            uplink=way.uplink if way is not None else None,
            host_mac=host_mac(await self._do(self._identity, record)) if way is not None else "",
        )

    def _identity(self, record: NetworkRecord) -> str:
        return self._uplinks.identity(record.spec, self._kernel.links)

    def _settle(self, record: NetworkRecord, way: Way, switch: Switch) -> None:
        self._uplinks.settle(record.spec, way, switch.datapath, self._kernel.links)

    def _copies(self, network_id: str) -> Piece:
        wired = self._wired.get(network_id)
        return pipeline.copies(wired, *self._ports.on(network_id)) if wired is not None else NOTHING

    async def _change(self, switch: Switch, pieces: dict[str, Piece], network_ids: Iterable[str]) -> bool:
        """These pieces, and who gets what is for all in these networks, in one step. Whether it took any flow away."""
        pieces |= {f"copies {id}": self._copies(id) for id in network_ids}
        return await self._flows.change(switch.bridge(self._bridge), pieces)

    async def _measure(self, switch: Switch, meters: Mapping[int, str]) -> None:
        """The bridge has these meters, and none under a number with ""."""
        for number, meter in meters.items():
            if self._meters.get(number, "") != meter:
                await openflow.settle_meter(switch.bridge(self._bridge), number, meter)
                self._meters[number] = meter

    def _tunnel(self, network_id: str) -> list[str]:
        name = self._names.uplink(network_id)
        return [name] if network_id in self._ways and self._ways[network_id].plug.name == name else []

    def _used(self) -> set[str]:
        """The ports that networks need."""
        services = {self._names.service(id) for id in self._wired}
        return services.union(*(way.names for way in self._ways.values()))

    async def _leave_unused(self, switch: Switch) -> None:
        """No physical network is joined that no network is on, and no network that has no tunnel has one."""
        candidates = self._uplinks.shared() | {self._names.uplink(id) for id in self._wired}
        await self._database.remove(switch, candidates - self._used())
