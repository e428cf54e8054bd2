"""Rows of port forwardings, and the questions asked of them."""

from collections.abc import Iterable
from typing import Annotated, ClassVar

from micronova.db import INDEX, Tx
from micronova.network.db.standard import Standard


class PortForwarding(Standard, frozen=True, kw_only=True):
    """Some ports of a floating IP that stand for ports of one address of a port, which is on `fixed_network_id`.

    Ranges are "first:last"; a port alone is there too where a range has just one.
    """

    TABLE: ClassVar[str] = "port_forwardings"

    floatingip_id: Annotated[str, INDEX]
    protocol: str
    external_port: int | None
    external_port_range: str
    internal_port: int | None
    internal_port_range: str
    internal_port_id: Annotated[str, INDEX]
    internal_ip_address: str
    fixed_network_id: Annotated[str, INDEX]


def forwardings_of(tx: Tx, floatingip_ids: Iterable[str]) -> dict[str, list[PortForwarding]]:
    """Forwardings by floating IP, oldest first; floating IPs without any are missing."""
    found: dict[str, list[PortForwarding]] = {}
    wanted = sorted(set(floatingip_ids))
    order = (("created_at", True), ("id", True))
    for row in tx.find(PortForwarding, floatingip_id=wanted, order=order) if wanted else ():
        found.setdefault(row.floatingip_id, []).append(row)
    return found
