"""SQLite: one writer, readers beside it (WAL), all on one file. `sqlite:///PATH`, or `sqlite://` for memory only.

synchronous=NORMAL may lose the last commits on a power cut but never corrupts; `durable` asks for FULL.
"""

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine.interfaces import Dialect

from micronova.errors import BadRequest, ConfigError, Error, NoSpace, Unavailable

LOCK_WAIT = 5000
"""Milliseconds to wait for another process that writes."""
BROKEN = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CORRUPT)


class SQLite:
    """The database driver for SQLite."""

    writers = 1
    reads_inline = True
    tries = 2  # each has waited already

    def __init__(self, url: str, *, durable: bool = False) -> None:
        if not url.startswith("sqlite://"):
            raise ConfigError(f"not a SQLite URL: {url}")
        self.dialect: Dialect = SQLiteDialect_pysqlite(paramstyle="qmark")
        self.path = url.removeprefix("sqlite://").removeprefix("/") or None
        self._durable = durable
        self._memory: SQLiteConnection | None = None
        if self.path is None:
            self.writers = 0

    def connect(self, *, write: bool) -> "SQLiteConnection":
        if self.path is None:
            return self._only()
        try:
            Path(self.path).touch(mode=0o600)  # it holds what only its owner may read
            return SQLiteConnection(self._open(self.path))
        except OSError as err:
            raise Unavailable(f"the database {self.path} can't be opened: {err.strerror}") from err
        except sqlite3.Error as err:
            raise Unavailable(f"the database {self.path} can't be opened: {err}") from err

    def _only(self) -> "SQLiteConnection":
        """A memory database has one connection that everybody shares."""
        if self._memory is None:
            self._memory = SQLiteConnection(self._open(":memory:"), shared=True)
        return self._memory

    def _open(self, path: str) -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
        try:
            connection.execute(f"PRAGMA busy_timeout={LOCK_WAIT}")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={'FULL' if self._durable else 'NORMAL'}")
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA case_sensitive_like=ON")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def pause(self, seconds: float) -> None:
        """Not needed: SQLite waits for its lock itself."""

    def is_duplicate(self, err: Exception) -> bool:
        return isinstance(err, sqlite3.IntegrityError) and "UNIQUE" in str(err)

    def is_conflict(self, err: Exception) -> bool:
        return _code(err) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)

    def is_gone(self, err: Exception) -> bool:
        return False

    def meaning(self, err: Exception) -> Error | None:
        if _code(err) == sqlite3.SQLITE_FULL:
            return NoSpace("The database's disk is full.", status=503)
        if _code(err) in BROKEN:
            return Unavailable(f"The database can't be used: {err}")
        if isinstance(err, OverflowError | UnicodeEncodeError):
            return BadRequest(f"A value can't be stored: {err}")
        return None


def _code(err: Exception) -> int | None:
    """SQLite's primary result code."""
    return err.sqlite_errorcode & 0xFF if isinstance(err, sqlite3.Error) and hasattr(err, "sqlite_errorcode") else None


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
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        if not self._shared:
            self._connection.close()
