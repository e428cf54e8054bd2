"""How rows look on the wire (Networking API v2.0 reference): a function a noun, from a row and what belongs inside."""

from collections.abc import Callable, Sequence
from typing import Any

from micronova.clock import iso
from micronova.context import Context
from micronova.network.db import (
    AddressScope,
    FloatingIp,
    Network,
    Port,
    PortForwarding,
    RbacPolicy,
    Router,
    Rule,
    SecurityGroup,
    Standard,
    Subnet,
    SubnetPool,
    SubPort,
    Trunk,
)
from micronova.network.resources import PREFIX_LENGTHS
from micronova.network.room import Room
from micronova.network.security_rules import normalized
from micronova.network.specs import hostname
from micronova.policy import Policy

Shown = dict[str, Any]
Show = Callable[[Room, Any, Sequence[Any]], Shown]

HIDDEN: dict[str, tuple[str, ...]] = {
    "network": ("provider:network_type", "provider:physical_network", "provider:segmentation_id"),
    "router": ("distributed", "ha"),
    "port": ("binding:host_id", "binding:profile", "binding:vif_type", "binding:vif_details"),
}
"""Attributes that only those see who pass the rule `get_NOUN:ATTRIBUTE`."""


def hidden_from(policy: Policy, ctx: Context, noun: str) -> tuple[str, ...]:
    """What the caller doesn't get to see of this kind of resource."""
    return tuple(name for name in HIDDEN.get(noun, ()) if not policy.allows(ctx, f"get_{noun}:{name}"))


def owner(row: Standard) -> Shown:
    return {"project_id": row.project_id, "tenant_id": row.project_id}


def changes(row: Standard) -> Shown:
    """When it came and changed, and how often."""
    return {
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "revision_number": row.revision,
    }


def standard(row: Standard) -> Shown:
    named = {"id": row.id, "name": row.name, "description": row.description}
    return {**named, **owner(row), "tags": row.tags, **changes(row)}


def show_network(room: Room, row: Network, parts: Sequence[Any]) -> Shown:
    shared, scopes = parts
    return {
        **standard(row),
        "status": row.status,
        "admin_state_up": row.admin_state_up,
        "shared": shared,
        "router:external": row.external,
        "is_default": row.is_default,
        "mtu": row.mtu,
        "port_security_enabled": row.port_security_enabled,
        "dns_domain": row.dns_domain,
        "availability_zone_hints": row.availability_zone_hints,
        "availability_zones": [room.zone],
        "provider:network_type": row.network_type,
        "provider:physical_network": row.physical_network,
        "provider:segmentation_id": row.segmentation_id,
        "qos_policy_id": row.qos_policy_id,
        "subnets": row.subnet_ids,
        "ipv4_address_scope": scopes.get(4),
        "ipv6_address_scope": scopes.get(6),
    }


def show_subnet(room: Room, row: Subnet, parts: Sequence[Any]) -> Shown:
    return {
        **standard(row),
        "network_id": row.network_id,
        "ip_version": row.ip_version,
        "cidr": row.cidr,
        "gateway_ip": row.gateway_ip,
        "enable_dhcp": row.enable_dhcp,
        "allocation_pools": [{"start": first, "end": last} for first, last in row.pools],
        "dns_nameservers": row.dns_nameservers,
        "host_routes": _routes(row.host_routes),
        "ipv6_ra_mode": row.ipv6_ra_mode,
        "ipv6_address_mode": row.ipv6_address_mode,
        "service_types": row.service_types,
        "subnetpool_id": row.subnetpool_id,
    }


def show_port(room: Room, row: Port, parts: Sequence[Any]) -> Shown:
    vif = room.strategies.of(parts[1]).vif(row)
    return {
        **standard(row),
        "network_id": row.network_id,
        "status": row.status,
        "admin_state_up": row.admin_state_up,
        "mac_address": row.mac,
        "fixed_ips": _fixed_ips(row),
        "device_id": row.device_id,
        "device_owner": row.device_owner,
        "security_groups": row.security_group_ids,
        "port_security_enabled": row.port_security_enabled,
        "allowed_address_pairs": [
            {"ip_address": pair.ip, "mac_address": pair.mac or row.mac} for pair in row.allowed_pairs
        ],
        "dns_name": row.dns_name,
        "dns_assignment": [_assignment(row, fixed.ip, str(parts[0])) for fixed in row.fixed_ips],
        "extra_dhcp_opts": [
            {"opt_name": one.name, "opt_value": one.value, "ip_version": one.ip_version} for one in row.dhcp_options
        ],
        "qos_policy_id": row.qos_policy_id,
        "qos_network_policy_id": parts[2],
        **({"trunk_details": _trunk_details(*parts[3])} if parts[3] else {}),
        "binding:vnic_type": row.vnic_type,
        "binding:host_id": row.host,
        "binding:profile": row.profile,
        "binding:vif_type": vif.type,
        "binding:vif_details": vif.details,
    }


def _trunk_details(trunk: Trunk, carried: Sequence[tuple[SubPort, str]]) -> Shown:
    return {
        "trunk_id": trunk.id,
        "sub_ports": [
            {
                "port_id": row.id,
                "segmentation_type": row.segmentation_type,
                "segmentation_id": row.segmentation_id,
                "mac_address": mac,
            }
            for row, mac in carried
        ],
    }


def _assignment(row: Port, ip: str, domain: str) -> Shown:
    name = hostname(row, ip)
    return {"ip_address": ip, "hostname": name, "fqdn": f"{name}.{domain.rstrip('.')}."}


def show_security_group(room: Room, row: SecurityGroup, parts: Sequence[Any]) -> Shown:
    return {
        **standard(row),
        "stateful": row.stateful,
        "shared": row.shared,
        "security_group_rules": [show_security_group_rule(room, rule, ()) for rule in parts],
    }


def show_security_group_rule(room: Room, row: Rule, parts: Sequence[Any]) -> Shown:
    return {
        "id": row.id,
        **owner(row),
        "security_group_id": row.group_id,
        "direction": row.direction,
        "ethertype": row.ethertype,
        "protocol": row.protocol,
        "port_range_min": row.port_min,
        "port_range_max": row.port_max,
        "remote_ip_prefix": row.remote_prefix,
        "normalized_cidr": normalized(row.remote_prefix),
        "remote_group_id": row.remote_group_id,
        "remote_address_group_id": row.remote_address_group_id,
        "description": row.description,
        "tags": row.tags,
        **changes(row),
    }


def show_router(room: Room, row: Router, parts: Sequence[Any]) -> Shown:
    return {
        **standard(row),
        "status": row.status,
        "admin_state_up": row.admin_state_up,
        "external_gateway_info": _gateway(row, parts[0]) if parts else None,
        "routes": _routes(row.routes),
        "availability_zone_hints": row.availability_zone_hints,
        "availability_zones": [room.zone],
        "flavor_id": None,
        "distributed": row.distributed,
        "ha": row.ha,
    }


def _gateway(row: Router, port: Port) -> Shown:
    return {
        "network_id": row.external_network_id,
        "enable_snat": row.enable_snat,
        "external_fixed_ips": _fixed_ips(port),
    }


def show_floating_ip(room: Room, row: FloatingIp, parts: Sequence[Any]) -> Shown:
    shown = standard(row)
    del shown["name"]
    return {
        **shown,
        "status": row.status,
        "floating_network_id": row.floating_network_id,
        "floating_ip_address": row.floating_ip_address,
        "port_id": row.port_id,
        "fixed_ip_address": row.fixed_ip_address,
        "router_id": row.router_id,
        "dns_name": row.dns_name,
        "dns_domain": row.dns_domain,
        "qos_policy_id": row.qos_policy_id,
        "port_details": _port_details(parts[0]) if parts and parts[0] else None,
        "port_forwardings": [_forwarding_inside(one) for one in parts[1:]],
    }


def _forwarding_inside(row: PortForwarding) -> Shown:
    """A forwarding as its floating IP shows it."""
    return {
        "id": row.id,
        "protocol": row.protocol,
        "internal_ip_address": row.internal_ip_address,
        "internal_port_id": row.internal_port_id,
        **({"internal_port": row.internal_port} if row.internal_port is not None else {}),
        **({"external_port": row.external_port} if row.external_port is not None else {}),
    }


def show_port_forwarding(room: Room, row: PortForwarding, parts: Sequence[Any]) -> Shown:
    return {
        "id": row.id,
        "description": row.description,
        "protocol": row.protocol,
        "external_port": row.external_port,
        "external_port_range": row.external_port_range,
        "internal_port": row.internal_port,
        "internal_port_range": row.internal_port_range,
        "internal_port_id": row.internal_port_id,
        "internal_ip_address": row.internal_ip_address,
    }


def _port_details(port: Port) -> Shown:
    return {
        "name": port.name,
        "network_id": port.network_id,
        "mac_address": port.mac,
        "admin_state_up": port.admin_state_up,
        "status": port.status,
        "device_id": port.device_id,
        "device_owner": port.device_owner,
    }


def _routes(routes: Sequence[tuple[str, str]]) -> list[Shown]:
    return [{"destination": to, "nexthop": via} for to, via in routes]


def _fixed_ips(port: Port) -> list[Shown]:
    return [{"subnet_id": fixed.subnet_id, "ip_address": fixed.ip} for fixed in port.fixed_ips]


def show_subnet_pool(room: Room, row: SubnetPool, parts: Sequence[Any]) -> Shown:
    return {
        **standard(row),
        "ip_version": row.ip_version,
        "prefixes": row.prefixes,
        # as text, which clients have come to expect
        **{name: str(getattr(row, name)) for name in PREFIX_LENGTHS},
        "default_quota": row.default_quota,
        "shared": row.shared,
        "is_default": row.is_default,
        "address_scope_id": row.address_scope_id,
    }


def show_address_scope(room: Room, row: AddressScope, parts: Sequence[Any]) -> Shown:
    return {
        "id": row.id,
        "name": row.name,
        **owner(row),
        "ip_version": row.ip_version,
        "shared": row.shared,
    }


def show_rbac_policy(room: Room, row: RbacPolicy, parts: Sequence[Any]) -> Shown:
    return {
        "id": row.id,
        **owner(row),
        "object_type": row.object_type,
        "object_id": row.object_id,
        "action": row.action,
        "target_tenant": row.target_tenant,
    }


SHOW: dict[str, Show] = {
    "network": show_network,
    "subnet": show_subnet,
    "port": show_port,
    "security_group": show_security_group,
    "security_group_rule": show_security_group_rule,
    "router": show_router,
    "floatingip": show_floating_ip,
    "port_forwarding": show_port_forwarding,
    "subnetpool": show_subnet_pool,
    "rbac_policy": show_rbac_policy,
    "address_scope": show_address_scope,
}
