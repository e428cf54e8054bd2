"""Volumes that a back end has already, on the wire (os-volume-manage, manageable_volumes).

{"volume": {"host": "h1@file#file", "ref": {"source-name": "old"}, "name": "mine", "volume_type": "fast", …}}
"""

from typing import Any

import msgspec

from micronova.errors import BadRequest
from micronova.http import Answer, Request, Route
from micronova.volume.api import inputs
from micronova.volume.api.inputs import Metadata, Name, both
from micronova.volume.api.shows import show_volume
from micronova.volume.managed import Adoption, Manageable
from micronova.volume.manager import VolumeManager


class _Manage(msgspec.Struct, kw_only=True):
    host: str | None = None
    ref: dict[str, Any] | str
    name: Name | None = None
    description: Name | None = None
    volume_type: Name | None = None
    availability_zone: Name | None = None
    metadata: Metadata | None = None
    bootable: bool | str = False


class _Body(msgspec.Struct):
    volume: _Manage


class ManageApi:
    """The handlers."""

    def __init__(self, volume: VolumeManager) -> None:
        self._volume = volume

    async def manage(self, request: Request) -> Any:
        said = (await request.body(_Body)).volume
        source = said.ref if isinstance(said.ref, str) else said.ref.get("source-name") or said.ref.get("source-id")
        if not said.host or not isinstance(source, str) or not source:
            raise BadRequest("Invalid input received: 'host' and 'ref' with a 'source-name' are required.")
        asked = Adoption(
            pool=said.host,
            source_name=source,
            name=inputs.stripped(said.name),
            description=inputs.stripped(said.description),
            metadata=said.metadata or {},
            type_ref=said.volume_type,
            bootable=inputs.flag(said.bootable, "bootable"),
        )
        row = await self._volume.adopt(request.ctx, asked)
        view = await self._volume.get(request.ctx, row.id)
        return Answer(status=202, body={"volume": show_volume(request, view, extended=False)})

    async def manageable(self, request: Request) -> Any:
        return {"manageable-volumes": [_brief(one) for one in await self._find(request)]}

    async def detail(self, request: Request) -> Any:
        found = await self._find(request)
        shown = [
            {
                **_brief(one),
                "cinder_id": one.volume_id,
                "reason_not_safe": "already managed" if one.volume_id else None,
                "extra_info": None,
            }
            for one in found
        ]
        return {"manageable-volumes": shown}

    async def _find(self, request: Request) -> list[Manageable]:
        pool = request.get("host")
        if not pool:
            raise BadRequest("A host or cluster name is required.")
        return await self._volume.manageable(request.ctx, pool)


def routes(volume: VolumeManager) -> list[Route]:
    """The routes of manageable volumes."""
    api = ManageApi(volume)
    manage, listed = "volume_extension:volume_manage", "volume_extension:list_manageable"
    return [
        *both("POST", "/os-volume-manage", api.manage, manage),
        *both("GET", "/os-volume-manage", api.manageable, listed),
        *both("GET", "/os-volume-manage/detail", api.detail, listed),
        *both("POST", "/manageable_volumes", api.manage, manage, since=(3, 8)),
        *both("GET", "/manageable_volumes", api.manageable, listed, since=(3, 8)),
        *both("GET", "/manageable_volumes/detail", api.detail, listed, since=(3, 8)),
    ]


def _brief(one: Manageable) -> dict[str, Any]:
    return {"reference": {"source-name": one.name}, "size": one.size_gib, "safe_to_manage": one.volume_id is None}
