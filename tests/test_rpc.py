"""Calls between managers on two hosts of one process."""

from datetime import timedelta

import msgspec
import pytest
from widgets import Size, Widget, WidgetManager

from micronova.context import admin_context
from micronova.errors import DeadlineExceeded, HostUnreachable, InUse, RemoteError
from micronova.manager import Proxy
from micronova.rpc import Codec, compatible
from micronova.service import Service
from micronova.testing.ground import ground


class NewerWidgetManager(WidgetManager):
    version = "1.7"


class OtherWidgetManager(WidgetManager):
    version = "2.0"


@pytest.fixture
async def world():
    runtime = ground(Widget)
    await runtime.bus.start()
    here, there = WidgetManager(runtime, "h1"), WidgetManager(runtime, "h2")
    services = [Service(runtime, [here], "h1"), Service(runtime, [there], "h2")]
    for service in services:
        await service.start()
    yield here
    for service in services:
        await service.stop()
    await runtime.bus.stop()


@pytest.fixture
def ctx(world):
    return admin_context(world.clock)


def test_a_manager_on_its_own_host_is_itself(world):
    assert world is world.on("h1")
    assert isinstance(world.on("h2"), Proxy)


async def test_a_call_reaches_the_manager_of_that_host(world, ctx):
    assert {"h2": 6} == await world.on("h2").measure(ctx, Size(3), times=2)
    assert {"h1": 3} == await world.on("h1").measure(ctx, Size(3))


async def test_a_call_by_topic_reaches_any_host(world, ctx):
    api = WidgetManager(world.runtime, "api")

    answers = [await api.on("").measure(ctx, Size(1)) for _ in range(4)]

    assert {"h1", "h2"} == {host for answer in answers for host in answer}


async def test_an_error_comes_home_as_the_same_class_with_its_facts(world, ctx):
    with pytest.raises(InUse, match="It is flat") as refused:
        await world.on("h2").measure(ctx, Size(0))

    assert {"widget": "w1"} == refused.value.facts


async def test_a_bug_far_away_is_a_remote_error_without_its_traceback(world, ctx, caplog):
    with pytest.raises(RemoteError, match=r"ValueError in widget.measure"):
        await world.on("h2").measure(ctx, Size(-1))

    assert "a bug" in caplog.text


async def test_nobody_listening_is_told_at_once(world, ctx):
    with pytest.raises(HostUnreachable):
        await world.on("h3").measure(ctx, Size(1))


async def test_a_call_without_time_left_is_not_made(world, ctx):
    late = ctx.until(world.clock.now() - timedelta(seconds=1))

    with pytest.raises(DeadlineExceeded):
        await world.on("h2").measure(late, Size(1))


async def test_an_expired_message_is_refused_where_it_arrives(world, ctx):
    codec = Codec()
    past = world.clock.now() - timedelta(seconds=1)
    message = codec.call("measure", "1.0", past, ctx, (Size(1), 1))

    answer = codec.read_answer(await world.runtime.bus.call("widget.h2", message, 1))

    assert "DeadlineExceeded" == answer.error


async def test_only_offered_methods_can_be_called(world):
    with pytest.raises(AttributeError, match="not offered"):
        world.on("h2").create  # noqa: B018


async def test_an_unknown_method_is_refused(world, ctx):
    codec = Codec()
    message = codec.call("__init__", "1.0", None, ctx, ())

    answer = codec.read_answer(await world.runtime.bus.call("widget.h2", message, 1))

    assert ("RemoteError", "UnknownMethod") == (answer.error, answer.facts["type"])


@pytest.mark.parametrize("garbage", [b"", b"\xc1", b"\x93\x01\x02\x03", msgspec.msgpack.encode({"a": 1})])
async def test_garbage_on_the_bus_is_answered_not_raised(world, garbage):
    answer = Codec().read_answer(await world.runtime.bus.call("widget.h2", garbage, 1))

    assert "RemoteError" == answer.error


async def test_wrong_arguments_are_an_error_of_the_caller(world, ctx):
    codec = Codec()
    message = codec.call("measure", "1.0", None, ctx, ("no size", 1))

    answer = codec.read_answer(await world.runtime.bus.call("widget.h2", message, 1))

    assert "RemoteError" == answer.error


async def test_a_newer_minor_version_serves_older_callers_but_not_the_other_way(world, ctx):
    newer = NewerWidgetManager(world.runtime, "h1")

    with pytest.raises(RemoteError, match="speaks version 1.0, not 1.7"):
        await newer.on("h2").measure(ctx, Size(1))


@pytest.mark.parametrize(
    ("asked", "offered", "fits"),
    [("1.0", "1.0", True), ("1.0", "1.9", True), ("1.9", "1.0", False), ("2.0", "1.9", False), ("1.0", "2.0", False)],
)
def test_versions_fit_when_the_offered_has_all_that_is_asked(asked, offered, fits):
    assert fits == compatible(asked, offered)
