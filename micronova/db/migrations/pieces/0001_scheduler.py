"""First tables: scheduler tables."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    make_aggregates()
    make_allocations()
    make_decisions()
    make_hosts()


def downgrade() -> None:
    op.drop_table("hosts")
    op.drop_table("decisions")
    op.drop_table("allocations")
    op.drop_table("aggregates")


def make_aggregates() -> None:
    op.create_table(
        "aggregates",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("uuid", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("zone", TEXT, autoincrement=False, nullable=False),
        sa.Column("hosts", TEXT, autoincrement=False, nullable=False),
        sa.Column("metadata", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name", name="uq_aggregates_name"),
        sa.UniqueConstraint("uuid", name="uq_aggregates_uuid"),
    )
    op.create_index("ix_aggregates_zone", "aggregates", ["zone"], unique=False)


def make_allocations() -> None:
    op.create_table(
        "allocations",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("consumer_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("vcpus", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ram_mib", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("disk_gib", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("consumer_id"),
    )
    op.create_index("ix_allocations_host", "allocations", ["host"], unique=False)
    op.create_index("ix_allocations_project_id", "allocations", ["project_id"], unique=False)


def make_decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("serial", SERIAL, autoincrement=True, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("consumer_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("request_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("driver", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("message", TEXT, autoincrement=False, nullable=False),
        sa.Column("candidates", TEXT, autoincrement=False, nullable=False),
        sa.Column("removed", TEXT, autoincrement=False, nullable=False),
        sa.Column("weights", TEXT, autoincrement=False, nullable=False),
        sa.Column("margin", sa.Double(), autoincrement=False, nullable=False),
        sa.Column("request", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("serial"),
        sa.UniqueConstraint("id", name="uq_decisions_id"),
    )
    op.create_index("ix_decisions_consumer_id", "decisions", ["consumer_id"], unique=False)


def make_hosts() -> None:
    op.create_table(
        "hosts",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", SERIAL, autoincrement=True, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("hostname", TEXT, autoincrement=False, nullable=False),
        sa.Column("address", TEXT, autoincrement=False, nullable=False),
        sa.Column("hypervisor_type", TEXT, autoincrement=False, nullable=False),
        sa.Column("hypervisor_version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("vcpus", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ram_mib", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("disk_gib", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reserved_ram_mib", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cpu_model", TEXT, autoincrement=False, nullable=False),
        sa.Column("accel", TEXT, autoincrement=False, nullable=False),
        sa.Column("zone", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("host", name="uq_hosts_host"),
        sa.UniqueConstraint("id", name="uq_hosts_id"),
    )
