"""From one version of the database to the next. The daemon compares a stored revision; only an upgrade imports alembic.

An empty database gets today's tables at once, which a test holds equal to what all migrations in a row make. Tables of
a plug-in's manager (its ROWS) are made when they are missing; how they change from one version to the next is its own.
"""

import contextlib
import importlib.util
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import sqlalchemy as sa

from micronova import plugins
from micronova.config import Config
from micronova.db.database import Connection, Engine
from micronova.db.rows import Row
from micronova.errors import ConfigError
from micronova.plugins import Plugins
from micronova.schema import metadata

HEAD = "0004"
"""The newest migration in migrations/versions."""
VERSION_TABLE = "alembic_version"
EXISTS = {
    "sqlite": f"SELECT count(*) FROM sqlite_master WHERE name = '{VERSION_TABLE}'",
    "postgresql": f"SELECT count(*) FROM information_schema.tables WHERE table_name = '{VERSION_TABLE}'"
    " AND table_schema = ANY (current_schemas(false))",
}
FOLDER = Path(__file__).parent / "migrations"
LOCK = 0x6D6E
"""PostgreSQL's advisory lock of whoever makes or changes tables: of processes that start together, one does it."""


def prepare(config: Config, *, upgrade: bool) -> None:
    """Make sure that the configured database is of this version; an empty one is filled.

    With `upgrade` an older one is brought up to date (a SQLite file is copied beside itself first). Raises ConfigError
    for an older one otherwise, and for one that a newer version made.
    """
    from micronova.wiring import ROWS, make_engine

    installed = Plugins()
    engine = make_engine(config, installed)
    with contextlib.closing(engine.connect(write=True)) as connection:
        revision = fill(engine, connection, ROWS)
    if revision != HEAD:
        _bring_up(config, revision, upgrade=upgrade)
    options = config.options
    further = [installed.load(plugins.MANAGERS, name, "managers") for name in options.managers]
    further += [installed.load(plugins.MANAGERS, name, "network.strategies") for name in options.network.strategies]
    rows = [row for manager in further for row in manager.ROWS]
    if rows:
        with contextlib.closing(engine.connect(write=True)) as connection:
            add_tables(engine, connection, rows)


def _bring_up(config: Config, revision: str, *, upgrade: bool) -> None:
    if revision not in known_revisions():
        raise ConfigError(
            f"the database was made by a newer micronova (its revision is {revision}, this version knows {HEAD}); "
            "run that version, or use another state folder"
        )
    if not upgrade:
        raise ConfigError(
            f"the database is of revision {revision}, this version needs {HEAD}: run `micronova db upgrade`"
        )
    upgrade_now(config)


def upgrade(config: Config) -> tuple[str | None, str]:
    """Bring the configured database to this version; returns the revisions before and after."""
    from micronova.wiring import make_engine

    engine = make_engine(config, Plugins())
    with contextlib.closing(engine.connect(write=True)) as connection:
        before = stored_revision(engine, connection)
    prepare(config, upgrade=True)
    return before, HEAD


def stored_revision(engine: Engine, connection: Connection) -> str | None:
    """The revision of a database, None when it is empty."""
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute(EXISTS[engine.dialect.name])
        if not cursor.fetchone()[0]:
            return None
        cursor.execute(f"SELECT version_num FROM {VERSION_TABLE}")
        row = cursor.fetchone()
        return str(row[0]) if row else None


def fill(engine: Engine, connection: Connection, rows: Sequence[type[Row]]) -> str:
    """Make every table in an empty database, all or nothing; returns the database's revision."""
    revision = stored_revision(engine, connection)
    if revision is not None:
        return revision
    version = (
        f"CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)",
        f"INSERT INTO {VERSION_TABLE} (version_num) VALUES ('{HEAD}')",
    )
    return _make(engine, connection, rows, version)


def add_tables(engine: Engine, connection: Connection, rows: Sequence[type[Row]]) -> None:
    """Make those tables of `rows` that are not there."""
    _make(engine, connection, rows)


def _make(engine: Engine, connection: Connection, rows: Sequence[type[Row]], version: Sequence[str] = ()) -> str:
    cursor = connection.cursor()
    if engine.dialect.name == "postgresql":
        # Before the transaction, which sees what there was when it began; until this connection is closed.
        cursor.execute(f"SELECT pg_advisory_lock({LOCK})")
    connection.begin(write=True)
    try:
        if version and (revision := stored_revision(engine, connection)) is not None:
            connection.rollback()
            return revision
        for statement in (*_statements(engine, rows), *version):
            cursor.execute(statement)
        connection.commit()
    except BaseException:
        connection.rollback()
        raise
    finally:
        cursor.close()
    return HEAD


def _statements(engine: Engine, rows: Sequence[type[Row]]) -> list[str]:
    made: list[sa.schema.ExecutableDDLElement] = []
    for table in metadata(tuple(rows)).tables.values():
        made.append(sa.schema.CreateTable(table, if_not_exists=True))
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        made += [sa.schema.CreateIndex(index, if_not_exists=True) for index in indexes]
    return [str(statement.compile(dialect=engine.dialect)) for statement in made]


def known_revisions() -> frozenset[str]:
    """Every revision this version can start from: migration files are called NNNN_what.py."""
    return frozenset(file.name.partition("_")[0] for file in (FOLDER / "versions").glob("[0-9]*_*.py"))


def pieces(revision: str, *names: str) -> list[ModuleType]:
    """The modules NNNN_name.py in migrations/pieces that make up a migration; each has upgrade() and downgrade().

    They lie beside versions/ because alembic takes whatever is in there for a migration.
    """
    found = []
    for name in names:
        spec = importlib.util.spec_from_file_location(name, FOLDER / "pieces" / f"{revision}_{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found.append(module)
    return found


def upgrade_now(config: Config, revision: str = "head", *, down: bool = False) -> None:
    """Run the migrations up (or, for tests, down) to `revision`, all or none. A SQLite file is copied first."""
    from micronova.wiring import database_url

    url = database_url(config)
    if not down and url.startswith("sqlite:///"):
        _copy(Path(url.removeprefix("sqlite:///")))
    run(url, revision, down=down)


def run(url: str, revision: str, *, down: bool = False) -> None:
    """Run the migrations of the database at `url` up or down to `revision`."""
    from alembic import command
    from alembic.config import Config as AlembicConfig

    settings = AlembicConfig()
    settings.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    settings.attributes["url"] = url.replace("postgresql://", "postgresql+psycopg://", 1)
    settings.attributes["lock"] = LOCK
    (command.downgrade if down else command.upgrade)(settings, revision)


def _copy(file: Path) -> None:
    """Copy a SQLite file, and what is in its log only, to `….before-upgrade`."""
    if not file.exists():
        return
    copy = file.with_name(file.name + ".before-upgrade")
    copy.touch(mode=0o600)
    shutil.copymode(file, copy)
    with contextlib.closing(sqlite3.connect(file)) as old, contextlib.closing(sqlite3.connect(copy)) as new:
        old.backup(new)
