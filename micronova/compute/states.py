"""Which state a server may be in, what each is called in the API, and what may be asked in which. Pure.

`vm_state` is what the server is, `task_state` what is being done to it, `power_state` what its guest was last seen
doing (Compute API guide, "Server concepts").
"""

from collections.abc import Iterable

import msgspec

from micronova.errors import WrongState

BUILDING = "building"
ACTIVE = "active"
STOPPED = "stopped"
PAUSED = "paused"
SUSPENDED = "suspended"
RESCUED = "rescued"
RESIZED = "resized"
ERROR = "error"

SCHEDULING = "scheduling"
SPAWNING = "spawning"
POWERING_OFF = "powering-off"
POWERING_ON = "powering-on"
PAUSING = "pausing"
UNPAUSING = "unpausing"
REBOOTING = "rebooting"
REBOOTING_HARD = "rebooting_hard"
REBUILDING = "rebuilding"
RESIZE_PREP = "resize_prep"
RESIZE_FINISH = "resize_finish"
RESIZE_REVERTING = "resize_reverting"
DELETING = "deleting"

NO_STATE, RUNNING, POWER_PAUSED, SHUTDOWN, CRASHED = 0, 1, 3, 4, 6
POWERS = {"running": RUNNING, "paused": POWER_PAUSED, "shutdown": SHUTDOWN, "crashed": CRASHED, "absent": NO_STATE}
"""A driver's word for a guest's power to the API's number."""
POWER_NAMES = {
    NO_STATE: "pending",
    RUNNING: "running",
    POWER_PAUSED: "paused",
    SHUTDOWN: "shutdown",
    CRASHED: "crashed",
}

_RESIZE: dict[str | None, str] = dict.fromkeys((RESIZE_PREP, RESIZE_FINISH), "RESIZE")
_STATUS: dict[str, dict[str | None, str]] = {
    BUILDING: {None: "BUILD"},
    ACTIVE: {
        None: "ACTIVE",
        REBOOTING: "REBOOT",
        REBOOTING_HARD: "HARD_REBOOT",
        REBUILDING: "REBUILD",
        **_RESIZE,
    },
    STOPPED: {None: "SHUTOFF", REBUILDING: "REBUILD", **_RESIZE},
    PAUSED: {None: "PAUSED"},
    SUSPENDED: {None: "SUSPENDED"},
    RESCUED: {None: "RESCUE"},
    RESIZED: {None: "VERIFY_RESIZE", RESIZE_REVERTING: "REVERT_RESIZE"},
    ERROR: {None: "ERROR", REBUILDING: "REBUILD"},
}
IN_PROGRESS = frozenset(("ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"))
"""Statuses whose answer has a `progress`."""
ELSEWHERE = frozenset(("DELETED", "SOFT_DELETED", "SHELVED", "SHELVED_OFFLOADED", "MIGRATING", "PASSWORD", "UNKNOWN"))
"""Statuses of the API that no server here is ever in."""


def status(vm_state: str, task_state: str | None) -> str:
    """The API's one word for both."""
    known = _STATUS.get(vm_state)
    if known is None:
        return "UNKNOWN"
    return known.get(task_state) or known[None]


def states_of(words: Iterable[str]) -> set[tuple[str, str | None]] | None:
    """The (vm_state, task_state) pairs that have one of these statuses; None when no word is a status at all.

    A pair (vm_state, None) means: any task state that has no status of its own.
    """
    asked = {word.upper() for word in words}
    found = {(vm, task) for vm, tasks in _STATUS.items() for task, name in tasks.items() if name in asked}
    return found if found or asked & ELSEWHERE else None


def is_in(vm_state: str, task_state: str | None, wanted: set[tuple[str, str | None]]) -> bool:
    """Whether a server's two states are among `wanted`, as `states_of` gives them."""
    known = _STATUS.get(vm_state, {})
    return (vm_state, task_state if task_state in known else None) in wanted


class Allowed(msgspec.Struct, frozen=True):
    """In which states an action may be asked for. `vm` None means any; `launched`: only if it ever was active."""

    vm: frozenset[str] | None = None
    task: frozenset[str | None] | None = frozenset((None,))
    launched: bool = True


def _in(*vm: str) -> frozenset[str]:
    return frozenset(vm)


_REBOOTABLE = frozenset((None, REBOOTING, REBOOTING_HARD))
_TAGGABLE = Allowed(_in(ACTIVE, PAUSED, SUSPENDED, STOPPED), None, False)
_SETTLED = Allowed(_in(ACTIVE, PAUSED, SUSPENDED, STOPPED))
ALLOWED: dict[str, Allowed] = {
    "stop": Allowed(_in(ACTIVE, ERROR)),
    "start": Allowed(_in(STOPPED)),
    "reboot": Allowed(_in(ACTIVE)),
    "reboot hard": Allowed(_in(ACTIVE, STOPPED, PAUSED, SUSPENDED, ERROR), _REBOOTABLE),
    "pause": Allowed(_in(ACTIVE)),
    "unpause": Allowed(_in(PAUSED)),
    "suspend": Allowed(_in(ACTIVE)),
    "resume": Allowed(_in(SUSPENDED)),
    "rescue": Allowed(_in(ACTIVE, STOPPED, ERROR)),
    "unrescue": Allowed(_in(RESCUED)),
    "shelve": Allowed(_in(ACTIVE, STOPPED, PAUSED, SUSPENDED)),
    "unshelve": Allowed(_in()),
    "rebuild": Allowed(_in(ACTIVE, STOPPED, ERROR)),
    "resize": Allowed(_in(ACTIVE, STOPPED)),
    "confirmResize": Allowed(_in(RESIZED)),
    "revertResize": Allowed(_in(RESIZED)),
    "changePassword": Allowed(_in(ACTIVE)),
    "createImage": Allowed(_in(ACTIVE, STOPPED, PAUSED, SUSPENDED)),
    "createBackup": Allowed(_in(ACTIVE, STOPPED, PAUSED, SUSPENDED)),
    "migrate": Allowed(_in(ACTIVE, STOPPED)),
    "os-migrateLive": Allowed(_in(ACTIVE, PAUSED)),
    "evacuate": Allowed(_in(ACTIVE, STOPPED, ERROR)),
    "trigger_crash_dump": Allowed(_in(ACTIVE, PAUSED, RESCUED)),
    "restore": Allowed(_in()),
    "attach_interface": Allowed(_in(ACTIVE, PAUSED, STOPPED)),
    "detach_interface": Allowed(_in(ACTIVE, PAUSED, STOPPED)),
    "attach_volume": Allowed(_in(ACTIVE, PAUSED, STOPPED, RESIZED)),
    "detach_volume": Allowed(_in(ACTIVE, PAUSED, STOPPED, RESIZED)),
    "swap_volume": Allowed(_in(ACTIVE, PAUSED, RESIZED)),
    "update metadata": _SETTLED,
    "delete metadata": _SETTLED,
    "update tag": _TAGGABLE,
    "update tags": _TAGGABLE,
    "delete tag": _TAGGABLE,
    "delete tags": _TAGGABLE,
    "get_diagnostics": Allowed(_in(ACTIVE, PAUSED, SUSPENDED, RESCUED), None),
}


def check(action: str, server_id: str, vm_state: str, task_state: str | None, launched: bool) -> None:
    """Return when `action` may be asked for now. Raises WrongState in Nova's words."""
    allowed = ALLOWED[action]
    name = action.removesuffix(" hard")
    if allowed.vm is not None and vm_state not in allowed.vm:
        raise _refusal(name, server_id, "vm_state", vm_state)
    if allowed.task is not None and task_state not in allowed.task:
        raise _refusal(name, server_id, "task_state", str(task_state))
    if allowed.launched and not launched:
        raise WrongState(f"Cannot '{name}' instance {server_id} while it has never been active", id=server_id)


def _refusal(action: str, server_id: str, attribute: str, state: str) -> WrongState:
    return WrongState(f"Cannot '{action}' instance {server_id} while it is in {attribute} {state}", id=server_id)
