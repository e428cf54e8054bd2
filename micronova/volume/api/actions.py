"""POST /volumes/{id}/action: one verb and its arguments, e.g. {"os-extend": {"new_size": 2}}."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import msgspec

from micronova.context import Context
from micronova.errors import BadRequest
from micronova.http import Answer, Request, Route
from micronova.volume.api import inputs
from micronova.volume.api.inputs import Metadata, Name, both, read
from micronova.volume.api.shows import show_connection
from micronova.volume.changes import Reset
from micronova.volume.contract import Connector
from micronova.volume.copies import Upload
from micronova.volume.legacy import Use
from micronova.volume.manager import VolumeManager

ACCEPTED = Answer(status=202)
Verb = Callable[[Context, str], Awaitable[None]]
"""An action that is a verb and nothing else: whatever comes with it in the body is ignored, as in Cinder."""
Act = Callable[[Request, str, Any], Awaitable[Any]]


class _Extend(msgspec.Struct, forbid_unknown_fields=True):
    new_size: int | str


class _Bootable(msgspec.Struct, forbid_unknown_fields=True):
    bootable: bool | str


class _Readonly(msgspec.Struct, forbid_unknown_fields=True):
    readonly: bool | str


class _Reset(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    status: str | None = None
    attach_status: str | None = None
    migration_status: str | None = None


class _Retype(msgspec.Struct, forbid_unknown_fields=True):
    new_type: Name
    migration_policy: str | None = None


class _Migrate(msgspec.Struct, kw_only=True):
    host: str | None = None
    cluster: str | None = None
    force_host_copy: bool | str = False
    lock_volume: bool | str = False


class _Attach(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    instance_uuid: str | None = None
    host_name: str | None = None
    mountpoint: str = ""
    mode: str | None = None


class _Detach(msgspec.Struct, kw_only=True):
    attachment_id: str | None = None
    connector: dict[str, Any] | None = None


class _Connector(msgspec.Struct, kw_only=True):
    connector: dict[str, Any]


class _Upload(msgspec.Struct, kw_only=True):
    image_name: Name
    force: bool | str = False
    disk_format: str = "raw"
    container_format: str = "bare"
    visibility: str = "shared"
    protected: bool | str = False


class _ImageMetadata(msgspec.Struct, forbid_unknown_fields=True):
    metadata: Metadata


class _Key(msgspec.Struct, forbid_unknown_fields=True):
    key: str


class _Revert(msgspec.Struct, forbid_unknown_fields=True):
    snapshot_id: str


class ActionApi:
    """The handlers of actions."""

    def __init__(self, volume: VolumeManager) -> None:
        self._volume = volume
        self._verbs: dict[str, Verb] = {
            "os-force_delete": partial(volume.delete, force=True),
            "os-unmanage": volume.unmanage,
            "os-reserve": volume.claim,
            "os-unreserve": volume.unclaim,
            "os-begin_detaching": volume.announce_detach,
            "os-roll_detaching": volume.roll_back_detach,
        }
        self._acts: dict[str, Act] = {
            "os-extend": self._extend,
            "os-set_bootable": self._bootable,
            "os-update_readonly_flag": self._readonly,
            "os-reset_status": self._reset,
            "os-force_detach": self._force_detach,
            "os-retype": self._retype,
            "os-migrate_volume": self._migrate,
            "os-attach": self._attach,
            "os-detach": self._detach,
            "os-initialize_connection": self._initialize,
            "os-terminate_connection": self._terminate,
            "os-volume_upload_image": self._upload,
            "os-set_image_metadata": self._set_image_metadata,
            "os-unset_image_metadata": self._unset_image_metadata,
            "os-show_image_metadata": self._show_image_metadata,
            "revert": self._revert,
        }

    async def act(self, request: Request) -> Any:
        """Do the one action of the body."""
        body = await request.body(dict[str, Any])
        name = inputs.one_action(body, (*self._verbs, *self._acts))
        id = request.path["id"]
        if name in self._verbs:
            await self._verbs[name](request.ctx, id)
            return ACCEPTED
        return await self._acts[name](request, id, body[name])

    # -- what it is

    async def _extend(self, request: Request, id: str, said: Any) -> Answer:
        size = inputs.whole(read("os-extend", said, _Extend).new_size, "new_size", least=1)
        await self._volume.extend(request.ctx, id, size, in_use=request.version >= (3, 42))
        return ACCEPTED

    async def _bootable(self, request: Request, id: str, said: Any) -> Answer:
        value = inputs.flag(read("os-set_bootable", said, _Bootable).bootable, "bootable")
        await self._volume.set_bootable(request.ctx, id, value)
        return Answer(status=200)

    async def _readonly(self, request: Request, id: str, said: Any) -> Answer:
        value = inputs.flag(read("os-update_readonly_flag", said, _Readonly).readonly, "readonly")
        await self._volume.set_readonly(request.ctx, id, value)
        return ACCEPTED

    async def _retype(self, request: Request, id: str, said: Any) -> Answer:
        asked = read("os-retype", said, _Retype)
        if asked.migration_policy not in (None, "never", "on-demand"):
            raise BadRequest("migration_policy must be 'on-demand' or 'never'.")
        await self._volume.retype(request.ctx, id, asked.new_type, may_move=asked.migration_policy == "on-demand")
        return ACCEPTED

    async def _migrate(self, request: Request, id: str, said: Any) -> Answer:
        asked = read("os-migrate_volume", said, _Migrate)
        if not asked.host:
            raise BadRequest("Invalid input received: a host to migrate to is needed.")
        await self._volume.migrate(request.ctx, id, asked.host)
        return ACCEPTED

    async def _revert(self, request: Request, id: str, said: Any) -> Answer:
        if request.version < (3, 40):
            raise BadRequest("There is no such action: revert")
        await self._volume.revert(request.ctx, id, read("revert", said, _Revert).snapshot_id)
        return ACCEPTED

    # -- what an administrator says

    async def _reset(self, request: Request, id: str, said: Any) -> Answer:
        asked = read("os-reset_status", said, _Reset)
        if asked.status is None and asked.attach_status is None and asked.migration_status is None:
            raise BadRequest("Must specify 'status', 'attach_status' or 'migration_status' for update.")
        reset = Reset(status=asked.status, attach_status=asked.attach_status, migration_status=asked.migration_status)
        await self._volume.reset(request.ctx, id, reset)
        return ACCEPTED

    async def _force_detach(self, request: Request, id: str, said: Any) -> Answer:
        asked = read("os-force_detach", said, _Detach)
        await self._volume.detach_from(request.ctx, id, asked.attachment_id, force=True)
        return ACCEPTED

    # -- who uses it

    async def _attach(self, request: Request, id: str, said: Any) -> Answer:
        asked = read("os-attach", said, _Attach)
        if (asked.instance_uuid and asked.host_name) or not (asked.instance_uuid or asked.host_name):
            raise BadRequest("Invalid request to attach volume to an invalid target")
        if asked.mode not in (None, "rw", "ro"):
            raise BadRequest("Invalid request to attach volume with an invalid mode. It must be 'rw' or 'ro'.")
        use = Use(server_id=asked.instance_uuid, host_name=asked.host_name, device=asked.mountpoint, mode=asked.mode)
        await self._volume.attach_to(request.ctx, id, use)
        return ACCEPTED

    async def _detach(self, request: Request, id: str, said: Any) -> Answer:
        await self._volume.detach_from(request.ctx, id, read("os-detach", said, _Detach).attachment_id)
        return ACCEPTED

    async def _initialize(self, request: Request, id: str, said: Any) -> Any:
        asked = read("os-initialize_connection", said, _Connector).connector
        row = await self._volume.initialize(request.ctx, id, connector(asked), asked)
        info = show_connection(row.connection, row.id)
        kind = info.pop("driver_volume_type", "")
        return {"connection_info": {"driver_volume_type": kind, "data": {**info, "access_mode": row.mode}}}

    async def _terminate(self, request: Request, id: str, said: Any) -> Answer:
        asked = read("os-terminate_connection", said, _Connector).connector
        await self._volume.terminate(request.ctx, id, connector(asked))
        return ACCEPTED

    # -- its image

    async def _upload(self, request: Request, id: str, said: Any) -> Answer:
        asked = read("os-volume_upload_image", said, _Upload)
        upload = Upload(
            name=asked.image_name,
            disk_format=asked.disk_format,
            container_format=asked.container_format,
            visibility=asked.visibility if request.version >= (3, 1) else "shared",
            protected=request.version >= (3, 1) and inputs.flag(asked.protected, "protected"),
            force=inputs.flag(asked.force, "force"),
        )
        row, image_id = await self._volume.upload(request.ctx, id, upload)
        view = await self._volume.get(request.ctx, id)
        shown: dict[str, Any] = {
            "id": row.id,
            "updated_at": inputs.bare(row.updated_at),
            "status": row.status,
            "display_description": row.description,
            "size": row.size_gib,
            "volume_type": {"id": row.type_id, "name": view.type_name} if row.type_id else None,
            "image_id": image_id,
            "container_format": upload.container_format,
            "disk_format": upload.disk_format,
            "image_name": upload.name,
        }
        if request.version >= (3, 1):
            shown |= {"visibility": upload.visibility, "protected": upload.protected}
        return Answer(status=202, body={"os-volume_upload_image": shown})

    async def _set_image_metadata(self, request: Request, id: str, said: Any) -> Any:
        values = read("os-set_image_metadata", said, _ImageMetadata).metadata
        return {"metadata": await self._volume.set_image_metadata(request.ctx, id, values)}

    async def _unset_image_metadata(self, request: Request, id: str, said: Any) -> Answer:
        await self._volume.unset_image_metadata(request.ctx, id, read("os-unset_image_metadata", said, _Key).key)
        return Answer(status=200)

    async def _show_image_metadata(self, request: Request, id: str, said: Any) -> Any:
        return {"metadata": await self._volume.image_metadata(request.ctx, id)}


def connector(asked: dict[str, Any]) -> Connector:
    """Who connects, as he tells it. Raises BadRequest when he does not say where he is."""
    host = asked.get("host")
    if not isinstance(host, str) or not host:
        raise BadRequest("Invalid input received: The connector must name its host.")
    return Connector(host=host, ip=str(asked.get("ip") or ""), initiator=str(asked.get("initiator") or ""))


def routes(volume: VolumeManager) -> list[Route]:
    """The route of actions."""
    return both("POST", "/volumes/{id}/action", ActionApi(volume).act)
