"""Backups: a volume's data kept elsewhere, whole or what changed since the last; and volumes made of them again."""

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import BadRequest, DriverError, Error, NotFound, Rejected, WrongState
from micronova.image.manager import ImageManager
from micronova.manager import Runtime, remote, task
from micronova.policy import Policy
from micronova.tasks import Task
from micronova.volume import backup_store, db, listing, quota, states
from micronova.volume.backup_store import BackupStore
from micronova.volume.base import told
from micronova.volume.building import UNFINISHED
from micronova.volume.copies import Copies
from micronova.volume.db import Backup, Volume
from micronova.volume.driver import FromSnapshot, FromVolume, VolumeDriver
from micronova.volume.drivers.backup_file import FileBackupStore
from micronova.volume.listing import Page, Query
from micronova.volume.volumes import NewVolume, Volumes

LOG = logging.getLogger(__name__)
LONG = 12 * 3600
WEEK = 7 * 24 * 3600
SLICE = 512 << 10
RESTORING = "restoring"
SETTABLE = (states.AVAILABLE, states.ERROR)


class NewBackup(msgspec.Struct, frozen=True, kw_only=True):
    """A backup to be, of a volume or of its snapshot. `force`: also while it is in use."""

    volume_id: str
    name: str | None = None
    description: str | None = None
    container: str | None = None
    incremental: bool = False
    force: bool = False
    snapshot_id: str | None = None
    metadata: dict[str, str] = {}
    zone: str | None = None


class BackupView(msgspec.Struct, frozen=True, kw_only=True):
    """A backup, and whether others need it."""

    row: Backup
    needed: bool = False


class Backups(Copies, Volumes):
    """The part of the manager that has to do with backups."""

    def __init__(
        self,
        runtime: Runtime,
        host: str | None = None,
        db_driver: Database | None = None,
        *,
        drivers: Mapping[str, VolumeDriver],
        image: ImageManager,
        policy: Policy,
        backup_store: BackupStore | None = None,
    ) -> None:
        super().__init__(runtime, host, db_driver, drivers=drivers, image=image, policy=policy)
        self.store: BackupStore = backup_store or FileBackupStore.configured(runtime.config, self.clock)

    # -- new ones

    async def back_up(self, ctx: Context, asked: NewBackup) -> Backup:
        """Record a backup and have it made; returns at once, status "creating".

        Raises NotFound, WrongState, BadRequest for an incremental one without a first, QuotaExceeded.
        """

        def record(tx: Tx) -> Backup:
            volume, moment = self.owned(tx, ctx, asked.volume_id, "backup:create"), tx.now
            self.refuse_encrypted(volume, "A backup")
            if asked.snapshot_id is not None:
                snapshot = self.owned_snapshot(tx, ctx, asked.snapshot_id, "volume:get_snapshot")
                states.check("use snapshot", "snapshot", snapshot.id, snapshot.status)
                if snapshot.volume_id != volume.id:
                    text = f"Volume {volume.id} does not match with snapshot.volume_id {snapshot.volume_id}."
                    raise BadRequest(f"Invalid volume: {text}")
                moment = snapshot.created_at
            else:
                states.check("back up in use" if asked.force else "back up", "volume", volume.id, volume.status)
            more = {"backups": 1, "backup_gigabytes": volume.size_gib}
            quota.admit(tx, self.quota, ctx.project_id, more)
            parent = self._parent(tx, ctx, volume) if asked.incremental else None
            if asked.incremental and parent is None:
                raise BadRequest("Invalid backup: No backups available to do an incremental backup.")
            row = msgspec.structs.replace(self._new(tx, ctx, asked, volume, parent), data_timestamp=moment)
            backup = tx.insert(row)
            if asked.snapshot_id is None:
                self.touch(tx, volume, status=states.BACKING_UP, previous_status=volume.status)
            self.on(volume.host).keep.record(tx, ctx, volume.id, backup.id)
            return backup

        return await self.db.write(record, ctx, why="backed up by request")

    def _new(self, tx: Tx, ctx: Context, asked: NewBackup, volume: Volume, parent: Backup | None) -> Backup:
        id = self.clock.new_id()
        return Backup(
            id=id,
            location=id,
            project_id=ctx.project_id,
            user_id=ctx.user_id,
            volume_id=volume.id,
            snapshot_id=asked.snapshot_id,
            parent_id=parent.id if parent is not None else None,
            name=asked.name,
            description=asked.description,
            container=asked.container,
            zone=asked.zone or volume.zone,
            host=volume.host,
            status=states.CREATING,
            size_gib=volume.size_gib,
            metadata=asked.metadata,
            volume_metadata=volume.metadata,
            volume_name=volume.name,
            bootable=volume.bootable,
            image_metadata=volume.image_metadata,
            service=self.store.name,
            data_timestamp=tx.now,
            created_at=tx.now,
        )

    def _parent(self, tx: Tx, ctx: Context, volume: Volume) -> Backup | None:
        """The project's newest backup of the volume, if the store of the volume's host has it."""
        order = (("created_at", False), ("id", False))
        mine = {"volume_id": volume.id, "project_id": ctx.project_id}
        found = tx.first(Backup, **mine, status=states.AVAILABLE, order=order)
        near = found is not None and (found.host == volume.host or self._everywhere(found))
        return found if near else None

    @task(deadline=LONG, resource="volume", failed="settle_keep", retries=1)
    async def keep(self, ctx: Context, volume_id: str, id: str) -> None:
        """Copy the volume's (or its snapshot's) data into the store. Safe to repeat."""
        volume, backup = await self.db.read(lambda tx: (db.get_volume(tx, volume_id), tx.first(Backup, id=id)))
        if backup is None or backup.status != states.CREATING:
            await self._rest_kept(ctx, volume_id, "nothing is to be kept of it")
            return
        parent = None
        if backup.parent_id is not None:
            above = await self.db.read(lambda tx: get_backup(tx, backup.parent_id or ""))
            parent = await backup_store.index_of(self._reader(ctx, backup), above.location)
        source: FromVolume | FromSnapshot = FromVolume(volume.driver_name)
        if backup.snapshot_id is not None:
            source = FromSnapshot(backup.snapshot_id, volume.driver_name)
        async with self.copy_file(f"backup-{id}") as path:
            await self.driver_of(volume).copy_out(source, str(path), "raw")
            index = await backup_store.save(self.store, backup.location, str(path), parent)

        def finish(tx: Tx) -> None:
            now = tx.first(Backup, id=id)
            if now is not None and now.status == states.CREATING:
                tx.change(now, status=states.AVAILABLE, object_count=index.kept, updated_at=tx.now)
            self.rest_kept(tx, volume_id)

        await self.db.write(finish, ctx, why="its data are in the store")
        # Somebody may have given it up meanwhile, and forgotten what was there then.
        await self.forget_pieces(ctx, backup.location)

    async def settle_keep(self, ctx: Context, volume_id: str, id: str, err: Error) -> None:
        """The backup could not be made: it says so, and nothing of it is kept, or will be when the store is back."""
        await self._fail(ctx, id, states.CREATING, states.ERROR, err)
        await self._rest_kept(ctx, volume_id, "as it was")
        row = await self.db.read(lambda tx: tx.first(Backup, id=id))
        await self.forget_pieces(ctx, id, row.host if row is not None else self.host)

    async def _rest_kept(self, ctx: Context, volume_id: str, why: str) -> None:
        await self.db.write(lambda tx: self.rest_kept(tx, volume_id), ctx, why=why)

    def rest_kept(self, tx: Tx, volume_id: str) -> None:
        """A volume that is gone, or that another backup is still to be made of, is left as it is."""
        making = tx.count(Task, resource=f"volume:{volume_id}", method="keep", open=True, cancelled=False)
        if making <= 1 and tx.first(Volume, id=volume_id) is not None:
            self.rest(tx, volume_id, states.BACKING_UP)

    async def forget_pieces(self, ctx: Context, location: str, host: str = "") -> None:
        """Nothing is in the host's store under a name that no good backup has; while it is away it is tried again."""
        try:
            if self.store.shared or host in ("", self.host):
                await self.clear(ctx, location)
                return
            LOG.info("backup %s: its pieces are removed by host %s", location, host)
        except DriverError as err:
            LOG.warning("backup %s: its pieces are removed later: %s", location, err)
        there = self.on(host or self.host)
        await self.db.write(lambda tx: there.clear.record(tx, ctx, location), ctx, why="it is not here now")

    @task(deadline=WEEK, resource="pieces", retries=100_000)
    async def clear(self, ctx: Context, location: str) -> None:
        """Nothing is in the store under a name that no row has any more, or none but failed ones. Safe to repeat."""
        rows = await self.db.read(lambda tx: tx.find(Backup, location=location))
        if all(row.status in (states.ERROR, states.DELETING) for row in rows):
            await self.store.remove(location)

    async def _fail(self, ctx: Context, id: str, status: str, new: str, err: Error) -> None:
        def write(tx: Tx) -> None:
            now = tx.first(Backup, id=id)
            if now is not None and now.status == status:
                reason = told(err) if new == states.ERROR else now.fail_reason
                tx.change(now, status=new, fail_reason=reason, updated_at=tx.now)

        await self.db.write(write, ctx, why=f"backup: {told(err)}")

    # -- looked at and changed

    def owned_backup(self, tx: Tx, ctx: Context, id: str, rule: str) -> Backup:
        """Backup `id`, as `owned` does it for volumes."""
        row = get_backup(tx, id)
        if not ctx.is_admin and row.project_id != ctx.project_id:
            raise NotFound(f"Backup {id} could not be found.", id=id)
        self.require(ctx, rule, row.project_id)
        return row

    async def get_backup(self, ctx: Context, id: str) -> BackupView:
        """One backup. Raises NotFound."""

        def look(tx: Tx) -> BackupView:
            row = self.owned_backup(tx, ctx, id, "backup:get")
            return BackupView(row=row, needed=tx.count(Backup, parent_id=id) > 0)

        return await self.db.read(look)

    async def find_backups(self, ctx: Context, query: Query) -> tuple[list[BackupView], Page]:
        """The backups a query asks for."""

        def look(tx: Tx) -> tuple[list[BackupView], Page]:
            found = listing.page(tx, ctx, Backup, query, "Backup")
            ids = [row.id for row in found.rows]
            needed = {row.parent_id for row in tx.find(Backup, parent_id=ids)} if ids else set()
            return [BackupView(row=row, needed=row.id in needed) for row in found.rows], found

        return await self.db.read(look)

    async def update_backup(self, ctx: Context, id: str, values: Mapping[str, Any]) -> Backup:
        """Change name, description, metadata. Raises NotFound."""

        def write(tx: Tx) -> Backup:
            return tx.change(self.owned_backup(tx, ctx, id, "backup:update"), updated_at=tx.now, **values)

        return await self.db.write(write, ctx, why="changed by request")

    async def reset_backup(self, ctx: Context, id: str, status: str) -> None:
        """Say what a backup's status is. Raises NotFound, BadRequest."""
        if status not in SETTABLE:
            raise BadRequest(f"Must specify a valid status, not {status!r}.")

        def write(tx: Tx) -> None:
            row = self.owned_backup(tx, ctx, id, "volume_extension:backup_admin_actions:reset_status")
            tx.change(row, status=status, updated_at=tx.now)

        await self.db.write(write, ctx, why="status set by an administrator")

    # -- given up

    async def delete_backup(self, ctx: Context, id: str, *, force: bool = False) -> None:
        """Have the backup removed. Raises NotFound, WrongState, BadRequest while others need it."""
        rule = "volume_extension:backup_admin_actions:force_delete" if force else "backup:delete"

        def write(tx: Tx) -> None:
            row = self.owned_backup(tx, ctx, id, rule)
            if not force:
                states.check("delete backup", "backup", id, row.status)
                if tx.count(Volume, backup_id=id, status=UNFINISHED):
                    raise WrongState(f"Invalid backup: A volume is being made from backup {id}.", id=id)
            if tx.count(Backup, parent_id=id):
                raise BadRequest("Invalid backup: Incremental backups exist for this backup.")
            tx.change(row, status=states.DELETING, updated_at=tx.now)
            self.on("" if self._everywhere(row) else row.host).drop_backup.record(tx, ctx, id)

        await self.db.write(write, ctx, why="deleted by request")

    @task(deadline=LONG, resource="backup", failed="settle_drop_backup", retries=10)
    async def drop_backup(self, ctx: Context, id: str) -> None:
        """Forget the backup's data, then its row. Safe to repeat."""
        row, shared = await self.db.read(lambda tx: (get_backup(tx, id), _shared(tx, id)))
        if row.service not in ("", self.store.name):
            raise Rejected("the backup is in another store than the one this host has now", id=id)
        if not shared:
            await self.store.remove(row.location)

        def forget(tx: Tx) -> None:
            tx.delete(get_backup(tx, id))
            if shared and not tx.count(Backup, location=row.location):
                # The others were forgotten meanwhile, and left the pieces to this one.
                self.on(self.host).clear.record(tx, ctx, row.location)

        await self.db.write(forget, ctx, why="its data are gone")

    async def settle_drop_backup(self, ctx: Context, id: str, err: Error) -> None:
        """The backup could not be removed: it says so."""
        await self._fail(ctx, id, states.DELETING, states.ERROR_DELETING, err)

    # -- back again

    async def restore(self, ctx: Context, id: str, volume_id: str | None, name: str | None) -> Volume:
        """Have the data brought to an existing volume, or a new one; returns it. Raises NotFound, WrongState, quota."""

        def record(tx: Tx) -> Volume:
            backup = self.owned_backup(tx, ctx, id, "backup:restore")
            states.check("restore backup", "backup", id, backup.status)
            if volume_id is None:
                new = NewVolume(
                    name=name or f"restore_backup_{id}",
                    size_gib=backup.size_gib,
                    metadata=backup.volume_metadata,
                    backup_id=id,
                )
                return self.record_new(tx, ctx, new)
            volume = self.owned(tx, ctx, volume_id, "backup:restore")
            states.check("restore", "volume", volume_id, volume.status)
            self.refuse_encrypted(volume, "A restore")
            if volume.size_gib < backup.size_gib:
                raise BadRequest(
                    f"Invalid input received: volume size {volume.size_gib} is too small to restore backup of size "
                    f"{backup.size_gib}."
                )
            tx.change(backup, status=RESTORING, updated_at=tx.now)
            volume = self.touch(tx, volume, status=states.RESTORING, previous_status=volume.status)
            self.on(volume.host).bring_back.record(tx, ctx, volume_id, id)
            return volume

        return await self.db.write(record, ctx, why="restored by request")

    @task(deadline=LONG, resource="volume", failed="settle_bring_back", retries=1)
    async def bring_back(self, ctx: Context, volume_id: str, id: str) -> None:
        """Give the volume the backup's data. Safe to repeat."""
        volume, backup = await self.db.read(lambda tx: (db.get_volume(tx, volume_id), get_backup(tx, id)))
        if volume.status != states.RESTORING:
            await self._brought(ctx, volume_id, id, states.AVAILABLE, "nothing is to be brought back")
            return
        async with self.copy_file(f"restore-{volume_id}") as path:
            await backup_store.load(self._reader(ctx, backup), backup.location, str(path))
            await self.driver_of(volume).copy_in(volume.driver_name, str(path), "raw")
        await self._brought(ctx, volume_id, id, states.AVAILABLE, "its data are back")

    async def settle_bring_back(self, ctx: Context, volume_id: str, id: str, err: Error) -> None:
        """What the volume holds is not known: it says so; the backup is as it was."""
        await self._brought(ctx, volume_id, id, states.ERROR_RESTORING, f"could not be restored: {told(err)}")

    async def _brought(self, ctx: Context, volume_id: str, id: str, status: str, why: str) -> None:
        def write(tx: Tx) -> None:
            volume = db.get_volume(tx, volume_id)
            if volume.status == states.RESTORING:
                self.touch(tx, volume, status=status)
            backup = tx.first(Backup, id=id)
            if backup is not None and backup.status == RESTORING:
                tx.change(backup, status=states.AVAILABLE, updated_at=tx.now)

        await self.db.write(write, ctx, why=why)

    async def load_backup(self, ctx: Context, id: str, path: str) -> None:
        """Write the backup's data to a new file of this host. Raises NotFound, DriverError."""
        backup = await self.db.read(lambda tx: get_backup(tx, id))
        await backup_store.load(self._reader(ctx, backup), backup.location, path)

    def _reader(self, ctx: Context, backup: Backup) -> backup_store.Read:
        """How pieces are read: here, or from the host that keeps the backup."""

        async def read(id: str, piece: str) -> bytes:
            if backup.host == self.host or self._everywhere(backup):
                return await self.store.get(id, piece)
            found = b""
            while part := await self.on(backup.host).read_piece(ctx, id, piece, len(found)):
                found += part
            return found

        return read

    def _everywhere(self, backup: Backup) -> bool:
        """Whether every host reaches the backup's store by itself."""
        return self.store.shared and backup.service == self.store.name

    @remote(wait=30)
    async def read_piece(self, ctx: Context, id: str, piece: str, offset: int) -> bytes:
        """Some bytes of a piece that this host keeps, b"" behind its end. Raises DriverError."""
        return (await self.store.get(id, piece))[offset : offset + SLICE]


def get_backup(tx: Tx, id: str) -> Backup:
    """Raises NotFound in Cinder's words."""
    found = tx.first(Backup, id=id)
    if found is None:
        raise NotFound(f"Backup {id} could not be found.", id=id)
    return found


def _shared(tx: Tx, id: str) -> bool:
    """Whether another row needs what this one names in the store."""
    return tx.count(Backup, location=get_backup(tx, id).location) > 1
