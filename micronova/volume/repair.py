"""One volume, snapshot, attachment or backup examined and mended: `micronova repair ID`.

symptoms.py says what does not fit together. What is done about it are the manager's own tasks and methods, asked again;
each looks once more, in its transaction, whether it is still called for.
"""

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import DriverError, Unavailable, WrongState
from micronova.manager import remote
from micronova.repair import WAKE, Examination, Finding, late, wake
from micronova.tasks import Task
from micronova.volume import db, pools, states, symptoms
from micronova.volume.backups import Backups, get_backup
from micronova.volume.contract import Way
from micronova.volume.db import Attachment, Backup, Pool, Snapshot, Volume
from micronova.volume.driver import Inventory
from micronova.volume.groups import Groups
from micronova.volume.hosts import Hosts, Rows
from micronova.volume.journeys import MOVE
from micronova.volume.managed import Managed
from micronova.volume.moves import back, way_of
from micronova.volume.symptoms import Seen

WHY = "mended by request"


class Repairs(Backups, Groups, Hosts, Managed):
    """The part of the manager that says what is wrong, and mends it."""

    # -- examined

    async def examine(self, ctx: Context, id: str) -> Examination | None:
        """What is wrong with the volume, snapshot, attachment or backup of this id; None when there is none."""
        row = await self.db.read(lambda tx: _any(tx, id))
        match row:
            case None:
                return None
            case Backup():
                return await self._examine_backup(ctx, row)
            case Volume():
                seen = await self.db.read(lambda tx: self._see(tx, id))
                findings = await self._examine_volume(ctx, seen)
                return Examination(summary=_told(seen.volume, len(seen.attachments)), findings=tuple(findings))
        volume_id = row.volume_id
        seen = await self.db.read(lambda tx: self._see(tx, volume_id))
        findings = [one for one in await self._examine_volume(ctx, seen) if one.id == id or one.kind == "back end"]
        kind = "snapshot" if isinstance(row, Snapshot) else "attachment"
        summary = f"{kind} {id} of volume {volume_id} is {row.status}"
        return Examination(summary=summary, findings=tuple(findings))

    def _see(self, tx: Tx, id: str) -> Seen:
        volume = db.get_volume(tx, id)
        attachments, snapshots = db.attachments_of(tx, id), db.snapshots_of(tx, id)
        about = [f"volume:{id}"]
        for row in attachments:
            about += [f"attachment:{row.id}", f"expiry:{row.id}", f"swap:{row.id}", f"server:{row.server_id}"]
        about += [f"group_snapshot:{one.group_snapshot_id}" for one in snapshots if one.group_snapshot_id]
        tasks = tx.find(Task, resource=about, open=True, cancelled=False, order=(("seq", True),))
        leaving = db.replaced(tx, [row.id for row in attachments])
        return Seen(volume=volume, attachments=attachments, snapshots=snapshots, tasks=tasks, leaving=leaving)

    async def _examine_volume(self, ctx: Context, seen: Seen) -> list[Finding]:
        volume, down = seen.volume, self.runtime.config.options.service.down_seconds
        mine = [task for task in seen.tasks if task.topic == self.topic]
        found = await self.db.read(lambda tx: late(tx, "volume", volume.id, mine, down))
        found += [*symptoms.of_volume(seen), *symptoms.of_attachments(seen), *symptoms.of_snapshots(seen)]
        if volume.host:
            found += await self._compare(ctx, seen)
        return found

    async def _compare(self, ctx: Context, seen: Seen) -> list[Finding]:
        """What the back end has, beside what the rows say."""
        volume = seen.volume
        name = pools.name_of(volume.host, volume.backend)
        pool = await self.db.read(lambda tx: tx.first(Pool, id=name))
        if pool is not None and not pool.working:
            what = f"does not work: {pool.reason}"
            return [Finding(kind="back end", id=name, what=what, advice="see what its host's log says")]
        try:
            there = await self.on(volume.host).look_at(ctx, volume.id)
        except (DriverError, Unavailable) as err:
            what = f"can't be asked what it has: {err}"
            return [
                Finding(kind="back end", id=name, what=what, advice=f"see whether host {volume.host} serves volumes")
            ]
        now = await self.db.read(lambda tx: self._see(tx, volume.id))
        return symptoms.of_back_end(seen, there) if now == seen else []

    @remote(wait=60)
    async def look_at(self, ctx: Context, id: str) -> Inventory:
        """What this host's back end has of volume `id`. Raises NotFound, DriverError."""
        volume = await self.db.read(lambda tx: db.get_volume(tx, id))
        return _of(volume, await self.driver_of(volume).list())

    async def _examine_backup(self, ctx: Context, row: Backup) -> Examination:
        def read(tx: Tx) -> tuple[list[Task], list[Finding], list[str]]:
            found = tx.find(Task, topic=self.topic, open=True, cancelled=False)
            tasks = [task for task in found if row.id in task.arguments]
            down = self.runtime.config.options.service.down_seconds
            parents = [one.id for one in tx.find(Backup, id=row.parent_id or "")]
            return tasks, late(tx, "backup", row.id, tasks, down), parents

        tasks, found, parents = await self.db.read(read)
        found += symptoms.of_backup(row, tasks)
        try:
            kept = await self.on(self._store_host(row)).kept(ctx, row.location)
            found += symptoms.of_store(row, [row.location] if kept else [], parents)
        except (DriverError, Unavailable) as err:
            what = f"can't be asked what it has: {err}"
            found.append(Finding(kind="backup store of host", id=row.host, what=what, advice="see what its log says"))
        summary = f"backup {row.id} of volume {row.volume_id} is {row.status}"
        return Examination(summary=summary, findings=tuple(found))

    def _store_host(self, row: Backup) -> str:
        """Who reaches the backup's store; "" means any host."""
        return "" if self._everywhere(row) else row.host

    @remote(wait=60)
    async def kept(self, ctx: Context, location: str) -> bool:
        """Whether the store that this host uses has anything of that name. Raises DriverError."""
        return location in await self.store.backups()

    # -- mended

    async def cure(self, ctx: Context, finding: Finding) -> None:
        """What the finding's action says is done, or recorded as a task. Safe to repeat.

        Raises WrongState when it is no longer called for, NotFound, and what hosts raise that are asked.
        """
        if finding.action == WAKE:
            await wake(self)
        elif finding.action == symptoms.EXPORTS:
            volume = await self.db.read(lambda tx: _volume_of(tx, finding.id))
            await self.on(volume.host).mend_exports(ctx, volume.id)
        else:
            await self.db.write(lambda tx: self._mend(tx, ctx, finding), ctx, why=WHY)

    @remote(wait=60)
    async def mend_exports(self, ctx: Context, id: str) -> None:
        """The volume's exports on this host are those of its attachments. Raises NotFound, DriverError."""
        volume = await self.db.read(lambda tx: db.get_volume(tx, id))
        driver = self.driver_of(volume)
        there = _of(volume, await driver.list())
        rows = await self.db.read(lambda tx: Rows(tx, self.host, volume.backend))
        rows.volumes = {volume.driver_name: volume}
        rows.attachments = {row.id: row for row in rows.attachments.values() if row.volume_id == id}
        await self._remove_strays(driver, there, rows)
        await self._restore_exports(ctx, driver, there, rows)

    def _mend(self, tx: Tx, ctx: Context, finding: Finding) -> None:
        match finding.kind:
            case "volume":
                self._mend_volume(tx, ctx, finding)
            case "snapshot":
                self._mend_snapshot(tx, ctx, finding)
            case "attachment":
                self._mend_attachment(tx, ctx, finding)
            case "backup":
                self._mend_backup(tx, ctx, finding)

    def _mend_volume(self, tx: Tx, ctx: Context, finding: Finding) -> None:
        seen = self._see(tx, finding.id)
        volume = seen.volume
        if finding.action not in (symptoms.MEASURE, symptoms.FAIL):
            _still(finding, symptoms.of_volume(seen))
        elif seen.owner(volume.id) or volume.status not in (
            states.ERROR_EXTENDING,
            states.REVERTING,
            *symptoms.RESTING,
        ):
            raise _settled(finding)
        match finding.action:
            case symptoms.BUILD | symptoms.SCRAP | symptoms.GROW | symptoms.MEASURE | symptoms.STAY:
                self._ask_again(tx, ctx, volume, finding.action)
            case symptoms.REVERT | symptoms.LET_GO:
                self._ask_again(tx, ctx, volume, finding.action)
            case symptoms.REST:
                self.touch(tx, volume, status=self.rest_status(tx, volume), growing_gib=0)
            case symptoms.UNGROW:
                self.touch(tx, volume, growing_gib=0)
            case symptoms.UNKNOWN:
                self.touch(tx, volume, status=states.ERROR_RESTORING)
            case symptoms.UNMANAGED:
                self.touch(tx, volume, status=states.ERROR_MANAGING)
            case symptoms.FAIL:
                self.touch(tx, volume, status=states.ERROR)

    def _ask_again(self, tx: Tx, ctx: Context, volume: Volume, action: str) -> None:
        """Have the volume's host do what it was asked to, or what tells it its place again."""
        host = self.on(volume.host)
        match action:
            case symptoms.BUILD:
                host.build.record(tx, ctx, volume.id)
            case symptoms.SCRAP:
                self.touch(tx, volume, status=states.DELETING)
                host.scrap.record(tx, ctx, volume.id)
            case symptoms.GROW:
                host.grow.record(tx, ctx, volume.id, volume.size_gib + volume.growing_gib)
            case symptoms.MEASURE:
                self.touch(tx, volume, status=states.EXTENDING, previous_status=volume.status)
                host.grow.record(tx, ctx, volume.id, volume.size_gib)
            case symptoms.STAY:
                host.move.record(tx, ctx, volume.id, self._way_gone(tx, volume))
            case symptoms.REVERT:
                snapshot = next(
                    row for row in db.snapshots_of(tx, volume.id) if row.status == states.SNAPSHOT_RESTORING
                )
                host.put_back.record(tx, ctx, volume.id, snapshot.id)
            case symptoms.LET_GO:
                host.let_go.record(tx, ctx, volume.id)

    def _way_gone(self, tx: Tx, volume: Volume) -> Way:
        """The latest way of the volume, as one that ends where it lies; a way from nowhere when none is known."""
        order = (("seq", False),)
        last = tx.first(Task, resource=f"volume:{volume.id}", method=MOVE, topic=self.topic, order=order)
        way = way_of(last) if last is not None else None
        if way is not None and volume.driver_name in (way.name, way.old_name):
            return way if volume.driver_name == way.name else back(way)
        place = {"backend": volume.backend, "type_id": volume.type_id, "name": volume.driver_name}
        return Way(**place, old_backend="", old_type_id="", old_name="")

    def _mend_snapshot(self, tx: Tx, ctx: Context, finding: Finding) -> None:
        row = db.get_snapshot(tx, finding.id)
        seen = self._see(tx, row.volume_id)
        host = self.on(seen.volume.host)
        if finding.action == symptoms.FAIL:
            if row.status not in (states.AVAILABLE, states.CREATING) or seen.owner(row.id):
                raise _settled(finding)
            self.snapshot_settled(tx, self.touch(tx, row, status=states.ERROR))
            return
        _still(finding, symptoms.of_snapshots(seen))
        match finding.action:
            case symptoms.SNAP:
                self.record_taking(tx, ctx, row)
            case symptoms.UNSNAP:
                self.touch(tx, row, status=states.DELETING)
                host.unsnap.record(tx, ctx, row.volume_id, row.id)
            case symptoms.SETTLE:
                self.touch(tx, row, status=states.AVAILABLE)

    def _mend_attachment(self, tx: Tx, ctx: Context, finding: Finding) -> None:
        row = db.get_attachment(tx, finding.id)
        _still(finding, symptoms.of_attachments(self._see(tx, row.volume_id)))
        if finding.action == symptoms.DETACH:
            self.record_detach(tx, ctx, row)
        elif finding.action == symptoms.EXPIRE:
            self.touch(tx, row, status=states.ATTACHED)
            self.settle_status(tx, db.get_volume(tx, row.volume_id))

    def _mend_backup(self, tx: Tx, ctx: Context, finding: Finding) -> None:
        row = get_backup(tx, finding.id)
        tasks = tx.find(Task, topic=self.topic, open=True, cancelled=False)
        if finding.action != symptoms.FAIL:
            _still(finding, symptoms.of_backup(row, tasks))
        elif row.status != states.AVAILABLE:
            raise _settled(finding)
        match finding.action:
            case symptoms.KEEP:
                self.on(row.host).keep.record(tx, ctx, row.volume_id, row.id)
            case symptoms.DROP:
                tx.change(row, status=states.DELETING, updated_at=tx.now)
                self.on(self._store_host(row)).drop_backup.record(tx, ctx, row.id)
            case symptoms.FREE:
                tx.change(row, status=states.AVAILABLE, updated_at=tx.now)
            case symptoms.FAIL:
                tx.change(row, status=states.ERROR, fail_reason="Its data are gone.", updated_at=tx.now)


def _any(tx: Tx, id: str) -> Volume | Snapshot | Attachment | Backup | None:
    return (
        tx.first(Volume, id=id) or tx.first(Snapshot, id=id) or tx.first(Attachment, id=id) or tx.first(Backup, id=id)
    )


def _volume_of(tx: Tx, id: str) -> Volume:
    """The volume of this id, or that of the attachment of this id."""
    row = tx.first(Attachment, id=id)
    return db.get_volume(tx, row.volume_id if row is not None else id)


def _of(volume: Volume, there: Inventory) -> Inventory:
    """What of all that is there is this volume's."""
    return Inventory(
        volumes=tuple(one for one in there.volumes if one.name == volume.driver_name),
        snapshots=tuple(one for one in there.snapshots if one.volume == volume.driver_name),
        exports=tuple(one for one in there.exports if one.volume == volume.driver_name),
    )


def _told(volume: Volume, users: int) -> str:
    name = f" {volume.name}" if volume.name else ""
    place = pools.name_of(volume.host, volume.backend) if volume.host else "no back end"
    uses = {0: "", 1: ", with one attachment"}.get(users, f", with {users} attachments")
    return f"volume{name} ({volume.id}) is {volume.status} on {place}{uses}"


def _still(finding: Finding, now: list[Finding]) -> None:
    """Return when the finding is as true as it was. Raises WrongState."""
    if finding not in now:
        raise _settled(finding)


def _settled(finding: Finding) -> WrongState:
    return WrongState(f"{finding.kind} {finding.id} has changed since it was looked at: look again", id=finding.id)
