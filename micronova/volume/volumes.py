"""Volumes as users ask for them: made, found, renamed, given up. What that takes on a back end is building.py's."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, NotFound, WrongState
from micronova.image.db import Image
from micronova.volume import db, group_specs, listing, pools, quota, states
from micronova.volume.building import Building
from micronova.volume.choice import Choice, Wanted
from micronova.volume.db import Attachment, Backup, Group, Snapshot, Volume, VolumeType
from micronova.volume.driver import gib
from micronova.volume.listing import Page, Query
from micronova.volume.types import is_multiattach

OFFLINE_IMAGE = ("active",)


class NewVolume(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for: blank, or from one of an image, a snapshot, a volume, a backup."""

    size_gib: int | None = None
    name: str | None = None
    description: str | None = None
    metadata: dict[str, str] = {}
    zone: str | None = None
    type_ref: str | None = None
    image_id: str | None = None
    snapshot_id: str | None = None
    source_volume_id: str | None = None
    backup_id: str | None = None
    group_id: str | None = None
    group_snapshot_id: str | None = None
    multiattach: bool = False
    near_host: str = ""
    """The host whose server it is for: its own back ends are taken first."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What a new volume takes from where its data come from. `pool` "": it may lie anywhere."""

    least_gib: int = 0
    pool: str = ""
    type_id: str = ""
    bootable: bool = False
    image_metadata: dict[str, str] | None = None
    what: str = ""
    encrypted: bool | None = None
    """None: whatever the new volume is, its data can be written there."""


class VolumeView(msgspec.Struct, frozen=True, kw_only=True):
    """A volume and what is shown with it."""

    row: Volume
    attachments: Sequence[Attachment] = ()
    type_name: str | None = None


class Volumes(Building):
    """The part of the manager that takes orders for volumes."""

    # -- new ones

    async def create(self, ctx: Context, asked: NewVolume) -> VolumeView:
        """Record a volume and have its back end make it; returns at once, status "creating".

        One that no back end can take is there too, in error, with a message. Raises BadRequest, NotFound,
        QuotaExceeded, WrongState when nothing was recorded.
        """
        image = await self._image_for(ctx, asked)
        record = partial(self.record_new, ctx=ctx, asked=asked, image=image)
        row = await self.db.write(record, ctx, why="created by request")
        return await self.db.read(lambda tx: self.view(tx, [row])[0])

    async def _image_for(self, ctx: Context, asked: NewVolume) -> Image | None:
        if asked.image_id is None:
            return None
        self.require(ctx, "volume:create_from_image", ctx.project_id)
        try:
            image = await self.image.get(ctx, asked.image_id)
        except NotFound as err:
            raise BadRequest("Invalid image identifier or unable to access requested image.") from err
        if image.status not in OFFLINE_IMAGE:
            raise BadRequest(f"Image {image.id} is not active.")
        return image

    def record_new(self, tx: Tx, ctx: Context, asked: NewVolume, image: Image | None = None) -> Volume:
        """Store a new volume with the task that makes it. Raises as `create` does."""
        self.require(ctx, "volume:create", ctx.project_id)
        if not ctx.project_id:
            raise BadRequest("A volume belongs to a project: ask with a token of one.")
        origin = self._origin(tx, ctx, asked, image)
        size_gib = _size(asked, origin)
        found = self._type(tx, ctx, asked, origin)
        quota.check_size(tx, self.quota, ctx.project_id, size_gib)
        quota.admit(tx, self.quota, ctx.project_id, {"volumes": 1, "gigabytes": size_gib}, found.id)
        id = self.clock.new_id()
        chosen = self._place_new(tx, id, asked, origin, (size_gib, found))
        row = tx.insert(self._row(tx, ctx, asked, origin, (id, size_gib, found), chosen))
        if not chosen.pool:
            self.tell_nowhere(tx, ctx, row)
        else:
            self.on(row.host).build.record(tx, ctx, row.id)
        return row

    def _origin(self, tx: Tx, ctx: Context, asked: NewVolume, image: Image | None) -> Origin:
        given = [asked.image_id, asked.snapshot_id, asked.source_volume_id, asked.backup_id]
        if sum(one is not None for one in given) > 1:
            raise BadRequest("A volume can be made from one source only: image, snapshot, volume or backup.")
        if image is not None:
            return _of_image(image)
        if asked.snapshot_id is not None:
            return self._of_snapshot(tx, ctx, asked.snapshot_id)
        if asked.source_volume_id is not None:
            return self._of_volume(tx, ctx, asked.source_volume_id)
        if asked.backup_id is not None:
            return self._of_backup(tx, ctx, asked.backup_id)
        return Origin()

    def _of_snapshot(self, tx: Tx, ctx: Context, id: str) -> Origin:
        snapshot = self.owned_snapshot(tx, ctx, id, "volume:get_snapshot")
        states.check("use snapshot", "snapshot", id, snapshot.status)
        volume = db.get_volume(tx, snapshot.volume_id)
        return self._like(volume, snapshot.size_gib, "snapshot")

    def _of_volume(self, tx: Tx, ctx: Context, id: str) -> Origin:
        volume = self.owned(tx, ctx, id, "volume:get")
        states.check("clone", "volume", id, volume.status)
        if volume.status == states.IN_USE and not self.capabilities(tx, volume).clone_in_use:
            raise WrongState(f"Invalid volume: Volume {id} is in use and its back end can't copy it meanwhile.")
        return self._like(volume, volume.size_gib, "source volume")

    def _like(self, volume: Volume, least_gib: int, what: str) -> Origin:
        return Origin(
            least_gib=least_gib,
            pool=pools.name_of(volume.host, volume.backend),
            type_id=volume.type_id,
            bootable=volume.bootable,
            image_metadata=volume.image_metadata,
            what=what,
            encrypted=volume.encryption_key_id is not None,
        )

    def _of_backup(self, tx: Tx, ctx: Context, id: str) -> Origin:
        backup = tx.first(Backup, id=id)
        if backup is None or not (ctx.is_admin or backup.project_id == ctx.project_id):
            raise NotFound(f"Backup {id} could not be found.", id=id)
        states.check("restore backup", "backup", id, backup.status)
        return Origin(
            least_gib=backup.size_gib, bootable=backup.bootable, image_metadata=backup.image_metadata, what="backup"
        )

    def _type(self, tx: Tx, ctx: Context, asked: NewVolume, origin: Origin) -> VolumeType:
        if asked.type_ref is not None:
            found = self.types.visible(tx, ctx, asked.type_ref)
        elif origin.type_id:
            found = tx.first(VolumeType, id=origin.type_id) or self.types.default(tx, ctx.project_id)
        else:
            found = self.types.default(tx, ctx.project_id)
        if origin.encrypted is not None and origin.encrypted != (found.encryption is not None):
            raise BadRequest("Invalid input received: A copy is encrypted as its origin is: the types must agree.")
        if asked.multiattach and not is_multiattach(found):
            raise BadRequest("A volume that can be attached more than once needs a volume type that says so.")
        return found

    def _place_new(self, tx: Tx, id: str, asked: NewVolume, origin: Origin, sized: tuple[int, VolumeType]) -> Choice:
        size_gib, found = sized
        zones = {view.row.zone for view in self.views(tx)}
        if asked.zone is not None and asked.zone not in zones:
            raise BadRequest(f"Availability zone '{asked.zone}' is invalid.")
        only: tuple[str, ...] = (origin.pool,) if origin.pool else ()
        if asked.group_id is not None:
            only = self._pool_of_group(tx, asked.group_id) or only
        specs = self.specs_of(found)
        wanted = Wanted(size_gib=size_gib, zone=asked.zone, specs=specs, only=only, near_host=asked.near_host)
        return self.place(tx, id, wanted)

    def _pool_of_group(self, tx: Tx, group_id: str) -> tuple[str, ...]:
        group = tx.first(Group, id=group_id)
        if group is None:
            raise NotFound(f"Group {group_id} could not be found.", id=group_id)
        place = group_specs.place(tx, group)
        return (pools.name_of(*place),) if place is not None else ()

    def _row(
        self, tx: Tx, ctx: Context, asked: NewVolume, origin: Origin, sized: tuple[str, int, VolumeType], chosen: Choice
    ) -> Volume:
        id, size_gib, found = sized
        zones = {view.row.id: view.row.zone for view in self.views(tx)}
        return Volume(
            id=id,
            project_id=ctx.project_id,
            user_id=ctx.user_id,
            name=asked.name,
            description=asked.description,
            size_gib=size_gib,
            status=states.CREATING if chosen.pool else states.ERROR,
            host=chosen.host,
            backend=chosen.backend,
            driver_name=id,
            zone=zones.get(chosen.pool) or asked.zone or self.config.options.service.zone,
            type_id=found.id,
            bootable=False,
            multiattach=is_multiattach(found),
            encryption_key_id=self._key_for(found) if chosen.pool else None,
            metadata=asked.metadata,
            image_metadata=origin.image_metadata,
            snapshot_id=asked.snapshot_id,
            source_volume_id=asked.source_volume_id,
            image_id=asked.image_id,
            backup_id=asked.backup_id,
            group_id=asked.group_id,
            group_snapshot_id=asked.group_snapshot_id,
            created_at=tx.now,
        )

    def _key_for(self, found: VolumeType) -> str | None:
        """The id of the key that the volume's own host will make."""
        return self.clock.new_id() if found.encryption is not None else None

    def tell_nowhere(self, tx: Tx, ctx: Context, volume: Volume) -> None:
        """Say that no back end takes the volume."""
        text = "schedule allocate volume:Could not find any available weighted backend."
        self.tell(tx, ctx, ("VOLUME", volume.id, volume.project_id), "001_002", text)

    # -- looked at

    def view(self, tx: Tx, rows: Sequence[Volume]) -> list[VolumeView]:
        """Volumes with what is shown of them."""
        attachments = db.attachments_by_volume(tx, [row.id for row in rows])
        names = db.type_names(tx)
        return [
            VolumeView(row=row, attachments=attachments.get(row.id, ()), type_name=names.get(row.type_id))
            for row in rows
        ]

    async def get(self, ctx: Context, id: str) -> VolumeView:
        """Volume `id`. Raises NotFound for a missing one and another project's."""
        return await self.db.read(lambda tx: self.view(tx, [self.owned(tx, ctx, id, "volume:get")])[0])

    async def find(self, ctx: Context, query: Query) -> tuple[list[VolumeView], Page]:
        """The volumes a query asks for. Raises NotFound when its marker is gone."""

        def look(tx: Tx) -> tuple[list[VolumeView], Page]:
            found = listing.page(tx, ctx, Volume, query, "Volume")
            return self.view(tx, found.rows), found

        return await self.db.read(look)

    # -- changed without a back end

    async def update(self, ctx: Context, id: str, values: Mapping[str, Any]) -> VolumeView:
        """Change name, description or metadata. Raises NotFound."""

        def write(tx: Tx) -> VolumeView:
            row = self.owned(tx, ctx, id, "volume:update")
            return self.view(tx, [self.touch(tx, row, **values)])[0]

        return await self.db.write(write, ctx, why="changed by request")

    async def set_metadata(self, ctx: Context, id: str, values: Mapping[str, str], *, replace: bool) -> dict[str, str]:
        """The volume has these metadata, beside others or (`replace`) alone; returns all of them. Raises NotFound."""

        def write(tx: Tx) -> dict[str, str]:
            row = self.owned(tx, ctx, id, "volume:update_volume_metadata")
            kept = {} if replace else row.metadata
            return self.touch(tx, row, metadata={**kept, **values}).metadata

        return await self.db.write(write, ctx, why="metadata changed by request")

    async def unset_metadata(self, ctx: Context, id: str, key: str) -> None:
        """The volume has lost this key. Raises NotFound also when it did not have it."""

        def write(tx: Tx) -> None:
            row = self.owned(tx, ctx, id, "volume:delete_volume_metadata")
            if key not in row.metadata:
                raise NotFound(f"Metadata item was not found: {key}")
            self.touch(tx, row, metadata={name: value for name, value in row.metadata.items() if name != key})

        await self.db.write(write, ctx, why="metadata changed by request")

    # -- given up

    async def delete(self, ctx: Context, id: str, *, cascade: bool = False, force: bool = False) -> None:
        """Have the volume removed, with its snapshots if `cascade`; `force`: whatever its status.

        Raises NotFound, Forbidden, WrongState.
        """
        rule = "volume_extension:volume_admin_actions:force_delete" if force else "volume:delete"

        def write(tx: Tx) -> None:
            self.record_delete(tx, ctx, self.owned(tx, ctx, id, rule), cascade=cascade, force=force)

        await self.db.write(write, ctx, why="deleted by request")

    def record_delete(
        self, tx: Tx, ctx: Context, volume: Volume, *, cascade: bool = False, force: bool = False
    ) -> None:
        """Have the volume removed, as `delete` does. Raises WrongState."""
        snapshots = db.snapshots_of(tx, volume.id)
        if not force:
            self._check_deletable(tx, volume, snapshots, cascade=cascade)
        elif snapshots and not cascade:
            text = f"Invalid volume: Volume {volume.id} still has {len(snapshots)} dependent snapshots."
            raise WrongState(text, id=volume.id)
        if not volume.host:
            self.forget(tx, volume)
            return
        for snapshot in snapshots:
            self.touch(tx, snapshot, status=states.DELETING)
        previous = volume.previous_status if volume.status == states.DELETING else volume.status
        self.touch(tx, volume, status=states.DELETING, previous_status=previous, migration_status=None)
        self.on(volume.host).scrap.record(tx, ctx, volume.id)

    def _check_deletable(self, tx: Tx, volume: Volume, snapshots: Sequence[Snapshot], *, cascade: bool) -> None:
        making = (states.CREATING, states.DOWNLOADING)
        if tx.count(Volume, source_volume_id=volume.id, status=making):
            raise WrongState(f"Invalid volume: Volume {volume.id} is being copied.", id=volume.id)
        in_group = volume.group_id is not None and volume.status != states.ERROR
        busy = snapshots if not cascade else [row for row in snapshots if row.status not in ("available", "error")]
        attached = db.attachments_of(tx, volume.id)
        if volume.status not in states.ALLOWED["delete"] or busy or attached or in_group:
            raise WrongState(
                "Invalid volume: Volume status must be available or error or error_restoring or error_extending or "
                "error_managing and must not be migrating, attached, belong to a group, have snapshots, awaiting a "
                "transfer, or be disassociated from snapshots after volume transfer.",
                id=volume.id,
            )

    async def summary(self, ctx: Context, *, all_projects: bool) -> tuple[int, int, dict[str, list[str]]]:
        """How many volumes there are, their GiB, and by metadata key the values that occur."""

        def look(tx: Tx) -> tuple[int, int, dict[str, list[str]]]:
            self.require(ctx, "volume:get_all", ctx.project_id)
            where = {} if all_projects and ctx.is_admin else {"project_id": ctx.project_id}
            rows = tx.find(Volume, **where)  # type: ignore[arg-type]
            values: dict[str, list[str]] = {}
            for row in rows:
                for key, value in row.metadata.items():
                    if value not in values.setdefault(key, []):
                        values[key].append(value)
            return len(rows), sum(row.size_gib for row in rows), values

        return await self.db.read(look)


def _size(asked: NewVolume, origin: Origin) -> int:
    size_gib = asked.size_gib if asked.size_gib is not None else origin.least_gib
    if size_gib < 1:
        raise BadRequest("Invalid input received: Volume size must be a number of GiB greater than 0.")
    if size_gib < origin.least_gib:
        raise BadRequest(
            f"Invalid input received: Volume size '{size_gib}'GB cannot be smaller than original {origin.what} size "
            f"{origin.least_gib}GB. They must be >= original {origin.what} size."
        )
    return size_gib


def _of_image(image: Image) -> Origin:
    size = image.size if image.virtual_size is None else image.virtual_size
    facts = {
        "image_id": image.id,
        "image_name": image.name or "",
        "checksum": image.checksum or "",
        "container_format": image.container_format or "",
        "disk_format": image.disk_format or "",
        "min_disk": str(image.min_disk),
        "min_ram": str(image.min_ram),
        "size": str(image.size or 0),
    }
    return Origin(
        least_gib=max(gib(size or 0), image.min_disk),
        bootable=True,
        image_metadata={**image.properties, **facts},
        what="image",
    )
