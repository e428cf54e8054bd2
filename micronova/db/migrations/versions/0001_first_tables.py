"""First tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "addresses",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("subnet_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("number", TEXT, autoincrement=False, nullable=False),
        sa.Column("ip", TEXT, autoincrement=False, nullable=False),
        sa.Column("network_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("port_id", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("subnet_id", "number", name="uq_addresses_subnet_id_number"),
    )
    op.create_index("ix_addresses_ip", "addresses", ["ip"], unique=False)
    op.create_index("ix_addresses_port_id", "addresses", ["port_id"], unique=False)
    op.create_table(
        "aggregates",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", SERIAL, autoincrement=True, nullable=False),
        sa.Column("uuid", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("zone", TEXT, autoincrement=False, nullable=False),
        sa.Column("hosts", TEXT, autoincrement=False, nullable=False),
        sa.Column("metadata", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name", name="uq_aggregates_name"),
        sa.UniqueConstraint("uuid", name="uq_aggregates_uuid"),
    )
    op.create_index("ix_aggregates_zone", "aggregates", ["zone"], unique=False)
    op.create_table(
        "allocations",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("consumer_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("vcpus", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ram_mib", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("disk_gib", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("consumer_id"),
    )
    op.create_index("ix_allocations_host", "allocations", ["host"], unique=False)
    op.create_index("ix_allocations_project_id", "allocations", ["project_id"], unique=False)
    op.create_table(
        "application_credentials",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("user_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=True),
        sa.Column("secret_hash", TEXT, autoincrement=False, nullable=False),
        sa.Column("role_ids", TEXT, autoincrement=False, nullable=False),
        sa.Column("unrestricted", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("expires_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("user_id", "name", name="uq_application_credentials_user_id_name"),
    )
    op.create_index("ix_application_credentials_project_id", "application_credentials", ["project_id"], unique=False)
    op.create_table(
        "catalog_services",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("type", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=True),
        sa.Column("description", TEXT, autoincrement=False, nullable=True),
        sa.Column("enabled", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("extra", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
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
    op.create_table(
        "credentials",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("user_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("type", TEXT, autoincrement=False, nullable=False),
        sa.Column("blob", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_credentials_user_id", "credentials", ["user_id"], unique=False)
    op.create_table(
        "decisions",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("serial", SERIAL, autoincrement=True, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("consumer_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("request_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("driver", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("message", TEXT, autoincrement=False, nullable=False),
        sa.Column("candidates", TEXT, autoincrement=False, nullable=False),
        sa.Column("removed", TEXT, autoincrement=False, nullable=False),
        sa.Column("weights", TEXT, autoincrement=False, nullable=False),
        sa.Column("margin", sa.Double(), autoincrement=False, nullable=False),
        sa.Column("request", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("serial"),
        sa.UniqueConstraint("id", name="uq_decisions_id"),
    )
    op.create_index("ix_decisions_consumer_id", "decisions", ["consumer_id"], unique=False)
    op.create_table(
        "endpoints",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("service_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("region_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("interface", TEXT, autoincrement=False, nullable=False),
        sa.Column("url", TEXT, autoincrement=False, nullable=False),
        sa.Column("enabled", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("extra", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_endpoints_service_id", "endpoints", ["service_id"], unique=False)
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
    op.create_table(
        "group_members",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("user_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("group_id", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("user_id", "group_id", name="uq_group_members_user_id_group_id"),
    )
    op.create_index("ix_group_members_group_id", "group_members", ["group_id"], unique=False)
    op.create_table(
        "groups",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("domain_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("extra", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("domain_id", "name", name="uq_groups_domain_id_name"),
    )
    op.create_table(
        "hosts",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", SERIAL, autoincrement=True, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("hostname", TEXT, autoincrement=False, nullable=False),
        sa.Column("address", TEXT, autoincrement=False, nullable=False),
        sa.Column("hypervisor_type", TEXT, autoincrement=False, nullable=False),
        sa.Column("hypervisor_version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("vcpus", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ram_mib", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("disk_gib", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reserved_ram_mib", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cpu_model", TEXT, autoincrement=False, nullable=False),
        sa.Column("accel", TEXT, autoincrement=False, nullable=False),
        sa.Column("zone", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("host", name="uq_hosts_host"),
        sa.UniqueConstraint("id", name="uq_hosts_id"),
    )
    op.create_table(
        "identity_epoch",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
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
    op.create_table(
        "implied_roles",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("prior_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("implied_id", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("prior_id", "implied_id", name="uq_implied_roles_prior_id_implied_id"),
    )
    op.create_table(
        "journal",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", SERIAL, autoincrement=True, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("table_name", TEXT, autoincrement=False, nullable=False),
        sa.Column("row_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("op", TEXT, autoincrement=False, nullable=False),
        sa.Column("before", TEXT, autoincrement=False, nullable=False),
        sa.Column("after", TEXT, autoincrement=False, nullable=False),
        sa.Column("why", TEXT, autoincrement=False, nullable=False),
        sa.Column("request_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("user_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id", name="uq_journal_id"),
    )
    op.create_index("ix_journal_at", "journal", ["at"], unique=False)
    op.create_index("ix_journal_request_id", "journal", ["request_id"], unique=False)
    op.create_index("ix_journal_table_name_row_id", "journal", ["table_name", "row_id"], unique=False)
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
    op.create_table(
        "network_quotas",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("resource", TEXT, autoincrement=False, nullable=False),
        sa.Column("most", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_network_quotas_project_id", "network_quotas", ["project_id"], unique=False)
    op.create_table(
        "networks",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("status", TEXT, autoincrement=False, nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("shared", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("external", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("public", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("is_default", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("mtu", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("network_type", TEXT, autoincrement=False, nullable=False),
        sa.Column("physical_network", TEXT, autoincrement=False, nullable=True),
        sa.Column("segmentation_id", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("port_security_enabled", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("dns_domain", TEXT, autoincrement=False, nullable=False),
        sa.Column("availability_zone_hints", TEXT, autoincrement=False, nullable=False),
        sa.Column("subnet_ids", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_networks_project_id_name_id", "networks", ["project_id", "name", "id"], unique=False)
    op.create_index("ix_networks_public", "networks", ["public"], unique=False)
    op.create_table(
        "ports",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("network_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("guest_of", TEXT, autoincrement=False, nullable=False),
        sa.Column("mac", TEXT, autoincrement=False, nullable=False),
        sa.Column("status", TEXT, autoincrement=False, nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("device_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("device_owner", TEXT, autoincrement=False, nullable=False),
        sa.Column("fixed_ips", TEXT, autoincrement=False, nullable=False),
        sa.Column("security_group_ids", TEXT, autoincrement=False, nullable=False),
        sa.Column("port_security_enabled", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("allowed_pairs", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("vnic_type", TEXT, autoincrement=False, nullable=False),
        sa.Column("profile", TEXT, autoincrement=False, nullable=False),
        sa.Column("dns_name", TEXT, autoincrement=False, nullable=False),
        sa.Column("owned", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("tag", TEXT, autoincrement=False, nullable=True),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("network_id", "mac", name="uq_ports_network_id_mac"),
    )
    op.create_index("ix_ports_device_id", "ports", ["device_id"], unique=False)
    op.create_index("ix_ports_guest_of", "ports", ["guest_of"], unique=False)
    op.create_index("ix_ports_host", "ports", ["host"], unique=False)
    op.create_index("ix_ports_mac", "ports", ["mac"], unique=False)
    op.create_index("ix_ports_project_id_device_id_id", "ports", ["project_id", "device_id", "id"], unique=False)
    op.create_index("ix_ports_project_id_id", "ports", ["project_id", "id"], unique=False)
    op.create_index("ix_ports_project_id_name_id", "ports", ["project_id", "name", "id"], unique=False)
    op.create_table(
        "projects",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("domain_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("parent_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("is_domain", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("enabled", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("options", TEXT, autoincrement=False, nullable=False),
        sa.Column("extra", TEXT, autoincrement=False, nullable=False),
        sa.Column("token_epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("domain_id", "name", name="uq_projects_domain_id_name"),
    )
    op.create_index("ix_projects_parent_id", "projects", ["parent_id"], unique=False)
    op.create_table(
        "regions",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("parent_region_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("extra", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "revoked_tokens",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("expires_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_revoked_tokens_expires_at", "revoked_tokens", ["expires_at"], unique=False)
    op.create_table(
        "role_assignments",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("actor", TEXT, autoincrement=False, nullable=False),
        sa.Column("actor_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("target", TEXT, autoincrement=False, nullable=False),
        sa.Column("target_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("role_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("inherited", sa.Boolean(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "actor_id",
            "target_id",
            "role_id",
            "inherited",
            name="uq_role_assignments_actor_id_target_id_role_id_inherited",
        ),
    )
    op.create_index("ix_role_assignments_role_id", "role_assignments", ["role_id"], unique=False)
    op.create_index("ix_role_assignments_target_id", "role_assignments", ["target_id"], unique=False)
    op.create_table(
        "roles",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("domain_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=True),
        sa.Column("options", TEXT, autoincrement=False, nullable=False),
        sa.Column("extra", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("domain_id", "name", name="uq_roles_domain_id_name"),
    )
    op.create_table(
        "security_group_members",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("group_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("port_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "ix_security_group_members_group_id_host", "security_group_members", ["group_id", "host"], unique=False
    )
    op.create_index("ix_security_group_members_port_id", "security_group_members", ["port_id"], unique=False)
    op.create_table(
        "security_group_rules",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("group_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("direction", TEXT, autoincrement=False, nullable=False),
        sa.Column("ethertype", TEXT, autoincrement=False, nullable=False),
        sa.Column("protocol", TEXT, autoincrement=False, nullable=True),
        sa.Column("port_min", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("port_max", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("remote_prefix", TEXT, autoincrement=False, nullable=True),
        sa.Column("remote_group_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("fingerprint", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("group_id", "fingerprint", name="uq_security_group_rules_group_id_fingerprint"),
    )
    op.create_index(
        "ix_security_group_rules_project_id_name_id", "security_group_rules", ["project_id", "name", "id"], unique=False
    )
    op.create_index(
        "ix_security_group_rules_remote_group_id", "security_group_rules", ["remote_group_id"], unique=False
    )
    op.create_table(
        "security_groups",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("stateful", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("shared", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("default_of", TEXT, autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("default_of", name="uq_security_groups_default_of"),
    )
    op.create_index(
        "ix_security_groups_project_id_name_id", "security_groups", ["project_id", "name", "id"], unique=False
    )
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
    op.create_table(
        "services",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("topic", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("binary", TEXT, autoincrement=False, nullable=False),
        sa.Column("zone", TEXT, autoincrement=False, nullable=False),
        sa.Column("version", TEXT, autoincrement=False, nullable=False),
        sa.Column("disabled", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("disabled_reason", TEXT, autoincrement=False, nullable=True),
        sa.Column("forced_down", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seen_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("stopped", sa.Boolean(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("topic", "host", name="uq_services_topic_host"),
    )
    op.create_table(
        "subnets",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("network_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("ip_version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("cidr", TEXT, autoincrement=False, nullable=False),
        sa.Column("gateway_ip", TEXT, autoincrement=False, nullable=True),
        sa.Column("enable_dhcp", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("pools", TEXT, autoincrement=False, nullable=False),
        sa.Column("dns_nameservers", TEXT, autoincrement=False, nullable=False),
        sa.Column("host_routes", TEXT, autoincrement=False, nullable=False),
        sa.Column("ipv6_ra_mode", TEXT, autoincrement=False, nullable=True),
        sa.Column("ipv6_address_mode", TEXT, autoincrement=False, nullable=True),
        sa.Column("service_types", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_subnets_cidr", "subnets", ["cidr"], unique=False)
    op.create_index("ix_subnets_network_id", "subnets", ["network_id"], unique=False)
    op.create_index("ix_subnets_project_id_name_id", "subnets", ["project_id", "name", "id"], unique=False)
    op.create_table(
        "tasks",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", SERIAL, autoincrement=True, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("topic", TEXT, autoincrement=False, nullable=False),
        sa.Column("host", TEXT, autoincrement=False, nullable=False),
        sa.Column("method", TEXT, autoincrement=False, nullable=False),
        sa.Column("version", TEXT, autoincrement=False, nullable=False),
        sa.Column("resource", TEXT, autoincrement=False, nullable=False),
        sa.Column("arguments", TEXT, autoincrement=False, nullable=False),
        sa.Column("state", TEXT, autoincrement=False, nullable=False),
        sa.Column("open", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("cancelled", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempts", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("run_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("deadline_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("lease_until", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("leased_by", TEXT, autoincrement=False, nullable=False),
        sa.Column("error", TEXT, autoincrement=False, nullable=False),
        sa.Column("log", TEXT, autoincrement=False, nullable=False),
        sa.Column("context", TEXT, autoincrement=False, nullable=False),
        sa.Column("request_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("user_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("started_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("finished_at", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id", name="uq_tasks_id"),
    )
    op.create_index("ix_tasks_request_id", "tasks", ["request_id"], unique=False)
    op.create_index("ix_tasks_resource_open", "tasks", ["resource", "open"], unique=False)
    op.create_index("ix_tasks_topic_open", "tasks", ["topic", "open"], unique=False)
    op.create_table(
        "token_keys",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", SERIAL, autoincrement=True, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("secret", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("id", name="uq_token_keys_id"),
    )
    op.create_table(
        "users",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("domain_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("default_project_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("enabled", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("password_hash", TEXT, autoincrement=False, nullable=False),
        sa.Column("options", TEXT, autoincrement=False, nullable=False),
        sa.Column("extra", TEXT, autoincrement=False, nullable=False),
        sa.Column("token_epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("domain_id", "name", name="uq_users_domain_id_name"),
    )


def downgrade() -> None:
    op.drop_table("users")
    op.drop_table("token_keys")
    op.drop_index("ix_tasks_topic_open", table_name="tasks")
    op.drop_index("ix_tasks_resource_open", table_name="tasks")
    op.drop_index("ix_tasks_request_id", table_name="tasks")
    op.drop_table("tasks")
    op.drop_index("ix_subnets_project_id_name_id", table_name="subnets")
    op.drop_index("ix_subnets_network_id", table_name="subnets")
    op.drop_index("ix_subnets_cidr", table_name="subnets")
    op.drop_table("subnets")
    op.drop_table("services")
    op.drop_index("ix_servers_project_id_created_at", table_name="servers")
    op.drop_index("ix_servers_host", table_name="servers")
    op.drop_index("ix_servers_created_at", table_name="servers")
    op.drop_table("servers")
    op.drop_table("server_inputs")
    op.drop_index("ix_server_groups_project_id", table_name="server_groups")
    op.drop_table("server_groups")
    op.drop_index("ix_security_groups_project_id_name_id", table_name="security_groups")
    op.drop_table("security_groups")
    op.drop_index("ix_security_group_rules_remote_group_id", table_name="security_group_rules")
    op.drop_index("ix_security_group_rules_project_id_name_id", table_name="security_group_rules")
    op.drop_table("security_group_rules")
    op.drop_index("ix_security_group_members_port_id", table_name="security_group_members")
    op.drop_index("ix_security_group_members_group_id_host", table_name="security_group_members")
    op.drop_table("security_group_members")
    op.drop_table("roles")
    op.drop_index("ix_role_assignments_target_id", table_name="role_assignments")
    op.drop_index("ix_role_assignments_role_id", table_name="role_assignments")
    op.drop_table("role_assignments")
    op.drop_index("ix_revoked_tokens_expires_at", table_name="revoked_tokens")
    op.drop_table("revoked_tokens")
    op.drop_table("regions")
    op.drop_index("ix_projects_parent_id", table_name="projects")
    op.drop_table("projects")
    op.drop_index("ix_ports_project_id_name_id", table_name="ports")
    op.drop_index("ix_ports_project_id_id", table_name="ports")
    op.drop_index("ix_ports_project_id_device_id_id", table_name="ports")
    op.drop_index("ix_ports_mac", table_name="ports")
    op.drop_index("ix_ports_host", table_name="ports")
    op.drop_index("ix_ports_guest_of", table_name="ports")
    op.drop_index("ix_ports_device_id", table_name="ports")
    op.drop_table("ports")
    op.drop_index("ix_networks_public", table_name="networks")
    op.drop_index("ix_networks_project_id_name_id", table_name="networks")
    op.drop_table("networks")
    op.drop_index("ix_network_quotas_project_id", table_name="network_quotas")
    op.drop_table("network_quotas")
    op.drop_table("key_pairs")
    op.drop_index("ix_journal_table_name_row_id", table_name="journal")
    op.drop_index("ix_journal_request_id", table_name="journal")
    op.drop_index("ix_journal_at", table_name="journal")
    op.drop_table("journal")
    op.drop_table("implied_roles")
    op.drop_index("ix_images_visibility", table_name="images")
    op.drop_index("ix_images_owner", table_name="images")
    op.drop_index("ix_images_created_at_id", table_name="images")
    op.drop_table("images")
    op.drop_index("ix_image_members_member_id", table_name="image_members")
    op.drop_table("image_members")
    op.drop_table("identity_epoch")
    op.drop_table("hosts")
    op.drop_table("groups")
    op.drop_index("ix_group_members_group_id", table_name="group_members")
    op.drop_table("group_members")
    op.drop_table("flavors")
    op.drop_index("ix_endpoints_service_id", table_name="endpoints")
    op.drop_table("endpoints")
    op.drop_index("ix_decisions_consumer_id", table_name="decisions")
    op.drop_table("decisions")
    op.drop_index("ix_credentials_user_id", table_name="credentials")
    op.drop_table("credentials")
    op.drop_table("compute_quotas")
    op.drop_table("catalog_services")
    op.drop_index("ix_application_credentials_project_id", table_name="application_credentials")
    op.drop_table("application_credentials")
    op.drop_index("ix_allocations_project_id", table_name="allocations")
    op.drop_index("ix_allocations_host", table_name="allocations")
    op.drop_table("allocations")
    op.drop_index("ix_aggregates_zone", table_name="aggregates")
    op.drop_table("aggregates")
    op.drop_index("ix_addresses_port_id", table_name="addresses")
    op.drop_index("ix_addresses_ip", table_name="addresses")
    op.drop_table("addresses")
