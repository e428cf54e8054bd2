"""What Cinder lets a request say in more than one way, read into one: numbers, flags, queries, pages, paths."""

import ast
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from micronova.db import Greater, Less, Like
from micronova.errors import BadRequest, NotFound
from micronova.http import Handler, Request, Route, explain
from micronova.microversion import Version
from micronova.volume.listing import NEWEST_FIRST, Page, Query

T = TypeVar("T")
MAX_INT = 0x7FFFFFFF
_TEXT = r"\A[^\x00]*\Z"
"""What a database can keep."""
Name = Annotated[str, Meta(max_length=255, pattern=_TEXT)]
Key = Annotated[str, Meta(min_length=1, max_length=255, pattern=_TEXT)]
Metadata = dict[Key, Name]

_TRUE = frozenset(("True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes", "t", "y"))
_FALSE = frozenset(("False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no", "f", "n"))
_COMPARES: Mapping[str, Callable[[Any], Any]] = {"gt": Greater, "gte": Greater, "lt": Less, "lte": Less}


def both(
    method: str, path: str, handler: Handler, policy: str = "", *, since: Version = (0, 0), until: Version = (999, 999)
) -> list[Route]:
    """A route with the project in its path, as old clients ask, and without it."""
    scoped = in_project(handler)
    return [
        Route(method, f"/v3/{{project_id}}{path}", scoped, policy, since=since, until=until),
        Route(method, f"/v3{path}", scoped, policy, since=since, until=until),
    ]


def in_project(handler: Handler) -> Handler:
    """The handler, for requests whose path names the caller's own project or none, and ends with a name."""

    async def handle(request: Request) -> Any:
        path = request.http.scope["path"]
        if path.endswith("/") or "\x00" in path:
            raise NotFound("The resource could not be found.")
        named = request.path.get("project_id")
        if named is not None and named != request.ctx.project_id:
            raise BadRequest("Malformed request url")
        return await handler(request)

    return handle


def nameless(*paths: str) -> list[Route]:
    """What a request gets that wants one of these changed or removed and does not say which: 404."""

    async def refuse(request: Request) -> Any:
        raise NotFound("The resource could not be found.")

    return [route for path in paths for method in ("PUT", "DELETE") for route in both(method, path, refuse)]


def whole(value: Any, field: str, *, least: int = 0, most: int = MAX_INT) -> int:
    """A number that came as one or as its digits. Raises BadRequest outside of `least` to `most`."""
    if isinstance(value, str) and value.strip().removeprefix("-").isdigit() and value.isascii():
        value = int(value.strip()) if len(value) < 20 else MAX_INT + 1
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadRequest(f"Invalid input for field/attribute {field}. Value: {value}. {value!r} is not an integer.")
    if not least <= value <= most:
        raise BadRequest(
            f"Invalid input for field/attribute {field}. Value: {value}. It must be from {least} to {most}."
        )
    return value


def flag(value: Any, field: str) -> bool:
    """A flag that came as one or as a word. Raises BadRequest for another word."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and (value.strip() in _TRUE or value.strip() in _FALSE):
        return value.strip() in _TRUE
    raise BadRequest(f"Invalid input for field/attribute {field}. Value: {value}. {value!r} is not a boolean.")


def query_flag(request: Request, name: str, *, default: bool = False) -> bool:
    """A query parameter as a flag. Raises BadRequest for a word that is none."""
    text = request.get(name)
    return default if text is None else flag(text, name)


def read(name: str, said: Any, kind: type[T]) -> T:
    """An action's arguments, checked. Raises BadRequest with the path of what is wrong."""
    try:
        return msgspec.convert({} if said is None else said, kind)
    except msgspec.ValidationError as err:
        raise BadRequest(f"Invalid input for field/attribute {name}. {explain(err)}") from err


def stripped(text: str | None) -> str | None:
    """A name or description as it is kept: without blanks at its ends."""
    return None if text is None else text.strip()


# -- lists


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of one noun understands: query parameter to column; which columns it can be sorted by."""

    columns: Mapping[str, str]
    sort: Mapping[str, str]
    most: int = 1000


def query(request: Request, filters: Filters) -> Query:
    """The list that a request asks for. Raises BadRequest for an order or number that is none."""
    where: dict[str, Any] = {}
    for name, value in request.query():
        base, like = (name[:-1], True) if name.endswith("~") and request.version >= (3, 34) else (name, False)
        column = filters.columns.get(base)
        if column is None:
            continue
        where[column] = _condition(column, value, like=like)
    asked, marker = request.get("offset"), request.get("marker")
    if marker and "\x00" in marker:
        raise BadRequest("Invalid input for query parameter marker.")
    return Query(
        where=where,
        order=_order(request, filters.sort),
        all_projects=_all_projects(request),
        marker=marker or None,
        offset=whole(asked, "offset") if asked else 0,
        limit=_limit(request, filters.most),
    )


def _all_projects(request: Request) -> bool:
    text = request.get("all_tenants") or request.get("all_projects")
    if text is None:
        return request.get("all_tenants") == ""
    return text not in _FALSE


def _limit(request: Request, most: int) -> int:
    text = request.get("limit")
    if text is None:
        return most
    if not text.isascii() or not text.isdigit():
        raise BadRequest(
            "limit param must be an integer" if not text.startswith("-") else "limit param must be positive"
        )
    return min(int(text), most)


def _condition(column: str, value: str, *, like: bool) -> Any:
    if "\x00" in value:
        raise BadRequest(f"Invalid input for query parameter {column}.")
    if like:
        escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return Like(f"%{escaped}%")
    if column in ("bootable", "multiattach", "consumes_quota"):
        return flag(value, column)
    if column in ("created_at", "updated_at"):
        operator, colon, text = value.partition(":")
        if operator in _COMPARES and colon:
            return _COMPARES[operator](moment(text))
        return moment(value)
    if column == "size_gib":
        return whole(value, "size")
    return value


def moment(text: str) -> datetime:
    """A moment in a query. Raises BadRequest."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as err:
        raise BadRequest(f"Could not parse the time {text!r}.") from err
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _order(request: Request, known: Mapping[str, str]) -> tuple[tuple[str, bool], ...]:
    pairs: list[tuple[str, str]] = []
    sort = request.get("sort")
    keys, directions = request.get_all("sort_key"), request.get_all("sort_dir")
    if sort is not None and (keys or directions):
        raise BadRequest("The 'sort_key' and 'sort_dir' parameters are deprecated and cannot be used with 'sort'.")
    if sort is not None:
        for one in sort.split(","):
            key, _, direction = one.strip().partition(":")
            pairs.append((key, direction or "desc"))
    elif keys or directions:
        direction = directions[0] if directions else "desc"
        pairs = [
            (key, directions[place] if place < len(directions) else direction)
            for place, key in enumerate(keys or ["created_at"])
        ]
    if not pairs:
        return NEWEST_FIRST
    order = []
    for key, direction in pairs:
        if key not in known:
            raise BadRequest(f"Invalid input received: Sort key {key!r} is invalid.")
        if direction not in ("asc", "desc"):
            raise BadRequest(f"Invalid input received: Unknown sort direction {direction!r}, must be 'desc' or 'asc'.")
        order.append((known[key], direction == "asc"))
    if all(column != "id" for column, _ in order):
        order.append(("id", order[-1][1]))
    return tuple(order)


def pairs_of(text: str, field: str) -> dict[str, str]:
    """A table in a query parameter, as Python or JSON writes it. Raises BadRequest."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadRequest(f"Invalid input for query parameter {field}: {text!r} is not a table.")
    return {str(key): str(value) for key, value in found.items()}


def next_link(request: Request, name: str, path: str, rows: Sequence[Any]) -> dict[str, Any]:
    """The link to the next page, in the answer's own field."""
    kept = [(key, value) for key, value in request.query() if key not in ("marker", "offset")]
    href = f"{base(request)}{path}?{urlencode([*kept, ('marker', rows[-1].id)])}"
    return {f"{name}_links": [{"rel": "next", "href": href}]}


def listed(request: Request, name: str, shown: Sequence[Any], page: Page, *, detail: bool) -> dict[str, Any]:
    """A page of a list, with the link to the next and (3.45, when asked) how many there are in all."""
    body: dict[str, Any] = {name: shown}
    if page.more:
        body |= next_link(request, name, f"/{name}/detail" if detail else f"/{name}", page.rows)
    if request.version >= (3, 45) and query_flag(request, "with_count"):
        body["count"] = page.count
    return body


def base(request: Request) -> str:
    """Where links begin: with the project when the client asked so."""
    named = request.path.get("project_id")
    return f"{request.root}/v3" + (f"/{named}" if named else "")


def links(request: Request, path: str) -> list[dict[str, str]]:
    """The two links Cinder shows of a thing: with and without the version."""
    named = request.path.get("project_id")
    return [
        {"rel": "self", "href": f"{base(request)}{path}"},
        {"rel": "bookmark", "href": f"{request.root}{'/' + named if named else ''}{path}"},
    ]


def bare(when: datetime | None) -> str | None:
    """`2026-01-31T12:00:00.000000`: how Cinder writes a moment."""
    return None if when is None else f"{when:%Y-%m-%dT%H:%M:%S.%f}"


def one_action(body: Any, known: Sequence[str]) -> str:
    """The name of the only action in a body. Raises BadRequest when there is not exactly one that we know."""
    if not isinstance(body, dict) or len(body) != 1 or next(iter(body)) not in known:
        said = ", ".join(body) if isinstance(body, dict) and body else "none"
        raise BadRequest(f"There is no such action: {said}")
    return str(next(iter(body)))
