"""Takes in an image's bytes as they stream: hashed, looked at, bounded, kept by the store. Knows no database."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterable, AsyncIterator

import msgspec

from micronova.errors import BadRequest, DriverError, NoSpace, TooLarge
from micronova.image.driver import ImageStore
from micronova.image.formats import WHOLE_HEADER, Content

HASH = "sha512"
PIECE = WHOLE_HEADER


class Received(msgspec.Struct, frozen=True):
    """What is known of bytes once all are here. `checksum` is their MD5, `hash_value` their SHA-512, in hex."""

    size: int
    checksum: str
    hash_value: str
    content: Content


class Reception:
    """Bytes into one store, at most `most` for an image."""

    def __init__(self, store: ImageStore, most: int) -> None:
        self._store = store
        self._most = most

    def require_size(self, size: int | None) -> None:
        """Return when an image may be this large (None: not known yet). Raises TooLarge."""
        if size is not None and size > self._most:
            raise TooLarge(f"The incoming image is too large: at most {self._most} bytes are allowed.")

    async def take(self, name: str, chunks: AsyncIterable[bytes], size: int | None = None) -> Received:
        """Keep all of `chunks` under `name` and tell what they are.

        Raises TooLarge, NoSpace when the store is full, BadRequest when there are not `size` bytes or they are
        unsafe to open, DriverError. What was kept until then is left for the caller to remove.
        """
        self.require_size(size)
        look = _Look()
        try:
            await self._store.begin(name)
            async for piece in _pieces(chunks):
                self.require_size(look.size + len(piece))
                await asyncio.gather(asyncio.to_thread(look.at, piece), self._store.append(name, piece))
            if size is not None and look.size != size:
                raise BadRequest(f"The upload ended after {look.size} of {size} bytes.")
            received = look.result()
            if received.content.unsafe:
                raise BadRequest(f"The image is refused because it is not safe to open: {received.content.unsafe}.")
            await self._store.commit(name)
        except NoSpace as err:
            # At once: to note that they are gone the database may need the space that they took.
            with contextlib.suppress(DriverError):
                await self._store.remove(name)
            raise NoSpace(f"Image storage media is full: {err}", status=413) from err
        return received


class _Look:
    """Sums and findings of bytes that pass by."""

    def __init__(self) -> None:
        from micronova.image.inspection import Inspection

        self.size = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha512 = hashlib.sha512()
        self._inspection = Inspection()

    def at(self, data: bytes) -> None:
        self.size += len(data)
        self._md5.update(data)
        self._sha512.update(data)
        self._inspection.feed(data)

    def result(self) -> Received:
        return Received(self.size, self._md5.hexdigest(), self._sha512.hexdigest(), self._inspection.finish())


async def _pieces(chunks: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces of at least PIECE bytes; only the last may be smaller."""
    waiting: list[bytes] = []
    size = 0
    async for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        if size >= PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
    if size:
        yield b"".join(waiting)
