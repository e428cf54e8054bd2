"""PostgreSQL through psycopg 3: a small pool of threads, each with its own connection. `postgresql://…`

Write transactions are SERIALIZABLE: a quota counted and a row inserted in one transaction can't be overtaken. A
transaction that lost to another is told so by the server and run again.
"""

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine.interfaces import Dialect

from micronova.errors import ConfigError, Unavailable

if TYPE_CHECKING:
    import psycopg

CONNECT_WAIT = 5
RETRYABLE = ("40001", "40P01")  # serialization_failure, deadlock_detected


class PostgreSQL:
    """The database driver for PostgreSQL."""

    writers = 8
    reads_inline = False

    def __init__(self, url: str, *, durable: bool = True) -> None:
        try:
            import psycopg as client
        except ImportError as err:
            raise ConfigError("PostgreSQL needs the extra: pip install 'micronova[postgres]'") from err
        self._client = client
        self.dialect: Dialect = PGDialect_psycopg()  # type: ignore[no-untyped-call]
        self._url = url
        self._durable = durable

    def connect(self, *, write: bool) -> "PostgreSQLConnection":
        try:
            connection = self._client.connect(self._url, autocommit=True, connect_timeout=CONNECT_WAIT)
        except self._client.OperationalError as err:
            raise Unavailable("The database is not available.") from err
        if not self._durable:
            connection.execute("SET synchronous_commit = off")
        return PostgreSQLConnection(connection)

    def pause(self, seconds: float) -> None:
        """Called in a database thread between two tries of a transaction."""
        threading.Event().wait(seconds)

    def is_duplicate(self, err: Exception) -> bool:
        return isinstance(err, self._client.errors.UniqueViolation)

    def is_conflict(self, err: Exception) -> bool:
        return isinstance(err, self._client.Error) and err.sqlstate in RETRYABLE

    def is_gone(self, err: Exception) -> bool:
        if not isinstance(err, self._client.OperationalError | self._client.InterfaceError):
            return False
        return err.sqlstate is None or err.sqlstate[:2] in ("08", "57")

    def is_error(self, err: Exception) -> bool:
        return isinstance(err, self._client.Error)


class PostgreSQLConnection:
    """One connection in autocommit mode; transactions are opened by us."""

    def __init__(self, connection: "psycopg.Connection[Any]") -> None:
        self._connection = connection

    def cursor(self) -> Any:
        return self._connection.cursor()

    def begin(self, *, write: bool) -> None:
        self._connection.execute(
            "BEGIN ISOLATION LEVEL SERIALIZABLE" if write else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        )

    def commit(self) -> None:
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        with contextlib.suppress(Exception):
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._connection.close()
