"""The block storage API: its address, its errors, and the routes of all its parts (Block Storage API reference, v3).

Errors look like {"itemNotFound": {"code": 404, "message": "Volume … could not be found."}}.
"""

from collections.abc import Mapping
from typing import Any

from micronova.errors import Error, InUse, QuotaExceeded, WrongState
from micronova.http import JSON, Api, Route, encode
from micronova.options import Options
from micronova.volume.api import (
    actions,
    attachments,
    backups,
    group_types,
    groups,
    hosts,
    inputs,
    managed,
    qos,
    quotas,
    snapshots,
    transfers,
    types,
    versions,
    volumes,
)
from micronova.volume.manager import VolumeManager

PREFIX = "/volume"
FAULTS: Mapping[int, str] = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    501: "notImplemented",
    503: "serviceUnavailable",
}
"""What Cinder calls an error with a status; anything else is a computeFault."""


def api(volume: VolumeManager, options: Options) -> Api:
    """The block storage API of a cloud."""
    return Api(
        name="volume",
        prefix=PREFIX,
        routes=routes(volume, options),
        render=render,
        statuses={QuotaExceeded: 413, WrongState: 400, InUse: 400},
        microversions=versions.MICROVERSIONS,
        request_id_headers=("x-compute-request-id", "x-openstack-request-id"),
    )


def routes(volume: VolumeManager, options: Options) -> list[Route]:
    """Every route, with and without the project in its path."""
    most = options.api.max_page
    return [
        *versions.routes(),
        *volumes.routes(volume, most),
        *actions.routes(volume),
        *snapshots.routes(volume, most),
        *attachments.routes(volume, most),
        *types.routes(volume),
        *qos.routes(volume),
        *quotas.routes(volume),
        *hosts.routes(volume, most),
        *transfers.routes(volume, most),
        *backups.routes(volume, most),
        *groups.routes(volume, most),
        *group_types.routes(volume),
        *managed.routes(volume),
        *inputs.nameless("/volumes", "/snapshots", "/types", "/backups"),
    ]


def render(status: int, error: Error) -> tuple[str, bytes]:
    """An error in Cinder's shape."""
    body: dict[str, Any] = {"code": status, "message": str(error)}
    if status == 413:
        body["retryAfter"] = str(error.facts.get("retry_after", 0))
    return JSON, encode({FAULTS.get(status, "computeFault"): body})
