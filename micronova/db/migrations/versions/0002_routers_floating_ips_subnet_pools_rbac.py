"""Routers floating IPs subnet pools RBAC."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
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
    with op.batch_alter_table("floating_ips", schema=None) as batch_op:
        batch_op.create_index("ix_floating_ips_fixed_network_id", ["fixed_network_id"], unique=False)
        batch_op.create_index("ix_floating_ips_holder_id", ["holder_id"], unique=False)
        batch_op.create_index("ix_floating_ips_port_id", ["port_id"], unique=False)
        batch_op.create_index("ix_floating_ips_project_id_name_id", ["project_id", "name", "id"], unique=False)
        batch_op.create_index("ix_floating_ips_router_id", ["router_id"], unique=False)

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
    with op.batch_alter_table("rbac_policies", schema=None) as batch_op:
        batch_op.create_index("ix_rbac_policies_project_id_name_id", ["project_id", "name", "id"], unique=False)
        batch_op.create_index("ix_rbac_policies_target_tenant", ["target_tenant"], unique=False)

    op.create_table(
        "router_ports",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("router_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("network_id", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("router_ports", schema=None) as batch_op:
        batch_op.create_index("ix_router_ports_network_id", ["network_id"], unique=False)
        batch_op.create_index("ix_router_ports_router_id", ["router_id"], unique=False)

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
    with op.batch_alter_table("routers", schema=None) as batch_op:
        batch_op.create_index("ix_routers_external_network_id", ["external_network_id"], unique=False)
        batch_op.create_index("ix_routers_project_id_name_id", ["project_id", "name", "id"], unique=False)

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
    with op.batch_alter_table("subnet_pools", schema=None) as batch_op:
        batch_op.create_index("ix_subnet_pools_project_id_name_id", ["project_id", "name", "id"], unique=False)

    with op.batch_alter_table("networks", schema=None) as batch_op:
        # networks that are there already are shared with nobody else
        batch_op.add_column(sa.Column("shared_with", TEXT, autoincrement=False, nullable=False, server_default="[]"))
    with op.batch_alter_table("networks", schema=None) as batch_op:
        batch_op.alter_column("shared_with", existing_type=TEXT, existing_nullable=False, server_default=None)

    with op.batch_alter_table("subnets", schema=None) as batch_op:
        batch_op.add_column(sa.Column("subnetpool_id", TEXT, autoincrement=False, nullable=True))
        batch_op.create_index("ix_subnets_subnetpool_id", ["subnetpool_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("subnets", schema=None) as batch_op:
        batch_op.drop_index("ix_subnets_subnetpool_id")
        batch_op.drop_column("subnetpool_id")

    with op.batch_alter_table("networks", schema=None) as batch_op:
        batch_op.drop_column("shared_with")

    with op.batch_alter_table("subnet_pools", schema=None) as batch_op:
        batch_op.drop_index("ix_subnet_pools_project_id_name_id")

    op.drop_table("subnet_pools")
    with op.batch_alter_table("routers", schema=None) as batch_op:
        batch_op.drop_index("ix_routers_project_id_name_id")
        batch_op.drop_index("ix_routers_external_network_id")

    op.drop_table("routers")
    with op.batch_alter_table("router_ports", schema=None) as batch_op:
        batch_op.drop_index("ix_router_ports_router_id")
        batch_op.drop_index("ix_router_ports_network_id")

    op.drop_table("router_ports")
    with op.batch_alter_table("rbac_policies", schema=None) as batch_op:
        batch_op.drop_index("ix_rbac_policies_target_tenant")
        batch_op.drop_index("ix_rbac_policies_project_id_name_id")

    op.drop_table("rbac_policies")
    with op.batch_alter_table("floating_ips", schema=None) as batch_op:
        batch_op.drop_index("ix_floating_ips_router_id")
        batch_op.drop_index("ix_floating_ips_project_id_name_id")
        batch_op.drop_index("ix_floating_ips_port_id")
        batch_op.drop_index("ix_floating_ips_holder_id")
        batch_op.drop_index("ix_floating_ips_fixed_network_id")

    op.drop_table("floating_ips")
