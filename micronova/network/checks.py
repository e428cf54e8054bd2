"""What a value of the network API may look like. A check takes what came and returns what is kept.

Each raises ValueError with the reason, which the attribute's name is put in front of. Pure.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Any

Check = Callable[[Any], Any]

NAME_MOST = 255
DESCRIPTION_MOST = 255
TAGS_MOST = 50
TAG_MOST = 255
LIST_MOST = 1000
INTEGER_MOST = 2**31 - 1
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{32}")
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
DNS_LABEL = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)")


def boolean(value: Any) -> bool:
    """JSON's own, and the spellings that clients send."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str | int) and str(value).lower() in ("true", "1"):
        return True
    if isinstance(value, str | int) and str(value).lower() in ("false", "0"):
        return False
    raise ValueError(f"'{value}' cannot be converted to boolean")


def string(most: int) -> Check:
    """Text of at most `most` characters that a database can keep."""

    def check(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError(f"'{short(value)}' is not a valid string")
        if len(value) > most:
            raise ValueError(f"'{short(value)}' exceeds maximum length of {most}")
        if "\0" in value or not storable(value):
            raise ValueError("it holds a character that cannot be stored")
        return value

    return check


def storable(value: str) -> bool:
    """Whether the text is Unicode without lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


name = string(NAME_MOST)
description = string(DESCRIPTION_MOST)


def short(value: Any) -> str:
    """A value, fit for an error's sentence."""
    said = str(value)[:80]
    return said.encode(errors="replace").decode()


def or_none(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


def one_of(*allowed: str) -> Check:
    """One of a few words."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"'{short(value)}' is not in {list(allowed)}")
        return value

    return check


def integer(least: int, most: int = INTEGER_MOST) -> Check:
    """A whole number in a range; digits in a string are taken too, as clients send them."""

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise ValueError(f"'{short(value)}' is not an integer")
        said = str(value)
        if not re.fullmatch(r"-?[0-9]{1,12}", said, re.ASCII):
            raise ValueError(f"'{short(value)}' is not an integer")
        if not least <= int(said) <= most:
            raise ValueError(f"'{short(value)}' is not in range {least} through {most}")
        return int(said)

    return check


def ip_version(value: Any) -> int:
    """4 or 6."""
    found: int = integer(4, 6)(value)
    if found == 5:
        raise ValueError(f"'{found}' is not in [4, 6]")
    return found


def uuid(value: Any) -> str:
    if not isinstance(value, str) or not UUID.fullmatch(value.lower()):
        raise ValueError(f"'{short(value)}' is not a valid UUID")
    return value


def mac(value: Any) -> str:
    """A unicast MAC in lower case."""
    if not isinstance(value, str) or not MAC.fullmatch(value.lower()):
        raise ValueError(f"'{short(value)}' is not a valid MAC address")
    found = value.lower()
    if found == "00:00:00:00:00:00" or int(found[:2], 16) & 1:
        raise ValueError(f"'{short(value)}' is not a valid MAC address")
    return found


def ip(value: Any) -> str:
    """An address in canonical form."""
    if not isinstance(value, str) or "%" in value or "/" in value:
        raise ValueError(f"'{short(value)}' is not a valid IP address")
    try:
        return str(ipaddress.ip_address(value))
    except ValueError as err:
        raise ValueError(f"'{short(value)}' is not a valid IP address") from err


def cidr(value: Any) -> str:
    """An address range in canonical form, its host bits cleared as Neutron does for subnets."""
    if not isinstance(value, str) or "%" in value or "/" not in value:
        raise ValueError(f"'{short(value)}' is not a valid IP subnet")
    if not re.fullmatch(r"[0-9A-Fa-f.:]+/[0-9]{1,3}", value, re.ASCII):
        raise ValueError(f"'{short(value)}' is not a valid IP subnet")
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError as err:
        raise ValueError(f"'{short(value)}' is not a valid IP subnet") from err


def subnet_cidr(value: Any) -> str:
    """A range that a subnet may have. Host bits are an error: what was meant is unclear."""
    found = cidr(value)
    given = ipaddress.ip_interface(str(value))
    if given.ip != ipaddress.ip_network(found).network_address:
        raise ValueError(f"'{short(value)}' isn't a recognized IP subnet cidr, '{found}' is recommended")
    net = ipaddress.ip_network(found)
    if net.prefixlen == 0 or net.is_multicast or net.is_loopback or net.is_link_local:
        raise ValueError(f"'{short(value)}' is no range for guests")
    return found


def pool_cidr(value: Any) -> str:
    """A range that subnets may be cut from, its host bits cleared."""
    return subnet_cidr(cidr(value))


def address_or_range(value: Any) -> str:
    """An address, or a range of them in canonical form."""
    return cidr(value) if isinstance(value, str) and "/" in value else ip(value)


def list_of(check: Check, most: int = LIST_MOST) -> Check:
    """A list whose items pass `check`, kept as a tuple."""

    def checked(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"'{short(value)}' is not a list")
        if len(value) > most:
            raise ValueError(f"a list of at most {most} items is allowed")
        return tuple(check(item) for item in value)

    return checked


def unique(check: Check, most: int = LIST_MOST) -> Check:
    """A list without repetitions; None is an empty one."""
    many = list_of(check, most)

    def checked(value: Any) -> tuple[Any, ...]:
        if value is None:
            return ()
        found: tuple[Any, ...] = many(value)
        for at, item in enumerate(found):
            if item in found[:at]:
                raise ValueError(f"Duplicate items in the list: '{short(item)}'")
        return found

    return checked


def fields(required: dict[str, Check], optional: dict[str, Check] | None = None) -> Check:
    """An object with these keys and no others."""
    allowed = {**required, **(optional or {})}

    def checked(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise ValueError(f"'{short(value)}' is not a dictionary")
        unknown = sorted(str(key) for key in value if key not in allowed)
        if unknown:
            raise ValueError(f"Unexpected keys supplied: {', '.join(unknown)[:80]}")
        absent = [key for key in required if key not in value]
        if absent:
            raise ValueError(f"Missing keys: {', '.join(absent)}")
        return {key: allowed[key](item) for key, item in value.items()}

    return checked


def anything(most: int) -> Check:
    """An object of the client's own, within bounds."""

    def checked(value: Any) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict) or len(str(value)) > most or not storable(str(value)):
            raise ValueError(f"'{short(value)}' is not a dictionary of at most {most} characters")
        if _depth(value) > 8:
            raise ValueError("it is nested too deeply")
        return value

    return checked


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max((_depth(item) for item in inner), default=0)


def dns_name(value: Any) -> str:
    """A host name of one or more labels (RFC 1123), in lower case; empty for none."""
    found: str = string(255)("" if value is None else value)
    labels = found.rstrip(".").split(".") if found else []
    if any(not DNS_LABEL.fullmatch(label) for label in labels):
        raise ValueError(f"'{short(value)}' not a valid PQDN or FQDN")
    return found.lower()


def tag(value: Any) -> str:
    """A word that a resource is marked with; it may not hold what separates tags in a query."""
    found: str = string(TAG_MOST)(value)
    if not found or "," in found or "/" in found:
        raise ValueError(f"'{short(value)}' is not a valid tag")
    return found


def tags(value: Any) -> tuple[str, ...]:
    """Tags without repetitions, in order."""
    found: tuple[str, ...] = list_of(tag)(value)
    kept = tuple(sorted(set(found)))
    if len(kept) > TAGS_MOST:
        raise ValueError(f"at most {TAGS_MOST} tags are allowed")
    return kept
