"""Daemons that wrote down their number: whether they live, and how they end.

A number alone proves nothing: it may have become another process's. A daemon is ours when an argument of its command
line names its file.
"""

import contextlib
import os
import threading
from pathlib import Path

import msgspec

from micronova.network.drivers.served import processes


def living(pid_file: Path, *, named: bool = True) -> int | None:
    """The daemon's number while it lives. `named`: its command line names the file, as that of ours does."""
    try:
        pid = int(pid_file.read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return None
    ours = f"--pidfile={pid_file}".encode() in words
    return pid if state not in "ZX" and (ours or not named) else None


class Home(msgspec.Struct, frozen=True, kw_only=True):
    """A network namespace: its number on this host, and a file that stands for it while its thread lives."""

    number: int
    path: Path


def home() -> Home:
    """The network namespace of the calling thread."""
    path = Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net")
    return Home(number=os.stat(path).st_ino, path=path)


def lives_in(home: Home, pid: int) -> bool:
    """Whether the process has this network namespace."""
    with contextlib.suppress(OSError):
        return os.stat(f"/proc/{pid}/ns/net").st_ino == home.number
    return False


def end(pid_file: Path) -> None:
    """No daemon of this file lives: it was asked to end, and after a while made to."""
    pid = living(pid_file)
    if pid is not None:
        processes.end(pid)
