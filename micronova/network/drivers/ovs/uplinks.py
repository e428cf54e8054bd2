"""How a network leaves this host: the port of the integration bridge that leads to others, and how it is made.

A physical network is an Open vSwitch bridge of the operator's, which is joined by a pair of patch ports, or a host
interface, which becomes a port. A tunnel is a port of the network's own: the kernel's VXLAN interface under a switch in
user space, which has no routes of its own; else the switch's, which is told the other end by flows.
"""

from collections.abc import Mapping

import msgspec

from micronova.errors import DriverError
from micronova.network.driver import NetworkSpec
from micronova.network.drivers.ovs.database import Plug
from micronova.network.drivers.ovs.names import Numbers, far_patch, near_patch
from micronova.network.drivers.ovs.pipeline import Uplink
from micronova.network.drivers.served import vxlan
from micronova.network.drivers.served.links import Links
from micronova.network.drivers.served.names import Names
from micronova.network.drivers.served.segments import HostWires, is_lan


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a network leave: the uplink that flows use, the port that it needs, and that port's other half."""

    uplink: Uplink
    plug: Plug
    far: Plug | None = None

    @property
    def names(self) -> set[str]:
        """The names of its ports."""
        return {self.plug.name} | ({self.far.name} if self.far is not None else set())


class Uplinks:
    """The uplinks of one cloud's networks, on a host with these wires."""

    def __init__(self, names: Names, wires: HostWires) -> None:
        self._names = names
        self._wires = wires
        self._physical = sorted({*wires.bridges.values(), *wires.interfaces.values()})

    def way(self, spec: NetworkSpec, number: int, datapath: str, bridges: set[str]) -> Way | None:
        """How the network with this number leaves the host; None for one that doesn't.

        `bridges` are all of Open vSwitch. Raises DriverError when the host has nothing that leads there.
        """
        segment = spec.segment
        if segment.network_type == "vxlan":
            return self._tunnel(spec, number, datapath)
        if segment.network_type == "vlan":
            return self._leave(self._of(self._wires.interfaces, segment.physical_network), segment.id, bridges)
        if is_lan(spec):
            return self._leave(self._of(self._wires.bridges, segment.physical_network), None, bridges)
        return None

    def settle(self, spec: NetworkSpec, way: Way, datapath: str, links: Links) -> None:
        """The kernel's part of the way is there and up."""
        if spec.segment.network_type != "vxlan":
            if way.far is None:
                link = links.need(way.plug.name)
                links.settle(link, mtu=link.mtu)
        elif datapath == "netdev":
            link = vxlan.ensure(links, way.plug.name, spec.segment)
            vxlan.settle_peers(links, link, spec.segment)
            links.settle(link, mtu=spec.mtu, alias=self._names.alias("uplink", spec.id, spec.id))

    def identity(self, spec: NetworkSpec, links: Links) -> str:
        """What tells this host from the network's others."""
        if spec.segment.network_type == "vxlan":
            return spec.segment.local
        wires = self._wires.bridges if is_lan(spec) else self._wires.interfaces
        link = links.find(wires.get(spec.segment.physical_network or "", "lo"))
        return link.mac if link is not None else self._names.cloud

    def shared(self) -> set[str]:
        """Ports that more than one network may use: what leads to physical networks."""
        patches = {patch(self._names, name) for name in self._physical for patch in (near_patch, far_patch)}
        return {*self._physical, *patches}

    def _of(self, wires: Mapping[str, str], physical_network: str | None) -> str:
        target = wires.get(physical_network or "")
        if target is None:
            raise DriverError(f"this host has nothing that leads to physical network {physical_network}")
        return target

    def _leave(self, target: str, vlan: int | None, bridges: set[str]) -> Way:
        number = Numbers.PHYSICAL + self._physical.index(target)
        uplink = Uplink(number=number, vlan=vlan)
        if target not in bridges:
            return Way(uplink=uplink, plug=Plug(name=target, number=number))
        near, far = near_patch(self._names, target), far_patch(self._names, target)
        return Way(
            uplink=uplink,
            plug=Plug(name=near, number=number, kind="patch", options=(("peer", far),)),
            far=Plug(name=far, number=None, kind="patch", options=(("peer", near),), bridge=target),
        )

    def _tunnel(self, spec: NetworkSpec, number: int, datapath: str) -> Way:
        segment, name, port = spec.segment, self._names.uplink(spec.id), Numbers.TUNNELS + number
        if datapath == "netdev":
            return Way(uplink=Uplink(number=port), plug=Plug(name=name, number=port))
        options = (("key", str(segment.id)), ("local_ip", segment.local), ("remote_ip", "flow"))
        peers = tuple((peer.address, peer.macs) for peer in segment.peers)
        return Way(
            uplink=Uplink(number=port, peers=peers, tunnel=True),
            plug=Plug(name=name, number=port, kind="vxlan", options=options),
        )
