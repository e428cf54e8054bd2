"""Networks between hosts and volumes: network tables, trunks."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    make_trunk_sub_ports()
    make_trunks()


def downgrade() -> None:
    op.drop_table("trunks")
    op.drop_table("trunk_sub_ports")


def make_trunk_sub_ports() -> None:
    op.create_table(
        "trunk_sub_ports",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("trunk_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("segmentation_type", TEXT, autoincrement=False, nullable=False),
        sa.Column("segmentation_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "trunk_id",
            "segmentation_type",
            "segmentation_id",
            name="uq_trunk_sub_ports_trunk_id_segmentation_type_segmentation_id",
        ),
    )
    op.create_index("ix_trunk_sub_ports_trunk_id", "trunk_sub_ports", ["trunk_id"], unique=False)


def make_trunks() -> None:
    op.create_table(
        "trunks",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("port_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("status", TEXT, autoincrement=False, nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("port_id", name="uq_trunks_port_id"),
    )
    op.create_index("ix_trunks_project_id_name_id", "trunks", ["project_id", "name", "id"], unique=False)
