"""A port's own DHCP options: what may be asked for, and what a change leaves of those it has. Pure.

Names are those of DHCP servers' option tables or numbers; whether a guest's request gets one is the server's affair.
"""

from collections.abc import Sequence
from typing import Any

from micronova.network import checks
from micronova.network.db import DhcpOption
from micronova.network.driver import DHCP_OPTION

NAME_MOST = 64
VALUE_MOST = 255
MOST = 50
MAY_BE_BLANK = ("router", "classless-static-route")
"""Options that are sent by saying nothing: the subnet's own value is held back."""

Asked = tuple[str, str | None, int]
"""Name, value and IP version; without a value the option shall go."""


def check(value: Any) -> tuple[Asked, ...]:
    """Options as a request names them. Raises ValueError."""
    if value is None:
        return ()
    found = checks.list_of(_option, MOST)(value)
    keys = [(name, version) for name, _, version in found]
    for at, key in enumerate(keys):
        if key in keys[:at]:
            raise ValueError(f"Duplicate items in the list: '{key[0]}'")
    return tuple(found)


def merged(there: Sequence[DhcpOption], asked: Sequence[Asked]) -> tuple[DhcpOption, ...]:
    """The options there are, with those that were asked for in place of the same ones, and without those to go."""
    found = {(one.name, one.ip_version): one for one in there}
    for name, value, version in asked:
        if value is None:
            found.pop((name, version), None)
        else:
            found[name, version] = DhcpOption(name, value, version)
    return tuple(found.values())


def _option(value: Any) -> Asked:
    given = checks.fields({"opt_name": _name, "opt_value": checks.or_none(_value)}, {"ip_version": checks.ip_version})(
        value
    )
    name, said = given["opt_name"], given["opt_value"]
    if said is not None and not said.strip() and name not in MAY_BE_BLANK:
        raise ValueError(f"the value of '{name}' is blank")
    return name, said, given.get("ip_version", 4)


def _name(value: Any) -> str:
    found: str = checks.string(NAME_MOST)(value)
    if not DHCP_OPTION.fullmatch(found):
        raise ValueError(f"'{checks.short(value)}' is no name or number of a DHCP option")
    return found


def _value(value: Any) -> str:
    found: str = checks.string(VALUE_MOST)(value)
    if not found.isprintable():
        raise ValueError(f"'{checks.short(value)}' is not one line of printable characters")
    return found
