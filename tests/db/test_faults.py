"""What can happen to a database: it goes away and comes back, its disk is full, somebody else holds it."""

import asyncio
import subprocess
import sys

import pytest
from things import Thing

from micronova.db import sqlite
from micronova.db.journal import Entry
from micronova.db.sqlite import SQLite
from micronova.errors import ConfigError, NoSpace, Unavailable

SOON = 8
"""Seconds within which a caller is told that the database is gone."""


async def insert(db, ctx, *made):
    return await db.write(lambda tx: [tx.insert(row) for row in made], ctx, why="a test")


async def ids(db):
    return [thing.id for thing in await db.read(lambda tx: tx.find(Thing, order=(("id", True),)))]


# -- gone and back


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
async def test_a_killed_server_is_told_and_used_again_when_it_is_back(open_db, ctx, postgres_server):
    db = open_db(Thing)
    await asyncio.gather(*(insert(db, ctx, Thing(id=f"t{i}", owner=str(i))) for i in range(4)))
    await ids(db)

    postgres_server.kill()
    try:
        async with asyncio.timeout(SOON):
            calls = [ids(db), insert(db, ctx, Thing(id="t8")), ids(db), insert(db, ctx, Thing(id="t9"))]
            meanwhile = await asyncio.gather(*calls, return_exceptions=True)
    finally:
        postgres_server.start()
    await asyncio.gather(*(insert(db, ctx, Thing(id=f"u{i}", owner=f"u{i}")) for i in range(12)))

    assert [Unavailable] * 4 == [type(answer) for answer in meanwhile]
    assert [f"t{i}" for i in range(4)] == [id for id in await ids(db) if id.startswith("t")]
    assert 16 == len(await ids(db)) == len(await db.read(lambda tx: tx.find(Entry)))


@pytest.mark.slow
@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
async def test_a_server_that_restarts_between_two_questions_is_not_noticed(open_db, ctx, postgres_server):
    db = open_db(Thing)
    await insert(db, ctx, Thing(id="t1"))
    assert ["t1"] == await ids(db)

    postgres_server.kill()
    postgres_server.start()

    assert ["t1"] == await ids(db)
    await insert(db, ctx, Thing(id="t2", owner="2"))
    assert ["t1", "t2"] == await ids(db)


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
async def test_a_commit_whose_outcome_is_unknown_is_not_repeated(open_db, place, ctx):
    engine = place.fill(Thing)
    db = open_db(engine=engine)
    await insert(db, ctx, Thing(id="t1"))
    (connection,) = db._free[True]
    commit, runs = connection.commit, []

    def commit_and_break():
        commit()
        connection.close()
        connection.cursor().execute("SELECT 1")

    def make(tx):
        runs.append(tx)
        tx.insert(Thing(id="t2", owner="2"))

    connection.commit = commit_and_break
    with pytest.raises(Unavailable, match="not known"):
        await db.write(make, ctx, why="a test")

    assert 1 == len(runs)
    assert ["t1", "t2"] == await ids(db)
    await insert(db, ctx, Thing(id="t3", owner="3"))


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
async def test_a_connection_that_is_cut_in_a_transaction_costs_one_repetition(open_db, ctx):
    db = open_db(Thing)
    runs = []

    def make(tx):
        runs.append(tx)
        tx.insert(Thing(id="t1"))
        if len(runs) == 1:
            tx._cursor.connection.close()
        tx.change(tx.get(Thing, "t1"), size=1)

    await db.write(make, ctx, why="a test")

    assert 2 == len(runs)
    assert ["t1"] == await ids(db)
    assert 2 == len(await db.read(lambda tx: tx.find(Entry)))


async def test_an_address_nobody_listens_at_is_told_in_time(clock, ctx):
    postgresql = pytest.importorskip("micronova.db.postgresql")
    pytest.importorskip("psycopg")

    engine = postgresql.PostgreSQL("postgresql://nobody@127.0.0.1:1/nothing")

    with pytest.raises(Unavailable):
        engine.connect(write=True)


def test_a_wrong_address_is_told_to_the_operator():
    postgresql = pytest.importorskip("micronova.db.postgresql")
    pytest.importorskip("psycopg")

    with pytest.raises(ConfigError, match=r"database\.url"):
        postgresql.PostgreSQL("postgresql://h/d?no_such_option=1")
    with pytest.raises(ConfigError, match="not a SQLite URL"):
        SQLite("mysql://x")


def test_a_file_that_cannot_be_is_told(tmp_path):
    (tmp_path / "text.db").write_text("this is no database, whatever its name says " * 100)

    for wrong in (tmp_path / "no such folder" / "x.db", tmp_path, tmp_path / "text.db"):
        with pytest.raises(Unavailable, match="can't be opened"):
            SQLite(f"sqlite:///{wrong}").connect(write=True)


# -- full


@pytest.mark.parametrize("place", ["file", "memory"], indirect=True)
async def test_a_full_disk_is_told_and_nothing_is_half_written(open_db, place, ctx):
    engine = place.fill(Thing)
    db = open_db(engine=engine)
    await insert(db, ctx, Thing(id="t1"))
    connection = db._free[True][0]._connection
    ((pages,),) = connection.execute("PRAGMA page_count").fetchall()
    connection.execute(f"PRAGMA max_page_count={pages + 2}").fetchall()

    with pytest.raises(NoSpace, match="disk is full"):
        await insert(db, ctx, *(Thing(id=f"big{i}", owner=str(i), name="x" * 9000) for i in range(3)))
    after = (await ids(db), len(await db.read(lambda tx: tx.find(Entry))))
    connection.execute("PRAGMA max_page_count=1000000").fetchall()
    await insert(db, ctx, Thing(id="t2", owner="2"))

    assert (["t1"], 1) == after
    assert ["t1", "t2"] == await ids(db)


# -- held by somebody else

HOLD = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that writes to the database until it is told to let go."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "test.db"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    yield child
    child.communicate(b"\n", timeout=10)


@pytest.mark.parametrize("place", ["file"], indirect=True)
async def test_a_database_held_by_another_process_can_be_read_and_is_told_busy(
    open_db, ctx, place, monkeypatch, request
):
    monkeypatch.setattr(sqlite, "LOCK_WAIT", 50)
    db = open_db(Thing)
    await insert(db, ctx, Thing(id="t1"))
    assert b"held" in request.getfixturevalue("holder").stdout.readline()

    async with asyncio.timeout(SOON):
        with pytest.raises(Unavailable, match="busy"):
            await insert(db, ctx, Thing(id="t2"))
        assert ["t1"] == await ids(db)


@pytest.mark.parametrize("place", ["file"], indirect=True)
async def test_a_write_waits_for_another_process_that_lets_go(open_db, ctx, request):
    db = open_db(Thing)
    holder = request.getfixturevalue("holder")
    assert b"held" in holder.stdout.readline()

    write = asyncio.create_task(insert(db, ctx, Thing(id="t1")))
    done, _ = await asyncio.wait([write], timeout=0.1)
    holder.stdin.write(b"\n")
    holder.stdin.flush()
    await write

    assert not done
    assert ["t1"] == await ids(db)


@pytest.mark.parametrize("place", ["file"], indirect=True)
async def test_a_damaged_file_is_told_in_one_sentence(open_db, ctx, tmp_path):
    db = open_db(Thing)
    await insert(db, ctx, *(Thing(id=f"t{i}", owner=str(i)) for i in range(200)))
    db.close()
    with (tmp_path / "test.db").open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))

    with pytest.raises(Unavailable, match="malformed"):
        await ids(open_db(engine=SQLite(f"sqlite:///{tmp_path / 'test.db'}")))


@pytest.mark.parametrize("place", ["file"], indirect=True)
async def test_a_closed_database_is_one_file(open_db, ctx, tmp_path):
    db = open_db(Thing)
    await insert(db, ctx, Thing(id="t1"))
    await ids(db)

    db.close()

    assert ["test.db"] == [file.name for file in tmp_path.iterdir()]


@pytest.mark.parametrize("place", ["file"], indirect=True)
async def test_nobody_else_may_read_the_file(open_db, ctx, tmp_path):
    db = open_db(Thing)
    await insert(db, ctx, Thing(id="t1", secret="hush"))

    modes = {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}

    assert {0o600} == modes
