"""Files of this host that live as long as a copy is under way."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType

CHUNK = 4 << 20


class CopyFile:
    """A path of this host that is free when entered and free again when left."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def __aenter__(self) -> Path:
        # Tools make files that everybody may read: nobody else of the host gets to them.
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path.unlink(missing_ok=True)
        return self._path

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._path.unlink(missing_ok=True)


async def pieces(path: Path) -> AsyncIterator[bytes]:
    """A file's bytes, piece by piece."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        offset = 0
        while data := await asyncio.to_thread(os.pread, handle, CHUNK, offset):
            yield data
            offset += len(data)
    finally:
        os.close(handle)
