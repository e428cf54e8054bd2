"""Attachments on the wire (microversion 3.27 and later).

{"attachment": {"id": "…", "status": "attaching", "instance": "…", "volume_id": "…", "connection_info": {…}, …}}
"""

from typing import Any

import msgspec

from micronova.errors import BadRequest
from micronova.http import Answer, Request, Route
from micronova.microversion import Version
from micronova.volume.api import inputs
from micronova.volume.api.actions import connector
from micronova.volume.api.inputs import Filters, both
from micronova.volume.api.shows import show_attachment
from micronova.volume.contract import AttachRequest
from micronova.volume.manager import VolumeManager

SINCE: Version = (3, 27)
SORT = {"id": "id", "created_at": "created_at", "status": "status", "volume_id": "volume_id"}
COLUMNS = {
    "volume_id": "volume_id", "instance_id": "server_id", "instance_uuid": "server_id", "status": "status",
    "attach_status": "status", "id": "id", "project_id": "project_id",
}  # fmt: skip


class _New(msgspec.Struct, kw_only=True):
    volume_uuid: str
    instance_uuid: str | None = None
    connector: dict[str, Any] | None = None
    mode: str | None = None


class _Create(msgspec.Struct):
    attachment: _New


class _Changed(msgspec.Struct):
    connector: dict[str, Any]


class _Update(msgspec.Struct):
    attachment: _Changed


class AttachmentApi:
    """The handlers."""

    def __init__(self, volume: VolumeManager, most: int) -> None:
        self._volume = volume
        self._filters = Filters(columns=COLUMNS, sort=SORT, most=most)

    async def create(self, request: Request) -> Any:
        said = (await request.body(_Create)).attachment
        mode = said.mode or (said.connector or {}).get("mode") or "rw"
        if mode not in ("rw", "ro"):
            raise BadRequest("Invalid attaching mode: it must be 'rw' or 'ro'.")
        asked = AttachRequest(
            volume_id=said.volume_uuid,
            server_id=said.instance_uuid or "",
            device=str((said.connector or {}).get("mountpoint") or ""),
            read_only=mode == "ro",
        )
        info = await self._volume.reserve(request.ctx, asked)
        if said.connector:
            info = await self._volume.connect(request.ctx, info.id, connector(said.connector), said.connector)
        return {"attachment": show_attachment(request, info)}

    async def update(self, request: Request) -> Any:
        asked = (await request.body(_Update)).attachment.connector
        info = await self._volume.connect(request.ctx, request.path["id"], connector(asked), asked)
        return {"attachment": show_attachment(request, info)}

    async def list(self, request: Request) -> Any:
        return await self._list(request, detail=False)

    async def detail(self, request: Request) -> Any:
        return await self._list(request, detail=True)

    async def _list(self, request: Request, *, detail: bool) -> dict[str, Any]:
        page = await self._volume.find_attachments(request.ctx, inputs.query(request, self._filters))
        return {"attachments": [show_attachment(request, row, detail=detail) for row in page.rows]}

    async def show(self, request: Request) -> Any:
        row = await self._volume.get_attachment(request.ctx, request.path["id"])
        return {"attachment": show_attachment(request, row)}

    async def delete(self, request: Request) -> Any:
        left = await self._volume.detach(request.ctx, request.path["id"])
        return {"attachments": [show_attachment(request, row, detail=False) for row in left]}

    async def act(self, request: Request) -> Any:
        """The one action there is: os-complete."""
        inputs.one_action(await request.body(dict[str, Any]), ("os-complete",))
        await self._volume.complete(request.ctx, request.path["id"])
        return Answer(status=204)


def routes(volume: VolumeManager, most: int) -> list[Route]:
    """The routes of attachments."""
    api, one = AttachmentApi(volume, most), "/attachments/{id}"
    return [
        *both("POST", "/attachments", api.create, since=SINCE),
        *both("GET", "/attachments", api.list, since=SINCE),
        *both("GET", "/attachments/detail", api.detail, since=SINCE),
        *both("GET", one, api.show, since=SINCE),
        *both("PUT", one, api.update, since=SINCE),
        *both("DELETE", one, api.delete, since=SINCE),
        *both("POST", one + "/action", api.act, since=(3, 44)),
    ]
