"""QEMU processes: started so that they outlive us, known again after our restart, ended for certain.

QEMU is not started with its own `-daemonize`, which its sandbox forbids: `setsid --fork` gives it a session of its own
and the init process as parent. A pipe that QEMU inherits and never uses tells us at once when it died while starting.
We write its pid file ourselves: QEMU would look up the file's full path, and its user need not be let through all the
folders above.
"""

import asyncio
import contextlib
import os
import pathlib
import select
import signal
from collections.abc import Sequence

from micronova.compute.drivers.qemu import command as qemu_command
from micronova.compute.drivers.qemu.folder import GuestFolder
from micronova.compute.drivers.qemu.monitor import Monitor
from micronova.errors import DriverError, NoSpace

_PROC = pathlib.Path("/proc")
_POLL = 0.02
_START_WAIT = 60
"""Seconds until a started QEMU must answer; an idle machine needs a tenth of one."""


def find(folder: GuestFolder, *, thorough: bool = False) -> int | None:
    """The process id of the guest's living QEMU; None when there is none.

    `thorough` looks at every process of this host and so finds one whose pid file is not written yet; then it is.
    """
    try:
        pid = int(folder.pid_file.read_text())
    except (OSError, ValueError):
        pid = 0
    if pid > 0 and _is_ours(pid, folder):
        return pid
    if not thorough:
        return None
    pids = (int(path.name) for path in _PROC.iterdir() if path.name.isdigit())
    found = next((pid for pid in pids if _is_ours(pid, folder)), None)
    if found is not None:
        with contextlib.suppress(OSError):
            folder.write_pid(found)
    return found


def _is_ours(pid: int, folder: GuestFolder) -> bool:
    """Whether `pid` is a QEMU of this guest, or on its way to become one.

    A zombie has no command line any more, so it is not.
    """
    mark = "\0".join(("", *qemu_command.identity(folder.id), "")).encode()
    try:
        if mark not in (_PROC / str(pid) / "cmdline").read_bytes():
            return False
        return os.path.samestat(os.stat(_PROC / str(pid) / "cwd"), os.stat(folder.path))
    except OSError:
        return False


async def start(argv: Sequence[str], folder: GuestFolder, *, inherit: Sequence[int], monitor: Monitor) -> None:
    """QEMU runs in the guest's folder and answers its monitor.

    Raises NoSpace or DriverError when it ended instead, with its own words, or does not answer in time. Then, as when
    cancelled, it may still be there: whoever gives up ends it (`end`).
    """
    alive, held = os.pipe()
    try:
        with folder.qemu_log.open("wb") as log:
            try:
                process = await asyncio.create_subprocess_exec(
                    *("setsid", "--fork", *argv),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=folder.path,
                    pass_fds=(held, *inherit),
                )
            finally:
                os.close(held)
            if await process.wait() != 0:
                raise _died(folder)
        async with asyncio.timeout(_START_WAIT):
            await _wait_ready(alive, folder, monitor)
        pid = find(folder, thorough=True)
        if pid is None:
            raise _died(folder)
        folder.write_pid(pid)
    except TimeoutError as err:
        raise DriverError(f"QEMU did not answer within {_START_WAIT} s", id=folder.id) from err
    except OSError as err:
        raise DriverError(f"QEMU could not be started: {err.strerror}", id=folder.id) from err
    finally:
        os.close(alive)


async def _wait_ready(alive: int, folder: GuestFolder, monitor: Monitor) -> None:
    while True:
        if _readable(alive):
            raise _died(folder)
        if (folder.run / "mon0").exists():
            try:
                await monitor.status()
                return
            except DriverError:
                await monitor.close()
        await asyncio.sleep(_POLL)


async def end(folder: GuestFolder, *, by: signal.Signals = signal.SIGKILL, wait: float = 10) -> bool:
    """Whether no QEMU of this guest lives any more, at most `wait` seconds after it got the signal."""
    pid = find(folder, thorough=True)
    while pid is not None:
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            return find(folder, thorough=True) is None
        try:
            # Looked at once more: the handle keeps the number from meaning another process from here on.
            if _is_ours(pid, folder):
                signal.pidfd_send_signal(handle, by)
            if not await _ended(handle, wait):
                return False
        except OSError:
            return find(folder, thorough=True) is None
        finally:
            os.close(handle)
        pid = find(folder, thorough=True)
    return True


async def gone(folder: GuestFolder, *, wait: float) -> bool:
    """Whether the guest's QEMU has ended, by itself, within `wait` seconds."""
    pid = find(folder)
    if pid is None:
        return True
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return True
    try:
        return await _ended(handle, wait)
    finally:
        os.close(handle)


async def _ended(handle: int, wait: float) -> bool:
    """Whether the process ended in time; its handle can be read from the moment it does."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(handle, ended.set)
    try:
        async with asyncio.timeout(wait):
            await ended.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(handle)
    return True


def _readable(handle: int) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN | select.POLLHUP)
    return bool(poll.poll(0))


def _died(folder: GuestFolder) -> DriverError:
    """What to raise for a QEMU that ended while starting: the last thing it said."""
    try:
        lines = folder.qemu_log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    said = lines[-1][-300:] if lines else "it said nothing"
    if "No space left" in said:
        return NoSpace("no space left on this host's disk to start the guest", id=folder.id)
    return DriverError(f"QEMU did not start: {said}", id=folder.id)
