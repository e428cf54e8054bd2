"""Security groups and their rules as data (Networking API v2.0 reference)."""

from typing import Any

from micronova.network import checks
from micronova.network.attributes import Attribute as A
from micronova.network.attributes import Resource
from micronova.network.checks import boolean, integer, or_none, string
from micronova.network.resources.standard import TAGGED, standard

IP_MOST = 128


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


SECURITY_GROUP = Resource(
    "security_group",
    "security_groups",
    (
        *standard(),
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
        *standard(name_default=None),
        A("security_group_id", checks.uuid, post=True, required=True, column="group_id"),
        A("direction", string(40), post=True, required=True),
        A("ethertype", string(40), post=True, default="IPv4"),
        A("protocol", _protocol, post=True),
        A("port_range_min", _port_value, post=True, column="port_min"),
        A("port_range_max", _port_value, post=True, column="port_max"),
        A("remote_ip_prefix", or_none(string(IP_MOST)), post=True, column="remote_prefix"),
        A("remote_group_id", or_none(string(255)), post=True),
        A("remote_address_group_id", or_none(checks.uuid), post=True),
        A("normalized_cidr", column="remote_prefix"),
    ),
    verbs=("GET", "POST", "DELETE"),
)
