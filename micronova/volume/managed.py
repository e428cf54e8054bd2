"""Volumes that were there before us, taken over by name, and volumes let go without being removed."""

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, DriverError, Error, NotFound, WrongState
from micronova.manager import remote, task
from micronova.volume import db, pools, quota, states
from micronova.volume.base import VolumeBase, told
from micronova.volume.db import Pool, Volume
from micronova.volume.driver import check_name
from micronova.volume.hosts import Rows
from micronova.volume.types import is_multiattach

LET_GO = "volume-"
"""Before a volume's id: its name on the back end after it was let go."""


class Adoption(msgspec.Struct, frozen=True, kw_only=True):
    """A volume of a pool (HOST@BACKEND#POOL) to be taken over."""

    pool: str
    source_name: str
    name: str | None = None
    description: str | None = None
    metadata: dict[str, str] = {}
    type_ref: str | None = None
    bootable: bool = False


class Manageable(msgspec.Struct, frozen=True, kw_only=True):
    """A volume that a back end has. `volume_id` is ours, where it is ours."""

    name: str
    size_gib: int
    volume_id: str | None = None


class Managed(VolumeBase):
    """The part of the manager that takes volumes over and lets them go."""

    async def adopt(self, ctx: Context, asked: Adoption) -> Volume:
        """Record a volume and have its back end give it to us; returns at once, status "managing".

        Raises NotFound for the pool, BadRequest when it can't do that.
        """

        def record(tx: Tx) -> Volume:
            self.require(ctx, "volume_extension:volume_manage", ctx.project_id)
            pool = self._pool(tx, asked.pool)
            if not pool.capabilities.adopt:
                raise BadRequest(f"Back end {asked.pool} takes over no volumes.")
            found = self.types.visible(tx, ctx, asked.type_ref) if asked.type_ref else None
            found = found or self.types.default(tx, ctx.project_id)
            quota.admit(tx, self.quota, ctx.project_id, {"volumes": 1}, found.id)
            id = self.clock.new_id()
            volume = tx.insert(
                Volume(
                    id=id,
                    project_id=ctx.project_id,
                    user_id=ctx.user_id,
                    name=asked.name,
                    description=asked.description,
                    size_gib=0,
                    status=states.MANAGING,
                    host=pool.host,
                    backend=pool.backend,
                    driver_name=id,
                    zone=pool.zone,
                    type_id=found.id,
                    bootable=asked.bootable,
                    multiattach=is_multiattach(found),
                    metadata=asked.metadata,
                    created_at=tx.now,
                )
            )
            self.on(pool.host).take_over.record(tx, ctx, id, asked.source_name)
            return volume

        return await self.db.write(record, ctx, why="taken over by request")

    def _pool(self, tx: Tx, name: str) -> Pool:
        full = name if "#" in name else pools.name_of(*name.split("@", 1)) if "@" in name else name
        found = tx.first(Pool, id=full)
        if found is None:
            raise NotFound(f"Service {name} could not be found.")
        return found

    @task(deadline=600, resource="volume", failed="settle_take_over")
    async def take_over(self, ctx: Context, id: str, source_name: str) -> None:
        """Make the back end's volume ours. Safe to repeat."""
        volume = await self.db.read(lambda tx: db.get_volume(tx, id))
        if volume.status != states.MANAGING:
            return
        driver = self.driver_of(volume)
        check_name(source_name)
        there = {found.name: found for found in (await driver.list()).volumes}
        if source_name not in there and volume.driver_name not in there:
            raise DriverError(f"there is no volume {source_name}", id=id)
        if await self.db.read(lambda tx: tx.count(Volume, driver_name=source_name, host=self.host)):
            raise WrongState("the volume is managed already", id=id)
        if source_name in (await self.db.read(lambda tx: Rows(tx, self.host, volume.backend))).moving:
            raise WrongState("the volume is one that comes here or has just left", id=id)
        facts = await driver.rename(source_name, volume.driver_name)

        def finish(tx: Tx) -> None:
            now = db.get_volume(tx, id)
            if now.status == states.MANAGING:
                self.touch(tx, now, status=states.AVAILABLE, size_gib=facts.size_gib, launched_at=tx.now)

        await self.db.write(finish, ctx, why="the back end gave it to us")

    async def settle_take_over(self, ctx: Context, id: str, source_name: str, err: Error) -> None:
        """The volume could not be taken over: it says so, and stays what it was on the back end."""

        def write(tx: Tx) -> None:
            now = db.get_volume(tx, id)
            if now.status == states.MANAGING:
                self.touch(tx, now, status=states.ERROR_MANAGING)
                self.tell(tx, ctx, ("VOLUME", id, now.project_id), "011_001", f"manage volume:{told(err)}")

        await self.db.write(write, ctx, why=f"could not be taken over: {told(err)}")

    async def unmanage(self, ctx: Context, id: str) -> None:
        """Have the volume let go: its row goes, its data stay on the back end. Raises NotFound, WrongState."""

        def write(tx: Tx) -> None:
            volume = self.owned(tx, ctx, id, "volume_extension:volume_unmanage")
            states.check("unmanage", "volume", id, volume.status)
            if db.attachments_of(tx, id) or db.snapshots_of(tx, id) or volume.encryption_key_id is not None:
                raise WrongState("Invalid volume: A volume with snapshots, attachments or a key can't be let go.")
            self.touch(tx, volume, status=states.UNMANAGING, previous_status=volume.status)
            self.on(volume.host).let_go.record(tx, ctx, id)

        await self.db.write(write, ctx, why="let go by request")

    @task(deadline=600, resource="volume", failed="settle_let_go")
    async def let_go(self, ctx: Context, id: str) -> None:
        """Give the volume a name that is not ours, then forget its row. Safe to repeat."""
        volume = await self.db.read(lambda tx: db.get_volume(tx, id))
        await self.driver_of(volume).rename(volume.driver_name, f"{LET_GO}{id}")

        def forget(tx: Tx) -> None:
            row = tx.first(Volume, id=id)
            if row is not None:
                tx.delete(row)

        await self.db.write(forget, ctx, why="let go")

    async def settle_let_go(self, ctx: Context, id: str, err: Error) -> None:
        """The volume could not be let go: it is as it was."""

        def write(tx: Tx) -> None:
            now = db.get_volume(tx, id)
            if now.status == states.UNMANAGING:
                self.touch(tx, now, status=now.previous_status)

        await self.db.write(write, ctx, why=f"could not be let go: {told(err)}")

    async def manageable(self, ctx: Context, pool: str) -> list[Manageable]:
        """What a pool has, ours or not. Raises NotFound, DriverError, HostUnreachable."""
        row = await self.db.read(lambda tx: self._pool(tx, pool))
        return await self.on(row.host).list_backend(ctx, row.backend)

    @remote(wait=30)
    async def list_backend(self, ctx: Context, backend: str) -> list[Manageable]:
        """What a back end of this host has, ours or not; nothing of volumes that come here or have just left."""
        driver = self.drivers.get(backend)
        if driver is None:
            raise NotFound(f"Service {backend} could not be found.")
        there = await driver.list()
        names = [found.name for found in there.volumes]
        rows = await self.db.read(lambda tx: tx.find(Volume, driver_name=names) if names else [])
        moving = (await self.db.read(lambda tx: Rows(tx, self.host, backend))).moving
        ours = {row.driver_name: row.id for row in rows}
        return [
            Manageable(name=found.name, size_gib=found.size_gib, volume_id=ours.get(found.name))
            for found in there.volumes
            if found.name in ours or found.name not in moving
        ]
