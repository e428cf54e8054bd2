"""What servers have of volumes, inside the transactions of the compute room, so that a server and its disks agree.

What takes a back end (connecting, making, removing) is recorded here and done by the volume manager's own tasks.
"""

from collections.abc import Sequence

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, NotFound, WrongState
from micronova.image.db import Image
from micronova.volume import db, states
from micronova.volume.contract import AttachmentInfo, AttachRequest, BootVolume, NewBootVolume
from micronova.volume.db import Attachment, Volume
from micronova.volume.manager import VolumeManager
from micronova.volume.swaps import Swaps
from micronova.volume.volumes import NewVolume

UNFINISHED = (states.CREATING, states.DOWNLOADING)


class SeenDisk(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A server's disk as it is shown."""

    id: str
    volume_id: str
    server_id: str
    host: str
    status: str
    device: str
    tag: str | None
    boot_index: int | None
    delete_on_termination: bool


class ServerDisks:
    """Volumes as disks of servers."""

    def __init__(self, volumes: VolumeManager) -> None:
        self._volumes = volumes
        self.swaps = Swaps(volumes)

    # -- looked at

    def of(self, tx: Tx, server_ids: Sequence[str]) -> dict[str, list[SeenDisk]]:
        """The disks of these servers in order of boot, then age; servers without disks are missing.

        What somebody else attached in a server's name, by the volume API alone, is no disk of it.
        """
        rows = tx.find(Attachment, server_id=list(server_ids), order=(("created_at", True), ("id", True)))
        found: dict[str, list[SeenDisk]] = {}
        for row in sorted(rows, key=lambda row: (row.boot_index is None, row.boot_index or 0)):
            if row.server_id is not None and _is_disk(row):
                found.setdefault(row.server_id, []).append(_seen(row))
        return found

    def any(self, tx: Tx) -> bool:
        """Whether any volume is attached at all."""
        return bool(tx.find(Attachment, limit=1))

    def infos(self, tx: Tx, server_id: str) -> list[AttachmentInfo]:
        """One server's disks in the same order, with how they are reached."""
        seen = {disk.id for disk in self.of(tx, (server_id,)).get(server_id, ())}
        infos = self._volumes.disks_of(tx, (server_id,)).get(server_id, ())
        return [info for info in infos if info.id in seen]

    def users(self, tx: Tx, volume_id: str) -> list[str]:
        """The servers that have the volume, or are about to."""
        return [row.server_id for row in db.attachments_of(tx, volume_id) if row.server_id]

    def held(self, tx: Tx, id: str) -> list[SeenDisk]:
        """The disks of servers that are this volume, or whose attachment has this id."""
        rows = db.attachments_of(tx, id) or tx.find(Attachment, id=id)
        return [_seen(row) for row in rows if row.server_id is not None and _is_disk(row)]

    def look(self, tx: Tx, ctx: Context, volume_id: str) -> BootVolume:
        """What is known of a volume. Raises NotFound, also for another project's."""
        row = self._volumes.owned(tx, ctx, volume_id, "volume:get")
        return BootVolume(
            id=row.id,
            project_id=row.project_id,
            status=row.status,
            size_gib=row.size_gib,
            bootable=row.bootable,
            multiattach=row.multiattach,
            zone=row.zone,
            image_metadata=row.image_metadata or {},
            migration_status=row.migration_status,
        )

    def look_snapshot(self, tx: Tx, ctx: Context, snapshot_id: str) -> tuple[str, int]:
        """The volume that a snapshot is of, and the snapshot's GiB. Raises NotFound."""
        row = self._volumes.owned_snapshot(tx, ctx, snapshot_id, "volume:get_snapshot")
        return row.volume_id, row.size_gib

    def hosts_of(self, tx: Tx, volume_id: str) -> tuple[str, ...]:
        """The hosts whose servers can have this volume; () means all."""
        volume = db.get_volume(tx, volume_id)
        can = self._volumes.capabilities(tx, volume)
        return () if can.remote or can.shared or not volume.host else (volume.host,)

    def home_of(self, tx: Tx, volume_id: str) -> str:
        """The host that looks after the volume. Raises NotFound."""
        return db.get_volume(tx, volume_id).host

    # -- made for servers

    def check_type(self, tx: Tx, ctx: Context, ref: str) -> None:
        """Return when the caller may use this volume type. Raises NotFound."""
        self._volumes.types.visible(tx, ctx, ref)

    def make(self, tx: Tx, ctx: Context, asked: NewBootVolume, image: Image | None, host: str) -> str:
        """Have a volume made for a server on `host`; returns its id. Raises as `VolumeManager.create` does."""
        new = NewVolume(
            name=asked.name,
            size_gib=asked.size_gib,
            zone=asked.zone,
            type_ref=asked.volume_type,
            image_id=asked.image_id,
            snapshot_id=asked.snapshot_id,
            source_volume_id=asked.source_volume_id,
            near_host=host,
        )
        return self._volumes.record_new(tx, ctx, new, image).id

    def status(self, tx: Tx, volume_id: str) -> str:
        """The volume's status. Raises NotFound."""
        return db.get_volume(tx, volume_id).status

    def scrap(self, tx: Tx, ctx: Context, volume_id: str) -> bool:
        """Have a volume removed with its attachments; returns whether it goes: one with snapshots stays."""
        volume = tx.first(Volume, id=volume_id)
        if volume is None or db.snapshots_of(tx, volume_id):
            return False
        if not volume.host:
            self._volumes.forget(tx, volume)
        elif volume.status != states.DELETING:
            ending = {"status": states.DELETING, "previous_status": volume.status, "migration_status": None}
            self._volumes.touch(tx, volume, **ending)
            self._volumes.on(volume.host).scrap.record(tx, ctx, volume_id)
        return True

    # -- attached and detached

    def reserve(self, tx: Tx, ctx: Context, asked: AttachRequest) -> SeenDisk:
        """The volume is the server's to be. Raises NotFound, BadRequest when it can't be had now."""
        try:
            return _seen(self._volumes.record_reservation(tx, ctx, asked))
        except WrongState as err:
            raise BadRequest(f"Invalid input received: {err}", **err.facts) from err

    def begin_detach(self, tx: Tx, ctx: Context, id: str) -> None:
        """The server is about to let go of the volume. Raises BadRequest when it has not quite got it."""
        try:
            self._volumes.record_detaching(tx, ctx, id)
        except WrongState as err:
            raise BadRequest(f"Invalid input received: {err}", **err.facts) from err

    def settle(self, tx: Tx, server_id: str) -> None:
        """The server has all the disks that it was being given."""
        for disk in self.of(tx, (server_id,)).get(server_id, ()):
            if disk.status == states.ATTACHING:
                self._volumes.mark_attached(tx, db.get_attachment(tx, disk.id), None)

    def change(self, tx: Tx, id: str, *, delete_on_termination: bool) -> None:
        """The volume ends with its server, or not. Raises NotFound."""
        row = db.get_attachment(tx, id)
        self._volumes.touch(tx, row, delete_on_termination=delete_on_termination)

    def release(self, tx: Tx, ctx: Context, id: str) -> None:
        """Have an attachment end, whatever state it is in; a missing one is success."""
        row = tx.first(Attachment, id=id)
        if row is not None:
            self._volumes.record_detach(tx, ctx, row)

    def free(self, tx: Tx, ctx: Context, server_id: str) -> None:
        """The server is gone: its attachments go whatever state they are in, and the volumes that end with it."""
        for row in tx.find(Attachment, server_id=server_id):
            ends = row.delete_on_termination and len(db.attachments_of(tx, row.volume_id)) == 1
            if not (ends and self.scrap(tx, ctx, row.volume_id)):
                self._volumes.record_detach(tx, ctx, row)


def _is_disk(row: Attachment) -> bool:
    return bool(row.device) and (bool(row.host) or row.status in (states.RESERVED, states.ATTACHING))


def _seen(row: Attachment) -> SeenDisk:
    if row.server_id is None:
        raise NotFound(f"Attachment {row.id} is no server's.", id=row.id)
    return SeenDisk(
        id=row.id,
        volume_id=row.volume_id,
        server_id=row.server_id,
        host=row.host,
        status=row.status,
        device=row.device,
        tag=row.tag,
        boot_index=row.boot_index,
        delete_on_termination=row.delete_on_termination,
    )
