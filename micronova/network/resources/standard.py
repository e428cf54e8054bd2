"""What resources of the network API have in common: attributes that all have, values that several have."""

from typing import Any

from micronova.network import checks
from micronova.network.attributes import Attribute as A
from micronova.network.checks import description, list_of, name, string

NOT_GIVEN: Any = None


def standard(*, name_default: str | None = "") -> tuple[A, ...]:
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


def route(value: Any) -> tuple[str, str]:
    pair = checks.fields({"destination": checks.cidr, "nexthop": checks.ip})(value)
    return pair["destination"], pair["nexthop"]


def fixed_ips(value: Any) -> tuple[tuple[str | None, str | None], ...]:
    """(subnet_id, ip_address), either of which may be missing but not both."""
    found = []
    for item in list_of(checks.fields({}, {"subnet_id": checks.uuid, "ip_address": checks.ip}), 100)(value or []):
        if not item:
            raise ValueError("an entry has neither subnet_id nor ip_address")
        if item in found:
            raise ValueError(f"Duplicate items in the list: '{checks.short(item)}'")
        found.append(item)
    return tuple((item.get("subnet_id"), item.get("ip_address")) for item in found)
