"""Groups of volumes, and snapshots of a whole group."""

from collections.abc import Sequence
from typing import Any

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, Error, NotFound, Rejected, WrongState
from micronova.manager import task
from micronova.volume import db, group_specs, listing, quota, states
from micronova.volume.base import told
from micronova.volume.db import Group, GroupSnapshot, GroupType, Snapshot, Volume
from micronova.volume.driver import GroupDriver, SnapshotSpec
from micronova.volume.kinds import sees
from micronova.volume.listing import Page, Query
from micronova.volume.snapshots import DEADLINE, NewSnapshot, Snapshots
from micronova.volume.volumes import NewVolume, Volumes

SETTABLE = (states.AVAILABLE, states.CREATING, states.DELETING, states.ERROR, states.ERROR_DELETING, "updating")


class NewGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A group to be: of types, or like a group or a group snapshot."""

    name: str | None = None
    description: str | None = None
    group_type: str = ""
    volume_types: tuple[str, ...] = ()
    zone: str | None = None
    group_snapshot_id: str | None = None
    source_group_id: str | None = None


class GroupView(msgspec.Struct, frozen=True, kw_only=True):
    """A group and its volumes' ids."""

    row: Group
    volumes: Sequence[str] = ()


class Groups(Volumes, Snapshots):
    """The part of the manager that has to do with groups."""

    # -- groups

    async def create_group(self, ctx: Context, asked: NewGroup) -> Group:
        """A new group. Raises NotFound, BadRequest, QuotaExceeded."""

        def record(tx: Tx) -> Group:
            self.require(ctx, "group:create", ctx.project_id)
            quota.admit(tx, self.quota, ctx.project_id, {"groups": 1})
            if asked.group_snapshot_id is not None or asked.source_group_id is not None:
                return self._copy_group(tx, ctx, asked)
            kind = tx.first(GroupType, id=asked.group_type) or tx.first(GroupType, name=asked.group_type)
            if kind is None or not sees(ctx, kind):
                raise NotFound(f"Group type {asked.group_type} could not be found.")
            types = [self.types.visible(tx, ctx, ref).id for ref in asked.volume_types]
            if not types:
                raise BadRequest("volume_types must be provided to create group.")
            return self._insert_group(tx, ctx, asked, kind.id, tuple(types))

        return await self.db.write(record, ctx, why="created by request")

    def _insert_group(self, tx: Tx, ctx: Context, asked: NewGroup, kind: str, types: tuple[str, ...]) -> Group:
        return tx.insert(
            Group(
                id=self.clock.new_id(),
                project_id=ctx.project_id,
                user_id=ctx.user_id,
                name=asked.name,
                description=asked.description,
                status=states.AVAILABLE,
                group_type_id=kind,
                volume_type_ids=types,
                zone=asked.zone or self.config.options.service.zone,
                group_snapshot_id=asked.group_snapshot_id,
                source_group_id=asked.source_group_id,
                created_at=tx.now,
            )
        )

    def _copy_group(self, tx: Tx, ctx: Context, asked: NewGroup) -> Group:
        """A group with copies of another's volumes, or of the volumes of its snapshot."""
        if asked.source_group_id is not None:
            origin = self.owned_group(tx, ctx, asked.source_group_id, "group:get")
            made = self._insert_group(tx, ctx, asked, origin.group_type_id, origin.volume_type_ids)
            for volume in tx.find(Volume, group_id=origin.id):
                self.record_new(tx, ctx, NewVolume(name=volume.name, source_volume_id=volume.id, group_id=made.id))
            return made
        shot = self.owned_group_snapshot(tx, ctx, asked.group_snapshot_id or "", "group:get_group_snapshot")
        origin = self.owned_group(tx, ctx, shot.group_id, "group:get")
        made = self._insert_group(tx, ctx, asked, origin.group_type_id, origin.volume_type_ids)
        for snapshot in tx.find(Snapshot, group_snapshot_id=shot.id):
            new = NewVolume(name=snapshot.name, snapshot_id=snapshot.id, group_id=made.id, group_snapshot_id=shot.id)
            self.record_new(tx, ctx, new)
        return made

    def owned_group(self, tx: Tx, ctx: Context, id: str, rule: str) -> Group:
        """Group `id`, as `owned` does it for volumes."""
        row = tx.first(Group, id=id)
        if row is None or not (ctx.is_admin or row.project_id == ctx.project_id):
            raise NotFound(f"Group {id} could not be found.", id=id)
        self.require(ctx, rule, row.project_id)
        return row

    async def get_group(self, ctx: Context, id: str) -> GroupView:
        """One group. Raises NotFound."""

        def look(tx: Tx) -> GroupView:
            row = self.owned_group(tx, ctx, id, "group:get")
            return GroupView(row=row, volumes=[volume.id for volume in tx.find(Volume, group_id=id)])

        return await self.db.read(look)

    async def find_groups(self, ctx: Context, query: Query) -> tuple[list[GroupView], Page]:
        """The groups a query asks for."""

        def look(tx: Tx) -> tuple[list[GroupView], Page]:
            found = listing.page(tx, ctx, Group, query, "Group")
            views = [
                GroupView(row=row, volumes=[volume.id for volume in tx.find(Volume, group_id=row.id)])
                for row in found.rows
            ]
            return views, found

        return await self.db.read(look)

    async def update_group(
        self, ctx: Context, id: str, values: dict[str, Any], add: Sequence[str], remove: Sequence[str]
    ) -> None:
        """Change name, description, members. Raises NotFound, BadRequest, WrongState."""

        def write(tx: Tx) -> None:
            group = self.owned_group(tx, ctx, id, "group:update")
            for volume_id in add:
                volume = self.owned(tx, ctx, volume_id, "volume:update")
                states.check("join a group", "volume", volume_id, volume.status)
                if volume.group_id not in (None, id) or volume.type_id not in group.volume_type_ids:
                    raise BadRequest(f"Invalid volume: Cannot add volume {volume_id} to group {id}.")
                if group_specs.place(tx, group) not in (None, (volume.host, volume.backend)):
                    raise BadRequest(f"Invalid volume: Volume {volume_id} lies on another back end than group {id}.")
                self.touch(tx, volume, group_id=id)
            for volume_id in remove:
                volume = self.owned(tx, ctx, volume_id, "volume:update")
                if volume.group_id != id:
                    raise BadRequest(f"Invalid volume: Volume {volume_id} is not in group {id}.")
                self.touch(tx, volume, group_id=None)
            tx.change(group, updated_at=tx.now, **values)

        await self.db.write(write, ctx, why="changed by request")

    async def delete_group(self, ctx: Context, id: str, *, with_volumes: bool) -> None:
        """Forget the group, and have its volumes removed if that is said: all of it, or nothing.

        Raises NotFound, BadRequest, WrongState also for a volume that can't be removed now.
        """

        def write(tx: Tx) -> None:
            group = self.owned_group(tx, ctx, id, "group:delete")
            members = tx.find(Volume, group_id=id)
            if members and not with_volumes:
                raise BadRequest(f"Invalid group: Group {id} is not empty. delete-volumes flag needs to be set.")
            if tx.count(GroupSnapshot, group_id=id):
                raise WrongState(f"Invalid group: Group {id} still has snapshots.")
            for row in members:
                volume = self.touch(tx, self.owned(tx, ctx, row.id, "volume:delete"), group_id=None)
                self.record_delete(tx, ctx, volume)
            tx.delete(group)

        await self.db.write(write, ctx, why="deleted by request")

    async def reset_group(self, ctx: Context, id: str, status: str) -> None:
        """Say what a group's status is. Raises NotFound, BadRequest."""
        if status not in SETTABLE:
            raise BadRequest(f"Must specify a valid status, not {status!r}.")

        def write(tx: Tx) -> None:
            tx.change(self.owned_group(tx, ctx, id, "group:reset_status"), status=status, updated_at=tx.now)

        await self.db.write(write, ctx, why="status set by an administrator")

    # -- group snapshots

    def owned_group_snapshot(self, tx: Tx, ctx: Context, id: str, rule: str) -> GroupSnapshot:
        """Group snapshot `id`, as `owned` does it for volumes."""
        row = tx.first(GroupSnapshot, id=id)
        if row is None or not (ctx.is_admin or row.project_id == ctx.project_id):
            raise NotFound(f"GroupSnapshot {id} could not be found.", id=id)
        self.require(ctx, rule, row.project_id)
        return row

    async def create_group_snapshot(
        self, ctx: Context, group_id: str, name: str | None, description: str | None
    ) -> GroupSnapshot:
        """Have all volumes of the group snapshot. Raises NotFound, BadRequest when it is empty, WrongState, quota."""

        def record(tx: Tx) -> GroupSnapshot:
            group = self.owned_group(tx, ctx, group_id, "group:create_group_snapshot")
            members = tx.find(Volume, group_id=group_id)
            if not members:
                raise BadRequest(f"Invalid group: Source group {group_id} is empty. Can not create group snapshot.")
            shot = tx.insert(
                GroupSnapshot(
                    id=self.clock.new_id(),
                    group_id=group_id,
                    project_id=group.project_id,
                    user_id=ctx.user_id,
                    name=name,
                    description=description,
                    status=states.CREATING,
                    group_type_id=group.group_type_id,
                    created_at=tx.now,
                )
            )
            together = group_specs.is_consistent(tx, group)
            if together:
                self._check_together(tx, group, members)
                self.on(members[0].host).snap_group.record(tx, ctx, shot.id)
            for volume in members:
                new = NewSnapshot(volume_id=volume.id, name=name, force=True, group_snapshot_id=shot.id)
                take = self.insert_snapshot if together else self.record_snapshot
                take(tx, ctx, new)
            return shot

        return await self.db.write(record, ctx, why="created by request")

    def _check_together(self, tx: Tx, group: Group, members: Sequence[Volume]) -> None:
        """Raises BadRequest when no back end can take snapshots of all these volumes at one instant."""
        if len({(volume.host, volume.backend) for volume in members}) > 1:
            raise BadRequest(f"Invalid group: The volumes of group {group.id} do not all lie on one back end.")
        if not self.capabilities(tx, members[0]).group_snapshot:
            raise BadRequest(f"Invalid group: The back end of group {group.id} can't take consistent group snapshots.")

    def record_taking(self, tx: Tx, ctx: Context, snapshot: Snapshot) -> None:
        """Have a snapshot taken that is being created: with those of its group, if they belong to one instant."""
        volume = db.get_volume(tx, snapshot.volume_id)
        shot = tx.first(GroupSnapshot, id=snapshot.group_snapshot_id) if snapshot.group_snapshot_id else None
        group = tx.first(Group, id=shot.group_id) if shot is not None else None
        if shot is not None and group is not None and group_specs.is_consistent(tx, group):
            self.on(volume.host).snap_group.record(tx, ctx, shot.id)
        else:
            self.on(volume.host).snap.record(tx, ctx, volume.id, snapshot.id)

    @task(deadline=DEADLINE, resource="group_snapshot", failed="settle_snap_group")
    async def snap_group(self, ctx: Context, id: str) -> None:
        """Take all snapshots of group snapshot `id` at one instant. Safe to repeat: until it is done, none counts."""
        taking = await self.db.read(lambda tx: _being_taken(tx, id))
        if not taking:
            return
        driver = self.driver_of(taking[0][1])
        if not isinstance(driver, GroupDriver):
            raise Rejected("this back end can't take consistent group snapshots")
        ids = [row.id for row, _ in taking]
        async with self.stilled(ctx, *(of for _, of in taking), taking=ids) as moment:
            facts = await driver.ensure_group_snapshot([SnapshotSpec(row.id, of.driver_name) for row, of in taking])
        sizes = {one.name: one.size_gib for one in facts}

        def finish(tx: Tx) -> None:
            for row, _ in _being_taken(tx, id):
                size = {"size_gib": sizes.get(row.id, row.size_gib), "progress": "100%"}
                self.touch(tx, row, status=states.AVAILABLE, metadata={**row.metadata, **moment.metadata()}, **size)
                self.snapshot_settled(tx, row)

        await self.db.write(finish, ctx, why="the back end took them all")

    async def settle_snap_group(self, ctx: Context, id: str, err: Error) -> None:
        """The snapshots could not be taken together: none of them counts, and they say so."""

        def write(tx: Tx) -> None:
            for row, _ in _being_taken(tx, id):
                self.touch(tx, row, status=states.ERROR)
                text = f"create snapshot:{told(err)}"
                self.tell(tx, ctx, ("VOLUME_SNAPSHOT", row.id, row.project_id), "006_001", text)
                self.snapshot_settled(tx, row)

        await self.db.write(write, ctx, why=f"could not be taken: {told(err)}")

    async def get_group_snapshot(self, ctx: Context, id: str) -> GroupSnapshot:
        """One group snapshot. Raises NotFound."""
        return await self.db.read(lambda tx: self.owned_group_snapshot(tx, ctx, id, "group:get_group_snapshot"))

    async def find_group_snapshots(self, ctx: Context, query: Query) -> Page:
        """The group snapshots a query asks for."""
        return await self.db.read(lambda tx: listing.page(tx, ctx, GroupSnapshot, query, "GroupSnapshot"))

    async def delete_group_snapshot(self, ctx: Context, id: str) -> None:
        """Have the snapshots of the group snapshot removed, and it with them. Raises NotFound, WrongState."""

        def write(tx: Tx) -> None:
            shot = self.owned_group_snapshot(tx, ctx, id, "group:delete_group_snapshot")
            states.check("delete snapshot", "group snapshot", id, shot.status)
            rows = tx.find(Snapshot, group_snapshot_id=id)
            if not rows:
                tx.delete(shot)
                return
            tx.change(shot, status=states.DELETING, updated_at=tx.now)
            for row in rows:
                self.record_unsnap(tx, ctx, row)

        await self.db.write(write, ctx, why="deleted by request")

    async def reset_group_snapshot(self, ctx: Context, id: str, status: str) -> None:
        """Say what a group snapshot's status is. Raises NotFound, BadRequest."""
        if status not in SETTABLE:
            raise BadRequest(f"Must specify a valid status, not {status!r}.")

        def write(tx: Tx) -> None:
            row = self.owned_group_snapshot(tx, ctx, id, "group:reset_group_snapshot_status")
            tx.change(row, status=status, updated_at=tx.now)

        await self.db.write(write, ctx, why="status set by an administrator")

    def snapshot_settled(self, tx: Tx, snapshot: Snapshot) -> None:
        """A group snapshot is what its snapshots are: complete when all are, gone when none is left."""
        shot = tx.first(GroupSnapshot, id=snapshot.group_snapshot_id) if snapshot.group_snapshot_id else None
        if shot is None:
            return
        left = {row.status for row in tx.find(Snapshot, group_snapshot_id=shot.id)}
        if shot.status == states.DELETING:
            if not left:
                tx.delete(shot)
            elif states.ERROR_DELETING in left:
                tx.change(shot, status=states.ERROR_DELETING, updated_at=tx.now)
        elif shot.status == states.CREATING and states.CREATING not in left:
            status = states.AVAILABLE if left and states.ERROR not in left else states.ERROR
            tx.change(shot, status=status, updated_at=tx.now)


def _being_taken(tx: Tx, id: str) -> list[tuple[Snapshot, Volume]]:
    """The snapshots of a group snapshot that are not there yet, each with its volume."""
    rows = tx.find(Snapshot, group_snapshot_id=id, status=states.CREATING, order=(("id", True),))
    return [(row, db.get_volume(tx, row.volume_id)) for row in rows]
