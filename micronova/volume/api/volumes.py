"""Volumes on the wire: made, listed, shown, changed, removed; their metadata.

{"volume": {"id": "…", "status": "available", "size": 1, "name": "data", "attachments": [], "bootable": "false", …}}
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
from micronova.volume.api.shows import show_brief, show_volume
from micronova.volume.listing import Query
from micronova.volume.manager import VolumeManager
from micronova.volume.volumes import NewVolume

ACCEPTED = Answer(status=202)
SORT = {
    "id": "id", "status": "status", "size": "size_gib", "availability_zone": "zone", "name": "name",
    "display_name": "name", "bootable": "bootable", "created_at": "created_at", "updated_at": "updated_at",
    "host": "host", "user_id": "user_id", "project_id": "project_id",
}  # fmt: skip
COLUMNS = {
    "name": "name", "display_name": "name", "status": "status", "bootable": "bootable", "size": "size_gib",
    "availability_zone": "zone", "project_id": "project_id", "user_id": "user_id", "group_id": "group_id",
    "created_at": "created_at", "updated_at": "updated_at", "multiattach": "multiattach", "description": "description",
    "snapshot_id": "snapshot_id", "source_volid": "source_volume_id", "volume_type_id": "type_id", "id": "id",
    "migration_status": "migration_status", "consumes_quota": "consumes_quota",
}  # fmt: skip


class _New(msgspec.Struct, kw_only=True):
    size: int | str | None = None
    name: Name | None = None
    display_name: Name | None = None
    description: Name | None = None
    display_description: Name | None = None
    metadata: Metadata | None = None
    availability_zone: Name | None = None
    volume_type: Name | None = None
    imageRef: str | None = None
    image_id: str | None = None
    snapshot_id: str | None = None
    source_volid: str | None = None
    backup_id: str | None = None
    group_id: str | None = None
    consistencygroup_id: str | None = None
    multiattach: bool | str | None = None


class _Create(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    volume: _New
    hints: Any = msgspec.field(name="OS-SCH-HNT:scheduler_hints", default=None)


class _Changed(Renamed, kw_only=True, forbid_unknown_fields=True):
    metadata: Metadata | UnsetType | None = UNSET


class _Update(msgspec.Struct, forbid_unknown_fields=True):
    volume: _Changed


class VolumeApi:
    """The handlers."""

    def __init__(self, volume: VolumeManager, most: int) -> None:
        self._volume = volume
        self._filters = Filters(columns=COLUMNS, sort=SORT, most=most)

    async def create(self, request: Request) -> Any:
        asked = new_volume(request, (await request.body(_Create)).volume)
        view = await self._volume.create(request.ctx, asked)
        return Answer(status=202, body={"volume": show_volume(request, view, extended=False)})

    async def list(self, request: Request) -> Any:
        return await self._list(request, detail=False)

    async def detail(self, request: Request) -> Any:
        return await self._list(request, detail=True)

    async def _list(self, request: Request, *, detail: bool) -> dict[str, Any]:
        views, page = await self._volume.find(request.ctx, self._query(request))
        shown = [show_volume(request, view) if detail else show_brief(request, view.row) for view in views]
        return inputs.listed(request, "volumes", shown, page, detail=detail)

    def _query(self, request: Request) -> Query:
        found = inputs.query(request, self._filters)
        tests: list[Any] = []
        text = request.get("metadata")
        if text is not None:
            wanted = inputs.pairs_of(text, "metadata")
            tests.append(lambda row: wanted.items() <= row.metadata.items())
        text = request.get("glance_metadata")
        if text is not None and request.version >= (3, 4):
            of_image = inputs.pairs_of(text, "glance_metadata")
            tests.append(lambda row: of_image.items() <= (row.image_metadata or {}).items())
        where = dict(found.where)
        host = request.get("host")
        if host is not None and request.ctx.is_admin:
            name, _, backend = host.partition("#")[0].partition("@")
            where |= {"host": name, **({"backend": backend} if backend else {})}
        return msgspec.structs.replace(found, where=where, tests=tuple(tests))

    async def show(self, request: Request) -> Any:
        return {"volume": show_volume(request, await self._volume.get(request.ctx, request.path["id"]))}

    async def update(self, request: Request) -> Any:
        said = (await request.body(_Update)).volume
        values = renamed(said)
        if said.metadata is not UNSET and said.metadata is not None:
            values["metadata"] = said.metadata
        if not values:
            raise BadRequest("Invalid input for field/attribute volume. Value: {}. {} does not have enough properties")
        view = await self._volume.update(request.ctx, request.path["id"], values)
        return {"volume": show_volume(request, view, extended=False)}

    async def delete(self, request: Request) -> Any:
        cascade = inputs.query_flag(request, "cascade")
        force = request.version >= (3, 23) and inputs.query_flag(request, "force")
        await self._volume.delete(request.ctx, request.path["id"], cascade=cascade, force=force)
        return ACCEPTED

    async def summary(self, request: Request) -> Any:
        every = inputs.query_flag(request, "all_tenants")
        count, gib, metadata = await self._volume.summary(request.ctx, all_projects=every)
        shown: dict[str, Any] = {"total_size": gib, "total_count": count}
        if request.version >= (3, 36):
            shown["metadata"] = metadata
        return {"volume-summary": shown}


def new_volume(request: Request, said: _New) -> NewVolume:
    """What a body asks for. Raises BadRequest."""
    name = said.name if said.name is not None else said.display_name
    text = said.description if said.description is not None else said.display_description
    group = said.group_id if request.version >= (3, 13) else None
    return NewVolume(
        size_gib=None if said.size is None else inputs.whole(said.size, "size", least=1),
        name=inputs.stripped(name),
        description=inputs.stripped(text),
        metadata=said.metadata or {},
        zone=said.availability_zone or None,
        type_ref=said.volume_type or None,
        image_id=said.imageRef or said.image_id or None,
        snapshot_id=said.snapshot_id or None,
        source_volume_id=said.source_volid or None,
        backup_id=said.backup_id or None if request.version >= (3, 47) else None,
        group_id=group or None,
        multiattach=said.multiattach is not None and inputs.flag(said.multiattach, "multiattach"),
    )


def routes(volume: VolumeManager, most: int) -> list[Route]:
    """The routes of volumes and their metadata."""
    api = VolumeApi(volume, most)
    one = "/volumes/{id}"

    async def metadata(ctx: Context, id: str) -> dict[str, str]:
        return (await volume.get(ctx, id)).row.metadata

    return [
        *both("POST", "/volumes", api.create),
        *both("GET", "/volumes", api.list, "volume:get_all"),
        *both("GET", "/volumes/detail", api.detail, "volume:get_all"),
        *both("GET", "/volumes/summary", api.summary, since=(3, 12)),
        *both("GET", one, api.show),
        *both("PUT", one, api.update),
        *both("DELETE", one, api.delete),
        *MetadataApi(metadata, volume.set_metadata, volume.unset_metadata).routes(one),
    ]
