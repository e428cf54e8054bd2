"""One change of a volume at a time, and of two volumes without waiting for each other for ever."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


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

    def _leave(self, name: str) -> None:
        self._users[name] -= 1
        if not self._users[name]:
            del self._users[name], self._locks[name]
