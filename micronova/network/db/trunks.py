"""Rows of trunks and the ports that they carry."""

from collections.abc import Iterable
from typing import Annotated, ClassVar

from micronova.db import INDEX, KEY, UNIQUE, Row, Tx
from micronova.network.db.standard import Standard


class Trunk(Standard, frozen=True, kw_only=True):
    """What makes a port, `port_id`, carry other ones in its frames, each under a VLAN tag of its own."""

    TABLE: ClassVar[str] = "trunks"

    port_id: Annotated[str, UNIQUE]
    status: str = "DOWN"
    admin_state_up: bool = True


class SubPort(Row, frozen=True, kw_only=True):
    """Port `id` is carried by a trunk under a tag; `position` is its place in the trunk's list."""

    TABLE: ClassVar[str] = "trunk_sub_ports"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("trunk_id", "segmentation_type", "segmentation_id"),)

    id: Annotated[str, KEY]
    trunk_id: Annotated[str, INDEX]
    segmentation_type: str
    segmentation_id: int
    position: int = 0


def sub_ports_of(tx: Tx, trunk_ids: Iterable[str]) -> dict[str, list[SubPort]]:
    """The ports that trunks carry, by trunk, in the order they came; trunks without any are missing."""
    found: dict[str, list[SubPort]] = {}
    wanted = sorted(set(trunk_ids))
    order = (("position", True), ("id", True))
    for row in tx.find(SubPort, trunk_id=wanted, order=order) if wanted else ():
        found.setdefault(row.trunk_id, []).append(row)
    return found


def trunks_of_ports(tx: Tx, port_ids: Iterable[str]) -> dict[str, Trunk]:
    """Trunks by the port that carries; ports that carry none are missing."""
    wanted = sorted(set(port_ids))
    return {row.port_id: row for row in tx.find(Trunk, port_id=wanted)} if wanted else {}
