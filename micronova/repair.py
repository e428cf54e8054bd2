"""What is wrong with one resource, and what would be done about it: the words that managers and operators share.

A manager examines what is its own: rows against tasks, hosts against rows. What it finds it can do something about it
names by an `action`, which it alone understands, and does when it is told to, by methods that are safe to repeat.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Protocol, runtime_checkable

import msgspec

from micronova import heartbeat
from micronova.clock import iso
from micronova.context import Context
from micronova.db import Tx
from micronova.manager import Manager
from micronova.tasks import GRACE, Task

WAKE = "wake"
"""The action for a task that nobody goes on with: its services look for work."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it should be with the `kind` ("volume") of this id.

    `what` completes the sentence that begins with kind and id; `cure` one that begins with "repair would", "" where
    nothing would be done, for which `advice` says what a person can do.
    """

    kind: str
    id: str
    what: str
    cure: str = ""
    advice: str = ""
    action: str = ""


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """All that a manager found. `summary` tells what was looked at; `also` are ids of others' that belong to it."""

    summary: str = ""
    findings: tuple[Finding, ...] = ()
    also: tuple[str, ...] = ()


@runtime_checkable
class Examiner(Protocol):
    """A manager that can say what is wrong with what is its own."""

    async def examine(self, ctx: Context, id: str) -> Examination | None:
        """What was found; None when nothing here has that id."""

    async def cure(self, ctx: Context, finding: Finding) -> None:
        """What the finding's `action` says is done, or is under way as a task. Safe to repeat.

        Raises Error when it can't be done.
        """


def late(tx: Tx, kind: str, id: str, tasks: Iterable[Task], down_seconds: float) -> list[Finding]:
    """What is wrong with the open tasks of a resource: nobody runs them, or they fail again and again."""
    services = {(row.topic, row.host): row for row in heartbeat.services(tx)}
    found = []
    for task in tasks:
        row = services.get((task.topic, task.host))
        up = not task.host or (row is not None and heartbeat.is_up(row, tx.now, down_seconds))
        named = f"its task {task.method} ({task.id})"
        if tx.now > task.deadline_at + timedelta(seconds=GRACE):
            what = f"{named} was to be done by {iso(task.deadline_at)} and is {task.state} still"
            cure = f"have the {task.topic} services look for it"
            found.append(Finding(kind=kind, id=id, what=what, cure=cure, action=WAKE))
        elif not up:
            what = f"{named} waits for host {task.host}, whose {task.topic} service is down"
            advice = (
                f"start that service; if it stays down, another host gives the task up after {iso(task.deadline_at)}"
            )
            found.append(Finding(kind=kind, id=id, what=what, advice=advice))
        elif task.error and task.attempts:
            what = f"{named} has failed {task.attempts} times and is tried again: {task.error}"
            found.append(Finding(kind=kind, id=id, what=what, advice=f"look at `micronova task show {task.id}`"))
    return found


async def wake(manager: Manager) -> None:
    """Every service of the manager's topic has been told to look for work. Raises Unavailable when the bus is down."""
    for row in await manager.db.read(lambda tx: heartbeat.services(tx, topic=manager.topic)):
        await manager.runtime.rpc.nudge(row.topic, row.host)
