"""Network namespaces: made and removed by name, and entered by a thread of their own.

A thread that entered a namespace ends there: no other code of the process can find itself in the wrong one. What the
thread opened (sockets) keeps belonging to the namespace and works everywhere in the process.
"""

import ctypes
import fcntl
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from micronova.command import run
from micronova.errors import DriverError

CLONE_NEWNET = 0x40000000
NS_GET_NSTYPE = 0xB703  # ioctl_ns(2)

T = TypeVar("T")


def in_namespace(path: Path, work: Callable[[], T]) -> T:
    """What `work` returns or raises when run inside the network namespace at `path`.

    Blocks until it is done. Raises DriverError when there is no such namespace.
    """

    def enter_and_work() -> T:
        _enter(path)
        return work()

    with ThreadPoolExecutor(1, thread_name_prefix=f"in {path.name}") as thread:
        return thread.submit(enter_and_work).result()


def exists(path: Path) -> bool:
    """Whether `path` stands for a network namespace, not just for a file that should have become one."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return fcntl.ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET
    except OSError:
        return False
    finally:
        os.close(fd)


def same(path: Path, pid: int) -> bool:
    """Whether process `pid` lives in the namespace at `path`."""
    try:
        ours, theirs = os.stat(path), os.stat(f"/proc/{pid}/ns/net")
    except OSError:
        return False
    return (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)


async def ensure(path: Path) -> None:
    """There is a network namespace of this name; its loopback may still be down."""
    if exists(path):
        return
    if path.exists():
        path.unlink()  # its maker died before it became a namespace
    await run(["ip", "netns", "add", path.name])


async def remove(path: Path) -> None:
    """No namespace of this name is left. What lives in it keeps it alive, without a name."""
    if exists(path):
        await run(["ip", "netns", "delete", path.name])
    elif path.exists():
        path.unlink(missing_ok=True)


def inside(path: Path, argv: list[str]) -> list[str]:
    """The command line that runs `argv` in the namespace. /sys stays the host's, unlike with `ip netns exec`."""
    return ["nsenter", f"--net={path}", "--", *argv]


def _enter(path: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as err:
        raise DriverError(f"network namespace {path.name} is not there") from err
    try:
        if libc.setns(fd, CLONE_NEWNET) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise DriverError(f"network namespace {path.name} could not be entered: {reason}")
    finally:
        os.close(fd)
