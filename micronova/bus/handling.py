"""The messages a listener is working on: one task each, kept and awaited, their bugs logged."""

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

LOG = logging.getLogger(__name__)

M = TypeVar("M")


class Handling(Generic[M]):
    """Runs a handler for each message in a task of its own and owns these tasks."""

    def __init__(self, name: str, handler: Callable[[M], Awaitable[bytes | None]]) -> None:
        self.name = name
        self._handler = handler
        self._running: dict[int, asyncio.Task[bytes | None]] = {}
        self._begun = 0
        # A message carries no context variables over a wire, so it must not carry them within a process.
        self._context = contextvars.copy_context()

    def begin(self, message: M) -> asyncio.Task[bytes | None]:
        """The task that handles `message`. Its result is the answer, None when the handler raised."""
        self._begun = number = self._begun + 1
        task = asyncio.get_running_loop().create_task(self._handle(number, message), context=self._context.copy())
        self._running[number] = task
        return task

    async def finish(self) -> None:
        """Everything begun is done, except the task that asks."""
        asking = asyncio.current_task()
        while others := [t for t in self._running.values() if t is not asking and not t.done()]:
            await asyncio.wait(others)

    async def _handle(self, number: int, message: M) -> bytes | None:
        try:
            answer = await self._handler(message)
        except Exception:
            LOG.exception("%s: a handler raised", self.name)
            return None
        else:
            return b"" if answer is None else answer
        finally:
            del self._running[number]
