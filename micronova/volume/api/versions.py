"""Which versions of the block storage API there are.

GET /volume, GET /volume/v3    {"versions": [{"id": "v3.0", "status": "CURRENT", "min_version": "3.0", …}]}
"""

from typing import Any

from micronova.http import Answer, Request, Route
from micronova.microversion import Microversions, dotted

UPDATED = "2023-08-31T00:00:00Z"
"""When the newest microversion we speak was declared (Block Storage API reference, "API versions")."""
_MEDIA = {"base": "application/json", "type": "application/vnd.openstack.volume+json;version=3"}

MICROVERSIONS = Microversions(service="volume", minimum=(3, 0), maximum=(3, 70))


async def list_versions(request: Request) -> Any:
    return Answer(status=300, body={"versions": [show_version(request)]})


async def show_one(request: Request) -> Any:
    return {"versions": [show_version(request)]}


def routes() -> list[Route]:
    """The routes of versions, open to everybody."""
    return [Route("GET", "", list_versions, public=True), Route("GET", "/v3", show_one, public=True)]


def show_version(request: Request) -> dict[str, Any]:
    """The only version, with its range of microversions."""
    return {
        "id": "v3.0",
        "status": "CURRENT",
        "version": dotted(MICROVERSIONS.maximum),
        "min_version": dotted(MICROVERSIONS.minimum),
        "updated": UPDATED,
        "links": [
            {
                "rel": "describedby",
                "type": "text/html",
                "href": "https://docs.openstack.org/api-ref/block-storage/v3/",
            },
            {"rel": "self", "href": f"{request.root}/v3/"},
        ],
        "media-types": [_MEDIA],
    }
