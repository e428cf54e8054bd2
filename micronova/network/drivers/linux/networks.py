"""A network of bridges on this host: its bridge, that of the service namespace's wire, and its uplink."""

import ipaddress

from micronova.clock import Clock
from micronova.network.driver import NetworkSpec
from micronova.network.drivers.linux.kernel import BridgeKernel
from micronova.network.drivers.served.links import Link
from micronova.network.drivers.served.names import mac_of
from micronova.network.drivers.served.networks import Networks
from micronova.network.drivers.served.segments import HostWires, is_lan


class BridgeNetworks(Networks):
    """Makes and removes networks, each a bridge of our own or one that the operator named."""

    def __init__(self, kernel: BridgeKernel, clock: Clock, links: ipaddress.IPv4Network, wires: HostWires) -> None:
        super().__init__(kernel, clock, links, wires)
        self._segments = kernel.segments

    def make(self, network_id: str) -> None:
        """Bridge, wires and the inside of the service namespace are as written down."""
        record = self._kernel.records.networks[network_id]
        links, spec = self._kernel.links, record.spec
        lan = self._segments.lan(spec, links) if is_lan(spec) else None
        self._kernel.wire(network_id)
        bridge = lan or self._own_bridge(spec)
        self._wire(record, master=bridge.index, mtu=bridge.mtu if is_lan(spec) else spec.mtu)
        self._segments.settle(spec, bridge, links)
        self._routing.settle(network_id)

    def _part(self, network_id: str) -> None:
        self._segments.unmake(network_id, self._kernel.links)
        self._kernel.links.delete(self._names.bridge(network_id))

    def _own_bridge(self, spec: NetworkSpec) -> Link:
        name, links = self._names.bridge(spec.id), self._kernel.links
        bridge = links.ensure_bridge(name, mac=mac_of(name))
        links.settle(bridge, mtu=spec.mtu, alias=self._alias("network", spec.id))
        return bridge
