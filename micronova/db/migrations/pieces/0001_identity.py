"""First tables: identity tables."""

import sqlalchemy as sa
from alembic import op

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    make_application_credentials()
    make_catalog_services()
    make_credentials()
    make_endpoints()
    make_group_members()
    make_groups()
    make_identity_epoch()
    make_implied_roles()
    make_projects()
    make_regions()
    make_revoked_tokens()
    make_role_assignments()
    make_roles()
    make_token_keys()
    make_users()


def downgrade() -> None:
    op.drop_table("users")
    op.drop_table("token_keys")
    op.drop_table("roles")
    op.drop_table("role_assignments")
    op.drop_table("revoked_tokens")
    op.drop_table("regions")
    op.drop_table("projects")
    op.drop_table("implied_roles")
    op.drop_table("identity_epoch")
    op.drop_table("groups")
    op.drop_table("group_members")
    op.drop_table("endpoints")
    op.drop_table("credentials")
    op.drop_table("catalog_services")
    op.drop_table("application_credentials")


def make_application_credentials() -> None:
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


def make_catalog_services() -> None:
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


def make_credentials() -> None:
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


def make_endpoints() -> None:
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


def make_group_members() -> None:
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


def make_groups() -> None:
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


def make_identity_epoch() -> None:
    op.create_table(
        "identity_epoch",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def make_implied_roles() -> None:
    op.create_table(
        "implied_roles",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("prior_id", TEXT, autoincrement=False, nullable=False),
        sa.Column("implied_id", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("prior_id", "implied_id", name="uq_implied_roles_prior_id_implied_id"),
    )


def make_projects() -> None:
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


def make_regions() -> None:
    op.create_table(
        "regions",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("parent_region_id", TEXT, autoincrement=False, nullable=True),
        sa.Column("description", TEXT, autoincrement=False, nullable=False),
        sa.Column("extra", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )


def make_revoked_tokens() -> None:
    op.create_table(
        "revoked_tokens",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("expires_at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_revoked_tokens_expires_at", "revoked_tokens", ["expires_at"], unique=False)


def make_role_assignments() -> None:
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


def make_roles() -> None:
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


def make_token_keys() -> None:
    op.create_table(
        "token_keys",
        sa.Column("revision", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", SERIAL, autoincrement=True, nullable=False),
        sa.Column("id", TEXT, autoincrement=False, nullable=False),
        sa.Column("secret", TEXT, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("id", name="uq_token_keys_id"),
    )


def make_users() -> None:
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
