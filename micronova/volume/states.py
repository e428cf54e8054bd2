"""Which status a volume, snapshot or attachment may have, and what may be asked in which. Pure.

Words and refusals are those of the Block Storage API v3 (API reference, "Volumes", "Volume snapshots").
"""

from collections.abc import Iterable, Mapping

from micronova.errors import WrongState

CREATING = "creating"
AVAILABLE = "available"
RESERVED = "reserved"
ATTACHING = "attaching"
DETACHING = "detaching"
IN_USE = "in-use"
MAINTENANCE = "maintenance"
DELETING = "deleting"
AWAITING_TRANSFER = "awaiting-transfer"
ERROR = "error"
ERROR_DELETING = "error_deleting"
BACKING_UP = "backing-up"
RESTORING = "restoring-backup"
SNAPSHOT_RESTORING = "restoring"
ERROR_BACKING_UP = "error_backing-up"
ERROR_RESTORING = "error_restoring"
ERROR_EXTENDING = "error_extending"
ERROR_MANAGING = "error_managing"
DOWNLOADING = "downloading"
UPLOADING = "uploading"
RETYPING = "retyping"
EXTENDING = "extending"
REVERTING = "reverting"
MANAGING = "managing"
UNMANAGING = "unmanaging"
ATTACHED = "attached"
ERROR_DETACHING = "error_detaching"

TRANSIENT = frozenset(
    (
        CREATING,
        DOWNLOADING,
        DELETING,
        EXTENDING,
        UPLOADING,
        RETYPING,
        REVERTING,
        BACKING_UP,
        RESTORING,
        MANAGING,
        UNMANAGING,
    )
)
"""Statuses that a task owns; nothing has one of them for ever."""

SETTABLE = (
    CREATING,
    AVAILABLE,
    DELETING,
    ERROR,
    ERROR_DELETING,
    ERROR_MANAGING,
    MANAGING,
    ATTACHING,
    DETACHING,
    IN_USE,
    MAINTENANCE,
    ERROR_BACKING_UP,
    BACKING_UP,
    RESTORING,
    ERROR_RESTORING,
    ERROR_EXTENDING,
    EXTENDING,
    RESERVED,
    AWAITING_TRANSFER,
    UPLOADING,
    DOWNLOADING,
    RETYPING,
)
"""What an administrator may say a volume's status is."""
SNAPSHOT_SETTABLE = (AVAILABLE, ERROR, CREATING, DELETING, ERROR_DELETING, SNAPSHOT_RESTORING, "unmanaging")

ALLOWED: Mapping[str, frozenset[str]] = {
    "delete": frozenset((AVAILABLE, ERROR, ERROR_RESTORING, ERROR_EXTENDING, ERROR_MANAGING)),
    "snapshot": frozenset((AVAILABLE,)),
    "snapshot in use": frozenset((AVAILABLE, IN_USE)),
    "clone": frozenset((AVAILABLE, IN_USE)),
    "extend": frozenset((AVAILABLE,)),
    "extend in use": frozenset((AVAILABLE, IN_USE)),
    "reserve": frozenset((AVAILABLE,)),
    "reserve shared": frozenset((AVAILABLE, IN_USE, RESERVED, ATTACHING)),
    "unreserve": frozenset((RESERVED, ATTACHING)),
    "attach": frozenset((AVAILABLE, RESERVED, ATTACHING)),
    "begin detaching": frozenset((IN_USE,)),
    "roll detaching": frozenset((DETACHING,)),
    "readonly": frozenset((AVAILABLE,)),
    "transfer": frozenset((AVAILABLE,)),
    "retype": frozenset((AVAILABLE, IN_USE)),
    "upload": frozenset((AVAILABLE,)),
    "upload in use": frozenset((AVAILABLE, IN_USE)),
    "back up": frozenset((AVAILABLE,)),
    "back up in use": frozenset((AVAILABLE, IN_USE)),
    "restore": frozenset((AVAILABLE,)),
    "revert": frozenset((AVAILABLE,)),
    "unmanage": frozenset((AVAILABLE, ERROR, ERROR_RESTORING, ERROR_EXTENDING, ERROR_MANAGING)),
    "join a group": frozenset((AVAILABLE, IN_USE)),
    "image metadata": frozenset((AVAILABLE, IN_USE, ERROR, RESERVED, MAINTENANCE)),
    "delete snapshot": frozenset((AVAILABLE, ERROR)),
    "use snapshot": frozenset((AVAILABLE,)),
    "delete backup": frozenset((AVAILABLE, ERROR)),
    "restore backup": frozenset((AVAILABLE,)),
}

_PRIORITY = (
    (ATTACHED, IN_USE),
    (ERROR_DETACHING, IN_USE),
    (ATTACHING, ATTACHING),
    (DETACHING, DETACHING),
    (RESERVED, RESERVED),
)


def check(action: str, what: str, id: str, status: str) -> None:
    """Return when `action` may be asked for of a `what` ("volume") in this status. Raises WrongState when not."""
    allowed = ALLOWED[action]
    if status not in allowed:
        raise WrongState(
            f"Invalid {what}: {what.capitalize()} {id} status must be {' or '.join(sorted(allowed))}, "
            f"but current status is: {status}",
            id=id,
        )


def not_in_use(id: str, status: str) -> WrongState:
    """Why the volume can't be detached now."""
    return WrongState(
        f"Invalid volume: Volume {id} status must be in-use to detach, but current status is: {status}.", id=id
    )


def of_attachment(status: str, *, leaving: bool) -> str:
    """What an attachment counts as; `leaving`: another is about to take its place."""
    return DETACHING if leaving and status == ATTACHED else status


def of_attachments(statuses: Iterable[str]) -> str:
    """A volume's status as its attachments make it: the first of in-use, attaching, detaching, reserved, available."""
    found = set(statuses)
    return next((volume for attachment, volume in _PRIORITY if attachment in found), AVAILABLE)


FOLLOWS_ATTACHMENTS = frozenset((AVAILABLE, RESERVED, ATTACHING, DETACHING, IN_USE))
"""A volume's statuses that change as its attachments do."""
