"""Volumes put into a guest and taken out of it: while it runs by its monitor, and always in its description.

Everything goes by the monitor, at a guest's start too, so that no key is ever in a file or among arguments. A disk is
named by its volume. What is there is asked of QEMU each time; the description is written last.
"""

import asyncio
from collections.abc import Iterable

from micronova.compute.driver import VolumeDisk, with_volume, without_volume
from micronova.compute.drivers.qemu import blocks, ceph, slots
from micronova.compute.drivers.qemu import folder as qemu_folder
from micronova.compute.drivers.qemu.folder import GuestFolder
from micronova.compute.drivers.qemu.monitor import Monitor
from micronova.errors import DriverError
from micronova.volume.driver import RbdConnection

GIB = 2**30
_CONTROLLER = "scsi"
_LAYERS = "pfcqw"
"""How the names of a volume's nodes end, each with one that stands on those before it."""
FILTER = "-m"
"""How the name ends of what QEMU lays over a volume while it copies it, and takes away itself."""
REACHING = 30
"""Seconds that QEMU has to connect with a volume."""
_LETTING_GO = 30
"""Tries until what used a node has let go of it."""
_GROWING = 10
"""Tries until QEMU has seen a volume that has grown; one more for each reconnection that comes late."""


async def attach(folder: GuestFolder, monitor: Monitor | None, disk: VolumeDisk) -> None:
    """The guest has the disk, at once if `monitor` is there, and at its next start.

    Raises Rejected when it has no slot left, DriverError when there is no such guest or the volume can't be reached.
    """
    if not folder.exists():
        raise DriverError("there is no such guest", id=folder.id)
    wanted = with_volume(folder.read_spec(), disk)
    if monitor is not None:
        await plug(monitor, disk)
    qemu_folder.remember(folder, wanted)


async def detach(folder: GuestFolder, monitor: Monitor | None, volume_id: str) -> None:
    """The guest has no disk of the volume, now if `monitor` is there, nor at its next start.

    Raises Rejected when it stands still and so can't let go of it, DriverError when it did not.
    """
    spec = folder.read_spec()
    if monitor is not None:
        await slots.let_go(monitor, await device_of(monitor, volume_id) or blocks.disk_name(volume_id), "volume")
        await cut(monitor, volume_id)
    qemu_folder.remember(folder, without_volume(spec, volume_id))


async def plug(monitor: Monitor, disk: VolumeDisk) -> None:
    """QEMU shows the volume to its guest; when that fails, nothing of it is left."""
    names = await slots.devices(monitor)
    if await device_of(monitor, disk.volume_id):
        return
    # Half of it may be left from an attempt that was interrupted.
    await cut(monitor, disk.volume_id)
    try:
        await reach(monitor, disk)
        bus = await _bus(monitor, names, disk)
        words = blocks.device(disk, bus, blocks.graph(disk).top())
        await monitor.ask("device_add", {**words, "id": _free_name(names, str(words["id"]))})
    except DriverError:
        await cut(monitor, disk.volume_id)
        raise


async def device_of(monitor: Monitor, volume_id: str) -> str:
    """The name of the guest's disk that is this volume, "" for none: one whose volume was changed keeps its name."""
    begin, own = blocks.prefix(volume_id), blocks.disk_name(volume_id)
    for name in sorted(await slots.devices(monitor), key=lambda name: name != own):
        if not name.startswith(blocks.disk_name("")):
            continue
        try:
            node = str(await monitor.ask("qom-get", {"path": f"{slots.DEVICES}/{name}", "property": "drive"}))
        except DriverError:
            # It is being unplugged, or was in this moment.
            node = ""
        if node.startswith(begin) or (name == own and not node.startswith(blocks.prefix(""))):
            return name
    return ""


def _free_name(names: list[str], own: str) -> str:
    """What a new disk is called, whose own name another one may have kept."""
    return next(name for name in (own, *(f"{own}-{turn}" for turn in range(1, len(names) + 2))) if name not in names)


async def plug_all(monitor: Monitor, disks: Iterable[VolumeDisk]) -> None:
    """A guest that waits for it has its volumes; its firmware learns of them by a reset, which is the caller's."""
    for disk in disks:
        await plug(monitor, disk)


async def reach(monitor: Monitor, disk: VolumeDisk) -> None:
    """QEMU has what reaches the volume, for whoever uses it. Raises DriverError; then parts of it may be left."""
    if isinstance(disk.connection, RbdConnection):
        await ceph.check(disk.connection)
    graph = blocks.graph(disk)
    for made in graph.objects:
        await monitor.ask("object-add", made)
    for node in graph.nodes:
        await monitor.ask("blockdev-add", node, wait=REACHING)


async def extend(monitor: Monitor, volume_id: str, size_gib: int) -> None:
    """QEMU and its guest know that the volume has grown to this size. Raises DriverError."""
    sizes = await nodes(monitor, volume_id)
    size, lower = size_gib * GIB, 0
    for node, had in sorted(sizes.items(), key=_layer):
        # What a container keeps for its header stays as large as it is.
        size -= lower - had if node.endswith("-c") else 0
        lower = had
        await _resize(monitor, node, size)


async def _resize(monitor: Monitor, node: str, size: int) -> None:
    """An export that has grown was closed for that: QEMU learns its size when it connects again, by reading from it."""
    for turn in range(_GROWING):
        await monitor.ask("human-monitor-command", {"command-line": f'qemu-io {node} "read 0 512"'}, wait=REACHING)
        try:
            await monitor.ask("block_resize", {"node-name": node, "size": size}, wait=REACHING)
        except DriverError:
            if turn == _GROWING - 1:
                raise
            await asyncio.sleep(0.2)
        else:
            return


async def _bus(monitor: Monitor, names: list[str], disk: VolumeDisk) -> str:
    """Where the disk goes: a free slot, or the SCSI controller, which takes one when it is first needed."""
    if disk.bus == "virtio":
        return await slots.free(monitor, names, "volume")
    if _CONTROLLER not in names:
        slot = await slots.free(monitor, names, "volume")
        await monitor.ask("device_add", {"driver": "virtio-scsi-pci", "id": _CONTROLLER, "bus": slot})
    return f"{_CONTROLLER}.0"


async def nodes(monitor: Monitor, volume_id: str) -> dict[str, int]:
    """The volume's nodes by name, with their sizes in bytes."""
    found = await monitor.ask("query-named-block-nodes", {"flat": True})
    begin, items = blocks.prefix(volume_id), found if isinstance(found, list) else []
    sizes = {item["node-name"]: item["image"]["virtual-size"] for item in items}
    return {name: size for name, size in sizes.items() if name.startswith(begin) and not name.endswith(FILTER)}


async def cut(monitor: Monitor, volume_id: str, *, keep: str = "") -> None:
    """QEMU holds nothing of the volume but what `keep` begins the names of.

    All that was written is flushed, no other connection and no other secret is left.
    """
    for node in sorted(await nodes(monitor, volume_id), key=lambda name: _layer((name, 0)), reverse=True):
        if not keep or not node.startswith(keep):
            await _remove(monitor, node)
    found = await monitor.ask("qom-list", {"path": "/objects"})
    begin, items = blocks.prefix(volume_id), found if isinstance(found, list) else []
    for item in items:
        if item["name"].startswith(begin) and not (keep and item["name"].startswith(keep)):
            await monitor.ask("object-del", {"id": item["name"]})


async def _remove(monitor: Monitor, node: str) -> None:
    """QEMU has no such node. A device whose name is gone may hold it for a moment more."""
    for turn in range(_LETTING_GO):
        try:
            await monitor.ask("blockdev-del", {"node-name": node}, wait=REACHING)
        except DriverError as err:
            if turn == _LETTING_GO - 1 or "in use" not in err.message:
                raise
            await asyncio.sleep(0.1)
        else:
            return


def _layer(node: tuple[str, int]) -> int:
    return _LAYERS.index(node[0][-1])
