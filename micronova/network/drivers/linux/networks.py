"""A network on this host: its number, bridge, wires into the service namespace, and the host's way to it."""

import ipaddress
import logging
from pathlib import Path

import msgspec

from micronova.clock import Clock
from micronova.errors import DriverError, NoSpace, Rejected
from micronova.network.driver import NetworkSpec
from micronova.network.drivers.linux.kernel import Kernel
from micronova.network.drivers.linux.links import Link
from micronova.network.drivers.linux.names import check_id, mac_of
from micronova.network.drivers.linux.records import NetworkRecord
from micronova.network.drivers.linux.service import WayOut, interfaces_inside, settle_inside

LOG = logging.getLogger(__name__)
LINK_SIZE = 4
HIGHEST_ZONE = 65535


class Networks:
    """Makes and removes networks. `links` is the range that the ways out have their addresses from."""

    def __init__(self, kernel: Kernel, clock: Clock, links: ipaddress.IPv4Network) -> None:
        self._kernel = kernel
        self._names = kernel.names
        self._clock = clock
        self._range = links

    def admit(self, spec: NetworkSpec) -> None:
        """The network is written down, with a number of its own.

        Raises NoSpace when all numbers are taken, Rejected when the network can never be.
        """
        check_id(spec.id)
        _check(spec)
        known = self._kernel.records.networks.get(spec.id)
        number = known.number if known else self._free_number()
        self._kernel.records.put_network(NetworkRecord(spec=spec, number=number))

    def make(self, network_id: str) -> None:
        """Bridge, wires and the inside of the service namespace are as written down."""
        record = self._kernel.records.networks[network_id]
        links, spec = self._kernel.links, record.spec
        self._kernel.apply(self._kernel.rules.network(self._kernel.wiring_of(record)))
        name = self._names.bridge(network_id)
        bridge = links.ensure_bridge(name, mac=mac_of(name))
        links.settle(bridge, mtu=spec.mtu, alias=self._alias("network", network_id))
        self._wire(record, bridge)

    def unmake(self, network_id: str) -> None:
        """The network's interfaces and rules are gone. Raises DriverError while it has ports."""
        self.check_unused(network_id)
        for name in (
            self._names.service(network_id),
            self._names.link(network_id),
            self._names.bridge(network_id),
        ):
            self._kernel.links.delete(name)
        self._kernel.apply(self._kernel.rules.no_network(self._kernel.wiring(network_id)))

    def forget(self, network_id: str) -> None:
        """The network's record is gone."""
        self._kernel.records.drop_network(network_id)

    def check_unused(self, network_id: str) -> None:
        """Raises DriverError while the network has ports."""
        holders = [record.spec.id for record in self._kernel.records.ports_of(network_id)]
        if holders:
            raise DriverError(f"network {network_id} still has {len(holders)} ports on this host", ports=holders[:10])

    def drop_leases(self, network_id: str, port_id: str) -> NetworkSpec | None:
        """The record holds no lease of the port; returns the network as it is then, None when there is none."""
        record = self._kernel.records.networks.get(network_id)
        if record is None:
            return None
        leases = tuple(lease for lease in record.spec.leases if lease.port_id != port_id)
        spec = msgspec.structs.replace(record.spec, leases=leases)
        self._kernel.records.put_network(NetworkRecord(spec=spec, number=record.number))
        return spec

    def present(self) -> list[str]:
        """Networks whose bridge is there, in order of id."""
        owners = [self._names.owner(link.alias) for link in self._kernel.links.all()]
        return sorted(owner.id for owner in owners if owner is not None and owner.kind == "network")

    def _wire(self, record: NetworkRecord, bridge: Link) -> None:
        links, spec = self._kernel.links, record.spec
        namespace = self._names.namespace_path(spec.id)
        self._drop_stale_wires(spec.id, namespace)
        service = links.ensure_veth(self._names.service(spec.id), peer="gw", namespace=namespace)
        way_out = self._way_out(record.number) if any(_ipv4_with_gateway(spec)) else None
        if way_out is not None:
            links.ensure_veth(self._names.link(spec.id), peer="out", namespace=namespace)
        else:
            links.delete(self._names.link(spec.id))
        settle_inside(namespace, spec, way_out, mac_of(f"gateway {spec.id}"))
        links.settle(service, mtu=spec.mtu, master=bridge.index, alias=self._alias("service", spec.id))
        if way_out is not None:
            self._lead_in(spec, way_out)

    def _drop_stale_wires(self, network_id: str, namespace: Path) -> None:
        """A wire may end in a namespace that lost its name and was replaced: then it leads nowhere."""
        inside = interfaces_inside(namespace)
        for name, peer in ((self._names.service(network_id), "gw"), (self._names.link(network_id), "out")):
            if peer not in inside:
                self._kernel.links.delete(name)

    def _lead_in(self, spec: NetworkSpec, way_out: WayOut) -> None:
        """The host's end of the way out, and the host's routes to the network's addresses."""
        links = self._kernel.links
        link = links.need(self._names.link(spec.id))
        links.settle(link, mtu=spec.mtu, alias=self._alias("link", spec.id))
        links.ensure_addresses(link, [f"{way_out.host}/{way_out.prefix}"])
        wanted = {ipaddress.IPv4Network(subnet) for subnet in _ipv4_with_gateway(spec)}
        routes = links.routes()
        for route in routes:
            if route.link == link.index and route.cidr not in wanted and not route.cidr.overlaps(self._range):
                links.drop_route(link, str(route.cidr))
        for cidr in sorted(wanted):
            if any(route.cidr.overlaps(cidr) and route.link != link.index for route in routes):
                LOG.info("network %s: this host has another way to %s, so it can't reach it", spec.id, cidr)
            else:
                links.ensure_route(link, str(cidr), via=way_out.inside)

    def _way_out(self, number: int) -> WayOut:
        first = self._range[number * LINK_SIZE]
        return WayOut(host=str(first + 1), inside=str(first + 2))

    def _free_number(self) -> int:
        """A number that neither we nor another cloud on this host uses: theirs show as addresses of the range."""
        count = min(self._range.num_addresses // LINK_SIZE, HIGHEST_ZONE)
        start = int(self._range.network_address)
        used = {record.number for record in self._kernel.records.networks.values()}
        for address in self._kernel.links.addresses():
            if address in self._range:
                used.add((int(address) - start) // LINK_SIZE)
        first = self._clock.randbelow(count)
        for step in range(count):
            if (first + step) % count not in used:
                return (first + step) % count
        raise NoSpace(f"all {count} networks that this host can have are there")

    def _alias(self, kind: str, network_id: str) -> str:
        return self._names.alias(kind, network_id, network_id)


def _ipv4_with_gateway(spec: NetworkSpec) -> list[str]:
    return [subnet.cidr for subnet in spec.subnets if subnet.gateway and ":" not in subnet.cidr]


def _check(spec: NetworkSpec) -> None:
    """Raises Rejected for a specification with values that are none."""
    try:
        for subnet in spec.subnets:
            net = ipaddress.ip_network(subnet.cidr)
            if subnet.gateway is not None and ipaddress.ip_address(subnet.gateway).version != net.version:
                raise Rejected(f"{subnet.gateway} can't be a gateway of {subnet.cidr}")
            for text in subnet.dns:
                ipaddress.ip_address(text)
            for destination, via in subnet.routes:
                ipaddress.ip_network(destination)
                ipaddress.ip_address(via)
        for lease in spec.leases:
            ipaddress.ip_address(lease.ip)
    except ValueError as err:
        raise Rejected(f"network {spec.id}: {err}") from err
