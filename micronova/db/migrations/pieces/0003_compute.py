"""Networks between hosts and volumes: compute tables."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    change_server_inputs()


def downgrade() -> None:
    restore_server_inputs()


def change_server_inputs() -> None:
    with op.batch_alter_table("server_inputs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("disks", TEXT, autoincrement=False, nullable=False, server_default="[]"))
        batch_op.add_column(sa.Column("disk_bus", TEXT, autoincrement=False, nullable=False, server_default="virtio"))
    with op.batch_alter_table("server_inputs", schema=None) as batch_op:
        batch_op.alter_column("disks", existing_type=TEXT, existing_nullable=False, server_default=None)
        batch_op.alter_column("disk_bus", existing_type=TEXT, existing_nullable=False, server_default=None)


def restore_server_inputs() -> None:
    with op.batch_alter_table("server_inputs", schema=None) as batch_op:
        batch_op.drop_column("disk_bus")
        batch_op.drop_column("disks")
