"""A guest's file systems held still for a moment, and never for longer, whoever dies meanwhile.

A mark in the guest's folder is there before the agent is told to freeze, and goes when it has thawed: whoever finds an
old one, or one that an earlier life left, thaws.
"""

import contextlib
import logging

from micronova.clock import Clock
from micronova.compute.driver import FROZEN_SECONDS
from micronova.compute.drivers.qemu import agent
from micronova.compute.drivers.qemu import folder as qemu_folder
from micronova.compute.drivers.qemu.folder import GuestFolder
from micronova.errors import DriverError, Rejected

LOG = logging.getLogger(__name__)


async def freeze(folder: GuestFolder, clock: Clock) -> None:
    """The running guest's file systems are frozen, or not when this fails. Raises Rejected, DriverError."""
    if not folder.read_spec().agent:
        raise Rejected("the guest has no agent", id=folder.id)
    try:
        folder.frozen.touch()
    except OSError as err:
        raise qemu_folder.refusal(err, "it could not be noted that the guest is frozen") from err
    try:
        await agent.freeze(folder.run, _number(clock))
    except Rejected:
        folder.frozen.unlink(missing_ok=True)
        raise
    except DriverError:
        with contextlib.suppress(DriverError):
            await thaw(folder, clock)
        raise


async def thaw(folder: GuestFolder, clock: Clock) -> bool:
    """The running guest's file systems are not frozen; whether they were until now. Raises Rejected, DriverError."""
    if not folder.frozen.exists():
        return False
    held = await agent.thaw(folder.run, _number(clock))
    folder.frozen.unlink(missing_ok=True)
    return held


async def thaw_left(folder: GuestFolder, clock: Clock, *, after: float = FROZEN_SECONDS) -> None:
    """A running guest that was frozen for longer than `after` seconds goes on, if its agent can be told so."""
    try:
        since = folder.frozen.stat().st_mtime
    except OSError:
        return
    if clock.now().timestamp() - since < after:
        return
    try:
        await thaw(folder, clock)
    except DriverError as err:
        LOG.error("guest %s was left frozen and can't be thawed: %s", folder.id, err)
    else:
        LOG.warning("guest %s was left frozen: it goes on", folder.id)


def _number(clock: Clock) -> int:
    return int(clock.new_id()[:7], 16)
