"""Networks, subnets and ports as data (Networking API v2.0 reference)."""

from typing import Any

from micronova.network import checks, dhcp_options
from micronova.network.attributes import Attribute as A
from micronova.network.attributes import Resource
from micronova.network.checks import boolean, integer, list_of, name, one_of, or_none, string, unique
from micronova.network.resources.standard import NOT_GIVEN, TAGGED, fixed_ips, route, standard

V6_MODES = ("dhcpv6-stateful", "dhcpv6-stateless", "slaac")
PROFILE_MOST = 4095


def _pool(value: Any) -> tuple[str, str]:
    pair = checks.fields({"start": checks.ip, "end": checks.ip})(value)
    return pair["start"], pair["end"]


def _address_pair(value: Any) -> tuple[str, str | None]:
    pair = checks.fields({"ip_address": checks.address_or_range}, {"mac_address": or_none(checks.mac)})(value)
    return pair["ip_address"], pair.get("mac_address")


def _host(value: Any) -> str:
    """A host's name; none is ""."""
    found: str = string(255)("" if value is None else value)
    return found


NETWORK = Resource(
    "network",
    "networks",
    (
        *standard(),
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
        A("qos_policy_id", or_none(checks.uuid), post=True, put=True, omit=True),
        A("subnets", stored=False),
    ),
)

SUBNET = Resource(
    "subnet",
    "subnets",
    (
        *standard(),
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
        A("host_routes", unique(route, 100), post=True, put=True, default=(), stored=False),
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
        *standard(),
        *TAGGED,
        A("network_id", checks.uuid, post=True, required=True),
        A("status"),
        A("admin_state_up", boolean, post=True, put=True, default=True),
        A("mac_address", or_none(checks.mac), post=True, put=True, column="mac", guarded=True),
        A("fixed_ips", fixed_ips, post=True, put=True, omit=True, stored=False),
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
        A(
            "extra_dhcp_opts",
            dhcp_options.check,
            post=True,
            put=True,
            default=(),
            column="dhcp_options",
            stored=False,
        ),
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
        A("qos_policy_id", or_none(checks.uuid), post=True, put=True, omit=True),
        A("qos_network_policy_id", stored=False),
        A("trunk_details", stored=False),
        A("binding:vif_type", stored=False),
        A("binding:vif_details", stored=False),
    ),
)
