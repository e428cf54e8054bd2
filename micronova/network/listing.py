"""A list request's query string: filters, sorting, pages, fields. The same for every resource.

Several values of one filter mean any of them, several filters all of them. What a column holds is asked of the
database, the rest (tags, addresses, groups) is tested on the rows.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, get_args

import msgspec

from micronova.http import Request
from micronova.network import checks
from micronova.network.attributes import Attribute, Resource
from micronova.network.collection import Search
from micronova.network.refusals import bad, invalid

Test = Callable[[Any], bool]
RESERVED = ("fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir")
EXACT_IP = "ip_address="
OF_AGENTS = ("alive", "agent_type")
MOMENTS = ("created_at", "updated_at")
NUMBER = 2**63 - 1


class Page(msgspec.Struct, frozen=True):
    """What a list request asks for. `asked_limit` None: the client named none and gets as many as is allowed."""

    search: Search
    fields: frozenset[str]
    asked_limit: int | None
    most: int


class Lists:
    """What lists of one resource may be filtered and sorted by, worked out once."""

    def __init__(self, resource: Resource, row: type[Any]) -> None:
        self.named = resource.named()
        self.types = {field.name: field.type for field in msgspec.structs.fields(row)}


def parse(lists: Lists, request: Request, hidden: Sequence[str], most: int) -> Page:
    """The page that a request asks for. Raises BadRequest as Neutron words it."""
    filters = _filters(request)
    related = _related(lists, filters)
    where, tests = _conditions(lists, filters, hidden)
    asked = _limit(request.get("limit"))
    search = Search(
        where=where,
        related=related,
        tests=tests,
        order=_order(lists.named, request.get_all("sort_key"), request.get_all("sort_dir")),
        marker=_marker(request.get("marker")),
        reverse=_reverse(request.get("page_reverse")),
        limit=asked if asked is not None and asked < most else most + 1,
    )
    return Page(search, fields(request), asked, most)


def fields(request: Request) -> frozenset[str]:
    """The attributes a request wants to see; empty for all."""
    return frozenset(request.get_all("fields")) - {""}


def _filters(request: Request) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in request.query():
        if "\0" in value or "\0" in name:
            raise bad("A filter holds a character that cannot be stored.")
        if name not in RESERVED:
            found.setdefault(name, []).append(value)
    return found


def _related(lists: Lists, filters: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    """Filters that are answered by rows belonging to the one that is looked for: a port's addresses and groups."""
    found: dict[str, tuple[str, ...]] = {}
    if "fixed_ips" in lists.named:
        ips = [value.removeprefix(EXACT_IP) for value in filters.get("fixed_ips", ()) if value.startswith(EXACT_IP)]
        groups = filters.get("security_groups", ())
        found = {name: tuple(values) for name, values in (("ip", ips), ("group", groups)) if values}
    if "alive" in lists.named:
        found = {name: tuple(filters.pop(name)) for name in OF_AGENTS if name in filters}
    return found


def _conditions(
    lists: Lists, filters: dict[str, list[str]], hidden: Sequence[str]
) -> tuple[dict[str, tuple[Any, ...]], tuple[Test, ...]]:
    named, types = lists.named, lists.types
    where: dict[str, tuple[Any, ...]] = {}
    tests: list[Test] = []
    for name, values in filters.items():
        attribute = named.get(name) if name not in hidden else None
        test = TESTS.get(name)
        if test is not None and (attribute is not None or (name in UNNAMED and "tags" in named)):
            tests.append(test(values))
        elif name == "revision_number":
            where["revision"] = tuple(_converted(name, int, value) for value in values)
        elif attribute is not None and attribute.stored and attribute.key in types:
            found = tuple(_converted(name, types[attribute.key], value) for value in values)
            where[attribute.key] = tuple(v for v in found if v in where.get(attribute.key, found))
        else:
            raise invalid(f"['{checks.short(name)}'] is invalid attribute for filtering")
    return where, tuple(tests)


def _converted(name: str, kind: Any, value: str) -> Any:
    kinds = get_args(kind) or (kind,)
    try:
        if bool in kinds:
            return checks.boolean(value)
        if int in kinds:
            return checks.integer(-NUMBER, NUMBER)(value)
    except ValueError as err:
        raise bad(f"Invalid input for {name}. Reason: {err}.") from err
    return value


# -- what only the rows can tell


def _all_tags(values: list[str]) -> Test:
    wanted = _words(values)
    return lambda row: wanted <= set(row.tags)


def _any_tag(values: list[str]) -> Test:
    wanted = _words(values)
    return lambda row: not wanted.isdisjoint(row.tags)


def _words(values: list[str]) -> set[str]:
    return {word for value in values for word in value.split(",")}


def _none_of(test: Callable[[list[str]], Test], values: list[str]) -> Test:
    positive = test(values)
    return lambda row: not positive(row)


def _fixed_ips(values: list[str]) -> Test:
    """ip_address=…, subnet_id=…, ip_address_substr=…: any of the values of each kind, all kinds by one address."""
    wanted: dict[str, list[str]] = {}
    for value in values:
        kind, equals, what = value.partition("=")
        if not equals or kind not in ("ip_address", "subnet_id", "ip_address_substr"):
            raise bad(f"Invalid input for fixed_ips. Reason: '{checks.short(value)}' is not a filter.")
        wanted.setdefault(kind, []).append(what)

    def one(fixed: Any) -> bool:
        return (
            ("ip_address" not in wanted or fixed.ip in wanted["ip_address"])
            and ("subnet_id" not in wanted or fixed.subnet_id in wanted["subnet_id"])
            and all(part in fixed.ip for part in wanted.get("ip_address_substr", ()))
        )

    return lambda row: any(one(fixed) for fixed in row.fixed_ips)


def _groups(values: list[str]) -> Test:
    wanted = set(values)
    return lambda row: not wanted.isdisjoint(row.security_group_ids)


def _changed_since(values: list[str]) -> Test:
    try:
        moment = datetime.fromisoformat(values[-1])
    except ValueError as err:
        raise invalid(f"The input changed_since must be in the format 2016-01-01T01:02:03Z: {values[-1]!r}") from err
    since = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return lambda row: bool(row.updated_at >= since)


TESTS: dict[str, Callable[[list[str]], Test]] = {
    "tags": _all_tags,
    "tags-any": _any_tag,
    "not-tags": partial(_none_of, _all_tags),
    "not-tags-any": partial(_none_of, _any_tag),
    "fixed_ips": _fixed_ips,
    "security_groups": _groups,
    "changed_since": _changed_since,
}
UNNAMED = ("tags-any", "not-tags", "not-tags-any", "changed_since")
"""Filters that are no attribute's name."""


# -- sorting and pages


def _order(named: dict[str, Attribute], keys: list[str], directions: list[str]) -> tuple[tuple[str, bool], ...]:
    if directions and len(keys) != len(directions):
        raise bad("The number of sort_keys and sort_dirs must be same")
    wrong = [direction for direction in directions if direction not in ("asc", "desc")]
    if wrong:
        raise bad(f"The value of sort_dir is not valid: '{checks.short(wrong[0])}' is neither asc nor desc")
    columns = [_sort_column(named.get(key), key) for key in keys]
    ups = [direction == "asc" for direction in directions] or [True] * len(columns)
    return tuple(dict(zip(columns, ups, strict=True)).items())


def _sort_column(attribute: Attribute | None, key: str) -> str:
    if attribute is not None and (attribute.stored or key in MOMENTS):
        return attribute.key
    if key == "revision_number":
        return "revision"
    raise bad(f"'{checks.short(key)}' is an invalid attribute for sort keys")


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit():
        raise bad(f"Invalid input for limit. Reason: '{checks.short(text)}' is not a non-negative integer.")
    return int(text[:18]) or None


def _marker(text: str | None) -> str | None:
    if text is not None and ("\0" in text or len(text) > 255):
        raise bad("Invalid input for marker.")
    return text or None


def _reverse(text: str | None) -> bool:
    try:
        return text is not None and checks.boolean(text)
    except ValueError as err:
        raise bad(f"Invalid input for page_reverse. Reason: {err}.") from err
