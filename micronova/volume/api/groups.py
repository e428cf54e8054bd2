"""Groups, group snapshots and group types on the wire.

{"group": {"id": "…", "name": "db", "status": "available", "group_type": "…", "volume_types": ["…"], …}}
"""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from micronova.errors import BadRequest
from micronova.http import Answer, Request, Route
from micronova.microversion import Version
from micronova.volume.api import inputs
from micronova.volume.api.inputs import Filters, Name, both
from micronova.volume.db import GroupSnapshot
from micronova.volume.groups import GroupView, NewGroup
from micronova.volume.listing import Query
from micronova.volume.manager import VolumeManager

ACCEPTED = Answer(status=202)
GROUPS: Version = (3, 13)
SNAPSHOTS: Version = (3, 14)
FILTERS = {"name": "name", "status": "status", "id": "id", "group_type": "group_type_id", "group_id": "group_id"}
SORT = {"id": "id", "name": "name", "status": "status", "created_at": "created_at", "group_type": "group_type_id"}


class _New(msgspec.Struct, kw_only=True):
    group_type: str
    volume_types: list[str]
    name: Name | None = None
    description: Name | None = None
    availability_zone: Name | None = None


class _Create(msgspec.Struct, forbid_unknown_fields=True):
    group: _New


class _Changed(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: Name | UnsetType | None = UNSET
    description: Name | UnsetType | None = UNSET
    add_volumes: str | None = None
    remove_volumes: str | None = None


class _Update(msgspec.Struct, forbid_unknown_fields=True):
    group: _Changed


class _Delete(msgspec.Struct, forbid_unknown_fields=True):
    delete_volumes: bool | str = msgspec.field(name="delete-volumes", default=False)


class _FromSource(msgspec.Struct, kw_only=True):
    name: Name | None = None
    description: Name | None = None
    group_snapshot_id: str | None = None
    source_group_id: str | None = None


class _Status(msgspec.Struct, forbid_unknown_fields=True):
    status: str


class _NewShot(msgspec.Struct, kw_only=True):
    group_id: str
    name: Name | None = None
    description: Name | None = None


class _CreateShot(msgspec.Struct, forbid_unknown_fields=True):
    group_snapshot: _NewShot


class GroupApi:
    """The handlers of groups and group snapshots."""

    def __init__(self, volume: VolumeManager, most: int) -> None:
        self._volume = volume
        self._groups = Filters(columns=_without("group_id"), sort=SORT, most=most)
        self._shots = Filters(columns=_without("group_type"), sort=SORT, most=most)

    async def create(self, request: Request) -> Any:
        said = (await request.body(_Create)).group
        new = NewGroup(
            name=inputs.stripped(said.name),
            description=inputs.stripped(said.description),
            group_type=said.group_type,
            volume_types=tuple(said.volume_types),
            zone=said.availability_zone,
        )
        row = await self._volume.create_group(request.ctx, new)
        return Answer(status=202, body={"group": {"id": row.id, "name": row.name}})

    async def list(self, request: Request) -> Any:
        views, page = await self._volume.find_groups(request.ctx, self._query(request))
        body: dict[str, Any] = {"groups": [{"id": view.row.id, "name": view.row.name} for view in views]}
        return body | (inputs.next_link(request, "group", "/groups", page.rows) if page.more else {})

    async def detail(self, request: Request) -> Any:
        views, page = await self._volume.find_groups(request.ctx, self._query(request))
        body: dict[str, Any] = {"groups": [_show(request, view) for view in views]}
        return body | (inputs.next_link(request, "group", "/groups/detail", page.rows) if page.more else {})

    def _query(self, request: Request) -> Query:
        return inputs.query(request, self._groups)

    async def show(self, request: Request) -> Any:
        view = await self._volume.get_group(request.ctx, request.path["id"])
        return {"group": _show(request, view)}

    async def update(self, request: Request) -> Any:
        said = (await request.body(_Update)).group
        values: dict[str, Any] = {}
        if said.name is not UNSET and said.name is not None:
            values["name"] = said.name
        if said.description is not UNSET and said.description is not None:
            values["description"] = said.description
        add, remove = _ids(said.add_volumes), _ids(said.remove_volumes)
        if not values and not add and not remove:
            raise BadRequest(
                "Name, description, add_volumes, and remove_volumes can not be all empty in the request body."
            )
        await self._volume.update_group(request.ctx, request.path["id"], values, add, remove)
        return ACCEPTED

    async def act(self, request: Request) -> Any:
        """Do the one action of the body."""
        body = await request.body(dict[str, Any])
        name = inputs.one_action(body, ("delete", "reset_status"))
        if name == "delete":
            asked = inputs.read(name, body[name], _Delete)
            flag = inputs.flag(asked.delete_volumes, "delete-volumes")
            await self._volume.delete_group(request.ctx, request.path["id"], with_volumes=flag)
        else:
            status = inputs.read(name, body[name], _Status).status
            await self._volume.reset_group(request.ctx, request.path["id"], status)
        return ACCEPTED

    async def from_source(self, request: Request) -> Any:
        """POST /groups/action: a group like another, or like a group snapshot."""
        body = await request.body(dict[str, Any])
        name = inputs.one_action(body, ("create-from-src",))
        said = inputs.read(name, body[name], _FromSource)
        if (said.group_snapshot_id is None) == (said.source_group_id is None):
            raise BadRequest("Either 'group_snapshot_id' or 'source_group_id' must be provided to create group.")
        new = NewGroup(
            name=said.name,
            description=said.description,
            group_snapshot_id=said.group_snapshot_id,
            source_group_id=said.source_group_id,
        )
        row = await self._volume.create_group(request.ctx, new)
        return Answer(status=202, body={"group": {"id": row.id, "name": row.name}})

    # -- group snapshots

    async def create_shot(self, request: Request) -> Any:
        said = (await request.body(_CreateShot)).group_snapshot
        row = await self._volume.create_group_snapshot(
            request.ctx, said.group_id, inputs.stripped(said.name), inputs.stripped(said.description)
        )
        shown = {"id": row.id, "name": row.name, "group_type_id": row.group_type_id}
        return Answer(status=202, body={"group_snapshot": shown})

    async def shots(self, request: Request) -> Any:
        page = await self._volume.find_group_snapshots(request.ctx, inputs.query(request, self._shots))
        return {"group_snapshots": [{"id": row.id, "name": row.name} for row in page.rows]}

    async def shots_detail(self, request: Request) -> Any:
        page = await self._volume.find_group_snapshots(request.ctx, inputs.query(request, self._shots))
        return {"group_snapshots": [_show_shot(request, row) for row in page.rows]}

    async def shot(self, request: Request) -> Any:
        row = await self._volume.get_group_snapshot(request.ctx, request.path["id"])
        return {"group_snapshot": _show_shot(request, row)}

    async def delete_shot(self, request: Request) -> Any:
        await self._volume.delete_group_snapshot(request.ctx, request.path["id"])
        return ACCEPTED

    async def act_on_shot(self, request: Request) -> Any:
        """The one action there is: reset_status."""
        body = await request.body(dict[str, Any])
        name = inputs.one_action(body, ("reset_status",))
        status = inputs.read(name, body[name], _Status).status
        await self._volume.reset_group_snapshot(request.ctx, request.path["id"], status)
        return ACCEPTED


def routes(volume: VolumeManager, most: int) -> list[Route]:
    """The routes of groups and group snapshots."""
    api, one, shot = GroupApi(volume, most), "/groups/{id}", "/group_snapshots/{id}"
    return [
        *both("POST", "/groups", api.create, since=GROUPS),
        *both("POST", "/groups/action", api.from_source, since=SNAPSHOTS),
        *both("GET", "/groups", api.list, "group:get_all", since=GROUPS),
        *both("GET", "/groups/detail", api.detail, "group:get_all", since=GROUPS),
        *both("GET", one, api.show, since=GROUPS),
        *both("PUT", one, api.update, since=GROUPS),
        *both("POST", f"{one}/action", api.act, since=GROUPS),
        *both("POST", "/group_snapshots", api.create_shot, since=SNAPSHOTS),
        *both("GET", "/group_snapshots", api.shots, "group:get_all_group_snapshots", since=SNAPSHOTS),
        *both("GET", "/group_snapshots/detail", api.shots_detail, "group:get_all_group_snapshots", since=SNAPSHOTS),
        *both("GET", shot, api.shot, since=SNAPSHOTS),
        *both("DELETE", shot, api.delete_shot, since=SNAPSHOTS),
        *both("POST", f"{shot}/action", api.act_on_shot, since=(3, 19)),
    ]


def _show(request: Request, view: GroupView) -> dict[str, Any]:
    row = view.row
    shown: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "status": row.status,
        "availability_zone": row.zone,
        "created_at": inputs.bare(row.created_at),
        "group_type": row.group_type_id,
        "volume_types": list(row.volume_type_ids),
    }
    if request.version >= SNAPSHOTS:
        shown |= {"group_snapshot_id": row.group_snapshot_id, "source_group_id": row.source_group_id}
    if request.version >= (3, 25) and inputs.query_flag(request, "list_volume"):
        shown["volumes"] = list(view.volumes)
    if request.version >= (3, 38):
        shown["replication_status"] = None
    if request.version >= (3, 58) and request.ctx.is_admin:
        shown["project_id"] = row.project_id
    return shown


def _show_shot(request: Request, row: GroupSnapshot) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "group_id": row.group_id,
        "group_type_id": row.group_type_id,
        "status": row.status,
        "created_at": inputs.bare(row.created_at),
    }
    if request.version >= (3, 58) and request.ctx.is_admin:
        shown["project_id"] = row.project_id
    return shown


def _ids(text: str | None) -> list[str]:
    return [one.strip() for one in (text or "").split(",") if one.strip()]


def _without(name: str) -> dict[str, str]:
    return {key: column for key, column in FILTERS.items() if key != name}
