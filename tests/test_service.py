"""The service: order of start and stop, periodic work, signs of life."""

import asyncio
import logging
from datetime import timedelta

import pytest
from widgets import Widget, WidgetManager, eventually

from micronova import heartbeat
from micronova.context import admin_context
from micronova.db.journal import Entry
from micronova.errors import DriverError, Unavailable
from micronova.service import Service
from micronova.tasks import Task
from micronova.testing.ground import ground


class Recording(WidgetManager):
    async def init_host(self, ctx):
        await asyncio.sleep(0)
        self.did.append(f"init serving={self.serving}")

    async def close_host(self):
        self.did.append(f"close serving={self.serving}")


class Clinging(WidgetManager):
    async def close_host(self):
        raise DriverError("it does not let go")


class Refusing(WidgetManager):
    async def init_host(self, ctx):
        raise DriverError("no widgets can be made here")


@pytest.fixture
async def runtime():
    runtime = ground(Widget)
    await runtime.bus.start()
    yield runtime
    await runtime.bus.stop()


async def test_init_host_runs_before_the_service_serves(runtime):
    manager = Recording(runtime, "h1")
    service = Service(runtime, [manager], "h1")

    await service.start()
    await service.stop()

    assert ["init serving=False", "close serving=False"] == manager.did


async def test_a_host_that_cannot_serve_refuses_the_start(runtime):
    service = Service(runtime, [Refusing(runtime, "h1")], "h1")

    with pytest.raises(DriverError, match="no widgets"):
        await service.start()
    await service.stop()

    with pytest.raises(Unavailable):
        await runtime.bus.call("widget.h1", b"", 1)


async def test_periodic_work_goes_on_after_a_failure_which_is_told_once(runtime, caplog):
    manager = WidgetManager(runtime, "h1")
    manager.fail["tick"] = [DriverError("stuck"), DriverError("stuck"), ZeroDivisionError()]
    service = Service(runtime, [manager], "h1")

    with caplog.at_level(logging.INFO):
        await service.start()
        await eventually(lambda: _ticked(manager, 6))
        await service.stop()

    assert 1 == caplog.text.count("widget.tick failed: stuck")
    assert "widget.tick works again" in caplog.text


async def test_periodic_work_never_overlaps_itself(runtime):
    manager = WidgetManager(runtime, "h1")
    manager.hold["tick"] = asyncio.Event()
    service = Service(runtime, [manager], "h1")

    await service.start()
    await asyncio.sleep(0.1)
    ticks = manager.ticks
    await service.stop()

    assert 1 == ticks


async def test_a_service_reports_that_it_lives_and_that_it_stopped(runtime):
    service = Service(runtime, [WidgetManager(runtime, "h1")], "h1")

    await service.start()
    alive = await runtime.db.read(heartbeat.services)
    await service.stop()
    gone = await runtime.db.read(heartbeat.services)

    now = runtime.clock.now()
    assert [("widget", "h1", True)] == [(row.topic, row.host, heartbeat.is_up(row, now, 60)) for row in alive]
    assert [False] == [heartbeat.is_up(row, now, 60) for row in gone]


async def test_a_manager_that_cannot_let_go_keeps_nobody_from_stopping(runtime):
    service = Service(runtime, [WidgetManager(runtime, "h1"), Clinging(runtime, "h1")], "h1")
    await service.start()

    await service.stop()

    gone = await runtime.db.read(heartbeat.services)
    assert [True] == [row.stopped for row in gone]


async def test_what_is_older_than_it_is_kept_is_forgotten(runtime):
    manager = WidgetManager(runtime, "h1")
    service = Service(runtime, [manager], "h1")
    ctx = admin_context(runtime.clock)
    await service.start()
    widget = await manager.create(ctx, "h1")
    await eventually(lambda: _available(manager, widget.id))
    await service.runner.stop()
    old = runtime.clock.now() - timedelta(days=31)

    def age(tx):
        for entry in tx.find(Entry):
            tx.change(entry, at=old)
        for task in tx.find(Task, open=False):
            tx.change(task, finished_at=old)

    await runtime.db.write(age, ctx, why="a month passes")
    await service.tidy()
    await service.stop()

    assert (0, 0) == await runtime.db.read(lambda tx: (tx.count(Entry), tx.count(Task, open=False)))


async def test_stopping_twice_changes_nothing(runtime):
    service = Service(runtime, [WidgetManager(runtime, "h1")], "h1")
    await service.start()

    await service.stop()
    await service.stop()


async def test_many_hosts_live_in_one_process_sharing_only_bus_and_database(runtime):
    managers = [WidgetManager(runtime, f"h{number}") for number in range(20)]
    services = [Service(runtime, [manager], manager.host) for manager in managers]
    ctx = admin_context(runtime.clock)

    for service in services:
        await service.start()
    widgets = [await managers[0].create(ctx, manager.host) for manager in managers]
    for widget in widgets:
        await eventually(lambda: _available(managers[0], widget.id))  # noqa: B023
    for service in services:
        await service.stop()

    assert [["cut", "paint", "build"]] * 20 == [manager.did for manager in managers]


async def _ticked(manager, times):
    return manager.ticks >= times


async def _available(manager, id):
    return (await manager.get(id)).status == "available"
