"""A transaction happens whole or not at all, is journalled, told to who waits for it, and can't be overtaken."""

import asyncio
import threading
from datetime import UTC, datetime

import pytest
from things import Quiet, Thing

from micronova.context import Context
from micronova.db import statements
from micronova.db.journal import Entry
from micronova.errors import Duplicate, NotFound, QuotaExceeded, Stale, Unavailable


@pytest.fixture
def db(open_db):
    return open_db(Thing, Quiet)


async def rows(db, cls):
    return await db.read(lambda tx: tx.find(cls, order=(("id", True),)))


async def insert(db, ctx, *made):
    return await db.write(lambda tx: [tx.insert(row) for row in made], ctx, why="a test")


async def journal(db):
    return await db.read(lambda tx: tx.find(Entry, order=(("seq", True),)))


# -- insert, change, delete


async def test_a_change_counts_the_revision_and_returns_the_row_as_stored(db, ctx):
    (thing,) = await insert(db, ctx, Thing(id="t1"))

    changed = await db.write(lambda tx: tx.change(thing, name="new", labels={"a": "b"}), ctx, why="a test")

    assert (2, "new", {"a": "b"}) == (changed.revision, changed.name, changed.labels)
    assert [changed] == await rows(db, Thing)


async def test_a_change_that_changes_nothing_is_none(db, ctx):
    (thing,) = await insert(db, ctx, Thing(id="t1", name="same"))

    changed = await db.write(lambda tx: tx.change(thing, name="same", size=0), ctx, why="a test")

    assert thing == changed
    assert 1 == len(await journal(db))


async def test_a_deleted_row_is_gone(db, ctx):
    (thing,) = await insert(db, ctx, Thing(id="t1"))

    await db.write(lambda tx: tx.delete(thing), ctx, why="a test")

    assert [] == await rows(db, Thing)


@pytest.mark.parametrize("act", ["change", "delete"])
async def test_who_saw_an_older_row_is_told(db, ctx, act):
    (seen,) = await insert(db, ctx, Thing(id="t1"))
    await db.write(lambda tx: tx.change(seen, size=5), ctx, why="somebody was faster")

    with pytest.raises(Stale, match="Thing t1"):
        await db.write(lambda tx: tx.change(seen, size=6) if act == "change" else tx.delete(seen), ctx, why="late")

    assert [5] == [thing.size for thing in await rows(db, Thing)]


async def test_unique_columns_are_unique_alone_and_together(db, ctx):
    await insert(db, ctx, Thing(id="t1", owner="a", name="n", address="x"), Thing(id="t2", owner="a", name=None))

    for wrong in (
        Thing(id="t1", owner="other"),
        Thing(id="t3", owner="b", address="x"),
        Thing(id="t3", owner="a", name="n"),
    ):
        with pytest.raises(Duplicate, match="Thing exists already"):
            await insert(db, ctx, wrong)
    with pytest.raises(Duplicate):
        await db.write(lambda tx: tx.change(tx.get(Thing, "t2"), name="n"), ctx, why="a test")

    assert ["t1", "t2"] == [thing.id for thing in await rows(db, Thing)]


async def test_nothing_is_unique_as_often_as_one_likes(db, ctx):
    await insert(db, ctx, *(Thing(id=f"t{i}", address=None, name=None) for i in range(3)))

    assert 3 == len(await rows(db, Thing))


async def test_serial_numbers_grow_and_come_back_with_the_row(db, ctx):
    stored = await insert(db, ctx, *(Thing(id=f"t{i}", name=str(i)) for i in range(3)))

    assert stored == await rows(db, Thing)
    assert sorted({thing.seq for thing in stored}) == [thing.seq for thing in stored]


async def test_a_read_can_change_nothing(db):
    with pytest.raises(TypeError, match="read transaction"):
        await db.read(lambda tx: tx.insert(Thing(id="t1")))

    assert [] == await rows(db, Thing)


# -- the journal


async def test_the_journal_says_who_changed_what_and_why(db, ctx):
    at = datetime(2026, 1, 2, tzinfo=UTC)
    (thing,) = await insert(db, ctx, Thing(id="t1", size=1))
    other = Context(request_id="req-2", user_id="u2", project_id="p2")

    thing = await db.write(lambda tx: tx.change(thing, size=2, at=at, owner="p"), other, why="moved")
    await db.write(lambda tx: tx.delete(thing), ctx, why="not wanted")

    made, changed, deleted = await journal(db)
    assert ["insert", "change", "delete"] == [made.op, changed.op, deleted.op]
    assert ("things", "t1", "moved", "req-2", "u2", "p2") == (
        changed.table_name, changed.row_id, changed.why, changed.request_id, changed.user_id, changed.project_id,
    )  # fmt: skip
    assert ({"size": 1, "at": None, "owner": "o"}, {"size": 2, "at": "2026-01-02T00:00:00Z", "owner": "p"}) == (
        changed.before, changed.after,
    )  # fmt: skip
    assert ({}, 1) == (made.before, made.after["size"])
    assert (2, {}) == (deleted.before["size"], deleted.after)
    assert made.at <= changed.at <= deleted.at


async def test_secrets_never_reach_the_journal(db, ctx):
    (thing,) = await insert(db, ctx, Thing(id="t1", secret="hush1"))
    thing = await db.write(lambda tx: tx.change(thing, secret="hush2"), ctx, why="a test")
    await db.write(lambda tx: tx.delete(thing), ctx, why="a test")

    entries = await journal(db)

    assert "hush" not in repr(entries)
    assert ["***", "***", "***"] == [(entry.after or entry.before)["secret"] for entry in entries]


async def test_rows_that_are_a_log_themselves_are_not_journalled(db, ctx):
    (row,) = await insert(db, ctx, Quiet(id="q1"))
    row = await db.write(lambda tx: tx.change(row, number=1), ctx, why="a test")
    await db.write(lambda tx: tx.delete(row), ctx, why="a test")

    assert [] == await journal(db)


async def test_a_refused_transaction_leaves_no_trace(db, ctx):
    told = []
    db.on_change(told.append)

    def refused(tx):
        tx.insert(Thing(id="t1"))
        tx.insert(Quiet(id="q1"))
        tx.after_commit(lambda: told.append("committed"))
        raise QuotaExceeded("too many")

    with pytest.raises(QuotaExceeded):
        await db.write(refused, ctx, why="never")

    assert ([], [], [], []) == (await rows(db, Thing), await rows(db, Quiet), await journal(db), told)


# -- after the commit


async def test_what_follows_a_commit_happens_once_and_sees_it(db, ctx):
    seen = []

    async def look():
        seen.append([thing.id for thing in await rows(db, Thing)])

    def make(tx):
        tx.insert(Thing(id="t1"))
        tx.after_commit(look)

    await db.write(make, ctx, why="a test")

    assert [["t1"]] == seen


async def test_a_failure_after_the_commit_is_logged_and_does_not_undo_it(db, ctx, caplog):
    heard = []

    async def nudge():
        raise ZeroDivisionError("a bug in the nudge")

    def listener(changes):
        raise ZeroDivisionError("a bug in a listener")

    db.on_change(listener)
    db.on_change(heard.extend)

    def make(tx):
        tx.after_commit(nudge)
        return tx.insert(Thing(id="t1"))

    stored = await db.write(make, ctx, why="a test")

    assert [stored] == await rows(db, Thing)
    assert ["t1"] == [change.row_id for change in heard]
    assert "a bug in the nudge" in caplog.text
    assert "a bug in a listener" in caplog.text


async def test_listeners_hear_what_changed_only_after_the_commit(db, ctx):
    heard = []
    db.on_change(heard.append)

    def make(tx):
        tx.change(tx.insert(Thing(id="t1")), size=1)
        assert [] == heard

    await db.write(make, ctx, why="a test")

    assert [[("insert", "t1"), ("change", "t1")]] == [[(c.op, c.row_id) for c in changes] for changes in heard]


# -- races


async def test_a_counted_limit_is_never_exceeded(open_db, ctx, place):
    first = open_db(Thing)
    databases = [first] if place.kind == "memory" else [first, *(open_db(engine=place.connect()) for _ in range(3))]

    def admit(tx, name):
        if tx.count(Thing, owner="p1") >= 5:
            raise QuotaExceeded("5 are enough")
        tx.insert(Thing(id=name, owner="p1", name=name))

    async def ask(i):
        await databases[i % len(databases)].write(lambda tx: admit(tx, f"t{i}"), ctx, why="a race")

    answers = await asyncio.gather(*(ask(i) for i in range(16)), return_exceptions=True)

    assert 5 == answers.count(None)
    assert {QuotaExceeded} == {type(answer) for answer in answers if answer}
    assert 5 == len(await rows(first, Thing)) == len(await journal(first))


async def test_concurrent_changes_of_one_row_all_count(open_db, ctx, place):
    first = open_db(Quiet)
    other = first if place.kind == "memory" else open_db(engine=place.connect())
    await insert(first, ctx, Quiet(id="q1"))

    def count_up(tx):
        row = tx.get(Quiet, "q1")
        tx.change(row, number=row.number + 1)

    await asyncio.gather(*(db.write(count_up, ctx, why="a race") for db in (first, other) for _ in range(8)))

    assert [(16, 17)] == [(row.number, row.revision) for row in await rows(first, Quiet)]


@pytest.mark.parametrize("place", ["file", "postgresql"], indirect=True)
async def test_a_cancelled_caller_lets_the_transaction_finish(db, ctx):
    heard, running, go_on = [], threading.Event(), threading.Event()
    db.on_change(heard.append)

    def slow(tx):
        running.set()
        go_on.wait(10)
        tx.insert(Thing(id="t1"))

    caller = asyncio.create_task(db.write(slow, ctx, why="a test"))
    await asyncio.to_thread(running.wait, 10)
    caller.cancel()
    asyncio.get_running_loop().call_later(0.01, go_on.set)
    with pytest.raises(asyncio.CancelledError):
        await caller

    assert ["t1"] == [thing.id for thing in await rows(db, Thing)]
    assert 1 == len(heard)


@pytest.mark.parametrize("place", ["file", "postgresql"], indirect=True)
async def test_a_reader_does_not_wait_for_a_writer(db, ctx):
    running, go_on = threading.Event(), threading.Event()

    def slow(tx):
        tx.insert(Thing(id="t1"))
        running.set()
        go_on.wait(10)

    writers = [asyncio.create_task(db.write(slow, ctx, why="a test")) for _ in range(9)]
    await asyncio.to_thread(running.wait, 10)
    async with asyncio.timeout(5):
        meanwhile = await rows(db, Thing)
    go_on.set()
    await asyncio.gather(*writers, return_exceptions=True)

    assert [] == meanwhile


@pytest.mark.parametrize("place", ["file", "postgresql"], indirect=True)
async def test_connections_are_used_again(open_db, place, ctx):
    engine = place.fill(Thing)
    opened = []
    connect = engine.connect
    engine.connect = lambda *, write: opened.append(write) or connect(write=write)
    db = open_db(engine=engine)

    for i in range(20):
        await insert(db, ctx, Thing(id=f"t{i}", owner=str(i)))
        await rows(db, Thing)
        with pytest.raises(NotFound):
            await db.read(lambda tx: tx.get(Thing, "nothing"))

    assert [False, True] == sorted(opened)


async def test_statements_are_compiled_once(db, ctx, monkeypatch):
    compiled = []
    compile_sql = statements.compile_sql
    monkeypatch.setattr(statements, "compile_sql", lambda *args: compiled.append(args) or compile_sql(*args))

    async def everything(i):
        (thing,) = await insert(db, ctx, Thing(id=f"t{i}", name=str(i)))
        thing = await db.write(lambda tx: tx.change(thing, size=i + 1), ctx, why="a test")
        await db.read(lambda tx: tx.find(Thing, owner=["o"] * i, order=(("name", True),), after=thing, limit=i))
        await db.read(lambda tx: tx.count(Thing, name=None))
        await db.write(lambda tx: tx.delete(thing), ctx, why="a test")

    await everything(1)
    first = len(compiled)
    for i in range(2, 6):
        await everything(i)

    assert first == len(compiled) > 0


# -- the end


async def test_a_closed_database_says_so(db, ctx):
    db.close()
    db.close()

    with pytest.raises(Unavailable, match="closed"):
        await db.read(lambda tx: tx.count(Thing))
    with pytest.raises(Unavailable, match="closed"):
        await insert(db, ctx, Thing(id="t1"))


@pytest.mark.parametrize("place", ["file", "postgresql"], indirect=True)
async def test_close_lets_what_was_asked_for_finish(db, ctx, open_db, place):
    writes = [asyncio.create_task(insert(db, ctx, Thing(id=f"t{i}", owner=str(i)))) for i in range(4)]
    await asyncio.sleep(0)

    db.close()
    await asyncio.gather(*writes)

    assert 4 == len(await rows(open_db(engine=place.connect()), Thing))
