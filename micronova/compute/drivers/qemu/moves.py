"""A volume changes its place under a running guest: QEMU copies it, writes to both, and lets go of the old one.

The copy is a job of QEMU's with the new place in its name; which place the guest's disk is on is asked of QEMU too.
Completed, the job waits: it has flushed the new place, and holds back what the guest writes, so that whoever keeps the
books can write down the change between two states in which both places hold the same.

The new place may be another volume (`of` is then the one that the guest has), and a larger one: QEMU copies between
equals only, so the guest sees as much of it as it had, through a window, until it is there alone.
"""

import asyncio
import contextlib

import msgspec

from micronova.compute.driver import VolumeDisk, with_volume_instead
from micronova.compute.drivers.qemu import blocks, slots, volumes
from micronova.compute.drivers.qemu import folder as qemu_folder
from micronova.compute.drivers.qemu.folder import GuestFolder
from micronova.compute.drivers.qemu.monitor import Monitor
from micronova.errors import DriverError, Rejected

_PREFIX = "move-"
_SETTLING = 30
"""Seconds for the last writes to reach both places, or for a copy to be given up."""
_POLL = 0.02
_ALL_THERE = ("ready", "waiting", "pending")
_OVER = ("aborting", "concluded", "null")
_WINDOW = "-w"


class _Job(msgspec.Struct):
    """QEMU's job that copies a volume; `stem` names the place it copies to."""

    id: str
    status: str
    error: str = ""

    @property
    def stem(self) -> str:
        return self.id.removeprefix(_PREFIX)


async def follow(monitor: Monitor, disk: VolumeDisk, of: str = "") -> bool:
    """Whether all of the volume is in its new place; the copy is begun when it was not. Raises DriverError."""
    stem, job = blocks.stem(disk), await _job(monitor, disk.volume_id)
    if job is not None and job.stem == stem and job.status not in _OVER:
        return job.status in _ALL_THERE
    if job is not None:
        await unfollow(monitor, disk.volume_id)
        if job.stem == stem and job.error:
            raise DriverError(f"the volume could not be copied: {job.error}")
    if await _is_there(monitor, disk):
        return True
    there, had = await _top(monitor, of or disk.volume_id), await volumes.nodes(monitor, of or disk.volume_id)
    await volumes.cut(monitor, disk.volume_id, keep=_stem_of(there))
    try:
        await volumes.reach(monitor, disk)
        words = {"job-id": _PREFIX + stem, "device": there, "target": await _target(monitor, disk, had[there])}
        words |= {"filter-node-name": there.rpartition("-")[0] + volumes.FILTER}
        ways = {"sync": "full", "copy-mode": "write-blocking"}
        ends = {"auto-finalize": False, "auto-dismiss": False}
        await monitor.ask("blockdev-mirror", {**words, **ways, **ends}, wait=volumes.REACHING)
    except DriverError:
        await volumes.cut(monitor, disk.volume_id, keep=_stem_of(there))
        raise
    return False


async def _target(monitor: Monitor, disk: VolumeDisk, size: int) -> str:
    """The node to copy `size` bytes to: the disk's, or a window on it that is as large. Raises DriverError."""
    top = blocks.graph(disk).top()
    if (await volumes.nodes(monitor, disk.volume_id))[top] <= size:
        return top
    window = _window(disk, top)
    await monitor.ask("blockdev-add", {**window, "size": size}, wait=volumes.REACHING)
    return str(window["node-name"])


def _window(disk: VolumeDisk, below: str) -> blocks.Words:
    name = blocks.stem(disk) + _WINDOW
    return {"driver": "raw", "file": below, "node-name": name, "read-only": False, "discard": "unmap"}


async def _widen(monitor: Monitor, disk: VolumeDisk) -> None:
    """The guest sees all of a volume that it saw through a window. Safe to repeat. Raises DriverError."""
    top, sizes = blocks.graph(disk).top(), await volumes.nodes(monitor, disk.volume_id)
    window = _window(disk, top)
    if window["node-name"] in sizes:
        await monitor.ask("blockdev-reopen", {"options": [window]}, wait=volumes.REACHING)
        words = {"node-name": window["node-name"], "size": sizes[top]}
        await monitor.ask("block_resize", words, wait=volumes.REACHING)


async def hold(monitor: Monitor, disk: VolumeDisk) -> None:
    """Both places are the same, and stay so. Raises Rejected when the volume is not followed, DriverError."""
    job = await _job(monitor, disk.volume_id)
    if job is None and await _is_there(monitor, disk):
        return
    if job is None or job.stem != blocks.stem(disk) or job.status not in _ALL_THERE:
        raise Rejected("the volume is not in its new place yet")
    if job.status == "ready":
        await monitor.ask("job-complete", {"id": job.id})
    await _until(monitor, disk.volume_id, ("pending",))


async def switch(folder: GuestFolder, monitor: Monitor | None, disk: VolumeDisk, of: str = "") -> None:
    """The guest has the volume in its new place alone, also at its next start.

    Raises DriverError, Rejected when QEMU gave the copy up: the guest writes to the old place, and to that alone.
    """
    wanted = with_volume_instead(folder.read_spec(), disk, of)
    if monitor is not None:
        stem = await _finish(monitor, disk.volume_id) or blocks.stem(disk)
        there = await _top(monitor, disk.volume_id, of or disk.volume_id)
        if not there.startswith(f"{stem}-"):
            raise Rejected("the guest has the volume in its old place still")
        await volumes.cut(monitor, disk.volume_id, keep=_stem_of(there))
        await _widen(monitor, disk)
        if of and not await volumes.device_of(monitor, of):
            await volumes.cut(monitor, of)
    qemu_folder.remember(folder, wanted)


async def _finish(monitor: Monitor, volume_id: str) -> str:
    """QEMU lets go of the old place, if it held the volume; returns which place it held it for, "" for none."""
    job = await _job(monitor, volume_id)
    if job is not None and job.status not in _OVER:
        if job.status != "pending":
            raise DriverError("the volume was not held")
        await monitor.ask("job-finalize", {"id": job.id}, wait=_SETTLING)
        await _until(monitor, volume_id, _OVER)
    await _dismiss(monitor, volume_id)
    return job.stem if job is not None else ""


async def unfollow(monitor: Monitor, volume_id: str) -> None:
    """Nothing copies to the volume; the guest has it where it had it, or not at all. Raises DriverError."""
    job = await _job(monitor, volume_id)
    if job is not None and job.status not in _OVER:
        # One that ended in this moment refuses; what follows finds that out.
        with contextlib.suppress(DriverError):
            await monitor.ask("job-cancel", {"id": job.id}, wait=_SETTLING)
        await _until(monitor, volume_id, _OVER)
    await _dismiss(monitor, volume_id)
    used = await volumes.device_of(monitor, volume_id)
    await volumes.cut(monitor, volume_id, keep=_stem_of(await _top(monitor, volume_id)) if used else "")


async def _top(monitor: Monitor, *volume_ids: str) -> str:
    """The node that the guest's disk is made of now, the first of these volumes that it has.

    Raises DriverError when the guest has no such disk.
    """
    for volume_id in volume_ids:
        if device := await volumes.device_of(monitor, volume_id):
            return str(await monitor.ask("qom-get", {"path": f"{slots.DEVICES}/{device}", "property": "drive"}))
    raise DriverError("the guest has no such volume", volume=volume_ids[-1])


async def _is_there(monitor: Monitor, disk: VolumeDisk) -> bool:
    """Whether the guest has the volume in this place, whether or not it goes to another too."""
    if not await volumes.device_of(monitor, disk.volume_id):
        return False
    return (await _top(monitor, disk.volume_id)).startswith(f"{blocks.stem(disk)}-")


def _stem_of(node: str) -> str:
    return node.rpartition("-")[0] + "-"


async def _job(monitor: Monitor, volume_id: str) -> _Job | None:
    """What copies the volume, or did. Raises DriverError."""
    found = await monitor.ask("query-jobs")
    begin = _PREFIX + blocks.prefix(volume_id)
    jobs = [one for one in found if one["id"].startswith(begin)] if isinstance(found, list) else []
    return msgspec.convert(jobs[0], _Job) if jobs else None


async def _until(monitor: Monitor, volume_id: str, statuses: tuple[str, ...]) -> None:
    """The copy has one of these statuses. Raises DriverError when it ends otherwise or takes too long."""
    try:
        async with asyncio.timeout(_SETTLING):
            while (job := await _job(monitor, volume_id)) is not None and job.status not in statuses:
                if job.status in _OVER:
                    raise DriverError(f"the volume could not be copied: {job.error or 'it was given up'}")
                await asyncio.sleep(_POLL)
    except TimeoutError as err:
        raise DriverError(f"the copy of the volume did not settle within {_SETTLING} s") from err


async def _dismiss(monitor: Monitor, volume_id: str) -> None:
    """QEMU forgets how the copy ended. Raises DriverError, also when it does not end."""
    job = await _job(monitor, volume_id)
    try:
        async with asyncio.timeout(_SETTLING):
            while job is not None and job.status == "aborting":
                await asyncio.sleep(_POLL)
                job = await _job(monitor, volume_id)
    except TimeoutError as err:
        raise DriverError(f"the copy of the volume was not given up within {_SETTLING} s") from err
    if job is not None and job.status == "concluded":
        await monitor.ask("job-dismiss", {"id": job.id})
