"""How identity looks on the wire: rows as Keystone v3 shows them, links, pages and filters of lists."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from micronova.http import Request
from micronova.identity.base import Page
from micronova.identity.db import (
    AppCredential,
    CatalogService,
    Credential,
    Endpoint,
    Group,
    Project,
    Region,
    Role,
    User,
)

Shown = dict[str, Any]


def link(request: Request, *parts: str) -> str:
    """The address of something below /v3."""
    return "/".join((request.root + "/v3", *parts))


def self_link(request: Request, *parts: str) -> dict[str, str]:
    return {"self": link(request, *parts)}


# -- lists


def texts(request: Request, *names: str) -> dict[str, Any]:
    """Those of the named query parameters that the request carries."""
    found = {name: request.get(name) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def flag(request: Request, name: str, default: bool | None = None) -> bool | None:
    """A query parameter that is on by being there; "0" and "false" switch it off."""
    value = request.get(name)
    return default if value is None else value.lower() not in ("0", "false", "no", "off")


def flags(request: Request, *names: str) -> dict[str, Any]:
    """Those of the named on/off parameters that the request carries."""
    found = {name: flag(request, name) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def collection(request: Request, noun: str, shown: Sequence[Any], next_link: str | None = None) -> Shown:
    """A list with its links. `noun` is the key of the list."""
    own = request.base_url + request.http.path
    return {noun: shown, "links": {"next": next_link, "self": own, "previous": None}}


async def pages(
    request: Request,
    noun: str,
    fetch: Callable[[Page], Awaitable[list[Any]]],
    show: Callable[[Request, Any], Shown],
    most: int,
) -> Shown:
    """One page of a list: what `limit` and `marker` ask for, at most `most` rows, and where it goes on."""
    limit = max(1, request.limit(most))
    rows = await fetch(Page(limit + 1, request.get("marker")))
    more = None
    if len(rows) > limit:
        rows = rows[:limit]
        more = f"{request.base_url}{request.http.path}?limit={limit}&marker={rows[-1].id}"
        rest = [f"{name}={value}" for name, value in _raw_query(request) if name not in ("limit", "marker")]
        more = "&".join((more, *rest))
    return collection(request, noun, [show(request, row) for row in rows], more)


def _raw_query(request: Request) -> list[tuple[str, str]]:
    parts = (part.partition("=") for part in request.http.query_string.split("&") if part)
    return [(name, value) for name, _, value in parts]


# -- rows


def _shown(request: Request, row: Any, place: str, *fields: str) -> Shown:
    """What of a row is shown as it is stored, what came with it that we do not know, and where it is."""
    known = {name: getattr(row, name) for name in ("id", *fields)}
    return {**row.extra, **known, "links": self_link(request, place, row.id)}


def show_domain(request: Request, row: Project) -> Shown:
    return _shown(request, row, "domains", "name", "description", "enabled", "tags", "options")


def show_project(request: Request, row: Project) -> Shown:
    fields = ("name", "domain_id", "parent_id", "is_domain", "description", "enabled", "tags", "options")
    return {**_shown(request, row, "projects", *fields), "domain_id": row.domain_id or None}


def show_user(request: Request, row: User) -> Shown:
    shown = _shown(request, row, "users", "name", "domain_id", "enabled", "options")
    shown["password_expires_at"] = None
    if row.default_project_id:
        shown["default_project_id"] = row.default_project_id
    return shown


def show_group(request: Request, row: Group) -> Shown:
    return _shown(request, row, "groups", "name", "domain_id", "description")


def show_role(request: Request, row: Role) -> Shown:
    shown = _shown(request, row, "roles", "name", "domain_id", "description", "options")
    return {**shown, "domain_id": row.domain_id or None}


def show_role_briefly(request: Request, row: Role) -> Shown:
    return {"id": row.id, "name": row.name, "links": self_link(request, "roles", row.id)}


def show_region(request: Request, row: Region) -> Shown:
    return _shown(request, row, "regions", "description", "parent_region_id")


def show_service(request: Request, row: CatalogService) -> Shown:
    shown = _shown(request, row, "services", "type", "enabled")
    if row.name is not None:
        shown["name"] = row.name
    if row.description is not None:
        shown["description"] = row.description
    return shown


def show_endpoint(request: Request, row: Endpoint) -> Shown:
    shown = _shown(request, row, "endpoints", "service_id", "region_id", "interface", "enabled")
    return {**shown, "region": row.region_id, "url": url(request, row.url)}


def url(request: Request, stored: str) -> str:
    """An endpoint's URL; one of ours is stored without the address, which is the one the client used."""
    return request.base_url + stored if stored.startswith("/") else stored


def show_app_credential(request: Request, row: AppCredential, roles: Sequence[Role]) -> Shown:
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "user_id": row.user_id,
        "project_id": row.project_id,
        "system": None,
        "roles": [{"id": role.id, "name": role.name, "domain_id": role.domain_id or None} for role in roles],
        "unrestricted": row.unrestricted,
        "expires_at": None if row.expires_at is None else f"{row.expires_at:%Y-%m-%dT%H:%M:%S.%f}",
        "links": self_link(request, "users", row.user_id, "application_credentials", row.id),
    }


def show_credential(request: Request, row: Credential) -> Shown:
    return {
        "id": row.id,
        "type": row.type,
        "blob": row.blob,
        "user_id": row.user_id,
        "project_id": row.project_id,
        "links": self_link(request, "credentials", row.id),
    }


def show_reference(row: Project | None) -> Shown:
    """A domain as part of something else."""
    return {"id": row.id, "name": row.name} if row is not None else {}
