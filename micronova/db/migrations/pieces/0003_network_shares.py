"""Networks between hosts and volumes: network tables, shares."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    make_address_scopes()
    make_auto_topologies()
    change_subnet_pools()


def downgrade() -> None:
    restore_subnet_pools()
    op.drop_table("auto_topologies")
    op.drop_table("address_scopes")


def make_address_scopes() -> None:
    op.create_table(
        "address_scopes",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ip_version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("shared", sa.Boolean(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_address_scopes_project_id_name_id", "address_scopes", ["project_id", "name", "id"], unique=False
    )


def make_auto_topologies() -> None:
    op.create_table(
        "auto_topologies",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("network_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("router_id", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_auto_topologies_network_id", "auto_topologies", ["network_id"], unique=False)
    op.create_index("ix_auto_topologies_router_id", "auto_topologies", ["router_id"], unique=False)


def change_subnet_pools() -> None:
    with op.batch_alter_table("subnet_pools", schema=None) as batch_op:
        batch_op.add_column(sa.Column("address_scope_id", TEXT, autoincrement=False, nullable=True))
        batch_op.create_index("ix_subnet_pools_address_scope_id", ["address_scope_id"], unique=False)


def restore_subnet_pools() -> None:
    with op.batch_alter_table("subnet_pools", schema=None) as batch_op:
        batch_op.drop_index("ix_subnet_pools_address_scope_id")
        batch_op.drop_column("address_scope_id")
