"""The Image API, version 2 (Glance), below /image: versions, discovery, and how errors look.

Errors are HTML, as Glance's are; clients take the sentence after the heading:

    <h1>404 Not Found</h1>
    No image found with ID 2c…<br /><br />
"""

import html
from http import HTTPStatus
from typing import Any

from micronova.errors import Error, NotFound
from micronova.http import Answer, Api, Request, Route
from micronova.image import schemas
from micronova.image.api.data import IMPORT_METHODS, DataApi
from micronova.image.api.images import ImagesApi
from micronova.image.api.members import MembersApi
from micronova.image.manager import ImageManager
from micronova.options import Options

PREFIX = "/image"
VERSIONS = ("2.9", "2.8", "2.7", "2.6", "2.5", "2.4", "2.3", "2.2", "2.1", "2.0")
"""Newest first (API reference "Image API v2", "API versions")."""


def api(image: ImageManager, options: Options) -> Api:
    """The Image API over a manager."""
    routes = [
        *_discovery(options),
        *ImagesApi(image, options.api.max_page).routes(),
        *DataApi(image).routes(),
        *MembersApi(image.members).routes(),
    ]
    return Api(name="image", prefix=PREFIX, routes=routes, render=render)


def render(status: int, error: Error) -> tuple[str, bytes]:
    """An error as Glance writes it: a small page, one line per part."""
    try:
        title = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        title = str(status)
    message = html.escape(error.message, quote=False)
    lines = [
        "<html>",
        " <head>",
        f"  <title>{title}</title>",
        " </head>",
        " <body>",
        f"  <h1>{title}</h1>",
        f"  {message}<br /><br />",
        " </body>",
        "</html>",
    ]
    return "text/html; charset=UTF-8", "\n".join(lines).encode(errors="replace")


def _discovery(options: Options) -> list[Route]:
    """What clients ask before they use images, and empty lists of what this cloud does not have."""
    stores = {"stores": [{"id": options.image.driver, "default": "true"}]}
    methods = {"description": "Import methods available.", "type": "array", "value": list(IMPORT_METHODS)}
    fixed: dict[str, Any] = {
        "/v2/info/import": {"import-methods": methods},
        "/v2/info/stores": stores,
        "/v2/tasks": _nothing("tasks", "/v2/tasks"),
        "/v2/metadefs/namespaces": _nothing("namespaces", "/v2/metadefs/namespaces"),
        "/v2/metadefs/resource_types": {"resource_types": []},
    }
    fixed |= {f"/v2/schemas/{name}": document for name, document in schemas.DOCUMENTS.items()}
    return [
        Route("GET", "", _versions(300), public=True),
        Route("GET", "/versions", _versions(200), public=True),
        Route("GET", "/v2", _versions(300), public=True),
        Route("GET", "/v2/metadefs/namespaces/{name}", _no_namespace),
        *(Route("GET", path, _fixed(body)) for path, body in fixed.items()),
    ]


def _nothing(noun: str, path: str) -> dict[str, Any]:
    return {noun: [], "first": path, "schema": path.replace("/v2/", "/v2/schemas/")}


def _versions(status: int) -> Any:
    async def versions(request: Request) -> Answer:
        links = [{"rel": "self", "href": f"{request.root}/v2/"}]
        body = [
            {
                "id": f"v{version}",
                "status": "CURRENT" if version == VERSIONS[0] else "SUPPORTED",
                "links": links,
            }
            for version in VERSIONS
        ]
        return Answer(status=status, body={"versions": body})

    return versions


def _fixed(body: dict[str, Any]) -> Any:
    async def answer(request: Request) -> dict[str, Any]:
        return body

    return answer


async def _no_namespace(request: Request) -> Answer:
    raise NotFound(f"Metadata definition namespace={request.path['name']} was not found.")
