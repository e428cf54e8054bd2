"""How this host forwards between the networks of one router, and to floating IPs.

What comes by a network's link is looked up in a table of that link's own, which knows just the ranges that the
network's routers lead to: networks with equal addresses never meet, whoever has which route in the main table.
A table's number is its link's address, which no other cloud on this host can have.
"""

import ipaddress

import msgspec

from micronova.network.driver import NetworkSpec
from micronova.network.drivers.linux.kernel import Kernel
from micronova.network.drivers.linux.links import Link
from micronova.network.drivers.linux.records import NetworkRecord
from micronova.network.drivers.linux.service import WayOut, halves

LINK_SIZE = 4
SINGLE = 32


class Hop(msgspec.Struct, frozen=True):
    """The next hop to a range: by which of the host's interfaces, to which address."""

    link: Link
    via: str


class Routing:
    """Tables and rules for the networks on this host. `links` is the range of all ways out."""

    def __init__(self, kernel: Kernel, links: ipaddress.IPv4Network) -> None:
        self._kernel = kernel
        self._range = links

    def way_out(self, number: int) -> WayOut:
        """The wire of the network with this number."""
        first = self._range[number * LINK_SIZE]
        return WayOut(host=str(first + 1), inside=str(first + 2))

    def settle(self, network_id: str) -> None:
        """The network, and those that are routed to it, lead where their records say."""
        known = self._kernel.records.networks
        self._lead(known[network_id])
        for record in known.values():
            if record.spec.id != network_id and network_id in _peers(record.spec):
                self._lead(record)

    def float(self, record: NetworkRecord, link: Link) -> None:
        """The network's floating IPs are behind its link, and no others; who is on one wire with them is answered."""
        wanted = {f"{one.floating_ip}/{SINGLE}" for one in record.spec.floating}
        links, inside = self._kernel.links, self.way_out(record.number).inside
        for route in links.routes():
            if route.link == link.index and route.cidr.prefixlen == SINGLE and str(route.cidr) not in wanted:
                self._answer(str(route.cidr.network_address), on=False)
                links.drop_route(link.index, str(route.cidr))
        for cidr in sorted(wanted):
            links.ensure_route(link, cidr, via=inside)
            self._answer(cidr.split("/")[0], on=True)

    def unmake(self, network_id: str) -> None:
        """Nothing leads to the network or from it, but by interfaces that go with it."""
        record = self._kernel.records.networks.get(network_id)
        self._kernel.links.drop_rules(self._kernel.names.link(network_id))
        link = self._kernel.links.find(self._kernel.names.link(network_id))
        if record is not None and link is not None:
            self.float(msgspec.structs.replace(record, spec=msgspec.structs.replace(record.spec, floating=())), link)

    def _lead(self, record: NetworkRecord) -> None:
        links, name = self._kernel.links, self._kernel.names.link(record.spec.id)
        table = self._table(record.number)
        wanted = self._wanted(record.spec) if links.find(name) is not None else {}
        if not wanted:
            links.drop_rules(name, table)
            return
        have = {str(route.cidr): route for route in links.routes(table)}
        for cidr, route in have.items():
            if cidr not in wanted:
                links.drop_route(route.link, cidr, table=table)
        for cidr, hop in wanted.items():
            links.ensure_route(hop.link, cidr, via=hop.via, table=table)
        links.ensure_rule(name, table)

    def _wanted(self, spec: NetworkSpec) -> dict[str, Hop]:
        found: dict[str, Hop] = {}
        for router in spec.routers:
            if not router.up:
                continue
            hops = {cidr: hop for peer in router.peers if (hop := self._hop(peer.network_id)) for cidr in peer.cidrs}
            ranges = [(ipaddress.IPv4Network(cidr), hop) for cidr, hop in hops.items() if ":" not in cidr]
            for net, hop in ranges:
                found.setdefault(str(net), hop)
            for destination, via in router.routes:
                if ":" in via or ":" in destination:
                    continue
                behind = [hop for net, hop in ranges if ipaddress.IPv4Address(via) in net]
                for half in halves(destination) if behind else ():
                    found.setdefault(half, behind[0])
        return found

    def _hop(self, network_id: str) -> Hop | None:
        record = self._kernel.records.networks.get(network_id)
        link = self._kernel.links.find(self._kernel.names.link(network_id)) if record else None
        return Hop(link, self.way_out(record.number).inside) if record and link else None

    def _table(self, number: int) -> int:
        return int(ipaddress.IPv4Address(self.way_out(number).host))

    def _answer(self, address: str, *, on: bool) -> None:
        """On the wire whose range the address is from; a floating IP that is routed to this host needs no answer."""
        ip = ipaddress.IPv4Address(address)
        for route in self._kernel.links.routes():
            if route.via is None and route.cidr.prefixlen < SINGLE and ip in route.cidr and ip not in self._range:
                self._kernel.links.set_answering(route.link, address, on=on)


def _peers(spec: NetworkSpec) -> set[str]:
    return {peer.network_id for router in spec.routers for peer in router.peers}
