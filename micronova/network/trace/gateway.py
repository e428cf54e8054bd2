"""What a gateway does with a packet: floating IPs, routers, the way out, in the order in which hosts look. Pure."""

from collections.abc import Iterator, Sequence

from micronova.network.db import FloatingIp, Port
from micronova.network.driver import RouterSpec
from micronova.network.trace.ends import delivered, handed, service, wire
from micronova.network.trace.filters import DROPPED, PASSES, Hop, Side, within
from micronova.network.trace.scene import Flow, Scene, host_of, own_addresses, subnet_of


def gateway(flow: Flow) -> Iterator[Hop]:
    """Where the sender's host forwards to, in the order in which it looks."""
    scene, spec = flow.scene, flow.spec
    met = [one for one in scene.floating if one.floating_ip_address == flow.destination]
    here = [one for one in met if one.fixed_network_id == flow.network_id and host_of(scene, one) == scene.source.host]
    if here:
        seen = _hairpin(flow, here[0])
        yield _translated(here[0], seen)
        yield from wire(flow.onward(flow.network_id, seen, str(here[0].fixed_ip_address)))
    elif flow.destination in own_addresses(spec):
        yield service(flow, inside=True)
    elif _is_beside(flow):
        yield Hop("gateway", PASSES, f"{flow.destination} is on another subnet of {flow.network}")
        yield from wire(flow)
    elif flow.probe.version == 6:
        yield Hop("gateway", DROPPED, "hosts forward IPv6 between the subnets of one network only")
    else:
        routed = _peer(flow) or _route(flow)
        yield from routed if routed is not None else _way_out(flow, met)


def _peer(flow: Flow) -> Iterator[Hop] | None:
    """The way to another network of a router, if there is one."""
    for router in sorted(flow.spec.routers, key=lambda one: not one.up):
        for peer in router.peers:
            if any(within(flow.destination, cidr) for cidr in peer.cidrs):
                return _to_peer(flow, router, peer.network_id)
    return None


def _to_peer(flow: Flow, router: RouterSpec, network_id: str) -> Iterator[Hop]:
    at = _router(flow, router)
    onward = flow.onward(network_id, flow.source, flow.destination)
    if not router.up:
        yield Hop(at, DROPPED, f"the router is administratively down; it leads to {onward.network}")
        return
    yield Hop(at, PASSES, f"has an interface on {onward.network}: forwarded there, source unchanged")
    if flow.destination in own_addresses(onward.spec):
        yield service(onward, inside=False)
    else:
        yield from wire(onward)


def _route(flow: Flow) -> Iterator[Hop] | None:
    """The way by an extra route of a router, if there is one."""
    for router in (one for one in flow.spec.routers if one.up):
        for to, via in router.routes:
            if not within(flow.destination, to):
                continue
            reached = {flow.network_id: [subnet.cidr for subnet in flow.spec.subnets]}
            reached.update({peer.network_id: list(peer.cidrs) for peer in router.peers})
            for network_id, cidrs in reached.items():
                if any(within(via, cidr) for cidr in cidrs):
                    return _by_route(flow, _router(flow, router), network_id, (to, via))
    return None


def _by_route(flow: Flow, at: str, network_id: str, route: tuple[str, str]) -> Iterator[Hop]:
    onward = flow.onward(network_id, flow.source, flow.destination)
    yield Hop(at, PASSES, f"route to {route[0]} leads to next hop {route[1]} on {onward.network}")
    yield from handed(onward, route[1])


def _is_beside(flow: Flow) -> bool:
    """Whether the address is on another subnet of the network, to which the host has a route."""
    routed = [subnet.cidr for subnet in flow.spec.subnets if subnet.gateway or ":" not in subnet.cidr]
    return any(within(flow.destination, cidr) for cidr in routed)


def _way_out(flow: Flow, met: Sequence[FloatingIp]) -> Iterator[Hop]:
    """Out of the network towards the world, where floating IPs of other networks and hosts are too."""
    subnet = subnet_of(flow.scene, flow.network_id, flow.source.ip)
    router = next((one for one in flow.spec.routers if subnet is not None and subnet.id in one.subnet_ids), None)
    at = _router(flow, router) if router is not None else "gateway"
    own = flow.scene.leaves_as(flow.source.ip)
    if own is not None:
        seen: Side | None = Side(own.floating_ip_address, own.floating_ip_address)
        how = f"leaves {flow.network} as floating IP {own.floating_ip_address}"
    else:
        seen, how = (
            _by_router(flow, router, subnet.id) if router is not None and subnet is not None else _without_router(flow)
        )
    if seen is None:
        yield Hop(at, DROPPED, how)
        return
    yield Hop(at, PASSES, how)
    yield from _outside(flow, seen, met)


def _by_router(flow: Flow, router: RouterSpec, subnet_id: str) -> tuple[Side | None, str]:
    """As whom the packet leaves by its subnet's router, and how; None when it does not."""
    if not router.up:
        return None, "the router is administratively down"
    if router.way_out is None:
        return None, f"it has no route to {flow.destination}, and no external gateway"
    if router.way_out.hides(subnet_id):
        return _host(flow), f"leaves {flow.network} behind {_host(flow).label} (SNAT)"
    if router.way_out.snat:
        return flow.source, f"leaves {flow.network} as it is: the network outside is of the same address scope"
    return flow.source, f"leaves {flow.network} as it is, SNAT is off: a route back to {flow.source.label} is needed"


def _without_router(flow: Flow) -> tuple[Side | None, str]:
    if flow.spec.nat:
        return _host(flow), f"leaves {flow.network} behind {_host(flow).label} (no router: the network's own NAT)"
    return None, f"{flow.network} has neither a router nor a NAT of its own"


def _host(flow: Flow) -> Side:
    host = flow.scene.source.host
    return Side(None, f"an address of host {host}")


def _outside(flow: Flow, seen: Side, met: Sequence[FloatingIp]) -> Iterator[Hop]:
    """What is on the other side of the network's way out."""
    if met:
        yield from _met(flow, seen, met[0])
        return
    port = _unjoined(flow)
    if port is None:
        yield Hop("outside", PASSES, f"{flow.destination} is not this cloud's: what happens beyond is not known here")
        return
    onward = flow.onward(port.network_id, seen, flow.destination)
    there = f"{flow.destination} is on {onward.network} on host {port.host or 'none'}"
    if port.host != flow.scene.source.host:
        yield Hop("outside", PASSES, f"{there}, whether anything outside leads there or has it too is not known here")
    elif not _plain(flow.scene, port, flow.destination):
        yield Hop("outside", DROPPED, f"{there}, which no router joins with {flow.network}: hosts keep them apart")
    else:
        yield Hop("outside", PASSES, f"{there}, whose router does not translate it: it is reached as it is")
        yield from delivered(onward, port)


def _met(flow: Flow, seen: Side, target: FloatingIp) -> Iterator[Hop]:
    """The floating IP is another network's or another host's."""
    host = host_of(flow.scene, target)
    if target.port_id is None or target.fixed_network_id is None:
        yield Hop("floating IP", DROPPED, f"{flow.destination} stands for no port: nobody answers for it")
        return
    if not host:
        yield Hop("floating IP", DROPPED, f"port {target.port_id}, for which {flow.destination} stands, is on no host")
        return
    if host != flow.scene.source.host:
        reason = f"host {host} answers for {flow.destination}, if the wire between the hosts carries that range"
        yield Hop("outside", PASSES, reason)
    yield _translated(target, seen)
    port = next(port for port in flow.scene.ports if port.id == target.port_id)
    yield from delivered(flow.onward(target.fixed_network_id, seen, str(target.fixed_ip_address)), port)


def _unjoined(flow: Flow) -> Port | None:
    """A port with the address on a network that no router joins with the sender's; one on the sender's host first."""
    its = [port for port in flow.scene.ports if any(fixed.ip == flow.destination for fixed in port.fixed_ips)]
    return min(its, key=lambda port: port.host != flow.scene.source.host, default=None)


def _plain(scene: Scene, port: Port, ip: str) -> bool:
    """Whether the address is reached from outside without a floating IP."""
    subnet = subnet_of(scene, port.network_id, ip)
    ways = [
        one.way_out for one in scene.specs[port.network_id].routers if subnet and one.up and subnet.id in one.subnet_ids
    ]
    return subnet is not None and any(way is not None and not way.hides(subnet.id) for way in ways)


def _translated(one: FloatingIp, seen: Side) -> Hop:
    reason = f"{one.floating_ip_address} stands for {one.fixed_ip_address} of port {one.port_id}"
    return Hop("floating IP", PASSES, f"{reason}; source is {seen.label}")


def _hairpin(flow: Flow, one: FloatingIp) -> Side:
    """As whom the sender reaches a floating IP on its own network: not as itself, for replies to come back this way."""
    own = flow.scene.leaves_as(flow.source.ip)
    if own is not None:
        return Side(own.floating_ip_address, own.floating_ip_address)
    target = subnet_of(flow.scene, flow.network_id, one.fixed_ip_address)
    gateway = target.gateway_ip if target is not None else None
    return Side(gateway, f"the gateway's address {gateway}")


def _router(flow: Flow, router: RouterSpec) -> str:
    return f"router {flow.scene.names.get(router.id) or router.id}"
