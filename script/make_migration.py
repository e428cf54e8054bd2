"""Compares today's rows with the tables that all migrations make, and writes the difference as the next migration.

A migration is a file in versions/ and a piece per room in pieces/, with a function per table. Whoever reads it finds a
room's tables together; a room that changes much is cut by the modules of its rows.
"""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import sqlalchemy as sa
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from alembic.operations import ops

from micronova.db import Row, migrate
from micronova.db.rows import fields_of
from micronova.schema import metadata

VERSION = '''"""{title}."""

from micronova.db import migrate

revision = "{revision}"
down_revision = {before}
PIECES = {pieces}


def upgrade() -> None:
    for piece in migrate.pieces(revision, *PIECES):
        piece.upgrade()


def downgrade() -> None:
    for piece in reversed(migrate.pieces(revision, *PIECES)):
        piece.downgrade()
'''
PIECE = '''"""{title}: {what}."""

import sqlalchemy as sa
from alembic import op

{types}
def upgrade() -> None:
    {up}


def downgrade() -> None:
    {down}


{functions}
'''
TYPES = {
    "TEXT": 'sa.Text().with_variant(sa.Text(collation="C"), "postgresql")',
    "SERIAL": 'sa.BigInteger().with_variant(sa.Integer(), "sqlite")',
}
"""The two kinds of column that databases call differently, by their names in a migration."""
FUNCTION = "def {name}() -> None:\n    {body}"
GONE = "gone"
LINES = 400
"""A longer piece is cut."""


class Change(NamedTuple):
    """What happens to one table: the calls in upgrade and downgrade, and the functions that they call."""

    table: str
    up: str
    down: str
    functions: tuple[str, ...]


def write_migration(rows: Sequence[type[Row]], name: str) -> Path | None:
    """The next migration's file in migrate.FOLDER, None when nothing differs. Exits for a column nobody can fill."""
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
    changes = _changes(script.upgrade_ops.ops, script.downgrade_ops.ops, rows, context)
    return write_files(changes, rows, name, before)


def write_files(changes: Sequence[Change], rows: Sequence[type[Row]], name: str, before: str | None) -> Path:
    """Write the migration after `before` that consists of `changes`; returns its file in versions/."""
    revision = f"{int(before or 0) + 1:04}"
    texts = pieces(changes, rows, name)
    folder = migrate.FOLDER / "pieces"
    version = migrate.FOLDER / "versions" / f"{revision}_{re.sub(r'[^a-z0-9]+', '_', name.lower()).strip('_')}.py"
    files = [version, *(folder / f"{revision}_{piece}.py" for piece in texts)]
    before_text = "None" if before is None else f'"{before}"'
    first = VERSION.format(title=name, revision=revision, before=before_text, pieces=repr(tuple(texts)))
    for file, text in zip(files, (first, *texts.values()), strict=True):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    ruff = Path(sys.executable).with_name("ruff")
    subprocess.run([ruff, "check", "--quiet", "--fix", "--select", "F,I,RET,W", *files], check=False)
    subprocess.run([ruff, "format", "--quiet", *files], check=True)
    return version


def pieces(changes: Sequence[Change], rows: Sequence[type[Row]], title: str) -> dict[str, str]:
    """The text of each piece by its name: a room's, or that of a module of rows where the room's would be too long."""
    modules = {row.TABLE: row.__module__.split(".")[1:] for row in rows}
    found = {}
    for room, part in _grouped(changes, lambda change: _room(modules.get(change.table))):
        text = _piece(part, title, f"{room} tables")
        if text.count("\n") <= LINES or room == GONE:
            found[room] = text
            continue
        for module, smaller in _grouped(part, lambda change: modules[change.table][-1]):
            found[f"{room}_{module}"] = _piece(smaller, title, f"{room} tables, {module}")
    return found


def _grouped(changes: Iterable[Change], key: Any) -> list[tuple[str, list[Change]]]:
    groups: dict[str, list[Change]] = {}
    for change in changes:
        groups.setdefault(key(change), []).append(change)
    return sorted(groups.items())


def _room(module: Sequence[str] | None) -> str:
    """The room whose rows stand in `module`; "core" for those of no room, GONE for what no row describes any more."""
    if module is None:
        return GONE
    return module[0] if len(module) > 1 and module[0] != "db" else "core"


def _piece(changes: Sequence[Change], title: str, what: str) -> str:
    functions = "\n\n\n".join(function for change in changes for function in change.functions)
    types = "".join(f"{name} = {value}\n" for name, value in TYPES.items() if re.search(rf"\b{name}\b", functions))
    return PIECE.format(
        title=title,
        what=what,
        types=types,
        up="\n    ".join(change.up for change in changes),
        down="\n    ".join(change.down for change in reversed(changes)),
        functions=functions,
    )


def _changes(up: Sequence[Any], down: Sequence[Any], rows: Sequence[type[Row]], context: Any) -> list[Change]:
    by_table: dict[str, tuple[list[Any], list[Any]]] = {}
    for way, operations in enumerate((up, down)):
        for operation in operations:
            by_table.setdefault(operation.table_name, ([], []))[way].append(operation)
    classes = {row.TABLE: row for row in rows}
    found = []
    for table, (ups, downs) in by_table.items():
        called, first = _way(table, "change", _filled(ups, classes.get(table)), context)
        undone, second = _way(table, "restore", downs, context)
        found.append(Change(table, called, undone, (*first, *second)))
    return found


def _way(table: str, verb: str, operations: Sequence[Any], context: Any) -> tuple[str, list[str]]:
    """How a table's operations are called, and the function that holds them."""
    if any(isinstance(operation, ops.DropTableOp) for operation in operations):
        return f'op.drop_table("{table}")', []
    made = any(isinstance(operation, ops.CreateTableOp) for operation in operations)
    name = f"{'make' if made else verb}_{table}"
    # Only SQLite needs batches, and only to change a table that is there already.
    body = "\n".join(_code(operation, context, batch=not made) for operation in operations)
    return f"{name}()", [FUNCTION.format(name=name, body=body.replace("\n", "\n    "))]


def _filled(operations: Sequence[Any], row: type[Row] | None) -> list[Any]:
    """`operations`, in which a column that must have a value gets the row's default where rows are there already."""
    found = list(operations)
    for operation in operations:
        added = [part for part in getattr(operation, "ops", ()) if isinstance(part, ops.AddColumnOp)]
        required = [part.column for part in added if not part.column.nullable]
        for column in required:
            column.server_default = sa.DefaultClause(_default(row, column))
        if required:
            later = [_without_default(operation.table_name, column) for column in required]
            found.append(ops.ModifyTableOps(operation.table_name, later))
    return found


def _default(row: type[Row] | None, column: sa.Column[Any]) -> Any:
    """What rows that are there get in a new column, as SQL."""
    assert row is not None
    field = next(field for field in fields_of(row) if field.name == column.name)
    told = next(field for field in msgspec.structs.fields(row) if field.name == column.name)
    value = told.default_factory() if told.default_factory is not msgspec.NODEFAULT else told.default
    if value is msgspec.NODEFAULT:
        sys.exit(f"{row.TABLE}.{column.name} needs a default: which value do rows have that are there already?")
    stored = field.store(value) if field.store else value
    return stored if isinstance(stored, str) else sa.text(str(stored).lower())


def _without_default(table: str, column: sa.Column[Any]) -> Any:
    return ops.AlterColumnOp(
        table, column.name, existing_type=column.type, existing_nullable=False, modify_server_default=None
    )


def _code(operation: Any, context: MigrationContext, *, batch: bool) -> str:
    text = render_python_code(
        ops.UpgradeOps([operation]), render_as_batch=batch, render_item=_render, migration_context=context
    )
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("# ###")]
    return "\n".join(line.removeprefix("    ") for line in lines)


def _render(kind: str, item: Any, context: Any) -> str | Literal[False]:
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
