"""Group types on the wire (microversion 3.11 and later).

{"group_type": {"id": "…", "name": "consistent", "is_public": true, "group_specs": {"key": "value"}, …}}
"""

from typing import Any

import msgspec

from micronova.http import Answer, Request, Route
from micronova.microversion import Version
from micronova.volume.api import inputs
from micronova.volume.api.inputs import Name, both
from micronova.volume.api.kinds import Changed, SpecApi, Specs, TypeName, changed_values, new_values, page, specs_of
from micronova.volume.db import GroupType
from micronova.volume.manager import VolumeManager

ACCEPTED = Answer(status=202)
SINCE: Version = (3, 11)


class _New(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: TypeName
    description: Name | None = None
    is_public: bool | str = True
    group_specs: Specs | None = None


class _Create(msgspec.Struct, forbid_unknown_fields=True):
    group_type: _New


class _Update(msgspec.Struct, forbid_unknown_fields=True):
    group_type: Changed


class GroupTypeApi:
    """The handlers."""

    def __init__(self, volume: VolumeManager) -> None:
        self._types = volume.group_types

    async def list(self, request: Request) -> Any:
        rows = await self._types.find(request.ctx)
        text = request.get("is_public")
        if text not in (None, "None", "none") and request.ctx.is_admin:
            public = inputs.flag(text, "is_public")
            rows = [row for row in rows if row.is_public == public]
        order = inputs.query(request, inputs.Filters(columns={}, sort=SORT))
        for column, ascending in reversed(order.order):
            rows.sort(key=lambda row, column=column: getattr(row, column) or "", reverse=not ascending)  # type: ignore[misc]
        shown = page(rows, order.marker, order.offset, order.limit)
        return {"group_types": [show_type(request, row) for row in shown]}

    async def create(self, request: Request) -> Any:
        said = (await request.body(_Create)).group_type
        values = new_values(said.name, said.description, said.is_public)
        row = await self._types.create(request.ctx, {**values, "group_specs": specs_of(said.group_specs or {})})
        return Answer(status=202, body={"group_type": show_type(request, row)})

    async def show(self, request: Request) -> Any:
        row = await self._types.get(request.ctx, request.path["id"])
        return {"group_type": show_type(request, row)}

    async def update(self, request: Request) -> Any:
        values = changed_values((await request.body(_Update)).group_type, "Group type")
        row = await self._types.update(request.ctx, request.path["id"], values)
        return {"group_type": show_type(request, row)}

    async def delete(self, request: Request) -> Any:
        await self._types.delete(request.ctx, request.path["id"])
        return ACCEPTED


SORT = {"id": "id", "name": "name", "created_at": "created_at"}


def routes(volume: VolumeManager) -> list[Route]:
    """The routes of group types."""
    api, one, rule = GroupTypeApi(volume), "/group_types/{id}", "group:group_types"
    spec = SpecApi(volume.group_types, "group_specs", "Group Type", status=202)
    specs, specs_rule = f"{one}/group_specs", "group:group_types_specs"
    return [
        *both("GET", "/group_types", api.list, f"{rule}:get", since=SINCE),
        *both("POST", "/group_types", api.create, f"{rule}:create", since=SINCE),
        *both("GET", one, api.show, f"{rule}:get", since=SINCE),
        *both("PUT", one, api.update, f"{rule}:update", since=SINCE),
        *both("DELETE", one, api.delete, f"{rule}:delete", since=SINCE),
        *both("GET", specs, spec.list, f"{specs_rule}:get_all", since=SINCE),
        *both("POST", specs, spec.create, f"{specs_rule}:create", since=SINCE),
        *both("GET", specs + "/{key}", spec.show, f"{specs_rule}:get", since=SINCE),
        *both("PUT", specs + "/{key}", spec.update, f"{specs_rule}:update", since=SINCE),
        *both("DELETE", specs + "/{key}", spec.delete, f"{specs_rule}:delete", since=SINCE),
    ]


def show_type(request: Request, row: GroupType) -> dict[str, Any]:
    """A group type; its specs are for administrators."""
    shown: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "is_public": row.is_public,
    }
    if request.ctx.is_admin:
        shown["group_specs"] = row.group_specs
    return shown
