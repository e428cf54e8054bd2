"""Who may do what in identity, by default. Names are Keystone's.

Targets carry `domain_id` (of the row), `user_id` (whom it is about) and `project_id` where there is one.
"""

from collections.abc import Mapping

_ADMIN = "rule:admin_required"
_READER = "rule:admin_required or rule:system_reader"
_DOMAIN_READER = f"{_READER} or rule:domain_reader"
_DOMAIN_MANAGER = f"{_ADMIN} or rule:domain_manager"
_OWNER_READER = f"{_DOMAIN_READER} or rule:user_owner"
_OWNER = f"{_ADMIN} or rule:user_owner"
_SELF = "rule:user_owner"


def _each(text: str, *names: str) -> dict[str, str]:
    return {f"identity:{name}": text for name in names}


RULES: Mapping[str, str] = {
    "domain_reader": "role:reader and domain_id:%(domain_id)s",
    "domain_manager": "role:manager and domain_id:%(domain_id)s",
    **_each("rule:admin_required or rule:service or rule:user_owner", "validate_token"),
    **_each(_OWNER, "revoke_token"),
    **_each("", "get_auth_catalog", "get_auth_projects", "get_auth_domains", "get_auth_system"),
    **_each("", "get_region", "list_regions"),
    **_each(_ADMIN, "create_region", "update_region", "delete_region"),
    **_each(_READER, "get_service", "list_services", "get_endpoint", "list_endpoints"),
    **_each(_ADMIN, "create_service", "update_service", "delete_service"),
    **_each(_ADMIN, "create_endpoint", "update_endpoint", "delete_endpoint"),
    **_each(
        f"{_READER} or domain_id:%(domain_id)s or project_domain_id:%(domain_id)s or user_domain_id:%(domain_id)s",
        "get_domain",
    ),
    **_each(_DOMAIN_READER, "list_domains"),
    **_each(_ADMIN, "create_domain", "update_domain", "delete_domain"),
    **_each(f"{_DOMAIN_READER} or project_id:%(project_id)s", "get_project", "list_project_tags", "get_project_tag"),
    **_each(_DOMAIN_READER, "list_projects"),
    **_each(_OWNER_READER, "list_user_projects"),
    **_each(_DOMAIN_MANAGER, "create_project", "update_project", "delete_project"),
    **_each(_DOMAIN_MANAGER, "update_project_tags", "delete_project_tags"),
    **_each(_OWNER_READER, "get_user", "list_groups_for_user"),
    **_each(_DOMAIN_READER, "list_users"),
    **_each(_DOMAIN_MANAGER, "create_user", "update_user", "delete_user"),
    **_each(_DOMAIN_READER, "get_group", "list_groups", "list_users_in_group", "check_user_in_group"),
    **_each(_DOMAIN_MANAGER, "create_group", "update_group", "delete_group", "add_user_to_group"),
    **_each(_DOMAIN_MANAGER, "remove_user_from_group"),
    **_each(f"{_READER} or role:manager", "get_role", "list_roles"),
    **_each(_ADMIN, "create_role", "update_role", "delete_role"),
    **_each(_READER, "get_implied_role", "list_implied_roles", "check_implied_role", "list_role_inference_rules"),
    **_each(_ADMIN, "create_implied_role", "delete_implied_role"),
    **_each(_READER, "list_role_assignments", "check_grant", "list_grants"),
    **_each(_ADMIN, "create_grant", "revoke_grant"),
    **_each(f"{_READER} or rule:user_owner", "get_application_credential", "list_application_credentials"),
    **_each(_SELF, "create_application_credential"),
    **_each(_OWNER, "delete_application_credential"),
    **_each(f"{_READER} or rule:user_owner", "get_credential"),
    **_each(_OWNER, "create_credential", "update_credential", "delete_credential"),
    **_each(f"{_READER} or rule:user_owner", "ec2_get_credential", "ec2_list_credentials"),
    **_each(_OWNER, "ec2_create_credential", "ec2_delete_credential"),
}
