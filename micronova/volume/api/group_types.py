"""Group types on the wire (microversion 3.11 and later).

{"group_type": {"id": "…", "name": "consistent", "is_public": true, "group_specs": {"key": "value"}, …}}
"""

from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from micronova.errors import BadRequest, NotFound
from micronova.http import Answer, Request, Route
from micronova.microversion import Version
from micronova.volume.api import inputs
from micronova.volume.api.inputs import Name, both
from micronova.volume.api.types import Specs, TypeName, specs_of
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


class _Changed(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: str | UnsetType | None = UNSET
    description: Name | UnsetType | None = UNSET
    is_public: bool | str | UnsetType = UNSET


class _Update(msgspec.Struct, forbid_unknown_fields=True):
    group_type: _Changed


class _Specs(msgspec.Struct, forbid_unknown_fields=True):
    group_specs: Specs


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
        start = next((place for place, row in enumerate(rows, 1) if row.id == order.marker), 0) if order.marker else 0
        return {"group_types": [show_type(request, row) for row in rows[start + order.offset :][: order.limit]]}

    async def create(self, request: Request) -> Any:
        said = (await request.body(_Create)).group_type
        if not said.name.strip():
            raise BadRequest("Invalid input for field/attribute name. It must not be blank.")
        values = {
            "name": said.name.strip(),
            "description": said.description,
            "is_public": inputs.flag(said.is_public, "is_public"),
            "group_specs": specs_of(said.group_specs or {}),
        }
        row = await self._types.create(request.ctx, values)
        return Answer(status=202, body={"group_type": show_type(request, row)})

    async def show(self, request: Request) -> Any:
        row = await self._types.get(request.ctx, request.path["id"])
        return {"group_type": show_type(request, row)}

    async def update(self, request: Request) -> Any:
        said = (await request.body(_Update)).group_type
        values: dict[str, Any] = {}
        if said.name is not UNSET and said.name is not None:
            if not said.name.strip():
                raise BadRequest("Group type name can not be empty.")
            values["name"] = said.name.strip()
        if said.description is not UNSET:
            values["description"] = said.description
        if said.is_public is not UNSET:
            values["is_public"] = inputs.flag(said.is_public, "is_public")
        if not values:
            raise BadRequest("Specify group type name, description or is_public.")
        row = await self._types.update(request.ctx, request.path["id"], values)
        return {"group_type": show_type(request, row)}

    async def delete(self, request: Request) -> Any:
        await self._types.delete(request.ctx, request.path["id"])
        return ACCEPTED

    # -- specs

    async def specs(self, request: Request) -> Any:
        return {"group_specs": (await self._types.get(request.ctx, request.path["id"])).group_specs}

    async def set_specs(self, request: Request) -> Any:
        said = specs_of((await request.body(_Specs)).group_specs)
        await self._types.set_specs(request.ctx, request.path["id"], said)
        return Answer(status=202, body={"group_specs": said})

    async def one_spec(self, request: Request) -> Any:
        row, key = await self._types.get(request.ctx, request.path["id"]), request.path["key"]
        if key not in row.group_specs:
            raise NotFound(f"Group Type {row.id} has no specs with key {key}.")
        return {key: row.group_specs[key]}

    async def set_spec(self, request: Request) -> Any:
        said, key = specs_of(await request.body(Specs)), request.path["key"]
        if list(said) != [key]:
            raise BadRequest("Request body and URI mismatch")
        await self._types.set_specs(request.ctx, request.path["id"], said)
        return said

    async def unset_spec(self, request: Request) -> Any:
        await self._types.unset_spec(request.ctx, request.path["id"], request.path["key"])
        return ACCEPTED


SORT = {"id": "id", "name": "name", "created_at": "created_at"}


def routes(volume: VolumeManager) -> list[Route]:
    """The routes of group types."""
    api, one, rule = GroupTypeApi(volume), "/group_types/{id}", "group:group_types"
    specs, specs_rule = f"{one}/group_specs", "group:group_types_specs"
    return [
        *both("GET", "/group_types", api.list, f"{rule}:get", since=SINCE),
        *both("POST", "/group_types", api.create, f"{rule}:create", since=SINCE),
        *both("GET", one, api.show, f"{rule}:get", since=SINCE),
        *both("PUT", one, api.update, f"{rule}:update", since=SINCE),
        *both("DELETE", one, api.delete, f"{rule}:delete", since=SINCE),
        *both("GET", specs, api.specs, f"{specs_rule}:get_all", since=SINCE),
        *both("POST", specs, api.set_specs, f"{specs_rule}:create", since=SINCE),
        *both("GET", specs + "/{key}", api.one_spec, f"{specs_rule}:get", since=SINCE),
        *both("PUT", specs + "/{key}", api.set_spec, f"{specs_rule}:update", since=SINCE),
        *both("DELETE", specs + "/{key}", api.unset_spec, f"{specs_rule}:delete", since=SINCE),
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
