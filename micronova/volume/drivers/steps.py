"""Steps that are done to their end: on a file system, in a thread, also when whoever waits gives up."""

import asyncio
import contextlib
import errno
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar, TypeVarTuple

from micronova.errors import DriverError, NoSpace

A = TypeVarTuple("A")
R = TypeVar("R")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_WORDS = ("No space left", "quota exceeded", "File too large")


async def in_thread(step: Callable[[*A], R], *args: *A) -> R:
    """What the step returns. A caller that is cancelled goes only when the step is done: nothing happens behind it.

    Raises what the step raises; OSError as NoSpace or DriverError.
    """
    return await whole(asyncio.ensure_future(asyncio.to_thread(partial(_told, step, *args))))


async def whole(work: asyncio.Future[R], *, patience: float | None = None) -> R:
    """What the work returns. A caller that is cancelled goes when it is done, or cancelled after `patience` seconds.

    Raises what the work raises.
    """
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([work], timeout=patience)
                if patience is not None:
                    work.cancel()
        if not work.cancelled():
            work.exception()
        raise


def _told(step: Callable[[*A], R], *args: *A) -> R:
    with told():
        return step(*args)


@contextlib.contextmanager
def told() -> Iterator[None]:
    """The system's errors as ours."""
    try:
        yield
    except OSError as err:
        if err.errno in FULL:
            raise NoSpace("no space left in the folder of this back end") from err
        raise DriverError(f"the folder of this back end can't be used: {err.strerror}") from err


@contextlib.contextmanager
def space_told() -> Iterator[None]:
    """A tool's words about a full disk as NoSpace."""
    try:
        yield
    except DriverError as err:
        if any(word in err.message for word in _FULL_WORDS):
            raise NoSpace("no space left for the volume's data") from err
        raise
