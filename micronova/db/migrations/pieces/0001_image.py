"""First tables: image tables."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    make_image_members()
    make_images()


def downgrade() -> None:
    op.drop_table("images")
    op.drop_table("image_members")


def make_image_members() -> None:
    op.create_table(
        "image_members",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("image_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("member_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("status", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("image_id", "member_id", name="uq_image_members_image_id_member_id"),
    )
    op.create_index("ix_image_members_member_id", "image_members", ["member_id"], unique=False)


def make_images() -> None:
    op.create_table(
        "images",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("owner", TEXT, autoincrement=False, nullable=True),
        sa.Column("name", TEXT, autoincrement=False, nullable=True),
        sa.Column("status", TEXT, autoincrement=False, nullable=False),
        sa.Column("visibility", TEXT, autoincrement=False, nullable=False),
        sa.Column("protected", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("os_hidden", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("disk_format", TEXT, autoincrement=False, nullable=True),
        sa.Column("container_format", TEXT, autoincrement=False, nullable=True),
        sa.Column("min_disk", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("min_ram", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("virtual_size", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("checksum", TEXT, autoincrement=False, nullable=True),
        sa.Column("os_hash_algo", TEXT, autoincrement=False, nullable=True),
        sa.Column("os_hash_value", TEXT, autoincrement=False, nullable=True),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("properties", TEXT, autoincrement=False, nullable=False),
        sa.Column("content", TEXT, autoincrement=False, nullable=False),
        sa.Column("store_host", TEXT, autoincrement=False, nullable=False),
        sa.Column("location", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_images_created_at_id", "images", ["created_at", "id"], unique=False)
    op.create_index("ix_images_owner", "images", ["owner"], unique=False)
    op.create_index("ix_images_visibility", "images", ["visibility"], unique=False)
