"""How bytes travel between services: three forms of address, two verbs. What they mean is rpc.py's affair."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from micronova.errors import ConfigError

Handler = Callable[[bytes], Awaitable[bytes | None]]


class Subscription(Protocol):
    async def close(self) -> None:
        """Take no new messages; those being handled are finished first. Repeating changes nothing.

        A handler may close its own subscription: it does not wait for itself.
        """


class Bus(Protocol):
    """Carries messages. May lose, repeat, delay or reorder a cast; a call is answered or fails.

    An address is `topic` (any one listener), `topic.HOST` (the listener of that host) or `topic.*` (fan-out:
    all). Host names may hold dots and any printable character; the bus escapes them. Only "*" alone is no
    host's name.
    """

    async def start(self) -> None:
        """Connect. Raises Unavailable when the broker can't be reached in the configured time.

        Raises ConfigError when the broker refuses our credentials, or we its certificate: waiting won't help.
        """

    async def stop(self) -> None:
        """Finish what is being handled, then disconnect. Repeating changes nothing."""

    async def listen(self, topic: str, host: str, handler: Handler) -> Subscription:
        """Serve `topic`, `topic.host` and `topic.*` with `handler`, each message in a task of its own.

        The handler's return value answers a call (None as no bytes); for a cast it is dropped. A handler that
        raises has a bug: it is logged, and a call stays unanswered until its time is up. Handlers see the
        context variables of the listener, never the sender's. A host listens once per topic: of two listeners
        with the same topic and host either or both may get what is sent to that host. Listening while the bus
        is down is allowed and takes effect when it is up.

        Raises ConfigError when `host` can't be the name of a host.
        """

    async def call(self, address: str, message: bytes, wait: float) -> bytes:
        """Send and await the answer. The handler works on when the caller has given up.

        Raises HostUnreachable at once when nobody listens there, DeadlineExceeded after `wait` seconds,
        Unavailable when the bus is down or goes down meanwhile (nobody knows then whether it was handled),
        TooLarge when message or answer exceed what the bus can carry, ValueError for a fan-out address.
        """

    async def cast(self, address: str, message: bytes) -> None:
        """Send and forget. Nobody listening is not an error.

        Raises Unavailable when the bus is down, TooLarge when the message exceeds what the bus can carry.
        """


def fanout(topic: str) -> str:
    """The address of every listener of `topic`."""
    return f"{topic}.*"


def at(topic: str, host: str) -> str:
    """The address of the listener of `topic` on `host`."""
    return f"{topic}.{host}"


def check_names(topic: str, host: str) -> None:
    """Nothing, when a listener may have this topic and host.

    Raises ValueError for a topic that is not one plain word, ConfigError for an impossible host name.
    """
    if not topic.replace("-", "").replace("_", "").isalnum():
        raise ValueError(f"a topic is one word of letters, digits, - and _, not {topic!r}")
    if not host or host == "*" or not host.isprintable():
        raise ConfigError(f"{host!r} can't be the name of a host", host=host)
