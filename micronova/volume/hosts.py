"""This host's back ends: what they tell the cloud of themselves, and how rows and what is there are brought together.

What we made for a row that is gone is removed; what nobody here made is told and left alone; what a row needs and is
not there puts the row in error, but only where nothing is being done with it.
"""

import logging
from functools import partial

from micronova import heartbeat
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, DriverError, NotFound
from micronova.heartbeat import ServiceRow
from micronova.manager import periodic, remote
from micronova.tasks import Task
from micronova.volume import db, pools, states
from micronova.volume.copies import Copies
from micronova.volume.db import Attachment, Pool, Snapshot, Volume
from micronova.volume.driver import GIB, ExportSpec, Inventory, VolumeDriver
from micronova.volume.journeys import FETCH, LEAVE, MOVE
from micronova.volume.moves import COMPLETING, way_of

LOG = logging.getLogger(__name__)
RESTING = (states.AVAILABLE, states.IN_USE, states.RESERVED, states.ATTACHING, states.DETACHING)
UNMEASURED = (states.ERROR_EXTENDING, states.ERROR_DELETING)
"""Statuses of volumes that may have grown without anybody having heard of it."""
EXPORTED = (states.ATTACHING, states.ATTACHED, states.DETACHING, states.ERROR_DETACHING)


_NAMED = {FETCH: (4,), LEAVE: (2,)}
"""Which argument of a task names what a volume is on a back end on its way to or from another host."""


def _on_the_way(task: Task) -> set[str]:
    """What the volume that the task moves is on back ends on its way."""
    if task.method == MOVE:
        way = way_of(task)
        return {way.name, way.old_name} if way is not None else set()
    return {str(task.arguments[at]) for at in _NAMED.get(task.method, ())}


class Rows:
    """What the database says this host has on one back end, and which of it has a task."""

    def __init__(self, tx: Tx, host: str, backend: str) -> None:
        self.volumes = {row.driver_name: row for row in tx.find(Volume, host=host, backend=backend)}
        ids = [row.id for row in self.volumes.values()]
        self.snapshots = {row.id: row for row in tx.find(Snapshot, volume_id=ids)} if ids else {}
        self.attachments = {row.id: row for row in tx.find(Attachment, volume_id=ids)} if ids else {}
        open_tasks = tx.find(Task, topic=pools.TOPIC, open=True)
        self.moving = {row.driver_name for row in tx.find(Volume, host=host, status=states.RETYPING)}
        self.moving |= {name for task in open_tasks for name in _on_the_way(task)}
        """Volumes that come here from another back end, or have just left: what is of them here is their move's."""
        torn = [row.id for row in tx.find(Volume, host=host, migration_status=COMPLETING)]
        self.leaving = {row.id for row in tx.find(Attachment, volume_id=torn)} if torn else set()
        """Attachments whose guests may have their volumes on another back end than the rows say."""
        self.busy = {task.resource.removeprefix("volume:") for task in open_tasks}


class Hosts(Copies):
    """The part of the manager that looks after this host."""

    broken: frozenset[str] = frozenset()
    """Back ends that could not be prepared; it is tried again."""

    async def init_host(self, ctx: Context) -> None:
        """Every back end of this host works or says why not; exports that should be there are; rows say what is."""
        await self.types.ensure_default(ctx)
        self.clear_copies()
        for name, driver in self.drivers.items():
            reason = await self._prepare(name, driver)
            await self._report(ctx, name, driver, reason)
        await self.reconcile(ctx)

    async def _prepare(self, name: str, driver: VolumeDriver) -> str:
        try:
            await driver.init_host()
        except DriverError as err:
            if name not in self.broken:
                LOG.error("back end %s does not work: %s", name, err)
            self.broken |= {name}
            return str(err)
        self.broken -= {name}
        return ""

    async def close_host(self) -> None:
        for driver in self.drivers.values():
            await driver.close()
        await self.keys.close()

    # -- what back ends tell

    @periodic(every=30)
    async def report_pools(self, ctx: Context) -> None:
        """The cloud knows what space this host's back ends have now."""
        for name, driver in self.drivers.items():
            reason = await self._prepare(name, driver) if name in self.broken else ""
            await self._report(ctx, name, driver, reason)

    async def _report(self, ctx: Context, name: str, driver: VolumeDriver, reason: str) -> None:
        total, free = 0.0, 0.0
        if not reason:
            try:
                stats = await driver.stats()
                total, free = stats.total_bytes / GIB, stats.free_bytes / GIB
            except DriverError as err:
                reason = str(err)
        options = self.options.backends.get(name)
        fields = {
            "backend_name": (options.backend_name if options is not None else "") or name,
            "zone": self.config.options.service.zone,
            "capabilities": driver.capabilities,
            "total_gib": total,
            "free_gib": free,
            "over_commit": options.over_commit if options is not None else 1.0,
            "reserved_percent": options.reserved_percent if options is not None else 0,
            "working": not reason,
            "reason": reason,
        }

        def write(tx: Tx) -> None:
            id = pools.name_of(self.host, name)
            row = tx.first(Pool, id=id)
            if row is None:
                tx.insert(Pool(id=id, host=self.host, backend=name, reported_at=tx.now, **fields))  # type: ignore[arg-type]
            else:
                tx.change(row, reported_at=tx.now, **fields)

        await self.db.write(write, ctx, why="what the back end told")

    # -- rows and reality

    @periodic(every=60)
    async def reconcile(self, ctx: Context) -> None:
        """Bring this host's back ends and their rows back to agreement."""
        for name, driver in self.drivers.items():
            if name in self.broken:
                continue
            try:
                await self._reconcile(ctx, name, driver)
            except DriverError as err:
                LOG.warning("back end %s: %s", name, err)

    async def _reconcile(self, ctx: Context, name: str, driver: VolumeDriver) -> None:
        before = await self.db.read(lambda tx: Rows(tx, self.host, name))
        there = await driver.list()
        rows = await self.db.read(lambda tx: Rows(tx, self.host, name))
        await self._remove_strays(driver, there, rows)
        await self._restore_exports(ctx, driver, there, rows)
        await self._learn_sizes(ctx, there, rows)
        lost = [
            volume
            for volume in before.volumes.values()
            if volume.status in RESTING
            and volume.driver_name not in {found.name for found in there.volumes}
            and volume.id not in rows.busy
            and rows.volumes.get(volume.driver_name) == volume
        ]
        for volume in lost:
            LOG.error("volume %s is not on back end %s any more", volume.id, name)
            await self.db.write(partial(self._lost, id=volume.id), ctx, why="its back end lost it")

    async def _remove_strays(self, driver: VolumeDriver, there: Inventory, rows: Rows) -> None:
        """Exports without an attachment go. Volumes and snapshots without a row stay: they are told by `audit`."""
        for export in there.exports:
            attachment = rows.attachments.get(export.id)
            if export.volume in rows.moving or export.id in rows.leaving:
                continue
            if attachment is None or (attachment.status not in EXPORTED and attachment.host == ""):
                LOG.warning("export %s belongs to no attachment: it is removed", export.id)
                await driver.remove_export(export.id)

    async def _restore_exports(self, ctx: Context, driver: VolumeDriver, there: Inventory, rows: Rows) -> None:
        """What is attached and lost its export, as after a reboot, has it again."""
        exported = {export.id for export in there.exports}
        volumes = {volume.id: volume for volume in rows.volumes.values()}
        for row in rows.attachments.values():
            if row.status != states.ATTACHED or row.connection is None or row.id in exported:
                continue
            asked = row.asked or {}
            spec = ExportSpec(
                id=row.id,
                volume=volumes[row.volume_id].driver_name,
                local=row.host == self.host,
                read_only=row.mode == "ro",
                ip=str(asked.get("ip") or ""),
                initiator=str(asked.get("initiator") or ""),
            )
            try:
                connection = await driver.ensure_export(spec)
            except DriverError as err:
                LOG.error("attachment %s can't be exported again: %s", row.id, err)
                continue
            LOG.info("attachment %s is exported again", row.id)
            await self._store_connection(ctx, row, connection)

    async def _learn_sizes(self, ctx: Context, there: Inventory, rows: Rows) -> None:
        """Volumes that could not grow, as far as was known, or be removed meanwhile, have the size that they have."""
        sizes = {found.name: found.size_gib for found in there.volumes}
        for row in rows.volumes.values():
            if row.status not in UNMEASURED or not row.growing_gib or row.id in rows.busy:
                continue
            size_gib = sizes.get(row.driver_name, row.size_gib)
            learn = partial(self._learn_size, volume=row, size_gib=size_gib)
            await self.db.write(learn, ctx, why=f"its back end told that it has {size_gib} GiB")

    def _learn_size(self, tx: Tx, volume: Volume, size_gib: int) -> None:
        now = tx.first(Volume, id=volume.id)
        if now is not None and now.revision == volume.revision:
            self.touch(tx, now, size_gib=size_gib, growing_gib=0)

    async def _store_connection(self, ctx: Context, row: Attachment, connection: object) -> None:
        def write(tx: Tx) -> None:
            now = tx.first(Attachment, id=row.id)
            if now is not None and now.connection != connection:
                tx.change(now, connection=connection)

        await self.db.write(write, ctx, why="exported again")

    def _lost(self, tx: Tx, id: str) -> None:
        volume = tx.first(Volume, id=id)
        if volume is not None and volume.status in RESTING:
            self.touch(tx, volume, status=states.ERROR)

    @remote(wait=20)
    async def audit(self, ctx: Context) -> list[str]:
        """What of this host's back ends and their rows does not agree, one sentence each."""
        found: list[str] = []
        for name, driver in self.drivers.items():
            try:
                there = await driver.list()
            except DriverError as err:
                found.append(f"back end {name} does not work: {err}")
                continue
            rows = await self.db.read(lambda tx, name=name: Rows(tx, self.host, name))  # type: ignore[misc]
            found += differences(name, there, rows)
        return found

    # -- services

    async def services(self, ctx: Context) -> list[tuple[ServiceRow, bool, bool]]:
        """Volume services: row, whether up, whether frozen."""

        def look(tx: Tx) -> list[tuple[ServiceRow, bool, bool]]:
            down = self.runtime.config.options.service.down_seconds
            frozen = {view.row.host for view in self.views(tx) if view.row.frozen}
            return [
                (row, heartbeat.is_up(row, tx.now, down), row.host in frozen)
                for row in heartbeat.services(tx, topic=self.topic)
            ]

        return await self.db.read(look)

    async def change_service(self, ctx: Context, host: str, *, disabled: bool, reason: str | None) -> ServiceRow:
        """Take a host (HOST or HOST@BACKEND) out of the choice, or put it back. Raises NotFound."""

        def write(tx: Tx) -> ServiceRow:
            rows = heartbeat.services(tx, topic=self.topic, host=host.partition("@")[0])
            if not rows:
                raise NotFound(f"Host '{host}' could not be found.")
            return heartbeat.set_disabled(tx, rows[0].id, disabled, reason)

        return await self.db.write(write, ctx, why="changed by an administrator")

    async def freeze(self, ctx: Context, host: str, *, frozen: bool) -> None:
        """Nothing new goes to the host's back ends, or does again. Raises BadRequest when there is none."""

        def write(tx: Tx) -> None:
            name, _, backend = host.partition("@")
            rows = [row for row in db.pools(tx) if row.host == name and (not backend or row.backend == backend)]
            if not rows:
                raise BadRequest(f"Invalid input received: Host '{host}' could not be found.")
            for row in rows:
                tx.change(row, frozen=frozen)

        await self.db.write(write, ctx, why="changed by an administrator")

    async def all_pools(self, ctx: Context) -> list[pools.PoolView]:
        """Every pool of the cloud."""
        return await self.db.read(self.views)

    async def usage_of_hosts(self, ctx: Context) -> list[tuple[ServiceRow, bool, list[Volume], list[Snapshot]]]:
        """By service: row, whether up, the volumes that lie there and their snapshots."""

        def look(tx: Tx) -> list[tuple[ServiceRow, bool, list[Volume], list[Snapshot]]]:
            down = self.runtime.config.options.service.down_seconds
            found = []
            for row in heartbeat.services(tx, topic=self.topic):
                volumes = tx.find(Volume, host=row.host)
                ids = [volume.id for volume in volumes]
                snapshots = tx.find(Snapshot, volume_id=ids) if ids else []
                found.append((row, heartbeat.is_up(row, tx.now, down), volumes, snapshots))
            return found

        return await self.db.read(look)


def differences(name: str, there: Inventory, rows: Rows) -> list[str]:
    """What is there without a row, and the other way round."""
    found = []
    names = {volume.name for volume in there.volumes}
    for volume in there.volumes:
        if volume.name not in rows.volumes and volume.name not in rows.moving:
            found.append(f"back end {name} has a volume {volume.name} that belongs to nobody")
    for snapshot in there.snapshots:
        if snapshot.name not in rows.snapshots:
            found.append(f"back end {name} has a snapshot {snapshot.name} that belongs to nobody")
    for export in there.exports:
        if export.id not in rows.attachments and export.id not in rows.leaving and export.volume not in rows.moving:
            found.append(f"back end {name} has an export {export.id} that belongs to no attachment")
    for row in rows.volumes.values():
        if row.status in RESTING and row.driver_name not in names and row.id not in rows.busy:
            found.append(f"volume {row.id} is not on back end {name}")
    return found
