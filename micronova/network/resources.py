"""The network API's resources as data (Networking API v2.0 reference: networks, subnets, ports, security groups)."""

from typing import Any

from micronova.network import checks
from micronova.network.attributes import Attribute as A
from micronova.network.attributes import Resource
from micronova.network.checks import (
    boolean,
    description,
    integer,
    list_of,
    name,
    one_of,
    or_none,
    string,
    unique,
)

V6_MODES = ("dhcpv6-stateful", "dhcpv6-stateless", "slaac")
IP_MOST = 128
PROFILE_MOST = 4095
NOT_GIVEN: Any = None


def _standard(*, name_default: str | None = "") -> tuple[A, ...]:
    """What every resource has."""
    named = () if name_default is None else (A("name", name, post=True, put=True, default=name_default),)
    return (
        A("id"),
        *named,
        A("description", description, post=True, put=True, default=""),
        A("project_id", string(255), post=True, default=NOT_GIVEN),
        A("tenant_id", column="project_id"),
        A("created_at", stored=False),
        A("updated_at", stored=False),
        A("revision_number", stored=False),
    )


TAGGED = (A("tags", stored=False),)


def _pool(value: Any) -> tuple[str, str]:
    pair = checks.fields({"start": checks.ip, "end": checks.ip})(value)
    return pair["start"], pair["end"]


def _route(value: Any) -> tuple[str, str]:
    pair = checks.fields({"destination": checks.cidr, "nexthop": checks.ip})(value)
    return pair["destination"], pair["nexthop"]


def _address_pair(value: Any) -> tuple[str, str | None]:
    pair = checks.fields({"ip_address": checks.address_or_range}, {"mac_address": or_none(checks.mac)})(value)
    return pair["ip_address"], pair.get("mac_address")


def _fixed_ips(value: Any) -> tuple[tuple[str | None, str | None], ...]:
    """(subnet_id, ip_address), either of which may be missing but not both."""
    found = []
    for item in list_of(checks.fields({}, {"subnet_id": checks.uuid, "ip_address": checks.ip}), 100)(value or []):
        if not item:
            raise ValueError("an entry has neither subnet_id nor ip_address")
        if item in found:
            raise ValueError(f"Duplicate items in the list: '{checks.short(item)}'")
        found.append(item)
    return tuple((item.get("subnet_id"), item.get("ip_address")) for item in found)


def _gateway(value: Any) -> dict[str, Any] | None:
    """An external network and how it is used; {} is none."""
    if value == {}:
        return None
    asked: dict[str, Any] = checks.fields(
        {"network_id": checks.uuid}, {"enable_snat": boolean, "external_fixed_ips": or_none(_fixed_ips)}
    )(value)
    return asked


def _protocol(value: Any) -> str | None:
    """A protocol's name in lower case, or its number as text."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"'{checks.short(value)}' is not a protocol")
    found: str = string(40)(str(value)).lower()
    return found


def _port_value(value: Any) -> int | None:
    """A port, or an ICMP type or code; which of them it is depends on the protocol."""
    if value is None:
        return None
    try:
        found: int = integer(0, 65535)(value)
    except ValueError as err:
        raise ValueError(f"Invalid value for port {checks.short(value)}") from err
    return found


def _stateful(value: Any) -> bool:
    """Groups remember connections; drivers know no others."""
    if not boolean(value):
        raise ValueError("stateless security groups are not supported")
    return True


def _host(value: Any) -> str:
    """A host's name; none is ""."""
    found: str = string(255)("" if value is None else value)
    return found


NETWORK = Resource(
    "network",
    "networks",
    (
        *_standard(),
        *TAGGED,
        A("status"),
        A("admin_state_up", boolean, post=True, put=True, default=True),
        A("shared", boolean, post=True, put=True, default=False, guarded=True),
        A("router:external", boolean, post=True, put=True, default=False, guarded=True, column="external"),
        A("is_default", boolean, post=True, put=True, default=False, guarded=True),
        A("mtu", or_none(integer(68, 65535)), post=True, put=True),
        A("port_security_enabled", boolean, post=True, put=True, default=True),
        A("dns_domain", checks.dns_name, post=True, put=True, default=""),
        A("availability_zone_hints", unique(name, 10), post=True, default=(), stored=False),
        A("availability_zones", stored=False),
        A("provider:network_type", string(32), post=True, guarded=True, column="network_type", omit=True),
        A(
            "provider:physical_network",
            string(64),
            post=True,
            guarded=True,
            column="physical_network",
            omit=True,
        ),
        A(
            "provider:segmentation_id",
            integer(0),
            post=True,
            guarded=True,
            column="segmentation_id",
            omit=True,
        ),
        A("subnets", stored=False),
    ),
)

SUBNET = Resource(
    "subnet",
    "subnets",
    (
        *_standard(),
        *TAGGED,
        A("network_id", checks.uuid, post=True, required=True),
        A("ip_version", integer(4, 6), post=True, default=NOT_GIVEN),
        A("cidr", or_none(checks.subnet_cidr), post=True, default=NOT_GIVEN),
        A("gateway_ip", or_none(checks.ip), post=True, put=True, omit=True),
        A("enable_dhcp", boolean, post=True, put=True, default=True),
        A(
            "allocation_pools",
            or_none(list_of(_pool, 100)),
            post=True,
            put=True,
            column="pools",
            stored=False,
        ),
        A("dns_nameservers", unique(checks.ip, 20), post=True, put=True, default=(), stored=False),
        A("host_routes", unique(_route, 100), post=True, put=True, default=(), stored=False),
        A("ipv6_ra_mode", or_none(one_of(*V6_MODES)), post=True),
        A("ipv6_address_mode", or_none(one_of(*V6_MODES)), post=True),
        A("service_types", unique(string(255), 20), post=True, put=True, default=(), stored=False),
        A("subnetpool_id", or_none(checks.uuid), post=True, omit=True),
        A("prefixlen", integer(0, 128), post=True, omit=True, stored=False),
        A("use_default_subnetpool", boolean, post=True, omit=True, stored=False),
    ),
)

PORT = Resource(
    "port",
    "ports",
    (
        *_standard(),
        *TAGGED,
        A("network_id", checks.uuid, post=True, required=True),
        A("status"),
        A("admin_state_up", boolean, post=True, put=True, default=True),
        A("mac_address", or_none(checks.mac), post=True, put=True, column="mac", guarded=True),
        A("fixed_ips", _fixed_ips, post=True, put=True, omit=True, stored=False),
        A("device_id", string(255), post=True, put=True, default=""),
        A("device_owner", string(255), post=True, put=True, default=""),
        A(
            "security_groups",
            unique(checks.uuid, 100),
            post=True,
            put=True,
            omit=True,
            column="security_group_ids",
            stored=False,
        ),
        A("port_security_enabled", boolean, post=True, put=True, omit=True, guarded=True),
        A(
            "allowed_address_pairs",
            unique(_address_pair, 100),
            post=True,
            put=True,
            default=(),
            guarded=True,
            column="allowed_pairs",
            stored=False,
        ),
        A("dns_name", checks.dns_name, post=True, put=True, default=""),
        A("dns_assignment", stored=False),
        A("binding:vnic_type", one_of("normal"), post=True, put=True, default="normal", column="vnic_type"),
        A("binding:host_id", _host, post=True, put=True, default="", guarded=True, column="host"),
        A(
            "binding:profile",
            checks.anything(PROFILE_MOST),
            post=True,
            put=True,
            default={},
            guarded=True,
            column="profile",
            stored=False,
        ),
        A("binding:vif_type", stored=False),
        A("binding:vif_details", stored=False),
    ),
)

SECURITY_GROUP = Resource(
    "security_group",
    "security_groups",
    (
        *_standard(),
        *TAGGED,
        A("stateful", _stateful, post=True, put=True, default=True),
        A("shared"),
        A("security_group_rules", stored=False),
    ),
)

SECURITY_GROUP_RULE = Resource(
    "security_group_rule",
    "security_group_rules",
    (
        *_standard(name_default=None),
        A("security_group_id", checks.uuid, post=True, required=True, column="group_id"),
        A("direction", string(40), post=True, required=True),
        A("ethertype", string(40), post=True, default="IPv4"),
        A("protocol", _protocol, post=True),
        A("port_range_min", _port_value, post=True, column="port_min"),
        A("port_range_max", _port_value, post=True, column="port_max"),
        A("remote_ip_prefix", or_none(string(IP_MOST)), post=True, column="remote_prefix"),
        A("remote_group_id", or_none(string(255)), post=True),
        A("normalized_cidr", column="remote_prefix"),
    ),
)

ROUTER = Resource(
    "router",
    "routers",
    (
        *_standard(),
        *TAGGED,
        A("status"),
        A("admin_state_up", boolean, post=True, put=True, default=True),
        A(
            "external_gateway_info",
            or_none(_gateway),
            post=True,
            put=True,
            omit=True,
            guarded=True,
            column="gateway",
            stored=False,
        ),
        A("routes", unique(_route), put=True, stored=False),
        A("availability_zone_hints", unique(name, 10), post=True, default=(), stored=False),
        A("availability_zones", stored=False),
        A("flavor_id", stored=False),
    ),
)

FLOATING_IP = Resource(
    "floatingip",
    "floatingips",
    (
        *_standard(name_default=None),
        *TAGGED,
        A("status"),
        A("floating_network_id", checks.uuid, post=True, required=True),
        A("floating_ip_address", or_none(checks.ip), post=True, guarded=True, omit=True),
        A("subnet_id", or_none(checks.uuid), post=True, stored=False),
        A("port_id", or_none(checks.uuid), post=True, put=True, omit=True),
        A("fixed_ip_address", or_none(checks.ip), post=True, put=True, omit=True),
        A("router_id"),
        A("dns_name", checks.dns_name, post=True, default=""),
        A("dns_domain", checks.dns_name, post=True, default=""),
        A("port_details", stored=False),
    ),
)

PREFIX_LENGTHS = ("min_prefixlen", "max_prefixlen", "default_prefixlen")
_LENGTH = or_none(integer(0, 128))

SUBNET_POOL = Resource(
    "subnetpool",
    "subnetpools",
    (
        *_standard(),
        *TAGGED,
        A("prefixes", unique(checks.subnet_cidr, 100), post=True, put=True, required=True, stored=False),
        *(A(length, _LENGTH, post=True, put=True) for length in PREFIX_LENGTHS),
        A("default_quota", or_none(integer(0)), post=True, put=True),
        A("shared", boolean, post=True, default=False, guarded=True),
        A("is_default", boolean, post=True, put=True, default=False, guarded=True),
        A("ip_version"),
        A("address_scope_id", stored=False),
    ),
)

RBAC_POLICY = Resource(
    "rbac_policy",
    "rbac_policies",
    (
        A("id"),
        A("project_id", string(255), post=True, default=NOT_GIVEN),
        A("tenant_id", column="project_id"),
        A("object_type", one_of("network"), post=True, required=True),
        A("object_id", checks.uuid, post=True, required=True),
        A("action", one_of("access_as_shared", "access_as_external"), post=True, required=True),
        A("target_tenant", string(255), post=True, put=True, required=True),
    ),
)

RESOURCES = (
    NETWORK,
    SUBNET,
    PORT,
    SECURITY_GROUP,
    SECURITY_GROUP_RULE,
    ROUTER,
    FLOATING_IP,
    SUBNET_POOL,
    RBAC_POLICY,
)
