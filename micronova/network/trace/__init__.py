"""Whether a packet from a port to an address would pass: its way through the cloud, hop by hop, with reasons. Pure.

It follows what hosts are told (specs.py), not what they have: a host that is behind its rows is the matter of
`reconcile`. A network's gateway, routers, floating IPs and metadata are on the host of the port that sends.
"""

from collections.abc import Iterator

import msgspec

from micronova.network.db import Subnet
from micronova.network.trace.ends import attached, handed, wire
from micronova.network.trace.filters import DROPPED, PASSES, Hop, Probe, Side, judged, may_send, within
from micronova.network.trace.gateway import gateway
from micronova.network.trace.scene import Flow, Scene, next_hop, own_addresses, subnet_of

METADATA = "169.254.169.254"
HTTP = 80
UNKNOWN = ("outside", "beyond")
"""Where a way may end that does not end in this cloud."""


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: `passes` or not, in one sentence, and how that was found."""

    port_id: str
    source: str
    destination: str
    packet: str
    passes: bool
    verdict: str
    hops: tuple[Hop, ...]

    def lines(self) -> list[str]:
        """The answer for a person to read."""
        told = [f"{self.packet} from {self.source or 'nowhere'} (port {self.port_id}) to {self.destination}"]
        for number, hop in enumerate(self.hops, 1):
            told.append(f"{number:>3}. {hop.verdict:<8} {hop.at}: {hop.reason}")
            told += [
                f"       {'no' if look.why else 'yes':<4} {look.rule}{look.why and ': ' + look.why}"
                for look in hop.rules
            ]
        return [*told, self.verdict]


def trace(scene: Scene, probe: Probe) -> Trace:
    """What becomes of the packet."""
    hops: list[Hop] = []
    for hop in _way(scene, probe):
        hops.append(hop)
        if hop.verdict == DROPPED:
            break
    last, passes = hops[-1], hops[-1].verdict == PASSES
    known = "it passes" if last.at not in UNKNOWN else f"it passes as far as is known here: {last.reason}"
    said = known if passes else f"it is dropped at hop {len(hops)}, {last.at}, because {last.reason}"
    return Trace(
        port_id=scene.source.id,
        source=scene.source_ip,
        destination=probe.destination,
        packet=str(probe),
        passes=passes,
        verdict=said,
        hops=tuple(hops),
    )


def _way(scene: Scene, probe: Probe) -> Iterator[Hop]:
    """All hops to the end; who reads stops at the first that drops the packet."""
    port, source = scene.source, Side(scene.source_ip, scene.source_ip)
    yield attached("sender", port, scene.networks[port.network_id])
    if not scene.source_ip:
        yield Hop("sender", DROPPED, f"the port has no IPv{probe.version} address to send from")
    yield may_send(port, scene.source_ip)
    if _is_metadata(probe):
        yield Hop(f"egress rules of port {port.id}", PASSES, "metadata is open to every guest, whatever its rules")
    else:
        yield judged(scene.book, port, "egress", probe, Side(probe.destination, probe.destination))
    if any(probe.destination == fixed.ip for fixed in port.fixed_ips):
        yield Hop("sender", PASSES, "the address is its own: the packet does not leave the guest")
        return
    flow = Flow(scene=scene, probe=probe, network_id=port.network_id, source=source, destination=probe.destination)
    yield from _first_hop(flow)


def _is_metadata(probe: Probe) -> bool:
    return probe.destination == METADATA and probe.protocol == "tcp" and probe.port == HTTP


def _first_hop(flow: Flow) -> Iterator[Hop]:
    """To whom the guest hands the packet."""
    subnet = subnet_of(flow.scene, flow.network_id, flow.source.ip)
    if subnet is None:
        yield Hop(
            flow.network,
            DROPPED,
            f"{flow.source.label} is in no subnet of it: no route is known to the guest",
        )
        return
    if flow.destination == METADATA:
        yield from _metadata(flow, subnet)
        return
    if within(flow.destination, subnet.cidr):
        yield Hop(
            flow.network,
            PASSES,
            f"{flow.destination} is on subnet {subnet.cidr} too: straight over the bridge",
        )
        yield from wire(flow)
        return
    via = next_hop(subnet, flow.destination)
    if via is None:
        reason = f"subnet {subnet.cidr} has no gateway and no host route to {flow.destination}: DHCP tells no route"
        yield Hop(flow.network, DROPPED, reason)
        return
    known = "" if _has_dhcp(flow, subnet) else " (no DHCP: the guest has to know that by itself)"
    toward = f"{flow.destination} is outside of subnet {subnet.cidr}: to next hop {via}{known}"
    if via in own_addresses(flow.spec):
        yield Hop(flow.network, PASSES, f"{toward}, which host {flow.scene.source.host} is itself")
        yield from gateway(flow)
    elif flow.scene.holder(flow.network_id, via) is not None:
        yield Hop(flow.network, PASSES, toward)
        yield from handed(flow, via)
    elif via == subnet.gateway_ip:
        yield Hop(
            flow.network,
            PASSES,
            f"{toward}, a gateway that is not this cloud's: what it does is not known here",
        )
    else:
        yield Hop(flow.network, DROPPED, f"{toward}, but no port of the network has that address")


def _has_dhcp(flow: Flow, subnet: Subnet) -> bool:
    """Whether hosts serve DHCP there: the subnet asks for it and its network's strategy grants it."""
    return any(row.dhcp for row in flow.spec.subnets if row.id == subnet.id)


def _metadata(flow: Flow, subnet: Subnet) -> Iterator[Hop]:
    gateway = any(row.gateway is not None for row in flow.spec.subnets if row.id == subnet.id)
    if not gateway and not _has_dhcp(flow, subnet):
        reason = f"subnet {subnet.cidr} has neither DHCP nor a gateway: the guest has no route to {METADATA}"
        yield Hop("metadata", DROPPED, reason)
    elif _is_metadata(flow.probe):
        reason = f"host {flow.scene.source.host} answers for {METADATA} on the network itself"
        yield Hop("metadata", PASSES, reason)
    elif flow.probe.protocol == "icmp":
        yield Hop("metadata", PASSES, f"{METADATA} answers ping")
    else:
        yield Hop("metadata", DROPPED, f"{METADATA} answers tcp {HTTP} and ping, not {flow.probe}")
