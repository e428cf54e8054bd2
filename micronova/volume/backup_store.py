"""What keeps backups: pieces of data by name. Also how a volume's data become pieces, and pieces data again.

A backup is an index and the pieces that changed since its parent; a piece of zeros is not kept at all. Each piece's
hash is in the index, and is checked when it is read.
"""

import asyncio
import hashlib
import os
import zlib
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from micronova.errors import DriverError

PIECE = 4 << 20
"""Bytes of a volume in one piece."""
INDEX = "index"


class BackupStore(Protocol):
    """Keeps pieces by name: BACKUP/PIECE. Written once, read often. Failures are DriverError, NoSpace."""

    name: str

    async def put(self, backup: str, piece: str, data: bytes) -> None:
        """Keep the data, safe from a power cut; what was there before is replaced."""

    async def get(self, backup: str, piece: str) -> bytes:
        """The data. Raises DriverError when there are none."""

    async def remove(self, backup: str) -> None:
        """Forget all pieces of a backup. Repeating changes nothing."""

    async def backups(self) -> list[str]:
        """Backups of which anything is kept, sorted."""


class Piece(msgspec.Struct, frozen=True, array_like=True):
    """A piece's hash, and the backup that keeps it; both "" where the piece is zeros."""

    hash: str = ""
    backup: str = ""


class Index(msgspec.Struct, frozen=True):
    """What a backup consists of."""

    size_bytes: int
    piece_bytes: int
    pieces: tuple[Piece, ...]

    @property
    def kept(self) -> int:
        """How many pieces there are besides those of zeros."""
        return sum(bool(piece.hash) for piece in self.pieces)


Read = Callable[[str, str], Awaitable[bytes]]


async def save(store: BackupStore, id: str, path: str, parent: Index | None) -> Index:
    """Keep a file's data as backup `id`: of what the parent has too, only where it is. Raises DriverError."""
    size = os.stat(path).st_size
    pieces: list[Piece] = []
    for number in range(-(-size // PIECE)):
        data = await asyncio.to_thread(piece_of, path, number)
        if not data:
            pieces.append(Piece())
            continue
        told = hashlib.sha256(data).hexdigest()
        before = parent.pieces[number] if parent is not None and number < len(parent.pieces) else Piece()
        if before.hash == told:
            pieces.append(before)
            continue
        await store.put(id, f"{number:08d}", await asyncio.to_thread(zlib.compress, data, 1))
        pieces.append(Piece(told, id))
    index = Index(size, PIECE, tuple(pieces))
    await store.put(id, INDEX, zlib.compress(msgspec.json.encode(index)))
    return index


async def load(read: Read, id: str, path: str) -> None:
    """Write backup `id` to a new sparse file. Raises DriverError when a piece is missing or not what it was."""
    index = await index_of(read, id)
    await asyncio.to_thread(make_sparse, path, index.size_bytes)
    for number, piece in enumerate(index.pieces):
        if not piece.hash:
            continue
        data = opened(await read(piece.backup, f"{number:08d}"))
        if hashlib.sha256(data).hexdigest() != piece.hash:
            raise DriverError(f"piece {number} of backup {piece.backup} is not what it was")
        await asyncio.to_thread(write_at, path, number * index.piece_bytes, data)


async def index_of(read: Read, id: str) -> Index:
    """What backup `id` consists of. Raises DriverError."""
    try:
        return msgspec.json.decode(opened(await read(id, INDEX)), type=Index)
    except msgspec.DecodeError as err:
        raise DriverError(f"the index of backup {id} can't be read") from err


def opened(data: bytes) -> bytes:
    """What was compressed. Raises DriverError."""
    try:
        return zlib.decompress(data)
    except zlib.error as err:
        raise DriverError("a piece of a backup is damaged") from err


def piece_of(path: str, number: int) -> bytes:
    """One piece of a file; b"" when it is zeros. Raises DriverError."""
    try:
        with open(path, "rb") as file:
            start, end = number * PIECE, (number + 1) * PIECE
            try:
                if os.lseek(file.fileno(), start, os.SEEK_DATA) >= end:
                    return b""
            except OSError:
                return b""  # only a hole is left
            data = os.pread(file.fileno(), PIECE, start)
    except OSError as err:
        raise DriverError(f"the data can't be read: {err.strerror}") from err
    return b"" if data.count(0) == len(data) else data


def make_sparse(path: str, size: int) -> None:
    """A new file of so many zeros. Raises DriverError."""
    try:
        with open(path, "xb") as file:
            file.truncate(size)
    except OSError as err:
        raise DriverError(f"the data can't be written: {err.strerror}") from err


def write_at(path: str, offset: int, data: bytes) -> None:
    """The file has the data there. Raises DriverError."""
    try:
        with open(path, "r+b") as file:
            os.pwrite(file.fileno(), data, offset)
    except OSError as err:
        raise DriverError(f"the data can't be written: {err.strerror}") from err
