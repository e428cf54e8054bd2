"""What of a volume, its attachments, its snapshots or a backup does not fit together. Pure: rows and facts in.

Every passing status has a task that owns it; where there is none, what was asked is asked again if that is safe, else
the row says what is known.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from micronova.repair import Finding
from micronova.tasks import Task
from micronova.volume import states
from micronova.volume.db import Attachment, Backup, Snapshot, Volume
from micronova.volume.driver import Inventory, VolumeFacts

BUILD, SCRAP, GROW, REST, STAY, REVERT = "build", "scrap", "grow", "rest", "stay", "revert"
UNKNOWN, UNMANAGED, LET_GO, MEASURE, UNGROW = "unknown", "unmanaged", "let go", "measure", "ungrow"
SNAP, UNSNAP, SETTLE, DETACH, EXPIRE = "snap", "unsnap", "settle", "detach", "expire"
KEEP, DROP, FREE, FAIL, EXPORTS = "keep", "drop", "free", "fail", "exports"
"""What can be done about findings."""
PASSING = (states.RESERVED, states.ATTACHING, states.DETACHING)
RESTING = (states.AVAILABLE, states.IN_USE, states.RESERVED, states.ATTACHING, states.DETACHING)
EXPORTED = (states.ATTACHING, states.ATTACHED, states.DETACHING, states.ERROR_DETACHING)
_AGAIN = {
    states.CREATING: (BUILD, "have it made"),
    states.DOWNLOADING: (BUILD, "have it made"),
    states.DELETING: (SCRAP, "have it removed, with its attachments and snapshots"),
    states.REVERTING: (REVERT, "have it go back to its snapshot"),
    states.UNMANAGING: (LET_GO, "have it let go"),
    states.RETYPING: (STAY, "leave it where its row says, and remove what of it is on other back ends"),
    states.RESTORING: (UNKNOWN, "put it into error_restoring: what it holds is not known"),
    states.MANAGING: (UNMANAGED, "put it into error_managing"),
}
"""What becomes of a passing status without a task."""
_TROUBLED = {
    states.ERROR_DELETING: (SCRAP, "could not be removed", "have it removed again"),
    states.ERROR_EXTENDING: (MEASURE, "could not grow", "ask its back end for its size, and have it be as it was"),
}
_ADVICE = {
    states.ERROR: "delete it, or, if its data are known to be good, have an administrator say that it is available",
    states.ERROR_RESTORING: "restore a backup to it again, or delete it",
    states.ERROR_MANAGING: "let it go (unmanage), or delete it",
}


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """A volume as the rows tell it, and the open tasks of all that has to do with it."""

    volume: Volume
    attachments: Sequence[Attachment] = ()
    snapshots: Sequence[Snapshot] = ()
    tasks: Sequence[Task] = ()
    leaving: frozenset[str] = frozenset()
    """Attachments whose place another is about to take."""

    def owner(self, id: str) -> Task | None:
        """The task that does something about the volume, snapshot or attachment of this id."""
        return next((task for task in self.tasks if id == task.resource.partition(":")[2] or id in _named(task)), None)


def _named(task: Task) -> list[object]:
    """What the task was given, one by one."""
    values = [value.values() if isinstance(value, Mapping) else (value,) for value in task.arguments]
    return [one for several in values for one in several]


def of_volume(seen: Seen) -> list[Finding]:
    """What the volume's row alone, with its tasks and attachments, has wrong."""
    volume, status = seen.volume, seen.volume.status
    rest = states.of_attachments(
        states.of_attachment(row.status, leaving=row.id in seen.leaving) for row in seen.attachments
    )
    if status in states.TRANSIENT:
        return [] if seen.owner(volume.id) else [_unowned(seen, rest)]
    if status in _TROUBLED:
        action, what, cure = _TROUBLED[status]
        return [_volume(volume, what, cure=cure, action=action)]
    if status in _ADVICE:
        nowhere = "" if volume.host else f": no back end took it (`micronova why {volume.id}`)"
        return [_volume(volume, f"is in {status}{nowhere}", advice=_ADVICE[status])]
    if status in states.FOLLOWS_ATTACHMENTS and status != rest:
        what = f"is {status}, which its {len(seen.attachments)} attachments do not make it"
        return [_volume(volume, what, cure=f"say that it is {rest}", action=REST)]
    if volume.growing_gib and not seen.owner(volume.id):
        what = f"counts {volume.growing_gib} GiB more than it has, for growth that nobody sees to"
        return [_volume(volume, what, cure="count what it has", action=UNGROW)]
    return []


def _unowned(seen: Seen, rest: str) -> Finding:
    volume = seen.volume
    what = f"is {volume.status}, and no task sees to that"
    if volume.status == states.EXTENDING and volume.growing_gib:
        return _volume(volume, what, cure=f"have it grow to {volume.size_gib + volume.growing_gib} GiB", action=GROW)
    if volume.status == states.REVERTING and not any(row.status == states.SNAPSHOT_RESTORING for row in seen.snapshots):
        return _volume(volume, what, cure="put it into error: nobody knows to which snapshot", action=FAIL)
    action, cure = _AGAIN.get(volume.status, (REST, f"say that it is {rest}"))
    return _volume(volume, what, cure=cure, action=action)


def of_attachments(seen: Seen) -> list[Finding]:
    """What attachments' rows have wrong."""
    found = []
    for row in seen.attachments:
        if row.status == states.ERROR_DETACHING:
            found.append(_attachment(row, "could not be detached", "have it detached again", DETACH))
        elif row.status in PASSING and seen.owner(row.id) is None:
            what = f"is {row.status}, and nobody watches over that"
            if row.status == states.DETACHING and row.connection is not None and row.detached_at is None:
                found.append(_attachment(row, what, "say that it is attached, as its user still has it", EXPIRE))
            else:
                found.append(_attachment(row, what, "have it detached", DETACH))
    return found


def of_snapshots(seen: Seen) -> list[Finding]:
    """What snapshots' rows have wrong."""
    found = []
    for row in seen.snapshots:
        alone = not any(seen.owner(id) for id in (row.id, row.volume_id, row.group_snapshot_id) if id)
        match row.status:
            case states.ERROR_DELETING if seen.volume.status not in (states.DELETING, states.ERROR_DELETING):
                found.append(_snapshot(row, "could not be removed", "have it removed again", UNSNAP))
            case states.CREATING if alone:
                found.append(_snapshot(row, "is creating, and no task sees to that", "have it taken", SNAP))
            case states.DELETING if alone and seen.volume.status != states.DELETING:
                found.append(_snapshot(row, "is deleting, and no task sees to that", "have it removed", UNSNAP))
            case states.SNAPSHOT_RESTORING if alone and seen.volume.status != states.REVERTING:
                what = "is restoring, and its volume does not go back to it"
                found.append(_snapshot(row, what, "say that it is available", SETTLE))
            case states.ERROR:
                found.append(Finding(kind="snapshot", id=row.id, what="is in error", advice="delete it"))
    return found


def of_back_end(seen: Seen, there: Inventory) -> list[Finding]:
    """What of this volume (`there`) its back end has and the rows have not, or the other way round."""
    volume = seen.volume
    if seen.owner(volume.id) is not None:
        return []
    facts = next(iter(there.volumes), None)
    found = [*_size(volume, facts), *_exports(seen, there)]
    names = {one.name for one in there.snapshots}
    for row in seen.snapshots:
        if row.status == states.AVAILABLE and row.id not in names and seen.owner(row.id) is None:
            found.append(_snapshot(row, f"is not on back end {volume.backend}", "put it into error", FAIL))
    for name in sorted(names - {row.id for row in seen.snapshots}):
        what = f"has a snapshot {name} on back end {volume.backend} that belongs to nobody"
        found.append(_volume(volume, what, advice="look whose it is: what nobody here made is left alone"))
    return found


def _size(volume: Volume, facts: VolumeFacts | None) -> list[Finding]:
    if volume.status not in RESTING:
        return []
    if facts is None:
        return [_volume(volume, f"is not on back end {volume.backend}", cure="put it into error", action=FAIL)]
    if facts.size_gib == volume.size_gib:
        return []
    what = f"has {volume.size_gib} GiB, on back end {volume.backend} {facts.size_gib}"
    if facts.size_gib < volume.size_gib:
        return [_volume(volume, what, cure=f"have it grow there to {volume.size_gib} GiB", action=MEASURE)]
    return [_volume(volume, what, cure=f"count the {facts.size_gib} GiB that it has", action=MEASURE)]


def _exports(seen: Seen, there: Inventory) -> list[Finding]:
    """Exports without an attachment, attachments without their export."""
    found, rows = [], {row.id: row for row in seen.attachments}
    for export in there.exports:
        row = rows.get(export.id)
        if row is None or (row.status not in EXPORTED and not row.host):
            what = f"has an export {export.id} that belongs to no attachment"
            found.append(_volume(seen.volume, what, cure="remove the export", action=EXPORTS))
    exported = {export.id for export in there.exports}
    for row in seen.attachments:
        if row.status == states.ATTACHED and row.connection is not None and row.id not in exported:
            what = f"is attached, and back end {seen.volume.backend} has no export for it"
            found.append(_attachment(row, what, "have it exported again", EXPORTS))
    return found


def of_backup(row: Backup, tasks: Iterable[Task]) -> list[Finding]:
    """What a backup's row has wrong. `tasks` are all open ones that might be about it."""
    owned = any(row.id in task.arguments for task in tasks)
    match row.status:
        case states.CREATING if not owned:
            return [_backup(row, "is creating, and no task sees to that", "have it made", KEEP)]
        case states.DELETING if not owned:
            return [_backup(row, "is deleting, and no task sees to that", "have it removed", DROP)]
        case "restoring" if not owned:
            return [_backup(row, "is restoring, and no task sees to that", "say that it is available", FREE)]
        case states.ERROR_DELETING:
            return [_backup(row, "could not be removed", "have it removed again", DROP)]
        case states.ERROR:
            said = f": {row.fail_reason}" if row.fail_reason else ""
            return [Finding(kind="backup", id=row.id, what=f"is in error{said}", advice="delete it")]
    return []


def of_store(row: Backup, kept: Collection[str], parents: Collection[str]) -> list[Finding]:
    """What is wrong with a complete backup's data: `kept` are the backups that the store has."""
    if row.status != states.AVAILABLE:
        return []
    if row.location not in kept:
        return [_backup(row, f"has no data in the store of host {row.host}", "put it into error", FAIL)]
    if row.parent_id is not None and row.parent_id not in parents:
        what = f"needs backup {row.parent_id}, which is gone"
        return [Finding(kind="backup", id=row.id, what=what, advice="make a full backup of the volume")]
    return []


def _volume(row: Volume, what: str, *, cure: str = "", advice: str = "", action: str = "") -> Finding:
    return Finding(kind="volume", id=row.id, what=what, cure=cure, advice=advice, action=action)


def _attachment(row: Attachment, what: str, cure: str, action: str) -> Finding:
    return Finding(kind="attachment", id=row.id, what=what, cure=cure, action=action)


def _snapshot(row: Snapshot, what: str, cure: str, action: str) -> Finding:
    return Finding(kind="snapshot", id=row.id, what=what, cure=cure, action=action)


def _backup(row: Backup, what: str, cure: str, action: str) -> Finding:
    return Finding(kind="backup", id=row.id, what=what, cure=cure, action=action)
