"""Which bridge a network is, and by which uplink it leaves for other hosts.

Bridges and interfaces that the operator named are used and never changed but for our own ports.
"""

from micronova.network.driver import NetworkSpec, SegmentSpec
from micronova.network.drivers.linux import vlans
from micronova.network.drivers.linux.uplinks import Uplink, uplink
from micronova.network.drivers.served import vxlan
from micronova.network.drivers.served.links import Link, Links
from micronova.network.drivers.served.names import Names, host_mac
from micronova.network.drivers.served.neighbours import settle_behind
from micronova.network.drivers.served.segments import HostWires, is_lan, is_spanning


class Segments:
    """Uplinks of one cloud's networks on a host with these wires."""

    def __init__(self, names: Names, wires: HostWires) -> None:
        self._names = names
        self._bridges = wires.bridges
        self._interfaces = wires.interfaces

    def bridge(self, spec: NetworkSpec) -> str:
        """The network's bridge: the host's where the operator named one, else our own."""
        ours = self._names.bridge(spec.id)
        return self._bridges.get(spec.segment.physical_network or "", ours) if is_lan(spec) else ours

    def lan(self, spec: NetworkSpec, links: Links) -> Link:
        """The host's bridge that the network is. Raises DriverError when it can't serve."""
        link = links.need(self.bridge(spec))
        vlans.check_lan(links, link)
        return link

    def uplink(self, spec: NetworkSpec, links: Links) -> Uplink | None:
        """What passes between hosts; None for a network that has no uplink of ours."""
        if not _has_uplink(spec):
            return None
        identity = spec.segment.local
        if spec.segment.network_type == "vlan":
            link = links.find(self._interface(spec))
            identity = link.mac if link is not None else spec.id
        return uplink(spec, self._names.uplink(spec.id), host_mac(identity))

    def trunk(self, spec: NetworkSpec) -> str:
        """The bridge that carries the network's VLAN where the kernel has no VLAN interfaces; "" for none."""
        return self._names.trunk(self._interface(spec)) if spec.segment.network_type == "vlan" else ""

    def settle(self, spec: NetworkSpec, bridge: Link, links: Links) -> None:
        """The network's uplink is on its bridge and leads to just the peers of the specification."""
        name, segment = self._names.uplink(spec.id), spec.segment
        if not _has_uplink(spec):
            self.unmake(spec.id, links)
            return
        if segment.network_type == "vxlan":
            link = vxlan.ensure(links, name, segment)
        else:
            link = vlans.ensure(links, self._names, spec, self._interface(spec))
        alias = self._names.alias("uplink", spec.id, spec.id)
        if segment.network_type == "vxlan":
            vxlan.settle_peers(links, link, segment)
        links.settle(link, mtu=spec.mtu, master=bridge.index, alias=alias)
        settle_behind(links, link, _macs(segment))

    def unmake(self, network_id: str, links: Links) -> None:
        """The network has no uplink, and what only it used is gone."""
        vlans.unmake(links, self._names, network_id)
        links.delete(self._names.uplink(network_id))

    def _interface(self, spec: NetworkSpec) -> str:
        return self._interfaces.get(spec.segment.physical_network or "", "")


def _macs(segment: SegmentSpec) -> set[str]:
    """The guests' MACs on other hosts."""
    told = {mac for peer in segment.peers for mac in peer.macs} | {mac for _, mac in segment.neighbours}
    return {mac.lower() for mac in told}


def _has_uplink(spec: NetworkSpec) -> bool:
    """A host without an end of its own has no tunnels."""
    return is_spanning(spec) and (spec.segment.network_type != "vxlan" or bool(spec.segment.local))
