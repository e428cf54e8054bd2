"""Networks between hosts and volumes: volume tables."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    make_volume_attachments()
    make_volume_backups()
    make_volume_default_types()
    make_volume_group_snapshots()
    make_volume_group_types()
    make_volume_groups()
    make_volume_messages()
    make_volume_placements()
    make_volume_pools()
    make_volume_qos_specs()
    make_volume_quotas()
    make_volume_snapshots()
    make_volume_transfers()
    make_volume_types()
    make_volumes()


def downgrade() -> None:
    op.drop_table("volumes")
    op.drop_table("volume_types")
    op.drop_table("volume_transfers")
    op.drop_table("volume_snapshots")
    op.drop_table("volume_quotas")
    op.drop_table("volume_qos_specs")
    op.drop_table("volume_pools")
    op.drop_table("volume_placements")
    op.drop_table("volume_messages")
    op.drop_table("volume_groups")
    op.drop_table("volume_group_types")
    op.drop_table("volume_group_snapshots")
    op.drop_table("volume_default_types")
    op.drop_table("volume_backups")
    op.drop_table("volume_attachments")


def make_volume_attachments() -> None:
    op.create_table(
        "volume_attachments",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("volume_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("user_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("server_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("status", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("device", TEXT, autoincrement=False, nullable=False),
        sa.Column("mode", TEXT, autoincrement=False, nullable=False),
        sa.Column("tag", TEXT, autoincrement=False, nullable=True),
        sa.Column("boot_index", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("delete_on_termination", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("asked", TEXT, autoincrement=False, nullable=True),
        sa.Column("connection", TEXT, autoincrement=False, nullable=True),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("attached_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("detached_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_volume_attachments_project_id", "volume_attachments", ["project_id"], unique=False)
    op.create_index("ix_volume_attachments_server_id", "volume_attachments", ["server_id"], unique=False)
    op.create_index("ix_volume_attachments_volume_id", "volume_attachments", ["volume_id"], unique=False)


def make_volume_backups() -> None:
    op.create_table(
        "volume_backups",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("user_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("volume_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("snapshot_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("parent_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("name", TEXT, autoincrement=False, nullable=True),
        sa.Column("description", TEXT, autoincrement=False, nullable=True),
        sa.Column("container", TEXT, autoincrement=False, nullable=True),
        sa.Column("zone", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("status", TEXT, autoincrement=False, nullable=False),
        sa.Column("fail_reason", TEXT, autoincrement=False, nullable=True),
        sa.Column("size_gib", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("object_count", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("metadata", TEXT, autoincrement=False, nullable=False),
        sa.Column("volume_metadata", TEXT, autoincrement=False, nullable=False),
        sa.Column("volume_name", TEXT, autoincrement=False, nullable=True),
        sa.Column("bootable", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("image_metadata", TEXT, autoincrement=False, nullable=True),
        sa.Column("service", TEXT, autoincrement=False, nullable=False),
        sa.Column("location", TEXT, autoincrement=False, nullable=False),
        sa.Column("data_timestamp", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_volume_backups_created_at_id", "volume_backups", ["created_at", "id"], unique=False)
    op.create_index("ix_volume_backups_location", "volume_backups", ["location"], unique=False)
    op.create_index("ix_volume_backups_parent_id", "volume_backups", ["parent_id"], unique=False)
    op.create_index("ix_volume_backups_project_id", "volume_backups", ["project_id"], unique=False)
    op.create_index("ix_volume_backups_volume_id", "volume_backups", ["volume_id"], unique=False)


def make_volume_default_types() -> None:
    op.create_table(
        "volume_default_types",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("type_id", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("project_id"),
    )


def make_volume_group_snapshots() -> None:
    op.create_table(
        "volume_group_snapshots",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("group_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("user_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=True),
        sa.Column("description", TEXT, autoincrement=False, nullable=True),
        sa.Column("status", TEXT, autoincrement=False, nullable=False),
        sa.Column("group_type_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_volume_group_snapshots_group_id", "volume_group_snapshots", ["group_id"], unique=False)
    op.create_index("ix_volume_group_snapshots_project_id", "volume_group_snapshots", ["project_id"], unique=False)


def make_volume_group_types() -> None:
    op.create_table(
        "volume_group_types",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=True),
        sa.Column("is_public", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("group_specs", TEXT, autoincrement=False, nullable=False),
        sa.Column("access", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name", name="uq_volume_group_types_name"),
    )


def make_volume_groups() -> None:
    op.create_table(
        "volume_groups",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("user_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=True),
        sa.Column("description", TEXT, autoincrement=False, nullable=True),
        sa.Column("status", TEXT, autoincrement=False, nullable=False),
        sa.Column("group_type_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("volume_type_ids", TEXT, autoincrement=False, nullable=False),
        sa.Column("zone", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("backend", TEXT, autoincrement=False, nullable=False),
        sa.Column("group_snapshot_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("source_group_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_volume_groups_project_id", "volume_groups", ["project_id"], unique=False)


def make_volume_messages() -> None:
    op.create_table(
        "volume_messages",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("request_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("event_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("resource_type", TEXT, autoincrement=False, nullable=False),
        sa.Column("resource_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("level", TEXT, autoincrement=False, nullable=False),
        sa.Column("text", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("expires_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_volume_messages_expires_at", "volume_messages", ["expires_at"], unique=False)
    op.create_index("ix_volume_messages_project_id", "volume_messages", ["project_id"], unique=False)


def make_volume_placements() -> None:
    op.create_table(
        "volume_placements",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("volume_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("pool_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("message", TEXT, autoincrement=False, nullable=False),
        sa.Column("facts", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_volume_placements_volume_id", "volume_placements", ["volume_id"], unique=False)


def make_volume_pools() -> None:
    op.create_table(
        "volume_pools",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("backend", TEXT, autoincrement=False, nullable=False),
        sa.Column("backend_name", TEXT, autoincrement=False, nullable=False),
        sa.Column("zone", TEXT, autoincrement=False, nullable=False),
        sa.Column("capabilities", TEXT, autoincrement=False, nullable=False),
        sa.Column("total_gib", sa.Double(), autoincrement=False, nullable=False),
        sa.Column("free_gib", sa.Double(), autoincrement=False, nullable=False),
        sa.Column("over_commit", sa.Double(), autoincrement=False, nullable=False),
        sa.Column("reserved_percent", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("working", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("reason", TEXT, autoincrement=False, nullable=False),
        sa.Column("frozen", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("reported_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_volume_pools_host", "volume_pools", ["host"], unique=False)


def make_volume_qos_specs() -> None:
    op.create_table(
        "volume_qos_specs",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("consumer", TEXT, autoincrement=False, nullable=False),
        sa.Column("specs", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name", name="uq_volume_qos_specs_name"),
    )


def make_volume_quotas() -> None:
    op.create_table(
        "volume_quotas",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("resource", TEXT, autoincrement=False, nullable=False),
        sa.Column("limit", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project_id", "resource", name="uq_volume_quotas_project_id_resource"),
    )


def make_volume_snapshots() -> None:
    op.create_table(
        "volume_snapshots",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("volume_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("user_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=True),
        sa.Column("description", TEXT, autoincrement=False, nullable=True),
        sa.Column("size_gib", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("status", TEXT, autoincrement=False, nullable=False),
        sa.Column("progress", TEXT, autoincrement=False, nullable=False),
        sa.Column("metadata", TEXT, autoincrement=False, nullable=False),
        sa.Column("group_snapshot_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("consumes_quota", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_volume_snapshots_created_at_id", "volume_snapshots", ["created_at", "id"], unique=False)
    op.create_index("ix_volume_snapshots_group_snapshot_id", "volume_snapshots", ["group_snapshot_id"], unique=False)
    op.create_index("ix_volume_snapshots_project_id", "volume_snapshots", ["project_id"], unique=False)
    op.create_index("ix_volume_snapshots_volume_id", "volume_snapshots", ["volume_id"], unique=False)


def make_volume_transfers() -> None:
    op.create_table(
        "volume_transfers",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("volume_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=True),
        sa.Column("salt", TEXT, autoincrement=False, nullable=False),
        sa.Column("key_hash", TEXT, autoincrement=False, nullable=False),
        sa.Column("no_snapshots", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("destination_project_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("accepted", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_volume_transfers_project_id", "volume_transfers", ["project_id"], unique=False)
    op.create_index("ix_volume_transfers_volume_id", "volume_transfers", ["volume_id"], unique=False)


def make_volume_types() -> None:
    op.create_table(
        "volume_types",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=True),
        sa.Column("is_public", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("extra_specs", TEXT, autoincrement=False, nullable=False),
        sa.Column("access", TEXT, autoincrement=False, nullable=False),
        sa.Column("qos_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("encryption", TEXT, autoincrement=False, nullable=True),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name", name="uq_volume_types_name"),
    )


def make_volumes() -> None:
    op.create_table(
        "volumes",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("user_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=True),
        sa.Column("description", TEXT, autoincrement=False, nullable=True),
        sa.Column("size_gib", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("growing_gib", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("status", TEXT, autoincrement=False, nullable=False),
        sa.Column("previous_status", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("backend", TEXT, autoincrement=False, nullable=False),
        sa.Column("driver_name", TEXT, autoincrement=False, nullable=False),
        sa.Column("zone", TEXT, autoincrement=False, nullable=False),
        sa.Column("type_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("bootable", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("multiattach", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("read_only", sa.Boolean(), autoincrement=False, nullable=True),
        sa.Column("encryption_key_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("metadata", TEXT, autoincrement=False, nullable=False),
        sa.Column("image_metadata", TEXT, autoincrement=False, nullable=True),
        sa.Column("snapshot_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("source_volume_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("image_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("backup_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("group_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("group_snapshot_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("migration_status", TEXT, autoincrement=False, nullable=True),
        sa.Column("consumes_quota", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("launched_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_volumes_created_at_id", "volumes", ["created_at", "id"], unique=False)
    op.create_index("ix_volumes_group_id", "volumes", ["group_id"], unique=False)
    op.create_index("ix_volumes_host", "volumes", ["host"], unique=False)
    op.create_index("ix_volumes_project_id", "volumes", ["project_id"], unique=False)
    op.create_index("ix_volumes_type_id", "volumes", ["type_id"], unique=False)
