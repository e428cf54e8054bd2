"""What a back end has, written down beside the data: one small file each, replaced as a whole, safe from power cuts.

A volume or snapshot exists from the moment its record is there until it is gone; data without a record are leftovers.
"""

import pathlib

import msgspec

from micronova.errors import DriverError
from micronova.volume.driver import ExportSpec
from micronova.volume.drivers.shelf import Shelf


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
