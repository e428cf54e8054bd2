"""Slots of a running guest, and how a device leaves one. QEMU is asked each time, so that steps can be repeated."""

import asyncio

from micronova.compute.drivers.qemu import command as qemu_command
from micronova.compute.drivers.qemu.monitor import Monitor
from micronova.errors import DriverError, Rejected

DEVICES = "/machine/peripheral"
"""Where QEMU keeps the devices that have names."""
LETTING_GO = 30
"""Seconds a guest has to let go of a device; one that is idle needs a tenth of one."""
_SLOT = qemu_command.slot_name(0).rstrip("0")
_POLL = 0.1
_ASK_AGAIN = 50
"""Polls between two requests to let go: a guest that is still booting does not notice the first."""


async def devices(monitor: Monitor) -> list[str]:
    """The names of the guest's devices."""
    found = await monitor.ask("qom-list", {"path": DEVICES})
    items = found if isinstance(found, list) else []
    return [item["name"] for item in items if item["type"].startswith("child<")]


async def free(monitor: Monitor, names: list[str], what: str) -> str:
    """A slot that none of the devices is in. Raises Rejected when there is none."""
    taken = set()
    for name in names:
        if not name.startswith(_SLOT):
            bus = await monitor.ask("qom-get", {"path": f"{DEVICES}/{name}", "property": "parent_bus"})
            taken.add(str(bus).rpartition("/")[2])
    left = [name for name in names if name.startswith(_SLOT) and name not in taken]
    if not left:
        raise Rejected(f"the guest has no slot left for another {what}")
    return min(left, key=lambda name: int(name.removeprefix(_SLOT)))


async def let_go(monitor: Monitor, device: str, what: str, *, wait: float = LETTING_GO) -> None:
    """The guest, whose own kernel must do it, has let go of the device. One that it doesn't have is no matter.

    Raises Rejected when it stands still, DriverError when it did not within `wait` seconds.
    """
    if device in await devices(monitor) and await monitor.status() != "running":
        raise Rejected(f"the guest stands still and can't let go of its {what}")
    polls = 0
    try:
        async with asyncio.timeout(wait):
            while device in await devices(monitor):
                if polls % _ASK_AGAIN == 0:
                    await _ask_for(monitor, device, again=polls > 0)
                polls += 1
                await asyncio.sleep(_POLL)
    except TimeoutError as err:
        raise DriverError(f"the guest did not let go of its {what} within {wait:g} s") from err


async def _ask_for(monitor: Monitor, device: str, *, again: bool) -> None:
    try:
        await monitor.ask("device_del", {"id": device})
    except DriverError as err:
        # An earlier request, perhaps of our last life, is still open: then we only wait.
        if not again and "process of unplug" not in err.message:
            raise
