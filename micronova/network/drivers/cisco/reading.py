"""What switches answer, taken apart: the table of VLANs, the running configuration of a port. Pure."""

import re
from collections.abc import Iterable

from micronova.errors import DriverError
from micronova.network.drivers.cisco.table import CommandTable
from micronova.network.switch_changes import DEFAULT_VLAN, EVERY, PortState, expand


def vlans(table: CommandTable, text: str) -> dict[int, str]:
    """Names by id in a table of VLANs. Raises DriverError when it holds none: a switch always has one."""
    rows = (re.match(table.vlan_row, line.strip()) for line in text.splitlines())
    found = {int(row["id"]): row["name"] for row in rows if row}
    if not found:
        raise DriverError(f"{table.vendor} gave no table of VLANs")
    return found


def port(table: CommandTable, name: str, text: str) -> PortState:
    """A port from its running configuration. Raises DriverError when this is none."""
    lines = [line.strip() for line in text.splitlines()]
    if not any(re.match(table.port_heading, line, re.IGNORECASE) for line in lines):
        raise DriverError(f"{table.vendor} gave no configuration of port {name}")
    access, native = _last(table.access_row, lines), _last(table.native_row, lines)
    return PortState(
        port=name,
        trunk=any(re.match(table.trunk_row, line) for line in lines),
        routed=any(re.match(table.routed_row, line) for line in lines),
        allowed=_allowed(table, lines),
        native=int(native["id"]) if native else DEFAULT_VLAN,
        access=int(access["id"]) if access else DEFAULT_VLAN,
    )


def _last(pattern: str, lines: Iterable[str]) -> re.Match[str] | None:
    found = None
    for line in lines:
        found = re.match(pattern, line) or found
    return found


def _allowed(table: CommandTable, lines: Iterable[str]) -> frozenset[int]:
    """Long lists go on in further lines that begin with `add`; no line at all means every VLAN."""
    allowed: frozenset[int] | None = None
    for line in lines:
        row = re.match(table.allowed_row, line)
        if not row:
            continue
        words = row["vlans"].strip()
        if words.startswith("add"):
            allowed = (allowed or frozenset()) | expand(words.removeprefix("add"))
        elif words.startswith("except"):
            allowed = EVERY - expand(words.removeprefix("except"))
        else:
            allowed = {"all": EVERY, "none": frozenset[int]()}.get(words) or expand(words)
    return EVERY if allowed is None else allowed
