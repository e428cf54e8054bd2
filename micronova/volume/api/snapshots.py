"""Snapshots on the wire.

{"snapshot": {"id": "…", "volume_id": "…", "status": "available", "size": 1, "metadata": {}, …}}
"""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from micronova.context import Context
from micronova.errors import BadRequest
from micronova.http import Answer, Request, Route
from micronova.volume.api import inputs
from micronova.volume.api.described import MetadataApi, Renamed, renamed
from micronova.volume.api.inputs import Filters, Metadata, Name, both
from micronova.volume.api.shows import show_snapshot
from micronova.volume.manager import VolumeManager
from micronova.volume.snapshots import NewSnapshot

ACCEPTED = Answer(status=202)
SORT = {
    "id": "id", "status": "status", "volume_size": "size_gib", "size": "size_gib", "created_at": "created_at",
    "name": "name", "display_name": "name", "volume_id": "volume_id", "updated_at": "updated_at",
    "project_id": "project_id",
}  # fmt: skip
COLUMNS = {
    "name": "name", "display_name": "name", "status": "status", "volume_id": "volume_id", "project_id": "project_id",
    "user_id": "user_id", "created_at": "created_at", "updated_at": "updated_at", "id": "id",
    "consumes_quota": "consumes_quota",
}  # fmt: skip


class _New(msgspec.Struct, kw_only=True):
    volume_id: str
    name: Name | None = None
    display_name: Name | None = None
    description: Name | None = None
    display_description: Name | None = None
    force: bool | str | UnsetType = UNSET
    metadata: Metadata | None = None


class _Create(msgspec.Struct, forbid_unknown_fields=True):
    snapshot: _New


class _Update(msgspec.Struct, forbid_unknown_fields=True):
    snapshot: Renamed


class _Status(msgspec.Struct, kw_only=True):
    status: str
    progress: str | int | None = None


class SnapshotApi:
    """The handlers."""

    def __init__(self, volume: VolumeManager, most: int) -> None:
        self._volume = volume
        self._filters = Filters(columns=COLUMNS, sort=SORT, most=most)

    async def create(self, request: Request) -> Any:
        said = (await request.body(_Create)).snapshot
        row = await self._volume.create_snapshot(
            request.ctx,
            NewSnapshot(
                volume_id=said.volume_id,
                name=inputs.stripped(said.name if said.name is not None else said.display_name),
                description=inputs.stripped(
                    said.description if said.description is not None else said.display_description
                ),
                metadata=said.metadata or {},
                force=_force(request, said.force),
            ),
        )
        return Answer(status=202, body={"snapshot": show_snapshot(request, row)})

    async def list(self, request: Request) -> Any:
        return await self._list(request, detail=False)

    async def detail(self, request: Request) -> Any:
        return await self._list(request, detail=True)

    async def _list(self, request: Request, *, detail: bool) -> dict[str, Any]:
        query = inputs.query(request, self._filters)
        text = request.get("metadata")
        if text is not None and request.version >= (3, 22):
            wanted = inputs.pairs_of(text, "metadata")
            query = msgspec.structs.replace(query, tests=(lambda row: wanted.items() <= row.metadata.items(),))
        page = await self._volume.find_snapshots(request.ctx, query)
        shown = [show_snapshot(request, row, detail=detail) for row in page.rows]
        return inputs.listed(request, "snapshots", shown, page, detail=detail)

    async def show(self, request: Request) -> Any:
        row = await self._volume.get_snapshot(request.ctx, request.path["id"])
        return {"snapshot": show_snapshot(request, row, detail=True)}

    async def update(self, request: Request) -> Any:
        values = renamed((await request.body(_Update)).snapshot)
        if not values:
            raise BadRequest("Invalid input for field/attribute snapshot. {} does not have enough properties")
        row = await self._volume.update_snapshot(request.ctx, request.path["id"], values)
        return {"snapshot": show_snapshot(request, row)}

    async def delete(self, request: Request) -> Any:
        await self._volume.delete_snapshot(request.ctx, request.path["id"])
        return ACCEPTED

    async def act(self, request: Request) -> Any:
        """Do the one action of the body."""
        body = await request.body(dict[str, Any])
        name = inputs.one_action(
            body, ("os-reset_status", "os-update_snapshot_status", "os-force_delete", "os-unmanage")
        )
        id = request.path["id"]
        if name == "os-force_delete":
            await self._volume.delete_snapshot(request.ctx, id, force=True)
            return ACCEPTED
        if name == "os-unmanage":
            raise BadRequest("Back ends here let no snapshots go.")
        said = inputs.read(name, body[name], _Status)
        rule = "volume_extension:snapshot_admin_actions:reset_status"
        if name == "os-update_snapshot_status":
            rule = "snapshot_extension:snapshot_actions:update_snapshot_status"
        progress = None if said.progress is None else str(said.progress)
        await self._volume.restate_snapshot(request.ctx, id, said.status, progress, rule)
        return ACCEPTED


def _force(request: Request, said: bool | str | UnsetType) -> bool:
    """Whether volumes in use may be taken: always from 3.66 on, where the flag may only still be true."""
    if request.version < (3, 66):
        return said is not UNSET and inputs.flag(said, "force")
    if said is not UNSET and not inputs.flag(said, "force"):
        raise BadRequest(
            "Since microversion 3.66 the 'force' flag is invalid for this request. For backward compatibility, "
            "however, when the 'force' flag is passed with a value evaluating to True, it is silently ignored."
        )
    return True


def routes(volume: VolumeManager, most: int) -> list[Route]:
    """The routes of snapshots and their metadata."""
    api = SnapshotApi(volume, most)
    one = "/snapshots/{id}"

    async def metadata(ctx: Context, id: str) -> dict[str, str]:
        return (await volume.get_snapshot(ctx, id)).metadata

    meta = MetadataApi(metadata, volume.set_snapshot_metadata, volume.unset_snapshot_metadata)
    return [
        *both("POST", "/snapshots", api.create),
        *both("GET", "/snapshots", api.list, "volume:get_all_snapshots"),
        *both("GET", "/snapshots/detail", api.detail, "volume:get_all_snapshots"),
        *both("GET", one, api.show),
        *both("PUT", one, api.update),
        *both("DELETE", one, api.delete),
        *both("POST", one + "/action", api.act),
        *meta.routes(one),
    ]
