"""The compute API: its address, its errors, and the routes of all its parts (Compute API reference).

Errors look like {"itemNotFound": {"code": 404, "message": "Instance … could not be found."}}.
"""

from collections.abc import Mapping
from typing import Any

from micronova.compute.api import actions as api_actions
from micronova.compute.api import history as api_history
from micronova.compute.api import hosts as api_hosts
from micronova.compute.api import interfaces as api_interfaces
from micronova.compute.api import parts as api_parts
from micronova.compute.api import servers as api_servers
from micronova.compute.api import volume_proxies as api_volume_proxies
from micronova.compute.api import volumes as api_volumes
from micronova.compute.api.hosts import ProjectExists
from micronova.compute.api.servers import ServerApi
from micronova.compute.api.versions import MICROVERSIONS
from micronova.compute.manager import ComputeManager
from micronova.errors import Error
from micronova.http import JSON, Api, Route, encode

PREFIX = "/compute"
FAULTS: Mapping[int, str] = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}
"""What Nova calls an error with a status; anything else is a computeFault."""


def api(compute: ComputeManager, *, project_exists: ProjectExists | None = None) -> Api:
    """The compute API of a cloud."""
    return Api(
        name="compute",
        prefix=PREFIX,
        routes=routes(compute, project_exists),
        render=render,
        microversions=MICROVERSIONS,
        request_id_headers=("x-openstack-request-id", "x-compute-request-id"),
    )


def routes(compute: ComputeManager, project_exists: ProjectExists | None) -> list[Route]:
    """Every route: those of servers, and those of hosts.py."""
    most = compute.config.options.api.max_page
    servers = ServerApi(compute, most)
    return [
        *api_servers.routes(servers),
        *api_actions.routes(compute, servers),
        *api_parts.routes(compute),
        *api_interfaces.routes(compute),
        *api_volumes.routes(compute),
        *api_volume_proxies.routes(compute, most),
        *api_history.routes(compute, most),
        *api_hosts.routes(compute.scheduler, project_exists),
    ]


def render(status: int, error: Error) -> tuple[str, bytes]:
    """An error in Nova's shape."""
    body: dict[str, Any] = {"code": status, "message": str(error)}
    if status in (413, 429, 503):
        body["retryAfter"] = str(error.facts.get("retry_after", 1))
    return JSON, encode({FAULTS.get(status, "computeFault"): body})
