"""What every bus promises."""

import asyncio
import contextvars

import pytest

from micronova.bus import Handler, at, fanout
from micronova.errors import ConfigError, DeadlineExceeded, HostUnreachable, Unavailable

LONG = 30.0
WHO: contextvars.ContextVar[str] = contextvars.ContextVar("WHO", default="nobody")


def saying(name: str) -> Handler:
    """A handler that answers with its name and the message."""

    async def handle(message: bytes) -> bytes:
        return name.encode() + b":" + message

    return handle


class Recorder:
    """A handler that keeps what it was sent."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self._more = asyncio.Event()

    async def handle(self, message: bytes) -> None:
        self.messages.append(message)
        self._more.set()

    async def until(self, count: int) -> list[bytes]:
        async with asyncio.timeout(10):
            while len(self.messages) < count:
                self._more.clear()
                await self._more.wait()
        return self.messages


class Gate:
    """A handler that works until it is let go."""

    def __init__(self) -> None:
        self.busy = asyncio.Event()
        self.open = asyncio.Event()
        self.handled = 0

    async def handle(self, message: bytes) -> bytes:
        self.busy.set()
        await self.open.wait()
        self.handled += 1
        return message


async def test_a_call_to_a_host_is_answered_by_that_host(connect):
    bus = await connect()
    await bus.listen("compute", "one", saying("one"))
    await bus.listen("compute", "two", saying("two"))

    answers = [await bus.call(at("compute", host), b"hi", LONG) for host in ("one", "two", "one")]

    assert answers == [b"one:hi", b"two:hi", b"one:hi"]


async def test_a_call_to_a_topic_is_answered_by_any_one_and_spreads(connect):
    for host in ("one", "two", "three"):
        await (await connect()).listen("compute", host, saying(host))
    caller = await connect()

    answers = [await caller.call("compute", b"", LONG) for _ in range(60)]

    assert {b"one:", b"two:", b"three:"} == set(answers)


async def test_a_cast_to_a_topic_reaches_exactly_one(connect):
    bus, recorder = await connect(), Recorder()
    for host in ("one", "two", "three"):
        await bus.listen("compute", host, recorder.handle)

    for number in range(20):
        await bus.cast("compute", b"%d" % number)

    assert {b"%d" % number for number in range(20)} == set(await recorder.until(20))
    await bus.call("compute", b"after all others", LONG)
    assert len(recorder.messages) == 21


async def test_a_cast_to_a_host_reaches_only_that_host(connect):
    bus, right, wrong = await connect(), Recorder(), Recorder()
    await bus.listen("compute", "right", right.handle)
    await bus.listen("compute", "wrong", wrong.handle)
    await bus.listen("volume", "right", wrong.handle)

    await bus.cast(at("compute", "right"), b"x")

    assert [b"x"] == await right.until(1)
    assert [] == wrong.messages


async def test_a_fan_out_reaches_every_listener_of_the_topic_once(connect):
    recorders = {host: Recorder() for host in ("one", "two", "three")}
    other = Recorder()
    for host, recorder in recorders.items():
        await (await connect()).listen("compute", host, recorder.handle)
    caller = await connect()
    await caller.listen("volume", "one", other.handle)

    await caller.cast(fanout("compute"), b"all")

    assert [[b"all"]] * 3 == [await recorder.until(1) for recorder in recorders.values()]
    assert [] == other.messages


async def test_a_fan_out_cannot_be_called(connect):
    bus = await connect()
    await bus.listen("compute", "one", saying("one"))

    with pytest.raises(ValueError, match="fan-out"):
        await bus.call(fanout("compute"), b"", LONG)


@pytest.mark.parametrize("address", ["nobody", at("compute", "nobody")])
async def test_a_call_to_nobody_fails_at_once(connect, address):
    bus = await connect()
    await bus.listen("compute", "one", saying("one"))
    begun = asyncio.get_running_loop().time()

    with pytest.raises(HostUnreachable) as told:
        await bus.call(address, b"", LONG)

    assert asyncio.get_running_loop().time() - begun < LONG / 3
    assert told.value.facts == {"address": address}


async def test_a_cast_to_nobody_is_no_error(connect):
    bus = await connect()

    for address in ("compute", at("compute", "one"), fanout("compute")):
        await bus.cast(address, b"")


async def test_a_call_gives_up_at_its_deadline_and_the_handler_works_on(connect):
    bus, gate = await connect(), Gate()
    await bus.listen("compute", "slow", gate.handle)

    with pytest.raises(DeadlineExceeded):
        await bus.call(at("compute", "slow"), b"", 0.05)

    assert 0 == gate.handled
    gate.open.set()
    await bus.call(at("compute", "slow"), b"", LONG)
    assert 2 == gate.handled


async def test_cancelling_a_caller_does_not_cancel_the_handler(connect):
    bus, gate = await connect(), Gate()
    await bus.listen("compute", "slow", gate.handle)
    caller = asyncio.create_task(bus.call(at("compute", "slow"), b"", LONG))
    await gate.busy.wait()

    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller

    gate.open.set()
    await bus.call(at("compute", "slow"), b"", LONG)
    assert 2 == gate.handled


async def test_a_thousand_calls_are_handled_at_the_same_time(connect):
    bus, caller = await connect(), await connect()
    everybody = asyncio.Barrier(1000)

    async def handle(message: bytes) -> bytes:
        await everybody.wait()
        return message

    await bus.listen("compute", "one", handle)

    answers = await asyncio.gather(*(caller.call(at("compute", "one"), b"%d" % number, LONG) for number in range(1000)))

    assert answers == [b"%d" % number for number in range(1000)]


async def test_a_handler_may_call_its_own_topic(connect):
    bus = await connect()

    async def handle(message: bytes) -> bytes:
        return message if message == b"inner" else await bus.call("compute", b"inner", LONG)

    await bus.listen("compute", "one", handle)

    assert b"inner" == await bus.call("compute", b"outer", LONG)


async def test_closing_a_subscription_finishes_what_is_being_handled(connect, eventually):
    bus, caller, gate = await connect(), await connect(), Gate()
    subscription = await bus.listen("compute", "one", gate.handle)
    call = asyncio.create_task(caller.call(at("compute", "one"), b"kept", LONG))
    await gate.busy.wait()

    closing = asyncio.create_task(subscription.close())

    async def refused() -> bool:
        try:
            await caller.call(at("compute", "one"), b"too late", 0.02)
        except HostUnreachable:
            return True
        except DeadlineExceeded:
            return False
        return False

    await eventually(refused)
    assert not closing.done()
    gate.open.set()
    await closing
    assert b"kept" == await call
    await subscription.close()


async def test_a_handler_may_close_its_own_subscription(connect):
    bus = await connect()

    async def handle(message: bytes) -> bytes:
        await subscription.close()
        return b"the last"

    subscription = await bus.listen("compute", "one", handle)

    assert b"the last" == await bus.call("compute", b"", LONG)
    with pytest.raises(HostUnreachable):
        await bus.call("compute", b"", LONG)


async def test_a_host_may_listen_again_after_it_closed(connect):
    bus = await connect()
    await (await bus.listen("compute", "one", saying("old"))).close()
    await bus.listen("compute", "one", saying("new"))

    assert b"new:" == await bus.call(at("compute", "one"), b"", LONG)


async def test_a_big_message_and_a_big_answer_arrive_whole(connect):
    bus, caller = await connect(), await connect()
    await bus.listen("compute", "one", saying(""))
    message = bytes(range(256)) * 3000

    assert b":" + message == await caller.call("compute", message, LONG)


async def test_no_answer_arrives_as_no_bytes(connect):
    bus, recorder = await connect(), Recorder()
    await bus.listen("compute", "one", recorder.handle)

    assert b"" == await bus.call("compute", b"", LONG)


ODD = [
    "node-1.rack-2.example.org", "with space", "größe-日本", "a*b", ">", "a>b", "%41", "A", "a", "any", "all",
    "host", "*.", "q?", "x" * 255, "=2E", "~",
]  # fmt: skip


async def test_odd_host_names_are_told_apart(connect):
    bus, caller = await connect(), await connect()
    for host in ODD:
        await bus.listen("compute", host, saying(host))

    answers = [await caller.call(at("compute", host), b"", LONG) for host in ODD]

    assert answers == [host.encode() + b":" for host in ODD]


@pytest.mark.parametrize("host", ["", "*", "new\nline", "nul\0"])
async def test_an_impossible_host_name_is_refused(connect, host):
    bus = await connect()

    with pytest.raises(ConfigError):
        await bus.listen("compute", host, saying("x"))


@pytest.mark.parametrize("topic", ["", "a.b", "*", ">", "a b"])
async def test_an_impossible_topic_is_refused(connect, topic):
    bus = await connect()

    with pytest.raises(ValueError, match="topic"):
        await bus.listen(topic, "one", saying("x"))


async def test_a_handler_that_raises_is_logged_and_leaves_its_caller_waiting(connect, caplog):
    bus = await connect()

    async def handle(message: bytes) -> bytes:
        if message == b"bad":
            raise RuntimeError("a bug")
        return message

    await bus.listen("compute", "one", handle)

    with pytest.raises(DeadlineExceeded):
        await bus.call("compute", b"bad", 0.05)

    assert ["compute.one: a handler raised"] == [record.message for record in caplog.records]
    assert "a bug" in caplog.text
    assert b"good" == await bus.call("compute", b"good", LONG)


async def test_a_handler_sees_the_listener_s_context_not_the_caller_s(connect):
    bus = await connect()

    async def handle(message: bytes) -> bytes:
        return WHO.get().encode()

    WHO.set("listener")
    await bus.listen("compute", "one", handle)
    WHO.set("caller")

    assert b"listener" == await bus.call("compute", b"", LONG)


async def test_stopping_finishes_what_is_handled_and_is_repeatable(connect):
    bus, gate = await connect(), Gate()
    await bus.listen("compute", "one", gate.handle)
    await bus.cast("compute", b"")
    await gate.busy.wait()

    stopping = asyncio.create_task(bus.stop())
    gate.open.set()
    await stopping
    await bus.stop()

    assert 1 == gate.handled
    with pytest.raises(Unavailable):
        await bus.call("compute", b"", LONG)
    with pytest.raises(Unavailable):
        await bus.cast("compute", b"")


async def test_a_stopped_bus_can_be_started_again_and_has_forgotten_its_listeners(connect):
    bus = await connect()
    await bus.listen("compute", "one", saying("old"))
    await bus.stop()

    await bus.start()

    with pytest.raises(HostUnreachable):
        await bus.call("compute", b"", LONG)
    await bus.listen("compute", "one", saying("new"))
    assert b"new:" == await bus.call("compute", b"", LONG)


async def test_listening_before_the_start_takes_effect_with_it(connect):
    bus = await connect()
    await bus.stop()
    await bus.listen("compute", "one", saying("early"))

    await bus.start()

    assert b"early:" == await bus.call("compute", b"", LONG)
