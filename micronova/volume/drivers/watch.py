"""Storage daemons that die while they are needed are started again at once: a guest's requests wait only so long.

The kernel tells the end of a process to whoever holds a handle of it, also of one that is nobody's child. A service
that starts takes up the handles of what lives (Exports.agree).
"""

import asyncio
import logging
import os
import pathlib
from collections.abc import Awaitable, Callable

from micronova.errors import DriverError
from micronova.volume.drivers import process
from micronova.volume.drivers.steps import in_thread

LOG = logging.getLogger(__name__)
_PAUSES = (0, 1, 2, 5, 10, 20, 30)
"""Seconds before each attempt; after the last it is left to whoever asks for the export again."""


class Watch:
    """Handles of living daemons, by the word each is known by. `serve` makes a volume's daemons what they must be."""

    def __init__(self, layers: pathlib.Path, serve: Callable[[str], Awaitable[None]]) -> None:
        self._layers = layers
        self._serve = serve
        self._handles: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def begin(self, word: str, volume: str) -> None:
        """The end of this daemon will be noticed; repeating changes nothing."""
        if self._closed or word in self._handles:
            return
        pid = await in_thread(process.find, word, self._layers)
        if self._closed or word in self._handles or pid is None:
            return
        try:
            handle = os.pidfd_open(pid)
        except OSError:
            return
        process.spare(pid)
        self._handles[word] = handle
        asyncio.get_running_loop().add_reader(handle, self._ended, word, volume)

    def stop(self, word: str) -> None:
        """The daemon may end; nobody minds."""
        handle = self._handles.pop(word, None)
        if handle is not None:
            asyncio.get_running_loop().remove_reader(handle)
            os.close(handle)

    def open(self) -> None:
        """Daemons can be watched again."""
        self._closed = False

    async def close(self) -> None:
        """No daemon is watched, and none will be until it is opened again."""
        self._closed = True
        for word in list(self._handles):
            self.stop(word)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, word: str, volume: str) -> None:
        self.stop(word)
        LOG.warning("volume %s: a storage daemon ended without being asked to and is started again", volume)
        task = asyncio.get_running_loop().create_task(self._again(volume))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _again(self, volume: str) -> None:
        for pause in _PAUSES:
            await asyncio.sleep(pause)
            try:
                await self._serve(volume)
                return
            except DriverError as err:
                LOG.warning("volume %s can't be served yet: %s", volume, err)
        LOG.error("volume %s is not served any more", volume)
