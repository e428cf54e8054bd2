"""Compares today's rows with the tables that all migrations make, and writes the difference as the next migration."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext

from micronova.db import Row, migrate
from micronova.schema import metadata

FILE = '''"""{title}."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = {before}

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    {up}


def downgrade() -> None:
    {down}
'''


def write_migration(rows: Sequence[type[Row]], name: str) -> Path | None:
    """The next migration's file in migrate.FOLDER, None when nothing differs."""
    versions = migrate.FOLDER / "versions"
    before = max(migrate.known_revisions(), default=None)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/empty.db"
        if before is not None:
            migrate.run(url, "head")
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            options = {"compare_type": _differs, "include_name": _ours}
            context = MigrationContext.configure(connection, opts=options)
            script = produce_migrations(context, metadata(tuple(rows)))
        engine.dispose()
    assert script.upgrade_ops is not None
    assert script.downgrade_ops is not None
    if script.upgrade_ops.is_empty():
        return None
    revision = f"{int(before or 0) + 1:04}"
    versions.mkdir(exist_ok=True)
    file = versions / f"{revision}_{re.sub(r'[^a-z0-9]+', '_', name.lower()).strip('_')}.py"
    # Only SQLite needs batches, and only to change a table that is there already.
    batch = before is not None
    up, down = (_code(ops, context, batch=batch) for ops in (script.upgrade_ops, script.downgrade_ops))
    before_text = "None" if before is None else f'"{before}"'
    file.write_text(FILE.format(title=name, revision=revision, before=before_text, up=up, down=down))
    ruff = Path(sys.executable).with_name("ruff")
    subprocess.run([ruff, "check", "--quiet", "--fix", "--select", "F,I,RET,W", file], check=False)
    subprocess.run([ruff, "format", "--quiet", file], check=True)
    return file


def _code(operations: Any, context: MigrationContext, *, batch: bool) -> str:
    text = render_python_code(operations, render_as_batch=batch, render_item=_render, migration_context=context)
    return "\n".join(line for line in text.splitlines() if not line.strip().startswith("# ###")).strip()


def _render(kind: str, item: Any, context: Any) -> str | Literal[False]:
    """The two kinds of column that databases call differently by their names."""
    if kind == "type" and isinstance(item, sa.Text):
        return "TEXT"
    if kind == "type" and isinstance(item, sa.BigInteger) and item._variant_mapping:
        return "SERIAL"
    return False


def _differs(context: Any, inspected: Any, column: Any, stored: sa.types.TypeEngine[Any], wanted: Any) -> bool:
    dialect = context.dialect
    return str(stored.compile(dialect=dialect)) != str(wanted.compile(dialect=dialect))


def _ours(name: str | None, kind: str, parents: Any) -> bool:
    return not (kind == "table" and name == migrate.VERSION_TABLE)


def _set_head(revision: str) -> None:
    file = Path(migrate.__file__)
    file.write_text(re.sub(r'^HEAD = "\d+"', f'HEAD = "{revision}"', file.read_text(), flags=re.MULTILINE))


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: script/migration NAME")
    from micronova.wiring import ROWS

    file = write_migration(ROWS, sys.argv[1])
    if file is None:
        sys.exit("no row differs from what the migrations make")
    _set_head(file.name.partition("_")[0])
    print(file)


if __name__ == "__main__":
    main()
