"""The durable task: what has been asked and is not done, and the log of what was done.

A task is recorded in the transaction that changes the state it owns. From then on it happens at least once, whoever
crashes: the nudge only makes it soon. Tasks of one resource run one at a time in the order they were recorded.

    queued -> running -> done
                      -> queued            again later, after a failure that may pass
                      -> undoing -> failed  given up: steps taken back, the failure hook has settled the row
    queued, running -> cancelled           a superseding task (a delete) made it pointless
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, ClassVar

import msgspec
import sqlalchemy as sa

from micronova.clock import Clock, after
from micronova.context import Context
from micronova.db import INDEX, KEY, SERIAL, Greater, Less, Not, Row, Tx, table
from micronova.db.rows import micros

OPEN = ("queued", "running", "undoing")
GRACE = 60
"""Seconds after its deadline when any host may settle a task whose own host does not."""


class StepLog(msgspec.Struct, frozen=True):
    """One step of a task as it went. `state`: running, done, failed, undone."""

    name: str
    state: str
    started_at: datetime
    finished_at: datetime | None = None
    error: str = ""


class Task(Row, frozen=True, kw_only=True):
    """Work that was asked for. `host` "" means any host of the topic; `position` counts finished steps."""

    TABLE: ClassVar[str] = "tasks"
    JOURNAL: ClassVar[bool] = False
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("topic", "open"), ("resource", "open"))

    seq: Annotated[int, SERIAL] = 0
    id: Annotated[str, KEY]
    topic: str
    host: str
    method: str
    version: str
    resource: str
    arguments: list[Any]
    state: str = "queued"
    open: bool = True
    cancelled: bool = False
    position: int = 0
    attempts: int = 0
    run_at: datetime
    deadline_at: datetime
    lease_until: datetime | None = None
    leased_by: str = ""
    error: str = ""
    log: tuple[StepLog, ...] = ()
    context: Context
    request_id: Annotated[str, INDEX] = ""
    user_id: str = ""
    project_id: str = ""
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Order(msgspec.Struct, frozen=True):
    """What to record."""

    topic: str
    host: str
    method: str
    version: str
    resource: str
    arguments: tuple[Any, ...]
    deadline: float
    supersedes: bool


def record(tx: Tx, ctx: Context, clock: Clock, order: Order) -> Task:
    """Store a task; a superseding one marks the resource's open tasks as pointless."""
    if order.supersedes and order.resource:
        for earlier in tx.find(Task, resource=order.resource, open=True):
            tx.change(earlier, cancelled=True)
    return tx.insert(
        Task(
            id=clock.new_id(),
            topic=order.topic,
            host=order.host,
            method=order.method,
            version=order.version,
            resource=order.resource,
            arguments=msgspec.to_builtins(list(order.arguments)),
            run_at=tx.now,
            deadline_at=after(clock, order.deadline),
            context=msgspec.structs.replace(ctx, deadline_at=None),
            request_id=ctx.request_id,
            user_id=ctx.user_id,
            project_id=ctx.project_id,
            created_at=tx.now,
        )
    )


TASKS = table(Task)
_EARLIER = TASKS.alias("earlier")

RUNNABLE = (
    sa.select(TASKS)
    .where(
        TASKS.c.open == sa.true(),
        TASKS.c.topic == sa.bindparam("topic", type_=sa.Text()),
        sa.or_(
            TASKS.c.host.in_((sa.bindparam("host", type_=sa.Text()), sa.literal_column("''"))),
            TASKS.c.deadline_at < sa.bindparam("hopeless", type_=sa.BigInteger()),
        ),
        sa.or_(TASKS.c.run_at <= sa.bindparam("now", type_=sa.BigInteger()), TASKS.c.cancelled == sa.true()),
        sa.or_(TASKS.c.lease_until.is_(None), TASKS.c.lease_until < sa.bindparam("now", type_=sa.BigInteger())),
        sa.or_(
            TASKS.c.resource == sa.literal_column("''"),
            ~sa.exists().where(
                _EARLIER.c.resource == TASKS.c.resource, _EARLIER.c.open == sa.true(), _EARLIER.c.seq < TASKS.c.seq
            ),
        ),
    )
    .order_by(TASKS.c.seq)
    .limit(sa.bindparam("most", type_=sa.Integer()))
)


class Lease(msgspec.Struct, frozen=True):
    """Who claims tasks: service `by` of `host`, for `seconds` at a time."""

    by: str
    host: str
    seconds: float


def claim(tx: Tx, topics: Iterable[str], lease: Lease, most: int) -> list[Task]:
    """Take up to `most` tasks that may run here now, leased to the caller. Cancelled ones are closed instead."""
    now = micros(tx.now)
    hopeless = micros(tx.now - timedelta(seconds=GRACE))
    claimed: list[Task] = []
    for topic in topics:
        found = tx.rows(Task, RUNNABLE, topic=topic, host=lease.host, now=now, hopeless=hopeless, most=most)
        for task in found[: most - len(claimed)]:
            if task.cancelled:
                finish(tx, task, "cancelled")
                continue
            claimed.append(
                tx.change(
                    task,
                    state="running" if task.state == "queued" else task.state,
                    attempts=task.attempts + 1,
                    lease_until=tx.now + timedelta(seconds=lease.seconds),
                    leased_by=lease.by,
                    started_at=task.started_at or tx.now,
                )
            )
    return claimed


def finish(tx: Tx, task: Task, state: str, error: str = "") -> Task:
    """Close a task for good."""
    return tx.change(
        task, state=state, open=False, error=error or task.error, finished_at=tx.now, lease_until=None, leased_by=""
    )


def release(tx: Tx, task: Task, *, error: str, wait: float, state: str = "queued") -> Task:
    """Give a task back, to be run again after `wait` seconds."""
    return tx.change(
        task, state=state, error=error, run_at=tx.now + timedelta(seconds=wait), lease_until=None, leased_by=""
    )


def next_run(tx: Tx, topics: Iterable[str], host: str) -> datetime | None:
    """When the next task of this host that waits for a moment may run."""
    order = (("run_at", True),)
    found = tx.find(Task, topic=list(topics), open=True, host=[host, ""], lease_until=None, order=order, limit=1)
    return found[0].run_at if found else None


def settle_orphans(tx: Tx, host: str, topics: Iterable[str], by: str) -> int:
    """Release what an earlier life of this host's service had leased, so that it goes on at once."""
    count = 0
    for topic in topics:
        for task in tx.find(Task, topic=topic, open=True, lease_until=Not(None)):
            if task.leased_by.startswith(f"{host}/") and task.leased_by != by:
                tx.change(task, lease_until=None, leased_by="")
                count += 1
    return count


def trim(tx: Tx, days: int) -> int:
    """Forget closed tasks older than `days`; at most 500 at a time."""
    old = tx.find(Task, open=False, finished_at=Less(tx.now - timedelta(days=days)), limit=500)
    for task in old:
        tx.delete(task)
    return len(old)


def record_steps(tx: Tx, task: Task, steps: Iterable[StepLog], *, position: int) -> Task:
    """Store how steps go: the last lines of the log, and how many steps are finished."""
    log = task.log
    for step in steps:
        if log and log[-1].name == step.name and log[-1].finished_at is None:
            log = log[:-1]
        log = (*log, step)
    return tx.change(task, log=log, position=position)


def need_care(tx: Tx, tasks: Sequence[str], lease: Lease) -> bool:
    """Whether any of these running tasks is ours no longer, is cancelled, or has a lease to be renewed."""
    soon = Greater(tx.now + timedelta(seconds=lease.seconds / 2))
    well = tx.count(Task, id=tasks, open=True, cancelled=False, leased_by=lease.by, lease_until=soon)
    return well < len(tasks)


def renew(tx: Tx, tasks: Iterable[str], lease: Lease) -> list[str]:
    """Extend the leases of running tasks; returns the ids of those that are ours no longer or are cancelled."""
    lost = []
    for id in tasks:
        task = tx.first(Task, id=id)
        if task is None or not task.open or task.cancelled or task.leased_by != lease.by:
            lost.append(id)
            continue
        if task.lease_until is not None and task.lease_until <= tx.now + timedelta(seconds=lease.seconds / 2):
            tx.change(task, lease_until=tx.now + timedelta(seconds=lease.seconds))
    return lost
