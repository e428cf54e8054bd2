"""Attachments that replace others: volume tables."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    change_volume_attachments()


def downgrade() -> None:
    restore_volume_attachments()


def change_volume_attachments() -> None:
    with op.batch_alter_table("volume_attachments", schema=None) as batch_op:
        batch_op.add_column(sa.Column("replaces", TEXT, autoincrement=False, nullable=True))
        batch_op.create_index("ix_volume_attachments_replaces", ["replaces"], unique=False)


def restore_volume_attachments() -> None:
    with op.batch_alter_table("volume_attachments", schema=None) as batch_op:
        batch_op.drop_index("ix_volume_attachments_replaces")
        batch_op.drop_column("replaces")
