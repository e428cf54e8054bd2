"""What must be true of the simulated cloud's volumes: one truth per attachment, and back ends that follow rows."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

from micronova.options import QuotaOptions
from micronova.sim.snapshot import BackendView, Snapshot
from micronova.volume import states
from micronova.volume.db import Attachment, Volume
from micronova.volume.db import Snapshot as KeptSnapshot
from micronova.volume.managed import LET_GO

PASSING = (states.RESERVED, states.ATTACHING, states.DETACHING)
LIVING = (*PASSING, states.ATTACHED, states.ERROR_DETACHING)
BROKEN = (states.ERROR, states.ERROR_DELETING, states.ERROR_MANAGING)
SNAPSHOT_PASSING = (states.CREATING, states.DELETING, states.SNAPSHOT_RESTORING)
BACKUP_RESTORING = "restoring"
BACKUP_PASSING = (states.CREATING, states.DELETING, BACKUP_RESTORING)
GROUP_PASSING = (states.CREATING, states.DELETING)
BLANKET = {"volumes": "volumes", "snapshots": "snapshots", "backups": "backups", "volume_groups": "groups"}
"""Names of quotas of numbers, and what the room calls what they count."""


def volumes_hold_together(now: Snapshot) -> Iterator[str]:
    """What belongs to a volume, a server, a backup or a group belongs to one that is there."""
    parts: list[Attachment | KeptSnapshot] = [*now.attachments.values(), *now.volume_snapshots.values()]
    for row in parts:
        if row.volume_id not in now.volumes:
            yield f"{type(row).__name__} {row.id} is of volume {row.volume_id}, which is gone"
    for attachment in now.attachments.values():
        leaving = attachment.status in (states.DETACHING, states.ERROR_DETACHING)
        scrapped = now.volumes[attachment.volume_id].status in (states.DELETING, states.ERROR_DELETING)
        if attachment.server_id and attachment.server_id not in now.servers and not (leaving or scrapped):
            yield f"attachment {attachment.id} is {attachment.status} to server {attachment.server_id}, which is gone"
    for backup in now.backups.values():
        if backup.parent_id is not None and backup.parent_id not in now.backups:
            yield f"backup {backup.id} needs backup {backup.parent_id}, which is gone"
    for volume in now.volumes.values():
        group = now.volume_groups.get(volume.group_id or "")
        if volume.group_id is not None and (group is None or group.project_id != volume.project_id):
            yield f"volume {volume.id} is in group {volume.group_id}, which is gone or another project's"
    for snapshot in now.volume_snapshots.values():
        if snapshot.group_snapshot_id is not None and snapshot.group_snapshot_id not in now.group_snapshots:
            yield f"snapshot {snapshot.id} is part of {snapshot.group_snapshot_id}, which is gone"
    for shot in now.group_snapshots.values():
        if shot.group_id not in now.volume_groups:
            yield f"group snapshot {shot.id} is of group {shot.group_id}, which is gone"


def volumes_say_who_has_them(now: Snapshot) -> Iterator[str]:
    """A volume's status is what its attachments make it; it has one user unless it may have more."""
    users = _by(now.attachments.values(), lambda row: row.volume_id)
    for volume in now.volumes.values():
        own = users.get(volume.id, [])
        if volume.status in states.FOLLOWS_ATTACHMENTS:
            meant = states.of_attachments(row.status for row in own)
            if volume.status != meant:
                yield f"volume {volume.id} is {volume.status}, by its attachments it is {meant}"
        if len(own) > 1 and not volume.multiattach:
            yield f"volume {volume.id} has {len(own)} attachments"
    offered = {row.volume_id for row in now.transfers.values()}
    for volume in now.volumes.values():
        if (volume.status == states.AWAITING_TRANSFER) != (volume.id in offered) and volume.status != states.DELETING:
            yield f"volume {volume.id} is {volume.status} and {'offered' if volume.id in offered else 'not offered'}"


def a_volume_has_one_writer(now: Snapshot) -> Iterator[str]:
    """What may be used once is exported once."""
    shared = {volume.driver_name for volume in now.volumes.values() if volume.multiattach}
    for name, pool in _pools(now):
        writable = [export.volume for export in pool.exports.values() if not export.read_only]
        for volume in _repeated(one for one in writable if one not in shared):
            yield f"{name} exports volume {volume} several times"


def what_passes_in_volumes_has_an_owner(now: Snapshot) -> Iterator[str]:
    """Where something is being done to a volume or what belongs to it, an open task with a deadline does it."""
    tasks = [task for task in now.tasks if not task.cancelled]
    owned = {task.resource for task in tasks}
    named = {id for task in tasks for id in task.arguments if isinstance(id, str)}
    for volume in now.volumes.values():
        if volume.status in states.TRANSIENT and f"volume:{volume.id}" not in owned:
            yield f"volume {volume.id} is {volume.status} and no task cares for it"
    for row in now.attachments.values():
        scrapped = now.volumes[row.volume_id].status in (states.DELETING, states.ERROR_DELETING)
        if row.status in PASSING and row.id not in named and not scrapped:
            yield f"attachment {row.id} is {row.status} and no task cares for it"
    for snapshot in now.volume_snapshots.values():
        if (
            snapshot.status in SNAPSHOT_PASSING
            and not {snapshot.id, snapshot.volume_id, snapshot.group_snapshot_id} & named
        ):
            yield f"snapshot {snapshot.id} is {snapshot.status} and no task cares for it"
    # a removal settles what it cut short: a backup that was being restored to the volume says so a little later
    removing = any(volume.status == states.DELETING for volume in now.volumes.values())
    for backup in now.backups.values():
        cut_short = removing and backup.status == BACKUP_RESTORING
        if backup.status in BACKUP_PASSING and not cut_short and not {backup.id, backup.volume_id} & named:
            yield f"backup {backup.id} is {backup.status} and no task cares for it"
    for shot in now.group_snapshots.values():
        own = {row.status for row in now.volume_snapshots.values() if row.group_snapshot_id == shot.id}
        if shot.status in GROUP_PASSING and shot.status not in own:
            yield f"group snapshot {shot.id} is {shot.status} and none of its snapshots is"


def volume_quotas_are_kept(options: QuotaOptions) -> Callable[[Snapshot], Iterator[str]]:
    """No project has more of what is about volumes than it may have."""

    def volume_quotas_kept(now: Snapshot) -> Iterator[str]:
        for project_id, used in _used(now).items():
            for name, amount in used.items():
                limit = getattr(options, "volume_groups" if name == "groups" else name)
                if amount > limit:
                    yield f"project {project_id} has {amount} {name}, its quota is {limit}"

    return volume_quotas_kept


def _used(now: Snapshot) -> dict[str, Counter[str]]:
    used: dict[str, Counter[str]] = {}
    kinds: tuple[dict[str, Any], ...] = (now.volumes, now.volume_snapshots, now.backups, now.volume_groups)
    for kind, rows in zip(BLANKET.values(), kinds, strict=True):
        for row in rows.values():
            own = used.setdefault(row.project_id, Counter())
            own[kind] += 1
            space = "backup_gigabytes" if kind == "backups" else "gigabytes"
            own[space] += getattr(row, "size_gib", 0) + getattr(row, "growing_gib", 0)
    return used


# -- once everything has healed


def nothing_is_left_to_do_with_volumes(now: Snapshot) -> Iterator[str]:
    """No volume, snapshot, backup or attachment is on its way anywhere."""
    for volume in now.volumes.values():
        if volume.status in states.TRANSIENT or volume.status in PASSING:
            yield f"volume {volume.id} is still {volume.status}"
        if volume.growing_gib or volume.migration_status == "migrating":
            yield f"volume {volume.id} is {volume.status} and still grows or moves"
    parts: tuple[tuple[Iterable[Any], tuple[str, ...]], ...] = (
        (now.attachments.values(), PASSING),
        (now.volume_snapshots.values(), SNAPSHOT_PASSING),
        (now.backups.values(), BACKUP_PASSING),
        (now.group_snapshots.values(), GROUP_PASSING),
    )
    for rows, passing in parts:
        for row in rows:
            if row.status in passing:
                yield f"{type(row).__name__} {row.id} is still {row.status}"
    for name, machine in now.machines.items():
        for file in machine.files:
            yield f"{name} keeps {file}, which was to live for a moment"


def back_ends_have_the_volumes_of_rows(now: Snapshot) -> Iterator[str]:
    """Each volume and snapshot is where its row says, as large as that says; back ends have no others."""
    for name, pool in _pools(now):
        rows = {row.driver_name: row for row in now.volumes.values() if f"{row.host}@{row.backend}" == name}
        for volume in pool.volumes.values():
            row = rows.get(volume.name)
            if row is None and not volume.name.startswith(LET_GO):
                yield f"{name} has volume {volume.name}, which no row says is there"
            elif row is not None and row.status not in BROKEN and volume.size_gib != row.size_gib:
                yield f"volume {row.id} has {volume.size_gib} GiB on {name}, its row says {row.size_gib}"
        for row in rows.values():
            if row.status not in BROKEN and row.driver_name not in pool.volumes:
                yield f"{row.status} volume {row.id} is not on {name}"
        yield from _snapshots(now, name, pool, {row.id for row in rows.values()})


def _snapshots(now: Snapshot, name: str, pool: BackendView, volume_ids: set[str]) -> Iterator[str]:
    rows = {row.id: row for row in now.volume_snapshots.values() if row.volume_id in volume_ids}
    for id, snapshot in pool.snapshots.items():
        row = rows.get(id)
        if row is None:
            yield f"{name} has snapshot {id}, which no row says is there"
        elif row.status not in BROKEN and snapshot.size_gib != row.size_gib:
            yield f"snapshot {id} has {snapshot.size_gib} GiB on {name}, its row says {row.size_gib}"
    for row in rows.values():
        if row.status not in BROKEN and row.id not in pool.snapshots:
            yield f"{row.status} snapshot {row.id} is not on {name}"


def attachments_are_one_truth(now: Snapshot) -> Iterator[str]:
    """What is attached is exported, and its guest has it by that export; no other export and no other disk is there."""
    exports = {(name, id): export for name, pool in _pools(now) for id, export in pool.exports.items()}
    meant = {_export(now, row): row for row in now.attachments.values() if row.connection is not None}
    for place, id in sorted(exports.keys() - meant.keys()):
        yield f"{place} has export {id} of no attachment"
    for (place, id), row in meant.items():
        if row.status == states.ATTACHED and (place, id) not in exports:
            yield f"attachment {id} is attached and {place} does not export it"
    owned = {(row.server_id, row.volume_id): row for row in now.attachments.values() if row.server_id}
    for name, machine in now.machines.items():
        for id, disks in machine.disks.items():
            for disk in disks:
                attachment = owned.get((id, disk.volume_id))
                if attachment is None or attachment.host != name:
                    yield f"guest {id} on {name} has volume {disk.volume_id}, which is not its own"
                elif attachment.connection != disk.connection:
                    yield f"guest {id} reaches volume {disk.volume_id} otherwise than its attachment says"
    for row in owned.values():
        yield from _had(now, row)


def _had(now: Snapshot, row: Attachment) -> Iterator[str]:
    """A server's guest, where there is one, has the volume that is attached to it."""
    server = now.servers.get(row.server_id or "")
    if server is None or row.status != states.ATTACHED:
        return
    machine = now.machines.get(server.host)
    if row.host != server.host or machine is None:
        yield f"attachment {row.id} is on {row.host!r}, its server {server.id} on {server.host!r}"
    elif server.id in machine.disks and row.volume_id not in {disk.volume_id for disk in machine.disks[server.id]}:
        yield f"guest {server.id} on {server.host} has no disk of volume {row.volume_id}, which is attached to it"


def backups_have_their_data(now: Snapshot) -> Iterator[str]:
    """Where a backup's data shall be they are, and nobody keeps any others."""
    kept = {(name, id) for name, machine in now.machines.items() for id in machine.backups}
    rows = {(row.host, row.location): row for row in now.backups.values()}
    for host, location in sorted(kept - rows.keys()):
        yield f"{host} keeps data {location} of no backup"
    for (host, location), row in sorted(rows.items()):
        if row.status == states.AVAILABLE and (host, location) not in kept:
            yield f"the data of backup {row.id} are not on {host}"


def volume_usage_is_what_rows_say(now: Snapshot) -> Iterator[str]:
    """What counts for a project's quota is what the project has."""
    for project_id, told in now.volume_usage.items():
        for name, amount in _used(now).get(project_id, Counter()).items():
            if told.get(name, 0) != amount:
                yield f"project {project_id} has {amount} {name} and is told of {told.get(name, 0)}"


VOLUME_ALWAYS = (
    volumes_hold_together,
    volumes_say_who_has_them,
    a_volume_has_one_writer,
    what_passes_in_volumes_has_an_owner,
)
VOLUME_HEALED = (
    nothing_is_left_to_do_with_volumes,
    back_ends_have_the_volumes_of_rows,
    attachments_are_one_truth,
    backups_have_their_data,
    volume_usage_is_what_rows_say,
)


def _pools(now: Snapshot) -> Iterator[tuple[str, BackendView]]:
    for name, machine in now.machines.items():
        for backend, pool in machine.backends.items():
            yield f"{name}@{backend}", pool


def _export(now: Snapshot, row: Attachment) -> tuple[str, str]:
    volume: Volume = now.volumes[row.volume_id]
    return f"{volume.host}@{volume.backend}", row.id


def _by(rows: Iterable[Any], key: Callable[[Any], Hashable]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


def _repeated(items: Iterable[Hashable]) -> list[Any]:
    return [item for item, count in Counter(items).items() if count > 1]
