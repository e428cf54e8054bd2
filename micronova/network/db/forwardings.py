"""Rows of port forwardings, and the questions asked of them."""

from collections.abc import Iterable
from typing import Annotated, ClassVar

from micronova.db import INDEX, Tx
from micronova.network.db.layer2 import Port
from micronova.network.db.lookup import find_all
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


def places_of(tx: Tx, floatingip_ids: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Hosts of the ports that floating IPs' forwardings lead to, by floating IP, the oldest forwarding's first.

    The first is where the floating IP is; floating IPs that lead to no host are missing.
    """
    forwardings = forwardings_of(tx, floatingip_ids)
    ports: dict[str, Port] = find_all(tx, Port, (row.internal_port_id for rows in forwardings.values() for row in rows))
    found = {id: [ports[row.internal_port_id].host for row in rows] for id, rows in forwardings.items()}
    return {id: tuple(dict.fromkeys(filter(None, hosts))) for id, hosts in found.items() if any(hosts)}


def hosts_beside(tx: Tx, port_id: str) -> set[str]:
    """Hosts of the ports that have a floating IP's ports together with this one."""
    ids = {row.floatingip_id for row in tx.find(PortForwarding, internal_port_id=port_id)}
    return {host for hosts in places_of(tx, ids).values() for host in hosts}
