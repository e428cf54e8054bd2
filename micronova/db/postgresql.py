"""PostgreSQL through psycopg 3: a small pool of threads, each with its own connection. `postgresql://…`

Write transactions are SERIALIZABLE: a quota counted and a row inserted in one transaction can't be overtaken. A
transaction that lost to another is told so by the server and run again.
"""

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.engine.interfaces import Dialect

from micronova.errors import BadRequest, ConfigError, Error, NoSpace, Unavailable

if TYPE_CHECKING:
    import psycopg

CONNECT_WAIT = 5
SESSION: dict[str, str | int] = {
    # The server ends a transaction whose host has vanished, so that its locks go (milliseconds).
    "options": "-c idle_in_transaction_session_timeout=15000",
    # A server that vanished without a word is noticed after some ten seconds (libpq, "Parameter Key Words").
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "connect_timeout": CONNECT_WAIT,
}
FULL = "53100"  # disk_full
NOT_NOW = ("25006", "53", "57", "58")  # read_only_sql_transaction, resources, operator intervention, system error
RETRYABLE = ("40001", "40P01")  # serialization_failure, deadlock_detected


class PostgreSQL:
    """The database driver for PostgreSQL."""

    writers = 8
    reads_inline = False
    tries = 25

    def __init__(self, url: str, *, durable: bool = True) -> None:
        try:
            import psycopg as client
        except ImportError as err:
            raise ConfigError("PostgreSQL needs the extra: pip install 'micronova[postgres]'") from err
        self._client = client
        self.dialect: Dialect = PGDialect_psycopg(paramstyle="format")  # type: ignore[no-untyped-call]
        self._number = _number_loader(client)
        try:
            self._conninfo = client.conninfo.make_conninfo(url, **SESSION)
        except client.ProgrammingError as err:
            raise ConfigError(f"configuration: database.url: {err}") from err
        self._durable = durable

    def connect(self, *, write: bool) -> "PostgreSQLConnection":
        try:
            connection = self._client.connect(self._conninfo, autocommit=True)
        except self._client.OperationalError as err:
            raise Unavailable("The database is not available.") from err
        connection.adapters.register_loader("numeric", self._number)
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
        return err.sqlstate is None or err.sqlstate[:3] in ("080", "57P")

    def meaning(self, err: Exception) -> Error | None:
        if isinstance(err, self._client.DataError | UnicodeEncodeError):
            return BadRequest(f"A value can't be stored: {err}")
        state = (isinstance(err, self._client.Error) and err.sqlstate) or ""
        if state == FULL:
            return NoSpace("The database's disk is full.", status=503)
        if state.startswith(NOT_NOW):
            return Unavailable(f"The database does not take it now: {err}")
        return None


def _number_loader(client: Any) -> Any:
    """Sums of integers are numeric in PostgreSQL; here they are integers, as everywhere."""

    class Number(client.adapt.Loader):  # type: ignore[misc]
        def load(self, data: Any) -> int | float:
            text = bytes(data)
            return int(text) if text.lstrip(b"-").isdigit() else float(text)

    return Number


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
