"""Networks between hosts and volumes: network tables, security."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    make_address_groups()
    change_security_group_rules()


def downgrade() -> None:
    restore_security_group_rules()
    op.drop_table("address_groups")


def make_address_groups() -> None:
    op.create_table(
        "address_groups",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("addresses", TEXT, autoincrement=False, nullable=False),
        sa.Column("shared", sa.Boolean(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_address_groups_project_id_name_id", "address_groups", ["project_id", "name", "id"], unique=False
    )


def change_security_group_rules() -> None:
    with op.batch_alter_table("security_group_rules", schema=None) as batch_op:
        batch_op.add_column(sa.Column("remote_address_group_id", TEXT, autoincrement=False, nullable=True))
        batch_op.create_index(
            "ix_security_group_rules_remote_address_group_id", ["remote_address_group_id"], unique=False
        )


def restore_security_group_rules() -> None:
    with op.batch_alter_table("security_group_rules", schema=None) as batch_op:
        batch_op.drop_index("ix_security_group_rules_remote_address_group_id")
        batch_op.drop_column("remote_address_group_id")
