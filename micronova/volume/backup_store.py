"""What keeps backups: pieces of data by name. Also how a volume's data become pieces, and pieces data again.

A backup is an index and the pieces that changed since its parent; a piece of zeros is not kept at all. Each piece's
hash is in the index, and is checked when it is read. The index is kept last: without it there is no backup.
"""

import asyncio
import contextlib
import hashlib
import os
import re
import zlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Protocol, TypeVar

import msgspec

from micronova.errors import DriverError, Rejected

T = TypeVar("T")
PIECE = 4 << 20
"""Bytes of a volume in one piece."""
AT_ONCE = 4
"""Pieces that are on their way at a time: what a backup takes of this host's memory."""
INDEX = "index"
STORE = "store"
"""The fact that marks what a store says."""
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")


class BackupStore(Protocol):
    """Keeps pieces by name: BACKUP/PIECE. Written once, read often. Names are as `check_piece` wants them.

    Failures are DriverError, NoSpace, Rejected (repeating can't help), each a sentence that users may read.
    """

    name: str
    """What records of backups say keeps them; clients look at how it begins."""
    shared: bool
    """Every host of the cloud has the same store and reads in it what another wrote."""

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
    with _marked():
        return await _save_all(store, id, path, parent)


async def _save_all(store: BackupStore, id: str, path: str, parent: Index | None) -> Index:
    size = os.stat(path).st_size
    before = parent.pieces if parent is not None and parent.piece_bytes == PIECE else ()
    pieces: list[Piece] = []
    for first in range(0, -(-size // PIECE), AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, -(-size // PIECE)))
        pieces += await all_of([_save(store, id, path, number, before) for number in numbers])
    index = Index(size, PIECE, tuple(pieces))
    await store.put(id, INDEX, await asyncio.to_thread(lambda: zlib.compress(msgspec.json.encode(index))))
    return index


async def _save(store: BackupStore, id: str, path: str, number: int, before: Sequence[Piece]) -> Piece:
    """Keep one piece, unless it is zeros or the parent has it."""
    data = await asyncio.to_thread(piece_of, path, number)
    if not data:
        return Piece()
    told = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
    if number < len(before) and before[number].hash == told:
        return before[number]
    await store.put(id, f"{number:08d}", await asyncio.to_thread(zlib.compress, data, 1))
    return Piece(told, id)


async def load(read: Read, id: str, path: str) -> None:
    """Write backup `id` to a new sparse file. Raises DriverError when a piece is missing or not what it was."""
    with _marked():
        await _load_all(read, await index_of(read, id), path)


async def _load_all(read: Read, index: Index, path: str) -> None:
    await asyncio.to_thread(make_sparse, path, index.size_bytes)
    kept = [(number, piece) for number, piece in enumerate(index.pieces) if piece.hash]
    for first in range(0, len(kept), AT_ONCE):
        some = kept[first : first + AT_ONCE]
        await all_of([_load(read, path, piece, (number, index.piece_bytes)) for number, piece in some])


async def _load(read: Read, path: str, piece: Piece, place: tuple[int, int]) -> None:
    """Bring one piece to its place: (number, bytes of a piece)."""
    number, length = place
    packed = await read(piece.backup, f"{number:08d}")

    def write() -> None:
        data = opened(packed)
        if hashlib.sha256(data).hexdigest() != piece.hash:
            raise DriverError(f"Piece {number} of backup {piece.backup} is not what it was.")
        write_at(path, number * length, data)

    await asyncio.to_thread(write)


async def all_of(calls: Sequence[Awaitable[T]]) -> list[T]:
    """What all the calls return. The first error is raised when every call has ended, so none goes on behind it."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for one in results:
        if isinstance(one, BaseException):
            raise one
    return [one for one in results if not isinstance(one, BaseException)]


async def index_of(read: Read, id: str) -> Index:
    """What backup `id` consists of. Raises DriverError."""
    with _marked():
        packed = await read(id, INDEX)
        try:
            # A large volume's takes a while.
            return await asyncio.to_thread(lambda: msgspec.json.decode(opened(packed), type=Index))
        except msgspec.DecodeError as err:
            raise DriverError(f"The index of backup {id} can't be read.") from err


@contextlib.contextmanager
def _marked() -> Iterator[None]:
    """What fails here is told to users as it is."""
    try:
        yield
    except DriverError as err:
        err.facts[STORE] = True
        raise


def check_piece(name: str) -> None:
    """Return when `name` can name a backup or a piece. Raises Rejected."""
    if not _PLAIN.fullmatch(name):
        raise Rejected(f"{name[:50]!r} can't be the name of a backup")


def opened(data: bytes) -> bytes:
    """What was compressed. Raises DriverError."""
    try:
        return zlib.decompress(data)
    except zlib.error as err:
        raise DriverError("A piece of the backup is damaged.") from err


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
