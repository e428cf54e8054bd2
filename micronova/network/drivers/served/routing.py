"""How this host forwards between the networks of one router, and to floating IPs.

What comes by a network's link is looked up in a table of that link's own, which knows just the ranges that the
network's routers lead to: networks with equal addresses never meet, whoever has which route in the main table.
A table's number is its link's address, which no other cloud on this host can have.
"""

import ipaddress

import msgspec

from micronova.network.driver import NetworkSpec
from micronova.network.drivers.served import forwarding_rules
from micronova.network.drivers.served.announcing import announce
from micronova.network.drivers.served.kernel import Kernel
from micronova.network.drivers.served.links import FAMILIES, Link, Route
from micronova.network.drivers.served.records import NetworkRecord
from micronova.network.drivers.served.service import INSIDE6, WayOut, halves, is_ipv6_routed

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
        """The network's floating IPs are behind its link, and no others; who is on one wire with them is answered.

        One that is new here is announced there.
        """
        wanted = {f"{ip}/{SINGLE}" for ip in forwarding_rules.addresses(record.spec)}
        links, inside = self._kernel.links, self.way_out(record.number).inside
        routes = links.routes()
        held = {str(one.cidr): one for one in routes if one.link == link.index and one.cidr.prefixlen == SINGLE}
        for cidr in sorted(held.keys() - wanted):
            self._answer(cidr, routes, on=False)
            links.drop_route(link.index, cidr)
        for cidr in sorted(wanted):
            links.ensure_route(link, cidr, via=inside)
            wires = self._answer(cidr, routes, on=True)
            for wire in wires if cidr not in held else ():
                announce(wire, cidr.split("/")[0])

    def unmake(self, network_id: str) -> None:
        """Nothing leads to the network or from it, but by interfaces that go with it."""
        record = self._kernel.records.networks.get(network_id)
        self._kernel.links.drop_rules(self._kernel.names.link(network_id))
        link = self._kernel.links.find(self._kernel.names.link(network_id))
        if record is not None and link is not None:
            self.float(msgspec.structs.replace(record, spec=_bare(record.spec)), link)

    def _lead(self, record: NetworkRecord) -> None:
        for version in FAMILIES:
            self._lead_version(record, version)

    def _lead_version(self, record: NetworkRecord, version: int) -> None:
        links, name = self._kernel.links, self._kernel.names.link(record.spec.id)
        table = self._table(record.number)
        wanted = self._wanted(record.spec, version) if links.find(name) is not None else {}
        if not wanted:
            links.drop_rules(name, table, versions=[version])
            return
        have = {str(route.cidr): route for route in links.routes(table, version=version)}
        for cidr, route in have.items():
            if cidr not in wanted:
                links.drop_route(route.link, cidr, table=table)
        for cidr, hop in wanted.items():
            links.ensure_route(hop.link, cidr, via=hop.via, table=table)
        links.ensure_rule(name, table, version=version)

    def _wanted(self, spec: NetworkSpec, version: int) -> dict[str, Hop]:
        found: dict[str, Hop] = {}
        for router in spec.routers:
            if not router.up:
                continue
            hops = {
                ipaddress.ip_network(cidr): hop
                for peer in router.peers
                if (hop := self._hop(peer.network_id, version))
                for cidr in peer.cidrs
            }
            ranges = [(net, hop) for net, hop in hops.items() if net.version == version]
            for net, hop in ranges:
                found.setdefault(str(net), hop)
            for destination, via in router.routes:
                if ipaddress.ip_network(destination).version != version:
                    continue
                behind = [hop for net, hop in ranges if ipaddress.ip_address(via) in net]
                for half in halves(destination) if behind else ():
                    found.setdefault(half, behind[0])
        return found

    def _hop(self, network_id: str, version: int) -> Hop | None:
        record = self._kernel.records.networks.get(network_id)
        link = self._kernel.links.find(self._kernel.names.link(network_id)) if record else None
        if record is None or link is None or (version == 6 and not is_ipv6_routed(record.spec)):
            return None
        return Hop(link, self.way_out(record.number).inside if version == 4 else INSIDE6)

    def _table(self, number: int) -> int:
        return int(ipaddress.IPv4Address(self.way_out(number).host))

    def _answer(self, cidr: str, routes: list[Route], *, on: bool) -> list[Link]:
        """On the wire whose range the address is from; a floating IP that is routed to this host needs no answer.

        Returns the interfaces to such wires.
        """
        ip = ipaddress.IPv4Address(cidr.split("/")[0])
        wires = [
            route.link
            for route in routes
            if route.via is None and route.cidr.prefixlen < SINGLE and ip in route.cidr and ip not in self._range
        ]
        for index in wires:
            self._kernel.links.set_answering(index, str(ip), on=on)
        return [link for index in wires if (link := self._kernel.links.at(index)) is not None]


def _bare(spec: NetworkSpec) -> NetworkSpec:
    """The network without what is found in it from outside."""
    return msgspec.structs.replace(spec, floating=(), forwardings=())


def _peers(spec: NetworkSpec) -> set[str]:
    return {peer.network_id for router in spec.routers for peer in router.peers}
