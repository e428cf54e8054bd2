"""What the database layer costs on a SQLite file, beside the same statements by hand: `python bench/database.py`.

By hand means sqlite3 without rows, conversions or a journal kept by anybody else, in the same run; inserts by hand
write a line of the journal too. Rounds of all candidates are interleaved and the best round counts, so that a busy
machine hurts none more than another.
"""

import asyncio
import contextlib
import json
import sqlite3
import tempfile
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, ClassVar

import uvloop

from micronova import tasks
from micronova.clock import SystemClock
from micronova.context import Context
from micronova.db import INDEX, KEY, Database, Row, Tx
from micronova.db.rows import micros
from micronova.db.sqlite import SQLite
from micronova.tasks import Order
from micronova.testing.ground import make_tables

Result = tuple[str, float, str]
Job = Callable[[], Awaitable[object]]

ROUNDS = 15
STORED = 1000


class Thing(Row, frozen=True, kw_only=True):
    """Seven columns, as a room's row has them: text, a number, JSON, moments."""

    TABLE: ClassVar[str] = "things"

    id: Annotated[str, KEY]
    project_id: Annotated[str, INDEX]
    name: str = "a name of usual length"
    size_gib: int = 3
    labels: dict[str, str] = {}
    created_at: datetime
    updated_at: datetime | None = None


class ByHand:
    """The floor: the same statements through sqlite3 alone."""

    def __init__(self, file: Path, clock: SystemClock) -> None:
        self._clock = clock
        self._connection = sqlite3.connect(file, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self.close = self._connection.close

    async def insert(self) -> None:
        id, now = self._clock.new_id(), micros(self._clock.now())
        row = (1, id, "q", "a name of usual length", 3, "{}", now, now)
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("INSERT INTO things VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
        self._connection.execute(
            "INSERT INTO journal (revision, id, at, table_name, row_id, op, before, after, why, request_id, user_id,"
            " project_id) VALUES (1, ?, ?, 'things', ?, 'insert', '{}', ?, 'measured', 'r', '', '')",
            (self._clock.new_id(), now, id, json.dumps(row)),
        )
        self._connection.execute("COMMIT")

    async def get(self) -> object:
        return self._connection.execute("SELECT * FROM things WHERE id = ?", ("t00500",)).fetchone()

    async def list(self, limit: int) -> object:
        statement = "SELECT * FROM things WHERE project_id = ? ORDER BY id LIMIT ?"
        return self._connection.execute(statement, ("p", limit)).fetchall()


class Ours:
    """The same through transactions of the database layer."""

    def __init__(self, db: Database, clock: SystemClock) -> None:
        self._db = db
        self._clock = clock
        self._ctx = Context(request_id="r")
        self.close = db.close

    def fill(self, tx: Tx) -> None:
        for i in range(STORED):
            tx.insert(Thing(id=f"t{i:05}", project_id="p", created_at=tx.now, updated_at=tx.now))

    async def write(self, fn: Callable[[Tx], object]) -> None:
        await self._db.write(fn, self._ctx, why="measured")

    async def insert(self) -> None:
        id = self._clock.new_id()
        await self.write(lambda tx: tx.insert(Thing(id=id, project_id="q", created_at=tx.now, updated_at=tx.now)))

    async def get(self) -> object:
        return await self._db.read(lambda tx: tx.get(Thing, "t00500"))

    async def list(self, limit: int) -> object:
        return await self._db.read(lambda tx: tx.find(Thing, project_id="p", order=(("id", True),), limit=limit))

    async def record(self) -> None:
        order = Order("compute", "host1", "build", "1.0", f"server:{self._clock.new_id()}", ("an id",), 600, False)
        await self.write(lambda tx: tasks.record(tx, self._ctx, self._clock, order))


async def _once(job: Job, times: int, clock: SystemClock) -> float:
    """Microseconds of one of `times` runs in a row."""
    begun = clock.monotonic()  # the loop's own time has steps of a millisecond
    for _ in range(times):
        await job()
    return (clock.monotonic() - begun) / times * 1e6


def _candidates(hand: ByHand, inline: Ours, threaded: Ours) -> list[tuple[str, Job, int]]:
    return [
        ("insert and journal, by hand", hand.insert, 200),
        ("insert and journal, inline", inline.insert, 200),
        ("insert and journal, threaded", threaded.insert, 200),
        ("record a task, inline", inline.record, 200),
        ("get by id, by hand", hand.get, 1000),
        ("get by id, inline", inline.get, 1000),
        ("get by id, threaded", threaded.get, 500),
        ("list 100, by hand", lambda: hand.list(100), 50),
        ("list 100, inline", lambda: inline.list(100), 50),
        ("list 1000, by hand", lambda: hand.list(1000), 5),
        ("list 1000, inline", lambda: inline.list(1000), 5),
    ]


async def _measure(folder: Path) -> list[Result]:
    clock = SystemClock()
    engine, in_threads = (SQLite(f"sqlite:///{folder / 'bench.db'}") for _ in range(2))
    in_threads.reads_inline = False
    make_tables(engine, (Thing,))
    with contextlib.ExitStack() as stack:
        hand = ByHand(folder / "bench.db", clock)
        inline = Ours(Database(engine, clock, inline=True), clock)
        threaded = Ours(Database(in_threads, clock), clock)
        for one in (hand, inline, threaded):
            stack.callback(one.close)
        await inline.write(inline.fill)
        candidates = _candidates(hand, inline, threaded)
        best = dict.fromkeys((name for name, _, _ in candidates), float("inf"))
        for _ in range(ROUNDS):
            for name, job, times in candidates:
                best[name] = min(best[name], await _once(job, times, clock))
        return [(name, took, "µs") for name, took in best.items()]


def measure() -> list[Result]:
    """(what, how much, unit) for inserts, gets and lists, ours and by hand; takes about two seconds."""
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_measure(Path(folder)))


if __name__ == "__main__":
    for what, how_much, unit in measure():
        print(f"{what:<48}{how_much:>10.2f} {unit}")
