"""Every row class of the cloud: what a database of this version holds."""

import sqlalchemy as sa

from micronova.db import Row, table
from micronova.db.journal import Entry
from micronova.heartbeat import ServiceRow
from micronova.tasks import Task

CORE: tuple[type[Row], ...] = (Entry, Task, ServiceRow)


def metadata(rows: tuple[type[Row], ...]) -> sa.MetaData:
    """The tables of `rows`."""
    found = sa.MetaData()
    for cls in rows:
        table(cls, found)
    return found


def statements(rows: tuple[type[Row], ...], dialect: sa.Dialect) -> list[str]:
    """The statements that make the tables and indexes of `rows` in an empty database."""
    made = []
    for found in metadata(rows).tables.values():
        made.append(str(sa.schema.CreateTable(found).compile(dialect=dialect)))
        indexes = sorted(found.indexes, key=lambda index: str(index.name))
        made += [str(sa.schema.CreateIndex(index).compile(dialect=dialect)) for index in indexes]
    return made
