"""The journal: one line for every row that was inserted, changed or deleted, in the order it happened."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
import sqlalchemy as sa

from micronova.context import Context
from micronova.db.rows import INDEX, KEY, SERIAL, Row, table
from micronova.db.statements import Less

if TYPE_CHECKING:
    from micronova.db.tx import Tx

REDACTED = "***"


class Entry(Row, frozen=True, kw_only=True):
    """Who changed which row, when, why. `before` and `after` hold the fields that differ; secrets are redacted."""

    TABLE: ClassVar[str] = "journal"
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("table_name", "row_id"),)
    JOURNAL: ClassVar[bool] = False

    seq: Annotated[int, SERIAL] = 0
    id: Annotated[str, KEY]
    at: Annotated[datetime, INDEX]
    table_name: str
    row_id: str
    op: str
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    why: str = ""
    request_id: Annotated[str, INDEX] = ""
    user_id: str = ""
    project_id: str = ""


class Change(msgspec.Struct, frozen=True):
    """One change within a transaction, before it has a place in the journal."""

    op: str
    cls: type[Row]
    row_id: str
    before: dict[str, Any]
    after: dict[str, Any]


def entry(change: Change, ctx: Context, why: str, at: datetime, id: str) -> Entry:
    """The journal's line for a change."""
    return Entry(
        id=id,
        at=at,
        table_name=change.cls.TABLE,
        row_id=change.row_id,
        op=change.op,
        before=change.before,
        after=change.after,
        why=why,
        request_id=ctx.request_id,
        user_id=ctx.user_id,
        project_id=ctx.project_id,
    )


def trim(tx: "Tx", days: int, most: int = 1000) -> int:
    """Forget lines older than `days`, oldest first, at most so many; returns how many were forgotten."""
    old = tx.find(Entry, at=Less(tx.now - timedelta(days=days)), order=(("seq", True),), limit=most)
    for entry in old:
        tx.delete(entry)
    return len(old)


def newest_entry(tx: "Tx") -> int:
    """The number of the newest line: while it stays the same, no row that is journalled was changed.

    On PostgreSQL a transaction that began earlier may still commit a smaller one.
    """
    found = tx.values(_NEWEST)[0][0]
    return int(found) if found is not None else 0


_NEWEST = sa.select(sa.func.max(table(Entry).c.seq))
