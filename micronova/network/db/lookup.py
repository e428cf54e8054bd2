"""Rows by what they belong to."""

from collections.abc import Iterable, Sequence
from typing import Any

from micronova.db import Tx
from micronova.network.db.layer2 import Port


def ports_of_devices(tx: Tx, device_ids: Sequence[str]) -> list[Port]:
    """Ports of these servers in the order of their interfaces."""
    return tx.find(Port, device_id=list(device_ids), order=(("position", True), ("id", True)))


def by_id(rows: Iterable[Any]) -> dict[str, Any]:
    return {row.id: row for row in rows}


def find_all(tx: Tx, cls: type[Any], ids: Iterable[str]) -> dict[str, Any]:
    """Rows with these ids, by id; those that are not there are missing."""
    wanted = sorted(set(ids))
    return by_id(tx.find(cls, id=wanted)) if wanted else {}
