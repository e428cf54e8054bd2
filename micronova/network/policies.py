"""Who may do what to networks, subnets, ports and security groups unless an operator says otherwise.

Roles and rule names as Neutron has them. Who sees a row at all is decided by the collections: what isn't seen is
NotFound.
"""

MANAGER = "rule:project_manager_or_admin"
MEMBER = "rule:project_member_or_admin"
READER = "rule:project_reader_or_admin"
ADMIN = "rule:admin"
NETWORK_OWNER = "role:member and tenant_id:%(network:tenant_id)s"
OWNER_OF_NETWORK_OR_ADMIN = f"{ADMIN} or ({NETWORK_OWNER})"
OWNER_OR_NETWORK_OWNER = f"{MEMBER} or ({NETWORK_OWNER})"


def _plain(noun: str, change: str = MEMBER, create: str = MEMBER) -> dict[str, str]:
    return {
        f"create_{noun}": create,
        f"get_{noun}": READER,
        f"update_{noun}": change,
        f"delete_{noun}": change,
    }


def _each(verbs: tuple[str, ...], noun: str, names: tuple[str, ...], rule: str) -> dict[str, str]:
    return {f"{verb}_{noun}:{name}": rule for verb in verbs for name in names}


BOTH = ("create", "update")
PROVIDER = ("provider:network_type", "provider:physical_network", "provider:segmentation_id")
BINDING = ("binding:host_id", "binding:profile")

ROUTER_ACTIONS = ("add_router_interface", "remove_router_interface", "add_extraroutes", "remove_extraroutes")

HOSTING = (
    *("get_dhcp-networks", "create_dhcp-network", "delete_dhcp-network", "get_dhcp-agents"),
    *("get_l3-routers", "create_l3-router", "delete_l3-router", "get_l3-agents"),
)

RULES: dict[str, str] = {
    **_plain("network"),
    **_each(BOTH, "network", ("shared", "router:external", "is_default"), ADMIN),
    **_each(("create", "get"), "network", PROVIDER, ADMIN),
    **_plain("subnet"),
    "create_subnet": OWNER_OF_NETWORK_OR_ADMIN,
    "update_subnet": OWNER_OF_NETWORK_OR_ADMIN,
    "delete_subnet": OWNER_OF_NETWORK_OR_ADMIN,
    **_plain("port", OWNER_OR_NETWORK_OWNER),
    **_each(
        BOTH,
        "port",
        (
            "mac_address",
            "fixed_ips:ip_address",
            "device_owner",
            "port_security_enabled",
            "allowed_address_pairs",
        ),
        OWNER_OF_NETWORK_OR_ADMIN,
    ),
    "update_port:mac_address": f"{ADMIN} or rule:service",
    **_each(BOTH, "port", BINDING, f"{ADMIN} or rule:service"),
    **_each(("get",), "port", (*BINDING, "binding:vif_type", "binding:vif_details"), f"{ADMIN} or rule:service"),
    **_plain("security_group"),
    **_plain("security_group_rule"),
    **_plain("router"),
    **_each(BOTH, "router", ("external_gateway_info", "external_gateway_info:network_id"), MEMBER),
    **_each(BOTH, "router", ("external_gateway_info:enable_snat", "external_gateway_info:external_fixed_ips"), ADMIN),
    **dict.fromkeys(ROUTER_ACTIONS, MEMBER),
    **_plain("floatingip"),
    "create_floatingip:floating_ip_address": ADMIN,
    **_plain("floatingip_port_forwarding"),
    **_plain("trunk"),
    **_plain("address_group"),
    "add_addresses": MEMBER,
    "remove_addresses": MEMBER,
    "add_subports": MEMBER,
    "remove_subports": MEMBER,
    **_plain("policy", MANAGER, MANAGER),
    **_plain("policy_bandwidth_limit_rule", MANAGER, MANAGER),
    **_plain("policy_dscp_marking_rule", MANAGER, MANAGER),
    **_plain("policy_minimum_bandwidth_rule", MANAGER, MANAGER),
    "get_rule_type": ADMIN,
    **_each(BOTH, "router", ("distributed", "ha"), ADMIN),
    **_each(("get",), "router", ("distributed", "ha"), ADMIN),
    **_plain("address_scope"),
    **_each(BOTH, "address_scope", ("shared",), ADMIN),
    **_plain("subnetpool"),
    **_each(BOTH, "subnetpool", ("shared", "is_default"), ADMIN),
    "get_auto_allocated_topology": READER,
    "delete_auto_allocated_topology": MEMBER,
    **_plain("rbac_policy"),
    **_each(BOTH, "rbac_policy", ("target_tenant",), ADMIN),
    "get_quota": READER,
    "update_quota": ADMIN,
    "delete_quota": ADMIN,
    "get_agent": ADMIN,
    "update_agent": ADMIN,
    "delete_agent": ADMIN,
    **dict.fromkeys(HOSTING, ADMIN),
    **{
        f"{verb}_{noun}": ADMIN
        for verb in ("create", "get", "delete")
        for noun in ("metering_label", "metering_label_rule")
    },
    "get_network_ip_availability": ADMIN,
}
