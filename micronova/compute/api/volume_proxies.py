"""Volumes and snapshots through the compute API, as clients from before Cinder ask for them (up to microversion 2.35).

{"volume": {"id": "…", "status": "available", "size": 1, "displayName": "…", "attachments": [{}], …}}
{"snapshot": {"id": "…", "volumeId": "…", "status": "available", "size": 1, "displayName": "…", …}}
"""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from micronova.clock import iso
from micronova.compute import inputs
from micronova.compute.manager import ComputeManager
from micronova.errors import BadRequest, NotFound
from micronova.http import Answer, Request, Route
from micronova.volume import states
from micronova.volume.db import Snapshot
from micronova.volume.listing import Query
from micronova.volume.snapshots import NewSnapshot
from micronova.volume.volumes import NewVolume, VolumeView

LAST = (2, 35)
ACCEPTED = Answer(status=202)
T = TypeVar("T")
Size = Annotated[int, Meta(ge=1)] | Annotated[str, Meta(pattern=r"^[0-9]+$")]


class _Volume(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    size: Size
    display_name: str | None = None
    display_description: str | None = None
    volume_type: str | None = None
    metadata: dict[str, str] | None = None
    snapshot_id: str | None = None
    availability_zone: str | None = None


class _NewVolume(msgspec.Struct, forbid_unknown_fields=True):
    volume: _Volume


class _Snapshot(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    volume_id: str
    display_name: str | None = None
    display_description: str | None = None
    force: bool | str = False


class _NewSnapshot(msgspec.Struct, forbid_unknown_fields=True):
    snapshot: _Snapshot


class VolumeProxies:
    """The handlers: what they ask is the volume room's to do."""

    def __init__(self, compute: ComputeManager, most: int) -> None:
        self._compute = compute
        self._most = most

    # -- volumes

    async def nothing(self, request: Request) -> Any:
        """One without an id: there is none such."""
        raise NotFound("The resource could not be found.")

    async def volumes(self, request: Request) -> Any:
        views, _ = await self._compute.volumes.find(request.ctx, Query(limit=self._most))
        return {"volumes": [_show_volume(view) for view in _cut(request, views)]}

    async def volume(self, request: Request) -> Any:
        return {"volume": _show_volume(await self._compute.volumes.get(request.ctx, request.path["id"]))}

    async def create_volume(self, request: Request) -> Any:
        said = (await request.body(_NewVolume)).volume
        size_gib = int(said.size)
        if size_gib < 1:
            raise BadRequest("Invalid input for field/attribute size. Value: 0. 0 is less than the minimum of 1")
        asked = NewVolume(
            size_gib=size_gib,
            name=said.display_name,
            description=said.display_description,
            metadata=said.metadata or {},
            zone=said.availability_zone,
            type_ref=said.volume_type,
            snapshot_id=said.snapshot_id,
        )
        view = await self._compute.volumes.create(request.ctx, asked)
        location = f"{request.root}/v2.1/os-volumes/{view.row.id}"
        return Answer(body={"volume": _show_volume(view)}, headers={"Location": location})

    async def delete_volume(self, request: Request) -> Any:
        await self._compute.volumes.delete(request.ctx, request.path["id"])
        return ACCEPTED

    # -- snapshots

    async def snapshots(self, request: Request) -> Any:
        page = await self._compute.volumes.find_snapshots(request.ctx, Query(limit=self._most))
        return {"snapshots": [_show_snapshot(row) for row in _cut(request, page.rows)]}

    async def snapshot(self, request: Request) -> Any:
        return {"snapshot": _show_snapshot(await self._compute.volumes.get_snapshot(request.ctx, request.path["id"]))}

    async def create_snapshot(self, request: Request) -> Any:
        said = (await request.body(_NewSnapshot)).snapshot
        asked = NewSnapshot(
            volume_id=said.volume_id,
            name=said.display_name,
            description=said.display_description,
            force=inputs.flag(said.force, "force"),
        )
        return {"snapshot": _show_snapshot(await self._compute.volumes.create_snapshot(request.ctx, asked))}

    async def delete_snapshot(self, request: Request) -> Any:
        await self._compute.volumes.delete_snapshot(request.ctx, request.path["id"])
        return ACCEPTED


def _cut(request: Request, rows: Sequence[T]) -> Sequence[T]:
    """The rows from `offset` on, at most `limit`; other parameters mean nothing here."""
    if request.http.scope["path"].endswith("/"):
        raise NotFound("The resource could not be found.")  # one was asked for, without an id
    start = inputs.whole(request.get("offset") or "0", "offset")
    limit = request.get("limit")
    end = None if limit in (None, "") else start + inputs.whole(limit or "0", "limit")
    return rows[start:end]


def _show_volume(view: VolumeView) -> dict[str, Any]:
    row = view.row
    used = [
        {"id": row.id, "volumeId": row.id, "serverId": each.server_id, "device": each.device}
        for each in view.attachments
        if each.server_id and each.status in (states.ATTACHED, states.DETACHING)
    ]
    return {
        "id": row.id,
        "status": row.status,
        "size": row.size_gib,
        "availabilityZone": row.zone,
        "createdAt": iso(row.created_at),
        # one that nobody uses has one attachment of nothing
        "attachments": used[:1] or [{}],
        "displayName": row.name,
        "displayDescription": row.description,
        "volumeType": view.type_name or row.type_id,
        "snapshotId": row.snapshot_id,
        "metadata": row.metadata,
    }


def _show_snapshot(row: Snapshot) -> dict[str, Any]:
    return {
        "id": row.id,
        "volumeId": row.volume_id,
        "status": row.status,
        "size": row.size_gib,
        "createdAt": iso(row.created_at),
        "displayName": row.name,
        "displayDescription": row.description,
    }


def routes(compute: ComputeManager, most: int) -> list[Route]:
    """The routes, which later microversions don't have."""
    api = VolumeProxies(compute, most)
    found: list[Route] = []
    for path, rule, handlers in (
        ("/v2.1/os-volumes", "", (api.volumes, api.volume, api.create_volume, api.delete_volume)),
        ("/v2.1/os-snapshots", "snapshots:", (api.snapshots, api.snapshot, api.create_snapshot, api.delete_snapshot)),
    ):
        index, show, create, delete = handlers
        prefix = f"os_compute_api:os-volumes:{rule}"
        found += [
            Route("GET", path, index, policy=f"{prefix}list", until=LAST),
            Route("GET", f"{path}/detail", index, policy=f"{prefix}detail", until=LAST),
            Route("POST", path, create, policy=f"{prefix}create", until=LAST),
            Route("GET", path + "/{id}", show, policy=f"{prefix}show", until=LAST),
            Route("DELETE", path, api.nothing, until=LAST),
            Route("DELETE", path + "/{id}", delete, policy=f"{prefix}delete", until=LAST),
        ]
    return found
