"""From one version of the database to the next. The daemon compares a stored revision; only an upgrade imports alembic.

An empty database gets today's tables at once, which a test holds equal to what all migrations in a row make.
"""

import contextlib
import shutil
from pathlib import Path

from micronova.config import Config
from micronova.db.database import Connection, Engine
from micronova.errors import ConfigError

HEAD = "0001"
"""The newest migration in migrations/versions."""
VERSION_TABLE = "alembic_version"
EXISTS = {
    "sqlite": f"SELECT count(*) FROM sqlite_master WHERE name = '{VERSION_TABLE}'",
    "postgresql": f"SELECT count(*) FROM information_schema.tables WHERE table_name = '{VERSION_TABLE}'"
    " AND table_schema = ANY (current_schemas(false))",
}
FOLDER = Path(__file__).parent / "migrations"


def prepare(config: Config, *, upgrade: bool) -> None:
    """Make sure that the configured database is of this version; an empty one is filled.

    With `upgrade` an older one is brought up to date (a SQLite file is copied beside itself first). Raises ConfigError
    for an older one otherwise, and for one that a newer version made.
    """
    from micronova.plugins import Plugins
    from micronova.wiring import ROWS, make_engine

    engine = make_engine(config, Plugins())
    connection = engine.connect(write=True)
    try:
        revision = stored_revision(engine, connection)
        if revision is None:
            fill(engine, connection, ROWS)
            return
    finally:
        connection.close()
    if revision == HEAD:
        return
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
    from micronova.plugins import Plugins
    from micronova.wiring import make_engine

    engine = make_engine(config, Plugins())
    connection = engine.connect(write=True)
    try:
        before = stored_revision(engine, connection)
    finally:
        connection.close()
    prepare(config, upgrade=True)
    return before, HEAD


def stored_revision(engine: Engine, connection: Connection) -> str | None:
    """The revision of a database, None when it is empty."""
    cursor = connection.cursor()
    cursor.execute(EXISTS[engine.dialect.name])
    if not cursor.fetchone()[0]:
        return None
    cursor.execute(f"SELECT version_num FROM {VERSION_TABLE}")
    row = cursor.fetchone()
    return str(row[0]) if row else None


def fill(engine: Engine, connection: Connection, rows: tuple[type, ...]) -> None:
    """Make every table in an empty database, all or nothing."""
    from micronova.schema import statements

    connection.begin(write=True)
    try:
        cursor = connection.cursor()
        for statement in statements(rows, engine.dialect):
            cursor.execute(statement)
        cursor.execute(f"CREATE TABLE {VERSION_TABLE} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        cursor.execute(f"INSERT INTO {VERSION_TABLE} (version_num) VALUES ('{HEAD}')")
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def known_revisions() -> frozenset[str]:
    """Every revision this version can start from: migration files are called NNNN_what.py."""
    return frozenset(file.name.partition("_")[0] for file in (FOLDER / "versions").glob("[0-9]*_*.py"))


def upgrade_now(config: Config, revision: str = "head", *, down: bool = False) -> None:
    """Run the migrations up (or, for tests, down) to `revision`."""
    from alembic import command
    from alembic.config import Config as AlembicConfig

    from micronova.wiring import database_url

    url = database_url(config)
    if not down and url.startswith("sqlite:///"):
        file = Path(url.removeprefix("sqlite:///"))
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(file, file.with_name(file.name + ".before-upgrade"))
    settings = AlembicConfig()
    settings.set_main_option("script_location", str(FOLDER))
    settings.attributes["url"] = url.replace("postgresql://", "postgresql+psycopg://", 1)
    (command.downgrade if down else command.upgrade)(settings, revision)
