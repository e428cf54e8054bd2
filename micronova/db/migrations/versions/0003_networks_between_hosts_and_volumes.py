"""Networks between hosts and volumes."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
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
    with op.batch_alter_table("address_groups", schema=None) as batch_op:
        batch_op.create_index("ix_address_groups_project_id_name_id", ["project_id", "name", "id"], unique=False)

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
    with op.batch_alter_table("address_scopes", schema=None) as batch_op:
        batch_op.create_index("ix_address_scopes_project_id_name_id", ["project_id", "name", "id"], unique=False)

    op.create_table(
        "auto_topologies",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("network_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("router_id", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("auto_topologies", schema=None) as batch_op:
        batch_op.create_index("ix_auto_topologies_network_id", ["network_id"], unique=False)
        batch_op.create_index("ix_auto_topologies_router_id", ["router_id"], unique=False)

    op.create_table(
        "metering_label_rules",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("label_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("direction", TEXT, autoincrement=False, nullable=False),
        sa.Column("excluded", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("remote_prefix", TEXT, autoincrement=False, nullable=True),
        sa.Column("source_prefix", TEXT, autoincrement=False, nullable=True),
        sa.Column("destination_prefix", TEXT, autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("metering_label_rules", schema=None) as batch_op:
        batch_op.create_index("ix_metering_label_rules_label_id", ["label_id"], unique=False)
        batch_op.create_index("ix_metering_label_rules_project_id_name_id", ["project_id", "name", "id"], unique=False)

    op.create_table(
        "metering_labels",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("shared", sa.Boolean(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("metering_labels", schema=None) as batch_op:
        batch_op.create_index("ix_metering_labels_project_id_name_id", ["project_id", "name", "id"], unique=False)

    op.create_table(
        "network_agents",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("agent_type", TEXT, autoincrement=False, nullable=False),
        sa.Column("binary", TEXT, autoincrement=False, nullable=False),
        sa.Column("topic", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("availability_zone", TEXT, autoincrement=False, nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("configurations", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("host", "agent_type", name="uq_network_agents_host_agent_type"),
    )
    with op.batch_alter_table("network_agents", schema=None) as batch_op:
        batch_op.create_index("ix_network_agents_project_id_name_id", ["project_id", "name", "id"], unique=False)

    op.create_table(
        "network_hostings",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("agent_type", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("subject_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("served", sa.Boolean(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("network_hostings", schema=None) as batch_op:
        batch_op.create_index("ix_network_hostings_host", ["host"], unique=False)
        batch_op.create_index("ix_network_hostings_subject_id", ["subject_id"], unique=False)

    op.create_table(
        "port_forwardings",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("floatingip_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("protocol", TEXT, autoincrement=False, nullable=False),
        sa.Column("external_port", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("external_port_range", TEXT, autoincrement=False, nullable=False),
        sa.Column("internal_port", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("internal_port_range", TEXT, autoincrement=False, nullable=False),
        sa.Column("internal_port_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("internal_ip_address", TEXT, autoincrement=False, nullable=False),
        sa.Column("fixed_network_id", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("port_forwardings", schema=None) as batch_op:
        batch_op.create_index("ix_port_forwardings_fixed_network_id", ["fixed_network_id"], unique=False)
        batch_op.create_index("ix_port_forwardings_floatingip_id", ["floatingip_id"], unique=False)
        batch_op.create_index("ix_port_forwardings_internal_port_id", ["internal_port_id"], unique=False)
        batch_op.create_index("ix_port_forwardings_project_id_name_id", ["project_id", "name", "id"], unique=False)

    op.create_table(
        "qos_policies",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("shared", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("is_default", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("default_of", TEXT, autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("default_of", name="uq_qos_policies_default_of"),
    )
    with op.batch_alter_table("qos_policies", schema=None) as batch_op:
        batch_op.create_index("ix_qos_policies_project_id_name_id", ["project_id", "name", "id"], unique=False)

    op.create_table(
        "qos_rules",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("policy_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("type", TEXT, autoincrement=False, nullable=False),
        sa.Column("direction", TEXT, autoincrement=False, nullable=False),
        sa.Column("max_kbps", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("max_burst_kbps", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("min_kbps", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("dscp_mark", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("policy_id", "type", "direction", name="uq_qos_rules_policy_id_type_direction"),
    )
    with op.batch_alter_table("qos_rules", schema=None) as batch_op:
        batch_op.create_index("ix_qos_rules_project_id_name_id", ["project_id", "name", "id"], unique=False)

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
    with op.batch_alter_table("switch_places", schema=None) as batch_op:
        batch_op.create_index("ix_switch_places_switch", ["switch"], unique=False)

    op.create_table(
        "switch_states",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("trouble", TEXT, autoincrement=False, nullable=False),
        sa.Column("asked_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("again_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "trunk_sub_ports",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("trunk_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("segmentation_type", TEXT, autoincrement=False, nullable=False),
        sa.Column("segmentation_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "trunk_id",
            "segmentation_type",
            "segmentation_id",
            name="uq_trunk_sub_ports_trunk_id_segmentation_type_segmentation_id",
        ),
    )
    with op.batch_alter_table("trunk_sub_ports", schema=None) as batch_op:
        batch_op.create_index("ix_trunk_sub_ports_trunk_id", ["trunk_id"], unique=False)

    op.create_table(
        "trunks",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("port_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("status", TEXT, autoincrement=False, nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("port_id", name="uq_trunks_port_id"),
    )
    with op.batch_alter_table("trunks", schema=None) as batch_op:
        batch_op.create_index("ix_trunks_project_id_name_id", ["project_id", "name", "id"], unique=False)

    op.create_table(
        "tunnel_endpoints",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("address", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
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
    with op.batch_alter_table("volume_attachments", schema=None) as batch_op:
        batch_op.create_index("ix_volume_attachments_project_id", ["project_id"], unique=False)
        batch_op.create_index("ix_volume_attachments_server_id", ["server_id"], unique=False)
        batch_op.create_index("ix_volume_attachments_volume_id", ["volume_id"], unique=False)

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
    with op.batch_alter_table("volume_backups", schema=None) as batch_op:
        batch_op.create_index("ix_volume_backups_created_at_id", ["created_at", "id"], unique=False)
        batch_op.create_index("ix_volume_backups_location", ["location"], unique=False)
        batch_op.create_index("ix_volume_backups_parent_id", ["parent_id"], unique=False)
        batch_op.create_index("ix_volume_backups_project_id", ["project_id"], unique=False)
        batch_op.create_index("ix_volume_backups_volume_id", ["volume_id"], unique=False)

    op.create_table(
        "volume_default_types",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("type_id", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("project_id"),
    )
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
    with op.batch_alter_table("volume_group_snapshots", schema=None) as batch_op:
        batch_op.create_index("ix_volume_group_snapshots_group_id", ["group_id"], unique=False)
        batch_op.create_index("ix_volume_group_snapshots_project_id", ["project_id"], unique=False)

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
    with op.batch_alter_table("volume_groups", schema=None) as batch_op:
        batch_op.create_index("ix_volume_groups_project_id", ["project_id"], unique=False)

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
    with op.batch_alter_table("volume_messages", schema=None) as batch_op:
        batch_op.create_index("ix_volume_messages_expires_at", ["expires_at"], unique=False)
        batch_op.create_index("ix_volume_messages_project_id", ["project_id"], unique=False)

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
    with op.batch_alter_table("volume_placements", schema=None) as batch_op:
        batch_op.create_index("ix_volume_placements_volume_id", ["volume_id"], unique=False)

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
    with op.batch_alter_table("volume_pools", schema=None) as batch_op:
        batch_op.create_index("ix_volume_pools_host", ["host"], unique=False)

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
    with op.batch_alter_table("volume_snapshots", schema=None) as batch_op:
        batch_op.create_index("ix_volume_snapshots_created_at_id", ["created_at", "id"], unique=False)
        batch_op.create_index("ix_volume_snapshots_group_snapshot_id", ["group_snapshot_id"], unique=False)
        batch_op.create_index("ix_volume_snapshots_project_id", ["project_id"], unique=False)
        batch_op.create_index("ix_volume_snapshots_volume_id", ["volume_id"], unique=False)

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
    with op.batch_alter_table("volume_transfers", schema=None) as batch_op:
        batch_op.create_index("ix_volume_transfers_project_id", ["project_id"], unique=False)
        batch_op.create_index("ix_volume_transfers_volume_id", ["volume_id"], unique=False)

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
    with op.batch_alter_table("volumes", schema=None) as batch_op:
        batch_op.create_index("ix_volumes_created_at_id", ["created_at", "id"], unique=False)
        batch_op.create_index("ix_volumes_group_id", ["group_id"], unique=False)
        batch_op.create_index("ix_volumes_host", ["host"], unique=False)
        batch_op.create_index("ix_volumes_project_id", ["project_id"], unique=False)
        batch_op.create_index("ix_volumes_type_id", ["type_id"], unique=False)

    with op.batch_alter_table("floating_ips", schema=None) as batch_op:
        batch_op.add_column(sa.Column("qos_policy_id", TEXT, autoincrement=False, nullable=True))
        batch_op.create_index("ix_floating_ips_qos_policy_id", ["qos_policy_id"], unique=False)

    with op.batch_alter_table("networks", schema=None) as batch_op:
        batch_op.add_column(sa.Column("qos_policy_id", TEXT, autoincrement=False, nullable=True))
        batch_op.create_index("ix_networks_qos_policy_id", ["qos_policy_id"], unique=False)

    with op.batch_alter_table("ports", schema=None) as batch_op:
        batch_op.add_column(sa.Column("dhcp_options", TEXT, autoincrement=False, nullable=False))
        batch_op.add_column(sa.Column("qos_policy_id", TEXT, autoincrement=False, nullable=True))
        batch_op.create_index("ix_ports_qos_policy_id", ["qos_policy_id"], unique=False)

    with op.batch_alter_table("routers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("distributed", sa.Boolean(), autoincrement=False, nullable=False))
        batch_op.add_column(sa.Column("ha", sa.Boolean(), autoincrement=False, nullable=False))

    with op.batch_alter_table("security_group_rules", schema=None) as batch_op:
        batch_op.add_column(sa.Column("remote_address_group_id", TEXT, autoincrement=False, nullable=True))
        batch_op.create_index(
            "ix_security_group_rules_remote_address_group_id", ["remote_address_group_id"], unique=False
        )

    with op.batch_alter_table("server_inputs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("disks", TEXT, autoincrement=False, nullable=False))
        batch_op.add_column(sa.Column("disk_bus", TEXT, autoincrement=False, nullable=False))

    with op.batch_alter_table("subnet_pools", schema=None) as batch_op:
        batch_op.add_column(sa.Column("address_scope_id", TEXT, autoincrement=False, nullable=True))
        batch_op.create_index("ix_subnet_pools_address_scope_id", ["address_scope_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("subnet_pools", schema=None) as batch_op:
        batch_op.drop_index("ix_subnet_pools_address_scope_id")
        batch_op.drop_column("address_scope_id")

    with op.batch_alter_table("server_inputs", schema=None) as batch_op:
        batch_op.drop_column("disk_bus")
        batch_op.drop_column("disks")

    with op.batch_alter_table("security_group_rules", schema=None) as batch_op:
        batch_op.drop_index("ix_security_group_rules_remote_address_group_id")
        batch_op.drop_column("remote_address_group_id")

    with op.batch_alter_table("routers", schema=None) as batch_op:
        batch_op.drop_column("ha")
        batch_op.drop_column("distributed")

    with op.batch_alter_table("ports", schema=None) as batch_op:
        batch_op.drop_index("ix_ports_qos_policy_id")
        batch_op.drop_column("qos_policy_id")
        batch_op.drop_column("dhcp_options")

    with op.batch_alter_table("networks", schema=None) as batch_op:
        batch_op.drop_index("ix_networks_qos_policy_id")
        batch_op.drop_column("qos_policy_id")

    with op.batch_alter_table("floating_ips", schema=None) as batch_op:
        batch_op.drop_index("ix_floating_ips_qos_policy_id")
        batch_op.drop_column("qos_policy_id")

    with op.batch_alter_table("volumes", schema=None) as batch_op:
        batch_op.drop_index("ix_volumes_type_id")
        batch_op.drop_index("ix_volumes_project_id")
        batch_op.drop_index("ix_volumes_host")
        batch_op.drop_index("ix_volumes_group_id")
        batch_op.drop_index("ix_volumes_created_at_id")

    op.drop_table("volumes")
    op.drop_table("volume_types")
    with op.batch_alter_table("volume_transfers", schema=None) as batch_op:
        batch_op.drop_index("ix_volume_transfers_volume_id")
        batch_op.drop_index("ix_volume_transfers_project_id")

    op.drop_table("volume_transfers")
    with op.batch_alter_table("volume_snapshots", schema=None) as batch_op:
        batch_op.drop_index("ix_volume_snapshots_volume_id")
        batch_op.drop_index("ix_volume_snapshots_project_id")
        batch_op.drop_index("ix_volume_snapshots_group_snapshot_id")
        batch_op.drop_index("ix_volume_snapshots_created_at_id")

    op.drop_table("volume_snapshots")
    op.drop_table("volume_quotas")
    op.drop_table("volume_qos_specs")
    with op.batch_alter_table("volume_pools", schema=None) as batch_op:
        batch_op.drop_index("ix_volume_pools_host")

    op.drop_table("volume_pools")
    with op.batch_alter_table("volume_placements", schema=None) as batch_op:
        batch_op.drop_index("ix_volume_placements_volume_id")

    op.drop_table("volume_placements")
    with op.batch_alter_table("volume_messages", schema=None) as batch_op:
        batch_op.drop_index("ix_volume_messages_project_id")
        batch_op.drop_index("ix_volume_messages_expires_at")

    op.drop_table("volume_messages")
    with op.batch_alter_table("volume_groups", schema=None) as batch_op:
        batch_op.drop_index("ix_volume_groups_project_id")

    op.drop_table("volume_groups")
    op.drop_table("volume_group_types")
    with op.batch_alter_table("volume_group_snapshots", schema=None) as batch_op:
        batch_op.drop_index("ix_volume_group_snapshots_project_id")
        batch_op.drop_index("ix_volume_group_snapshots_group_id")

    op.drop_table("volume_group_snapshots")
    op.drop_table("volume_default_types")
    with op.batch_alter_table("volume_backups", schema=None) as batch_op:
        batch_op.drop_index("ix_volume_backups_volume_id")
        batch_op.drop_index("ix_volume_backups_project_id")
        batch_op.drop_index("ix_volume_backups_parent_id")
        batch_op.drop_index("ix_volume_backups_location")
        batch_op.drop_index("ix_volume_backups_created_at_id")

    op.drop_table("volume_backups")
    with op.batch_alter_table("volume_attachments", schema=None) as batch_op:
        batch_op.drop_index("ix_volume_attachments_volume_id")
        batch_op.drop_index("ix_volume_attachments_server_id")
        batch_op.drop_index("ix_volume_attachments_project_id")

    op.drop_table("volume_attachments")
    op.drop_table("tunnel_endpoints")
    with op.batch_alter_table("trunks", schema=None) as batch_op:
        batch_op.drop_index("ix_trunks_project_id_name_id")

    op.drop_table("trunks")
    with op.batch_alter_table("trunk_sub_ports", schema=None) as batch_op:
        batch_op.drop_index("ix_trunk_sub_ports_trunk_id")

    op.drop_table("trunk_sub_ports")
    op.drop_table("switch_states")
    with op.batch_alter_table("switch_places", schema=None) as batch_op:
        batch_op.drop_index("ix_switch_places_switch")

    op.drop_table("switch_places")
    op.drop_table("segments")
    with op.batch_alter_table("qos_rules", schema=None) as batch_op:
        batch_op.drop_index("ix_qos_rules_project_id_name_id")

    op.drop_table("qos_rules")
    with op.batch_alter_table("qos_policies", schema=None) as batch_op:
        batch_op.drop_index("ix_qos_policies_project_id_name_id")

    op.drop_table("qos_policies")
    with op.batch_alter_table("port_forwardings", schema=None) as batch_op:
        batch_op.drop_index("ix_port_forwardings_project_id_name_id")
        batch_op.drop_index("ix_port_forwardings_internal_port_id")
        batch_op.drop_index("ix_port_forwardings_floatingip_id")
        batch_op.drop_index("ix_port_forwardings_fixed_network_id")

    op.drop_table("port_forwardings")
    with op.batch_alter_table("network_hostings", schema=None) as batch_op:
        batch_op.drop_index("ix_network_hostings_subject_id")
        batch_op.drop_index("ix_network_hostings_host")

    op.drop_table("network_hostings")
    with op.batch_alter_table("network_agents", schema=None) as batch_op:
        batch_op.drop_index("ix_network_agents_project_id_name_id")

    op.drop_table("network_agents")
    with op.batch_alter_table("metering_labels", schema=None) as batch_op:
        batch_op.drop_index("ix_metering_labels_project_id_name_id")

    op.drop_table("metering_labels")
    with op.batch_alter_table("metering_label_rules", schema=None) as batch_op:
        batch_op.drop_index("ix_metering_label_rules_project_id_name_id")
        batch_op.drop_index("ix_metering_label_rules_label_id")

    op.drop_table("metering_label_rules")
    with op.batch_alter_table("auto_topologies", schema=None) as batch_op:
        batch_op.drop_index("ix_auto_topologies_router_id")
        batch_op.drop_index("ix_auto_topologies_network_id")

    op.drop_table("auto_topologies")
    with op.batch_alter_table("address_scopes", schema=None) as batch_op:
        batch_op.drop_index("ix_address_scopes_project_id_name_id")

    op.drop_table("address_scopes")
    with op.batch_alter_table("address_groups", schema=None) as batch_op:
        batch_op.drop_index("ix_address_groups_project_id_name_id")

    op.drop_table("address_groups")
