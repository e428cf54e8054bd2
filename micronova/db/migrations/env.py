"""Runs migrations for alembic on the database whose URL migrate.py passes: all of them, or none."""

from typing import Any

from alembic import context
from sqlalchemy import create_engine, event, pool, text

engine = create_engine(context.config.attributes["url"], poolclass=pool.NullPool)
if engine.dialect.name == "sqlite":
    # Python's sqlite3 would commit before each change of a table.
    @event.listens_for(engine, "connect")
    def _leave_transactions_to_us(connection: Any, record: Any) -> None:
        connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


with engine.begin() as connection:
    if engine.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({context.config.attributes['lock']})"))
    context.configure(connection=connection, render_as_batch=True)
    context.run_migrations()
