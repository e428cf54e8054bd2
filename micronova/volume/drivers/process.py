"""Storage daemons as processes: started so that they outlive us, known again after our restart, ended for certain.

A daemon is handed its sockets already listening, so a client that comes while it starts waits instead of being
refused. It is known by a word among its arguments and by the folder it works in.
"""

import asyncio
import contextlib
import os
import pathlib
import signal
import socket
from collections.abc import Sequence

from micronova.errors import DriverError

_PROC = pathlib.Path("/proc")
_BACKLOG = 64


def find(word: str, folder: pathlib.Path) -> int | None:
    """The id of the living daemon that has `word` among its arguments and works in `folder`; None for none.

    A zombie has no arguments any more, so it is not found.
    """
    pids = (int(path.name) for path in _PROC.iterdir() if path.name.isdigit())
    return next((pid for pid in pids if _is(pid, word, folder)), None)


def words_in(folder: pathlib.Path, beginning: str) -> list[str]:
    """The arguments that begin so, of all daemons that work in `folder`."""
    found = []
    for pid in (path.name for path in _PROC.iterdir() if path.name.isdigit()):
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(_PROC / pid / "cwd"), os.stat(folder)):
                words = (_PROC / pid / "cmdline").read_bytes().decode(errors="replace").split("\0")
                found += [word for word in words if word.startswith(beginning)]
    return found


def _is(pid: int, word: str, folder: pathlib.Path) -> bool:
    try:
        words = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
        if word.encode() not in words:
            return False
        return os.path.samestat(os.stat(_PROC / str(pid) / "cwd"), os.stat(folder))
    except OSError:
        return False


def spare(pid: int) -> None:
    """The kernel, short of memory, kills most others first, if we may ask for that.

    A storage daemon is small and holds what guests believe written; a guest is better started again.
    """
    with contextlib.suppress(OSError):
        (_PROC / str(pid) / "oom_score_adj").write_text("-800")


def listen(path: pathlib.Path, mode: int) -> socket.socket:
    """A new unix socket at `path`, in the place of whatever was there. Raises OSError."""
    path.unlink(missing_ok=True)
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        line.bind(str(path))
        os.chmod(path, mode)
        line.listen(_BACKLOG)
    except OSError:
        line.close()
        raise
    return line


def listen_at(address: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    line = socket.socket(family, socket.SOCK_STREAM)
    try:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        line.bind((address, port))
        line.listen(_BACKLOG)
    except OSError:
        line.close()
        raise
    return line


async def spawn(argv: Sequence[str], folder: pathlib.Path, handles: Sequence[int], log: pathlib.Path) -> None:
    """The command is on its way in `folder`, in a session of its own, with these descriptors. Raises DriverError."""
    try:
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                *("setsid", "--fork", *argv),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=folder,
                pass_fds=tuple(handles),
            )
        code = await process.wait()
    except OSError as err:
        raise DriverError(f"the storage daemon could not be started: {err.strerror}") from err
    if code != 0:
        raise DriverError(f"the storage daemon could not be started: {said(log)}")


def said(log: pathlib.Path) -> str:
    """The last thing a daemon complained about."""
    try:
        lines = log.read_text(errors="replace").strip().splitlines()
    except OSError:
        lines = []
    return lines[-1][-300:] if lines else "it said nothing"


async def end(word: str, folder: pathlib.Path, *, by: signal.Signals = signal.SIGTERM, wait: float = 60) -> None:
    """No such daemon lives any more; one that does not obey within `wait` seconds is killed. Raises DriverError."""
    for number in (by, signal.SIGKILL):
        pid = await asyncio.to_thread(find, word, folder)
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            try:
                # Looked at once more: the handle keeps the number from meaning another process from here on.
                if _is(pid, word, folder):
                    signal.pidfd_send_signal(handle, number)
                await _ended(handle, wait)
            finally:
                os.close(handle)
    if await asyncio.to_thread(find, word, folder) is not None:
        raise DriverError("the storage daemon does not end")


async def _ended(handle: int, wait: float) -> None:
    """The process has ended, or `wait` seconds are over; its handle can be read from the moment it ends."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(handle, ended.set)
    try:
        async with asyncio.timeout(wait):
            await ended.wait()
    except TimeoutError:
        return
    finally:
        loop.remove_reader(handle)
