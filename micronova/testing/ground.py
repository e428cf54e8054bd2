"""What a manager stands on, in memory: for tests of rooms and plug-ins."""

from typing import Any

from micronova import config
from micronova.bus.memory import MemoryBus
from micronova.clock import Clock, SystemClock
from micronova.db import Database, Row
from micronova.db.sqlite import SQLite
from micronova.manager import Runtime
from micronova.schema import CORE, statements

# What follows from row classes, statements and dialect alone: made anew, it would take a third of the tests' time.
TABLES: dict[tuple[str, tuple[type[Row], ...]], list[str]] = {}
PLANS: dict[type[Row], Any] = {}
COMPILED: dict[Any, Any] = {}


def ground(*rows: type[Row], clock: Clock | None = None, **flags: Any) -> Runtime:
    """A runtime on an in-memory bus and database that holds the core tables and those of `rows`.

    `flags` are options with `__` for the dot: ground(*ROWS, network__mtu=1450).
    """
    clock = clock or SystemClock()
    given = {name.replace("__", "."): value for name, value in flags.items()}
    options = config.load(flags={"host": "host1", "simulate": True, **given})
    engine = SQLite("sqlite://")
    make_tables(engine, rows)
    database = Database(engine, clock, inline=True)
    database._plans, database._compiled = PLANS, COMPILED
    return Runtime(options, clock, MemoryBus(clock), database)


def make_tables(engine: Any, rows: tuple[type[Row], ...]) -> None:
    """Make the core tables and those of `rows` in an empty database."""
    connection = engine.connect(write=True)
    cursor = connection.cursor()
    key = (engine.dialect.name, rows)
    if key not in TABLES:
        TABLES[key] = statements((*CORE, *rows), engine.dialect)
    for statement in TABLES[key]:
        cursor.execute(statement)
    connection.close()
