"""What users do with volumes, at random: make, attach, write, copy, keep, hand over and give up."""

from typing import Any

from micronova.compute.db import DiskPlan, Server
from micronova.compute.states import ACTIVE
from micronova.compute.volumes import NewDisk
from micronova.context import Context
from micronova.db import Tx
from micronova.image.db import Image
from micronova.sim.asking import ADMIN, Asking, Habit, member
from micronova.sim.faults import Dice
from micronova.sim.volume_data import VolumeData
from micronova.sim.volume_gates import BACKENDS
from micronova.sim.world import PROJECTS, STORES, Process, World
from micronova.volume import states
from micronova.volume.backups import NewBackup
from micronova.volume.contract import AttachRequest, Connector
from micronova.volume.copies import Upload
from micronova.volume.db import Attachment, Backup, Group, GroupSnapshot, GroupType, Snapshot, Volume, VolumeType
from micronova.volume.group_specs import CONSISTENT
from micronova.volume.groups import NewGroup
from micronova.volume.pools import name_of
from micronova.volume.snapshots import NewSnapshot
from micronova.volume.transfers import NewTransfer
from micronova.volume.volumes import NewVolume

TYPES: dict[str, dict[str, str]] = {
    "fast": {"volume_backend_name": "quick"},
    "slow": {"volume_backend_name": "plain"},
    "shared": {"multiattach": "<is> True"},
}
"""Volume types and what they ask of a back end."""
GROUP_TYPES: dict[str, dict[str, str]] = {"loose": {}, "consistent": {CONSISTENT: "<is> True"}}
ELSEWHERE = Connector(host="elsewhere", ip="192.0.2.99", initiator="iqn.2026-01.example:elsewhere")


class VolumeUsers(Asking):
    """Users of volumes. `data` is told what they write."""

    def __init__(self, world: World, dice: Dice) -> None:
        super().__init__(world, dice)
        self.data = VolumeData(world)
        self._offers: list[tuple[str, str]] = []

    def volume_habits(self) -> list[Habit]:
        """What they do, and how often."""
        return [
            (14, self._create_volume),
            (9, self._delete_volume),
            (12, self._attach_volume),
            (5, self._detach_volume),
            (12, self._write),
            (3, self._attach_elsewhere),
            (3, self._end_attachment),
            (5, self._create_snapshot),
            (2, self._delete_snapshot),
            (2, self._revert),
            (4, self._extend),
            (6, self._retype),
            (3, self._back_up),
            (2, self._restore),
            (1, self._delete_backup),
            (2, self._offer),
            (2, self._accept),
            (1, self._withdraw),
            (1, self._upload),
            (1, self._create_volume_group),
            (2, self._change_volume_group),
            (1, self._delete_volume_group),
            (1, self._snap_volume_group),
            (1, self._end_group_snapshot),
        ]

    def stock_types(self, tx: Tx) -> None:
        """The types of volumes and of groups that there are."""
        for name, specs in TYPES.items():
            tx.insert(VolumeType(id=f"type-{name}", name=name, extra_specs=specs, created_at=tx.now))
        for name, specs in GROUP_TYPES.items():
            tx.insert(GroupType(id=f"group-type-{name}", name=name, group_specs=specs, created_at=tx.now))

    # -- volumes

    async def _create_volume(self, ctx: Context) -> None:
        dice = self._dice
        asked: dict[str, Any] = {"name": self._name("volume"), "size_gib": dice.number(1, 3)}
        what = dice.weighed(((6, "blank"), (3, "image"), (3, "snapshot"), (4, "volume")))
        source = await self._source(ctx, what)
        if source is not None:
            field = {"image": "image_id", "snapshot": "snapshot_id", "volume": "source_volume_id"}[what]
            asked[field] = source.id
            asked["size_gib"] = None if dice.happens(0.4) else getattr(source, "size_gib", 1) + dice.number(0, 1)
        if dice.happens(0.5):
            asked["type_ref"] = dice.one(sorted(TYPES))
        new = NewVolume(**asked)
        self._ask(ctx, f"creates {new.name} of {what}", lambda api: api.volume.create(ctx, new))

    async def _source(self, ctx: Context, what: str) -> Any:
        classes = {"image": Image, "snapshot": Snapshot, "volume": Volume}
        return await self._pick(ctx, classes[what]) if what in classes else None

    async def _delete_volume(self, ctx: Context) -> None:
        volume = await self._pick(ctx, Volume)
        if volume is None:
            return
        cascade, force = self._dice.happens(0.4), self._dice.happens(0.15)
        caller = ADMIN if force else ctx
        what = f"deletes {_told(volume)}" + (" by force" if force else "") + (" with its snapshots" if cascade else "")
        self._ask(ctx, what, lambda api: api.volume.delete(caller, volume.id, cascade=cascade, force=force))

    async def _extend(self, ctx: Context) -> None:
        volume = await self._pick(ctx, Volume, status=states.AVAILABLE)
        if volume is None:
            return
        size_gib = volume.size_gib + self._dice.number(0, 2)
        what = f"extends {_told(volume)} to {size_gib}"
        self._ask(ctx, what, lambda api: api.volume.extend(ctx, volume.id, size_gib, in_use=True))

    async def _retype(self, ctx: Context) -> None:
        volume = await self._pick(ctx, Volume, status=self._dice.one((states.AVAILABLE, states.IN_USE)))
        if volume is None:
            return
        if self._dice.happens(0.4):
            pool = name_of(self._dice.one(STORES), self._dice.one(sorted(BACKENDS)))
            what = f"sees {_told(volume)} move to {pool}"
            self._ask(ctx, what, lambda api: api.volume.migrate(ADMIN, volume.id, pool))
            return
        ref, may_move = self._dice.one(sorted(TYPES)), self._dice.happens(0.8)
        what = f"makes {_told(volume)} {ref}"
        self._ask(ctx, what, lambda api: api.volume.retype(ctx, volume.id, ref, may_move=may_move))

    async def _upload(self, ctx: Context) -> None:
        volume = await self._pick(ctx, Volume)
        if volume is not None:
            asked = Upload(name=self._name("image"), visibility="private", disk_format="qcow2", force=True)
            what = f"makes {asked.name} of {_told(volume)}"
            self._ask(ctx, what, lambda api: api.volume.upload(ctx, volume.id, asked))

    # -- attached

    async def _attach_volume(self, ctx: Context) -> None:
        volume = await self._pick(ctx, Volume, status=states.AVAILABLE)
        server = await self._pick(ctx, Server, task_state=None, vm_state=ACTIVE)
        if volume is None or server is None:
            return
        asked = NewDisk(volume_id=volume.id, delete_on_termination=self._dice.happens(0.3), shared=True)
        what = f"attaches {_told(volume)} to {server.name}"
        self._ask(ctx, what, lambda api: api.compute.attach_volume(ctx, server.id, asked))

    async def _detach_volume(self, ctx: Context) -> None:
        attachment = await self._pick(ctx, Attachment)
        if attachment is not None and attachment.server_id is not None:
            id, volume_id = attachment.server_id, attachment.volume_id
            what = f"detaches {volume_id} from {id}"
            self._ask(ctx, what, lambda api: api.compute.detach_volume(ctx, id, volume_id))

    async def _attach_elsewhere(self, ctx: Context) -> None:
        volume = await self._pick(ctx, Volume, status=states.AVAILABLE)
        if volume is None:
            return
        ends = self._dice.number(1, 3)
        asked = AttachRequest(volume_id=volume.id, server_id="", read_only=self._dice.happens(0.2))
        what = f"uses {_told(volume)} elsewhere, {ends} of 3 steps"
        self._ask(ctx, what, lambda api: _attach_by_steps(api, ctx, asked, ends))

    async def _end_attachment(self, ctx: Context) -> None:
        attachment = await self._pick(ctx, Attachment)
        if attachment is not None and attachment.server_id is None:
            what = f"ends attachment {attachment.id}"
            self._ask(ctx, what, lambda api: api.volume.detach(ctx, attachment.id))

    async def _write(self, ctx: Context) -> None:
        """Something that has a volume writes to it."""
        for _ in range(self._dice.number(1, 3)):
            await self.data.write_somewhere(self._dice)

    async def boot_disks(self, ctx: Context, image_id: str) -> tuple[DiskPlan, ...]:
        """The disks of a server that boots from a volume; () when there is none to boot from."""
        dice, ends = self._dice, self._dice.happens(0.6)
        match dice.weighed(((5, "image"), (3, "volume"), (1, "snapshot"))):
            case "image":
                root = DiskPlan(
                    source="image", source_id=image_id, size_gib=1, boot_index=0, delete_on_termination=ends
                )
            case "volume":
                volume = await self._pick(ctx, Volume, status=states.AVAILABLE, bootable=True)
                if volume is None:
                    return ()
                root = DiskPlan(source="volume", volume_id=volume.id, boot_index=0, delete_on_termination=ends)
            case _:
                snapshot = await self._pick(ctx, Snapshot)
                if snapshot is None:
                    return ()
                root = DiskPlan(source="snapshot", source_id=snapshot.id, boot_index=0, delete_on_termination=ends)
        if dice.happens(0.3):
            return root, DiskPlan(source="blank", size_gib=1, delete_on_termination=dice.happens(0.5))
        return (root,)

    # -- snapshots and backups

    async def _create_snapshot(self, ctx: Context) -> None:
        volume = await self._pick(ctx, Volume, status=states.AVAILABLE)
        if volume is not None:
            asked = NewSnapshot(volume_id=volume.id, name=self._name("snapshot"), force=self._dice.happens(0.7))
            what = f"takes {asked.name} of {_told(volume)}"
            self._ask(ctx, what, lambda api: api.volume.create_snapshot(ctx, asked))

    async def _delete_snapshot(self, ctx: Context) -> None:
        snapshot = await self._pick(ctx, Snapshot)
        if snapshot is not None:
            self._ask(ctx, f"deletes {_told(snapshot)}", lambda api: api.volume.delete_snapshot(ctx, snapshot.id))

    async def _revert(self, ctx: Context) -> None:
        snapshot = await self._pick(ctx, Snapshot)
        if snapshot is None:
            return

        async def revert(api: Process) -> None:
            with self.data.changing(snapshot.volume_id, snapshot.id):
                await api.volume.revert(ctx, snapshot.volume_id, snapshot.id)

        self._ask(ctx, f"goes back to {_told(snapshot)}", revert)

    async def _back_up(self, ctx: Context) -> None:
        volume = await self._pick(ctx, Volume, status=states.AVAILABLE)
        if volume is None:
            return
        snapshot = await self._pick(ctx, Snapshot) if self._dice.happens(0.2) else None
        asked = NewBackup(
            volume_id=volume.id if snapshot is None else snapshot.volume_id,
            name=self._name("backup"),
            incremental=self._dice.happens(0.3),
            force=self._dice.happens(0.6),
            snapshot_id=snapshot.id if snapshot is not None else None,
        )
        self._ask(ctx, f"makes {asked.name} of {_told(volume)}", lambda api: api.volume.back_up(ctx, asked))

    async def _restore(self, ctx: Context) -> None:
        backup = await self._pick(ctx, Backup)
        if backup is None:
            return
        volume = await self._pick(ctx, Volume, status=states.AVAILABLE) if self._dice.happens(0.6) else None
        if volume is None:
            what = f"makes a volume of {_told(backup)}"
            self._ask(ctx, what, lambda api: api.volume.restore(ctx, backup.id, None, self._name("volume")))
            return

        async def restore(api: Process) -> None:
            with self.data.changing(volume.id, backup.id):
                await api.volume.restore(ctx, backup.id, volume.id, None)

        self._ask(ctx, f"restores {_told(backup)} to {_told(volume)}", restore)

    async def _delete_backup(self, ctx: Context) -> None:
        backup = await self._pick(ctx, Backup)
        if backup is not None:
            self._ask(ctx, f"deletes {_told(backup)}", lambda api: api.volume.delete_backup(ctx, backup.id))

    # -- handed over

    async def _offer(self, ctx: Context) -> None:
        volume = await self._pick(ctx, Volume, status=states.AVAILABLE)
        if volume is None:
            return

        async def offer(api: Process) -> None:
            transfer, key = await api.volume.offer(ctx, NewTransfer(volume_id=volume.id))
            self._offers.append((transfer.id, key))

        self._ask(ctx, f"offers {_told(volume)}", offer)

    async def _accept(self, ctx: Context) -> None:
        if self._offers:
            id, key = self._dice.one(self._offers)
            taker = member(self._dice.one(PROJECTS))
            self._ask(taker, f"accepts {id}", lambda api: api.volume.accept(taker, id, key))

    async def _withdraw(self, ctx: Context) -> None:
        if self._offers:
            id, _ = self._dice.one(self._offers)
            self._ask(ctx, f"withdraws {id}", lambda api: api.volume.withdraw(ctx, id))

    # -- groups

    async def _create_volume_group(self, ctx: Context) -> None:
        dice = self._dice
        group, shot = await self._pick(ctx, Group), await self._pick(ctx, GroupSnapshot)
        kind, types = dice.one(sorted(GROUP_TYPES)), ("__DEFAULT__", *sorted(TYPES))
        asked = NewGroup(name=self._name("set"), group_type=kind, volume_types=types)
        if group is not None and dice.happens(0.3):
            asked = NewGroup(name=asked.name, source_group_id=group.id)
        elif shot is not None and dice.happens(0.5):
            asked = NewGroup(name=asked.name, group_snapshot_id=shot.id)
        self._ask(ctx, f"creates {asked.name}", lambda api: api.volume.create_group(ctx, asked))

    async def _change_volume_group(self, ctx: Context) -> None:
        group, volume = await self._pick(ctx, Group), await self._pick(ctx, Volume)
        if group is None or volume is None:
            return
        add, remove = ((), (volume.id,)) if volume.group_id else ((volume.id,), ())
        what = f"puts {_told(volume)} into {group.name} or out of it"
        self._ask(ctx, what, lambda api: api.volume.update_group(ctx, group.id, {}, add, remove))

    async def _delete_volume_group(self, ctx: Context) -> None:
        group = await self._pick(ctx, Group)
        if group is not None:
            whole = self._dice.happens(0.7)
            what = f"deletes {group.name}"
            self._ask(ctx, what, lambda api: api.volume.delete_group(ctx, group.id, with_volumes=whole))

    async def _snap_volume_group(self, ctx: Context) -> None:
        group = await self._pick(ctx, Group)
        if group is not None:
            name = self._name("shot")
            what = f"takes {name} of {group.name}"
            self._ask(ctx, what, lambda api: api.volume.create_group_snapshot(ctx, group.id, name, None))

    async def _end_group_snapshot(self, ctx: Context) -> None:
        shot = await self._pick(ctx, GroupSnapshot)
        if shot is not None:
            self._ask(ctx, f"deletes {shot.name}", lambda api: api.volume.delete_group_snapshot(ctx, shot.id))


async def _attach_by_steps(api: Process, ctx: Context, asked: AttachRequest, ends: int) -> None:
    """Attach a volume to something that is no server, or begin to."""
    info = await api.volume.reserve(ctx, asked)
    if ends > 1:
        await api.volume.connect(ctx, info.id, ELSEWHERE)
    if ends > 2:
        await api.volume.complete(ctx, info.id)


def _told(row: Any) -> str:
    return f"{type(row).__name__.lower()} {row.name or row.id}"
