"""Network cards put into a guest and taken out of it: while it runs by its monitor, and always in its description.

A card sits in a slot and is named by its port. What is there is asked of QEMU each time, so that every step can be
repeated wherever the last one was interrupted; the description is written last.
"""

import asyncio
import contextlib

from micronova.compute.driver import GuestSpec, Nic, with_nic, without_nic
from micronova.compute.drivers.qemu import command as qemu_command
from micronova.compute.drivers.qemu import folder as qemu_folder
from micronova.compute.drivers.qemu import tap as qemu_tap
from micronova.compute.drivers.qemu.folder import GuestFolder
from micronova.compute.drivers.qemu.monitor import Monitor
from micronova.errors import DriverError, Rejected

DEVICES = "/machine/peripheral"
"""Where QEMU keeps the devices that have names."""
LETTING_GO = 30
"""Seconds a guest has to let go of a card; one that is idle needs a tenth of one."""
_SLOT = qemu_command.slot_name(0).rstrip("0")
_POLL = 0.1
_ASK_AGAIN = 50
"""Polls between two requests to let go: a guest that is still booting does not notice the first."""


async def attach(folder: GuestFolder, monitor: Monitor | None, nic: Nic) -> None:
    """The guest has the card, at once if `monitor` is there, and at its next start.

    Raises Rejected when it has no slot left, DriverError when there is no such guest or it refuses.
    """
    if not folder.exists():
        raise DriverError("there is no such guest", id=folder.id)
    wanted = with_nic(folder.read_spec(), nic)
    if monitor is not None:
        await _plug(folder, monitor, nic)
    _remember(folder, wanted)


async def detach(folder: GuestFolder, monitor: Monitor | None, port_id: str, *, wait: float = LETTING_GO) -> None:
    """The guest has no card of the port, now if `monitor` is there, nor at its next start.

    Raises Rejected when it stands still and so can't let go of it, DriverError when it did not within `wait` seconds.
    """
    spec = folder.read_spec()
    if monitor is not None:
        await _unplug(monitor, qemu_command.card_name(port_id), wait)
        await _cut(monitor, port_id)
    _remember(folder, without_nic(spec, port_id))


def _remember(folder: GuestFolder, spec: GuestSpec) -> None:
    try:
        qemu_folder.write_spec(folder.path, spec)
    except OSError as err:
        raise qemu_folder.refusal(err, "the guest's description could not be written") from err


async def _plug(folder: GuestFolder, monitor: Monitor, nic: Nic) -> None:
    names = await devices(monitor)
    if qemu_command.card_name(nic.port_id) in names:
        return
    slot = await _free_slot(folder, monitor, names)
    # The host's side may be left from an attempt that was interrupted; its tap can be opened once only.
    await _cut(monitor, nic.port_id)
    wire = qemu_command.wire_name(nic.port_id)
    with qemu_tap.opened((nic,)) as (tap,):
        await monitor.ask("getfd", {"fdname": wire}, handle=tap)
        await monitor.ask("netdev_add", {"type": "tap", "id": wire, "fd": wire})
    try:
        await monitor.ask("device_add", qemu_command.card(nic, slot))
    except DriverError:
        await _cut(monitor, nic.port_id)
        raise


async def _free_slot(folder: GuestFolder, monitor: Monitor, names: list[str]) -> str:
    taken = set()
    for name in names:
        if not name.startswith(_SLOT):
            bus = await monitor.ask("qom-get", {"path": f"{DEVICES}/{name}", "property": "parent_bus"})
            taken.add(str(bus).rpartition("/")[2])
    free = [name for name in names if name.startswith(_SLOT) and name not in taken]
    if not free:
        raise Rejected("the guest has no slot left for another card", id=folder.id)
    return min(free, key=lambda name: int(name.removeprefix(_SLOT)))


async def _unplug(monitor: Monitor, card: str, wait: float) -> None:
    """The guest, whose own kernel must do it, has let go of the card."""
    if card in await devices(monitor) and await monitor.status() != "running":
        raise Rejected("the guest stands still and can't let go of its network card")
    polls = 0
    try:
        async with asyncio.timeout(wait):
            while card in await devices(monitor):
                if polls % _ASK_AGAIN == 0:
                    await _ask_for(monitor, card, again=polls > 0)
                polls += 1
                await asyncio.sleep(_POLL)
    except TimeoutError as err:
        raise DriverError(f"the guest did not let go of its network card within {wait:g} s") from err


async def _ask_for(monitor: Monitor, card: str, *, again: bool) -> None:
    try:
        await monitor.ask("device_del", {"id": card})
    except DriverError as err:
        # An earlier request, perhaps of our last life, is still open: then we only wait.
        if not again and "process of unplug" not in err.message:
            raise


async def _cut(monitor: Monitor, port_id: str) -> None:
    """QEMU has no host's side for the port's card. It has no way to ask for one; refusing to remove it means none."""
    with contextlib.suppress(DriverError):
        await monitor.ask("netdev_del", {"id": qemu_command.wire_name(port_id)})


async def devices(monitor: Monitor) -> list[str]:
    """The names of the guest's devices."""
    found = await monitor.ask("qom-list", {"path": DEVICES})
    items = found if isinstance(found, list) else []
    return [item["name"] for item in items if item["type"].startswith("child<")]
