"""What must be true of what carries the simulated cloud's networks: segments, tunnels, and the switch between hosts."""

from collections import Counter
from collections.abc import Iterable, Iterator

import msgspec

from micronova.network.db import Network
from micronova.network.driver import SegmentSpec, TunnelPeer
from micronova.sim.snapshot import Snapshot

WITHOUT_SEGMENTS = "flat"


def no_segment_twice(now: Snapshot) -> Iterator[str]:
    """Each network has the segment that is recorded for it; no other has the same."""
    said = {id: (row.network_type, row.physical_network, row.segmentation_id) for id, row in now.segments.items()}
    for network in now.networks.values():
        if network.network_type == WITHOUT_SEGMENTS:
            continue
        own = (network.network_type, network.physical_network or "", network.segmentation_id)
        if said.pop(network.id, None) != own:
            yield f"network {network.id} has segment {own}, which nobody recorded for it"
    for id, kept in sorted(said.items()):
        yield f"segment {kept} is kept for network {id}, which doesn't have it"
    for segment, count in Counter(_segment(row) for row in now.networks.values()).items():
        if count > 1 and segment is not None:
            yield f"segment {segment} is given {count} times"


def _segment(network: Network) -> tuple[str, str | None, int | None] | None:
    if network.network_type == WITHOUT_SEGMENTS:
        return None
    return network.network_type, network.physical_network, network.segmentation_id


# -- once everything has healed


def hosts_know_each_other(now: Snapshot) -> Iterator[str]:
    """What a host was told of a network's other hosts is where its ports are."""
    for name, machine in now.machines.items():
        for id, segment in sorted(machine.network.segments.items()):
            network = now.networks.get(id)
            if network is not None and segment != _wanted(now, network, name):
                yield f"{name} does not know where the ports of network {id} are"


def the_switch_carries_what_hosts_need(now: Snapshot) -> Iterator[str]:
    """The VLANs of the networks that a host has, and no others, reach it; no network says otherwise."""
    for name, vlans in now.carried.items():
        there = (row for row in now.networks.values() if row.network_type == "vlan" and name in _hosts(now, row.id))
        wanted = {row.segmentation_id for row in there}
        if vlans != wanted:
            yield f"the switch carries VLANs {sorted(vlans)} to {name}, which needs {sorted(wanted, key=str)}"
    for network in now.networks.values():
        if network.status != "ACTIVE":
            yield f"network {network.id} is still {network.status}"


def _wanted(now: Snapshot, network: Network, host: str) -> SegmentSpec:
    if network.network_type == WITHOUT_SEGMENTS:
        return SegmentSpec()
    remote = [port for port in _real(now, [network.id]) if port[0] != host]
    segment = SegmentSpec(
        network_type=network.network_type,
        physical_network=network.physical_network,
        id=network.segmentation_id,
        neighbours=tuple(sorted((ip, mac) for _, mac, ips in remote for ip in ips)),
    )
    if network.network_type != "vxlan":
        return segment
    peers = tuple(
        TunnelPeer(address=now.tunnels[other].address, macs=tuple(sorted(mac for at, mac, _ in remote if at == other)))
        for other in sorted(_hosts(now, network.id) - {host})
    )
    return msgspec.structs.replace(segment, local=now.tunnels[host].address, peers=peers)


def _hosts(now: Snapshot, network_id: str) -> set[str]:
    """Hosts that have the network: with ports of it, or of one that routers join with it."""
    joined, before = {network_id}, set[str]()
    while joined != before:
        before = set(joined)
        routers = {row.router_id for row in now.router_ports if row.network_id in joined}
        joined |= {row.network_id for row in now.router_ports if row.router_id in routers}
    return {host for host, _, _ in _real(now, joined)}


def _real(now: Snapshot, network_ids: Iterable[str]) -> list[tuple[str, str, tuple[str, ...]]]:
    """Host, MAC and addresses of the networks' real ports."""
    wanted = set(network_ids)
    ports = (port for port in now.ports.values() if port.network_id in wanted and port.host and port.status == "ACTIVE")
    return [(port.host, port.mac, tuple(fixed.ip for fixed in port.fixed_ips)) for port in ports]
