"""Things of the network and bodies for them, for the test that bends bodies: what the later resources accept."""

V2 = "/network/v2.0"
KINDS = {
    "routers": "router",
    "floatingips": "floatingip",
    "subnetpools": "pool",
    "trunks": "trunk",
    "address-groups": "address_group",
    "address-scopes": "scope",
    "qos": "qos",
    "metering": "label",
    "agents": "agent",
    "rbac-policies": "rbac",
}
"""The thing by the first word of its path."""
INNER = {
    "port_forwardings": "forwarding",
    "bandwidth_limit_rules": "limit",
    "dscp_marking_rules": "mark",
    "minimum_bandwidth_rules": "least",
}
"""The thing within another by the last word of its collection's path."""


def furnish(admin, network: str, port: str) -> dict[str, str]:
    """Ids of one of each."""

    def make(path: str, noun: str, **values) -> str:
        return admin.post(f"{V2}/{path}", {noun: values})[noun]["id"]

    outside = make("networks", "network", name="outside", **{"router:external": True})
    make("subnets", "subnet", network_id=outside, cidr="198.51.100.0/24", ip_version=4)
    subnet = admin.get(f"{V2}/networks/{network}")["network"]["subnets"][0]
    router = make("routers", "router", external_gateway_info={"network_id": outside})
    joined = admin.ask("PUT", f"{V2}/routers/{router}/add_router_interface", {"subnet_id": subnet})
    assert joined.status_code == 200, joined.text
    floating = make("floatingips", "floatingip", floating_network_id=outside)
    qos = make("qos/policies", "policy", name="fuzzed")
    trunk_port = make("ports", "port", network_id=network)
    forwarding = {"protocol": "tcp", "internal_port_id": port, "internal_port": 22, "external_port": 2222}
    forwarding["internal_ip_address"] = admin.get(f"{V2}/ports/{port}")["port"]["fixed_ips"][0]["ip_address"]
    shared = {"object_type": "network", "object_id": network, "action": "access_as_shared", "target_tenant": "*"}
    return {
        "outside": outside,
        "router": router,
        "floatingip": floating,
        "forwarding": make(f"floatingips/{floating}/port_forwardings", "port_forwarding", **forwarding),
        "pool": make("subnetpools", "subnetpool", name="fuzzed", prefixes=["10.120.0.0/16"]),
        "trunk": make("trunks", "trunk", port_id=trunk_port),
        "sub_port": make("ports", "port", network_id=network),
        "address_group": make("address-groups", "address_group", addresses=["10.0.0.0/8"]),
        "scope": make("address-scopes", "address_scope", name="fuzzed", ip_version=4),
        "qos": qos,
        "limit": make(f"qos/policies/{qos}/bandwidth_limit_rules", "bandwidth_limit_rule", max_kbps=1000),
        "mark": make(f"qos/policies/{qos}/dscp_marking_rules", "dscp_marking_rule", dscp_mark=8),
        "least": make(f"qos/policies/{qos}/minimum_bandwidth_rules", "minimum_bandwidth_rule", min_kbps=1),
        "label": make("metering/metering-labels", "metering_label", name="fuzzed"),
        "agent": admin.get(f"{V2}/agents?agent_type=DHCP%20agent")["agents"][0]["id"],
        "rbac": make("rbac-policies", "rbac_policy", **shared),
    }


def bodies(ids: dict[str, str]) -> dict[str, object]:
    """A valid body, or nearly, by path."""
    gateway = {"network_id": ids["outside"], "enable_snat": True, "external_fixed_ips": []}
    router = {"name": "x", "admin_state_up": True, "external_gateway_info": gateway}
    route = {"destination": "192.0.2.0/24", "nexthop": "10.98.0.9"}
    forwarding = {"protocol": "tcp", "internal_port_id": ids["port"], "internal_port": 80, "external_port": 8080}
    sub_port = {"port_id": ids["sub_port"], "segmentation_type": "vlan", "segmentation_id": 7}
    segment = {"provider:network_type": "vxlan", "provider:segmentation_id": 77}
    pool = {"name": "x", "prefixes": ["10.121.0.0/16"], "default_prefixlen": 24, "min_prefixlen": 8, "is_default": 0}
    shared = {"object_type": "network", "object_id": ids["network"], "action": "access_as_shared"}
    rules = {
        "bandwidth_limit_rule": {"max_kbps": 1000, "max_burst_kbps": 100, "direction": "egress"},
        "dscp_marking_rule": {"dscp_mark": 16},
        "minimum_bandwidth_rule": {"min_kbps": 1, "direction": "egress"},
    }
    posts: dict[str, object] = {
        "networks": {"network": {"name": "x", "shared": False, "router:external": False, "mtu": 1400, **segment}},
        "routers": {"router": router},
        "floatingips": {"floatingip": {"floating_network_id": ids["outside"], "port_id": None, "description": ""}},
        "floatingips/{id}/port_forwardings": {"port_forwarding": forwarding},
        "subnetpools": {"subnetpool": pool},
        "trunks": {"trunk": {"port_id": ids["port"], "name": "x", "sub_ports": [sub_port]}},
        "address-groups": {"address_group": {"name": "x", "addresses": ["10.0.0.0/8"]}},
        "address-scopes": {"address_scope": {"name": "x", "ip_version": 4, "shared": False}},
        "qos/policies": {"policy": {"name": "x", "shared": False, "is_default": False}},
        **{f"qos/policies/{{id}}/{noun}s": {noun: values} for noun, values in rules.items()},
        "metering/metering-labels": {"metering_label": {"name": "x", "shared": False}},
        "metering/metering-label-rules": {
            "metering_label_rule": {
                "metering_label_id": ids["label"],
                "direction": "ingress",
                "remote_ip_prefix": "10.0.0.0/8",
                "excluded": False,
            }
        },
        "rbac-policies": {"rbac_policy": {**shared, "target_tenant": ids["project_id"]}},
    }
    changes: dict[str, object] = {
        **{f"{path}/{{inner}}": body for path, body in posts.items() if "{id}" in path},
        "routers/{id}": {"router": {**router, "routes": [route]}},
        "routers/{id}/add_router_interface": {"subnet_id": ids["subnet"]},
        "routers/{id}/remove_router_interface": {"port_id": ids["port"]},
        "routers/{id}/add_extraroutes": {"router": {"routes": [route]}},
        "routers/{id}/remove_extraroutes": {"router": {"routes": [route]}},
        "floatingips/{id}": {"floatingip": {"port_id": ids["port"], "fixed_ip_address": "10.98.0.7"}},
        "subnetpools/{id}": {"subnetpool": {**pool, "address_scope_id": ids["scope"]}},
        "trunks/{id}": {"trunk": {"name": "x", "admin_state_up": True}},
        "trunks/{id}/add_subports": {"sub_ports": [sub_port]},
        "trunks/{id}/remove_subports": {"sub_ports": [sub_port]},
        "address-groups/{id}": {"address_group": {"name": "x"}},
        "address-groups/{id}/add_addresses": {"addresses": ["192.0.2.0/24"]},
        "address-groups/{id}/remove_addresses": {"addresses": ["192.0.2.0/24"]},
        "address-scopes/{id}": {"address_scope": {"name": "x", "shared": True}},
        "qos/policies/{id}": {"policy": {"name": "x", "shared": True}},
        "agents/{id}": {"agent": {"admin_state_up": True, "description": "x"}},
        "agents/{id}/dhcp-networks": {"network_id": ids["network"]},
        "agents/{id}/l3-routers": {"router_id": ids["router"]},
        "rbac-policies/{id}": {"rbac_policy": {"target_tenant": ids["project_id"]}},
        "quotas/{project_id}": {"quota": {"network": 5, "port": -1, "floatingip": 3}},
    }
    return {f"{V2}/{path}": body for path, body in (posts | changes).items()}
