"""How bytes travel between services: three forms of address, two verbs. What the bytes mean is rpc.py's affair."""

from collections.abc import Awaitable, Callable
from typing import Protocol

Handler = Callable[[bytes], Awaitable[bytes | None]]


class Subscription(Protocol):
    async def close(self) -> None:
        """Take no new messages; those being handled are finished first. Repeating changes nothing."""


class Bus(Protocol):
    """Carries messages. May lose, repeat, delay or reorder a cast; a call is answered or fails.

    An address is `topic` (any one listener), `topic.HOST` (the listener of that host) or `topic.*` (fan-out: all).
    Host names may hold dots and any printable character; the bus escapes them.
    """

    async def start(self) -> None:
        """Connect. Raises Unavailable when the broker can't be reached in the configured time."""

    async def stop(self) -> None:
        """Finish what is being handled, then disconnect. Repeating changes nothing."""

    async def listen(self, topic: str, host: str, handler: Handler) -> Subscription:
        """Serve `topic`, `topic.host` and `topic.*` with `handler`, each message in a task of its own.

        The handler's return value answers a call; for a cast it is dropped. A handler that raises has a bug:
        it is logged, and a call stays unanswered until its time is up.
        """

    async def call(self, address: str, message: bytes, wait: float) -> bytes:
        """Send and await the answer.

        Raises HostUnreachable at once when nobody listens there, DeadlineExceeded after `wait` seconds.
        """

    async def cast(self, address: str, message: bytes) -> None:
        """Send and forget. Nobody listening is not an error. Raises Unavailable when the bus is down."""


def fanout(topic: str) -> str:
    """The address of every listener of `topic`."""
    return f"{topic}.*"


def at(topic: str, host: str) -> str:
    """The address of the listener of `topic` on `host`."""
    return f"{topic}.{host}"
