"""Which status of an image may follow which. Pure.

queued -> saving -> active <-> deactivated
queued <- saving                            an upload that did not end well
queued -> uploading -> importing -> active  bytes are staged first, then imported
"""

from micronova.errors import BadRequest, Forbidden, WrongState

QUEUED = "queued"
SAVING = "saving"
UPLOADING = "uploading"
ACTIVE = "active"
DEACTIVATED = "deactivated"

NEXT: dict[str, tuple[str, ...]] = {
    QUEUED: (SAVING, UPLOADING),
    SAVING: (ACTIVE, QUEUED),
    UPLOADING: (ACTIVE, QUEUED),
    ACTIVE: (DEACTIVATED,),
    DEACTIVATED: (ACTIVE,),
}
HOLDING = (ACTIVE, DEACTIVATED)
"""Where an image has its bytes."""

TRANSIENT = (SAVING, UPLOADING)
"""Where an image is while its bytes are on their way."""


def require_step(current: str, wanted: str) -> None:
    """Return when `wanted` may follow `current`. Raises WrongState when not."""
    if wanted not in NEXT[current]:
        raise WrongState(f"Image status transition from {current} to {wanted} is not allowed", status_now=current)


def require_formats(disk_format: str | None, container_format: str | None) -> None:
    """Return when an image with these formats may take bytes. Raises BadRequest naming what is missing."""
    formats = (("disk_format", disk_format), ("container_format", container_format))
    missing = [name for name, value in formats if not value]
    if missing:
        noun = "Property" if len(missing) == 1 else "Properties"
        raise BadRequest(f"{noun} {', '.join(missing)} must be set prior to saving data.")


def deactivated(current: str) -> str:
    """The status after a deactivation. Raises Forbidden when the image holds no bytes that could be locked."""
    if current not in (ACTIVE, DEACTIVATED):
        raise Forbidden(f"Not allowed to deactivate image in status '{current}'")
    return DEACTIVATED


def reactivated(current: str) -> str:
    """The status after a reactivation. Raises Forbidden when the image was never active."""
    if current not in (ACTIVE, DEACTIVATED):
        raise Forbidden(f"Not allowed to reactivate image in status '{current}'")
    return ACTIVE
