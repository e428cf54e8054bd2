"""Networks between hosts and volumes: network tables, agents."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    make_network_agents()
    make_network_hostings()


def downgrade() -> None:
    op.drop_table("network_hostings")
    op.drop_table("network_agents")


def make_network_agents() -> None:
    op.create_table(
        "network_agents",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("agent_type", TEXT, autoincrement=False, nullable=False),
        sa.Column("binary", TEXT, autoincrement=False, nullable=False),
        sa.Column("topic", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("availability_zone", TEXT, autoincrement=False, nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("configurations", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("host", "agent_type", name="uq_network_agents_host_agent_type"),
    )
    op.create_index(
        "ix_network_agents_project_id_name_id", "network_agents", ["project_id", "name", "id"], unique=False
    )


def make_network_hostings() -> None:
    op.create_table(
        "network_hostings",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("agent_type", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("subject_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("served", sa.Boolean(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_network_hostings_host", "network_hostings", ["host"], unique=False)
    op.create_index("ix_network_hostings_subject_id", "network_hostings", ["subject_id"], unique=False)
