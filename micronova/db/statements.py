"""SQL for the shapes of question that are asked: built from SQLAlchemy Core, compiled once, kept by shape.

A plan knows one row class for one dialect. Conditions are column names with values; a value may be

    "x"          equal                None            is null
    ["a", "b"]   one of these         Not("x")        differs (null differs too)
    Like("%x%")  matches a pattern    Less(3), Greater(3)   strictly
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import Dialect

from micronova.db.rows import Field, Row, fields_of, table

R = TypeVar("R", bound=Row)


class Not(msgspec.Struct, frozen=True):
    value: Any


class Like(msgspec.Struct, frozen=True):
    """SQL pattern, case counts: % for any text, _ for one character, both escaped by a backslash."""

    value: str


class Less(msgspec.Struct, frozen=True):
    value: Any


class Greater(msgspec.Struct, frozen=True):
    value: Any


class Sql(msgspec.Struct, frozen=True):
    """A compiled statement: its text, the order of its parameters, and those it brings itself."""

    text: str
    order: tuple[str, ...]
    fixed: dict[str, Any]

    def arguments(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        if self.fixed:
            values = {**self.fixed, **values}
        return tuple([values[name] for name in self.order])


def compile_sql(statement: sa.ClauseElement, dialect: Dialect, columns: Sequence[str] | None = None) -> Sql:
    """Compile once; run as often as you like."""
    compiled = statement.compile(dialect=dialect, column_keys=columns)
    fixed = {name: value for name, value in compiled.params.items() if value is not None}
    order: Sequence[str] = getattr(compiled, "positiontup", None) or ()
    return Sql(str(compiled), tuple(order), fixed)


class Plan(Generic[R]):
    """Everything one database needs to know of one row class."""

    def __init__(self, cls: type[R], dialect: Dialect) -> None:
        self.cls = cls
        self.dialect = dialect
        self.table = table(cls)
        self.fields = fields_of(cls)
        self.by_name = {field.name: field for field in self.fields}
        self.key = next(field.name for field in self.fields if field.column.key)
        self.serial = next((field.name for field in self.fields if field.column.serial), None)
        self.secrets = frozenset(field.name for field in self.fields if field.column.secret)
        self.load = _loader(cls, self.fields)
        self.insert = self._insert(returning=self.serial)
        self.append = self._insert()
        self.store = _storer(self.by_name, self.append.order)
        self._total = {name for name in (self.key, self.serial) if name}
        self._kept: dict[Any, Sql] = {}

    def store_value(self, name: str, value: Any) -> Any:
        convert = self.by_name[name].store
        return value if convert is None or value is None else convert(value)

    def _insert(self, returning: str | None = None) -> Sql:
        """Insert what `store` makes of a row; with `returning` the result is that column."""
        statement: Any = sa.insert(self.table)
        if returning is not None:
            statement = statement.returning(self.table.c[returning])
        names = [field.name for field in self.fields if field.name != self.serial]
        return compile_sql(statement, self.dialect, names)

    def change(self, names: tuple[str, ...]) -> Sql:
        """Set `names`, count the revision up, where the key and the revision seen are `_key` and `_revision`."""

        def build() -> Sql:
            c = self.table.c
            values = {name: sa.bindparam(f"new_{name}", type_=sa.types.NullType()) for name in names}
            where = sa.and_(c[self.key] == sa.bindparam("_key"), c.revision == sa.bindparam("_revision"))
            return compile_sql(
                sa.update(self.table).where(where).values(revision=c.revision + 1, **values), self.dialect
            )

        return self._keep(("change", names), build)

    def delete(self) -> Sql:
        def build() -> Sql:
            c = self.table.c
            where = sa.and_(c[self.key] == sa.bindparam("_key"), c.revision == sa.bindparam("_revision"))
            return compile_sql(sa.delete(self.table).where(where), self.dialect)

        return self._keep("delete", build)

    def find(self, query: "Query") -> tuple[Sql, dict[str, Any]]:
        """The statement for a query's shape and the values for its parameters.

        Rows that the query's order leaves equal come in the order of their key, so that no page misses or repeats one.
        """
        if (query.order or query.after is not None) and not any(name in self._total for name, _ in query.order):
            query = msgspec.structs.replace(query, order=(*query.order, (self.key, True)))
        sql = self._keep(query.shape(), lambda: compile_sql(self._select(query), self.dialect))
        return sql, self._values(query)

    def _keep(self, shape: Any, build: Callable[[], Sql]) -> Sql:
        sql = self._kept.get(shape)
        if sql is None:
            sql = self._kept[shape] = build()
        return sql

    def _select(self, query: "Query") -> Any:
        c = self.table.c
        chosen: Any = sa.select(sa.func.count()).select_from(self.table) if query.count else sa.select(self.table)
        for name, value in query.where.items():
            chosen = chosen.where(self._condition(c[name], name, value))
        if query.after is not None:
            chosen = chosen.where(self._beyond(query.order))
        if query.order:
            chosen = chosen.order_by(*(self._sortable(name, up) for name, up in query.order))
        if query.limit is not None:
            chosen = chosen.limit(sa.bindparam("_limit", type_=sa.Integer()))
        return chosen

    def _condition(self, column: Any, name: str, value: Any) -> Any:
        given = sa.bindparam(name, type_=column.type)
        match value:
            case None:
                return column.is_(None)
            case Not(None):
                return column.is_not(None)
            case Not():
                return sa.or_(column != given, column.is_(None))
            case Like():
                return column.like(given, escape="\\")
            case Less():
                return column < given
            case Greater():
                return column > given
            case list() | tuple() | set() | frozenset():
                return self._one_of(column, name)
        return column == given

    def _one_of(self, column: Any, name: str) -> Any:
        given = sa.bindparam(name, type_=sa.Text())
        if self.dialect.name == "sqlite":
            return column.in_(sa.select(sa.column("value")).select_from(sa.func.json_each(given)))
        return column == sa.any_(sa.bindparam(name, type_=sa.ARRAY(column.type)))

    def _beyond(self, order: tuple[tuple[str, bool], ...]) -> Any:
        """Rows that sort after the marker: the keyset form of paging."""
        ways = []
        for i, (name, up) in enumerate(order):
            equal = [self._plain(n) == self._marker(n) for n, _ in order[:i]]
            column, marker = self._plain(name), self._marker(name)
            ways.append(sa.and_(*equal, column > marker if up else column < marker))
        return sa.or_(*ways)

    def _sortable(self, name: str, up: bool) -> Any:
        column = self._plain(name)
        return column.asc() if up else column.desc()

    def _plain(self, name: str) -> Any:
        """A column whose null sorts as "" or -1, the same way in every database."""
        field = self.by_name[name]
        column: Any = self.table.c[name]
        if isinstance(field.sql, sa.Boolean):
            column = sa.cast(column, sa.Integer)
        if not field.nullable:
            return column
        return sa.func.coalesce(column, sa.literal_column("''" if isinstance(field.sql, sa.Text) else "-1"))

    def _marker(self, name: str) -> Any:
        field = self.by_name[name]
        return sa.bindparam(f"after_{name}", type_=sa.BigInteger() if isinstance(field.sql, sa.Boolean) else field.sql)

    def _values(self, query: "Query") -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, value in query.where.items():
            if isinstance(value, list | tuple | set | frozenset):
                items = [self.store_value(name, item) for item in value]
                values[name] = msgspec.json.encode(items).decode() if self.dialect.name == "sqlite" else items
                continue
            plain = value.value if isinstance(value, Not | Like | Less | Greater) else value
            if plain is not None:
                values[name] = self.store_value(name, plain) if not isinstance(value, Like) else plain
        if query.after is not None:
            for name, _ in query.order:
                stored = self.store_value(name, getattr(query.after, name))
                stored = int(stored) if isinstance(stored, bool) else stored
                values[f"after_{name}"] = self._least(name) if stored is None else stored
        if query.limit is not None:
            values["_limit"] = query.limit
        return values

    def _least(self, name: str) -> Any:
        return "" if isinstance(self.by_name[name].sql, sa.Text) else -1


class Query(msgspec.Struct, frozen=True):
    """A question to one table. `order` is (column, ascending) pairs; `after` the row a page starts behind."""

    where: dict[str, Any] = {}
    order: tuple[tuple[str, bool], ...] = ()
    after: Any = None
    limit: int | None = None
    count: bool = False

    def shape(self) -> Any:
        return (
            tuple((name, _kind(value)) for name, value in self.where.items()),
            self.order,
            self.after is not None,
            self.limit is not None,
            self.count,
        )


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case Not(None):
            return "not-null"
        case list() | tuple() | set() | frozenset():
            return "in"
        case Not() | Like() | Less() | Greater():
            return type(value).__name__
    return "is"


def _loader(cls: type[R], fields: tuple[Field, ...]) -> Callable[[Iterable[Sequence[Any]]], list[R]]:
    """A function from database tuples to rows, written out once per class because lists of rows are hot."""
    names = {"cls": cls, **{f"load_{field.name}": field.load for field in fields}}
    row = ", ".join(f"c_{field.name}" for field in fields)
    values = ", ".join(f"{field.name}={_loaded(field)}" for field in fields)
    made: Callable[[Iterable[Sequence[Any]]], list[R]]
    made = eval(f"lambda found: [cls({values}) for {row} in found]", names)
    return made


def _loaded(field: Field) -> str:
    given = f"c_{field.name}"
    if field.load is None:
        return given
    loaded = f"{given} == 1" if field.load is bool else f"load_{field.name}({given})"
    return f"None if {given} is None else {loaded}" if field.nullable else loaded


def _storer(fields: Mapping[str, Field], order: Sequence[str]) -> Callable[[Row], tuple[Any, ...]]:
    """A function from a row to its database values in `order`, written out once per class."""
    parts = []
    for field in (fields[name] for name in order):
        given = f"row.{field.name}"
        stored = given if field.store is None else f"store_{field.name}({given})"
        parts.append(f"None if {given} is None else {stored}" if field.store and field.nullable else stored)
    names = {f"store_{name}": field.store for name, field in fields.items()}
    made: Callable[[Row], tuple[Any, ...]] = eval(f"lambda row: ({', '.join(parts)},)", names)
    return made
