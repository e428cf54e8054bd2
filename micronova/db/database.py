"""Transactions: a synchronous function is given to `read` or `write` and happens whole or not at all.

Because a transaction function does database work only, running it again is harmless: losing a race, a locked
database and a broken connection are retried here and nowhere else.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import Dialect

from micronova.clock import Clock
from micronova.context import Context
from micronova.db.journal import Change
from micronova.db.rows import Row
from micronova.db.statements import Plan, Sql, compile_sql
from micronova.db.tx import Cursor, Tx
from micronova.errors import Stale, Unavailable

LOG = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R", bound=Row)

TRIES = 25
Listener = Callable[[Sequence[Change]], None]


class Connection(Protocol):
    """One connection, used by one thread at a time."""

    def cursor(self) -> Cursor: ...
    def begin(self, *, write: bool) -> None: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def close(self) -> None: ...


class Engine(Protocol):
    """A database driver: how to connect, and what its errors mean. `micronova.db` entry points name its class."""

    dialect: Dialect
    writers: int
    """How many write transactions may run at once."""
    reads_inline: bool
    """Whether a read is so short that it runs in the event loop's own thread."""

    def connect(self, *, write: bool) -> Connection:
        """A new connection. Raises Unavailable when the database can't be reached."""

    def is_duplicate(self, err: Exception) -> bool:
        """A unique constraint was violated."""

    def is_conflict(self, err: Exception) -> bool:
        """Another transaction was in the way; running this one again may succeed."""

    def is_gone(self, err: Exception) -> bool:
        """The connection is of no use any more."""

    def is_error(self, err: Exception) -> bool:
        """Raised by the database at all (and not by a transaction function's own code)."""


class Database:
    """What managers get: `await db.read(fn)` and `await db.write(fn, ctx, why="…")`.

    With `inline` everything runs in the calling thread: deterministic, for simulation and room tests.
    """

    def __init__(self, engine: Engine, clock: Clock, *, inline: bool = False) -> None:
        self.engine = engine
        self.clock = clock
        self._inline = inline
        self._plans: dict[type[Row], Plan[Any]] = {}
        self._compiled: dict[Any, Sql] = {}
        self._listeners: list[Listener] = []
        self._writers = None if inline else ThreadPoolExecutor(engine.writers, "db-write")
        self._readers = None if inline or engine.reads_inline else ThreadPoolExecutor(engine.writers, "db-read")
        self._free: dict[bool, list[Connection]] = {True: [], False: []}

    # -- the two verbs

    async def read(self, fn: Callable[[Tx], T]) -> T:
        """Run `fn` on one consistent view of the database; returns what it returns.

        Raises Unavailable when the database is gone.
        """
        if self._readers is None:
            return self._once_or_again(fn, None, "", False)[0]
        loop = asyncio.get_running_loop()
        return (await loop.run_in_executor(self._readers, self._once_or_again, fn, None, "", False))[0]

    async def write(self, fn: Callable[[Tx], T], ctx: Context, *, why: str) -> T:
        """Run `fn` in a write transaction and journal what it changed, for `ctx`, because of `why`.

        `fn` may run more than once; only its last run counts. Raises what `fn` raises (then nothing was changed),
        Stale when it keeps losing against others, Unavailable when the database is gone.
        """
        if self._writers is None:
            result, tx = self._once_or_again(fn, ctx, why, True)
        else:
            loop = asyncio.get_running_loop()
            work = loop.run_in_executor(self._writers, self._once_or_again, fn, ctx, why, True)
            result, tx = await _to_the_end(work)
        await self._after_commit(tx)
        return result

    def on_change(self, listener: Listener) -> None:
        """Call `listener` with the changes of every write that was committed here."""
        self._listeners.append(listener)

    def close(self) -> None:
        """Finish running transactions and disconnect. Repeating changes nothing."""
        for pool in (self._writers, self._readers):
            if pool is not None:
                pool.shutdown()
        for connections in self._free.values():
            while connections:
                connections.pop().close()

    # -- what transactions ask of us

    def plan(self, cls: type[R], /) -> Plan[R]:
        plan = self._plans.get(cls)
        if plan is None:
            plan = self._plans[cls] = Plan(cls, self.engine.dialect)
        return plan

    def sql(self, statement: sa.ClauseElement, /) -> Sql:
        sql = self._compiled.get(statement)
        if sql is None:
            sql = self._compiled[statement] = compile_sql(statement, self.engine.dialect)
        return sql

    def is_duplicate(self, err: Exception, /) -> bool:
        return self.engine.is_duplicate(err)

    # -- inside

    async def _after_commit(self, tx: Tx) -> None:
        for listener in self._listeners:
            listener(tx.changes)
        for callback in tx.callbacks:
            await self._tell(callback)

    async def _tell(self, callback: Callable[[], Awaitable[None]]) -> None:
        try:
            await callback()
        except Unavailable as err:
            LOG.warning("a nudge was not sent, the sweep will find the work: %s", err)

    def _once_or_again(self, fn: Callable[[Tx], T], ctx: Context | None, why: str, write: bool) -> tuple[T, Tx]:
        for attempt in range(1, TRIES + 1):
            connection = self._take(write)
            try:
                result = self._run(connection, fn, ctx, why, write)
                self._free[write].append(connection)
            except Stale:
                self._free[write].append(connection)
                if attempt >= 5:
                    raise
            except Exception as err:
                if not self._again(err, connection, write, attempt):
                    raise
            else:
                return result
        raise AssertionError("unreachable")

    def _again(self, err: Exception, connection: Connection, write: bool, attempt: int) -> bool:
        """Whether to run the transaction once more; puts its connection back or throws it away."""
        if self.engine.is_gone(err):
            connection.close()
            for other in self._drain(write):
                other.close()
            if attempt > 1:
                raise Unavailable("The database is not available.") from err
            return True
        self._free[write].append(connection)
        if not self.engine.is_conflict(err):
            return False
        if attempt == TRIES:
            raise Unavailable("The database is too busy; try again.") from err
        self.engine_pause(attempt)
        return True

    def engine_pause(self, attempt: int) -> None:
        """Wait a little, longer each time, before meeting the same rival again."""
        pause = getattr(self.engine, "pause", None)
        if pause is not None and not self._inline:
            pause(self.clock.randbelow(1 << min(attempt, 7)) / 1000)

    def _drain(self, write: bool) -> list[Connection]:
        found = self._free[write][:]
        del self._free[write][: len(found)]
        return found

    def _take(self, write: bool) -> Connection:
        try:
            return self._free[write].pop()
        except IndexError:
            return self.engine.connect(write=write)

    def _run(
        self, connection: Connection, fn: Callable[[Tx], T], ctx: Context | None, why: str, write: bool
    ) -> tuple[T, Tx]:
        connection.begin(write=write)
        try:
            tx = Tx(self, connection.cursor(), ctx, why)
            result = fn(tx)
            tx.write_journal()
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
        return result, tx


async def _to_the_end(work: asyncio.Future[T]) -> T:
    """Await a transaction that runs in a thread; a cancelled caller still lets it finish before it goes."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise
