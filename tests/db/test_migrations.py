"""From one version of the database to the next: nothing lost, nothing left over, refused where it can't be."""

import importlib.util
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Annotated, ClassVar

import pytest
import sqlalchemy as sa
from things import Quiet, Thing

from micronova import config, wiring
from micronova.db import INDEX, KEY, UNIQUE, Database, Row, migrate
from micronova.errors import ConfigError

SCRIPT = Path(__file__).parents[2] / "script" / "make_migration.py"
POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.slow)
pytestmark = pytest.mark.parametrize("place", ["file", POSTGRESQL], indirect=True)


class LaterThing(Thing, frozen=True, kw_only=True):
    """Thing in a later version: a column more, and one that may be looked up."""

    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("owner", "name"), ("owner", "size"))
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("owner", "at"),)

    colour: str | None = None
    price: int = 7
    sold: bool = False
    parts: tuple[str, ...] = ("screw",)


class Other(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "others"

    id: Annotated[str, KEY]
    code: Annotated[str, UNIQUE]
    kind: Annotated[str, INDEX]


FIRST = (*wiring.CORE, Thing, Quiet)
SECOND = (*wiring.CORE, LaterThing, Other)


def write_migration(rows, name):
    spec = importlib.util.spec_from_file_location("make_migration", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.write_migration(rows, name)


class Version:
    """A version of micronova: its rows, its migrations."""

    def __init__(self, place, folder, monkeypatch):
        self._monkeypatch = monkeypatch
        self.config = config.load(flags={"database.url": place.url, "state": str(folder)})
        self.place = place
        (folder / "migrations").mkdir()
        (folder / "migrations" / "env.py").write_text((migrate.FOLDER / "env.py").read_text())
        monkeypatch.setattr(migrate, "FOLDER", folder / "migrations")

    def release(self, rows, name):
        """The next version has these rows."""
        file = write_migration(rows, name)
        self.be(rows, file.name.partition("_")[0])
        return file

    def be(self, rows, head):
        self._monkeypatch.setattr(migrate, "HEAD", head)
        self._monkeypatch.setattr(wiring, "ROWS", rows)


@pytest.fixture
def version(place, tmp_path, monkeypatch):
    return Version(place, tmp_path, monkeypatch)


def shape(url):
    """What a database holds, as its own catalog says."""
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    seen = sa.inspect(engine)
    tables = {
        name: (
            {column["name"]: (str(column["type"]), column["nullable"]) for column in seen.get_columns(name)},
            seen.get_pk_constraint(name)["constrained_columns"],
            sorted((index["name"], tuple(index["column_names"]), index["unique"]) for index in seen.get_indexes(name)),
            sorted((unique["name"], tuple(unique["column_names"])) for unique in seen.get_unique_constraints(name)),
        )
        for name in seen.get_table_names()
    }
    engine.dispose()
    return tables


def empty(place):
    engine = sa.create_engine(place.url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        found = sa.MetaData()
        found.reflect(connection)
        found.drop_all(connection)
    engine.dispose()


def add_a_row_to_each_empty_table(place):
    numbers = counts(place)
    engine = sa.create_engine(place.url.replace("postgresql://", "postgresql+psycopg://"))
    found = sa.MetaData()
    found.reflect(engine)
    with engine.begin() as connection:
        for table in found.tables.values():
            if not numbers[table.name]:
                kinds = {column.name: column.type for column in table.columns}
                values = {name: "x" if isinstance(kind, sa.String) else 1 for name, kind in kinds.items()}
                values |= {name: True for name, kind in kinds.items() if isinstance(kind, sa.Boolean)}
                connection.execute(table.insert().values(values))
    engine.dispose()


def counts(place):
    """How many rows each table holds."""
    engine = sa.create_engine(place.url.replace("postgresql://", "postgresql+psycopg://"))
    names = sa.inspect(engine).get_table_names()
    with engine.connect() as connection:
        numbers = {name: connection.scalar(sa.select(sa.func.count()).select_from(sa.table(name))) for name in names}
    engine.dispose()
    return numbers


def test_all_migrations_in_a_row_make_what_an_empty_database_gets_at_once(version, place):
    version.release(FIRST, "First tables")
    version.release(SECOND, "Colours")
    migrate.run(place.url, "head")
    in_a_row = shape(place.url)
    empty(place)

    migrate.prepare(version.config, upgrade=False)

    assert in_a_row == shape(place.url)
    assert {"others", "things", "journal", "tasks"} < set(in_a_row)


def test_up_down_up_ends_where_it_was(version, place):
    version.release(FIRST, "First tables")
    version.release(SECOND, "Colours")
    migrate.run(place.url, "head")
    up = shape(place.url)

    migrate.run(place.url, "base", down=True)
    down = shape(place.url)
    migrate.run(place.url, "head")

    assert [migrate.VERSION_TABLE] == list(down)
    assert up == shape(place.url)


def test_no_difference_makes_no_migration(version):
    version.release(FIRST, "First tables")

    assert write_migration(FIRST, "Nothing") is None


def test_a_column_that_nobody_can_fill_is_refused(version):
    class Required(Thing, frozen=True, kw_only=True):
        weight: int

    version.release(FIRST, "First tables")

    with pytest.raises(SystemExit, match=r"things.weight needs a default"):
        write_migration((*wiring.CORE, Required, Quiet), "Weights")


def test_a_migration_has_a_piece_per_room_and_a_long_one_is_cut(version, place):
    if place.kind != "file":
        pytest.skip("the files are the same")
    version.release(wiring.ROWS, "Everything")

    texts = {file.name: file.read_text() for file in (migrate.FOLDER / "pieces").iterdir()}
    assert {"0001_core.py", "0001_image.py", "0001_network_trunks.py"} < set(texts)
    assert [] == [name for name, text in texts.items() if text.count("\n") > 400]


async def test_an_upgrade_keeps_what_was_there(version, place, clock, ctx):
    version.release(FIRST, "First tables")
    migrate.prepare(version.config, upgrade=False)
    with closing(Database(place.connect(), clock)) as db:
        await db.write(lambda tx: tx.insert(Thing(id="t1", name="old", labels={"a": "b"})), ctx, why="before")
    version.release(SECOND, "Colours")

    before, after = migrate.upgrade(version.config)

    assert ("0001", "0002") == (before, after)
    with closing(Database(place.connect(), clock)) as db:
        (thing,) = await db.read(lambda tx: tx.find(LaterThing))
        assert ("old", {"a": "b"}, None) == (thing.name, thing.labels, thing.colour)
        assert (7, False, ("screw",)) == (thing.price, thing.sold, thing.parts)
        await db.write(lambda tx: tx.change(thing, colour="blue"), ctx, why="after")


def test_an_older_database_is_refused_until_it_is_upgraded(version, place):
    version.release(FIRST, "First tables")
    migrate.prepare(version.config, upgrade=False)
    old = shape(place.url)
    version.release(SECOND, "Colours")

    with pytest.raises(ConfigError, match=r"of revision 0001, this version needs 0002: run `micronova db upgrade`"):
        migrate.prepare(version.config, upgrade=False)

    assert old == shape(place.url)


def test_a_newer_database_is_refused_in_one_sentence(version):
    version.release(FIRST, "First tables")
    newer = version.release(SECOND, "Colours")
    migrate.prepare(version.config, upgrade=False)
    newer.unlink()
    version.be(FIRST, "0001")

    for upgrade in (False, True):
        with pytest.raises(ConfigError, match=r"newer micronova \(its revision is 0002, this version knows 0001\)"):
            migrate.prepare(version.config, upgrade=upgrade)


def test_a_failing_migration_leaves_the_database_as_it_was(version, place):
    version.release(FIRST, "First tables")
    migrate.prepare(version.config, upgrade=False)
    old = shape(place.url)
    file = version.release(SECOND, "Colours")
    file.write_text(
        file.read_text().replace("\n\ndef downgrade", '\n    raise ZeroDivisionError("a bug")\n\n\ndef downgrade')
    )

    with pytest.raises(ZeroDivisionError):
        migrate.prepare(version.config, upgrade=True)

    assert old == shape(place.url)


def test_of_processes_that_start_together_one_fills_the_database(version, place):
    version.release(FIRST, "First tables")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: migrate.prepare(version.config, upgrade=True), range(4)))

    assert {"things", "quiet", "journal"} < set(shape(place.url))


def test_tables_of_a_plug_in_are_made_when_they_are_missing(version, place):
    version.release(FIRST, "First tables")
    migrate.prepare(version.config, upgrade=False)

    engine = place.connect()
    for _ in range(2):
        with closing(engine.connect(write=True)) as connection:
            migrate.add_tables(engine, connection, [Other])

    assert {"id", "revision", "code", "kind"} == set(shape(place.url)["others"][0])


def test_a_sqlite_file_is_copied_before_it_is_upgraded(version, place, tmp_path):
    if place.kind != "file":
        pytest.skip("PostgreSQL has its own backups")
    version.release(FIRST, "First tables")
    migrate.prepare(version.config, upgrade=False)
    with closing(sqlite3.connect(tmp_path / "test.db", isolation_level=None)) as other:
        other.execute("INSERT INTO quiet (id, number, revision) VALUES ('q1', 1, 1)")
        version.release(SECOND, "Colours")
        migrate.prepare(version.config, upgrade=True)

    with closing(sqlite3.connect(tmp_path / "test.db.before-upgrade")) as copy:
        assert [("q1",)] == copy.execute("SELECT id FROM quiet").fetchall()
        assert [("0001",)] == copy.execute("SELECT version_num FROM alembic_version").fetchall()


released = pytest.mark.skipif(
    not any("revision = " in file.read_text() for file in (migrate.FOLDER / "versions").glob("*.py")),
    reason="no migration was released yet: script/migration makes the first",
)


@released
def test_the_released_migrations_make_todays_tables_whatever_they_hold(place, tmp_path):
    for revision in sorted(migrate.known_revisions()):
        migrate.run(place.url, revision)
        add_a_row_to_each_empty_table(place)
    assert {1} == set(counts(place).values())
    in_a_row = shape(place.url)
    migrate.run(place.url, "base", down=True)
    empty(place)

    migrate.prepare(config.load(flags={"database.url": place.url, "state": str(tmp_path)}), upgrade=False)

    assert in_a_row == shape(place.url)
    assert max(migrate.known_revisions()) == migrate.HEAD


@released
def test_no_row_was_changed_without_a_migration(place):
    assert write_migration(wiring.ROWS, "Nothing") is None
