"""Routers and floating IPs as data (Networking API v2.0 reference)."""

from typing import Any

from micronova.network import checks
from micronova.network.attributes import Attribute as A
from micronova.network.attributes import Resource
from micronova.network.checks import boolean, name, or_none, unique
from micronova.network.resources.standard import TAGGED, fixed_ips, route, standard


def _gateway(value: Any) -> dict[str, Any] | None:
    """An external network and how it is used; {} is none."""
    if value == {}:
        return None
    asked: dict[str, Any] = checks.fields(
        {"network_id": checks.uuid}, {"enable_snat": boolean, "external_fixed_ips": or_none(fixed_ips)}
    )(value)
    return asked


ROUTER = Resource(
    "router",
    "routers",
    (
        *standard(),
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
        A("routes", unique(route), put=True, stored=False),
        A("availability_zone_hints", unique(name, 10), post=True, default=(), stored=False),
        A("availability_zones", stored=False),
        A("flavor_id", stored=False),
        A("distributed", or_none(boolean), post=True, put=True, guarded=True),
        A("ha", or_none(boolean), post=True, put=True, guarded=True),
    ),
)

FLOATING_IP = Resource(
    "floatingip",
    "floatingips",
    (
        *standard(name_default=None),
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
        A("qos_policy_id", or_none(checks.uuid), post=True, put=True, omit=True),
        A("port_details", stored=False),
        A("port_forwardings", stored=False),
    ),
)
