"""What a manager stands on, in memory: for tests of rooms and plug-ins."""

from typing import Any

from micronova import config
from micronova.bus.memory import MemoryBus
from micronova.clock import Clock, SystemClock
from micronova.db import Database, Row
from micronova.db.sqlite import SQLite
from micronova.manager import Runtime
from micronova.schema import CORE, statements


def ground(*rows: type[Row], clock: Clock | None = None, **flags: Any) -> Runtime:
    """A runtime on an in-memory bus and database that holds the core tables and those of `rows`.

    `flags` are options with `__` for the dot: ground(*ROWS, network__mtu=1450).
    """
    clock = clock or SystemClock()
    given = {name.replace("__", "."): value for name, value in flags.items()}
    options = config.load(flags={"host": "host1", "simulate": True, **given})
    engine = SQLite("sqlite://")
    make_tables(engine, rows)
    return Runtime(options, clock, MemoryBus(clock), Database(engine, clock, inline=True))


def make_tables(engine: Any, rows: tuple[type[Row], ...]) -> None:
    """Make the core tables and those of `rows` in an empty database."""
    connection = engine.connect(write=True)
    cursor = connection.cursor()
    for statement in statements((*CORE, *rows), engine.dialect):
        cursor.execute(statement)
    connection.close()
