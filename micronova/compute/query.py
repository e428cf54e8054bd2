"""Which servers a list is about: query parameters to conditions (API reference, "List Servers")."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from micronova.compute import inputs, states
from micronova.compute.db import Server
from micronova.compute.patterns import matcher
from micronova.errors import BadRequest, Forbidden
from micronova.http import Request

Test = Callable[[Server], bool]

EXACT: Mapping[str, str] = {
    "uuid": "id",
    "reservation_id": "reservation_id",
    "host": "host",
    "node": "host",
    "user_id": "user_id",
    "image": "image_id",
    "image_ref": "image_id",
    "flavor": "flavor_id",
    "instance_type_id": "flavor_id",
    "key_name": "key_name",
    "vm_state": "vm_state",
    "task_state": "task_state",
    "availability_zone": "zone",
    "kernel_id": "kernel_id",
    "ramdisk_id": "ramdisk_id",
    "locked_by": "locked_by",
    "root_device_name": "root_device",
    "access_ip_v4": "access_ip_v4",
    "access_ip_v6": "access_ip_v6",
    "power_state": "power_state",
    "progress": "progress",
    "launch_index": "launch_index",
    "config_drive": "config_drive",
}
"""Parameters that a column must equal."""
NUMBERS = frozenset(("power_state", "progress", "launch_index"))
PATTERNS: Mapping[str, Callable[[Server], str]] = {
    "name": lambda server: server.name,
    "display_name": lambda server: server.name,
    "hostname": lambda server: server.hostname,
    "description": lambda server: server.description or "",
    "display_description": lambda server: server.description or "",
}
"""Parameters that are looked for in a text."""
FOR_ALL = frozenset(("reservation_id", "name", "status", "image", "flavor", "ip", "changes-since", "all_tenants"))
"""Filters that need no special right; from 2.83 on those of FOR_ALL_283 too."""
FOR_ALL_283 = frozenset(
    [
        "availability_zone",
        "config_drive",
        "key_name",
        "created_at",
        "launched_at",
        "terminated_at",
        "power_state",
        "task_state",
        "vm_state",
        "progress",
        "user_id",
    ]
)
SINCE: Mapping[str, tuple[int, int]] = {
    "ip6": (2, 5),
    "tags": (2, 26),
    "tags-any": (2, 26),
    "not-tags": (2, 26),
    "not-tags-any": (2, 26),
    "changes-before": (2, 66),
    "locked": (2, 73),
}
"""Filters for all that came with a microversion."""
IGNORED = frozenset(
    ["deleted", "soft_deleted", "auto_disk_config", "created_at", "launched_at", "terminated_at", "node"]
)
PAGING = frozenset(("limit", "marker", "sort_key", "sort_dir", "project_id", "tenant_id"))
KNOWN = frozenset(EXACT) | frozenset(PATTERNS) | FOR_ALL | FOR_ALL_283 | frozenset(SINCE) | IGNORED | PAGING
JOINED = frozenset(
    ["block_device_mapping", "services", "metadata", "system_metadata", "info_cache", "security_groups", "pci_devices"]
)

SORT: Mapping[str, str] = {
    "access_ip_v4": "access_ip_v4",
    "access_ip_v6": "access_ip_v6",
    "auto_disk_config": "disk_config",
    "availability_zone": "zone",
    "config_drive": "config_drive",
    "created_at": "created_at",
    "display_description": "description",
    "display_name": "name",
    "host": "host",
    "hostname": "hostname",
    "image_ref": "image_id",
    "instance_type_id": "flavor_id",
    "kernel_id": "kernel_id",
    "key_name": "key_name",
    "launch_index": "launch_index",
    "launched_at": "launched_at",
    "locked_by": "locked_by",
    "locked": "locked_by",
    "node": "host",
    "power_state": "power_state",
    "progress": "progress",
    "project_id": "project_id",
    "ramdisk_id": "ramdisk_id",
    "root_device_name": "root_device",
    "task_state": "task_state",
    "terminated_at": "terminated_at",
    "updated_at": "updated_at",
    "user_id": "user_id",
    "uuid": "id",
    "vm_state": "vm_state",
}
UNSORTABLE = frozenset(
    [
        "architecture",
        "cell_name",
        "cleaned",
        "default_ephemeral_device",
        "default_swap_device",
        "deleted",
        "deleted_at",
        "disable_terminate",
        "ephemeral_gb",
        "ephemeral_key_uuid",
        "id",
        "key_data",
        "launched_on",
        "memory_mb",
        "os_type",
        "reservation_id",
        "root_gb",
        "shutdown_terminate",
        "user_data",
        "vcpus",
        "vm_mode",
        "locked",
    ]
)
"""Sort keys that are taken and ignored before 2.75."""


BY_AGE = (("created_at", False), ("seq", False))
"""The order of a list that names none: the newest first."""


class ServerQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A question for servers. `tests` are what the database can't say; `addresses` need the network room."""

    where: dict[str, Any] = {}
    tests: tuple[Test, ...] = ()
    addresses: tuple[tuple[int, Callable[[str], bool]], ...] = ()
    order: tuple[tuple[str, bool], ...] = BY_AGE
    limit: int = 1000
    marker: str | None = None
    all_projects: bool = False
    nothing: bool = False


def read_query(request: Request, most: int, allows: Callable[[str], bool]) -> ServerQuery:
    """The question a request asks. `allows` says whether the caller passes a rule.

    Raises BadRequest for what Nova refuses, Forbidden for other projects' servers without the right to them.
    """
    given = _given(request)
    _check_known(request, given)
    all_projects = _all_projects(given)
    if all_projects and not allows("servers:detail:get_all_tenants"):
        raise Forbidden("Policy doesn't allow os_compute_api:servers:detail:get_all_tenants to be performed.")
    filters = _permitted(request, given, allows("servers:allow_all_filters"))
    where, tests = _conditions(filters)
    if all_projects:
        for name in ("project_id", "tenant_id"):
            if name in given:
                where["project_id"] = given[name][-1]
    words = given.get("status", [])
    wanted = states.states_of(words) if words else None
    nothing = _nothing(request, words, wanted) or _bool(filters.get("deleted", ""))
    if wanted:
        where["vm_state"] = sorted({vm for vm, _ in wanted})
        tests.append(lambda server: states.is_in(server.vm_state, server.task_state, wanted))
    return ServerQuery(
        where=where,
        tests=tuple(tests),
        addresses=_addresses(filters),
        order=_order(request, given),
        limit=request.limit(most),
        marker=given.get("marker", [None])[-1],
        all_projects=all_projects,
        nothing=nothing,
    )


def _given(request: Request) -> dict[str, list[str]]:
    given: dict[str, list[str]] = {}
    for name, value in request.query():
        given.setdefault(name, []).append(value)
    return given


def _check_known(request: Request, given: Mapping[str, list[str]]) -> None:
    for name in given:
        if name in JOINED or name.startswith("_"):
            raise BadRequest(f"Invalid filter field: {name}.")
        too_new = name in SINCE and request.version < SINCE[name]
        if request.version >= inputs.STRICT_QUERIES and (name not in KNOWN or too_new):
            raise BadRequest(
                f"Invalid input for query parameters {name}. "
                f"Additional properties are not allowed ('{name}' was unexpected)"
            )


def _permitted(request: Request, given: Mapping[str, list[str]], everything: bool) -> dict[str, str]:
    """The filters that count: those the caller may use and the microversion has."""
    found = {}
    for name, values in given.items():
        too_new = name in SINCE and request.version < SINCE[name]
        open_to_all = name in FOR_ALL or name in SINCE or (name in FOR_ALL_283 and request.version >= (2, 83))
        if not too_new and (everything or open_to_all):
            found[name] = values[-1]
    return found


def _all_projects(given: Mapping[str, list[str]]) -> bool:
    if "all_tenants" not in given:
        return False
    text = given["all_tenants"][-1]
    return True if text == "" else _bool(text, strict="all_tenants")


def _bool(text: str, strict: str = "") -> bool:
    word = text.strip().lower()
    if word in ("1", "t", "true", "on", "y", "yes"):
        return True
    if strict and word not in ("0", "f", "false", "off", "n", "no"):
        raise BadRequest(f"Invalid value '{text}' for {strict}: it must be true or false.")
    return False


def _nothing(request: Request, words: list[str], wanted: set[tuple[str, str | None]] | None) -> bool:
    """Whether the statuses asked for are none any server has. Raises BadRequest for a word that is no status."""
    if not words:
        return False
    if wanted is None and request.version >= (2, 38):
        raise BadRequest("Invalid status value")
    if [word.lower() for word in words] == ["deleted"] and not request.ctx.is_admin:
        raise Forbidden("Only administrators may list deleted instances")
    return not wanted


def _conditions(filters: Mapping[str, str]) -> tuple[dict[str, Any], list[Test]]:
    where: dict[str, Any] = {}
    tests: list[Test] = []
    for name, value in filters.items():
        if name in EXACT:
            where[EXACT[name]] = _plain(name, value)
        elif name in PATTERNS:
            tests.append(_holds(PATTERNS[name], matcher(value, name)))
        elif name.endswith(("tags", "tags-any")):
            tests.append(_tagged(name, frozenset(value.split(","))))
        elif name == "locked":
            tests.append(_locked(_bool(value, strict="locked")))
    tests += _changed(filters)
    return where, tests


def _plain(name: str, value: str) -> Any:
    if name == "config_drive":
        return _bool(value)
    if name in NUMBERS:
        return inputs.whole(value, name)
    return None if value == "None" and name == "task_state" else value


def _holds(part: Callable[[Server], str], test: Callable[[str], bool]) -> Test:
    return lambda server: test(part(server))


def _locked(wanted: bool) -> Test:
    return lambda server: bool(server.locked_by) is wanted


def _tagged(name: str, tags: frozenset[str]) -> Test:
    match name:
        case "tags":
            return lambda server: tags <= frozenset(server.tags)
        case "tags-any":
            return lambda server: not tags.isdisjoint(server.tags)
        case "not-tags":
            return lambda server: not tags <= frozenset(server.tags)
        case _:
            return lambda server: tags.isdisjoint(server.tags)


def _changed(filters: Mapping[str, str]) -> list[Test]:
    since = _moment(filters, "changes-since")
    before = _moment(filters, "changes-before")
    if since and before and before < since:
        raise BadRequest("The value of changes-since must be less than or equal to changes-before.")
    tests: list[Test] = []
    if since:
        tests.append(lambda server: server.updated_at >= since)
    if before:
        tests.append(lambda server: server.updated_at <= before)
    return tests


def _moment(filters: Mapping[str, str], name: str) -> datetime | None:
    text = filters.get(name)
    return None if text is None else read_moment(text, name)


def read_moment(text: str, name: str) -> datetime:
    """A query parameter as a moment, UTC when it names no zone. Raises BadRequest when it is none."""
    try:
        # a plus sign in a query arrives as a blank
        found = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text.strip())
    except ValueError as err:
        raise BadRequest(f"Invalid input for query parameters {name}. Value: {text}. It is not a date-time.") from err
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _addresses(filters: Mapping[str, str]) -> tuple[tuple[int, Callable[[str], bool]], ...]:
    kinds = (("ip", 4), ("ip6", 6))
    return tuple((version, matcher(filters[name], name)) for name, version in kinds if name in filters)


def _order(request: Request, given: Mapping[str, list[str]]) -> tuple[tuple[str, bool], ...]:
    keys, ways = given.get("sort_key", []), given.get("sort_dir", [])
    if any(way not in ("asc", "desc") for way in ways):
        raise BadRequest("Unknown sort direction, must be one of: asc, desc")
    order: dict[str, bool] = {}
    for place, key in enumerate(keys):
        way = ways[place] if place < len(ways) else (ways[-1] if ways else "desc")
        column = _sort_column(request, key)
        if column is not None:
            order.setdefault(column, way == "asc")
    if not keys:
        order["created_at"] = bool(ways) and ways[0] == "asc"
    last = next(reversed(order.values()), False)
    order.setdefault("seq", last)
    return tuple(order.items())


def _sort_column(request: Request, key: str) -> str | None:
    """The column of a sort key, None for one that is taken and ignored. Raises BadRequest for no sort key."""
    unsortable = key in UNSORTABLE and not (key == "locked" and request.version >= (2, 73))
    if (key not in SORT and key not in UNSORTABLE) or (unsortable and request.version >= inputs.STRICT_QUERIES):
        raise BadRequest(f"Invalid input for query parameters sort_key. Value: {key}. '{key}' is not a sort key.")
    if unsortable:
        return None
    if key in ("host", "node") and not request.ctx.is_admin:
        raise BadRequest("Only administrators can sort servers by host or node")
    return SORT[key]
