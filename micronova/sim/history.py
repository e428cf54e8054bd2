"""What happened, compared: does the journal explain every row, and were two lives the same?"""

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from micronova.db import Row, Tx
from micronova.db.journal import REDACTED, Entry
from micronova.sim.world import ROWS
from micronova.tasks import Task

COUNTED = ("revision", "seq", "number", "serial")
"""Fields that the database counts itself: the journal says what they were before it did."""


def unexplained(tx: Tx) -> Iterator[str]:
    """Rows that are not what the journal says became of them."""
    told = _replay(tx)
    for cls in ROWS:
        if not cls.JOURNAL:
            continue
        rows = {str(getattr(row, _key(cls))): _plain(row) for row in tx.find(cls)}
        known = told.get(cls.TABLE, {})
        for id in sorted(set(rows) ^ set(known)):
            yield f"{cls.__name__} {id} {'has no' if id in rows else 'is gone without a'} line in the journal"
        for id in sorted(set(rows) & set(known)):
            wrong = [name for name, value in rows[id].items() if _differ(value, known[id].get(name))]
            if wrong:
                yield f"{cls.__name__} {id} is not what the journal says: {', '.join(wrong)}"


def digest(tx: Tx) -> str:
    """A sum over the journal and the tasks, as they are stored."""
    total = hashlib.sha256()
    for cls in (Entry, Task):
        for row in tx.find(cls, order=(("seq", True),)):
            total.update(msgspec.json.encode(row))
    return total.hexdigest()


def _replay(tx: Tx) -> dict[str, dict[str, dict[str, Any]]]:
    told: dict[str, dict[str, dict[str, Any]]] = {}
    for entry in tx.find(Entry, order=(("seq", True),)):
        rows = told.setdefault(entry.table_name, {})
        if entry.op == "delete":
            rows.pop(entry.row_id, None)
        else:
            rows[entry.row_id] = {**rows.get(entry.row_id, {}), **entry.after}
    return told


def _key(cls: type[Row]) -> str:
    return {"allocations": "consumer_id", "aggregates": "uuid"}.get(cls.TABLE, "id")


def _plain(row: Row) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(row))
    return {name: value for name, value in plain.items() if name not in COUNTED}


def _differ(value: Any, told: Any) -> bool:
    return bool(told != REDACTED and value != told)
