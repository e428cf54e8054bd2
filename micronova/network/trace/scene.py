"""What the way of a packet may touch, and the packet on it: the words that the files of trace.py share. Pure."""

import ipaddress
from collections.abc import Mapping, Sequence

import msgspec

from micronova.network.db import FloatingIp, Network, Port, Subnet
from micronova.network.driver import NetworkSpec
from micronova.network.trace.filters import Book, Probe, Side, within


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """What of the rows the way may touch.

    `ports` are those that have one of the addresses on the way; `specs` are networks as the sender's host has them,
    `floating` the floating IPs that are the destination or stand for the sender. `names` are of routers.
    What is on the wire of one of the `spanning` networks on one host is on it on all.
    """

    source: Port
    source_ip: str
    networks: Mapping[str, Network]
    subnets: Mapping[str, Sequence[Subnet]]
    specs: Mapping[str, NetworkSpec]
    ports: tuple[Port, ...]
    floating: tuple[FloatingIp, ...]
    names: Mapping[str, str]
    book: Book
    spanning: frozenset[str] = frozenset()

    def holder(self, network_id: str, ip: str) -> Port | None:
        """The port of the network that has the address: as its own, or else as an allowed pair."""
        here = [
            port
            for port in self.ports
            if port.network_id == network_id and not port.device_owner.startswith("network:")
        ]
        own = [port for port in here if any(fixed.ip == ip for fixed in port.fixed_ips)]
        pairs = [port for port in here if ip in single_pairs(port)]
        return next(iter((*own, *pairs)), None)

    def leaves_as(self, ip: str | None) -> FloatingIp | None:
        """The floating IP as which the sender's address leaves."""
        its = (one for one in self.floating if one.port_id == self.source.id and one.fixed_ip_address == ip)
        return next(its, None)


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """The packet at one place: on which network it is, and who it is from and for by now."""

    scene: Scene
    probe: Probe
    network_id: str
    source: Side
    destination: str

    @property
    def spec(self) -> NetworkSpec:
        return self.scene.specs[self.network_id]

    @property
    def network(self) -> str:
        network = self.scene.networks[self.network_id]
        return f"network {network.name or network.id}"

    def onward(self, network_id: str, source: Side, destination: str) -> "Flow":
        """The packet on another network, or translated."""
        return msgspec.structs.replace(self, network_id=network_id, source=source, destination=destination)


def subnet_of(scene: Scene, network_id: str, ip: str | None) -> Subnet | None:
    if ip is None:
        return None
    return next((subnet for subnet in scene.subnets[network_id] if within(ip, subnet.cidr)), None)


def next_hop(subnet: Subnet, destination: str) -> str | None:
    """By the longest route that leads there; None for no route."""
    routes = [(to, via) for to, via in subnet.host_routes if within(destination, to)]
    if routes:
        return max(routes, key=lambda route: ipaddress.ip_network(route[0], strict=False).prefixlen)[1]
    return subnet.gateway_ip


def own_addresses(spec: NetworkSpec) -> set[str]:
    """Addresses of the network that the host has itself: gateways and routers."""
    gateways = {subnet.gateway for subnet in spec.subnets if subnet.gateway is not None}
    return gateways | {address.split("/")[0] for router in spec.routers for address in router.addresses}


def host_of(scene: Scene, one: FloatingIp) -> str:
    """The host on which a floating IP is answered; "" for none."""
    return next((port.host for port in scene.ports if port.id == one.port_id and port.status == "ACTIVE"), "")


def single_pairs(port: Port) -> set[str]:
    """Addresses that the port may have besides its own; of those in allowed ranges nobody knows who has them."""
    return {pair.ip.removesuffix("/32").removesuffix("/128") for pair in port.allowed_pairs}
