"""One life of a host's process: which asyncio tasks are its own, and how it dies between any two things it does.

Everything a process does to the world outside goes through a gate (gates.py) that asks its life first. A dead life's
tasks are cancelled, and whatever they still try on their way out has no effect: as if they had been killed.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

LIFE: contextvars.ContextVar["Life | None"] = contextvars.ContextVar("life", default=None)


class Life:
    """From the start of a process to its end. `fuse` counts the crossings of gates that are left, None for no end."""

    def __init__(self, host: str, died: Callable[["Life"], None]) -> None:
        self.host = host
        self.alive = True
        self.fuse: int | None = None
        self._died = died
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._context = contextvars.copy_context()
        self._context.run(LIFE.set, self)

    def cross(self) -> None:
        """The process touches the world. Raises CancelledError when it is dead, or dies just here."""
        if self.alive and self.fuse is not None:
            self.fuse -= 1
            if self.fuse <= 0:
                self.end()
        if not self.alive:
            raise asyncio.CancelledError(f"the process of {self.host} is dead")

    def spawn(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """Run `work` as a task of this process."""
        return asyncio.get_running_loop().create_task(work, name=name, context=self._context.copy())

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """The task lives and dies with this process."""
        self._tasks[task] = None
        task.add_done_callback(self._release)
        if not self.alive:
            task.cancel()

    def end(self) -> None:
        """The process is dead. Repeating changes nothing."""
        if not self.alive:
            return
        self.alive = False
        self._died(self)
        for task in list(self._tasks):
            task.cancel()

    @property
    def names(self) -> list[str]:
        """The names of the tasks that run."""
        return [task.get_name() for task in self._tasks if not task.done()]

    def _release(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)


def owned_tasks(
    loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, T], *, context: contextvars.Context | None = None
) -> asyncio.Task[T]:
    """A task factory: every task belongs to the life in whose context it is made."""
    task = asyncio.Task(coro, loop=loop, context=context)
    life = LIFE.get() if context is None else context.get(LIFE)
    if life is not None:
        life.adopt(task)
    return task
