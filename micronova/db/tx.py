"""What a transaction function may do. It is synchronous: it can't wait for a driver or another host."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol, TypeVar

import msgspec
import sqlalchemy as sa

from micronova.clock import Clock
from micronova.context import Context
from micronova.db import journal
from micronova.db.rows import Row
from micronova.db.statements import Plan, Query, Sql
from micronova.errors import Duplicate, NotFound, Stale

R = TypeVar("R", bound=Row)


class Cursor(Protocol):
    """The part of PEP 249 we use."""

    rowcount: int

    def execute(self, sql: Any, parameters: Any = ..., /) -> Any: ...
    def executemany(self, sql: Any, parameters: Any, /) -> Any: ...
    def __iter__(self) -> Iterator[Any]: ...
    def fetchall(self) -> list[Any]: ...
    def fetchone(self) -> Any: ...
    def close(self) -> Any: ...


class Plans(Protocol):
    """What a transaction asks of its database."""

    clock: Clock

    def plan(self, cls: type[R], /) -> Plan[R]: ...
    def sql(self, statement: sa.ClauseElement, /) -> Sql: ...
    def is_duplicate(self, err: Exception, /) -> bool: ...


class Tx:
    """One transaction. All of it happens, or none."""

    def __init__(self, plans: Plans, cursor: Cursor, ctx: Context | None = None, why: str = "") -> None:
        self._plans = plans
        self._cursor = cursor
        self.ctx = ctx
        self.why = why
        self.changes: list[journal.Change] = []
        self.callbacks: list[Callable[[], Awaitable[None]]] = []
        self.now = plans.clock.now()

    # -- reading

    def get(self, cls: type[R], id: str) -> R:
        """The row with this key. Raises NotFound when there is none."""
        where: dict[str, Any] = {self._plans.plan(cls).key: id}
        row = self.first(cls, **where)
        if row is None:
            raise NotFound(f"{cls.__name__} {id} could not be found.", id=id)
        return row

    def first(self, cls: type[R], *, order: tuple[tuple[str, bool], ...] = (), **where: Any) -> R | None:
        """The first row that matches, or None."""
        rows = self.find(cls, order=order, limit=1, **where)
        return rows[0] if rows else None

    def find(
        self,
        cls: type[R],
        *,
        order: tuple[tuple[str, bool], ...] = (),
        after: R | None = None,
        limit: int | None = None,
        **where: Any,
    ) -> list[R]:
        """All rows that match (statements.py says how), sorted by (column, ascending) pairs, behind row `after`.

        Nulls come first; rows that `order` leaves equal are sorted by their key.
        """
        plan = self._plans.plan(cls)
        sql, values = plan.find(Query(where=where, order=order, after=after, limit=limit))
        self._cursor.execute(sql.text, sql.arguments(values))
        return plan.load(self._cursor)

    def count(self, cls: type[Row], **where: Any) -> int:
        """How many rows match."""
        sql, values = self._plans.plan(cls).find(Query(where=where, count=True))
        self._cursor.execute(sql.text, sql.arguments(values))
        return int(self._cursor.fetchone()[0])

    def rows(self, cls: type[R], statement: sa.ClauseElement, **values: Any) -> list[R]:
        """Rows of a statement that selects every column of `cls` in order. The statement must be a constant."""
        return self._plans.plan(cls).load(self.values(statement, **values))

    def values(self, statement: sa.ClauseElement, **values: Any) -> list[Any]:
        """Tuples of any select. The statement must be a constant: it is compiled once and kept."""
        sql = self._plans.sql(statement)
        self._cursor.execute(sql.text, sql.arguments(values))
        return self._cursor.fetchall()

    # -- writing

    def insert(self, row: R) -> R:
        """Store a new row; returns it (with its serial number). Raises Duplicate when a unique column is taken."""
        plan: Plan[R] = self._plans.plan(type(row))
        self._execute(row, plan.insert.text, plan.store(row))
        if plan.serial is not None:
            row = msgspec.structs.replace(row, **{plan.serial: self._cursor.fetchone()[0]})
        self._note("insert", plan, row, {}, msgspec.to_builtins(row) if row.JOURNAL else {})
        return row

    def change(self, row: R, **fields: Any) -> R:
        """Store new values of some fields; returns the new row. Fields that are the same already cost nothing.

        Raises Stale when somebody changed or deleted the row since it was read, Duplicate when a unique value is taken.
        """
        plan: Plan[R] = self._plans.plan(type(row))
        differ = {name: value for name, value in fields.items() if getattr(row, name) != value}
        if not differ:
            return row
        sql = plan.change(tuple(differ))
        values = {f"new_{name}": plan.store_value(name, value) for name, value in differ.items()}
        self._compare_and_swap(plan, row, sql, values)
        before = {name: getattr(row, name) for name in differ} if row.JOURNAL else {}
        self._note("change", plan, row, msgspec.to_builtins(before), msgspec.to_builtins(differ) if row.JOURNAL else {})
        return msgspec.structs.replace(row, revision=row.revision + 1, **differ)

    def delete(self, row: Row) -> None:
        """Remove the row. Raises Stale when somebody changed or deleted it since it was read."""
        plan: Plan[Row] = self._plans.plan(type(row))
        self._compare_and_swap(plan, row, plan.delete(), {})
        self._note("delete", plan, row, msgspec.to_builtins(row) if row.JOURNAL else {}, {})

    def after_commit(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Await `callback` once this transaction is durable; its failure is logged, never raised."""
        self.callbacks.append(callback)

    # -- inside

    def _compare_and_swap(self, plan: Plan[R], row: R, sql: Sql, values: dict[str, Any]) -> None:
        values = {**values, "_key": getattr(row, plan.key), "_revision": row.revision}
        self._execute(row, sql.text, sql.arguments(values))
        if self._cursor.rowcount != 1:
            raise Stale(f"{type(row).__name__} {getattr(row, plan.key)} was changed by somebody else.")

    def _execute(self, row: Row, text: str, values: tuple[Any, ...]) -> None:
        if self.ctx is None:
            raise TypeError("a read transaction changes nothing: give it to db.write")
        try:
            self._cursor.execute(text, values)
        except Exception as err:
            if self._plans.is_duplicate(err):
                raise Duplicate(f"{type(row).__name__} exists already.", table=row.TABLE) from err
            raise

    def _note(self, op: str, plan: Plan[R], row: R, before: dict[str, Any], after: dict[str, Any]) -> None:
        if plan.secrets:
            before, after = _redact(before, plan.secrets), _redact(after, plan.secrets)
        self.changes.append(journal.Change(op, type(row), str(getattr(row, plan.key)), before, after))

    def write_journal(self) -> None:
        """Append this transaction's changes to the journal; called once, just before the commit."""
        if self.ctx is None:
            return
        plan = self._plans.plan(journal.Entry)
        new_id = self._plans.clock.new_id
        entries = [
            plan.store(journal.entry(change, self.ctx, self.why, self.now, new_id()))
            for change in self.changes
            if change.cls.JOURNAL
        ]
        if entries:
            self._cursor.executemany(plan.append.text, entries)


def _redact(fields: dict[str, Any], secrets: frozenset[str]) -> dict[str, Any]:
    return {name: journal.REDACTED if name in secrets else value for name, value in fields.items()}
