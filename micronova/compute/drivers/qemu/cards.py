"""Network cards put into a guest and taken out of it: while it runs by its monitor, and always in its description.

A card sits in a slot and is named by its port. What is there is asked of QEMU each time, so that every step can be
repeated wherever the last one was interrupted; the description is written last.
"""

import contextlib

from micronova.compute.driver import Nic, with_nic, without_nic
from micronova.compute.drivers.qemu import command as qemu_command
from micronova.compute.drivers.qemu import folder as qemu_folder
from micronova.compute.drivers.qemu import slots
from micronova.compute.drivers.qemu import tap as qemu_tap
from micronova.compute.drivers.qemu.folder import GuestFolder
from micronova.compute.drivers.qemu.monitor import Monitor
from micronova.errors import DriverError


async def attach(folder: GuestFolder, monitor: Monitor | None, nic: Nic) -> None:
    """The guest has the card, at once if `monitor` is there, and at its next start.

    Raises Rejected when it has no slot left, DriverError when there is no such guest or it refuses.
    """
    if not folder.exists():
        raise DriverError("there is no such guest", id=folder.id)
    wanted = with_nic(folder.read_spec(), nic)
    if monitor is not None:
        await _plug(monitor, nic)
    qemu_folder.remember(folder, wanted)


async def detach(folder: GuestFolder, monitor: Monitor | None, port_id: str, *, wait: float = slots.LETTING_GO) -> None:
    """The guest has no card of the port, now if `monitor` is there, nor at its next start.

    Raises Rejected when it stands still and so can't let go of it, DriverError when it did not within `wait` seconds.
    """
    spec = folder.read_spec()
    if monitor is not None:
        await slots.let_go(monitor, qemu_command.card_name(port_id), "network card", wait=wait)
        await _cut(monitor, port_id)
    qemu_folder.remember(folder, without_nic(spec, port_id))


async def _plug(monitor: Monitor, nic: Nic) -> None:
    names = await slots.devices(monitor)
    if qemu_command.card_name(nic.port_id) in names:
        return
    slot = await slots.free(monitor, names, "card")
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


async def _cut(monitor: Monitor, port_id: str) -> None:
    """QEMU has no host's side for the port's card. It has no way to ask for one; refusing to remove it means none."""
    with contextlib.suppress(DriverError):
        await monitor.ask("netdev_del", {"id": qemu_command.wire_name(port_id)})
