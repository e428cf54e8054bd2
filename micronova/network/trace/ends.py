"""The end of a packet's way: who on a network has the address, and whether it takes the packet. Pure."""

from collections.abc import Iterator

from micronova.network.db import Network, Port
from micronova.network.trace.filters import DROPPED, PASSES, Hop, judged, within
from micronova.network.trace.scene import Flow, next_hop, own_addresses, subnet_of

SERVED = {("udp", 53), ("tcp", 53), ("udp", 67), ("udp", 547)}
"""What a gateway answers besides ping: DNS and DHCP."""


def attached(who: str, port: Port, network: Network) -> Hop:
    """Whether the port is real on a host, and switched on."""
    at = f"{who}, port {port.id}"
    if port.device_owner.startswith("network:"):
        return Hop(at, DROPPED, f"the port is the cloud's own ({port.device_owner}): no guest is behind it")
    if not port.host:
        return Hop(at, DROPPED, "the port is not bound to a host: no server has it")
    if port.status != "ACTIVE":
        return Hop(at, DROPPED, f"the port's status is {port.status}: it is not plugged on host {port.host}")
    if not port.admin_state_up:
        return Hop(at, DROPPED, "the port is administratively down")
    if not network.admin_state_up:
        return Hop(at, DROPPED, f"network {network.name or network.id} is administratively down")
    return Hop(at, PASSES, f"bound on host {port.host}, ACTIVE, {_device(port)}")


def _device(port: Port) -> str:
    return f"{port.device_owner or 'device'} {port.device_id or '-'}"


def wire(flow: Flow) -> Iterator[Hop]:
    """Who on the network has the address."""
    if flow.destination in own_addresses(flow.spec):
        yield service(flow, inside=True)
        return
    port = flow.scene.holder(flow.network_id, flow.destination)
    if port is not None:
        yield from delivered(flow, port)
        return
    kept = [one for one in flow.scene.floating if one.floating_ip_address == flow.destination]
    what = "it is a floating IP, which is answered behind a gateway only" if kept else "no port has it"
    yield Hop(flow.network, DROPPED, f"nobody on the network answers for {flow.destination}: {what}")


def service(flow: Flow, *, inside: bool) -> Hop:
    at = f"gateway of {flow.network}"
    if flow.probe.protocol == "icmp" or (inside and (flow.probe.protocol, flow.probe.port) in SERVED):
        return Hop(
            at,
            PASSES,
            f"{flow.destination} is the gateway's own address: host {flow.scene.source.host} answers",
        )
    return Hop(at, DROPPED, f"{flow.destination} is the gateway's own address, where {flow.probe} is not answered")


def handed(flow: Flow, via: str) -> Iterator[Hop]:
    """The packet goes to a port that shall forward it."""
    port = flow.scene.holder(flow.network_id, via)
    if port is None:
        yield Hop(flow.network, DROPPED, f"no port of the network has next hop {via}")
        return
    yield from _received(flow, port)
    yield Hop("beyond", PASSES, f"whether the guest at {via} forwards it to {flow.destination} is not known here")


def _received(flow: Flow, port: Port) -> Iterator[Hop]:
    scene = flow.scene
    yield attached("receiver", port, scene.networks[port.network_id])
    same_host = port.host == scene.source.host
    crossed = any(
        one.port_id == port.id and one.floating_ip_address == flow.probe.destination for one in scene.floating
    )
    if not (same_host or crossed or port.network_id in scene.spanning):
        reason = (
            f"the port is on host {port.host}, the sender on host {scene.source.host}: this strategy's networks end "
            "at their host, there is no path between them"
        )
        yield Hop(flow.network, DROPPED, reason)
    yield judged(scene.book, port, "ingress", flow.probe, flow.source)


def delivered(flow: Flow, port: Port) -> Iterator[Hop]:
    """The packet reaches the port that it is for, and the reply finds back."""
    yield from _received(flow, port)
    yield _reply(flow)


def _reply(flow: Flow) -> Hop:
    """Connections are kept: rules are not asked again, but the receiver needs a route back."""
    subnet = subnet_of(flow.scene, flow.network_id, flow.destination)
    near = subnet is not None and flow.source.ip is not None and within(flow.source.ip, subnet.cidr)
    if subnet is not None and not near and next_hop(subnet, flow.source.ip or "0.0.0.0") is None:
        reason = f"subnet {subnet.cidr} has no gateway: the receiver has no route back to {flow.source.label}"
        return Hop("reply", DROPPED, reason)
    return Hop("reply", PASSES, "belongs to the connection: passes back whatever the rules of either side say")
