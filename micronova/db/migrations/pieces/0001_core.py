"""First tables: core tables."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    make_journal()
    make_services()
    make_tasks()


def downgrade() -> None:
    op.drop_table("tasks")
    op.drop_table("services")
    op.drop_table("journal")


def make_journal() -> None:
    op.create_table(
        "journal",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", SERIAL, autoincrement=True, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("table_name", TEXT, autoincrement=False, nullable=False),
        sa.Column("row_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("op", TEXT, autoincrement=False, nullable=False),
        sa.Column("before", TEXT, autoincrement=False, nullable=False),
        sa.Column("after", TEXT, autoincrement=False, nullable=False),
        sa.Column("why", TEXT, autoincrement=False, nullable=False),
        sa.Column("request_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("user_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id", name="uq_journal_id"),
    )
    op.create_index("ix_journal_at", "journal", ["at"], unique=False)
    op.create_index("ix_journal_request_id", "journal", ["request_id"], unique=False)
    op.create_index("ix_journal_table_name_row_id", "journal", ["table_name", "row_id"], unique=False)


def make_services() -> None:
    op.create_table(
        "services",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("topic", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("binary", TEXT, autoincrement=False, nullable=False),
        sa.Column("zone", TEXT, autoincrement=False, nullable=False),
        sa.Column("version", TEXT, autoincrement=False, nullable=False),
        sa.Column("disabled", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("disabled_reason", TEXT, autoincrement=False, nullable=True),
        sa.Column("forced_down", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seen_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("stopped", sa.Boolean(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("topic", "host", name="uq_services_topic_host"),
    )


def make_tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", SERIAL, autoincrement=True, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("topic", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("method", TEXT, autoincrement=False, nullable=False),
        sa.Column("version", TEXT, autoincrement=False, nullable=False),
        sa.Column("resource", TEXT, autoincrement=False, nullable=False),
        sa.Column("arguments", TEXT, autoincrement=False, nullable=False),
        sa.Column("state", TEXT, autoincrement=False, nullable=False),
        sa.Column("open", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("cancelled", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempts", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("run_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("deadline_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("lease_until", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("leased_by", TEXT, autoincrement=False, nullable=False),
        sa.Column("error", TEXT, autoincrement=False, nullable=False),
        sa.Column("log", TEXT, autoincrement=False, nullable=False),
        sa.Column("context", TEXT, autoincrement=False, nullable=False),
        sa.Column("request_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("user_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("started_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("finished_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id", name="uq_tasks_id"),
    )
    op.create_index("ix_tasks_request_id", "tasks", ["request_id"], unique=False)
    op.create_index("ix_tasks_resource_open", "tasks", ["resource", "open"], unique=False)
    op.create_index("ix_tasks_topic_open", "tasks", ["topic", "open"], unique=False)
