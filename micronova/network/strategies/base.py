"""StrategyManager: what the managers of all network types share. A strategy fills in the hooks that differ for it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

import msgspec

from micronova.db import Database, Tx
from micronova.errors import Error
from micronova.manager import Manager, Runtime
from micronova.network import db, segments
from micronova.network.db import GivenSegment, Network, RealPort
from micronova.network.driver import SegmentSpec
from micronova.network.refusals import invalid
from micronova.network.room import Room
from micronova.network.segments import Range
from micronova.network.strategy import Hooks, Segment, none_left


class StrategyManager(Manager, Hooks):
    """Networks of one type. A third party's is a subclass with a topic and a network_type of its own."""

    network_type: ClassVar[str] = ""
    spans_hosts: ClassVar[bool] = False
    ours: ClassVar[bool] = True

    def __init__(self, runtime: Runtime, host: str | None = None, db_driver: Database | None = None) -> None:
        Manager.__init__(self, runtime, host, db_driver)
        self.options = self.config.options.network
        Hooks.__init__(self, self.options.mtu)
        self._room: Room | None = None

    def enter(self, room: Room) -> None:
        """From now on it decides for this room."""
        self._room = room

    @property
    def room(self) -> Room:
        """The room it decides for. Raises RuntimeError before `enter`."""
        if self._room is None:
            raise RuntimeError(f"{type(self).__name__} was given to no network manager")
        return self._room

    # -- for subclasses

    def take(self, tx: Tx, network_id: str, segment: Segment, taken: Error) -> Segment:
        """The segment is the network's. Raises `taken` when another one has it."""
        wanted = self.given(network_id, segment)
        if segments.is_taken(tx, wanted):
            raise taken
        tx.insert(wanted)
        return segment

    def take_free(self, tx: Tx, network_id: str, ranges: Iterable[Range]) -> Segment:
        """A free segment of these ranges is the network's. Raises Conflict when there is none."""
        like = self.given(network_id, Segment(self.network_type))
        found = segments.next_free(tx, like, ranges, self._passed_over())
        if found is None:
            raise none_left()
        return Segment(self.network_type, found.physical_network or None, found.segmentation_id)

    def _passed_over(self) -> int:
        """How many free segments to leave to other writers, that look at the same moment."""
        return self.clock.randbelow(self.room.spread) if self.room.spread > 1 else 0

    def given(self, network_id: str, segment: Segment) -> GivenSegment:
        """The row that records a segment as given."""
        return GivenSegment(
            id=network_id,
            network_type=self.network_type,
            physical_network=segment.physical_network or "",
            segmentation_id=segment.segmentation_id or 0,
        )

    def check_id(self, asked: int, highest: int) -> None:
        """Raises BadRequest for an id that no segment of this type can have."""
        if not 1 <= asked <= highest:
            raise invalid(f"segmentation_id out of range (1 through {highest})")

    def check_no_id(self, asked: Segment) -> None:
        """Raises BadRequest for an id where segments have none."""
        if asked.segmentation_id is not None:
            raise invalid(f"segmentation_id specified for a {self.network_type} network")


class SpanningManager(StrategyManager):
    """Networks whose ports are on one wire, whatever host they are on, with a gateway on each host."""

    spans_hosts: ClassVar[bool] = True

    def segment_spec(self, tx: Tx, network: Network, host: str) -> SegmentSpec:
        """What the row says, and who is on the other hosts."""
        found = neighbours(list(db.real_ports(tx, network.id, host)), host)
        return msgspec.structs.replace(super().segment_spec(tx, network, host), neighbours=found)


def neighbours(ports: Sequence[RealPort], host: str) -> tuple[tuple[str, str], ...]:
    """Address and MAC of what is on other hosts than this one, in order. Of ports here, those with pairs are needed."""
    own = {(ip, port.mac) for port in ports if port.host != host for ip in port.ips}
    return tuple(sorted(own | set(_shared(ports, host))))


def _shared(ports: Sequence[RealPort], host: str) -> Iterator[tuple[str, str]]:
    """Addresses that ports may use besides their own, with the MAC of who does.

    Of several that may, nobody here knows who does. One on this host can be asked, so that nothing is told; else it is
    the first, which is right until the address moves. Ranges are nobody's address.
    """
    taken = {ip for port in ports for ip in port.ips}
    users: dict[str, list[tuple[str, str]]] = {}
    for port in ports:
        for address, mac in port.pairs:
            ip = address.removesuffix("/128" if ":" in address else "/32")
            if "/" not in ip and ip not in taken:
                users.setdefault(ip, []).append((port.host, mac))
    for ip, having in users.items():
        macs = {mac for _, mac in having}
        hosts = {there for there, _ in having}
        if hosts != {host} and (len(macs) == 1 or host not in hosts):
            yield ip, having[0][1]
