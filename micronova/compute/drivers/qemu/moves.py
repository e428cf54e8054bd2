"""A volume changes its place under a running guest: QEMU copies it, writes to both, and lets go of the old one.

The copy is a job of QEMU's with the new place in its name; which place the guest's disk is on is asked of QEMU too.
Completed, the job waits: it has flushed the new place, and holds back what the guest writes, so that whoever keeps the
books can write down the change between two states in which both places hold the same.
"""

import asyncio
import contextlib

import msgspec

from micronova.compute.driver import VolumeDisk, with_volume
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


class _Job(msgspec.Struct):
    """QEMU's job that copies a volume; `stem` names the place it copies to."""

    id: str
    status: str
    error: str = ""

    @property
    def stem(self) -> str:
        return self.id.removeprefix(_PREFIX)


async def follow(monitor: Monitor, disk: VolumeDisk) -> bool:
    """Whether all of the volume is in its new place; the copy is begun when it was not. Raises DriverError."""
    stem, job = blocks.stem(disk), await _job(monitor, disk.volume_id)
    if job is not None and job.stem == stem and job.status not in _OVER:
        return job.status in _ALL_THERE
    if job is not None:
        await unfollow(monitor, disk.volume_id)
        if job.stem == stem and job.error:
            raise DriverError(f"the volume could not be copied: {job.error}")
    there = await _top(monitor, disk.volume_id)
    if there.startswith(f"{stem}-"):
        return True
    await volumes.cut(monitor, disk.volume_id, keep=_stem_of(there))
    try:
        await volumes.reach(monitor, disk)
        words = {"job-id": _PREFIX + stem, "device": there, "target": blocks.graph(disk).top(), "sync": "full"}
        ends = {"auto-finalize": False, "auto-dismiss": False}
        await monitor.ask("blockdev-mirror", {**words, **ends, "copy-mode": "write-blocking"}, wait=volumes.REACHING)
    except DriverError:
        await volumes.cut(monitor, disk.volume_id, keep=_stem_of(there))
        raise
    return False


async def hold(monitor: Monitor, disk: VolumeDisk) -> None:
    """Both places are the same, and stay so. Raises Rejected when the volume is not followed, DriverError."""
    job = await _job(monitor, disk.volume_id)
    if job is None and (await _top(monitor, disk.volume_id)).startswith(f"{blocks.stem(disk)}-"):
        return
    if job is None or job.stem != blocks.stem(disk) or job.status not in _ALL_THERE:
        raise Rejected("the volume is not in its new place yet")
    if job.status == "ready":
        await monitor.ask("job-complete", {"id": job.id})
    await _until(monitor, disk.volume_id, ("pending",))


async def switch(folder: GuestFolder, monitor: Monitor | None, disk: VolumeDisk) -> None:
    """The guest has the volume in its new place alone, also at its next start. Raises DriverError."""
    wanted = with_volume(folder.read_spec(), disk)
    if monitor is not None:
        stem = await _finish(monitor, disk.volume_id) or blocks.stem(disk)
        there = await _top(monitor, disk.volume_id)
        if not there.startswith(f"{stem}-"):
            raise DriverError("the guest has the volume in its old place still")
        await volumes.cut(monitor, disk.volume_id, keep=_stem_of(there))
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
    """Nothing copies the volume; the guest has it where it had it. Raises DriverError."""
    job = await _job(monitor, volume_id)
    if job is not None and job.status not in _OVER:
        # One that ended in this moment refuses; what follows finds that out.
        with contextlib.suppress(DriverError):
            await monitor.ask("job-cancel", {"id": job.id}, wait=_SETTLING)
        await _until(monitor, volume_id, _OVER)
    await _dismiss(monitor, volume_id)
    if blocks.disk_name(volume_id) in await slots.devices(monitor):
        await volumes.cut(monitor, volume_id, keep=_stem_of(await _top(monitor, volume_id)))


async def _top(monitor: Monitor, volume_id: str) -> str:
    """The node that the guest's disk is made of now. Raises DriverError when the guest has no such disk."""
    path = f"{slots.DEVICES}/{blocks.disk_name(volume_id)}"
    if blocks.disk_name(volume_id) not in await slots.devices(monitor):
        raise DriverError("the guest has no such volume", volume=volume_id)
    return str(await monitor.ask("qom-get", {"path": path, "property": "drive"}))


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
    """QEMU forgets how the copy ended. Raises DriverError."""
    job = await _job(monitor, volume_id)
    while job is not None and job.status == "aborting":
        await asyncio.sleep(_POLL)
        job = await _job(monitor, volume_id)
    if job is not None and job.status == "concluded":
        await monitor.ask("job-dismiss", {"id": job.id})
