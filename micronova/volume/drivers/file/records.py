"""What a back end has, written down beside the data: one small file each, replaced as a whole, safe from power cuts.

A volume or snapshot exists from the moment its record is there until it is gone; data without a record are leftovers.
"""

import contextlib
import os
import pathlib
from typing import Generic, TypeVar

import msgspec

from micronova.errors import DriverError
from micronova.volume.driver import ExportSpec

R = TypeVar("R", bound=msgspec.Struct)
_SUFFIX = ".json"


class VolumeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`layer` holds its newest data; `header` are the bytes in front of what its user sees (of a LUKS container)."""

    layer: str
    size: int
    header: int = 0

    @property
    def total(self) -> int:
        """Bytes of the disk that is exported."""
        return self.size + self.header


class SnapshotRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`number` grows with each snapshot of a volume."""

    volume: str
    layer: str
    size: int
    header: int
    number: int


class ExportRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`address` and `port` are where another host reaches it."""

    spec: ExportSpec
    address: str = ""
    port: int = 0


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


class Records:
    """All that is written down in one back end's folder."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.volumes = Shelf(folder / "volumes", VolumeRecord)
        self.snapshots = Shelf(folder / "snapshots", SnapshotRecord)
        self.exports = Shelf(folder / "exports", ExportRecord)

    def prepare(self) -> None:
        """Every folder is there. Raises OSError."""
        for shelf in (self.volumes, self.snapshots, self.exports):
            shelf.prepare()

    def drafts(self) -> list[pathlib.Path]:
        """Records half written. Raises OSError."""
        return [path for shelf in (self.volumes, self.snapshots, self.exports) for path in shelf.drafts()]

    def volume(self, name: str) -> VolumeRecord:
        """The volume's record. Raises OSError, DriverError when it is missing."""
        found = self.volumes.find(name)
        if found is None:
            raise DriverError(f"there is no volume {name}", name=name)
        return found

    def snapshot(self, name: str) -> SnapshotRecord:
        """The snapshot's record. Raises OSError, DriverError when it is missing."""
        found = self.snapshots.find(name)
        if found is None:
            raise DriverError(f"there is no snapshot {name}", name=name)
        return found

    def snapshots_of(self, volume: str) -> dict[str, SnapshotRecord]:
        """The volume's snapshots, oldest first. Raises OSError."""
        mine = [(name, one) for name, one in self.snapshots.all().items() if one.volume == volume]
        return dict(sorted(mine, key=lambda item: item[1].number))

    def exports_of(self, volume: str) -> dict[str, ExportRecord]:
        """The volume's exports. Raises OSError."""
        return {id: one for id, one in self.exports.all().items() if one.spec.volume == volume}

    def named_layers(self) -> set[str]:
        """Layers that a volume or snapshot is made of, those below them not counted. Raises OSError."""
        volumes, snapshots = self.volumes.all().values(), self.snapshots.all().values()
        return {one.layer for one in volumes} | {one.layer for one in snapshots}


def sync(folder: pathlib.Path) -> None:
    """The folder's entries are safe from a power cut. Raises OSError."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
