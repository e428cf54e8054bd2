"""First tables: network tables."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    make_addresses()
    make_network_quotas()
    make_networks()
    make_ports()
    make_security_group_members()
    make_security_group_rules()
    make_security_groups()
    make_subnets()


def downgrade() -> None:
    op.drop_table("subnets")
    op.drop_table("security_groups")
    op.drop_table("security_group_rules")
    op.drop_table("security_group_members")
    op.drop_table("ports")
    op.drop_table("networks")
    op.drop_table("network_quotas")
    op.drop_table("addresses")


def make_addresses() -> None:
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


def make_network_quotas() -> None:
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


def make_networks() -> None:
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


def make_ports() -> None:
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


def make_security_group_members() -> None:
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


def make_security_group_rules() -> None:
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


def make_security_groups() -> None:
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


def make_subnets() -> None:
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
