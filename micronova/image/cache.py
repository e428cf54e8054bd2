"""Copies of image bytes on this host, for what needs them as files here. Fetched once, verified, replaced never."""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Awaitable, Callable, Collection
from functools import partial

import msgspec

from micronova.errors import DriverError, Error
from micronova.image.stores.file import FileStore

LOG = logging.getLogger(__name__)

CHUNK = 512 * 1024
"""Bytes fetched at a time: with their envelope they must fit a message of the bus."""

Read = Callable[[int, int], Awaitable[bytes]]
"""Bytes from an offset, of a length."""


class Source(msgspec.Struct, frozen=True):
    """Bytes somewhere: their name, what they must be, and how to read them."""

    name: str
    size: int
    sha512: str
    read: Read


class ImageCache:
    """A folder of copies, by the name of the bytes."""

    def __init__(self, files: FileStore) -> None:
        self._files = files
        self._fetching: dict[str, asyncio.Task[str]] = {}

    async def get(self, source: Source) -> str:
        """The path of a complete copy. Callers that want the same one at the same time share one fetch.

        Raises DriverError when what came is not what it must be, NoSpace, and what `read` raises.
        """
        path = self._files.path(source.name)
        if path is not None:
            return path
        fetch = self._fetching.get(source.name)
        if fetch is None:
            fetch = asyncio.create_task(self._fetch(source), name=f"fetch image {source.name}")
            self._fetching[source.name] = fetch
            fetch.add_done_callback(partial(self._fetched, source.name))
        return await asyncio.shield(fetch)

    async def clear_unfinished(self) -> None:
        """Remove what an earlier life of this host did not fetch to the end. Raises DriverError."""
        for name in await self._files.unfinished():
            if name not in self._fetching:
                await self._files.remove(name)

    async def sweep(self, keep: Collection[str]) -> int:
        """Remove the copies that nobody needs; returns how many. Raises DriverError."""
        gone = [name for name in await self._files.names() if name not in keep]
        for name in gone:
            await self._files.remove(name)
        return len(gone)

    async def close(self) -> None:
        """End fetches that still run; they begin anew next time."""
        for fetch in list(self._fetching.values()):
            fetch.cancel()
            with contextlib.suppress(asyncio.CancelledError, Error):
                await fetch

    async def _fetch(self, source: Source) -> str:
        try:
            await self._copy(source)
        except BaseException:
            with contextlib.suppress(DriverError):
                await self._files.remove(source.name)
            raise
        path = self._files.path(source.name)
        if path is None:
            raise DriverError(f"image bytes {source.name} vanished from the cache")
        LOG.info("image bytes %s: %d bytes are cached", source.name, source.size)
        return path

    async def _copy(self, source: Source) -> None:
        await self._files.begin(source.name)
        digest, size = hashlib.sha512(), 0
        while size < source.size:
            data = await source.read(size, min(CHUNK, source.size - size))
            if not data:
                break
            await asyncio.to_thread(digest.update, data)
            await self._files.append(source.name, data)
            size += len(data)
        if size != source.size or digest.hexdigest() != source.sha512:
            raise DriverError(f"image bytes {source.name} arrived damaged")
        await self._files.commit(source.name)

    def _fetched(self, name: str, fetch: "asyncio.Task[str]") -> None:
        self._fetching.pop(name, None)
        if not fetch.cancelled():
            fetch.exception()  # whoever waited got it; if nobody did, it is no news
