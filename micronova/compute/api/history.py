"""What was asked for a server and how it went: Nova's instance actions, told from the durable tasks and their steps."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from micronova.compute import inputs
from micronova.compute.base import PREFIX
from micronova.compute.manager import ComputeManager
from micronova.compute.query import read_moment
from micronova.compute.show import host_id
from micronova.errors import BadRequest, NotFound
from micronova.http import Request, Route
from micronova.tasks import StepLog, Task

ACTIONS: Mapping[str, str] = {
    "build": "create",
    "remove": "delete",
    "power_off": "stop",
    "power_on": "start",
    "restart": "reboot",
    "halt": "pause",
    "go_on": "unpause",
    "plug_interface": "attach_interface",
    "unplug_interface": "detach_interface",
    "plug_volume": "attach_volume",
    "unplug_volume": "detach_volume",
    "exchange_disk": "swap_volume",
    "rebuild_guest": "rebuild",
}
"""A task's name to the action's."""


class HistoryApi:
    """The handlers."""

    def __init__(self, compute: ComputeManager, most: int) -> None:
        self._compute = compute
        self._most = most

    async def index(self, request: Request) -> Any:
        """All actions, newest first."""
        found = await self._tasks(request, "os-instance-actions:list")
        if request.version < (2, 58):
            return {"instanceActions": [show_action(request, task) for task in found]}
        inputs.known_query(request, "limit", "marker", "changes-since", "changes-before", strict=(2, 58))
        found = [task for task in found if _asked(request, task)]
        limit, marker = request.limit(self._most), request.get("marker")
        start = 0
        if marker is not None:
            start = next((place for place, task in enumerate(found, 1) if task.request_id == marker), 0)
            if not start:
                raise BadRequest(f"Marker {marker} could not be found.")
        chosen = found[start : start + limit]
        body: dict[str, Any] = {"instanceActions": [show_action(request, task) for task in chosen]}
        if chosen and len(found) > start + limit:
            path = f"/v2.1/servers/{request.path['id']}/os-instance-actions"
            body["links"] = inputs.next_link(request, path, chosen[-1].request_id)
        return body

    async def show(self, request: Request) -> Any:
        """One action with its events."""
        found = await self._tasks(request, "os-instance-actions:show")
        asked = request.path["request_id"]
        task = next((task for task in found if task.request_id == asked), None)
        if task is None:
            raise NotFound(f"Action {asked} not found")
        shown = show_action(request, task)
        everything = self._compute.policy.allows(request.ctx, f"{PREFIX}os-instance-actions:events")
        if everything or request.version >= (2, 51):
            shown["events"] = [show_event(request, task, step, everything=everything) for step in events(task)]
        return {"instanceAction": shown}

    async def _tasks(self, request: Request, rule: str) -> list[Task]:
        deleted = request.version >= (2, 21)
        return await self._compute.actions(request.ctx, request.path["id"], deleted=deleted, rule=rule)


def routes(compute: ComputeManager, most: int) -> list[Route]:
    """The routes of instance actions; `most` is the length of a page."""
    api = HistoryApi(compute, most)
    path = "/v2.1/servers/{id}/os-instance-actions"
    return [Route("GET", path, api.index), Route("GET", path + "/{request_id}", api.show)]


def show_action(request: Request, task: Task) -> dict[str, Any]:
    """An action without its events."""
    shown = {
        "action": ACTIONS.get(task.method, task.method),
        "instance_uuid": request.path["id"],
        "request_id": task.request_id,
        "user_id": task.user_id,
        "project_id": task.project_id,
        "start_time": _naive(task.created_at),
        "message": "Error" if task.state in ("failed", "undoing") else None,
    }
    if request.version >= (2, 58):
        shown["updated_at"] = _naive(task.finished_at or task.started_at or task.created_at)
    return shown


def events(task: Task) -> list[StepLog]:
    """The steps of a task as they went, and the task itself as the last of them."""
    state = {"done": "done", "failed": "failed"}.get(task.state, "running")
    whole = StepLog(task.method, state, task.started_at or task.created_at, task.finished_at, task.error)
    return [*task.log, whole]


def show_event(request: Request, task: Task, step: StepLog, *, everything: bool) -> dict[str, Any]:
    """One event of an action; `everything`: with what administrators see."""
    result = {"done": "Success", "failed": "Error", "undone": "Success"}.get(step.state)
    shown: dict[str, Any] = {
        "event": f"compute_{step.name}",
        "start_time": _naive(step.started_at),
        "finish_time": _naive(step.finished_at),
        "result": result if step.finished_at else None,
    }
    if everything:
        shown["traceback"] = step.error or None
    if request.version >= (2, 62):
        shown["hostId"] = host_id(task.project_id, task.host)
        if everything:
            shown["host"] = task.host
    if request.version >= (2, 84) and everything:
        shown["details"] = step.error or None
    return shown


def _asked(request: Request, task: Task) -> bool:
    changed = task.finished_at or task.started_at or task.created_at
    since, before = _moment(request, "changes-since"), _moment(request, "changes-before")
    if since and before and before < since:
        raise BadRequest("The value of changes-since must be less than or equal to changes-before.")
    return not (since and changed < since) and not (before and changed > before)


def _moment(request: Request, name: str) -> datetime | None:
    text = request.get(name)
    return None if text is None else read_moment(text, name)


def _naive(when: datetime | None) -> str | None:
    return None if when is None else when.isoformat(timespec="microseconds")[:26]
