"""What a driver writes down: one small file each, replaced as a whole, safe from power cuts."""

import contextlib
import os
import pathlib
from typing import Generic, TypeVar

import msgspec

from micronova.errors import DriverError

R = TypeVar("R", bound=msgspec.Struct)
_SUFFIX = ".json"


class Shelf(Generic[R]):
    """All records of one kind, by name, in a folder of their own."""

    def __init__(self, folder: pathlib.Path, kind: type[R]) -> None:
        self._folder = folder
        self._kind = kind

    def prepare(self) -> None:
        """The folder is there. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def drafts(self) -> list[pathlib.Path]:
        """Records half written, by somebody who died, or now. Raises OSError."""
        return list(self._folder.glob(".*"))

    def find(self, name: str) -> R | None:
        """The record; None when there is none. Raises OSError, DriverError when it is damaged."""
        try:
            return msgspec.json.decode((self._folder / f"{name}{_SUFFIX}").read_bytes(), type=self._kind)
        except FileNotFoundError:
            return None
        except msgspec.MsgspecError as err:
            raise DriverError(f"the record of {name} on this host is damaged", name=name) from err

    def all(self) -> dict[str, R]:
        """Every record, in order of name. Raises OSError, DriverError."""
        try:
            files = sorted(path.name for path in self._folder.iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            return {}
        found = {file.removesuffix(_SUFFIX): self.find(file.removesuffix(_SUFFIX)) for file in files}
        return {name: record for name, record in found.items() if record is not None}

    def put(self, name: str, record: R) -> None:
        """The record is as given, also after a power cut. Raises OSError."""
        part = self._folder / f".{name}.part"
        try:
            with part.open("wb") as file:
                file.write(msgspec.json.encode(record))
                file.flush()
                os.fsync(file.fileno())
            part.replace(self._folder / f"{name}{_SUFFIX}")
        except OSError:
            part.unlink(missing_ok=True)
            raise
        sync(self._folder)

    def drop(self, name: str) -> None:
        """There is no such record. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            (self._folder / f"{name}{_SUFFIX}").unlink()
            sync(self._folder)

    def move(self, name: str, new_name: str) -> None:
        """The record has the new name, in one step. Raises OSError."""
        (self._folder / f"{name}{_SUFFIX}").rename(self._folder / f"{new_name}{_SUFFIX}")
        sync(self._folder)


def sync(folder: pathlib.Path) -> None:
    """The folder's entries are safe from a power cut. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
