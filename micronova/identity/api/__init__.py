"""Keystone v3 below /identity: the version documents, errors, and the routes of all parts.

{"error": {"code": 404, "message": "Could not find user: x.", "title": "Not Found"}}
"""

from collections.abc import Sequence
from http.client import responses
from typing import Any

from micronova.errors import Error, Forbidden
from micronova.http import JSON, Answer, Api, Request, Route, encode
from micronova.identity.api.auth import AuthApi
from micronova.identity.api.catalog import CatalogApi
from micronova.identity.api.credentials import CredentialsApi
from micronova.identity.api.grants import GrantsApi
from micronova.identity.api.projects import ProjectsApi
from micronova.identity.api.roles import RolesApi
from micronova.identity.api.users import UsersApi
from micronova.identity.manager import IdentityManager

VERSION = "v3.14"


def api(manager: IdentityManager) -> Api:
    """The identity API of one manager."""
    parts = (AuthApi, ProjectsApi, UsersApi, RolesApi, GrantsApi, CatalogApi, CredentialsApi)
    routes: list[Route] = [
        Route("GET", "", versions, public=True),
        Route("GET", "/v3", version, public=True),
    ]
    for part in parts:
        found: Sequence[Route] = part(manager).routes()
        routes += found
    return Api(name="identity", prefix="/identity", routes=routes, render=render)


def render(status: int, error: Error) -> tuple[str, bytes]:
    """An error as Keystone words it."""
    message = error.message
    if isinstance(error, Forbidden) and "rule" in error.facts:
        message = f"You are not authorized to perform the requested action: {error.facts['rule']}."
    title = responses.get(status, "Error")
    return JSON, encode({"error": {"code": status, "message": message, "title": title}})


def show_version(request: Request) -> dict[str, Any]:
    return {
        "id": VERSION,
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": request.root + "/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


async def versions(request: Request) -> Answer:
    body = {"versions": {"values": [show_version(request)]}}
    return Answer(status=300, body=body, headers={"Location": request.root + "/v3/"})


async def version(request: Request) -> dict[str, Any]:
    return {"version": show_version(request)}
