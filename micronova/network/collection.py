"""What all resources of the network API have in common: who sees what, how a list is found, the order of every change.

A subclass says what is particular: which rows a caller sees, what inserting, altering and erasing one means.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from micronova.context import Context
from micronova.db import Not, Tx
from micronova.errors import Duplicate, NotFound
from micronova.network import quotas
from micronova.network.attributes import Asked, Resource, Values
from micronova.network.db import Standard
from micronova.network.refusals import bad, invalid, missing, refusal
from micronova.network.room import Room

R = TypeVar("R", bound=Standard)
T = TypeVar("T")
Order = tuple[tuple[str, bool], ...]
Where = dict[str, Any]
TRIES = 20


class Search(msgspec.Struct, frozen=True):
    """What a list request asks for. `where` holds columns with their allowed values; `tests` what SQL can't say.

    `related` are values of rows that belong to one, such as a port's addresses. A page starts behind row `marker`, or,
    when `reverse`, ends before it. `limit` is the most rows.
    """

    where: dict[str, tuple[Any, ...]] = {}
    related: dict[str, tuple[str, ...]] = {}
    tests: tuple[Callable[[Any], bool], ...] = ()
    order: Order = ()
    marker: str | None = None
    reverse: bool = False
    limit: int | None = None


class Found(msgspec.Struct, Generic[R], frozen=True):
    """Rows, and by row id what is shown inside of them."""

    rows: list[R]
    parts: dict[str, list[Any]] = {}


class Collection(ABC, Generic[R]):
    """One kind of resource: everything the API does to it."""

    resource: ClassVar[Resource]
    row: ClassVar[type[Any]]

    def __init__(self, room: Room) -> None:
        self.room = room
        self.noun = self.resource.noun

    # -- what the API calls

    async def create(self, ctx: Context, asked: Sequence[Asked]) -> Found[R]:
        """Record all of these, or none. Raises what makes one of them impossible."""

        def record(tx: Tx) -> Found[R]:
            return self.found_by(tx, ctx, [self._create_one(tx, ctx, one) for one in asked])

        return await self._write(record, ctx, f"{self.noun} created by request")

    async def get(self, ctx: Context, id: str) -> Found[R]:
        """One that the caller sees. Raises NotFound."""
        return await self.room.db.read(lambda tx: self.found_by(tx, ctx, [self.visible(tx, ctx, id)]))

    async def find(self, ctx: Context, search: Search) -> Found[R]:
        """What the caller sees of what matches, in order. Raises NotFound when the marker is gone."""
        return await self.room.db.read(lambda tx: self.found_by(tx, ctx, self.search(tx, ctx, search)))

    async def update(self, ctx: Context, id: str, asked: Asked, revision: int | None = None) -> Found[R]:
        """Change what was asked for. Raises NotFound, Forbidden, and what makes the change impossible."""

        def record(tx: Tx) -> Found[R]:
            row = self.owned(tx, ctx, id, "update", revision)
            rules = (*asked.rules, *self.further_rules("update", asked.values))
            self._pass(ctx, rules, self.target(tx, row))
            return self.found_by(tx, ctx, [self.alter(tx, ctx, row, asked.values)])

        return await self._write(record, ctx, f"{self.noun} changed by request")

    async def delete(self, ctx: Context, id: str, revision: int | None = None) -> None:
        """Remove it. Raises NotFound, Forbidden, InUse."""

        def record(tx: Tx) -> None:
            self.erase(tx, ctx, self.owned(tx, ctx, id, "delete", revision))

        await self._write(record, ctx, f"{self.noun} deleted by request")

    async def tag(self, ctx: Context, id: str, change: Callable[[tuple[str, ...]], tuple[str, ...]]) -> R:
        """Replace the tags by what `change` makes of them. Raises NotFound, and what `change` raises."""

        def record(tx: Tx) -> R:
            row = self.owned(tx, ctx, id, "update", None)
            return self.touch(tx, row, {"tags": change(row.tags)})

        return await self._write(record, ctx, f"tags of a {self.noun}")

    # -- what a subclass says

    def scopes(self, tx: Tx, ctx: Context) -> list[Where]:
        """Conditions under which a non-admin sees rows; no row fulfils two of them."""
        return [{"project_id": ctx.project_id}]

    def sees(self, tx: Tx, ctx: Context, row: R) -> bool:
        """Whether a non-admin sees this row."""
        return row.project_id == ctx.project_id

    def target(self, tx: Tx, row: Any) -> dict[str, Any]:
        """What policy rules may ask of a row."""
        return {"project_id": row.project_id, "tenant_id": row.project_id}

    def related(self, tx: Tx, name: str, values: Sequence[str]) -> set[str]:
        """Ids of rows to which something with one of these values belongs. Raises BadRequest where nothing does."""
        raise invalid(f"['{name}'] is invalid attribute for filtering")

    def further_rules(self, verb: str, values: Values) -> tuple[str, ...]:
        """Policy rules that follow from the values rather than from the attributes' names."""
        return ()

    @abstractmethod
    def insert(self, tx: Tx, ctx: Context, values: Values) -> R:
        """Store a new one. Called after quota and policy."""

    def alter(self, tx: Tx, ctx: Context, row: R, values: Values) -> R:
        """Store new values and what follows from them."""
        return self.touch(tx, row, values)

    @abstractmethod
    def erase(self, tx: Tx, ctx: Context, row: R) -> None:
        """Remove the row and what belongs to it alone. Raises InUse while others need it."""

    def new_target(self, tx: Tx, ctx: Context, values: Values) -> dict[str, Any]:
        """What policy rules may ask of a row that is to be."""
        return {"project_id": values["project_id"], "tenant_id": values["project_id"]}

    def found(self, tx: Tx, rows: Sequence[R]) -> Found[R]:
        """The rows with what is shown inside of them."""
        return Found(list(rows))

    def found_by(self, tx: Tx, ctx: Context, rows: Sequence[R]) -> Found[R]:
        """The same, where it depends on who asks."""
        return self.found(tx, rows)

    # -- inside a transaction

    def visible(self, tx: Tx, ctx: Context, id: str) -> R:
        """The row if the caller sees it. Raises NotFound."""
        row: R | None = tx.first(self.row, id=id)
        if row is None or not (ctx.is_admin or (ctx.project_id and self.sees(tx, ctx, row))):
            raise missing(self.noun, id)
        return row

    def marked(self, tx: Tx, ctx: Context, id: str) -> R:
        """The row behind which a page starts. Raises NotFound."""
        return self.visible(tx, ctx, id)

    def owned(self, tx: Tx, ctx: Context, id: str, verb: str, revision: int | None) -> R:
        """The row if the caller may do this to it. Raises NotFound, Forbidden, Stale for another revision."""
        row = self.visible(tx, ctx, id)
        self._pass(ctx, (f"{verb}_{self.resource.ruled}",), self.target(tx, row))
        if revision is not None and row.revision != revision:
            raise refusal(
                "RevisionNumberConstraintFailed",
                f"Constrained to {revision}, but current revision is {row.revision}",
                status=412,
            )
        return row

    def touch(self, tx: Tx, row: R, values: Values) -> R:
        """Store what differs, and when."""
        if all(getattr(row, name) == value for name, value in values.items()):
            return row
        return tx.change(row, **values, updated_at=tx.now)

    def standard(self, tx: Tx, values: Values) -> Values:
        """The values with what every new row has."""
        return {**values, "id": self.room.clock.new_id(), "created_at": tx.now, "updated_at": tx.now}

    def search(self, tx: Tx, ctx: Context, search: Search) -> list[R]:
        """The rows that match, of those the caller sees."""
        return self.matching(tx, ctx, search, [{}] if ctx.is_admin else self.scopes(tx, ctx) if ctx.project_id else [])

    def matching(self, tx: Tx, ctx: Context, search: Search, scopes: Sequence[Where]) -> list[R]:
        """The rows that match and fulfil one of the conditions."""
        order = _full_order(search)
        after = self.marked(tx, ctx, search.marker) if search.marker else None
        most = None if search.tests else search.limit
        asked = dict(search.where)
        for name, values in search.related.items():
            ids = self.related(tx, name, values)
            asked["id"] = tuple(sorted(ids.intersection(asked.get("id", ids))))
        rows: list[R] = []
        for scope in scopes:
            where = _meet(scope, asked)
            if where is not None:
                rows += tx.find(self.row, order=order, after=after, limit=most, **where)
        if len(scopes) > 1:
            _sort(rows, order)
        if search.tests:
            rows = [row for row in rows if all(test(row) for test in search.tests)]
        rows = rows[: search.limit]
        return rows[::-1] if search.reverse else rows

    def create_one(self, tx: Tx, ctx: Context, asked: Asked) -> R:
        """One more, as part of a larger transaction. Raises what makes it impossible."""
        return self._create_one(tx, ctx, asked)

    def _create_one(self, tx: Tx, ctx: Context, asked: Asked) -> R:
        values = {**asked.values, "project_id": self._project(ctx, asked.values.get("project_id"))}
        target = self.new_target(tx, ctx, values)
        rules = (f"create_{self.resource.ruled}", *asked.rules, *self.further_rules("create", asked.values))
        self._pass(ctx, rules, target)
        quotas.admit(tx, self.room.quota, values["project_id"], self.noun)
        return self.insert(tx, ctx, values)

    def _project(self, ctx: Context, asked: str | None) -> str:
        """Whose it shall be. Raises BadRequest when that is not the caller's own project and he is no admin."""
        if not asked:
            if not ctx.project_id:
                raise bad("Running without a project requires that project_id is specified")
            return ctx.project_id
        if asked != ctx.project_id and not ctx.is_admin:
            raise bad(
                "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires "
                "admin privileges"
            )
        return asked

    def _pass(self, ctx: Context, rules: Sequence[str], target: dict[str, Any]) -> None:
        for rule in rules:
            if not self.room.policy.allows(ctx, rule, target):
                raise refusal("PolicyNotAuthorized", f"rule:{rule} is disallowed by policy", rule=rule)

    async def _write(self, fn: Callable[[Tx], T], ctx: Context, why: str) -> T:
        """Run the transaction; lost against another one for an address, MAC or rule, look again."""
        for _ in range(TRIES):
            try:
                return await self.room.db.write(fn, ctx, why=why)
            except Duplicate:
                continue
        return await self.room.db.write(fn, ctx, why=why)


def _full_order(search: Search) -> Order:
    """The asked order made complete by the id, turned round for a page that ends at the marker."""
    order = search.order
    if all(name != "id" for name, _ in order):
        order = (*order, ("id", True))
    return tuple((name, up != search.reverse) for name, up in order)


def _meet(scope: Where, asked: dict[str, tuple[Any, ...]]) -> Where | None:
    """The condition that fulfils both; None when nothing can."""
    where = dict(scope)
    for name, allowed in asked.items():
        left = [value for value in allowed if name not in scope or _fulfils(value, scope[name])]
        if not left:
            return None
        where[name] = left[0] if len(left) == 1 else left
    return where


def _fulfils(value: Any, condition: Any) -> bool:
    match condition:
        case Not():
            return bool(value != condition.value)
        case list():
            return value in condition
    return bool(value == condition)


def _sort(rows: list[Any], order: Order) -> None:
    """Sort as the database would: the last key first, each sort stable; nothing sorts as least."""
    for name, up in reversed(order):
        rows.sort(key=partial(_sortable, name), reverse=not up)


def _sortable(name: str, row: Any) -> tuple[bool, Any]:
    value = getattr(row, name)
    return (value is not None, value)


def get(tx: Tx, cls: type[R], noun: str, id: str) -> R:
    """The row, whoever asks. Raises NotFound as the API names it."""
    try:
        return tx.get(cls, id)
    except NotFound as err:
        raise missing(noun, id) from err
