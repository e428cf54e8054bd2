"""Calls between managers: what travels, how it is checked, how errors come home.

A call names a method that its manager offered with @remote. Arguments and result are decoded by the method's own type
annotations, so only ids, plain values and frozen structs can travel. Errors travel as class name, sentence and facts,
and are raised as the same class; what is not in errors.py arrives as RemoteError.
"""

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, get_type_hints

import msgspec

from micronova.bus import Bus, at
from micronova.clock import Clock, after
from micronova.context import Context
from micronova.errors import DeadlineExceeded, Error, RemoteError, rebuild

LOG = logging.getLogger(__name__)

NUDGE = "!"
"""The method name of a message that only says: look at your tasks."""


class Call(msgspec.Struct, frozen=True, array_like=True):
    method: str
    version: str
    deadline_at: datetime | None
    context: Context | None
    arguments: msgspec.Raw


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """`error` is empty when `result` counts."""

    result: msgspec.Raw
    error: str = ""
    message: str = ""
    facts: dict[str, Any] = {}


class Signature:
    """How a method's arguments and result travel."""

    def __init__(self, fn: Callable[..., Any], wait: float = 5) -> None:
        hints = get_type_hints(fn)
        self._names = list(inspect.signature(fn).parameters)[2:]  # after self and ctx
        self._defaults = {
            name: parameter.default
            for name, parameter in inspect.signature(fn).parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }
        arguments = tuple[tuple(hints[name] for name in self._names)] if self._names else tuple[()]  # type: ignore[misc]
        self._arguments: msgspec.msgpack.Decoder[tuple[Any, ...]] = msgspec.msgpack.Decoder(arguments)
        result = hints.get("return", Any)
        self._result: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(result)
        self.wait = wait

    def bind(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[Any, ...]:
        """All arguments in order. Raises TypeError as Python would for a wrong call."""
        if len(args) == len(self._names):
            return args
        given = {**self._defaults, **dict(zip(self._names, args, strict=False)), **named}
        try:
            return tuple(given[name] for name in self._names)
        except KeyError as err:
            raise TypeError(f"missing argument {err}") from err

    def decode(self, raw: bytes | msgspec.Raw) -> tuple[Any, ...]:
        return self._arguments.decode(raw)

    def decode_result(self, raw: bytes | msgspec.Raw) -> Any:
        return self._result.decode(raw)


class Codec:
    """Messages to bytes and back."""

    def __init__(self) -> None:
        self._encode = msgspec.msgpack.Encoder().encode
        self._call = msgspec.msgpack.Decoder(Call).decode
        self._answer = msgspec.msgpack.Decoder(Answer).decode

    def call(
        self, method: str, version: str, deadline_at: datetime | None, ctx: Context | None, args: tuple[Any, ...]
    ) -> bytes:
        return self._encode(Call(method, version, deadline_at, ctx, msgspec.Raw(self._encode(args))))

    def read_call(self, message: bytes) -> Call:
        return self._call(message)

    def result(self, value: Any) -> bytes:
        return self._encode(Answer(msgspec.Raw(self._encode(value))))

    def failure(self, err: Error) -> bytes:
        nothing = msgspec.Raw(self._encode(None))
        return self._encode(Answer(nothing, type(err).__name__, err.message, err.facts))

    def read_answer(self, message: bytes) -> Answer:
        return self._answer(message)


class Client:
    """Sends calls."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._codec = Codec()

    async def call(
        self,
        topic: str,
        host: str,
        method: str,
        version: str,
        signature: Signature,
        ctx: Context,
        args: tuple[Any, ...],
    ) -> Any:
        """Call a method of the manager of `topic` on `host` ("" for any) and return its result, or raise its error.

        Raises HostUnreachable when nobody listens there, DeadlineExceeded when the answer took too long.
        """
        deadline_at = after(self._clock, signature.wait)
        if ctx.deadline_at is not None and ctx.deadline_at < deadline_at:
            deadline_at = ctx.deadline_at
        wait = (deadline_at - self._clock.now()).total_seconds()
        if wait <= 0:
            raise DeadlineExceeded(f"There was no time left to call {topic}.{method}.")
        message = self._codec.call(method, version, deadline_at, ctx, args)
        raw = await self._bus.call(at(topic, host) if host else topic, message, wait)
        answer = self._codec.read_answer(raw)
        if answer.error:
            raise rebuild(answer.error, answer.message, answer.facts)
        return signature.decode_result(answer.result)

    async def nudge(self, topic: str, host: str) -> None:
        """Tell the service of `topic` on `host` ("" for any) to look at its tasks.

        Raises Unavailable when the bus is down.
        """
        await self._bus.cast(at(topic, host) if host else topic, self._codec.call(NUDGE, "", None, None, ()))


class Offered(msgspec.Struct, frozen=True):
    """A method that a server answers: the bound coroutine function and how its arguments travel."""

    run: Callable[..., Awaitable[Any]]
    signature: Signature


class Server:
    """Answers calls with the offered methods of one manager."""

    def __init__(
        self, topic: str, version: str, offered: Mapping[str, Offered], clock: Clock, nudged: Callable[[], None]
    ) -> None:
        self._topic = topic
        self._version = version
        self._offered = dict(offered)
        self._clock = clock
        self._codec = Codec()
        self._nudged = nudged

    async def handle(self, message: bytes) -> bytes | None:
        """One message in, its answer out. Never raises but for cancellation."""
        try:
            call = self._codec.read_call(message)
        except msgspec.DecodeError as err:
            return self._codec.failure(RemoteError(f"{self._topic} got a message it can't read: {err}"))
        if call.method == NUDGE:
            self._nudged()
            return None
        try:
            return self._codec.result(await self._run(call))
        except Error as err:
            return self._codec.failure(err)
        except Exception as err:
            LOG.exception("%s.%s failed", self._topic, call.method)
            return self._codec.failure(RemoteError(f"{type(err).__name__} in {self._topic}.{call.method}"))

    async def _run(self, call: Call) -> Any:
        offered = self._offered.get(call.method)
        if offered is None:
            raise RemoteError(f"{self._topic} offers no method {call.method}", type="UnknownMethod")
        if not compatible(call.version, self._version):
            raise RemoteError(
                f"{self._topic} speaks version {self._version}, not {call.version}", type="UnsupportedVersion"
            )
        if call.deadline_at is not None and call.deadline_at <= self._clock.now():
            raise DeadlineExceeded(f"{self._topic}.{call.method} came too late.")
        if call.context is None:
            raise RemoteError(f"{self._topic}.{call.method} was called by nobody")
        ctx = call.context if call.deadline_at is None else call.context.until(call.deadline_at)
        return await offered.run(ctx, *offered.signature.decode(call.arguments))


def compatible(asked: str, offered: str) -> bool:
    """The same major version, and a minor version that has all that was asked for."""
    major, minor = (int(part) for part in asked.split("."))
    has_major, has_minor = (int(part) for part in offered.split("."))
    return major == has_major and minor <= has_minor
