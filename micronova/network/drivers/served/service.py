"""The inside of a network's service namespace: gateway addresses, the way out, what is forwarded, metadata.

Everything here runs in a thread that entered the namespace. Interface `gw` leads to the guests, `out` to the host.
"""

import ipaddress
import socket
from pathlib import Path

import msgspec

from micronova.network.driver import NetworkSpec, SubnetSpec
from micronova.network.drivers.served.links import Links, refused, set_sysctl
from micronova.network.drivers.served.namespace import in_namespace
from micronova.network.drivers.served.neighbours import settle_neighbours
from micronova.network.drivers.served.nft import Nft
from micronova.network.drivers.served.service_rules import service_table
from micronova.network.drivers.served.tables import METADATA

BACKLOG = 128
HOST6, INSIDE6 = "fe80::1", "fe80::2"
"""The ends of every wire between a namespace and the host, in IPv6: such addresses need no range of their own."""


class WayOut(msgspec.Struct, frozen=True, kw_only=True):
    """The two ends of the wire between host and namespace, a /30."""

    host: str
    inside: str

    @property
    def prefix(self) -> int:
        """Length of their common network."""
        return 30


def settle_inside(namespace: Path, spec: NetworkSpec, way_out: WayOut | None, gateway_mac: str) -> None:
    """The namespace serves as the network's gateway; both its interfaces are there already."""

    def work() -> None:
        _filter(spec)
        with Links() as links:
            _serve(links, spec, gateway_mac)
            if way_out is not None:
                _lead_out(links, way_out, spec)

    in_namespace(namespace, work)


def interfaces_inside(namespace: Path) -> set[str]:
    """Names of the interfaces in the namespace."""

    def work() -> set[str]:
        with Links() as links:
            return {link.name for link in links.all()}

    return in_namespace(namespace, work)


def listen_inside(namespace: Path) -> socket.socket:
    """A listening socket on the metadata address. Raises DriverError when one is open already."""

    def work() -> socket.socket:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            with refused("listening for metadata"):
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((METADATA, 80))
                listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
        return listener

    return in_namespace(namespace, work)


def _filter(spec: NetworkSpec) -> None:
    set_sysctl("net/ipv4/ip_forward", 1)
    set_sysctl("net/ipv4/conf/all/rp_filter", 0)
    set_sysctl("net/ipv4/conf/default/rp_filter", 0)
    set_sysctl("net/ipv6/conf/all/accept_ra", 0)
    set_sysctl("net/ipv6/conf/default/accept_ra", 0)
    set_sysctl("net/ipv6/conf/all/forwarding", 1)
    with Nft() as nft:
        nft.apply(service_table(spec))


def _serve(links: Links, spec: NetworkSpec, mac: str) -> None:
    loopback, guests = links.need("lo"), links.need("gw")
    links.settle(loopback, mtu=loopback.mtu)
    own = [address for subnet in spec.subnets for address in _addresses(subnet)]
    gateways = list(dict.fromkeys([*own, *(address for router in spec.routers for address in router.addresses)]))
    # Without an IPv4 gateway the metadata address is all we have on the wire, and DHCP is served from it.
    alone = all(":" in address for address in gateways)
    links.ensure_addresses(loopback, ["127.0.0.1/8", "::1/128", *([] if alone else [f"{METADATA}/32"])])
    links.settle(guests, mtu=spec.mtu, mac=mac)
    links.ensure_addresses(guests, [*gateways, *([f"{METADATA}/32"] if alone else [])])
    for subnet in spec.subnets:
        if subnet.gateway is None and ":" not in subnet.cidr:
            links.ensure_route(guests, subnet.cidr, source=METADATA)
    links.ensure_gateways(guests, next_hops(spec))
    settle_neighbours(links, guests, {ip: mac.lower() for ip, mac in spec.segment.neighbours})


def next_hops(spec: NetworkSpec) -> dict[str, str]:
    """The next hop of each range that routers send to a guest of this network."""
    nets = [ipaddress.ip_network(subnet.cidr) for subnet in spec.subnets]
    found: dict[str, str] = {}
    for destination, via in (route for router in spec.routers if router.up for route in router.routes):
        if any(ipaddress.ip_address(via) in net for net in nets):
            for half in halves(destination):
                found.setdefault(half, via)
    return found


def halves(cidr: str) -> list[str]:
    """The range; for everything its two halves, which go before the default route without replacing it."""
    net = ipaddress.ip_network(cidr)
    return [str(half) for half in (net.subnets() if net.prefixlen == 0 else [net])]


def _addresses(subnet: SubnetSpec) -> list[str]:
    if subnet.gateway is None:
        return []
    return [f"{ipaddress.ip_address(subnet.gateway)}/{ipaddress.ip_network(subnet.cidr).prefixlen}"]


def _lead_out(links: Links, way_out: WayOut, spec: NetworkSpec) -> None:
    out = links.need("out")
    links.settle(out, mtu=spec.mtu)
    ipv6 = is_ipv6_routed(spec)
    links.ensure_addresses(out, [f"{way_out.inside}/{way_out.prefix}", *([f"{INSIDE6}/64"] if ipv6 else [])])
    links.ensure_route(out, "0.0.0.0/0", via=way_out.host)
    if ipv6:
        links.ensure_route(out, "::/0", via=HOST6)


def is_ipv6_routed(spec: NetworkSpec) -> bool:
    """Whether IPv6 of the network goes through routers, and so by the host."""
    return bool(ipv6_routed(spec))


def ipv6_routed(spec: NetworkSpec) -> list[str]:
    """IPv6 ranges of the network that belong to routers."""
    routed = {id for router in spec.routers if router.addresses for id in router.subnet_ids}
    return [subnet.cidr for subnet in spec.subnets if ":" in subnet.cidr and subnet.id in routed]
