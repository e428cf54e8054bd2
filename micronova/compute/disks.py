"""Names and buses of a server's disks, and their limits in the driver's words. Pure.

A disk's name says how the guest sees it: /dev/vdb is a virtio disk, /dev/sdb a SCSI one.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import count

import msgspec

from micronova.compute.db import DiskPlan
from micronova.errors import BadRequest, Conflict

VIRTIO, SCSI = "virtio", "scsi"
BUSES = (VIRTIO, SCSI)
KNOWN_BUSES = ("fdc", "ide", "sata", "scsi", "usb", "virtio", "xen", "lxc", "uml", "nvme", "none")
"""Every bus that the API has words for (Compute API reference, `disk_bus`)."""
_PREFIXES = {VIRTIO: "/dev/vd", SCSI: "/dev/sd"}
_DEVICE = re.compile(r"(/dev/x?[a-z]?d?)([a-z]{1,2})[0-9]*")
ROOT_DEVICE = "/dev/vda"
_THROTTLES: Mapping[str, str] = {
    "total_bytes_sec": "bps-total",
    "read_bytes_sec": "bps-read",
    "write_bytes_sec": "bps-write",
    "total_iops_sec": "iops-total",
    "read_iops_sec": "iops-read",
    "write_iops_sec": "iops-write",
    "total_bytes_sec_max": "bps-total-max",
    "read_bytes_sec_max": "bps-read-max",
    "write_bytes_sec_max": "bps-write-max",
    "total_iops_sec_max": "iops-total-max",
    "read_iops_sec_max": "iops-read-max",
    "write_iops_sec_max": "iops-write-max",
    "size_iops_sec": "iops-size",
}
"""QoS specs of the front end to QEMU's limits (Block Storage admin guide, "Capacity based QoS" and "QoS specs")."""
_BY_SIZE = "_per_gb"


def bus_of(device: str) -> str:
    """How the guest sees the disk of this name."""
    return SCSI if device.startswith(_PREFIXES[SCSI]) else VIRTIO


def device_name(text: str) -> str:
    """The name with /dev/ before it. Raises BadRequest when it can't be a disk's."""
    name = text if text.startswith("/dev/") else f"/dev/{text}"
    if not _DEVICE.fullmatch(name):
        raise BadRequest(f"The supplied device path ({text}) is invalid.")
    return name


def choose_device(used: Iterable[str], asked: str | None, bus: str) -> str:
    """A name for one more disk: the one asked for, said for the bus that the guest really has, or the next free.

    Raises BadRequest for what is no name, Conflict for one that another disk has.
    """
    letters = {_letters(device) for device in used}
    if not asked:
        return _PREFIXES[bus] + next(name for name in map(letter, count()) if name not in letters)
    name = device_name(asked)
    wanted = _letters(name)
    if wanted in letters:
        raise Conflict(f"The supplied device path ({asked}) is in use.")
    return _PREFIXES[SCSI if name.startswith(_PREFIXES[SCSI]) else bus] + wanted


def letter(place: int) -> str:
    """a for 0, z for 25, aa for 26."""
    rest, last = divmod(place, 26)
    return (letter(rest - 1) if rest else "") + chr(ord("a") + last)


def _letters(device: str) -> str:
    found = _DEVICE.fullmatch(device)
    return found[2] if found is not None else ""


def named(plans: Sequence[DiskPlan], *, own_root: bool, bus: str) -> tuple[DiskPlan, ...]:
    """The disks with names: the one that boots is the first, others have what was asked for, or the next free.

    `own_root`: the first name is taken by a root disk that is no volume.
    """
    used = [ROOT_DEVICE] if own_root else []
    done: dict[int, DiskPlan] = {}
    order = sorted(enumerate(plans), key=lambda one: (one[1].boot_index != 0, not one[1].device, one[0]))
    for place, plan in order:
        name = choose_device(used, plan.device or None, plan.bus or bus)
        used.append(name)
        done[place] = msgspec.structs.replace(plan, device=name)
    return tuple(done[place] for place in range(len(plans)))


def throttle(qos: Mapping[str, str], size_gib: int) -> dict[str, int]:
    """What the guest's reads and writes are limited to, as QEMU says it; what is no number limits nothing."""
    limits: dict[str, int] = {}
    for name, text in qos.items():
        by_size = name.endswith(_BY_SIZE)
        word = _THROTTLES.get(name.removesuffix(_BY_SIZE))
        if word is None or not text.isdecimal() or not int(text):
            continue
        limits[word] = int(text) * size_gib if by_size else int(text)
    return _consistent(limits)


def _consistent(limits: dict[str, int]) -> dict[str, int]:
    """QEMU takes a total or its parts, not both, and a burst only above a limit: what is stricter stays."""
    for kind in ("bps", "iops"):
        if f"{kind}-total" in limits:
            limits = {name: value for name, value in limits.items() if name[: len(kind) + 2] not in _parts(kind)}
    if not any(name.startswith("iops-") and name != "iops-size" for name in limits):
        limits.pop("iops-size", None)
    return {
        name: value
        for name, value in limits.items()
        if not name.endswith("-max") or 0 < limits.get(name.removesuffix("-max"), 0) <= value
    }


def _parts(kind: str) -> tuple[str, str]:
    return f"{kind}-r", f"{kind}-w"
