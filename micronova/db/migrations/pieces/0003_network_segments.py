"""Networks between hosts and volumes: network tables, segments."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    make_segments()
    make_switch_places()
    make_switch_states()
    make_tunnel_endpoints()


def downgrade() -> None:
    op.drop_table("tunnel_endpoints")
    op.drop_table("switch_states")
    op.drop_table("switch_places")
    op.drop_table("segments")


def make_segments() -> None:
    op.create_table(
        "segments",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("network_type", TEXT, autoincrement=False, nullable=False),
        sa.Column("physical_network", TEXT, autoincrement=False, nullable=False),
        sa.Column("segmentation_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "network_type",
            "physical_network",
            "segmentation_id",
            name="uq_segments_network_type_physical_network_segmentation_id",
        ),
    )


def make_switch_places() -> None:
    op.create_table(
        "switch_places",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("switch", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("carries", TEXT, autoincrement=False, nullable=False),
        sa.Column("may_carry", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_switch_places_switch", "switch_places", ["switch"], unique=False)


def make_switch_states() -> None:
    op.create_table(
        "switch_states",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("trouble", TEXT, autoincrement=False, nullable=False),
        sa.Column("asked_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("again_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )


def make_tunnel_endpoints() -> None:
    op.create_table(
        "tunnel_endpoints",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("address", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
