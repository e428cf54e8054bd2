"""Trunks as data (Networking API v2.0 reference, "Trunk networking")."""

from typing import Any

from micronova.network import checks
from micronova.network.attributes import Attribute as A
from micronova.network.attributes import Resource
from micronova.network.checks import boolean, integer, list_of
from micronova.network.resources.standard import TAGGED, standard

VLAN, INHERIT = "vlan", "inherit"
VLAN_MOST = 4094
SUB_PORTS_MOST = 1000
Carried = tuple[str, str, int | None]
"""A port, the kind of tag it is carried under, and the tag; None is what the port's own network has."""


def sub_ports(value: Any) -> tuple[Carried, ...]:
    """Ports with their tags, no port and no tag twice."""
    found = tuple(_sub_port(one) for one in list_of(checks.anything(1000), SUB_PORTS_MOST)(value or []))
    ports, tags = [one[0] for one in found], [one[1:] for one in found if one[2] is not None]
    if len(set(ports)) < len(ports):
        raise ValueError("a port is listed twice as sub port")
    if len(set(tags)) < len(tags):
        raise ValueError("segmentation_id and segmentation_type are used by two sub ports")
    return found


def named_ports(value: Any) -> tuple[str, ...]:
    """Just the ports, where their tags don't matter."""
    return tuple(checks.uuid(one.get("port_id")) for one in list_of(checks.anything(1000), SUB_PORTS_MOST)(value))


def _sub_port(given: dict[str, Any]) -> Carried:
    extra = sorted(set(given) - {"port_id", "segmentation_type", "segmentation_id"})
    if extra:
        raise ValueError(f"Unexpected keys supplied: {checks.short(', '.join(extra))}")
    port_id, kind = checks.uuid(given.get("port_id")), given.get("segmentation_type")
    if kind == INHERIT:
        return port_id, VLAN, None
    if kind != VLAN or "segmentation_id" not in given:
        raise ValueError("Must specify both segmentation_id and segmentation_type, which is vlan or inherit")
    return port_id, VLAN, integer(1, VLAN_MOST)(given["segmentation_id"])


TRUNK = Resource(
    "trunk",
    "trunks",
    (
        *standard(),
        *TAGGED,
        A("port_id", checks.uuid, post=True, required=True),
        A("status"),
        A("admin_state_up", boolean, post=True, put=True, default=True),
        A("sub_ports", sub_ports, post=True, default=(), stored=False),
    ),
)
