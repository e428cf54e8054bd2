"""One change of a volume at a time, and of two volumes without waiting for each other for ever."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from micronova.volume.driver import FromSnapshot, FromVolume, VolumeSpec, check_name


class Locks:
    """A lock per name, there as long as somebody holds or wants it."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: dict[str, int] = {}

    @contextlib.asynccontextmanager
    async def held(self, *names: str) -> AsyncIterator[None]:
        """Nobody else holds any of these names while the block lasts."""
        async with contextlib.AsyncExitStack() as stack:
            # Always in the same order: two that want the same two can't each hold one.
            for name in sorted(set(names)):
                lock = self._locks.setdefault(name, asyncio.Lock())
                self._users[name] = self._users.get(name, 0) + 1
                stack.callback(self._leave, name)
                await stack.enter_async_context(lock)
            yield

    @contextlib.asynccontextmanager
    async def held_with_source(self, spec: VolumeSpec) -> AsyncIterator[None]:
        """Nobody else changes the volume or the one it is made from. Raises Rejected for a source that can't be."""
        match spec.source:
            case FromVolume(name=name) | FromSnapshot(volume=name):
                check_name(name)
                names = {spec.name, name}
            case _:
                names = {spec.name}
        async with self.held(*names):
            yield

    def _leave(self, name: str) -> None:
        self._users[name] -= 1
        if not self._users[name]:
            del self._users[name], self._locks[name]
