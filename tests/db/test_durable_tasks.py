"""Durable tasks on real databases: recorded with the row, claimed by one host only, finished."""

import asyncio

import pytest
from widgets import Widget, WidgetManager, eventually

from micronova import config, tasks
from micronova.bus.memory import MemoryBus
from micronova.errors import NotFound
from micronova.manager import Runtime
from micronova.service import Service
from micronova.tasks import Lease, Task

pytestmark = pytest.mark.parametrize("place", ["file", "postgresql"], indirect=True)


@pytest.fixture
async def runtime(open_db, clock):
    options = config.load(flags={"host": "h1", "simulate": True, "tasks.sweep_seconds": 0.05})
    runtime = Runtime(options, clock, MemoryBus(clock), open_db(Widget))
    await runtime.bus.start()
    yield runtime
    await runtime.bus.stop()


async def test_a_recorded_task_is_claimed_run_and_finished(runtime, ctx):
    manager = WidgetManager(runtime, "h1")
    service = Service(runtime, [manager], "h1")
    await service.start()

    widgets = [await manager.create(ctx, "h1") for _ in range(5)]

    async def all_done():
        return not await runtime.db.read(lambda tx: tx.count(Task, open=True))

    await eventually(all_done, wait=20)
    await service.stop()

    assert ["available"] * 5 == [(await manager.get(widget.id)).status for widget in widgets]
    assert 5 == await runtime.db.read(lambda tx: tx.count(Task, state="done"))


async def test_a_refused_record_leaves_neither_row_nor_task(runtime, ctx):
    manager = WidgetManager(runtime, "h1")

    def refused(tx):
        manager.on("h1").build.record(tx, ctx, tx.insert(Widget(id="w1")).id)
        raise NotFound("nothing")

    with pytest.raises(NotFound):
        await runtime.db.write(refused, ctx, why="never")

    assert 0 == await runtime.db.read(lambda tx: tx.count(Task) + tx.count(Widget))


async def test_two_hosts_never_get_the_same_task(runtime, open_db, place, ctx):
    manager = WidgetManager(runtime, "h1")
    for _ in range(12):
        await manager.create(ctx, "")
    other = open_db(engine=place.connect())

    async def claim(db, host):
        lease = Lease(f"{host}/x", host, 3600)
        return await db.write(lambda tx: tasks.claim(tx, ["widget"], lease, 2), ctx, why="a race")

    claims = await asyncio.gather(*(claim(db, f"h{n}") for n in range(4) for db in (runtime.db, other)))

    claimed = [task.id for found in claims for task in found]
    assert 12 == len(claimed) == len(set(claimed))


async def test_tasks_of_one_resource_are_claimed_one_at_a_time(runtime, open_db, place, ctx):
    manager = WidgetManager(runtime, "h1")
    widget = await manager.create(ctx, "")
    await runtime.db.write(lambda tx: manager.on("").build.record(tx, ctx, widget.id), ctx, why="twice")
    other = open_db(engine=place.connect())

    async def claim(db, host):
        lease = Lease(f"{host}/x", host, 3600)
        return await db.write(lambda tx: tasks.claim(tx, ["widget"], lease, 9), ctx, why="a race")

    claims = await asyncio.gather(*(claim(db, f"h{n}") for n in range(3) for db in (runtime.db, other)))

    assert 1 == sum(len(found) for found in claims)
