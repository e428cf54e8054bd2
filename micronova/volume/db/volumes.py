"""Volumes, snapshots, attachments: rows and questions."""

from datetime import datetime
from typing import Annotated, Any, ClassVar

import sqlalchemy as sa

from micronova.db import INDEX, KEY, SECRET, Row, Tx, table
from micronova.errors import NotFound
from micronova.volume.driver import Connection


class Volume(Row, frozen=True, kw_only=True):
    """A volume. `host` and `backend` say where it lies ("" until a place was found), `driver_name` as what.

    `size_gib` is what it has, `growing_gib` what it is about to get besides. `previous_status` is what it goes back to
    after a backup, an upload, a retype.
    """

    TABLE: ClassVar[str] = "volumes"
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("created_at", "id"),)

    id: Annotated[str, KEY]
    project_id: Annotated[str, INDEX]
    user_id: str
    name: str | None = None
    description: str | None = None
    size_gib: int
    growing_gib: int = 0
    status: str
    previous_status: str = ""
    host: Annotated[str, INDEX] = ""
    backend: str = ""
    driver_name: str = ""
    zone: str = ""
    type_id: Annotated[str, INDEX] = ""
    bootable: bool = False
    multiattach: bool = False
    read_only: bool | None = None
    encryption_key_id: str | None = None
    metadata: dict[str, str] = {}
    image_metadata: dict[str, str] | None = None
    snapshot_id: str | None = None
    source_volume_id: str | None = None
    image_id: str | None = None
    backup_id: str | None = None
    group_id: Annotated[str | None, INDEX] = None
    group_snapshot_id: str | None = None
    migration_status: str | None = None
    consumes_quota: bool = True
    created_at: datetime
    updated_at: datetime | None = None
    launched_at: datetime | None = None


class Snapshot(Row, frozen=True, kw_only=True):
    """A snapshot of a volume, on the volume's back end."""

    TABLE: ClassVar[str] = "volume_snapshots"
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("created_at", "id"),)

    id: Annotated[str, KEY]
    volume_id: Annotated[str, INDEX]
    project_id: Annotated[str, INDEX]
    user_id: str
    name: str | None = None
    description: str | None = None
    size_gib: int
    status: str
    progress: str = "0%"
    metadata: dict[str, str] = {}
    group_snapshot_id: Annotated[str | None, INDEX] = None
    consumes_quota: bool = True
    created_at: datetime
    updated_at: datetime | None = None


class Attachment(Row, frozen=True, kw_only=True):
    """One use of a volume. `server_id` None: by something that is no server of ours, on `host`.

    `connection` is how it is reached, with secrets; `asked` the connector as an API client gave it. `replaces` is the
    attachment whose place at its server this one is about to take.
    """

    TABLE: ClassVar[str] = "volume_attachments"

    id: Annotated[str, KEY]
    volume_id: Annotated[str, INDEX]
    project_id: Annotated[str, INDEX]
    user_id: str
    server_id: Annotated[str | None, INDEX] = None
    status: str
    host: str = ""
    device: str = ""
    mode: str = "rw"
    tag: str | None = None
    boot_index: int | None = None
    delete_on_termination: bool = False
    replaces: Annotated[str | None, INDEX] = None
    asked: dict[str, Any] | None = None
    connection: Annotated[Connection | None, SECRET] = None
    created_at: datetime
    updated_at: datetime | None = None
    attached_at: datetime | None = None
    detached_at: datetime | None = None


VOLUMES = table(Volume)
SNAPSHOTS = table(Snapshot)
_PROJECT = sa.bindparam("project_id", type_=sa.Text())
_WHOLE = sa.func.coalesce(sa.func.sum(VOLUMES.c.size_gib + VOLUMES.c.growing_gib), 0)
_VOLUMES_USED = (
    sa.select(VOLUMES.c.type_id, sa.func.count(), _WHOLE)
    .where(VOLUMES.c.project_id == _PROJECT, VOLUMES.c.consumes_quota == sa.true())
    .group_by(VOLUMES.c.type_id)
)
_SNAPSHOTS_USED = (
    sa.select(VOLUMES.c.type_id, sa.func.count(), sa.func.coalesce(sa.func.sum(SNAPSHOTS.c.size_gib), 0))
    .select_from(SNAPSHOTS.join(VOLUMES, SNAPSHOTS.c.volume_id == VOLUMES.c.id))
    .where(SNAPSHOTS.c.project_id == _PROJECT, SNAPSHOTS.c.consumes_quota == sa.true())
    .group_by(VOLUMES.c.type_id)
)
_PLACE = (VOLUMES.c.host, VOLUMES.c.backend)
_PROMISED = sa.select(*_PLACE, sa.func.count(), _WHOLE).group_by(*_PLACE)


def used_by_type(tx: Tx, project_id: str) -> list[tuple[str, str, int, int]]:
    """(kind, type id, how many, how many GiB) of a project's volumes and snapshots."""
    volumes = tx.values(_VOLUMES_USED, project_id=project_id)
    snapshots = tx.values(_SNAPSHOTS_USED, project_id=project_id)
    return [("volumes", type_id, int(count), int(gib)) for type_id, count, gib in volumes] + [
        ("snapshots", type_id, int(count), int(gib)) for type_id, count, gib in snapshots
    ]


def promised(tx: Tx) -> dict[tuple[str, str], tuple[int, int]]:
    """By (host, back end): how many volumes lie there, and how many GiB they were promised."""
    return {(host, backend): (int(count), int(gib)) for host, backend, count, gib in tx.values(_PROMISED)}


def get_volume(tx: Tx, id: str) -> Volume:
    """Raises NotFound in Cinder's words."""
    found = tx.first(Volume, id=id)
    if found is None:
        raise NotFound(f"Volume {id} could not be found.", id=id)
    return found


def get_snapshot(tx: Tx, id: str) -> Snapshot:
    """Raises NotFound in Cinder's words."""
    found = tx.first(Snapshot, id=id)
    if found is None:
        raise NotFound(f"Snapshot {id} could not be found.", id=id)
    return found


def get_attachment(tx: Tx, id: str) -> Attachment:
    """Raises NotFound in Cinder's words."""
    found = tx.first(Attachment, id=id)
    if found is None:
        raise NotFound(f"Volume attachment could not be found with filter: attachment_id = {id}.", id=id)
    return found


def attachments_of(tx: Tx, volume_id: str) -> list[Attachment]:
    """A volume's attachments, oldest first."""
    return tx.find(Attachment, volume_id=volume_id, order=(("created_at", True),))


def replaced(tx: Tx, ids: list[str]) -> frozenset[str]:
    """Those of these attachments whose place another one is about to take."""
    return frozenset(row.replaces for row in tx.find(Attachment, replaces=ids) if row.replaces) if ids else frozenset()


def attachments_by_volume(tx: Tx, ids: list[str]) -> dict[str, list[Attachment]]:
    """The attachments of these volumes."""
    found: dict[str, list[Attachment]] = {}
    for row in tx.find(Attachment, volume_id=ids) if ids else []:
        found.setdefault(row.volume_id, []).append(row)
    return found


def snapshots_of(tx: Tx, volume_id: str) -> list[Snapshot]:
    """A volume's snapshots, oldest first."""
    return tx.find(Snapshot, volume_id=volume_id, order=(("created_at", True), ("id", True)))
