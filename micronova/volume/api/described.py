"""What volumes and snapshots share on the wire: name and description under two spellings each, and metadata.

{"metadata": {"key": "value"}}, and of one {"meta": {"key": "value"}}
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from micronova.context import Context
from micronova.errors import BadRequest, NotFound
from micronova.http import Answer, Request, Route
from micronova.volume.api import inputs
from micronova.volume.api.inputs import Metadata, Name, both


class Renamed(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a request may change; the newer spelling wins."""

    name: Name | UnsetType | None = UNSET
    display_name: Name | UnsetType | None = UNSET
    description: Name | UnsetType | None = UNSET
    display_description: Name | UnsetType | None = UNSET


class _Metadata(msgspec.Struct, forbid_unknown_fields=True):
    metadata: Metadata


class _Meta(msgspec.Struct, forbid_unknown_fields=True):
    meta: Metadata


class Setter(Protocol):
    """Sets metadata, beside others or (`replace`) alone; returns all of them."""

    async def __call__(self, ctx: Context, id: str, values: Metadata, /, *, replace: bool) -> dict[str, str]: ...


class MetadataApi:
    """The handlers of the metadata of a thing: how they are got, set, and lost."""

    def __init__(
        self,
        get: Callable[[Context, str], Awaitable[dict[str, str]]],
        put: Setter,
        drop: Callable[[Context, str, str], Awaitable[None]],
    ) -> None:
        self._get = get
        self._put = put
        self._drop = drop

    async def show(self, request: Request) -> Any:
        return {"metadata": await self._get(request.ctx, request.path["id"])}

    async def add(self, request: Request) -> Any:
        return await self._set(request, replace=False)

    async def replace(self, request: Request) -> Any:
        return await self._set(request, replace=True)

    async def _set(self, request: Request, *, replace: bool) -> dict[str, Any]:
        said = (await request.body(_Metadata)).metadata
        return {"metadata": await self._put(request.ctx, request.path["id"], said, replace=replace)}

    async def show_one(self, request: Request) -> Any:
        key, found = request.path["key"], await self._get(request.ctx, request.path["id"])
        if key not in found:
            raise NotFound(f"Metadata item was not found: {key}")
        return {"meta": {key: found[key]}}

    async def set_one(self, request: Request) -> Any:
        said, key = (await request.body(_Meta)).meta, request.path["key"]
        if list(said) != [key]:
            raise BadRequest(
                "Request body and URI mismatch" if len(said) == 1 else "Request body contains too many items"
            )
        await self._put(request.ctx, request.path["id"], said, replace=False)
        return {"meta": said}

    async def drop(self, request: Request) -> Any:
        await self._drop(request.ctx, request.path["id"], request.path["key"])
        return Answer(status=200)

    def routes(self, thing: str) -> list[Route]:
        """The routes of the metadata of what lies at `thing`."""
        path = f"{thing}/metadata"
        return [
            *both("GET", path, self.show),
            *both("POST", path, self.add),
            *both("PUT", path, self.replace),
            *both("GET", path + "/{key}", self.show_one),
            *both("PUT", path + "/{key}", self.set_one),
            *both("DELETE", path + "/{key}", self.drop),
        ]


def renamed(said: Renamed) -> dict[str, Any]:
    """The name and description that a row gets; those that were not said are left out."""
    found = {
        "name": said.display_name if said.name is UNSET else said.name,
        "description": said.display_description if said.description is UNSET else said.description,
    }
    return {field: inputs.stripped(value) for field, value in found.items() if value is not UNSET}
