"""Networks between hosts and volumes: network tables, forwardings."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    make_port_forwardings()


def downgrade() -> None:
    op.drop_table("port_forwardings")


def make_port_forwardings() -> None:
    op.create_table(
        "port_forwardings",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("floatingip_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("protocol", TEXT, autoincrement=False, nullable=False),
        sa.Column("external_port", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("external_port_range", TEXT, autoincrement=False, nullable=False),
        sa.Column("internal_port", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("internal_port_range", TEXT, autoincrement=False, nullable=False),
        sa.Column("internal_port_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("internal_ip_address", TEXT, autoincrement=False, nullable=False),
        sa.Column("fixed_network_id", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_port_forwardings_fixed_network_id", "port_forwardings", ["fixed_network_id"], unique=False)
    op.create_index("ix_port_forwardings_floatingip_id", "port_forwardings", ["floatingip_id"], unique=False)
    op.create_index("ix_port_forwardings_internal_port_id", "port_forwardings", ["internal_port_id"], unique=False)
    op.create_index(
        "ix_port_forwardings_project_id_name_id", "port_forwardings", ["project_id", "name", "id"], unique=False
    )
