"""Port forwardings as data (Networking API v2.0 reference, "Floating IPs port forwarding")."""

from typing import Any

from micronova.network import checks
from micronova.network.attributes import Attribute as A
from micronova.network.attributes import Resource
from micronova.network.checks import integer, or_none
from micronova.network.resources.standard import standard

PROTOCOLS = ("tcp", "udp", "sctp")
PORT_MOST = 65535
_NUMBER = or_none(integer(1, PORT_MOST))


def _protocol(value: Any) -> str:
    found: str = checks.one_of(*PROTOCOLS)(value.lower() if isinstance(value, str) else value)
    return found


def _range(value: Any) -> str | None:
    """ "80:90"; one port is a range of one."""
    if value is None:
        return None
    ends = [integer(1, PORT_MOST)(end) for end in str(value).split(":", 2)]
    if len(ends) > 2:
        raise ValueError("a range of ports is two integers with a colon between them")
    if ends[0] > ends[-1]:
        raise ValueError("the first port of a range must not be higher than the last")
    return f"{ends[0]}:{ends[-1]}"


PORT_FORWARDING = Resource(
    "port_forwarding",
    "port_forwardings",
    (
        *standard(name_default=None),
        A("external_port", _NUMBER, post=True, put=True, omit=True),
        A("external_port_range", _range, post=True, put=True, omit=True),
        A("internal_port", _NUMBER, post=True, put=True, omit=True),
        A("internal_port_range", _range, post=True, put=True, omit=True),
        A("internal_port_id", checks.uuid, post=True, put=True, required=True),
        A("internal_ip_address", or_none(checks.ip), post=True, put=True, omit=True),
        A("protocol", _protocol, post=True, put=True, required=True),
    ),
    folder="floatingips/{id}/",
    inside="floatingip",
)
