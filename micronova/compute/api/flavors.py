"""Flavors on the wire: list, show, create, describe, delete.

{"flavor": {"id": "1", "name": "m1.tiny", "vcpus": 1, "ram": 128, "disk": 1, "swap": 0,
            "OS-FLV-EXT-DATA:ephemeral": 0, "OS-FLV-DISABLED:disabled": false, "rxtx_factor": 1.0,
            "os-flavor-access:is_public": true, "description": null, "extra_specs": {}, "links": [...]}}
"""

import re
from typing import Any

import msgspec

from micronova.compute import inputs
from micronova.compute.db import Flavor
from micronova.compute.flavors import SORT_KEYS, CreateFlavor, FlavorFilter, Flavors
from micronova.compute.inputs import Name, Text
from micronova.errors import BadRequest
from micronova.http import Answer, Request, Route

_MANAGE = "os_compute_api:os-flavor-manage:"
_PATTERN = r"\A(?! )[a-zA-Z0-9. _-]+(?<! )\Z"
MAX_FACTOR = 3.40282e38


class _Flavor(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: Name
    ram: int | str
    vcpus: int | str
    disk: int | str
    id: int | float | str | None = None
    ephemeral: int | str = msgspec.field(name="OS-FLV-EXT-DATA:ephemeral", default=0)
    swap: int | str = 0
    rxtx_factor: float | str = 1.0
    is_public: bool | str = msgspec.field(name="os-flavor-access:is_public", default=True)
    description: Text | msgspec.UnsetType | None = msgspec.UNSET


class _Create(msgspec.Struct, forbid_unknown_fields=True):
    flavor: _Flavor


class _Description(msgspec.Struct, forbid_unknown_fields=True):
    description: Text | None


class _Update(msgspec.Struct, forbid_unknown_fields=True):
    flavor: _Description


class FlavorApi:
    """The handlers."""

    def __init__(self, flavors: Flavors, most: int) -> None:
        self._flavors = flavors
        self._most = most

    async def list(self, request: Request) -> Any:
        return await self._page(request, "/v2.1/flavors", show_short)

    async def detail(self, request: Request) -> Any:
        return await self._page(request, "/v2.1/flavors/detail", show_flavor)

    async def _page(self, request: Request, path: str, show: Any) -> Any:
        inputs.known_query(request, "limit", "marker", "is_public", "minRam", "minDisk", "sort_key", "sort_dir")
        rows = await self._flavors.list(request.ctx, _filter(request))
        chosen, more = inputs.page(rows, request, self._most, lambda row: row.flavorid)
        body: dict[str, Any] = {"flavors": [show(request, row) for row in chosen]}
        if more:
            body["flavors_links"] = inputs.next_link(request, path, chosen[-1].flavorid)
        return body

    async def show(self, request: Request) -> Any:
        row = await self._flavors.get(request.ctx, request.path["id"])
        return {"flavor": show_flavor(request, row)}

    async def create(self, request: Request) -> Any:
        said = (await request.body(_Create)).flavor
        if said.description is not msgspec.UNSET and request.version < (2, 55):
            raise BadRequest("Additional properties are not allowed ('description' was unexpected)")
        row = await self._flavors.create(request.ctx, _read(said))
        return {"flavor": show_flavor(request, row)}

    async def update(self, request: Request) -> Any:
        said = (await request.body(_Update)).flavor
        row = await self._flavors.describe(request.ctx, request.path["id"], said.description)
        return {"flavor": show_flavor(request, row)}

    async def delete(self, request: Request) -> Any:
        await self._flavors.delete(request.ctx, request.path["id"])
        return Answer(status=202)


def routes(flavors: Flavors, most: int = 1000) -> list[Route]:
    """The routes of flavors; `most` is the length of a page."""
    api = FlavorApi(flavors, most)
    return [
        Route("GET", "/v2.1/flavors", api.list),
        Route("POST", "/v2.1/flavors", api.create, f"{_MANAGE}create"),
        Route("GET", "/v2.1/flavors/detail", api.detail),
        Route("GET", "/v2.1/flavors/{id}", api.show),
        Route("PUT", "/v2.1/flavors/{id}", api.update, f"{_MANAGE}update", since=(2, 55)),
        Route("DELETE", "/v2.1/flavors/{id}", api.delete, f"{_MANAGE}delete"),
    ]


def show_short(request: Request, row: Flavor) -> dict[str, Any]:
    """A flavor in a short list."""
    shown: dict[str, Any] = {
        "id": row.flavorid,
        "name": row.name,
        "links": inputs.links(request, f"/flavors/{row.flavorid}"),
    }
    if request.version >= (2, 55):
        shown["description"] = row.description
    return shown


def show_flavor(request: Request, row: Flavor) -> dict[str, Any]:
    """A flavor with all its facts."""
    shown = {
        **show_short(request, row),
        "ram": row.ram_mib,
        "vcpus": row.vcpus,
        "disk": row.disk_gib,
        "swap": row.swap_mib if row.swap_mib or request.version >= (2, 75) else "",
        "OS-FLV-EXT-DATA:ephemeral": row.ephemeral_gib,
        "OS-FLV-DISABLED:disabled": row.disabled,
        "os-flavor-access:is_public": row.is_public,
        "rxtx_factor": row.rxtx_factor,
    }
    if request.version >= (2, 61):
        shown["extra_specs"] = row.extra_specs
    return shown


def _read(said: _Flavor) -> CreateFlavor:
    return CreateFlavor(
        name=said.name,
        flavorid=_flavorid(said.id),
        vcpus=inputs.whole(said.vcpus, "vcpus", least=1),
        ram_mib=inputs.whole(said.ram, "ram", least=1),
        disk_gib=inputs.whole(said.disk, "disk"),
        ephemeral_gib=inputs.whole(said.ephemeral, "OS-FLV-EXT-DATA:ephemeral"),
        swap_mib=inputs.whole(said.swap, "swap"),
        rxtx_factor=_factor(said.rxtx_factor),
        is_public=inputs.flag(said.is_public, "os-flavor-access:is_public"),
        description=None if said.description is msgspec.UNSET else said.description,
    )


def _flavorid(value: int | float | str | None) -> str:
    if value is None or value == "auto":
        return ""
    text = str(value)
    if not 1 <= len(text) <= 255 or re.search(_PATTERN, text) is None:
        raise BadRequest(f"Invalid input for field/attribute id. Value: {text}. It may have letters, digits, . _ -")
    return text


def _factor(value: float | str) -> float:
    try:
        factor = float(value)
    except ValueError:
        factor = 0.0
    if not 0 < factor <= MAX_FACTOR:
        raise BadRequest(f"Invalid input for field/attribute rxtx_factor. Value: {value}. It must be above 0.")
    return factor


def _filter(request: Request) -> FlavorFilter:
    sort_key, sort_dir = request.get("sort_key") or "flavorid", request.get("sort_dir") or "asc"
    if sort_key not in SORT_KEYS:
        raise BadRequest(f"Invalid input for query parameters sort_key. Value: {sort_key}.")
    if sort_dir not in ("asc", "desc"):
        raise BadRequest(f"Invalid input for query parameters sort_dir. Value: {sort_dir}.")
    return FlavorFilter(
        is_public=_is_public(request),
        min_ram_mib=_at_least(request, "minRam", "min_ram"),
        min_disk_gib=_at_least(request, "minDisk", "min_disk"),
        sort_key=sort_key,
        ascending=sort_dir == "asc",
    )


def _is_public(request: Request) -> bool | None:
    text = request.get("is_public")
    if text is None or not request.ctx.is_admin:
        return True
    if text.lower() == "none":
        return None
    if text.lower() in ("true", "t", "1", "yes", "y", "on"):
        return True
    if text.lower() in ("false", "f", "0", "no", "n", "off"):
        return False
    raise BadRequest(f"Invalid is_public filter [{text}]")


def _at_least(request: Request, name: str, told: str) -> int:
    text = request.get(name)
    if text is None:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise BadRequest(f"Invalid {told} filter [{text}]")
    return int(text)
