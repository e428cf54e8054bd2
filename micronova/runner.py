"""Runs durable tasks of one host: claims them, goes through their steps, retries, gives up in order.

What must not happen twice at once is guarded by the task's lease; everything a step does is safe to repeat.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import msgspec

from micronova import tasks
from micronova.clock import after
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import DeadlineExceeded, DriverError, Error, NotFound, Rejected, RemoteError, Unavailable
from micronova.manager import Manager, Runtime, TaskMethod
from micronova.tasks import Lease, StepLog, Task

LOG = logging.getLogger(__name__)
T = TypeVar("T")

UNDO_TRIES = 8
LONGEST_PAUSE = 30.0
SHORTEST_LOOK, LONGEST_LOOK = 0.05, 1.0
"""Seconds between looks while a task waits for another of its resource: longer each time nothing begins or ends."""


class Lost(Exception):
    """The task is no longer ours: cancelled, or another host took it."""


class Runner:
    """The task loop of one service."""

    def __init__(self, runtime: Runtime, managers: Mapping[str, Manager], host: str, ctx: Context) -> None:
        self._runtime = runtime
        self._db = runtime.db
        self._clock = runtime.clock
        self._ctx = ctx
        options = runtime.config.options.tasks
        self._options = options
        self._managers = managers
        self._methods = {topic: type(manager).offers().tasks for topic, manager in managers.items()}
        self._topics = [topic for topic, offered in self._methods.items() if offered]
        self._lease = Lease(f"{host}/{runtime.clock.new_id()[:8]}", host, options.lease_seconds)
        self._wake = asyncio.Event()
        self._running: dict[str, asyncio.Task[None]] = {}
        self._loop: asyncio.Task[None] | None = None
        self._patience = SHORTEST_LOOK

    def nudge(self) -> None:
        """Look for work soon."""
        self._wake.set()

    @property
    def idle(self) -> bool:
        return not self._running and not self._wake.is_set()

    async def start(self) -> None:
        """Take back what an earlier life of this host had begun, then run whatever may run, until stopped."""
        if not self._topics:
            return
        settle = partial(tasks.settle_orphans, host=self._lease.host, topics=self._topics, by=self._lease.by)
        count = await self._db.write(settle, self._ctx, why="the service of this host started again")
        if count:
            LOG.info("%d tasks of an earlier life go on", count)
        self._wake.set()
        self._loop = asyncio.create_task(self._run(), name="tasks")

    async def stop(self) -> None:
        """Stop; running tasks are interrupted and go on where they were after the next start."""
        for job in (self._loop, *self._running.values()):
            if job is not None:
                job.cancel()
        for job in (self._loop, *self._running.values()):
            if job is not None:
                with contextlib.suppress(asyncio.CancelledError):
                    await job
        self._loop = None

    # -- the loop

    async def _run(self) -> None:
        while True:
            pause = self._options.sweep_seconds
            try:
                soon = await self._look()
                pause = min(pause, soon) if soon is not None else pause
            except Error as err:
                LOG.warning("no look at the tasks this time: %s", err)
            except Exception:
                LOG.exception("the look at the tasks failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _look(self) -> float | None:
        """Start what may run, end what was cancelled; returns in how many seconds the next task may run."""
        self._wake.clear()
        running = list(self._running)
        need_care = partial(tasks.need_care, tasks=running, lease=self._lease)
        if len(running) > 0 and await self._db.read(need_care):
            renew = partial(tasks.renew, tasks=running, lease=self._lease)
            for id in await self._db.write(renew, self._ctx, why="leases of running tasks"):
                # it may have ended while the database was asked
                if id in self._running:
                    self._running[id].cancel("lost")
        free = self._options.concurrency - len(self._running)
        if free > 0 and await self._db.read(self._anything):
            claim = partial(tasks.claim, topics=self._topics, lease=self._lease, most=free)
            for task in await self._db.write(claim, self._ctx, why="tasks to run"):
                self._begin(task)
        moment = await self._db.read(partial(tasks.next_run, topics=self._topics, host=self._lease.host))
        if moment is None or free <= 0:
            return None
        left = (moment - self._clock.now()).total_seconds()
        if left > 0:
            return max(SHORTEST_LOOK, left)
        # It waits for an earlier task of its resource: when one of this host ends, that wakes us.
        self._patience = min(LONGEST_LOOK, 2 * self._patience)
        return self._patience

    def _anything(self, tx: Tx) -> bool:
        return tx.count(Task, topic=self._topics, open=True) > 0

    def _begin(self, task: Task) -> None:
        self._patience = SHORTEST_LOOK
        job = asyncio.create_task(self._job(task), name=f"task {task.method} {task.resource}")
        self._running[task.id] = job
        job.add_done_callback(partial(self._ended, task.id))

    def _ended(self, id: str, job: "asyncio.Task[None]") -> None:
        self._running.pop(id, None)
        self._patience = SHORTEST_LOOK
        self._wake.set()
        if not job.cancelled() and job.exception() is not None:
            LOG.error("task %s: its record could not be written", id, exc_info=job.exception())

    # -- one task

    async def _job(self, task: Task) -> None:
        job = Job(self._runtime, self._managers[task.topic], self._methods[task.topic], task, self._ctx)
        try:
            await job.run()
        except asyncio.CancelledError as err:
            if "lost" not in err.args:
                raise
            with contextlib.suppress(Lost, Unavailable):
                await job.close_cancelled()
        except (Lost, Unavailable) as err:
            LOG.warning("task %s %s %s is left for later: %s", task.id, task.method, task.resource, err)


class Job:
    """One run of one task."""

    def __init__(
        self,
        runtime: Runtime,
        manager: Manager,
        methods: Mapping[str, TaskMethod[Any, ...]],
        task: Task,
        ctx: Context,
    ) -> None:
        self._db = runtime.db
        self._clock = runtime.clock
        self._first_pause = runtime.config.options.tasks.retry_seconds
        self._manager = manager
        self._methods = methods
        self._task = task
        self._admin = ctx

    async def run(self) -> None:
        """Go through the steps that are left, then the body; retry, or give up, as the task's options say."""
        task = self._task
        method = self._methods.get(task.method)
        if method is None:
            await self._close("failed", f"{task.topic} has no task {task.method}")
            return
        args = method.signature.decode(_pack(task.arguments))
        ctx = task.context.elevated().until(task.deadline_at)
        if task.state == "undoing" or task.deadline_at <= self._clock.now():
            error = rebuild_error(task)
            await self._give_up(method, ctx, args, error)
            return
        try:
            left = (task.deadline_at - self._clock.now()).total_seconds()
            async with asyncio.timeout(left):
                await self._steps(method, ctx, args)
                await method.fn(self._manager, ctx, *args)
        except TimeoutError:
            await self._give_up(method, ctx, args, DeadlineExceeded(f"{task.method} was not done in time."))
        except Error as err:
            await self._failed(method, ctx, args, err)
        except Exception as err:
            LOG.exception("task %s %s %s failed", task.id, task.method, task.resource)
            await self._give_up(method, ctx, args, RemoteError(f"{type(err).__name__} in {task.method}"))
        else:
            await self._close("done")

    async def close_cancelled(self) -> None:
        """The task was superseded: close its row; what it began is cleaned up by its successor."""
        await self._close("cancelled")

    async def _steps(self, method: TaskMethod[Any, ...], ctx: Context, args: tuple[Any, ...]) -> None:
        """Go through the steps that are left. The end of one and the beginning of the next are stored together."""
        steps = method.options.steps
        ended: tuple[StepLog, ...] = ()
        for position in range(self._task.position, len(steps)):
            step = steps[position]
            begun = StepLog(step.name, "running", self._clock.now())
            await self._note(*ended, begun, position=position)
            try:
                await self._call(step.do, ctx, args)
            except Error as err:
                failed = StepLog(step.name, "failed", begun.started_at, self._clock.now(), str(err))
                await self._note(failed, position=position)
                raise
            ended = (StepLog(step.name, "done", begun.started_at, self._clock.now()),)
        if ended:
            await self._note(*ended, position=len(steps))

    async def _failed(self, method: TaskMethod[Any, ...], ctx: Context, args: tuple[Any, ...], err: Error) -> None:
        """Again later if that may help, else give up."""
        passing = isinstance(err, DriverError | Unavailable | RemoteError) and not isinstance(err, Rejected)
        wait = self._pause()
        in_time = after(self._clock, wait) < self._task.deadline_at
        if passing and in_time and method.options.repeat and self._task.attempts <= method.options.retries:
            LOG.info("task %s %s %s again in %g s: %s", self._task.id, method.name, self._task.resource, wait, err)
            await self._write(partial(tasks.release, error=str(err), wait=wait))
            return
        await self._give_up(method, ctx, args, err)

    async def _give_up(self, method: TaskMethod[Any, ...], ctx: Context, args: tuple[Any, ...], err: Error) -> None:
        """Undo what was done, settle the row by the failure hook, close the task. Resumes after a crash."""
        if self._task.state != "undoing":
            # attempts now count the tries to undo
            await self._write(lambda tx, task: tx.change(task, state="undoing", error=str(err), attempts=1))
        ctx = self._task.context.elevated()
        try:
            if self._task.host in ("", self._manager.host):
                await self._undo(method, ctx, args)
            if method.options.failed:
                await self._call(method.options.failed, ctx, (*args, err))
        except NotFound:
            pass
        except Error as failure:
            if self._task.attempts < UNDO_TRIES:
                again = partial(tasks.release, error=self._task.error, wait=self._pause(), state="undoing")
                LOG.warning("task %s: undoing failed, again later: %s", self._task.id, failure)
                await self._write(again)
                return
            LOG.error("task %s: undoing failed for good: %s", self._task.id, failure)
            if method.options.failed:
                await self._call(method.options.failed, ctx, (*args, err))
        LOG.info("task %s %s %s failed: %s", self._task.id, method.name, self._task.resource, err)
        await self._close("failed", str(err))

    async def _undo(self, method: TaskMethod[Any, ...], ctx: Context, args: tuple[Any, ...]) -> None:
        steps = method.options.steps
        for position in reversed(range(min(self._task.position + 1, len(steps)))):
            step = steps[position]
            if step.undo:
                began = self._clock.now()
                await self._call(step.undo, ctx, args)
                await self._note(StepLog(step.name, "undone", began, self._clock.now()), position=position)

    def _pause(self) -> float:
        """Seconds before the next try: longer each time."""
        return min(LONGEST_PAUSE, self._first_pause * 2.0 ** (self._task.attempts - 1))

    async def _call(self, name: str, ctx: Context, args: tuple[Any, ...]) -> None:
        run: Callable[..., Awaitable[None]] = getattr(self._manager, name)
        await run(ctx, *args)

    async def _note(self, *steps: StepLog, position: int) -> None:
        await self._write(partial(tasks.record_steps, steps=steps, position=position))

    async def _close(self, state: str, error: str = "") -> None:
        await self._write(partial(tasks.finish, state=state, error=error))

    async def _write(self, change: Callable[[Tx, Task], Task]) -> None:
        """Change the task's row as it is now. Raises Lost when it is no longer ours."""

        def apply(tx: Tx) -> Task:
            task = tx.get(Task, self._task.id)
            if not task.open or task.leased_by != self._task.leased_by:
                raise Lost("another host has taken it")
            return change(tx, task)

        self._task = await self._db.write(apply, self._admin, why=f"task {self._task.method}")


def rebuild_error(task: Task) -> Error:
    """Why a task that is being undone was given up."""
    return Error(task.error or f"{task.method} was not done in time.")


def _pack(values: list[Any]) -> bytes:
    return msgspec.msgpack.encode(values)
