"""Image bytes as files in a folder of this host; those not yet complete are in a folder inside it.

A file that is complete is moved to its place in one step, so whatever has its place is complete.
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from micronova.clock import Clock
from micronova.config import Config
from micronova.errors import DriverError, NoSpace
from micronova.image.driver import check_name

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class FileStore:
    """The store in `folder`, which is made when it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._incoming = folder / "incoming"

    @classmethod
    def configured(cls, config: Config, clock: Clock) -> Self:
        """The store in the state folder."""
        return cls(config.state / "images")

    async def begin(self, name: str) -> None:
        check_name(name)
        await asyncio.to_thread(self._begin, name)

    async def append(self, name: str, data: bytes) -> None:
        await asyncio.to_thread(self._append, name, data)

    async def commit(self, name: str) -> None:
        await asyncio.to_thread(self._commit, name)

    async def read(self, name: str, offset: int, length: int) -> bytes:
        return await asyncio.to_thread(self._read, name, offset, length)

    async def remove(self, name: str) -> None:
        check_name(name)
        await asyncio.to_thread(self._remove, name)

    async def unfinished(self) -> list[str]:
        return await asyncio.to_thread(self._unfinished)

    async def names(self) -> list[str]:
        """Names of all committed bytes, sorted. Raises DriverError."""
        return await asyncio.to_thread(self._names)

    def path(self, name: str) -> str | None:
        check_name(name)
        file = self._folder / name
        return str(file) if file.is_file() else None

    # -- in a thread

    def _begin(self, name: str) -> None:
        with _told(f"image bytes {name} can't be taken in"):
            self._incoming.mkdir(parents=True, exist_ok=True)
            (self._incoming / name).write_bytes(b"")

    def _append(self, name: str, data: bytes) -> None:
        with _told(f"image bytes {name} can't be taken in"):
            # Without O_CREAT: bytes that were removed meanwhile must not come back as a file that lacks its start.
            handle = os.open(self._incoming / name, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
            with os.fdopen(handle, "wb") as file:
                file.write(data)

    def _commit(self, name: str) -> None:
        place = self._folder / name
        with _told(f"image bytes {name} can't be kept"):
            if place.exists():
                return
            with (self._incoming / name).open("rb") as file:
                os.fsync(file.fileno())
                os.fchmod(file.fileno(), 0o444)
            (self._incoming / name).rename(place)
            _sync(self._folder)

    def _read(self, name: str, offset: int, length: int) -> bytes:
        check_name(name)
        with _told(f"image bytes {name} can't be read"), (self._folder / name).open("rb") as file:
            return os.pread(file.fileno(), length, offset)

    def _remove(self, name: str) -> None:
        with _told(f"image bytes {name} can't be removed"):
            for folder in (self._incoming, self._folder):
                with contextlib.suppress(FileNotFoundError):
                    (folder / name).unlink()

    def _unfinished(self) -> list[str]:
        with _told("the folder of incoming images can't be read"):
            if not self._incoming.is_dir():
                return []
            return sorted(file.name for file in self._incoming.iterdir())

    def _names(self) -> list[str]:
        with _told("the folder of images can't be read"):
            if not self._folder.is_dir():
                return []
            return sorted(file.name for file in self._folder.iterdir() if file.is_file())


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """The system's errors as ours."""
    try:
        yield
    except OSError as err:
        kind = NoSpace if err.errno in FULL else DriverError
        raise kind(f"{what}: {err.strerror}") from err


def _sync(folder: Path) -> None:
    """Make a folder's entries safe from a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
