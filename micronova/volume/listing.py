"""Lists: which rows, in what order, from where on, how many. One way for every noun of the room."""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from micronova.context import Context
from micronova.db import Row, Tx
from micronova.errors import NotFound

R = TypeVar("R", bound=Row)
NEWEST_FIRST = (("created_at", False), ("id", False))


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What a list request asks for. `where` holds columns with values; `tests` what SQL can't say."""

    where: dict[str, Any] = {}
    tests: tuple[Callable[[Any], bool], ...] = ()
    order: tuple[tuple[str, bool], ...] = NEWEST_FIRST
    all_projects: bool = False
    marker: str | None = None
    offset: int = 0
    limit: int = 1000


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Rows in order, whether there may be more behind them (the page is full), and how many match in all."""

    rows: list[Any]
    more: bool = False
    count: int = 0


def page(tx: Tx, ctx: Context, cls: type[R], query: Query, noun: str) -> Page:
    """The rows that match, of the caller's project or, for an administrator who asks for it, of all.

    Raises NotFound when the marker is no row that the caller sees.
    """
    where = dict(query.where)
    if not (query.all_projects and ctx.is_admin):
        if "project_id" in where and where["project_id"] != ctx.project_id:
            return Page(rows=[])
        where["project_id"] = ctx.project_id
    marker = _marker(tx, cls, query, where, noun)
    sql_limits = not query.tests
    most = query.offset + query.limit if sql_limits else None
    rows = tx.find(cls, order=query.order, after=marker, limit=most, **where)
    if query.tests:
        rows = [row for row in rows if all(test(row) for test in query.tests)]
    count = tx.count(cls, **where) if sql_limits else len(rows)
    shown = rows[query.offset : query.offset + query.limit]
    return Page(rows=shown, more=len(shown) == query.limit > 0, count=count)


def _marker(tx: Tx, cls: type[R], query: Query, where: dict[str, Any], noun: str) -> R | None:
    if query.marker is None:
        return None
    found = tx.first(cls, id=query.marker)
    mine = where.get("project_id")
    if found is None or (mine is not None and getattr(found, "project_id", mine) != mine):
        raise NotFound(f"{noun} {query.marker} could not be found.", id=query.marker)
    return found
