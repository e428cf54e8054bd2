"""First tables: compute tables."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    make_compute_quotas()
    make_flavors()
    make_key_pairs()
    make_server_groups()
    make_server_inputs()
    make_servers()


def downgrade() -> None:
    op.drop_table("servers")
    op.drop_table("server_inputs")
    op.drop_table("server_groups")
    op.drop_table("key_pairs")
    op.drop_table("flavors")
    op.drop_table("compute_quotas")


def make_compute_quotas() -> None:
    op.create_table(
        "compute_quotas",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("user_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("resource", TEXT, autoincrement=False, nullable=False),
        sa.Column("limit", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project_id", "user_id", "resource", name="uq_compute_quotas_project_id_user_id_resource"),
    )


def make_flavors() -> None:
    op.create_table(
        "flavors",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("flavorid", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("vcpus", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ram_mib", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("disk_gib", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ephemeral_gib", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("swap_mib", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rxtx_factor", sa.Double(), autoincrement=False, nullable=False),
        sa.Column("is_public", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("disabled", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=True),
        sa.Column("extra_specs", TEXT, autoincrement=False, nullable=False),
        sa.Column("access", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("flavorid", name="uq_flavors_flavorid"),
        sa.UniqueConstraint("name", name="uq_flavors_name"),
    )


def make_key_pairs() -> None:
    op.create_table(
        "key_pairs",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", SERIAL, autoincrement=True, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("user_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("type", TEXT, autoincrement=False, nullable=False),
        sa.Column("public_key", TEXT, autoincrement=False, nullable=False),
        sa.Column("fingerprint", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("id", name="uq_key_pairs_id"),
        sa.UniqueConstraint("user_id", "name", name="uq_key_pairs_user_id_name"),
    )


def make_server_groups() -> None:
    op.create_table(
        "server_groups",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("user_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("policy", TEXT, autoincrement=False, nullable=False),
        sa.Column("max_server_per_host", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("members", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_server_groups_project_id", "server_groups", ["project_id"], unique=False)


def make_server_inputs() -> None:
    op.create_table(
        "server_inputs",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("user_data", TEXT, autoincrement=False, nullable=True),
        sa.Column("key_type", TEXT, autoincrement=False, nullable=False),
        sa.Column("public_key", TEXT, autoincrement=False, nullable=False),
        sa.Column("nics", TEXT, autoincrement=False, nullable=False),
        sa.Column("security_groups", TEXT, autoincrement=False, nullable=False),
        sa.Column("hints", TEXT, autoincrement=False, nullable=False),
        sa.Column("files", TEXT, autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )


def make_servers() -> None:
    op.create_table(
        "servers",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", SERIAL, autoincrement=True, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("user_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("hostname", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=True),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("zone", TEXT, autoincrement=False, nullable=False),
        sa.Column("pinned_zone", TEXT, autoincrement=False, nullable=True),
        sa.Column("vm_state", TEXT, autoincrement=False, nullable=False),
        sa.Column("task_state", TEXT, autoincrement=False, nullable=True),
        sa.Column("power_state", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("power_wanted", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("progress", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("locked_by", TEXT, autoincrement=False, nullable=False),
        sa.Column("locked_reason", TEXT, autoincrement=False, nullable=True),
        sa.Column("image_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("kernel_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("ramdisk_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("flavor_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("flavor", TEXT, autoincrement=False, nullable=False),
        sa.Column("vcpus", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ram_mib", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("key_name", TEXT, autoincrement=False, nullable=True),
        sa.Column("metadata", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("config_drive", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("access_ip_v4", TEXT, autoincrement=False, nullable=False),
        sa.Column("access_ip_v6", TEXT, autoincrement=False, nullable=False),
        sa.Column("disk_config", TEXT, autoincrement=False, nullable=False),
        sa.Column("reservation_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("launch_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("root_device", TEXT, autoincrement=False, nullable=False),
        sa.Column("fault", TEXT, autoincrement=False, nullable=True),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("launched_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("terminated_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id", name="uq_servers_id"),
    )
    op.create_index("ix_servers_created_at", "servers", ["created_at"], unique=False)
    op.create_index("ix_servers_host", "servers", ["host"], unique=False)
    op.create_index("ix_servers_project_id_created_at", "servers", ["project_id", "created_at"], unique=False)
