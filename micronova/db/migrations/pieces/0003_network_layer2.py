"""Networks between hosts and volumes: network tables, layer2."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    change_networks()
    change_ports()


def downgrade() -> None:
    restore_ports()
    restore_networks()


def change_networks() -> None:
    with op.batch_alter_table("networks", schema=None) as batch_op:
        batch_op.add_column(sa.Column("qos_policy_id", TEXT, autoincrement=False, nullable=True))
        batch_op.create_index("ix_networks_qos_policy_id", ["qos_policy_id"], unique=False)


def restore_networks() -> None:
    with op.batch_alter_table("networks", schema=None) as batch_op:
        batch_op.drop_index("ix_networks_qos_policy_id")
        batch_op.drop_column("qos_policy_id")


def change_ports() -> None:
    with op.batch_alter_table("ports", schema=None) as batch_op:
        batch_op.add_column(sa.Column("dhcp_options", TEXT, autoincrement=False, nullable=False, server_default="[]"))
        batch_op.add_column(sa.Column("qos_policy_id", TEXT, autoincrement=False, nullable=True))
        batch_op.create_index("ix_ports_qos_policy_id", ["qos_policy_id"], unique=False)
    with op.batch_alter_table("ports", schema=None) as batch_op:
        batch_op.alter_column("dhcp_options", existing_type=TEXT, existing_nullable=False, server_default=None)


def restore_ports() -> None:
    with op.batch_alter_table("ports", schema=None) as batch_op:
        batch_op.drop_index("ix_ports_qos_policy_id")
        batch_op.drop_column("qos_policy_id")
        batch_op.drop_column("dhcp_options")
