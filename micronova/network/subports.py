"""Ports that a trunk carries: they are where the trunk's own port is, and real when that is."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from micronova.db import Tx
from micronova.network import db
from micronova.network.db import Port, SubPort, Trunk
from micronova.network.refusals import refusal

OWNER = "trunk:subport"
ACTIVE, DEGRADED, DOWN = "ACTIVE", "DEGRADED", "DOWN"


def follow(tx: Tx, parent: Port) -> None:
    """The ports that this port's trunk carries are bound where it is, and not real yet."""
    trunk = tx.first(Trunk, port_id=parent.id)
    if trunk is None:
        return
    for port in _ports(tx, trunk):
        if port.host != parent.host:
            bind(tx, port, parent.host)
    if trunk.status != DOWN:
        tx.change(trunk, status=DOWN, updated_at=tx.now)


def bind(tx: Tx, port: Port, host: str, owner: str = OWNER) -> Port:
    """The port is bound there, and not real yet."""
    bound = tx.change(port, device_owner=owner, host=host, status=DOWN, updated_at=tx.now)
    db.follow_port(tx, bound)
    return bound


def dissolve(tx: Tx, parent: Port) -> None:
    """The port, which goes away, carries nothing any more: its trunk is gone, and what that carried is free."""
    trunk = tx.first(Trunk, port_id=parent.id)
    if trunk is None:
        return
    for port in _ports(tx, trunk):
        free(tx, port)
    tx.delete(trunk)


def free(tx: Tx, port: Port) -> Port:
    """No trunk carries the port."""
    tx.delete(tx.get(SubPort, port.id))
    return bind(tx, port, "", owner="")


def check_free(tx: Tx, port: Port) -> None:
    """Raises InUse while the port carries others, or is carried."""
    sub_port = tx.first(SubPort, id=port.id)
    if sub_port is not None:
        raise refusal("PortInUseAsSubPort", f"Port {port.id} is currently a subport for trunk {sub_port.trunk_id}.")
    trunk = tx.first(Trunk, port_id=port.id)
    if trunk is not None:
        raise refusal("PortInUseAsTrunkParent", f"Port {port.id} is currently a parent port for trunk {trunk.id}.")


def details(tx: Tx, port_ids: Iterable[str]) -> dict[str, tuple[Trunk, list[tuple[SubPort, str]]]]:
    """By port that carries others: its trunk, and what that carries with MACs."""
    trunks = db.trunks_of_ports(tx, port_ids)
    carried = db.sub_ports_of(tx, (trunk.id for trunk in trunks.values()))
    macs = db.find_all(tx, Port, (row.id for rows in carried.values() for row in rows))
    return {id: (trunk, [(row, macs[row.id].mac) for row in carried.get(trunk.id, ())]) for id, trunk in trunks.items()}


def is_carried(tx: Tx, port_id: str) -> bool:
    """Whether a trunk carries the port."""
    return bool(tx.count(SubPort, id=port_id))


# -- for hosts


def wanted(tx: Tx, host: str, parents: Iterable[Port]) -> list[Port]:
    """The ports that trunks of these carry on this host, in order of id."""
    trunks = db.trunks_of_ports(tx, (port.id for port in parents))
    rows = db.sub_ports_of(tx, (trunk.id for trunk in trunks.values()))
    ports = db.find_all(tx, Port, (row.id for carried in rows.values() for row in carried))
    return [port for _, port in sorted(ports.items()) if port.host == host]


def carriers(tx: Tx, ports: Iterable[Port]) -> dict[str, tuple[str, int]]:
    """By port that is carried: the port that carries it, and under which tag."""
    rows: Mapping[str, SubPort] = db.find_all(tx, SubPort, (port.id for port in ports))
    trunks: Mapping[str, Trunk] = db.find_all(tx, Trunk, (row.trunk_id for row in rows.values()))
    return {id: (trunks[row.trunk_id].port_id, row.segmentation_id) for id, row in rows.items()}


def settle(tx: Tx, parents: Collection[Port], real: Collection[str]) -> list[Port]:
    """Trunks of these ports, and what they carry, say what is so; returns the ports of which that is news.

    `real` are the ports that this host has. A trunk is ACTIVE when all that it carries are, else DEGRADED.
    """
    changed = [tx.change(row, status=status, updated_at=tx.now) for row, status in differing(tx, parents, real)]
    return [row for row in changed if isinstance(row, Port)]


def differing(tx: Tx, parents: Collection[Port], real: Collection[str]) -> list[tuple[Any, str]]:
    """Ports and trunks of these parents that say of themselves what isn't so, with what is.

    `real` are the ports that this host has. A trunk is ACTIVE when all that it carries are, else DEGRADED.
    """
    trunks = db.trunks_of_ports(tx, (port.id for port in parents))
    found: list[tuple[Any, str]] = []
    for trunk in trunks.values():
        ports = _ports(tx, trunk)
        for port in ports:
            found.append((port, ACTIVE if port.id in real else DOWN))
        found.append((trunk, ACTIVE if all(port.id in real for port in ports) else DEGRADED))
    return [(row, status) for row, status in found if row.status != status]


def _ports(tx: Tx, trunk: Trunk) -> list[Port]:
    rows = db.sub_ports_of(tx, [trunk.id]).get(trunk.id, [])
    return [tx.get(Port, row.id) for row in rows]
