"""Routers and floating IPs to what a driver is told of them, by network: the part of specs.py for layer 3."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from micronova.db import Tx
from micronova.network import db, ipam, qos_specs
from micronova.network.db import FloatingIp, Port, PortForwarding, Router, RouterPort, ScopeIds, Subnet
from micronova.network.driver import NO_QOS, FloatingSpec, ForwardingSpec, PeerSpec, RouterSpec, WayOutSpec

Scopes = Mapping[str, ScopeIds]


class Layer3(msgspec.Struct, frozen=True):
    """What routers do for networks, and which floating IPs stand for ports of a host; by network."""

    routers: Mapping[str, tuple[RouterSpec, ...]] = {}
    floating: Mapping[str, tuple[FloatingSpec, ...]] = {}
    forwardings: Mapping[str, tuple[ForwardingSpec, ...]] = {}


def load(tx: Tx, subnets: Mapping[str, Sequence[Subnet]], ports: Iterable[Port]) -> Layer3:
    """Layer 3 of the networks of `subnets`, with floating IPs of `ports`. All joined networks must be among them."""
    if not subnets:
        return Layer3()
    links = tx.find(RouterPort, network_id=sorted(subnets), order=(("router_id", True), ("id", True)))
    here = {port.id for port in ports}
    routers = _routers(tx, links, subnets) if links else {}
    return Layer3(routers, _floating(tx, sorted(subnets), here), _forwardings(tx, sorted(subnets), here))


class _Joint(msgspec.Struct, frozen=True):
    """A router's interface on a network, with the subnets it has addresses of."""

    port: Port
    subnets: tuple[Subnet, ...]

    def addresses(self) -> tuple[str, ...]:
        prefix = {subnet.id: ipam.network_of(subnet.cidr).prefixlen for subnet in self.subnets}
        return tuple(f"{fixed.ip}/{prefix[fixed.subnet_id]}" for fixed in self.port.fixed_ips)

    def holds_gateway(self, subnet: Subnet) -> bool:
        return any(fixed.ip == subnet.gateway_ip for fixed in self.port.fixed_ips)


def _routers(
    tx: Tx, links: Sequence[RouterPort], subnets: Mapping[str, Sequence[Subnet]]
) -> dict[str, tuple[RouterSpec, ...]]:
    routers: dict[str, Router] = db.find_all(tx, Router, (link.router_id for link in links))
    gateways = [router.gateway_port_id for router in routers.values() if router.gateway_port_id]
    ports: dict[str, Port] = db.find_all(tx, Port, (*(link.id for link in links), *gateways))
    joints: dict[str, list[_Joint]] = {}
    for link in links:
        joints.setdefault(link.router_id, []).append(_joint(ports[link.id], subnets))
    owners = _owners(joints)
    scopes = _scopes(tx, subnets, routers.values())
    found: dict[str, list[RouterSpec]] = {}
    for router_id, its in joints.items():
        router = routers[router_id]
        for network_id in sorted({joint.port.network_id for joint in its}):
            here = [joint for joint in its if joint.port.network_id == network_id]
            its_own = tuple(s for joint in here for s in joint.subnets if owners[s.id] == router.id)
            spec = RouterSpec(
                id=router.id,
                addresses=tuple(address for joint in here for address in joint.addresses()),
                subnet_ids=tuple(subnet.id for subnet in its_own),
                peers=_peers(its, network_id, scopes),
                way_out=_way_out(router, ports, its_own, scopes),
                routes=router.routes,
                up=router.admin_state_up,
            )
            found.setdefault(network_id, []).append(spec)
    return {network_id: tuple(specs) for network_id, specs in found.items()}


def _joint(port: Port, subnets: Mapping[str, Sequence[Subnet]]) -> _Joint:
    there = {fixed.subnet_id for fixed in port.fixed_ips}
    return _Joint(port, tuple(subnet for subnet in subnets[port.network_id] if subnet.id in there))


def _owners(joints: Mapping[str, Sequence[_Joint]]) -> dict[str, str]:
    """The router that each subnet belongs to: the one that holds its gateway address, else the first."""
    owners: dict[str, str] = {}
    for router_id in sorted(joints):
        for joint in joints[router_id]:
            for subnet in joint.subnets:
                if subnet.id not in owners or joint.holds_gateway(subnet):
                    owners[subnet.id] = router_id
    return owners


def _scopes(tx: Tx, subnets: Mapping[str, Sequence[Subnet]], routers: Iterable[Router]) -> Scopes:
    """Address scopes of these networks and of those that routers lead out by, where it may matter."""
    if not any(subnet.subnetpool_id for its in subnets.values() for subnet in its):
        return {}
    outer = {router.external_network_id for router in routers if router.external_network_id is not None}
    return db.scopes_of(tx, {*subnets, *outer})


def _scope(scopes: Scopes, network_id: str, version: int) -> str | None:
    return scopes.get(network_id, {}).get(version)


def _peers(joints: Iterable[_Joint], network_id: str, scopes: Scopes) -> tuple[PeerSpec, ...]:
    """What the router reaches from this network: other networks' subnets of the same address scope, or of none."""
    cidrs: dict[str, list[str]] = {}
    for joint in joints:
        if joint.port.network_id != network_id:
            there = joint.port.network_id
            cidrs.setdefault(there, []).extend(
                subnet.cidr
                for subnet in joint.subnets
                if _scope(scopes, there, subnet.ip_version) == _scope(scopes, network_id, subnet.ip_version)
            )
    return tuple(PeerSpec(network_id=id, cidrs=tuple(sorted(cidrs[id]))) for id in sorted(cidrs))


def _way_out(router: Router, ports: Mapping[str, Port], subnets: Sequence[Subnet], scopes: Scopes) -> WayOutSpec | None:
    """How these subnets leave by the router: those in the address scope of the network outside as they are."""
    outer = router.external_network_id
    if outer is None or router.gateway_port_id is None:
        return None
    own = ((s.id, _scope(scopes, s.network_id, s.ip_version), _scope(scopes, outer, s.ip_version)) for s in subnets)
    return WayOutSpec(
        network_id=outer,
        snat=router.enable_snat,
        addresses=tuple(fixed.ip for fixed in ports[router.gateway_port_id].fixed_ips),
        direct=tuple(id for id, here, there in own if here is not None and here == there),
    )


def _forwardings(tx: Tx, network_ids: Sequence[str], here: set[str]) -> dict[str, tuple[ForwardingSpec, ...]]:
    order = (("floatingip_id", True), ("id", True))
    rows = tx.find(PortForwarding, fixed_network_id=network_ids, order=order)
    rows = _served(tx, [row for row in rows if row.internal_port_id in here])
    floating: dict[str, FloatingIp] = db.find_all(tx, FloatingIp, (row.floatingip_id for row in rows))
    found: dict[str, list[ForwardingSpec]] = {}
    for row in rows:
        spec = ForwardingSpec(
            floating_ip=floating[row.floatingip_id].floating_ip_address,
            protocol=row.protocol,
            outer=ends(row.external_port_range),
            fixed_ip=row.internal_ip_address,
            inner=ends(row.internal_port_range),
            port_id=row.internal_port_id,
        )
        found.setdefault(row.fixed_network_id, []).append(spec)
    return {network_id: tuple(specs) for network_id, specs in found.items()}


def _served(tx: Tx, rows: Sequence[PortForwarding]) -> list[PortForwarding]:
    """Of forwardings to ports of one host, those whose floating IP is there: no other host may answer for it."""
    places = db.places_of(tx, {row.floatingip_id for row in rows}) if rows else {}
    apart = {id for id, hosts in places.items() if len(hosts) > 1}
    if not apart:
        return list(rows)
    ports: dict[str, Port] = db.find_all(tx, Port, (row.internal_port_id for row in rows))
    return [
        row
        for row in rows
        if row.floatingip_id not in apart or ports[row.internal_port_id].host == places[row.floatingip_id][0]
    ]


def ends(ports: str) -> tuple[int, int]:
    """First and last port of a range "first:last"."""
    first, last = ports.split(":")
    return int(first), int(last)


def _floating(tx: Tx, network_ids: Sequence[str], here: set[str]) -> dict[str, tuple[FloatingSpec, ...]]:
    rows = tx.find(FloatingIp, fixed_network_id=network_ids, order=(("floating_ip_address", True), ("id", True)))
    found: dict[str, list[FloatingSpec]] = {}
    qos = qos_specs.load(tx, (row.qos_policy_id for row in rows))
    for row in rows:
        if row.port_id in here and row.fixed_ip_address and row.fixed_network_id:
            spec = FloatingSpec(
                floating_ip=row.floating_ip_address,
                fixed_ip=row.fixed_ip_address,
                port_id=row.port_id,
                qos=qos.get(row.qos_policy_id or "", NO_QOS),
            )
            found.setdefault(row.fixed_network_id, []).append(spec)
    return {network_id: tuple(specs) for network_id, specs in found.items()}
