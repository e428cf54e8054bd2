"""SQLite: one writer, readers beside it (WAL), all on one file. `sqlite:///PATH`, or `sqlite://` for memory only.

synchronous=NORMAL may lose the last commits on a power cut but never corrupts; `durable` asks for FULL.
"""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine.interfaces import Dialect

from micronova.errors import ConfigError, NoSpace, Unavailable

LOCK_WAIT = 5000
"""Milliseconds to wait for another process that writes."""


class SQLite:
    """The database driver for SQLite."""

    writers = 1
    reads_inline = True

    def __init__(self, url: str, *, durable: bool = False) -> None:
        if not url.startswith("sqlite://"):
            raise ConfigError(f"not a SQLite URL: {url}")
        self.dialect: Dialect = SQLiteDialect_pysqlite(paramstyle="qmark")
        self.path = url.removeprefix("sqlite://").removeprefix("/") or None
        self._durable = durable
        self._memory: SQLiteConnection | None = None

    def connect(self, *, write: bool) -> "SQLiteConnection":
        if self.path is None:
            return self._only()
        try:
            return SQLiteConnection(self._open(str(Path(self.path))))
        except sqlite3.Error as err:
            raise Unavailable(f"the database {self.path} can't be opened: {err}") from err

    def _only(self) -> "SQLiteConnection":
        """A memory database has one connection that everybody shares."""
        if self._memory is None:
            self._memory = SQLiteConnection(self._open(":memory:"), shared=True)
        return self._memory

    def _open(self, path: str) -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
        connection.execute(f"PRAGMA busy_timeout={LOCK_WAIT}")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if self._durable else 'NORMAL'}")
        connection.execute("PRAGMA foreign_keys=ON")
        return connection

    def is_duplicate(self, err: Exception) -> bool:
        return isinstance(err, sqlite3.IntegrityError) and "UNIQUE" in str(err)

    def is_conflict(self, err: Exception) -> bool:
        return isinstance(err, sqlite3.OperationalError) and "locked" in str(err)

    def is_gone(self, err: Exception) -> bool:
        return False

    def is_error(self, err: Exception) -> bool:
        return isinstance(err, sqlite3.Error)


class SQLiteConnection:
    """One connection in autocommit mode; transactions are opened by us."""

    def __init__(self, connection: sqlite3.Connection, *, shared: bool = False) -> None:
        self._connection = connection
        self._shared = shared

    def cursor(self) -> Any:
        return self._connection.cursor()

    def begin(self, *, write: bool) -> None:
        self._connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")

    def commit(self) -> None:
        try:
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as err:
            if "full" in str(err):
                raise NoSpace("The database's disk is full.") from err
            raise

    def rollback(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        if not self._shared:
            self._connection.close()
