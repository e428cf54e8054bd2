"""Backups on the wire.

{"backup": {"id": "…", "volume_id": "…", "status": "available", "size": 1, "is_incremental": false, …}}
"""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from micronova.errors import BadRequest
from micronova.http import Answer, Request, Route
from micronova.volume.api import inputs
from micronova.volume.api.inputs import Filters, Metadata, Name, both
from micronova.volume.backups import BackupView, NewBackup
from micronova.volume.db import Backup
from micronova.volume.manager import VolumeManager

ACCEPTED = Answer(status=202)
COLUMNS = {
    "name": "name", "status": "status", "volume_id": "volume_id", "project_id": "project_id", "id": "id",
    "size": "size_gib", "created_at": "created_at", "updated_at": "updated_at",
}  # fmt: skip
SORT = {
    "id": "id", "name": "name", "display_name": "name", "status": "status", "created_at": "created_at",
    "updated_at": "updated_at", "size": "size_gib", "volume_id": "volume_id", "project_id": "project_id",
}  # fmt: skip


class _New(msgspec.Struct, kw_only=True):
    volume_id: str
    name: Name | None = None
    description: Name | None = None
    container: Name | None = None
    incremental: bool | str = False
    force: bool | str = False
    snapshot_id: str | None = None
    metadata: Metadata | None = None
    availability_zone: Name | None = None


class _Create(msgspec.Struct, forbid_unknown_fields=True):
    backup: _New


class _Changed(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: Name | UnsetType | None = UNSET
    description: Name | UnsetType | None = UNSET
    metadata: Metadata | UnsetType = UNSET


class _Update(msgspec.Struct, forbid_unknown_fields=True):
    backup: _Changed


class _Target(msgspec.Struct, kw_only=True):
    volume_id: str | None = None
    name: Name | None = None


class _Restore(msgspec.Struct, forbid_unknown_fields=True):
    restore: _Target


class _Record(msgspec.Struct, kw_only=True):
    backup_service: str
    backup_url: str


class _Import(msgspec.Struct):
    record: _Record = msgspec.field(name="backup-record")


class _Status(msgspec.Struct):
    status: str


class BackupApi:
    """The handlers."""

    def __init__(self, volume: VolumeManager, most: int) -> None:
        self._volume = volume
        self._filters = Filters(columns=COLUMNS, sort=SORT, most=most)

    async def create(self, request: Request) -> Any:
        said = (await request.body(_Create)).backup
        asked = NewBackup(
            volume_id=said.volume_id,
            name=inputs.stripped(said.name),
            description=inputs.stripped(said.description),
            container=said.container,
            incremental=inputs.flag(said.incremental, "incremental"),
            force=inputs.flag(said.force, "force"),
            snapshot_id=said.snapshot_id,
            metadata=(said.metadata or {}) if request.version >= (3, 43) else {},
            zone=said.availability_zone if request.version >= (3, 51) else None,
        )
        row = await self._volume.back_up(request.ctx, asked)
        return Answer(status=202, body={"backup": _brief(request, row)})

    async def list(self, request: Request) -> Any:
        return await self._list(request, detail=False)

    async def detail(self, request: Request) -> Any:
        return await self._list(request, detail=True)

    async def _list(self, request: Request, *, detail: bool) -> dict[str, Any]:
        views, page = await self._volume.find_backups(request.ctx, inputs.query(request, self._filters))
        shown = [show_backup(request, view) if detail else _brief(request, view.row) for view in views]
        return inputs.listed(request, "backups", shown, page, detail=detail)

    async def show(self, request: Request) -> Any:
        return {"backup": show_backup(request, await self._volume.get_backup(request.ctx, request.path["id"]))}

    async def update(self, request: Request) -> Any:
        said = (await request.body(_Update)).backup
        values: dict[str, Any] = {}
        if said.name is not UNSET:
            values["name"] = inputs.stripped(said.name)
        if said.description is not UNSET:
            values["description"] = inputs.stripped(said.description)
        if said.metadata is not UNSET and request.version >= (3, 43):
            values["metadata"] = said.metadata
        if not values:
            raise BadRequest("Invalid input for field/attribute backup. {} does not have enough properties")
        return {"backup": _brief(request, await self._volume.update_backup(request.ctx, request.path["id"], values))}

    async def delete(self, request: Request) -> Any:
        await self._volume.delete_backup(request.ctx, request.path["id"])
        return ACCEPTED

    async def restore(self, request: Request) -> Any:
        said = (await request.body(_Restore)).restore
        id = request.path["id"]
        row = await self._volume.restore(request.ctx, id, said.volume_id, said.name)
        shown = {"backup_id": id, "volume_id": row.id, "volume_name": row.name or ""}
        return Answer(status=202, body={"restore": shown})

    async def act(self, request: Request) -> Any:
        """Do the one action of the body."""
        body = await request.body(dict[str, Any])
        name = inputs.one_action(body, ("os-reset_status", "os-force_delete"))
        if name == "os-force_delete":
            await self._volume.delete_backup(request.ctx, request.path["id"], force=True)
        else:
            said = inputs.read(name, body[name], _Status)
            await self._volume.reset_backup(request.ctx, request.path["id"], said.status)
        return ACCEPTED

    async def export_record(self, request: Request) -> Any:
        service, text = await self._volume.export_record(request.ctx, request.path["id"])
        return {"backup-record": {"backup_service": service, "backup_url": text}}

    async def import_record(self, request: Request) -> Any:
        said = (await request.body(_Import)).record
        row = await self._volume.import_record(request.ctx, said.backup_service, said.backup_url)
        shown = {"id": row.id, "name": row.name, "links": inputs.links(request, f"/backups/{row.id}")}
        return Answer(status=201, body={"backup": shown})


def routes(volume: VolumeManager, most: int) -> list[Route]:
    """The routes of backups."""
    api, one = BackupApi(volume, most), "/backups/{id}"
    return [
        *both("POST", "/backups", api.create),
        *both("GET", "/backups", api.list, "backup:get_all"),
        *both("GET", "/backups/detail", api.detail, "backup:get_all"),
        *both("POST", "/backups/import_record", api.import_record, "backup:backup-import"),
        *both("GET", one, api.show),
        *both("PUT", one, api.update, since=(3, 9)),
        *both("DELETE", one, api.delete),
        *both("POST", f"{one}/restore", api.restore),
        *both("POST", f"{one}/action", api.act),
        *both("GET", f"{one}/export_record", api.export_record, "backup:export-import"),
    ]


def _brief(request: Request, row: Backup) -> dict[str, Any]:
    shown: dict[str, Any] = {"id": row.id, "name": row.name, "links": inputs.links(request, f"/backups/{row.id}")}
    if request.version >= (3, 43):
        shown["metadata"] = row.metadata
    return shown


def show_backup(request: Request, view: BackupView) -> dict[str, Any]:
    """A backup with its facts."""
    row = view.row
    shown = {
        **_brief(request, row),
        "status": row.status,
        "size": row.size_gib,
        "object_count": row.object_count,
        "availability_zone": row.zone,
        "container": row.container,
        "created_at": inputs.bare(row.created_at),
        "updated_at": inputs.bare(row.updated_at),
        "description": row.description,
        "fail_reason": row.fail_reason,
        "volume_id": row.volume_id,
        "is_incremental": row.parent_id is not None,
        "has_dependent_backups": view.needed,
        "snapshot_id": row.snapshot_id,
        "data_timestamp": inputs.bare(row.data_timestamp),
    }
    if request.version >= (3, 18) and request.ctx.is_admin:
        shown["os-backup-project-attr:project_id"] = row.project_id
    if request.version >= (3, 56):
        shown["user_id"] = row.user_id
    return shown
