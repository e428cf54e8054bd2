"""Routers floating IPs subnet pools RBAC: network tables."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    make_floating_ips()
    make_rbac_policies()
    make_router_ports()
    make_routers()
    make_subnet_pools()
    change_networks()
    change_subnets()


def downgrade() -> None:
    restore_subnets()
    restore_networks()
    op.drop_table("subnet_pools")
    op.drop_table("routers")
    op.drop_table("router_ports")
    op.drop_table("rbac_policies")
    op.drop_table("floating_ips")


def make_floating_ips() -> None:
    op.create_table(
        "floating_ips",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("status", TEXT, autoincrement=False, nullable=False),
        sa.Column("floating_network_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("floating_ip_address", TEXT, autoincrement=False, nullable=False),
        sa.Column("holder_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("port_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("fixed_ip_address", TEXT, autoincrement=False, nullable=True),
        sa.Column("fixed_network_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("router_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("dns_name", TEXT, autoincrement=False, nullable=False),
        sa.Column("dns_domain", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "floating_network_id", "floating_ip_address", name="uq_floating_ips_floating_network_id_floating_ip_address"
        ),
        sa.UniqueConstraint(
            "floating_network_id",
            "port_id",
            "fixed_ip_address",
            name="uq_floating_ips_floating_network_id_port_id_fixed_ip_address",
        ),
    )
    op.create_index("ix_floating_ips_fixed_network_id", "floating_ips", ["fixed_network_id"], unique=False)
    op.create_index("ix_floating_ips_holder_id", "floating_ips", ["holder_id"], unique=False)
    op.create_index("ix_floating_ips_port_id", "floating_ips", ["port_id"], unique=False)
    op.create_index("ix_floating_ips_project_id_name_id", "floating_ips", ["project_id", "name", "id"], unique=False)
    op.create_index("ix_floating_ips_router_id", "floating_ips", ["router_id"], unique=False)


def make_rbac_policies() -> None:
    op.create_table(
        "rbac_policies",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("object_type", TEXT, autoincrement=False, nullable=False),
        sa.Column("object_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("action", TEXT, autoincrement=False, nullable=False),
        sa.Column("target_tenant", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "object_id", "action", "target_tenant", name="uq_rbac_policies_object_id_action_target_tenant"
        ),
    )
    op.create_index("ix_rbac_policies_project_id_name_id", "rbac_policies", ["project_id", "name", "id"], unique=False)
    op.create_index("ix_rbac_policies_target_tenant", "rbac_policies", ["target_tenant"], unique=False)


def make_router_ports() -> None:
    op.create_table(
        "router_ports",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("router_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("network_id", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_router_ports_network_id", "router_ports", ["network_id"], unique=False)
    op.create_index("ix_router_ports_router_id", "router_ports", ["router_id"], unique=False)


def make_routers() -> None:
    op.create_table(
        "routers",
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
        sa.Column("external_network_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("gateway_port_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("enable_snat", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("routes", TEXT, autoincrement=False, nullable=False),
        sa.Column("availability_zone_hints", TEXT, autoincrement=False, nullable=False),
        sa.Column("interface_ids", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_routers_external_network_id", "routers", ["external_network_id"], unique=False)
    op.create_index("ix_routers_project_id_name_id", "routers", ["project_id", "name", "id"], unique=False)


def make_subnet_pools() -> None:
    op.create_table(
        "subnet_pools",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("project_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("name", TEXT, autoincrement=False, nullable=False),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("tags", TEXT, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("updated_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ip_version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("prefixes", TEXT, autoincrement=False, nullable=False),
        sa.Column("min_prefixlen", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("max_prefixlen", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("default_prefixlen", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("default_quota", sa.BigInteger(), autoincrement=False, nullable=True),
        sa.Column("shared", sa.Boolean(), autoincrement=False, nullable=False),
        sa.Column("is_default", sa.Boolean(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_subnet_pools_project_id_name_id", "subnet_pools", ["project_id", "name", "id"], unique=False)


def change_networks() -> None:
    with op.batch_alter_table("networks", schema=None) as batch_op:
        # networks that are there already are shared with nobody else
        batch_op.add_column(sa.Column("shared_with", TEXT, autoincrement=False, nullable=False, server_default="[]"))
    with op.batch_alter_table("networks", schema=None) as batch_op:
        batch_op.alter_column("shared_with", existing_type=TEXT, existing_nullable=False, server_default=None)


def restore_networks() -> None:
    with op.batch_alter_table("networks", schema=None) as batch_op:
        batch_op.drop_column("shared_with")


def change_subnets() -> None:
    with op.batch_alter_table("subnets", schema=None) as batch_op:
        batch_op.add_column(sa.Column("subnetpool_id", TEXT, autoincrement=False, nullable=True))
        batch_op.create_index("ix_subnets_subnetpool_id", ["subnetpool_id"], unique=False)


def restore_subnets() -> None:
    with op.batch_alter_table("subnets", schema=None) as batch_op:
        batch_op.drop_index("ix_subnets_subnetpool_id")
        batch_op.drop_column("subnetpool_id")
