"""What happens to a volume in its life: it grows, changes its type, is marked; what an administrator may say of it."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, DriverError, Error, NotFound, WrongState
from micronova.manager import task
from micronova.volume import choice, db, pools, quota, states
from micronova.volume.attachments import Attachments
from micronova.volume.base import told
from micronova.volume.contract import Grown
from micronova.volume.db import Volume, VolumeType
from micronova.volume.types import is_multiattach

LOG = logging.getLogger(__name__)
GrownHook = Callable[[Tx, Context, Grown], None]


class Reset(msgspec.Struct, frozen=True, kw_only=True):
    """What an administrator says of a volume; None leaves it."""

    status: str | None = None
    attach_status: str | None = None
    migration_status: str | None = None


class Changes(Attachments, ABC):
    """The part of the manager that changes volumes."""

    on_grown: GrownHook | None = None
    """Called in the transaction that stores an attached volume's new size; the wiring sets it for compute."""

    # -- size

    async def extend(self, ctx: Context, id: str, size_gib: int, *, in_use: bool) -> None:
        """Have the volume grow; `in_use`: also while it is attached. Raises NotFound, BadRequest, WrongState, quota."""

        def write(tx: Tx) -> None:
            volume = self.owned(tx, ctx, id, "volume:extend")
            states.check("extend in use" if in_use else "extend", "volume", id, volume.status)
            if volume.status == states.IN_USE and not self.capabilities(tx, volume).extend_in_use:
                raise WrongState(f"Invalid volume: Volume {id} is in use and its back end can't grow it meanwhile.")
            if size_gib <= volume.size_gib:
                raise BadRequest(
                    "Invalid input received: New size for extend must be greater than current size. "
                    f"(current: {volume.size_gib}, extended: {size_gib})."
                )
            more = size_gib - volume.size_gib
            quota.check_size(tx, self.quota, volume.project_id, size_gib)
            quota.admit(tx, self.quota, volume.project_id, {"gigabytes": more}, volume.type_id)
            self.touch(tx, volume, status=states.EXTENDING, previous_status=volume.status, growing_gib=more)
            self.on(volume.host).grow.record(tx, ctx, id, size_gib)

        await self.db.write(write, ctx, why="extended by request")

    @task(deadline=3600, resource="volume", failed="settle_grow")
    async def grow(self, ctx: Context, id: str, size_gib: int) -> None:
        """Make the volume this large. Safe to repeat."""
        volume = await self.db.read(lambda tx: db.get_volume(tx, id))
        if volume.status != states.EXTENDING:
            return
        facts = await self.driver_of(volume).extend(volume.driver_name, size_gib)

        def finish(tx: Tx) -> None:
            now = db.get_volume(tx, id)
            if now.status == states.EXTENDING:
                self._grown(tx, ctx, now, facts.size_gib)

        await self.db.write(finish, ctx, why="the back end extended it")

    def _grown(self, tx: Tx, ctx: Context, volume: Volume, size_gib: int) -> None:
        volume = self.touch(tx, volume, status=self.rest_status(tx, volume), size_gib=size_gib, growing_gib=0)
        self._tell_grown(tx, ctx, volume)

    async def settle_grow(self, ctx: Context, id: str, size_gib: int, err: Error) -> None:
        """The volume says that it could not grow, unless it did all the same; its size is what it has.

        When its back end does not say what that is, the growth counts until `reconcile` has heard.
        """
        volume = await self.db.read(lambda tx: db.get_volume(tx, id))
        measured = await self._measured(volume)

        def write(tx: Tx) -> None:
            now = db.get_volume(tx, id)
            if now.status != states.EXTENDING:
                return
            if measured is not None and measured >= size_gib:
                self._grown(tx, ctx, now, measured)
                return
            known = {} if measured is None else {"size_gib": measured, "growing_gib": 0}
            self.touch(tx, now, status=states.ERROR_EXTENDING, **known)
            self.tell(tx, ctx, ("VOLUME", id, now.project_id), "008_001", f"extend volume:{told(err)}")

        await self.db.write(write, ctx, why=f"could not grow: {told(err)}")

    async def _measured(self, volume: Volume) -> int | None:
        """The GiB that the volume has on its back end; None when that does not say."""
        try:
            there = await self.driver_of(volume).list()
        except DriverError as err:
            LOG.warning("volume %s: how large it is was not told: %s", volume.id, err)
            return None
        return next((found.size_gib for found in there.volumes if found.name == volume.driver_name), None)

    def _tell_grown(self, tx: Tx, ctx: Context, volume: Volume) -> None:
        if self.on_grown is None:
            return
        for row in db.attachments_of(tx, volume.id):
            if row.server_id and row.status == states.ATTACHED:
                grown = Grown(
                    attachment_id=row.id,
                    volume_id=volume.id,
                    server_id=row.server_id,
                    host=row.host,
                    size_gib=volume.size_gib,
                )
                self.on_grown(tx, ctx, grown)

    # -- marks

    async def set_bootable(self, ctx: Context, id: str, bootable: bool) -> None:
        """Say whether one can boot from the volume. Raises NotFound."""
        await self._mark(ctx, id, "volume:update", bootable=bootable)

    async def set_readonly(self, ctx: Context, id: str, read_only: bool) -> None:
        """Say whether the volume may only be read. Raises NotFound, WrongState."""

        def write(tx: Tx) -> None:
            volume = self.owned(tx, ctx, id, "volume:update_readonly_flag")
            states.check("readonly", "volume", id, volume.status)
            self.touch(tx, volume, read_only=read_only)

        await self.db.write(write, ctx, why="changed by request")

    async def _mark(self, ctx: Context, id: str, rule: str, *, bootable: bool) -> None:
        def write(tx: Tx) -> None:
            self.touch(tx, self.owned(tx, ctx, id, rule), bootable=bootable)

        await self.db.write(write, ctx, why="changed by request")

    async def reset(self, ctx: Context, id: str, said: Reset) -> None:
        """Say what a volume's status is, or that it is not attached. Raises NotFound, BadRequest."""
        if said.status is not None and said.status not in states.SETTABLE:
            raise BadRequest(f"Must specify a valid status, not {said.status!r}.")
        if said.attach_status not in (None, "attached", "detached"):
            raise BadRequest("Must specify a valid attach status.")

        def write(tx: Tx) -> None:
            volume = self.owned(tx, ctx, id, "volume_extension:volume_admin_actions:reset_status")
            values: dict[str, object] = {}
            if said.status is not None:
                values["status"] = said.status
            if said.migration_status is not None:
                values["migration_status"] = None if said.migration_status == "none" else said.migration_status
            self.touch(tx, volume, **values)
            if said.attach_status == "detached":
                for row in db.attachments_of(tx, id):
                    if row.connection is None:
                        tx.delete(row)
                    else:
                        self.on(volume.host).disconnect.record(tx, ctx, row.id)

        await self.db.write(write, ctx, why="status set by an administrator")

    # -- image metadata

    async def image_metadata(self, ctx: Context, id: str) -> dict[str, str]:
        """What is known of the image the volume was made from. Raises NotFound."""

        def look(tx: Tx) -> dict[str, str]:
            return self.owned(tx, ctx, id, "volume_extension:volume_image_metadata:show").image_metadata or {}

        return await self.db.read(look)

    async def set_image_metadata(self, ctx: Context, id: str, values: Mapping[str, str]) -> dict[str, str]:
        """The volume tells this of its image, beside what it told; returns all. Raises NotFound."""

        def write(tx: Tx) -> dict[str, str]:
            volume = self.owned(tx, ctx, id, "volume_extension:volume_image_metadata:set")
            changed = self.touch(tx, volume, image_metadata={**(volume.image_metadata or {}), **values})
            return changed.image_metadata or {}

        return await self.db.write(write, ctx, why="changed by request")

    async def unset_image_metadata(self, ctx: Context, id: str, key: str) -> None:
        """The volume no longer tells this of its image. Raises NotFound also when it did not."""

        def write(tx: Tx) -> None:
            volume = self.owned(tx, ctx, id, "volume_extension:volume_image_metadata:remove")
            had = volume.image_metadata or {}
            if key not in had:
                raise NotFound(f"Metadata item was not found: {key}")
            self.touch(tx, volume, image_metadata={name: value for name, value in had.items() if name != key})

        await self.db.write(write, ctx, why="changed by request")

    # -- type

    async def retype(self, ctx: Context, id: str, ref: str, *, may_move: bool) -> None:
        """Give the volume another type; where its back end does not fit that, move it if it may be moved.

        Raises NotFound, BadRequest, WrongState, QuotaExceeded.
        """

        def write(tx: Tx) -> None:
            volume = self.owned(tx, ctx, id, "volume:retype")
            states.check("retype", "volume", id, volume.status)
            new = self.types.visible(tx, ctx, ref)
            old = tx.first(VolumeType, id=volume.type_id)
            self._check_retype(volume, old, new)
            self._admit_retype(tx, volume, new)
            if not choice.lacking(self.specs_of(new), self._facts(tx, volume)):
                self.touch(tx, volume, type_id=new.id, multiattach=is_multiattach(new))
                return
            if not may_move:
                raise BadRequest("Retype requires migration but is not allowed.")
            self.record_move(tx, ctx, volume, new)

        await self.db.write(write, ctx, why="retyped by request")

    def _check_retype(self, volume: Volume, old: VolumeType | None, new: VolumeType) -> None:
        if old is not None and old.id == new.id:
            raise BadRequest(f"New volume_type same as original: {new.name}.")
        if (new.encryption is None) != (volume.encryption_key_id is None):
            raise BadRequest("Invalid volume: Retype can't encrypt a volume or open it.")
        if volume.status == states.IN_USE and is_multiattach(new) != volume.multiattach:
            raise WrongState("Invalid volume: Retype can't change multiattach while the volume is in use.")

    def _admit_retype(self, tx: Tx, volume: Volume, new: VolumeType) -> None:
        """The limits of the new type alone count: what the project has in all stays the same."""
        limits, used = quota.limits(tx, self.quota, volume.project_id), quota.usage(tx, volume.project_id)
        for resource, amount in (("volumes", 1), ("gigabytes", volume.size_gib)):
            name = f"{resource}_{new.name}"
            limit = limits.get(name, quota.UNLIMITED)
            if limit != quota.UNLIMITED and used.get(name, 0) + amount > limit:
                raise BadRequest(f"Volume type {new.name} has no quota left for it.")

    def _facts(self, tx: Tx, volume: Volume) -> dict[str, object]:
        name = pools.name_of(volume.host, volume.backend)
        return next((pools.facts(view) for view in self.views(tx) if view.row.id == name), {})

    @abstractmethod
    def record_move(self, tx: Tx, ctx: Context, volume: Volume, new: VolumeType) -> None:
        """Have the volume moved to a back end that fits the type; copies.py does it."""
