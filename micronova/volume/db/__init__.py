"""Rows of the volume room and the questions asked of them; no decisions."""

from micronova.db import Row
from micronova.volume.db.groups import Backup, Group, GroupSnapshot
from micronova.volume.db.places import Message, Placement, Pool, Transfer, VolumeQuota, pools
from micronova.volume.db.types import (
    DefaultType,
    EncryptionType,
    GroupType,
    QosSpec,
    VolumeType,
    all_types,
    type_names,
)
from micronova.volume.db.volumes import (
    Attachment,
    Snapshot,
    Volume,
    attachments_by_volume,
    attachments_of,
    get_attachment,
    get_snapshot,
    get_volume,
    promised,
    replaced,
    snapshots_of,
    used_by_type,
)

ROWS: tuple[type[Row], ...] = (
    Volume,
    Snapshot,
    Attachment,
    VolumeType,
    QosSpec,
    DefaultType,
    GroupType,
    Pool,
    Placement,
    Message,
    VolumeQuota,
    Transfer,
    Group,
    GroupSnapshot,
    Backup,
)

__all__ = [
    "ROWS",
    "Attachment",
    "Backup",
    "DefaultType",
    "EncryptionType",
    "Group",
    "GroupSnapshot",
    "GroupType",
    "Message",
    "Placement",
    "Pool",
    "QosSpec",
    "Snapshot",
    "Transfer",
    "Volume",
    "VolumeQuota",
    "VolumeType",
    "all_types",
    "attachments_by_volume",
    "attachments_of",
    "get_attachment",
    "get_snapshot",
    "get_volume",
    "pools",
    "promised",
    "replaced",
    "snapshots_of",
    "type_names",
    "used_by_type",
]
