"""Backups as files: a folder a backup, a file a piece. A piece that is complete is moved to its place in one step."""

import asyncio
import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from micronova.clock import Clock
from micronova.config import Config
from micronova.errors import DriverError, NoSpace, Rejected

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")


class FileBackupStore:
    """The store in `folder`, which is made when it is missing; a shared one serves all hosts."""

    name = "cinder.backup.drivers.micronova.FileBackupStore"
    """What records of backups say keeps them; clients look at how it begins."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def configured(cls, config: Config, clock: Clock) -> Self:
        """The store that the configuration names."""
        folder = config.options.volume.backup_folder
        return cls(Path(folder) if folder else config.state / "backups")

    async def put(self, backup: str, piece: str, data: bytes) -> None:
        await asyncio.to_thread(self._put, _checked(backup), _checked(piece), data)

    async def get(self, backup: str, piece: str) -> bytes:
        return await asyncio.to_thread(self._get, _checked(backup), _checked(piece))

    async def remove(self, backup: str) -> None:
        await asyncio.to_thread(self._remove, _checked(backup))

    async def backups(self) -> list[str]:
        return await asyncio.to_thread(self._backups)

    # -- in a thread

    def _put(self, backup: str, piece: str, data: bytes) -> None:
        with _told(f"backup {backup} can't be kept"):
            folder = self._folder / backup
            folder.mkdir(parents=True, exist_ok=True)
            draft = folder / f"{piece}.new"
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(folder / piece)

    def _get(self, backup: str, piece: str) -> bytes:
        with _told(f"backup {backup} can't be read"):
            return (self._folder / backup / piece).read_bytes()

    def _remove(self, backup: str) -> None:
        with _told(f"backup {backup} can't be removed"), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._folder / backup)

    def _backups(self) -> list[str]:
        with _told("the folder of backups can't be read"):
            return sorted(place.name for place in self._folder.iterdir()) if self._folder.is_dir() else []


def _checked(name: str) -> str:
    if not _PLAIN.fullmatch(name):
        raise Rejected(f"{name[:50]!r} can't be the name of a backup")
    return name


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """The system's errors as ours."""
    try:
        yield
    except OSError as err:
        kind = NoSpace if err.errno in FULL else DriverError
        raise kind(f"{what}: {err.strerror}") from err
