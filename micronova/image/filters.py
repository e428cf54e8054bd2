"""Lists of images as clients ask for them: query parameters to a question. Pure.

Sorting has two forms, `sort=name:asc,size` and `sort_key=name&sort_dir=asc` repeated; values may carry an operator,
`in:a,"b,c"` for names and `gte:2026-01-31T12:00:00Z` for moments (API reference "Image API v2", "List images").
"""

import operator
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from micronova.context import Context
from micronova.errors import BadRequest
from micronova.image import fields
from micronova.image.db import Image, Listing, Order, Wanted

SORT_KEYS = ("name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at")
MEMBER_STATUSES = ("pending", "accepted", "rejected", "all")
PAGING = frozenset(("limit", "marker", "sort", "sort_key", "sort_dir", "member_status", "tag"))
WORDS = ("name", "id", "status", "container_format", "disk_format")
NUMBERS = ("size", "virtual_size", "min_disk", "min_ram")
MOMENTS = ("created_at", "updated_at")
LARGEST = 2**63 - 1
DEFAULT_ORDER: Order = (("created_at", False), ("id", False))
MOST_SORT_KEYS = 3
"""Every way to sort is a statement that stays compiled."""

Match = Callable[[Image], bool]
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
_LISTED = re.compile(r'"((?:[^"\\]|\\.)*)"(?:,|$)|([^",]*)(?:,|$)')


class Question(msgspec.Struct, frozen=True):
    """What a list request asks."""

    listing: Listing
    limit: int | None = None
    marker: str | None = None


def parse(query: Sequence[tuple[str, str]], ctx: Context) -> Question:
    """The question of a request. Raises BadRequest with the reason."""
    plain = Wanted(project_id=ctx.project_id, is_admin=ctx.is_admin)
    if not query:
        return Question(Listing(plain, DEFAULT_ORDER))
    last = dict(query)
    known: dict[str, Any] = {}
    matches = [_has_tag(value.strip()) for key, value in query if key == "tag"]
    for key, value in last.items():
        if key in PAGING:
            continue
        if not _asked_of_database(known, key, value):
            matches.append(_match(key, value))
    member_status = last.get("member_status", "accepted")
    if member_status not in MEMBER_STATUSES:
        raise BadRequest(f"Invalid status: {member_status[:50]}")
    wanted = msgspec.structs.replace(plain, member_status=member_status, **known)
    listing = Listing(wanted, _order(query), _all(matches))
    return Question(listing, _limit(last.get("limit")), last.get("marker"))


def _all(matches: list[Match]) -> Match | None:
    """Whether a row has all that SQL is not asked for; None when that is nothing."""
    if not matches:
        return None
    return lambda image: all(match(image) for match in matches)


def _asked_of_database(known: dict[str, Any], key: str, value: str) -> bool:
    """Whether the parameter is one of Wanted's, noted in `known`. Raises BadRequest."""
    match key:
        case "visibility":
            if value not in (*fields.VISIBILITIES, "all"):
                raise BadRequest(f"Invalid visibility value: {value[:50]}")
            known["visibility"] = value
        case "os_hidden":
            known["os_hidden"] = _flag(key, value.lower())
        case "owner" if value:
            known["owner"] = value
        case "name" | "status" if _word(value)[0] == "eq" and value:
            known[key] = _word(value)[1]
        case _:
            return False
    return True


def _match(key: str, value: str) -> Match:
    if key == "changes-since":
        raise BadRequest('The "changes-since" filter is no longer available on v2.')
    if key == "protected":
        flag = _flag(key, value)
        return lambda image: image.protected == flag
    if key in WORDS:
        return _one_of(key, *_word(value))
    if key in MOMENTS:
        return _compare_moment(key, value)
    name, bound = (key[:-4], key[-3:]) if key.endswith(("_min", "_max")) else (key, "")
    if name in NUMBERS:
        return _compare_number(name, bound, value)
    if key in ("checksum", "os_hash_algo", "os_hash_value", "owner"):
        return lambda image: getattr(image, key) == value
    return lambda image: image.properties.get(key) == value


def _has_tag(tag: str) -> Match:
    return lambda image: tag in image.tags


def _flag(key: str, value: str) -> bool:
    if value not in ("true", "false"):
        raise BadRequest(f"Invalid value '{value[:50]}' for '{key}' filter. Valid values are 'true' or 'false'.")
    return value == "true"


def _word(value: str) -> tuple[str, str]:
    """(operator, operand). A word before a colon that is no operator belongs to the value: names may have colons."""
    word, colon, rest = value.partition(":")
    if not colon or (word != "in" and word not in _COMPARE):
        return "eq", value
    if word not in ("in", "eq"):
        raise BadRequest(f"Unable to filter by unknown operator '{word}'.")
    return word, rest


def _one_of(key: str, word: str, operand: str) -> Match:
    values = frozenset(_listed(operand)) if word == "in" else frozenset((operand,))
    return lambda image: getattr(image, key) in values


def _listed(text: str) -> list[str]:
    """Values separated by commas; those with commas in them are quoted, quotes in them escaped by a backslash."""
    values, place = [], 0
    while place < len(text):
        found = _LISTED.match(text, place)
        if found is None:
            raise BadRequest(f"Invalid filter value {text[:100]}. The quote is not closed.")
        quoted = found[1] is not None
        values.append(re.sub(r"\\(.)", r"\1", found[1]) if quoted else found[2])
        place = found.end()
    return values


def _compare_moment(key: str, value: str) -> Match:
    moment = _moment(value)
    word = "eq"
    if moment is None:
        word, _, rest = value.partition(":")
        moment = _moment(rest)
    if moment is None:
        raise BadRequest(f'Bad "{key}" query filter format. Use ISO 8601 DateTime notation.')
    if word not in _COMPARE:
        raise BadRequest("Unable to filter on a unknown operator.")
    wanted, compare = moment, _COMPARE[word]
    return lambda image: compare(getattr(image, key).replace(microsecond=0), wanted)


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _compare_number(name: str, bound: str, value: str) -> Match:
    if not re.fullmatch(r"-?[0-9]{1,19}", value) or abs(int(value)) > LARGEST:
        raise BadRequest("Unable to filter on a range with a non-numeric value.")
    wanted, compare = int(value), {"": operator.eq, "min": operator.ge, "max": operator.le}[bound]

    def fits(image: Image) -> bool:
        found = getattr(image, name)
        return found is not None and compare(found, wanted)

    return fits


def _limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch(r"-?[0-9]{1,18}", text.strip()):
        raise BadRequest("limit param must be an integer")
    if int(text) < 0:
        raise BadRequest("limit param must be positive")
    return int(text)


def _order(query: Sequence[tuple[str, str]]) -> Order:
    """How to sort; equal ones by age, then by id, the newest first."""
    given = [(key, value.strip()) for key, value in query if key in ("sort", "sort_key", "sort_dir")]
    sort = [value for key, value in given if key == "sort"]
    keys = [value for key, value in given if key == "sort_key"]
    directions = [value for key, value in given if key == "sort_dir"]
    if sort:
        if keys or directions:
            raise BadRequest("Old and new sorting syntax cannot be combined")
        pairs = [part.partition(":") for part in sort[-1].split(",")]
        keys = [key.strip() for key, _, _ in pairs]
        directions = [direction.strip() or "desc" for _, _, direction in pairs]
    keys = keys or ["created_at"]
    if len(directions) > 1 and len(directions) != len(keys):
        raise BadRequest("Number of sort dirs does not match the number of sort keys")
    directions = directions * len(keys) if len(directions) == 1 else directions or ["desc"] * len(keys)
    return _checked(keys, directions)


def _checked(keys: list[str], directions: list[str]) -> Order:
    if len(keys) > MOST_SORT_KEYS:
        raise BadRequest(f"At most {MOST_SORT_KEYS} sort keys can be combined")
    order: dict[str, bool] = {}
    for key, direction in zip(keys, directions, strict=True):
        if key not in SORT_KEYS:
            raise BadRequest(f"Invalid sort key: {key[:50]}. It must be one of the following: {', '.join(SORT_KEYS)}.")
        if direction not in ("asc", "desc"):
            raise BadRequest(f"Invalid sort direction: {direction[:50]}")
        order.setdefault(key, direction == "asc")
    order.setdefault("created_at", False)
    order.setdefault("id", False)
    return tuple(order.items())
