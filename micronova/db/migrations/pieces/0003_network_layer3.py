"""Networks between hosts and volumes: network tables, layer3."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    change_floating_ips()
    change_routers()


def downgrade() -> None:
    restore_routers()
    restore_floating_ips()


def change_floating_ips() -> None:
    with op.batch_alter_table("floating_ips", schema=None) as batch_op:
        batch_op.add_column(sa.Column("qos_policy_id", TEXT, autoincrement=False, nullable=True))
        batch_op.create_index("ix_floating_ips_qos_policy_id", ["qos_policy_id"], unique=False)


def restore_floating_ips() -> None:
    with op.batch_alter_table("floating_ips", schema=None) as batch_op:
        batch_op.drop_index("ix_floating_ips_qos_policy_id")
        batch_op.drop_column("qos_policy_id")


def change_routers() -> None:
    with op.batch_alter_table("routers", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("distributed", sa.Boolean(), autoincrement=False, nullable=False, server_default=sa.text("true"))
        )
        batch_op.add_column(
            sa.Column("ha", sa.Boolean(), autoincrement=False, nullable=False, server_default=sa.text("true"))
        )
    with op.batch_alter_table("routers", schema=None) as batch_op:
        batch_op.alter_column("distributed", existing_type=sa.Boolean(), existing_nullable=False, server_default=None)
        batch_op.alter_column("ha", existing_type=sa.Boolean(), existing_nullable=False, server_default=None)


def restore_routers() -> None:
    with op.batch_alter_table("routers", schema=None) as batch_op:
        batch_op.drop_column("ha")
        batch_op.drop_column("distributed")
