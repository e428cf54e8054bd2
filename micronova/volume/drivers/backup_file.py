"""Backups as files: a folder a backup, a file a piece. A piece that is complete is moved to its place in one step.

They are tenants' data: nobody else of the host enters a backup's folder.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from micronova.clock import Clock
from micronova.config import Config
from micronova.errors import DriverError, NoSpace
from micronova.volume.backup_store import check_piece
from micronova.volume.drivers.shelf import sync
from micronova.volume.drivers.steps import in_thread

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class FileBackupStore:
    """The store in `folder`, which is made when it is missing; a shared one serves all hosts."""

    name = "cinder.backup.drivers.micronova.FileBackupStore"

    def __init__(self, folder: Path, *, shared: bool = False) -> None:
        self._folder = folder
        self.shared = shared

    @classmethod
    def configured(cls, config: Config, clock: Clock) -> Self:
        """The store that the configuration names."""
        folder = config.options.volume.backup_folder
        return cls(Path(folder) if folder else config.state / "backups")

    async def put(self, backup: str, piece: str, data: bytes) -> None:
        await in_thread(self._put, _checked(backup), _checked(piece), data)

    async def get(self, backup: str, piece: str) -> bytes:
        return await in_thread(self._get, _checked(backup), _checked(piece))

    async def remove(self, backup: str) -> None:
        await in_thread(self._remove, _checked(backup))

    async def backups(self) -> list[str]:
        return await in_thread(self._backups)

    # -- in a thread

    def _put(self, backup: str, piece: str, data: bytes) -> None:
        with _told(f"backup {backup} can't be kept"):
            folder = self._folder / backup
            if not folder.is_dir():
                self._folder.mkdir(parents=True, exist_ok=True)
                folder.mkdir(exist_ok=True, mode=0o700)
                sync(self._folder)
            draft = folder / f"{piece}.new"
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(folder / piece)
            sync(folder)

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
    check_piece(name)
    return name


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """The system's errors as ours."""
    try:
        yield
    except OSError as err:
        kind = NoSpace if err.errno in FULL else DriverError
        raise kind(f"{what}: {err.strerror}") from err
