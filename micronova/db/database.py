"""Transactions: a synchronous function is given to `read` or `write` and happens whole or not at all.

Because a transaction function does database work only, running it again is harmless: losing a race, a locked
database and a broken connection are retried here and nowhere else.
"""

import asyncio
import contextlib
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
from micronova.errors import Error, Stale, Unavailable

LOG = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R", bound=Row)

STALE_TRIES = 5
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
    """How many write transactions may run at once; 0: all there is runs in the calling thread."""
    reads_inline: bool
    """Whether a read is so short that it runs in the event loop's own thread."""
    tries: int
    """How often a transaction that meets a rival is run before it is given up."""

    def connect(self, *, write: bool) -> Connection:
        """A new connection. Raises Unavailable when the database can't be reached."""

    def is_duplicate(self, err: Exception) -> bool:
        """A unique constraint was violated."""

    def is_conflict(self, err: Exception) -> bool:
        """Another transaction was in the way; running this one again may succeed."""

    def is_gone(self, err: Exception) -> bool:
        """The connection is of no use any more."""

    def meaning(self, err: Exception) -> Error | None:
        """What an error that is none of those tells the caller: NoSpace, BadRequest, Unavailable; None for a bug."""

    def pause(self, seconds: float) -> None:
        """Wait in a database thread between two tries."""


class Database:
    """What managers get: `await db.read(fn)` and `await db.write(fn, ctx, why="…")`.

    With `inline` everything runs in the calling thread: deterministic, for simulation and room tests.
    """

    def __init__(self, engine: Engine, clock: Clock, *, inline: bool = False) -> None:
        self.engine = engine
        self.clock = clock
        self._inline = inline = inline or engine.writers == 0
        self._closed = False
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
        self._require_open()
        if self._readers is None:
            return self._again_and_again(fn, None, "", False)[0]
        loop = asyncio.get_running_loop()
        return (await loop.run_in_executor(self._readers, self._again_and_again, fn, None, "", False))[0]

    async def ask(self, fn: Callable[[Tx], T]) -> T:
        """`read` for an `fn` of a single select: that is one view by itself, and needs no transaction around it."""
        self._require_open()
        if self._readers is not None or not self._free[False]:
            return await self.read(fn)
        connection = self._free[False].pop()
        try:
            return fn(Tx(self, connection.cursor()))
        except Error:
            raise
        except Exception:
            return await self.read(fn)  # which knows what the database's errors mean
        finally:
            self._free[False].append(connection)

    async def write(self, fn: Callable[[Tx], T], ctx: Context, *, why: str) -> T:
        """Run `fn` in a write transaction and journal what it changed, for `ctx`, because of `why`.

        `fn` may run more than once; only its last run counts. A cancelled caller lets it finish first. Raises what `fn`
        raises (then nothing was changed), Stale when it keeps losing against others, NoSpace when the disk is full,
        Unavailable when the database is gone or too busy; its message says when it is unknown whether it stored the
        change before it went.
        """
        self._require_open()
        if self._writers is None:
            result, tx = self._again_and_again(fn, ctx, why, True)
        else:
            loop = asyncio.get_running_loop()
            result, tx = await self._to_the_end(
                loop.run_in_executor(self._writers, self._again_and_again, fn, ctx, why, True)
            )
        self._tell_listeners(tx)
        for callback in tx.callbacks:
            await self._call(callback)
        return result

    def on_change(self, listener: Listener) -> None:
        """Call `listener` with the changes of every write that was committed here; its failure is logged."""
        self._listeners.append(listener)

    def close(self) -> None:
        """Finish the transactions asked for and disconnect; later ones are refused. Repeating changes nothing."""
        self._closed = True
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

    def _require_open(self) -> None:
        if self._closed:
            raise Unavailable("The database is closed.")

    async def _to_the_end(self, work: asyncio.Future[tuple[T, Tx]]) -> tuple[T, Tx]:
        """Await a transaction that runs in a thread; a cancelled caller still lets it finish before it goes."""
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            work.add_done_callback(self._finished_alone)
            await asyncio.wait([work])
            raise

    def _finished_alone(self, work: asyncio.Future[tuple[Any, Tx]]) -> None:
        """Nobody waits any more: the listeners are told, nudges are left to the sweep."""
        if not work.cancelled() and work.exception() is None:
            self._tell_listeners(work.result()[1])

    def _tell_listeners(self, tx: Tx) -> None:
        for listener in self._listeners:
            try:
                listener(tx.changes)
            except Exception:
                LOG.exception("a listener failed after the commit")

    async def _call(self, callback: Callable[[], Awaitable[None]]) -> None:
        try:
            await callback()
        except Unavailable as err:
            LOG.warning("a nudge was not sent, the sweep will find the work: %s", err)
        except Exception:
            LOG.exception("what should follow a commit failed")

    def _again_and_again(self, fn: Callable[[Tx], T], ctx: Context | None, why: str, write: bool) -> tuple[T, Tx]:
        attempt = 1
        while True:
            connection = self._take(write)
            sound = False
            try:
                done = self._once(connection, fn, ctx, why, write)
                sound = True
                return done
            except Exception as err:
                sound = not (isinstance(err, Unavailable) or self.engine.is_gone(err))
                self._worth_another(err, attempt, write)
            finally:
                if sound:
                    self._free[write].append(connection)
                else:
                    connection.close()
            attempt += 1

    def _worth_another(self, err: Exception, attempt: int, write: bool) -> None:
        """Returns when the transaction shall run once more; else raises what its caller is told."""
        if isinstance(err, Stale):
            if attempt >= STALE_TRIES:
                raise err
        elif self.engine.is_gone(err):
            self._hang_up(write)
            if attempt > 1:
                raise Unavailable("The database is not available.") from err
        elif self.engine.is_conflict(err):
            if attempt >= self.engine.tries:
                raise Unavailable("The database is too busy; try again.") from err
            if not self._inline:
                self.engine.pause(self.clock.randbelow(1 << min(attempt, 7)) / 1000)
        else:
            meaning = self.engine.meaning(err)
            if meaning is None:
                raise err
            raise meaning from err

    def _hang_up(self, write: bool) -> None:
        """Throw away the idle connections: what broke one of them broke all."""
        free = self._free[write]
        while free:
            with contextlib.suppress(IndexError):
                free.pop().close()

    def _take(self, write: bool) -> Connection:
        try:
            return self._free[write].pop()
        except IndexError:
            return self.engine.connect(write=write)

    def _once(
        self, connection: Connection, fn: Callable[[Tx], T], ctx: Context | None, why: str, write: bool
    ) -> tuple[T, Tx]:
        connection.begin(write=write)
        cursor = connection.cursor()
        try:
            tx = Tx(self, cursor, ctx, why)
            result = fn(tx)
            tx.write_journal()
        except BaseException:
            connection.rollback()
            raise
        finally:
            cursor.close()
        try:
            connection.commit()
        except Exception as err:
            connection.rollback()
            if tx.changes and self.engine.is_gone(err):
                # Running it again could do it twice.
                raise Unavailable("The database went away: it is not known whether it stored the change.") from err
            raise
        return result, tx
