"""The bus between hosts: a NATS broker. Subjects, who gets what, and coming back after the broker was gone.

PREFIX.TOPIC.any        one of the queue group of all listeners
PREFIX.TOPIC.all        every listener
PREFIX.TOPIC.host.HOST  the listener of that host; HOST is percent-encoded into one word
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from micronova.bus import Handler, check_names
from micronova.bus.handling import Handling
from micronova.bus.nats_dial import Callbacks, NatsOptions, dial, hang_up, options_of
from micronova.clock import Clock
from micronova.config import Config
from micronova.errors import ConfigError, DeadlineExceeded, HostUnreachable, TooLarge, Unavailable

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription as NatsSubscription

__all__ = ["NatsBus", "NatsOptions"]

LOG = logging.getLogger(__name__)

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 5.0
WATCH = 1.0
SETTLE = 10.0
STATUS = "Status"
NOBODY = "503"
TOO_LARGE = "Micronova-Too-Large"


class NatsBus:
    """Carries messages through a NATS broker and finds it again for ever."""

    def __init__(self, options: NatsOptions, clock: Clock) -> None:
        self.slow = 0
        """Messages lost because a listener was too slow."""
        self._options = options
        self._clock = clock
        self._client: Client | None = None
        self._inbox = ""
        self._called = 0
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        self._listeners: list[_Listener] = []
        self._lost = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None
        self._stopping = False

    @classmethod
    def configured(cls, config: Config, clock: Clock) -> Self:
        """The bus as the configuration wants it."""
        return cls(options_of(config.options.bus), clock)

    async def start(self) -> None:
        """Connect. Raises Unavailable when no broker could be reached in `connect_wait` seconds.

        Raises ConfigError when a broker refuses us, or we it: waiting won't help.
        """
        self._stopping = False
        refusal: Unavailable | None = None
        pause = FIRST_PAUSE
        try:
            async with asyncio.timeout(self._options.connect_wait):
                while self._client is None:
                    try:
                        await self._connect()
                    except Unavailable as err:
                        refusal = err
                        pause = await self._pause(pause)
        except TimeoutError as err:
            raise refusal or Unavailable("No NATS broker answered in time.") from err
        if self._keeping is None:
            self._keeping = asyncio.get_running_loop().create_task(self._keep())

    async def stop(self) -> None:
        """Finish what is being handled, then disconnect. Repeating changes nothing."""
        self._stopping = True
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.cancel()
            await asyncio.wait((keeping,))
        for listener in list(self._listeners):
            await listener.close()
        client, self._client = self._client, None
        self._give_up_waiting()
        if client is not None:
            await _drain(client)

    async def listen(self, topic: str, host: str, handler: Handler) -> "_Listener":
        """Serve `topic`, `topic.host` and `topic.*` with `handler`. See Bus."""
        check_names(topic, host)
        listener = _Listener(self, self._options, topic, host, handler)
        self._listeners.append(listener)
        client = self._client
        if client is not None:
            try:
                await listener.subscribe(client)
                await self.settle(client, self._inbox)
            except _gone() as err:
                LOG.debug("listening on %s waits for the broker: %s", topic, err)
        return listener

    def forget(self, listener: "_Listener") -> None:
        """`listener` is not subscribed again after a reconnect."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    async def call(self, address: str, message: bytes, wait: float) -> bytes:
        """Send and await the answer. See Bus for what it raises."""
        if address.endswith(".*"):
            raise ValueError("a fan-out can't be called, only cast")
        client = self._connected(message)
        self._called += 1
        token = str(self._called)
        future = self._waiting[token] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(wait):
                await client.publish(self._subject(address), message, reply=f"{self._inbox}.{token}")
                answer: bytes = await future
        except TimeoutError as err:
            raise DeadlineExceeded(f"{address} did not answer within {wait:g} s.", address=address, wait=wait) from err
        except HostUnreachable as err:
            raise HostUnreachable(f"Nobody listens at {address}.", address=address) from err
        except _lost() as err:
            raise Unavailable("The message bus is down.") from err
        else:
            return answer
        finally:
            del self._waiting[token]
            _forget(future)

    async def cast(self, address: str, message: bytes) -> None:
        """Send and forget. See Bus for what it raises."""
        try:
            await self._connected(message).publish(self._subject(address), message)
        except _lost() as err:
            raise Unavailable("The message bus is down.") from err

    async def reply(self, inbox: str, answer: bytes) -> None:
        """The caller behind `inbox` has its answer, or knows that it is too large to send."""
        client = self._client
        if client is None:
            LOG.debug("an answer is lost: the bus is down")
            return
        try:
            if len(answer) > client.max_payload:
                LOG.error("an answer of %d bytes is too large for the broker", len(answer))
                await client.publish(inbox, b"", headers={TOO_LARGE: str(len(answer))})
            else:
                await client.publish(inbox, answer)
        except _lost() as err:
            LOG.debug("an answer is lost: %s", err)

    async def settle(self, client: "Client", inbox: str = "") -> None:
        """The broker has done all that was sent before. Raises TimeoutError when it doesn't say so.

        The library's own `flush` lets its question overtake subscriptions that are not yet on their way.
        """
        self._called += 1
        token = str(self._called)
        future = self._waiting[token] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(SETTLE):
                await client.publish(f"{inbox or self._inbox}.{token}", b"")
                await future
        finally:
            del self._waiting[token]
            _forget(future)

    def _connected(self, message: bytes) -> "Client":
        client = self._client
        if client is None or not client.is_connected:
            raise Unavailable("The message bus is down.")
        if len(message) > client.max_payload:
            raise TooLarge(
                f"A message of {len(message)} bytes exceeds the broker's limit of {client.max_payload}.",
                size=len(message),
                limit=client.max_payload,
            )
        return client

    def _subject(self, address: str) -> str:
        topic, _, host = address.partition(".")
        return subject(self._options.prefix, topic, host)

    async def _answered(self, message: "Msg") -> None:
        future = self._waiting.get(message.subject.rpartition(".")[2])
        if future is None or future.done():
            return
        headers = message.headers
        if headers and headers.get(STATUS) == NOBODY:
            future.set_exception(HostUnreachable())
        elif headers and TOO_LARGE in headers:
            size = int(headers[TOO_LARGE])
            future.set_exception(TooLarge(f"The answer of {size} bytes can't be sent.", size=size))
        else:
            future.set_result(message.data)

    async def _connect(self) -> None:
        """A connection on which everything listens. Raises what `dial` raises."""
        client = await dial(self._options, Callbacks(error=self._on_error, closed=self._on_closed))
        try:
            inbox = client.new_inbox()
            await client.subscribe(f"{inbox}.*", cb=self._answered)
            # A listener may be added while we wait for the broker, so look until all are on this connection.
            while new := [listener for listener in self._listeners if listener.client is not client]:
                for listener in new:
                    await listener.subscribe(client)
                await self.settle(client, inbox)
        except _lost() as err:
            await hang_up(client)
            raise Unavailable("The NATS broker was lost again at once.") from err
        except BaseException:
            await hang_up(client)
            raise
        if client.is_closed:
            raise Unavailable("The NATS broker was lost again at once.")
        self._client, self._inbox = client, inbox
        self._lost.clear()

    async def _on_closed(self, client: "Client") -> None:
        if self._client is client and not self._stopping:
            self._go_down()
        elif self._client is None:
            self._give_up_waiting()

    def _go_down(self) -> None:
        """Nothing can be sent, and who waits for an answer knows."""
        self._client = None
        self._lost.set()
        self._give_up_waiting()

    async def _keep(self) -> None:
        """The bus is brought back, whatever it takes, whenever it is lost."""
        loop = asyncio.get_running_loop()
        while True:
            await self._until_lost()
            LOG.warning("the message bus is lost: connecting again")
            since = loop.time()
            await self._redial()
            LOG.info("the message bus is back after %.1f s", loop.time() - since)

    async def _until_lost(self) -> None:
        """The connection is gone."""
        while (client := self._client) is not None and client.is_connected:
            # The library does not tell of every loss: not when it fails to send the rest of what it held.
            try:
                async with asyncio.timeout(WATCH):
                    await self._lost.wait()
            except TimeoutError:
                continue
        if client is not None:
            self._go_down()
            await hang_up(client)

    async def _redial(self) -> None:
        pause = await self._pause(FIRST_PAUSE)
        told = ""
        while self._client is None:
            try:
                await self._connect()
            except ConfigError as err:
                if told != err.message:
                    LOG.error("the message bus stays lost: %s", err)
                told = err.message
                pause = await self._pause(pause)
            except Unavailable:
                pause = await self._pause(pause)

    async def _pause(self, seconds: float) -> float:
        """Wait about `seconds`; returns how long to wait the next time."""
        # Spread over half the time: a whole cloud must not knock at a returning broker in one instant.
        await asyncio.sleep(seconds * (0.5 + self._clock.randbelow(1000) / 1000))
        return min(seconds * 2, LONGEST_PAUSE)

    def _give_up_waiting(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Unavailable("The message bus went down before the answer came."))

    async def _on_error(self, err: Exception) -> None:
        from nats.errors import SlowConsumerError

        if not isinstance(err, SlowConsumerError):
            LOG.debug("nats: %s: %s", type(err).__name__, err)
            return
        self.slow += 1
        # Told at 1, 2, 4, 8 …: the moment of overload is the wrong one to write a line per message.
        if self.slow & (self.slow - 1) == 0:
            LOG.error("%s: too slow, %d messages lost so far", err.subject, self.slow)


class _Listener:
    """One `listen`: three subscriptions, which follow the bus from connection to connection."""

    def __init__(self, bus: NatsBus, options: NatsOptions, topic: str, host: str, handler: Handler) -> None:
        self.client: Client | None = None
        """The connection it is subscribed on."""
        self._bus = bus
        self._options = options
        self._topic = topic
        self._host = host
        self._handler = handler
        self._handling: Handling[Msg] = Handling(f"{topic}.{host}", self._handle)
        self._room = asyncio.Semaphore(options.concurrency)
        self._subscriptions: list[NatsSubscription] = []
        self._closed = False

    async def subscribe(self, client: "Client") -> None:
        """Messages come over `client` from here on, and no longer over an earlier one."""
        self.client = client
        self._subscriptions = []
        for host, queue in (("", "any"), (self._host, ""), ("*", "")):
            self._subscriptions.append(
                await client.subscribe(
                    subject(self._options.prefix, self._topic, host),
                    queue=queue,
                    cb=self._take,
                    pending_msgs_limit=self._options.pending_messages,
                    pending_bytes_limit=self._options.pending_bytes,
                )
            )
        if self._closed:
            await self.close()

    async def close(self) -> None:
        """Take no new messages; those being handled are finished first. Repeating changes nothing."""
        self._closed = True
        self._bus.forget(self)
        subscriptions, self._subscriptions = self._subscriptions, []
        try:
            await self._unsubscribe(subscriptions)
        except _gone() as err:
            LOG.debug("unsubscribing from %s: %s", self._topic, err)
        await self._handling.finish()

    async def _unsubscribe(self, subscriptions: "list[NatsSubscription]") -> None:
        """Nothing more comes, and what has come is being handled."""
        client = self.client
        if client is None or not subscriptions:
            return
        for subscription in subscriptions:
            # `drain` alone asks the broker for the rest before it has told it to stop: a call could be lost.
            await client._send_unsubscribe(subscription._id)
        await self._bus.settle(client)
        for subscription in subscriptions:
            await subscription.drain()  # type: ignore[no-untyped-call]

    async def _take(self, message: "Msg") -> None:
        await self._room.acquire()
        task = self._handling.begin(message)
        task.add_done_callback(self._make_room)

    def _make_room(self, _: asyncio.Task[bytes | None]) -> None:
        self._room.release()

    async def _handle(self, message: "Msg") -> None:
        answer = await self._handler(message.data)
        if message.reply:
            await self._bus.reply(message.reply, answer or b"")


def subject(prefix: str, topic: str, host: str) -> str:
    """The NATS subject of a topic's listener on `host`, of any one for "", of all for "*"."""
    if not host:
        return f"{prefix}.{topic}.any"
    if host == "*":
        return f"{prefix}.{topic}.all"
    return f"{prefix}.{topic}.host.{quote(host, safe='').replace('.', '%2E')}"


def _lost() -> tuple[type[Exception], ...]:
    """What the library raises when the connection is not there, or no more."""
    from nats.errors import Error as NatsError

    return (NatsError, OSError)


def _gone() -> tuple[type[Exception], ...]:
    """The same, and what those hear who waited for an answer meanwhile."""
    return (*_lost(), Unavailable)


def _forget(future: asyncio.Future[bytes]) -> None:
    """Nobody asks for `future` any more: an error in it is not one that was overlooked."""
    if not future.cancel() and not future.cancelled():
        future.exception()


async def _drain(client: "Client") -> None:
    try:
        await client.drain()
    except _lost() as err:
        LOG.debug("disconnecting: %s", err)
        await hang_up(client)
