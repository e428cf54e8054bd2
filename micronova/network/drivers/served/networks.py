"""A network on this host: its number, wires into the service namespace, and the host's way to it."""

import ipaddress
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path

from micronova.clock import Clock
from micronova.errors import DriverError, NoSpace, Rejected
from micronova.network.driver import NetworkSpec, PortSpec
from micronova.network.drivers.served import forwarding_rules, segments, shaping
from micronova.network.drivers.served.dhcp import IPV6_MODES
from micronova.network.drivers.served.kernel import Kernel
from micronova.network.drivers.served.links import Link, forward_ipv6, set_sysctl, with_ipv6, without_ipv6
from micronova.network.drivers.served.names import check_id, gateway_mac
from micronova.network.drivers.served.records import NetworkRecord
from micronova.network.drivers.served.routing import LINK_SIZE, Routing
from micronova.network.drivers.served.segments import HostWires
from micronova.network.drivers.served.service import (
    HOST6,
    INSIDE6,
    WayOut,
    interfaces_inside,
    ipv6_routed,
    settle_inside,
)

LOG = logging.getLogger(__name__)
HIGHEST_ZONE = 65535
NETWORK_KINDS = ("network", "service", "link", "uplink")


class Networks(ABC):
    """Makes and removes networks: what joins them with guests and other hosts is what a driver adds.

    `links` is the range that the ways out have their addresses from, `wires` are what networks may be on.
    """

    def __init__(self, kernel: Kernel, clock: Clock, links: ipaddress.IPv4Network, wires: HostWires) -> None:
        self._kernel = kernel
        self._names = kernel.names
        self._clock = clock
        self._range = links
        self._wires = wires
        self._routing = Routing(kernel, links)

    def admit(self, spec: NetworkSpec) -> bool:
        """The network is written down, with a number of its own. Whether it is new on this host.

        Raises NoSpace when all numbers are taken, Rejected when the network can never be.
        """
        check_id(spec.id)
        _check(spec)
        segments.check(spec, self._wires)
        known = self._kernel.records.networks.get(spec.id)
        number = known.number if known else self._free_number()
        self._kernel.records.put_network(NetworkRecord(spec=spec, number=number))
        return known is None

    @abstractmethod
    def make(self, network_id: str) -> None:
        """The network and the inside of its service namespace are as written down."""

    def unmake(self, network_id: str) -> None:
        """The network's interfaces and rules are gone. Raises DriverError while it has ports."""
        check_unused(network_id, [record.spec for record in self._kernel.records.ports_of(network_id)])
        self._routing.unmake(network_id)
        self._part(network_id)
        for name in (self._names.service(network_id), self._names.link(network_id)):
            self._kernel.links.delete(name)
        self._kernel.unwire(network_id)

    def forget(self, network_id: str) -> None:
        """The network's record is gone."""
        self._kernel.records.drop_network(network_id)

    def present(self) -> list[str]:
        """Networks of which anything is there, in order of id: also those that were only begun, so that they can go."""
        owners = [self._names.owner(link.alias) for link in self._kernel.links.all()]
        found = {owner.network_id for owner in owners if owner is not None and owner.kind in NETWORK_KINDS}
        return sorted(found | self._kernel.records.networks.keys() | self._names.namespaces())

    @abstractmethod
    def _part(self, network_id: str) -> None:
        """Nothing joins the network with guests and other hosts."""

    def _wire(self, record: NetworkRecord, *, master: int, mtu: int) -> None:
        """The service namespace serves, and its wire to the guests is a port of `master`, or of none (0)."""
        links, spec = self._kernel.links, record.spec
        namespace = self._names.namespace_path(spec.id)
        self._drop_stale_wires(spec.id, namespace)
        service = links.ensure_veth(self._names.service(spec.id), peer="gw", namespace=namespace)
        way_out = self._routing.way_out(record.number) if _ipv4_behind_us(spec) or ipv6_routed(spec) else None
        if way_out is not None:
            links.ensure_veth(self._names.link(spec.id), peer="out", namespace=namespace)
        else:
            links.delete(self._names.link(spec.id))
        settle_inside(namespace, spec, way_out, gateway_mac(spec.id))
        links.settle(service, mtu=mtu, master=master, alias=self._alias("service", spec.id))
        if way_out is not None:
            self._lead_in(record, way_out)

    def _drop_stale_wires(self, network_id: str, namespace: Path) -> None:
        """A wire may end in a namespace that lost its name and was replaced: then it leads nowhere."""
        inside = interfaces_inside(namespace)
        for name, peer in ((self._names.service(network_id), "gw"), (self._names.link(network_id), "out")):
            if peer not in inside:
                self._kernel.links.delete(name)

    def _lead_in(self, record: NetworkRecord, way_out: WayOut) -> None:
        """The host's end of the way out, and the host's routes to the network's addresses and floating IPs."""
        links, spec = self._kernel.links, record.spec
        link = links.need(self._names.link(spec.id))
        links.settle(link, mtu=spec.mtu, alias=self._alias("link", spec.id))
        ipv6 = ipv6_routed(spec)
        if ipv6:
            forward_ipv6()
            with_ipv6(link.name)
        else:
            without_ipv6(link.name)
        links.ensure_addresses(link, [f"{way_out.host}/{way_out.prefix}", *([f"{HOST6}/64"] if ipv6 else [])])
        set_sysctl(f"net/ipv4/conf/{link.name}/rp_filter", 0)  # routed ranges are known by tables of the links only
        self._reach(spec, link, _ipv4_behind_us(spec), way_out.inside)
        self._reach(spec, link, ipv6, INSIDE6)
        self._routing.float(record, link)

    def _reach(self, spec: NetworkSpec, link: Link, cidrs: list[str], via: str) -> None:
        """The host's routes by the link, of the IP version of `via`, are those to these ranges and to floating IPs."""
        links, version = self._kernel.links, ipaddress.ip_address(via).version
        wanted = sorted(ipaddress.ip_network(cidr) for cidr in cidrs)
        routes = [route for route in links.routes(version=version) if route.cidr.prefixlen < route.cidr.max_prefixlen]
        others = [route for route in routes if route.link != link.index and not route.cidr.is_link_local]
        for route in routes:
            if route.link == link.index and route.via is not None and route.cidr not in wanted:
                links.drop_route(link.index, str(route.cidr))
        for net in wanted:
            if any(route.cidr.overlaps(net) for route in others):
                LOG.info("network %s: this host has another way to %s, so it can't reach it", spec.id, net)
            else:
                links.ensure_route(link, str(net), via=via)

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


def check_unused(network_id: str, ports: Sequence[PortSpec]) -> None:
    """Raises DriverError for a network with ports."""
    if ports:
        holders = [port.id for port in ports[:10]]
        raise DriverError(f"network {network_id} still has {len(ports)} ports on this host", ports=holders)


def _ipv4_behind_us(spec: NetworkSpec) -> list[str]:
    """IPv4 ranges in which the host has an address, as their gateway or as their router."""
    routed = {id for router in spec.routers if router.addresses for id in router.subnet_ids}
    ours = [subnet for subnet in spec.subnets if subnet.gateway or subnet.id in routed]
    return [subnet.cidr for subnet in ours if ":" not in subnet.cidr]


def _check(spec: NetworkSpec) -> None:
    """Raises Rejected for a specification with values that are none."""
    try:
        for subnet in spec.subnets:
            net = ipaddress.ip_network(subnet.cidr)
            if subnet.gateway is not None and ipaddress.ip_address(subnet.gateway).version != net.version:
                raise Rejected(f"{subnet.gateway} can't be a gateway of {subnet.cidr}")
            if subnet.ipv6_mode not in (None, *IPV6_MODES):
                raise Rejected(f"{subnet.ipv6_mode!r} is no way to come by an IPv6 address")
            _check_addresses(subnet.dns)
            _check_routes(subnet.routes)
        for router in spec.routers:
            for address in router.addresses:
                ipaddress.ip_interface(address)
            for peer in router.peers:
                check_id(peer.network_id)
                _check_routes((cidr, "::") for cidr in peer.cidrs)
            _check_routes(router.routes)
        for one in spec.floating:
            ipaddress.IPv4Address(one.floating_ip)
            ipaddress.IPv4Address(one.fixed_ip)
            shaping.check(one.qos)
        forwarding_rules.check(spec.forwardings)
    except ValueError as err:
        raise Rejected(f"network {spec.id}: {err}") from err


def _check_addresses(texts: Iterable[str]) -> None:
    for text in texts:
        ipaddress.ip_address(text)


def _check_routes(routes: Iterable[tuple[str, str]]) -> None:
    for destination, via in routes:
        ipaddress.ip_network(destination)
        ipaddress.ip_address(via)
