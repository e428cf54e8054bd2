"""What the pretending driver's volumes are made of: blocks that were written, kept in memory, shared by copies."""

import os
from pathlib import Path

import msgspec

from micronova.errors import DriverError
from micronova.volume.driver import ExportSpec

BLOCK = 65536
QCOW2 = b"QFI\xfb"
KEEP_OF_QCOW2 = 1 << 20
"""Bytes of a qcow2 file that are kept, undecoded: enough to tell two of them apart."""


class Blocks(msgspec.Struct, frozen=True):
    """Data by block number; what is not there reads as zeros. Never changed: copies share them."""

    data: dict[int, bytes] = {}

    @property
    def size(self) -> int:
        """Bytes they take."""
        return len(self.data) * BLOCK


class Volume(msgspec.Struct, frozen=True):
    name: str
    size_gib: int
    blocks: Blocks
    complete: bool = True


class Snapshot(msgspec.Struct, frozen=True):
    name: str
    volume: str
    size_gib: int
    blocks: Blocks


class Kept(msgspec.Struct):
    """What outlives the process: names and sizes."""

    volumes: dict[str, int] = {}
    snapshots: dict[str, tuple[str, int]] = {}
    exports: dict[str, ExportSpec] = {}


class Pool:
    """All that a pretended back end has."""

    def __init__(self, memory: Path | None) -> None:
        self.volumes: dict[str, Volume] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.exports: dict[str, ExportSpec] = {}
        self._memory = memory
        if memory is not None and memory.exists():
            self._recall(memory)

    def volume(self, name: str) -> Volume:
        """A complete volume. Raises DriverError."""
        found = self.volumes.get(name)
        if found is None or not found.complete:
            raise DriverError(f"there is no volume {name}", name=name)
        return found

    def snapshot(self, name: str) -> Snapshot:
        """A snapshot. Raises DriverError."""
        found = self.snapshots.get(name)
        if found is None:
            raise DriverError(f"there is no snapshot {name}", name=name)
        return found

    def exports_of(self, volume: str) -> list[ExportSpec]:
        """The volume's exports."""
        return [export for export in self.exports.values() if export.volume == volume]

    def put(self, volume: Volume) -> None:
        """The volume is as given."""
        self.volumes[volume.name] = volume
        self.keep()

    def forget(self) -> None:
        """There is nothing."""
        self.volumes.clear()
        self.snapshots.clear()
        self.exports.clear()
        self.keep()

    def keep(self) -> None:
        """What there is will be there for the next process."""
        if self._memory is None:
            return
        kept = Kept(
            volumes={volume.name: volume.size_gib for volume in self.volumes.values() if volume.complete},
            snapshots={one.name: (one.volume, one.size_gib) for one in self.snapshots.values()},
            exports=self.exports,
        )
        self._memory.parent.mkdir(parents=True, exist_ok=True)
        new = self._memory.with_suffix(".new")
        new.write_bytes(msgspec.json.encode(kept))
        new.rename(self._memory)

    def _recall(self, memory: Path) -> None:
        kept = msgspec.json.decode(memory.read_bytes(), type=Kept)
        self.volumes = {name: Volume(name, size_gib, Blocks()) for name, size_gib in kept.volumes.items()}
        self.snapshots = {name: Snapshot(name, *rest, Blocks()) for name, rest in kept.snapshots.items()}
        self.exports = kept.exports


def read_file(path: str, format: str) -> tuple[Blocks, int]:
    """A file's data and their size in bytes. Raises DriverError when it can't be read."""
    try:
        with open(path, "rb") as file:
            if format == "qcow2":
                head = file.read(KEEP_OF_QCOW2)
                return _blocks({0: head}), int.from_bytes(head[24:32], "big")
            size = os.fstat(file.fileno()).st_size
            return _blocks(_extents(file.fileno(), size)), size
    except OSError as err:
        raise DriverError(f"the data can't be read: {err.strerror}") from err


def write_file(path: str, format: str, blocks: Blocks, size_bytes: int) -> None:
    """A new sparse file with the data; as qcow2 its header alone, for what only looks at that. Raises DriverError."""
    try:
        with open(path, "xb") as file:
            if format == "qcow2":
                file.write(_qcow2_header(size_bytes))
                return
            file.truncate(size_bytes)
            for number, data in blocks.data.items():
                os.pwrite(file.fileno(), data[: max(0, size_bytes - number * BLOCK)], number * BLOCK)
    except OSError as err:
        raise DriverError(f"the data can't be written: {err.strerror}") from err


def _extents(handle: int, size: int) -> dict[int, bytes]:
    """The parts of a file that hold data, by offset."""
    found: dict[int, bytes] = {}
    end = 0
    while end < size:
        try:
            start = os.lseek(handle, end, os.SEEK_DATA)
        except OSError:
            break  # only a hole is left
        end = os.lseek(handle, start, os.SEEK_HOLE)
        start -= start % BLOCK
        found[start] = os.pread(handle, end - start, start)
    return found


def _blocks(extents: dict[int, bytes]) -> Blocks:
    """Extents that begin at a block's start, cut into blocks; those of zeros left out."""
    data: dict[int, bytes] = {}
    for offset, extent in extents.items():
        for at in range(0, len(extent), BLOCK):
            block = extent[at : at + BLOCK]
            if block.count(0) != len(block):
                data[(offset + at) // BLOCK] = block
    return Blocks(data)


def _qcow2_header(size_bytes: int) -> bytes:
    """A version 2 header (qcow2 specification, "Header") of an image without data, with its tables of zeros."""
    entries = -(-size_bytes // (BLOCK * BLOCK // 8))
    table = -(-entries * 8 // BLOCK) * BLOCK
    words = (
        (2, 4), (0, 8), (0, 4), (16, 4), (size_bytes, 8), (0, 4), (entries, 4), (BLOCK * 3, 8), (BLOCK, 8), (1, 4),
        (0, 4), (0, 8),
    )  # fmt: skip
    head = QCOW2 + b"".join(value.to_bytes(length, "big") for value, length in words)
    refcounts = (BLOCK * 2).to_bytes(8, "big")
    count = (1).to_bytes(2, "big") * (3 + table // BLOCK)
    return head.ljust(BLOCK, b"\0") + refcounts.ljust(BLOCK, b"\0") + count.ljust(BLOCK, b"\0") + bytes(table)
