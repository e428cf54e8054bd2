"""How volumes, snapshots and attachments look on the wire, at each microversion."""

from typing import Any

import msgspec

from micronova.http import Request
from micronova.volume import pools, states
from micronova.volume.api.inputs import bare, links
from micronova.volume.contract import AttachmentInfo
from micronova.volume.db import Attachment, Snapshot, Volume
from micronova.volume.driver import Connection, FileConnection, IscsiConnection, NbdConnection, RbdConnection
from micronova.volume.volumes import VolumeView

_SHOWN = (states.ATTACHED, states.DETACHING, states.ERROR_DETACHING)


def show_brief(request: Request, row: Volume) -> dict[str, Any]:
    """A volume in a list without details."""
    return {"id": row.id, "name": row.name, "links": links(request, f"/volumes/{row.id}")}


def show_volume(request: Request, view: VolumeView, *, extended: bool = True) -> dict[str, Any]:
    """A volume; `extended`: with what the extensions add."""
    row = view.row
    shown: dict[str, Any] = {
        "id": row.id,
        "status": row.status,
        "size": row.size_gib,
        "availability_zone": row.zone,
        "created_at": bare(row.created_at),
        "updated_at": bare(row.updated_at),
        "name": row.name,
        "description": row.description,
        "volume_type": view.type_name,
        "snapshot_id": row.snapshot_id,
        "source_volid": row.source_volume_id,
        "metadata": _metadata(view),
        "links": links(request, f"/volumes/{row.id}"),
        "user_id": row.user_id,
        "bootable": str(row.bootable).lower(),
        "encrypted": row.encryption_key_id is not None,
        "replication_status": None,
        "consistencygroup_id": None,
        "multiattach": row.multiattach,
        "attachments": [_attached(request, one) for one in view.attachments if one.status in _SHOWN],
        "migration_status": row.migration_status,
    }
    if extended:
        shown |= _extended(request, row)
    return shown | _since(request, row)


def _since(request: Request, row: Volume) -> dict[str, Any]:
    """What microversions added to a volume."""
    version, shown = request.version, dict[str, Any]()
    if version >= (3, 13):
        shown["group_id"] = row.group_id
    if version >= (3, 21) and request.ctx.is_admin:
        shown["provider_id"] = None
    if version >= (3, 48):
        shown["service_uuid"] = None
        shown["shared_targets"] = None if version >= (3, 69) else False
    if version >= (3, 61) and request.ctx.is_admin:
        shown["cluster_name"] = None
    if version >= (3, 63):
        shown["volume_type_id"] = row.type_id or None
    if version >= (3, 64) and row.encryption_key_id is not None:
        shown["encryption_key_id"] = row.encryption_key_id
    if version >= (3, 65):
        shown["consumes_quota"] = row.consumes_quota
    return shown


def _metadata(view: VolumeView) -> dict[str, str]:
    """The owner's metadata, and the two facts that Cinder keeps among them."""
    row = view.row
    shown = dict(row.metadata)
    if row.read_only is not None:
        shown["readonly"] = str(row.read_only)
    attached = next((one for one in view.attachments if one.status == states.ATTACHED), None)
    if row.read_only is not None and attached is not None:
        shown["attached_mode"] = attached.mode
    return shown


def _extended(request: Request, row: Volume) -> dict[str, Any]:
    shown: dict[str, Any] = {"os-vol-tenant-attr:tenant_id": row.project_id}
    if request.ctx.is_admin:
        shown["os-vol-host-attr:host"] = pools.name_of(row.host, row.backend) if row.host else None
        shown["os-vol-mig-status-attr:migstat"] = row.migration_status
        shown["os-vol-mig-status-attr:name_id"] = row.driver_name if row.driver_name not in ("", row.id) else None
    if row.image_metadata:
        shown["volume_image_metadata"] = row.image_metadata
    return shown


def _attached(request: Request, row: Attachment) -> dict[str, Any]:
    return {
        "id": row.volume_id,
        "attachment_id": row.id,
        "volume_id": row.volume_id,
        "server_id": row.server_id,
        "host_name": row.host or None if request.ctx.is_admin else None,
        "device": row.device or None,
        "attached_at": bare(row.attached_at),
    }


def show_snapshot(request: Request, row: Snapshot, *, detail: bool = False) -> dict[str, Any]:
    """A snapshot; `detail`: with what the extensions add."""
    shown: dict[str, Any] = {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "volume_id": row.volume_id,
        "status": row.status,
        "size": row.size_gib,
        "metadata": row.metadata,
        "created_at": bare(row.created_at),
        "updated_at": bare(row.updated_at),
    }
    if detail:
        shown["os-extended-snapshot-attributes:progress"] = row.progress
        shown["os-extended-snapshot-attributes:project_id"] = row.project_id
    if request.version >= (3, 14):
        shown["group_snapshot_id"] = row.group_snapshot_id
    if request.version >= (3, 41):
        shown["user_id"] = row.user_id
    if request.version >= (3, 65):
        shown["consumes_quota"] = row.consumes_quota
    return shown


def show_attachment(request: Request, row: Attachment | AttachmentInfo, *, detail: bool = True) -> dict[str, Any]:
    """An attachment, with how the volume is reached."""
    shown: dict[str, Any] = {
        "id": row.id,
        "status": row.status,
        "instance": row.server_id or None,
        "volume_id": row.volume_id,
    }
    if not detail:
        return shown
    mode = row.mode if isinstance(row, Attachment) else "ro" if row.read_only else "rw"
    detached_at = row.detached_at if isinstance(row, Attachment) else None
    info = show_connection(row.connection, row.id)
    return {
        **shown,
        "attached_at": bare(row.attached_at) or "",
        "detached_at": bare(detached_at) or "",
        "attach_mode": mode,
        "connection_info": {**info, "access_mode": mode} if info else {},
    }


def show_connection(connection: Connection | None, id: str) -> dict[str, Any]:
    """How a volume is reached, as clients of the attachments API expect it."""
    kind: str
    data: dict[str, Any]
    match connection:
        case None:
            return {}
        case FileConnection():
            kind, data = "local", {"device_path": connection.path, "format": connection.format}
        case NbdConnection():
            kind, data = (
                "nbd",
                {name: value for name, value in msgspec.to_builtins(connection).items() if name != "type"},
            )
        case IscsiConnection():
            kind = "iscsi"
            data = {
                "target_portal": connection.portal,
                "target_iqn": connection.iqn,
                "target_lun": connection.lun,
                "target_discovered": False,
                "auth_method": "CHAP" if connection.user else None,
                "auth_username": connection.user or None,
                "auth_password": connection.password or None,
            }
        case RbdConnection():
            kind = "rbd"
            data = {
                "name": f"{connection.pool}/{connection.image}",
                "hosts": [monitor.rpartition(":")[0] for monitor in connection.monitors],
                "ports": [monitor.rpartition(":")[2] for monitor in connection.monitors],
                "auth_enabled": bool(connection.user),
                "auth_username": connection.user or None,
            }
    return {"driver_volume_type": kind, "attachment_id": id, **data}
