"""Address groups as data (Networking API v2.0 reference, "Address groups")."""

from typing import Any

from micronova.network import checks
from micronova.network.attributes import Attribute as A
from micronova.network.attributes import Resource
from micronova.network.checks import list_of
from micronova.network.resources.standard import TAGGED, standard

ADDRESSES_MOST = 1000


def addresses(value: Any) -> tuple[str, ...]:
    """Ranges in canonical form, each once; None is no address."""
    return tuple(dict.fromkeys(list_of(checks.cidr, ADDRESSES_MOST)([] if value is None else value)))


def named_addresses(value: Any) -> tuple[str, ...]:
    """The same, where one address alone is meant as a range of one."""
    return addresses([_whole(one) for one in list_of(checks.address_or_range, ADDRESSES_MOST)(value)])


def _whole(address: str) -> str:
    if "/" in address:
        return address
    return f"{address}/128" if ":" in address else f"{address}/32"


ADDRESS_GROUP = Resource(
    "address_group",
    "address_groups",
    (
        *standard(),
        *TAGGED,
        A("addresses", addresses, post=True, default=(), stored=False),
        A("shared"),
    ),
)
