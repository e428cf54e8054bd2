"""Volumes of a server on the wire: listed, shown, attached, changed and detached (os-volume_attachments).

{"volumeAttachment": {"volumeId": "…", "device": "/dev/vdb", "tag": "data", "delete_on_termination": false}}
"""

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from micronova.compute import inputs
from micronova.compute.api.create import check_uuid, refuse_unknown
from micronova.compute.inputs import Tag, unexpected
from micronova.compute.manager import ComputeManager
from micronova.compute.volumes import NewDisk
from micronova.errors import NotFound
from micronova.http import Answer, Request, Route
from micronova.volume.servers import SeenDisk

ACCEPTED = Answer(status=202)
Device = Annotated[str, Meta(pattern=r"(^/dev/x{0,1}[a-z]{0,1}d{0,1})([a-z]+)[0-9]*$")]


class _Attachment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    volumeId: str
    device: Device | UnsetType | None = UNSET
    tag: Tag | UnsetType | None = UNSET
    delete_on_termination: bool | str | UnsetType = UNSET
    serverId: str | UnsetType = UNSET
    id: str | UnsetType = UNSET


class _Attach(msgspec.Struct, forbid_unknown_fields=True):
    volumeAttachment: _Attachment


class VolumesApi:
    """The handlers."""

    def __init__(self, compute: ComputeManager) -> None:
        self._compute = compute

    async def index(self, request: Request) -> Any:
        inputs.known_query(request, "limit", "offset")
        found = await self._compute.server_disks(request.ctx, request.path["id"], rule="index")
        start = inputs.whole(request.get("offset") or "0", "offset")
        limit = request.get("limit")
        end = None if limit in (None, "") else start + inputs.whole(limit or "0", "limit")
        return {"volumeAttachments": [show_disk(request, disk) for disk in found[start:end]]}

    async def show(self, request: Request) -> Any:
        id, volume_id = request.path["id"], request.path["volume"]
        for disk in await self._compute.server_disks(request.ctx, id, rule="show"):
            if disk.volume_id == volume_id:
                return {"volumeAttachment": show_disk(request, disk)}
        raise NotFound(f"Instance {id} is not attached to volume {volume_id}")

    async def attach(self, request: Request) -> Any:
        """Answered at once: the host does the rest."""
        said = (await request.body(_Attach)).volumeAttachment
        since = {"tag": (2, 49), "delete_on_termination": (2, 79), "serverId": (9, 0), "id": (9, 0)}
        refuse_unknown(said, request.version, since, "volumeAttachment")
        asked = NewDisk(
            volume_id=check_uuid(said.volumeId, "volumeId"),
            device=said.device or None,
            tag=said.tag or None,
            delete_on_termination=_flag(said),
            shared=request.version >= (2, 60),
        )
        disk = await self._compute.attach_volume(request.ctx, request.path["id"], asked)
        shown: dict[str, Any] = {
            "id": disk.volume_id,
            "volumeId": disk.volume_id,
            "serverId": disk.server_id,
            "device": disk.device,
        }
        if request.version >= (2, 70):
            shown["tag"] = disk.tag
        if request.version >= (2, 79):
            shown["delete_on_termination"] = disk.delete_on_termination
        return {"volumeAttachment": shown}

    async def change(self, request: Request) -> Any:
        """Before 2.85, and with another volume's id, a swap; else new values."""
        said = (await request.body(_Attach)).volumeAttachment
        id, volume_id = request.path["id"], request.path["volume"]
        check_uuid(said.volumeId, "volumeId")
        given = {name: getattr(said, name) for name in ("device", "tag", "serverId", "id")}
        given = {name: value for name, value in given.items() if value is not UNSET}
        if said.delete_on_termination is not UNSET:
            given["delete_on_termination"] = _flag(said)
        if request.version < (2, 85):
            for name in given:
                raise unexpected("volumeAttachment", name)
            await self._compute.swap_volume(request.ctx, id, volume_id, said.volumeId)
        elif said.volumeId != volume_id:
            await self._compute.may_swap(request.ctx, id)
            await self._compute.change_disk(request.ctx, id, volume_id, given)
            await self._compute.swap_volume(request.ctx, id, volume_id, said.volumeId)
        else:
            await self._compute.change_disk(request.ctx, id, volume_id, given)
        return ACCEPTED

    async def detach(self, request: Request) -> Any:
        await self._compute.detach_volume(request.ctx, request.path["id"], request.path["volume"])
        return ACCEPTED


def _flag(said: _Attachment) -> bool:
    given = said.delete_on_termination
    return given is not UNSET and inputs.flag(given, "delete_on_termination")


def show_disk(request: Request, disk: SeenDisk) -> dict[str, Any]:
    """One volume of a server."""
    shown: dict[str, Any] = {"volumeId": disk.volume_id, "serverId": disk.server_id, "device": disk.device}
    if request.version < (2, 89):
        shown["id"] = disk.volume_id
    if request.version >= (2, 70):
        shown["tag"] = disk.tag
    if request.version >= (2, 79):
        shown["delete_on_termination"] = disk.delete_on_termination
    if request.version >= (2, 89):
        shown["attachment_id"] = disk.id
        shown["bdm_uuid"] = disk.id
    return shown


def routes(compute: ComputeManager) -> list[Route]:
    """The routes of volumes."""
    api = VolumesApi(compute)
    path = "/v2.1/servers/{id}/os-volume_attachments"
    return [
        Route("GET", path, api.index),
        Route("POST", path, api.attach),
        Route("GET", path + "/{volume}", api.show),
        Route("PUT", path + "/{volume}", api.change),
        Route("DELETE", path + "/{volume}", api.detach),
    ]
