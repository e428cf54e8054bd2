"""What Nova lets a request say in more than one way, read into one: numbers, flags, names, queries, pages."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from msgspec import Meta

from micronova.errors import BadRequest
from micronova.http import Request
from micronova.microversion import Version

T = TypeVar("T")

MAX_INT = 0x7FFFFFFF
STRICT_QUERIES: Version = (2, 75)
"""From here on a query parameter that is not known is refused (Compute API microversion history)."""

NAME = r"\A(?!\s)[^\x00-\x1f\x7f-\x9f]*(?<!\s)\Z"
Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=NAME)]
"""1 to 255 printable characters without blanks at the ends."""
Text = Annotated[str, Meta(max_length=65535, pattern=r"\A[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*\Z")]
Tag = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"\A[^,/]*\Z")]
HostName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A[a-zA-Z0-9._-]*\Z")]

_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_TRUE = frozenset(("True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes"))
_FALSE = frozenset(("False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no"))


def whole(value: int | str, field: str, *, least: int = 0, most: int = MAX_INT) -> int:
    """A number that came as one or as its digits. Raises BadRequest outside of `least` to `most`."""
    if isinstance(value, str):
        digits = value.removeprefix("-")
        if not digits.isascii() or not digits.isdigit():
            raise BadRequest(f"Invalid input for field/attribute {field}. Value: {value}. '{value}' is not a number")
        value = int(value) if len(digits) < 20 else MAX_INT + 1
    if not least <= value <= most:
        raise BadRequest(
            f"Invalid input for field/attribute {field}. Value: {value}. It must be from {least} to {most}."
        )
    return value


def flag(value: bool | str, field: str) -> bool:
    """A flag that came as one or as a word. Raises BadRequest for another word."""
    if isinstance(value, bool):
        return value
    if value in _TRUE or value in _FALSE:
        return value in _TRUE
    raise BadRequest(f"Invalid input for field/attribute {field}. Value: {value}. '{value}' is not a boolean.")


def query_flag(request: Request, name: str) -> bool:
    """A query parameter as a flag, False when absent. Raises BadRequest for a word that is none."""
    text = request.get(name)
    return False if text is None else flag(text, name)


def known_query(request: Request, *names: str, strict: Version = STRICT_QUERIES) -> None:
    """Raises BadRequest for a query parameter that is none of `names`, from microversion `strict` on."""
    if request.version < strict:
        return
    for name, _ in request.query():
        if name not in names:
            raise BadRequest(
                f"Invalid input for query parameters {name}. Additional properties are not allowed "
                f"('{name}' was unexpected)"
            )


def page(rows: Sequence[T], request: Request, most: int, id_of: Callable[[T], str]) -> tuple[Sequence[T], bool]:
    """The rows after query parameter `marker`, at most `limit`, and whether there are more.

    Raises BadRequest when the marker is no row's id.
    """
    limit, marker = request.limit(most), request.get("marker")
    start = 0
    if marker is not None:
        start = next((place for place, row in enumerate(rows, 1) if id_of(row) == marker), 0)
        if not start:
            raise BadRequest(f"marker [{marker}] not found")
    return rows[start : start + limit], len(rows) > start + limit > start


def next_link(request: Request, path: str, marker: str) -> list[dict[str, str]]:
    """The link to the next page: this query again, from `marker` on."""
    kept = [(name, value) for name, value in request.query() if name != "marker"]
    return [{"rel": "next", "href": f"{request.root}{path}?{urlencode([*kept, ('marker', marker)])}"}]


def links(request: Request, path: str) -> list[dict[str, str]]:
    """The two links Nova shows of a thing: with and without the version."""
    return [
        {"rel": "self", "href": f"{request.root}/v2.1{path}"},
        {"rel": "bookmark", "href": f"{request.root}{path}"},
    ]


def one_action(body: dict[str, Any], known: Sequence[str]) -> str:
    """The name of the only action in a body. Raises BadRequest when there is not exactly one that we know."""
    if len(body) != 1 or next(iter(body)) not in known:
        said = ", ".join(body) or "none"
        raise BadRequest(f"There is no such action: {said}")
    return next(iter(body))


def bare(moment: datetime | None) -> str | None:
    """`2026-01-31T12:00:00.000000`: how Nova writes a moment outside of servers; clients there can't read a Z."""
    return None if moment is None else f"{moment:%Y-%m-%dT%H:%M:%S.%f}"


def number_of(id: str) -> int:
    """A number that stands for a UUID in old microversions: the first 28 bits."""
    return int(id.replace("-", "")[:7], 16)


def unexpected(what: str, name: str) -> BadRequest:
    """What is said of a field that this microversion does not have."""
    return BadRequest(
        f"Invalid input for field/attribute {what}. Additional properties are not allowed ('{name}' was unexpected)"
    )


def is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None
