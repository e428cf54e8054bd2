"""Snapshots of volumes: taken, kept, given up, gone back to."""

import logging
from collections.abc import Mapping
from typing import Any

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, Error, NotFound, WrongState
from micronova.manager import task
from micronova.tasks import Task
from micronova.volume import db, listing, quota, states
from micronova.volume.base import told
from micronova.volume.db import Snapshot, Volume
from micronova.volume.driver import SnapshotSpec
from micronova.volume.listing import Page, Query
from micronova.volume.stillness import Stillness

LOG = logging.getLogger(__name__)
DEADLINE = 3600


class NewSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. `force`: also of a volume in use."""

    volume_id: str
    name: str | None = None
    description: str | None = None
    metadata: dict[str, str] = {}
    force: bool = False
    group_snapshot_id: str | None = None


class Snapshots(Stillness):
    """The part of the manager that has to do with snapshots."""

    async def create_snapshot(self, ctx: Context, asked: NewSnapshot) -> Snapshot:
        """Record a snapshot and have it taken; returns at once, status "creating".

        Raises NotFound, WrongState, QuotaExceeded.
        """
        return await self.db.write(lambda tx: self.record_snapshot(tx, ctx, asked), ctx, why="created by request")

    def record_snapshot(self, tx: Tx, ctx: Context, asked: NewSnapshot) -> Snapshot:
        """Store a snapshot with the task that takes it. Raises as `create_snapshot` does."""
        snapshot = self.insert_snapshot(tx, ctx, asked)
        self.on(db.get_volume(tx, snapshot.volume_id).host).snap.record(tx, ctx, snapshot.volume_id, snapshot.id)
        return snapshot

    def insert_snapshot(self, tx: Tx, ctx: Context, asked: NewSnapshot) -> Snapshot:
        """Store a snapshot; whoever calls records what takes it. Raises as `create_snapshot` does."""
        volume = self.owned(tx, ctx, asked.volume_id, "volume:create_snapshot")
        states.check("snapshot in use" if asked.force else "snapshot", "volume", volume.id, volume.status)
        if db.attachments_of(tx, volume.id) and not self.capabilities(tx, volume).snapshot_in_use:
            raise WrongState(f"Invalid volume: Volume {volume.id} is in use and its back end can't do that meanwhile.")
        more = {"snapshots": 1, "gigabytes": volume.size_gib}
        quota.admit(tx, self.quota, volume.project_id, more, volume.type_id)
        return tx.insert(
            Snapshot(
                id=self.clock.new_id(),
                volume_id=volume.id,
                project_id=volume.project_id,
                user_id=ctx.user_id,
                name=asked.name,
                description=asked.description,
                size_gib=volume.size_gib,
                status=states.CREATING,
                metadata=asked.metadata,
                group_snapshot_id=asked.group_snapshot_id,
                created_at=tx.now,
            )
        )

    async def get_snapshot(self, ctx: Context, id: str) -> Snapshot:
        """Snapshot `id`. Raises NotFound."""
        return await self.db.read(lambda tx: self.owned_snapshot(tx, ctx, id, "volume:get_snapshot"))

    async def find_snapshots(self, ctx: Context, query: Query) -> Page:
        """The snapshots a query asks for. Raises NotFound when its marker is gone."""
        return await self.db.read(lambda tx: listing.page(tx, ctx, Snapshot, query, "Snapshot"))

    async def update_snapshot(self, ctx: Context, id: str, values: Mapping[str, Any]) -> Snapshot:
        """Change name or description. Raises NotFound."""

        def write(tx: Tx) -> Snapshot:
            return self.touch(tx, self.owned_snapshot(tx, ctx, id, "volume:update_snapshot"), **values)

        return await self.db.write(write, ctx, why="changed by request")

    async def set_snapshot_metadata(
        self, ctx: Context, id: str, values: Mapping[str, str], *, replace: bool
    ) -> dict[str, str]:
        """The snapshot has these metadata, beside others or (`replace`) alone; returns all. Raises NotFound."""

        def write(tx: Tx) -> dict[str, str]:
            row = self.owned_snapshot(tx, ctx, id, "volume:update_snapshot_metadata")
            return self.touch(tx, row, metadata={**({} if replace else row.metadata), **values}).metadata

        return await self.db.write(write, ctx, why="metadata changed by request")

    async def unset_snapshot_metadata(self, ctx: Context, id: str, key: str) -> None:
        """The snapshot has lost this key. Raises NotFound also when it did not have it."""

        def write(tx: Tx) -> None:
            row = self.owned_snapshot(tx, ctx, id, "volume:delete_snapshot_metadata")
            if key not in row.metadata:
                raise NotFound(f"Metadata item was not found: {key}")
            self.touch(tx, row, metadata={name: value for name, value in row.metadata.items() if name != key})

        await self.db.write(write, ctx, why="metadata changed by request")

    async def delete_snapshot(self, ctx: Context, id: str, *, force: bool = False) -> None:
        """Have the snapshot removed; `force`: whatever its status. Raises NotFound, WrongState."""
        rule = "volume_extension:snapshot_admin_actions:force_delete" if force else "volume:delete_snapshot"

        def write(tx: Tx) -> None:
            snapshot = self.owned_snapshot(tx, ctx, id, rule)
            if not force:
                states.check("delete snapshot", "snapshot", id, snapshot.status)
                if snapshot.group_snapshot_id is not None:
                    raise WrongState(f"Invalid snapshot: Snapshot {id} belongs to a group snapshot.")
            self.record_unsnap(tx, ctx, snapshot)

        await self.db.write(write, ctx, why="deleted by request")

    def record_unsnap(self, tx: Tx, ctx: Context, snapshot: Snapshot) -> None:
        """Have a snapshot removed. Raises WrongState while a volume is made from it, or its group's is being taken."""
        if tx.count(Volume, snapshot_id=snapshot.id, status=(states.CREATING, states.DOWNLOADING)):
            raise WrongState(f"Invalid snapshot: A volume is being made from snapshot {snapshot.id}.")
        taking = f"group_snapshot:{snapshot.group_snapshot_id}" if snapshot.status == states.CREATING else ""
        if taking and tx.count(Task, resource=taking, open=True):
            # It would be removed before it is taken, and then be nobody's.
            raise WrongState(f"Invalid snapshot: Snapshot {snapshot.id} is being taken with others of its group.")
        self.touch(tx, snapshot, status=states.DELETING)
        volume = db.get_volume(tx, snapshot.volume_id)
        self.on(volume.host).unsnap.record(tx, ctx, volume.id, snapshot.id)

    async def restate_snapshot(self, ctx: Context, id: str, status: str, progress: str | None, rule: str) -> None:
        """Say what a snapshot's status is. Raises NotFound, BadRequest for a word that is none."""
        if status not in states.SNAPSHOT_SETTABLE:
            raise BadRequest(f"Must specify a valid status, not {status!r}.")

        def write(tx: Tx) -> None:
            row = self.owned_snapshot(tx, ctx, id, rule)
            self.touch(tx, row, status=status, progress=row.progress if progress is None else progress)

        await self.db.write(write, ctx, why="status set by request")

    # -- on the back end

    @task(deadline=DEADLINE, resource="volume", failed="settle_snap")
    async def snap(self, ctx: Context, volume_id: str, id: str) -> None:
        """Take snapshot `id` of the volume. Safe to repeat."""
        volume, snapshot = await self.db.read(lambda tx: (db.get_volume(tx, volume_id), db.get_snapshot(tx, id)))
        if snapshot.status != states.CREATING:
            return
        async with self.stilled(ctx, volume, taking=[id]) as moment:
            facts = await self.driver_of(volume).ensure_snapshot(SnapshotSpec(id, volume.driver_name))

        def finish(tx: Tx) -> None:
            now = db.get_snapshot(tx, id)
            if now.status == states.CREATING:
                metadata = {**now.metadata, **moment.metadata()}
                size = {"size_gib": facts.size_gib, "progress": "100%"}
                self.touch(tx, now, status=states.AVAILABLE, metadata=metadata, **size)
                self.snapshot_settled(tx, now)

        await self.db.write(finish, ctx, why="the back end took it")

    async def settle_snap(self, ctx: Context, volume_id: str, id: str, err: Error) -> None:
        """The snapshot could not be taken: it says so."""

        def write(tx: Tx) -> None:
            now = db.get_snapshot(tx, id)
            if now.status == states.CREATING:
                self.touch(tx, now, status=states.ERROR)
                self.tell(tx, ctx, ("VOLUME_SNAPSHOT", id, now.project_id), "006_001", f"create snapshot:{told(err)}")
                self.snapshot_settled(tx, now)

        await self.db.write(write, ctx, why=f"could not be taken: {told(err)}")

    @task(deadline=DEADLINE, resource="volume", failed="settle_unsnap", retries=5)
    async def unsnap(self, ctx: Context, volume_id: str, id: str) -> None:
        """Remove snapshot `id` of the volume, then its row. Safe to repeat."""
        volume = await self.db.read(lambda tx: db.get_volume(tx, volume_id))
        await self.driver_of(volume).remove_snapshot(SnapshotSpec(id, volume.driver_name))

        def forget(tx: Tx) -> None:
            row = tx.first(Snapshot, id=id)
            if row is not None:
                tx.delete(row)
                self.snapshot_settled(tx, row)

        await self.db.write(forget, ctx, why="removed from its back end")

    async def settle_unsnap(self, ctx: Context, volume_id: str, id: str, err: Error) -> None:
        """The snapshot could not be removed: it says so."""

        def write(tx: Tx) -> None:
            row = db.get_snapshot(tx, id)
            if row.status == states.DELETING:
                self.touch(tx, row, status=states.ERROR_DELETING)
                self.snapshot_settled(tx, row)

        await self.db.write(write, ctx, why=f"could not be removed: {told(err)}")

    # -- back to one

    async def revert(self, ctx: Context, volume_id: str, id: str) -> None:
        """Have the volume's data be those of its latest snapshot. Raises NotFound, WrongState, BadRequest."""

        def write(tx: Tx) -> None:
            volume = self.owned(tx, ctx, volume_id, "volume:revert_to_snapshot")
            snapshot = self.owned_snapshot(tx, ctx, id, "volume:get_snapshot")
            states.check("revert", "volume", volume_id, volume.status)
            states.check("use snapshot", "snapshot", id, snapshot.status)
            if snapshot.volume_id != volume_id or db.snapshots_of(tx, volume_id)[-1].id != id:
                raise BadRequest(f"Specified snapshot {id} is not the latest one of volume {volume_id}.")
            if snapshot.size_gib != volume.size_gib:
                raise BadRequest("The volume's size must be that of the snapshot it goes back to.")
            if not self.capabilities(tx, volume).revert:
                raise WrongState("Invalid volume: Its back end can't go back to a snapshot.")
            self.touch(tx, volume, status=states.REVERTING, previous_status=volume.status)
            self.touch(tx, snapshot, status=states.SNAPSHOT_RESTORING)
            self.on(volume.host).put_back.record(tx, ctx, volume_id, id)

        await self.db.write(write, ctx, why="reverted by request")

    @task(deadline=DEADLINE, resource="volume", failed="settle_put_back")
    async def put_back(self, ctx: Context, volume_id: str, id: str) -> None:
        """Give the volume its snapshot's data. Safe to repeat."""
        volume = await self.db.read(lambda tx: db.get_volume(tx, volume_id))
        if volume.status != states.REVERTING:
            return
        await self.driver_of(volume).revert(SnapshotSpec(id, volume.driver_name))
        await self._put_back_done(ctx, volume_id, id, states.AVAILABLE, "back to its snapshot")

    async def settle_put_back(self, ctx: Context, volume_id: str, id: str, err: Error) -> None:
        """What the volume holds is not known: it is in error; the snapshot is as it was."""
        await self._put_back_done(ctx, volume_id, id, states.ERROR, f"could not go back: {told(err)}")

    async def _put_back_done(self, ctx: Context, volume_id: str, id: str, status: str, why: str) -> None:
        def write(tx: Tx) -> None:
            volume = db.get_volume(tx, volume_id)
            if volume.status == states.REVERTING:
                self.touch(tx, volume, status=status)
            snapshot = tx.first(Snapshot, id=id)
            if snapshot is not None and snapshot.status == states.SNAPSHOT_RESTORING:
                self.touch(tx, snapshot, status=states.AVAILABLE)

        await self.db.write(write, ctx, why=why)
