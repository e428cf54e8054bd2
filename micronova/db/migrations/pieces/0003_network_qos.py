"""Networks between hosts and volumes: network tables, qos."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    make_qos_policies()
    make_qos_rules()


def downgrade() -> None:
    op.drop_table("qos_rules")
    op.drop_table("qos_policies")


def make_qos_policies() -> None:
    op.create_table(
        "qos_policies",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("shared", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("is_default", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("default_of", TEXT, autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("default_of", name="uq_qos_policies_default_of"),
    )
    op.create_index("ix_qos_policies_project_id_name_id", "qos_policies", ["project_id", "name", "id"], unique=False)


def make_qos_rules() -> None:
    op.create_table(
        "qos_rules",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("policy_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("type", TEXT, autoincrement=False, nullable=False),
        sa.Column("direction", TEXT, autoincrement=False, nullable=False),
        sa.Column("max_kbps", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("max_burst_kbps", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("min_kbps", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("dscp_mark", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("policy_id", "type", "direction", name="uq_qos_rules_policy_id_type_direction"),
    )
    op.create_index("ix_qos_rules_project_id_name_id", "qos_rules", ["project_id", "name", "id"], unique=False)
