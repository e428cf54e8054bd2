"""VxlanManager: networks in tunnels over the hosts' own addresses; who is where is told by the managers, no multicast.

A host says by a row where its end of the tunnels is. Each host of a network is told which MACs are behind which end.
"""

from collections.abc import Sequence
from typing import ClassVar

from micronova.context import Context
from micronova.db import Database, Tx
from micronova.manager import Runtime, periodic
from micronova.network import db, reach, tunnels
from micronova.network.db import Network, RealPort, TunnelEndpoint
from micronova.network.driver import SegmentSpec, TunnelPeer
from micronova.network.refusals import invalid, refusal
from micronova.network.segments import vni_ranges
from micronova.network.strategies.base import SpanningManager, neighbours
from micronova.network.strategy import Segment

HIGHEST_VNI = (1 << 24) - 1
WRAPPED_IN_IPV4, WRAPPED_IN_IPV6 = 50, 70
"""Bytes around a packet: inner Ethernet 14, VXLAN 8, UDP 8, IP 20 or 40 (RFC 7348, section 5)."""


class VxlanManager(SpanningManager):
    """Networks in tunnels."""

    topic = "network_vxlan"
    network_type: ClassVar[str] = "vxlan"

    def __init__(
        self, runtime: Runtime, host: str | None = None, db_driver: Database | None = None, *, address: str = ""
    ) -> None:
        """`address` is this host's end of the tunnels, by default the configured one."""
        super().__init__(runtime, host, db_driver)
        self.ranges = vni_ranges("network.vni_ranges", self.options.vni_ranges, HIGHEST_VNI)
        self.address = tunnels.own_address(address or self.options.tunnel_address)
        self._named = bool(address or self.options.tunnel_address)

    async def init_host(self, ctx: Context) -> None:
        """Other hosts know where this host's end of the tunnels is."""
        await self.announce(ctx)

    @periodic(every=60)
    async def announce(self, ctx: Context) -> None:
        """Other hosts know this host's address, also after it has changed."""
        if not self._named:
            self.address = tunnels.own_address("")

        def record(tx: Tx) -> None:
            known = tx.first(TunnelEndpoint, id=self.host)
            if known is not None and known.address == self.address:
                return
            if known is None:
                tx.insert(TunnelEndpoint(id=self.host, address=self.address))
            else:
                tx.change(known, address=self.address)
            self.room.tell(tx, ctx, {row.id for row in tx.find(TunnelEndpoint)})

        await self.db.write(record, ctx, why="this host's end of the tunnels")

    def allocate(self, tx: Tx, network_id: str, asked: Segment) -> Segment:
        """The VNI asked for, or the next of the ranges. Raises BadRequest, Conflict."""
        if asked.physical_network:
            raise invalid("provider:physical_network specified for vxlan network")
        vni = asked.segmentation_id
        if vni is None:
            return self.take_free(tx, network_id, self.ranges)
        self.check_id(vni, HIGHEST_VNI)
        taken = refusal("TunnelIdInUse", f"Unable to create the network. The tunnel ID {vni} is in use.")
        return self.take(tx, network_id, Segment(self.network_type, None, vni), taken)

    def largest_mtu(self) -> int:
        """The configured MTU without what is wrapped around each packet."""
        return self.mtu - (WRAPPED_IN_IPV6 if ":" in self.address else WRAPPED_IN_IPV4)

    def segment_spec(self, tx: Tx, network: Network, host: str) -> SegmentSpec:
        """The tunnels to all other hosts that have the network: with ports of it, or of one that routers join with it.

        Two hosts of one address, or hosts that nobody else can reach, have no tunnel between them.
        """
        ports = list(db.real_ports(tx, network.id, host))
        ends = {row.id: row.address for row in tx.find(TunnelEndpoint)}
        local = ends.get(host, "")
        there = reach.real_hosts(tx, [network.id]) - {host}
        reached = {other: ends[other] for other in sorted(there) if _tunnelled(local, ends.get(other, ""))}
        return SegmentSpec(
            network_type=self.network_type,
            id=network.segmentation_id,
            local=local,
            peers=_peers(reached, ports),
            neighbours=neighbours(ports, host),
        )


def _tunnelled(local: str, far: str) -> bool:
    ends = (local, far)
    return local != far and all(end and tunnels.is_reached(end) for end in ends)


def _peers(reached: dict[str, str], ports: Sequence[RealPort]) -> tuple[TunnelPeer, ...]:
    """Each end with the MACs behind it, in order of the hosts' names."""
    macs: dict[str, list[str]] = {host: [] for host in reached}
    for port in ports:
        if port.host in macs:
            macs[port.host].append(port.mac)
    return tuple(TunnelPeer(address=reached[host], macs=tuple(sorted(found))) for host, found in macs.items())
