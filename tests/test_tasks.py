"""Durable tasks: what was recorded happens, whoever crashes, or is settled."""

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec
import pytest
from widgets import Widget, WidgetManager, eventually

from micronova import tasks
from micronova.context import admin_context
from micronova.db import Tx
from micronova.errors import DriverError, NotFound, Rejected
from micronova.service import Service
from micronova.tasks import Task
from micronova.testing.ground import ground


@pytest.fixture
async def runtime():
    runtime = ground(Widget, tasks__sweep_seconds=0.05, tasks__retry_seconds=0.01)
    await runtime.bus.start()
    yield runtime
    await runtime.bus.stop()


@pytest.fixture
def ctx(runtime):
    return admin_context(runtime.clock)


@asynccontextmanager
async def serving(runtime, host="h1"):
    async with serving_with(runtime, host) as (manager, _):
        yield manager


@asynccontextmanager
async def serving_with(runtime, host="h1"):
    manager = WidgetManager(runtime, host)
    service = Service(runtime, [manager], host)
    await service.start()
    try:
        yield manager, service
    finally:
        await service.stop()


async def _did(manager, name):
    return name in manager.did


async def task_of(runtime, widget, method="build"):
    return await runtime.db.read(lambda tx: tx.first(Task, resource=f"widget:{widget.id}", method=method))


async def closed(runtime, widget, method="build"):
    async def check():
        found = await task_of(runtime, widget, method)
        return None if found.open else found

    return await eventually(check)


async def test_a_recorded_task_goes_through_its_steps_and_is_done(runtime, ctx):
    async with serving(runtime) as manager:
        widget = await manager.create(ctx, "h1")
        task = await closed(runtime, widget)

    assert ["cut", "paint", "build"] == manager.did
    assert "done" == task.state
    assert [("cut", "done"), ("paint", "done")] == [(step.name, step.state) for step in task.log]
    assert "available" == (await manager.get(widget.id)).status


async def test_a_task_that_waits_for_another_is_looked_for_more_and_more_seldom_until_that_ends(ctx):
    runtime = ground(Widget, tasks__sweep_seconds=60)
    await runtime.bus.start()
    async with serving_with(runtime) as (manager, service):
        manager.hold["build"] = asyncio.Event()
        widget = await manager.create(ctx, "h1")
        await eventually(lambda: _did(manager, "build"))
        await runtime.db.write(lambda tx: manager.on("h1").destroy_later.record(tx, ctx, widget.id), ctx, why="next")
        pauses = [await service.runner._look() for _ in range(7)]
        manager.hold.pop("build").set()
        await closed(runtime, widget, "destroy_later")
    await runtime.bus.stop()

    assert sorted(pauses) == pauses
    assert pauses[0] < 0.3
    assert 1.0 == pauses[-1]


async def test_the_record_commits_with_the_row_or_not_at_all(runtime, ctx):
    manager = WidgetManager(runtime, "h1")

    def refused(tx: Tx) -> None:
        widget = tx.insert(Widget(id="w1"))
        manager.on("h1").build.record(tx, ctx, widget.id)
        raise NotFound("nothing")

    with pytest.raises(NotFound):
        await runtime.db.write(refused, ctx, why="never")

    assert 0 == await runtime.db.read(lambda tx: tx.count(Task) + tx.count(Widget))


async def test_a_failure_that_may_pass_is_tried_again(runtime, ctx):
    async with serving(runtime) as manager:
        manager.fail["paint"] = [DriverError("no paint yet")]
        widget = await manager.create(ctx, "h1")
        task = await closed(runtime, widget)

    assert ["cut", "paint", "paint", "build"] == manager.did
    assert ("done", 2) == (task.state, task.attempts)


async def test_a_failure_for_good_undoes_the_steps_and_settles_the_row(runtime, ctx):
    async with serving(runtime) as manager:
        manager.fail["paint"] = [Rejected("it can't be painted")]
        widget = await manager.create(ctx, "h1")
        task = await closed(runtime, widget)

    assert ["cut", "paint", "unpaint", "uncut", "settle"] == manager.did
    assert ("failed", "it can't be painted") == (task.state, task.error)
    assert "error" == (await manager.get(widget.id)).status


async def test_a_bug_in_a_task_settles_the_row_too(runtime, ctx, caplog):
    async with serving(runtime) as manager:
        manager.fail["build"] = [ZeroDivisionError("a bug")]
        widget = await manager.create(ctx, "h1")
        task = await closed(runtime, widget)

    assert "ZeroDivisionError in build" == task.error
    assert "a bug" in caplog.text
    assert "error" == (await manager.get(widget.id)).status


async def test_a_task_past_its_deadline_is_given_up(runtime, ctx):
    manager = WidgetManager(runtime, "h1")
    widget = await manager.create(ctx, "h1")
    late = runtime.clock.now() - timedelta(seconds=1)
    await runtime.db.write(lambda tx: tx.change(tx.first(Task), deadline_at=late), ctx, why="time passes")

    async with serving(runtime) as manager:
        task = await closed(runtime, widget)

    assert ["uncut", "settle"] == manager.did
    assert "failed" == task.state


async def test_a_stopped_service_resumes_at_the_step_it_was_in(runtime, ctx):
    async with serving(runtime) as manager:
        manager.hold["paint"] = asyncio.Event()
        widget = await manager.create(ctx, "h1")
        await eventually(lambda: _has(manager, "paint"))

    async with serving(runtime) as again:
        task = await closed(runtime, widget)

    assert ["cut", "paint"] == manager.did
    assert ["paint", "build"] == again.did
    assert "done" == task.state


async def test_what_an_earlier_life_of_the_host_had_leased_goes_on_at_once(runtime, ctx):
    widget = await WidgetManager(runtime, "h1").create(ctx, "h1")
    lease = tasks.Lease("h1/earlier", "h1", 3600)
    await runtime.db.write(lambda tx: tasks.claim(tx, ["widget"], lease, 9), ctx, why="then it was killed")

    async with serving(runtime):
        task = await closed(runtime, widget)

    assert "done" == task.state


async def test_another_host_does_not_touch_a_leased_task(runtime, ctx):
    await WidgetManager(runtime, "h1").create(ctx, "")
    lease = tasks.Lease("h2/x", "h2", 3600)
    await runtime.db.write(lambda tx: tasks.claim(tx, ["widget"], lease, 9), ctx, why="h2 works on it")

    stolen = await runtime.db.write(
        lambda tx: tasks.claim(tx, ["widget"], tasks.Lease("h1/x", "h1", 3600), 9), ctx, why="h1 looks"
    )

    assert [] == stolen


async def test_an_expired_lease_is_taken_over(runtime, ctx):
    await WidgetManager(runtime, "h1").create(ctx, "")
    await runtime.db.write(lambda tx: tasks.claim(tx, ["widget"], tasks.Lease("h2/x", "h2", -1), 9), ctx, why="dies")

    taken = await runtime.db.write(
        lambda tx: tasks.claim(tx, ["widget"], tasks.Lease("h1/x", "h1", 3600), 9), ctx, why="h1 looks"
    )

    assert ["h1/x"] == [task.leased_by for task in taken]


async def test_tasks_of_one_resource_run_one_at_a_time_in_order(runtime, ctx):
    async with serving(runtime) as manager:
        manager.hold["cut"] = asyncio.Event()
        widget = await manager.create(ctx, "h1")
        second = await runtime.db.write(lambda tx: manager.build.record(tx, ctx, widget.id), ctx, why="twice")
        await eventually(lambda: _has(manager, "cut"))
        await asyncio.sleep(0.1)
        waiting = await runtime.db.read(lambda tx: tx.get(Task, second.id))
        manager.hold.pop("cut").set()
        await eventually(lambda: _done(runtime, second.id))

    assert "queued" == waiting.state
    assert ["cut", "paint", "build", "cut", "paint", "build"] == manager.did


async def test_a_delete_ends_the_build_it_supersedes(runtime, ctx):
    async with serving(runtime) as manager:
        manager.hold["paint"] = asyncio.Event()
        widget = await manager.create(ctx, "h1")
        await eventually(lambda: _has(manager, "paint"))
        await runtime.db.write(lambda tx: manager.destroy.record(tx, ctx, widget.id), ctx, why="not wanted any more")
        await closed(runtime, widget, "destroy")
        build = await task_of(runtime, widget)

    assert "cancelled" == build.state
    assert ["cut", "paint", "destroy"] == manager.did
    assert 0 == await runtime.db.read(lambda tx: tx.count(Widget))


async def test_a_lost_nudge_is_found_by_the_sweep(runtime, ctx):
    async with serving(runtime) as manager:
        await asyncio.sleep(0.02)
        widget = Widget(id="w1")

        def record(tx: Tx) -> None:
            tx.insert(widget)
            manager.build.record(tx, ctx, "w1")
            tx.callbacks.clear()

        await runtime.db.write(record, ctx, why="the bus lost the nudge")
        task = await closed(runtime, widget)

    assert "done" == task.state


async def test_a_dead_hosts_task_is_settled_by_another_after_its_deadline(runtime, ctx):
    widget = await WidgetManager(runtime, "h1").create(ctx, "h2")
    long_ago = runtime.clock.now() - timedelta(seconds=tasks.GRACE + 1)
    await runtime.db.write(lambda tx: tx.change(tx.first(Task), deadline_at=long_ago), ctx, why="time passes")

    async with serving(runtime) as manager:
        task = await closed(runtime, widget)

    assert "failed" == task.state
    assert ["settle"] == manager.did


async def test_a_failing_undo_is_tried_again_and_the_row_is_settled(runtime, ctx):
    async with serving(runtime) as manager:
        manager.fail["paint"] = [Rejected("no")]
        manager.fail["uncut"] = [DriverError("stuck")]
        widget = await manager.create(ctx, "h1")
        task = await closed(runtime, widget)

    assert ["uncut", "settle"] == manager.did[-2:]
    assert ("failed", "no") == (task.state, task.error)


async def test_old_tasks_are_forgotten(runtime, ctx):
    async with serving(runtime) as manager:
        widget = await manager.create(ctx, "h1")
        await closed(runtime, widget)
    old = runtime.clock.now() - timedelta(days=40)
    await runtime.db.write(lambda tx: tx.change(tx.first(Task), finished_at=old), ctx, why="time passes")

    await runtime.db.write(lambda tx: tasks.trim(tx, 30), ctx, why="trim")

    assert 0 == await runtime.db.read(lambda tx: tx.count(Task))


async def test_progress_survives_the_way_to_the_database_and_back(runtime, ctx):
    async with serving(runtime) as manager:
        widget = await manager.create(ctx, "h1")
        task = await closed(runtime, widget)

    assert task == msgspec.json.decode(msgspec.json.encode(task), type=Task)


async def _has(manager, name):
    return name in manager.did


async def _done(runtime, id):
    return not (await runtime.db.read(lambda tx: tx.get(Task, id))).open
