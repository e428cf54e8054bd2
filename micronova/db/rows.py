"""What a row is: a frozen struct whose annotations say all there is to know of its table.

    class Volume(Row, frozen=True, kw_only=True):
        TABLE: ClassVar = "volumes"
        id: Annotated[str, KEY]
        project_id: Annotated[str, INDEX]
        size_gib: int
        metadata: dict[str, str] = {}

Strings, numbers, booleans are stored as such, moments as integer microseconds since 1970 UTC, all else as JSON.
"""

import types
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Union, get_args, get_origin, get_type_hints

import msgspec
import sqlalchemy as sa

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
EXACT = 4_000_000_000_000_000
"""Microseconds (until the year 2096) up to which a float of seconds still tells them apart."""
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
"""Sorted by code point everywhere, whatever language a PostgreSQL database was made for."""


class Column(msgspec.Struct, frozen=True):
    """What a column is besides its type. A secret never reaches the journal."""

    key: bool = False
    serial: bool = False
    index: bool = False
    unique: bool = False
    secret: bool = False


KEY = Column(key=True)
SERIAL = Column(serial=True)
INDEX = Column(index=True)
UNIQUE = Column(unique=True)
SECRET = Column(secret=True)


class Row(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Data without behaviour. `revision` counts the changes; a change must name the one it saw.

    TOGETHER lists groups of columns that are unique together, INDEXES those that are looked up together; JOURNAL False
    keeps rows out of the journal that are a log themselves or only say "still alive".
    """

    # gc=False: a row can't refer to itself, and the collector need not walk thousands of them.
    TABLE: ClassVar[str]
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = ()
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = ()
    JOURNAL: ClassVar[bool] = True

    revision: int = 1


class Field(msgspec.Struct, frozen=True):
    """One column of a plan: how a value that is not None goes into the database and comes back."""

    name: str
    column: Column
    sql: Any
    nullable: bool
    store: Callable[[Any], Any] | None
    load: Callable[[Any], Any] | None


def micros(moment: datetime) -> int:
    """Microseconds since 1970 UTC."""
    passed = moment - EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def moment(value: int) -> datetime:
    """The moment so many microseconds since 1970 UTC. Half the time it takes to read a list goes here."""
    if 0 <= value < EXACT:
        return datetime.fromtimestamp(value / 1_000_000, UTC)
    return EPOCH + timedelta(microseconds=value)


def fields_of(cls: type[Row]) -> tuple[Field, ...]:
    """The columns of a row class in its own order."""
    hints = get_type_hints(cls, include_extras=True)
    return tuple(_field(name, hints[name]) for name in cls.__struct_fields__)


def _field(name: str, hint: Any) -> Field:
    column = Column()
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        column = next((extra for extra in extras if isinstance(extra, Column)), column)
    nullable = False
    if get_origin(hint) in (Union, types.UnionType) and type(None) in get_args(hint):
        nullable = True
        rest = tuple(arg for arg in get_args(hint) if arg is not type(None))
        hint = rest[0] if len(rest) == 1 else Union[rest]  # noqa: UP007 - built at run time
    sql, store, load = _storage(hint)
    return Field(name, column, sql, nullable, store, load)


def _storage(hint: Any) -> tuple[Any, Callable[[Any], Any] | None, Callable[[Any], Any] | None]:
    if hint is str:
        return TEXT, None, None
    if hint is bool:
        return sa.Boolean(), bool, bool
    if hint is int:
        return sa.BigInteger(), None, None
    if hint is float:
        return sa.Double(), None, None
    if hint is datetime:
        return sa.BigInteger(), micros, moment
    encoder = msgspec.json.Encoder(order="deterministic")
    decoder = msgspec.json.Decoder(hint)
    return TEXT, lambda value: encoder.encode(value).decode(), decoder.decode


def table(cls: type[Row], metadata: sa.MetaData | None = None) -> sa.Table:
    """The table of a row class, for statements that `find` can't say and for migrations."""
    fields = fields_of(cls)
    serial = any(field.column.serial for field in fields)
    parts: list[Any] = []
    for field in fields:
        kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite") if field.column.serial else field.sql
        primary = field.column.serial or (field.column.key and not serial)
        parts.append(
            sa.Column(
                field.name,
                kind,
                primary_key=primary,
                autoincrement=field.column.serial,
                nullable=field.nullable,
            )
        )
    unique = [(field.name,) for field in fields if field.column.unique or (field.column.key and serial)]
    parts += [sa.UniqueConstraint(*names, name=_name("uq", cls, names)) for names in (*unique, *cls.TOGETHER)]
    found = sa.Table(cls.TABLE, metadata if metadata is not None else sa.MetaData(), *parts)
    indexes = [(field.name,) for field in fields if field.column.index] + list(cls.INDEXES)
    for names in indexes:
        sa.Index(_name("ix", cls, names), *(found.c[name] for name in names))
    return found


def _name(kind: str, cls: type[Row], names: tuple[str, ...]) -> str:
    return "_".join((kind, cls.TABLE, *names))
