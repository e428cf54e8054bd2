"""Groups of volumes, their snapshots, and backups: rows and questions."""

from datetime import datetime
from typing import Annotated, ClassVar

from micronova.db import INDEX, KEY, Row


class Group(Row, frozen=True, kw_only=True):
    """Volumes that are snapshot together. Its members name it."""

    TABLE: ClassVar[str] = "volume_groups"

    id: Annotated[str, KEY]
    project_id: Annotated[str, INDEX]
    user_id: str
    name: str | None = None
    description: str | None = None
    status: str
    group_type_id: str
    volume_type_ids: tuple[str, ...] = ()
    zone: str = ""
    host: str = ""
    backend: str = ""
    group_snapshot_id: str | None = None
    source_group_id: str | None = None
    created_at: datetime
    updated_at: datetime | None = None


class GroupSnapshot(Row, frozen=True, kw_only=True):
    """Snapshots of a group's volumes, taken together."""

    TABLE: ClassVar[str] = "volume_group_snapshots"

    id: Annotated[str, KEY]
    group_id: Annotated[str, INDEX]
    project_id: Annotated[str, INDEX]
    user_id: str
    name: str | None = None
    description: str | None = None
    status: str
    group_type_id: str
    created_at: datetime
    updated_at: datetime | None = None


class Backup(Row, frozen=True, kw_only=True):
    """A copy of a volume's data in the backup store of `host`, under the name `location`.

    An incremental one needs its `parent_id`. Two rows may have one location: an imported record and its original.
    """

    TABLE: ClassVar[str] = "volume_backups"
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("created_at", "id"),)

    id: Annotated[str, KEY]
    project_id: Annotated[str, INDEX]
    user_id: str
    volume_id: Annotated[str, INDEX]
    snapshot_id: str | None = None
    parent_id: Annotated[str | None, INDEX] = None
    name: str | None = None
    description: str | None = None
    container: str | None = None
    zone: str = ""
    host: str = ""
    status: str
    fail_reason: str | None = None
    size_gib: int
    object_count: int = 0
    metadata: dict[str, str] = {}
    volume_metadata: dict[str, str] = {}
    volume_name: str | None = None
    bootable: bool = False
    image_metadata: dict[str, str] | None = None
    service: str = ""
    location: Annotated[str, INDEX] = ""
    data_timestamp: datetime | None = None
    created_at: datetime
    updated_at: datetime | None = None
