"""Networks between hosts and volumes: network tables, metering."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    make_metering_label_rules()
    make_metering_labels()


def downgrade() -> None:
    op.drop_table("metering_labels")
    op.drop_table("metering_label_rules")


def make_metering_label_rules() -> None:
    op.create_table(
        "metering_label_rules",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("label_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("direction", TEXT, autoincrement=False, nullable=False),
        sa.Column("excluded", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("remote_prefix", TEXT, autoincrement=False, nullable=True),
        sa.Column("source_prefix", TEXT, autoincrement=False, nullable=True),
        sa.Column("destination_prefix", TEXT, autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_metering_label_rules_label_id", "metering_label_rules", ["label_id"], unique=False)
    op.create_index(
        "ix_metering_label_rules_project_id_name_id", "metering_label_rules", ["project_id", "name", "id"], unique=False
    )


def make_metering_labels() -> None:
    op.create_table(
        "metering_labels",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("shared", sa.Boolean(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_metering_labels_project_id_name_id", "metering_labels", ["project_id", "name", "id"], unique=False
    )
