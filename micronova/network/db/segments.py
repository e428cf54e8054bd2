"""Rows of what carries networks between hosts: segments that are given, ends of tunnels, ports of switches."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, ClassVar

import msgspec
import sqlalchemy as sa

from micronova.db import INDEX, KEY, Row, Tx, table
from micronova.network.db.layer2 import FixedIp, Pair, Port


class GivenSegment(Row, frozen=True, kw_only=True):
    """A segment that is given to network `id`. Without a physical network that is "", without an id 0.

    Neither may be NULL: the database would take two NULLs for different, and give the segment twice.
    """

    TABLE: ClassVar[str] = "segments"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("network_type", "physical_network", "segmentation_id"),)
    JOURNAL: ClassVar[bool] = False

    id: Annotated[str, KEY]
    network_type: str
    physical_network: str = ""
    segmentation_id: int = 0


class TunnelEndpoint(Row, frozen=True, kw_only=True):
    """The address by which other hosts reach the tunnels of host `id`."""

    TABLE: ClassVar[str] = "tunnel_endpoints"

    id: Annotated[str, KEY]
    address: str


class SwitchPlace(Row, frozen=True, kw_only=True):
    """Where a host hangs on a switch: VLANs that its ports there carry, and those they may carry by our doing.

    The latter are more while a change is under way, so that what a crash leaves there is known.
    """

    TABLE: ClassVar[str] = "switch_places"

    id: Annotated[str, KEY]
    switch: Annotated[str, INDEX]
    host: str
    carries: tuple[int, ...] = ()
    may_carry: tuple[int, ...] = ()


class SwitchState(Row, frozen=True, kw_only=True):
    """When switch `id` was last asked to be as it shall be, and why it is not; "" for nothing.

    It is left alone until `again_at`, where that says a time.
    """

    TABLE: ClassVar[str] = "switch_states"
    JOURNAL: ClassVar[bool] = False

    id: Annotated[str, KEY]
    trouble: str = ""
    asked_at: datetime
    again_at: datetime | None = None


class RealPort(msgspec.Struct, frozen=True):
    """A real port, where it is, and what it may use besides its own address: (address or range, MAC)."""

    host: str
    mac: str
    ips: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...] = ()


NO_PAIRS = "[]"
_S, _P = table(GivenSegment), table(Port)
_RANGE = (
    _S.c.network_type == sa.bindparam("network_type", type_=sa.Text()),
    _S.c.physical_network == sa.bindparam("physical_network", type_=sa.Text()),
    _S.c.segmentation_id >= sa.bindparam("first", type_=sa.BigInteger()),
    _S.c.segmentation_id <= sa.bindparam("last", type_=sa.BigInteger()),
)
_IDS = sa.select(_S.c.segmentation_id).where(*_RANGE)
_TAKEN = _IDS.order_by(_S.c.segmentation_id).limit(sa.bindparam("most", type_=sa.Integer()))
_HIGHEST = _IDS.order_by(_S.c.segmentation_id.desc()).limit(1)
_REAL = (
    _P.c.network_id == sa.bindparam("network_id", type_=sa.Text()),
    _P.c.status == sa.literal_column("'ACTIVE'"),
    _P.c.host != sa.literal_column("''"),
)
_REAL_PORTS = (
    sa.select(_P.c.host, _P.c.mac, _P.c.fixed_ips, _P.c.allowed_pairs)
    .where(
        *_REAL,
        sa.or_(
            _P.c.host != sa.bindparam("host", type_=sa.Text()), _P.c.allowed_pairs != sa.literal_column(f"'{NO_PAIRS}'")
        ),
    )
    .order_by(_P.c.host, _P.c.id)
)
_REAL_NETWORKS = (
    sa.select(_P.c.network_id).distinct().where(*_REAL[1:], _P.c.host == sa.bindparam("host", type_=sa.Text()))
)
_ALL_REAL_NETWORKS = sa.select(_P.c.network_id).distinct().where(*_REAL[1:])
_REAL_HOSTS = sa.select(_P.c.host).distinct().where(*_REAL)
_decode_ips = msgspec.json.Decoder(tuple[FixedIp, ...]).decode
_decode_pairs = msgspec.json.Decoder(tuple[Pair, ...]).decode


def segments_taken(tx: Tx, like: GivenSegment, first: int, last: int, most: int) -> list[int]:
    """The lowest `most` ids given from a range of the same type and physical network, in order."""
    kind, physical = like.network_type, like.physical_network
    found = tx.values(_TAKEN, network_type=kind, physical_network=physical, first=first, last=last, most=most)
    return [row[0] for row in found]


def highest_segment(tx: Tx, like: GivenSegment, first: int, last: int) -> int | None:
    """The highest id given from a range of the same type and physical network."""
    kind, physical = like.network_type, like.physical_network
    found = tx.values(_HIGHEST, network_type=kind, physical_network=physical, first=first, last=last)
    return found[0][0] if found else None


def real_ports(tx: Tx, network_id: str, host: str) -> Iterator[RealPort]:
    """The network's real ports on all other hosts, by host, and those on this one that may use further addresses."""
    for there, mac, ips, pairs in tx.values(_REAL_PORTS, network_id=network_id, host=host):
        more = () if pairs == NO_PAIRS else tuple((pair.ip, pair.mac or mac) for pair in _decode_pairs(pairs))
        yield RealPort(there, mac, tuple(fixed.ip for fixed in _decode_ips(ips)), more)


def real_hosts(tx: Tx, network_id: str) -> set[str]:
    """Hosts with real ports of the network."""
    return {row[0] for row in tx.values(_REAL_HOSTS, network_id=network_id)}


def real_networks(tx: Tx, host: str) -> set[str]:
    """Networks with real ports on this host."""
    return {row[0] for row in tx.values(_REAL_NETWORKS, host=host)}


def all_real_networks(tx: Tx) -> set[str]:
    """Networks with real ports on any host."""
    return {row[0] for row in tx.values(_ALL_REAL_NETWORKS)}
