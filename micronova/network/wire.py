"""How rows look on the wire (Networking API v2.0 reference): a function a noun, from a row and what belongs inside."""

from collections.abc import Callable, Sequence
from typing import Any

from micronova.clock import iso
from micronova.context import Context
from micronova.network.db import (
    FloatingIp,
    Network,
    Port,
    RbacPolicy,
    Router,
    Rule,
    SecurityGroup,
    Standard,
    Subnet,
    SubnetPool,
)
from micronova.network.room import Room
from micronova.network.security_rules import normalized
from micronova.network.specs import hostname
from micronova.policy import Policy

Shown = dict[str, Any]
Show = Callable[[Room, Any, Sequence[Any]], Shown]

HIDDEN: dict[str, tuple[str, ...]] = {
    "network": ("provider:network_type", "provider:physical_network", "provider:segmentation_id"),
    "port": ("binding:host_id", "binding:profile", "binding:vif_type", "binding:vif_details"),
}
"""Attributes that only those see who pass the rule `get_NOUN:ATTRIBUTE`."""


def hidden_from(policy: Policy, ctx: Context, noun: str) -> tuple[str, ...]:
    """What the caller doesn't get to see of this kind of resource."""
    return tuple(name for name in HIDDEN.get(noun, ()) if not policy.allows(ctx, f"get_{noun}:{name}"))


def _standard(row: Standard) -> Shown:
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "project_id": row.project_id,
        "tenant_id": row.project_id,
        "tags": row.tags,
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "revision_number": row.revision,
    }


def show_network(room: Room, row: Network, parts: Sequence[Any]) -> Shown:
    return {
        **_standard(row),
        "status": row.status,
        "admin_state_up": row.admin_state_up,
        "shared": row.shared or bool(parts),
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
        "subnets": row.subnet_ids,
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
    }


def show_subnet(room: Room, row: Subnet, parts: Sequence[Any]) -> Shown:
    return {
        **_standard(row),
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
    vif = room.strategy.vif(row)
    return {
        **_standard(row),
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
        "binding:vnic_type": row.vnic_type,
        "binding:host_id": row.host,
        "binding:profile": row.profile,
        "binding:vif_type": vif.type,
        "binding:vif_details": vif.details,
    }


def _assignment(row: Port, ip: str, domain: str) -> Shown:
    name = hostname(row, ip)
    return {"ip_address": ip, "hostname": name, "fqdn": f"{name}.{domain.rstrip('.')}."}


def show_security_group(room: Room, row: SecurityGroup, parts: Sequence[Any]) -> Shown:
    return {
        **_standard(row),
        "stateful": row.stateful,
        "shared": row.shared,
        "security_group_rules": [show_security_group_rule(room, rule, ()) for rule in parts],
    }


def show_security_group_rule(room: Room, row: Rule, parts: Sequence[Any]) -> Shown:
    return {
        "id": row.id,
        "project_id": row.project_id,
        "tenant_id": row.project_id,
        "security_group_id": row.group_id,
        "direction": row.direction,
        "ethertype": row.ethertype,
        "protocol": row.protocol,
        "port_range_min": row.port_min,
        "port_range_max": row.port_max,
        "remote_ip_prefix": row.remote_prefix,
        "normalized_cidr": normalized(row.remote_prefix),
        "remote_group_id": row.remote_group_id,
        "remote_address_group_id": None,
        "description": row.description,
        "tags": row.tags,
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "revision_number": row.revision,
    }


def show_router(room: Room, row: Router, parts: Sequence[Any]) -> Shown:
    return {
        **_standard(row),
        "status": row.status,
        "admin_state_up": row.admin_state_up,
        "external_gateway_info": _gateway(row, parts[0]) if parts else None,
        "routes": _routes(row.routes),
        "availability_zone_hints": row.availability_zone_hints,
        "availability_zones": [room.zone],
        "flavor_id": None,
    }


def _gateway(row: Router, port: Port) -> Shown:
    return {
        "network_id": row.external_network_id,
        "enable_snat": row.enable_snat,
        "external_fixed_ips": _fixed_ips(port),
    }


def show_floating_ip(room: Room, row: FloatingIp, parts: Sequence[Any]) -> Shown:
    shown = _standard(row)
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
        "port_details": _port_details(parts[0]) if parts else None,
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
        **_standard(row),
        "ip_version": row.ip_version,
        "prefixes": row.prefixes,
        "min_prefixlen": row.min_prefixlen,
        "max_prefixlen": row.max_prefixlen,
        "default_prefixlen": row.default_prefixlen,
        "default_quota": row.default_quota,
        "shared": row.shared,
        "is_default": row.is_default,
        "address_scope_id": None,
    }


def show_rbac_policy(room: Room, row: RbacPolicy, parts: Sequence[Any]) -> Shown:
    return {
        "id": row.id,
        "project_id": row.project_id,
        "tenant_id": row.project_id,
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
    "subnetpool": show_subnet_pool,
    "rbac_policy": show_rbac_policy,
}
