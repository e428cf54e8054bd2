"""`status`, `why`, `net`, `task`, `log`, `config`, `db`, `audit`: what a person or script wants to know of a cloud.

They read the database of the state folder's last start, whether the cloud runs or not.
"""

import asyncio
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from micronova import heartbeat
from micronova.cli import clouds_yaml, settings
from micronova.cli.client import Client
from micronova.cli.folder import StateFolder
from micronova.clock import iso
from micronova.config import Config
from micronova.db import Tx
from micronova.db.journal import Entry
from micronova.errors import ConfigError, Conflict, NotFound
from micronova.tasks import Task

T = TypeVar("T")
LATEST = 20


def _cloud(state: str | None) -> Any:
    """The cloud's managers on its database, serving nothing."""
    from micronova.db import migrate
    from micronova.wiring import Cloud

    loaded = settings.recorded(state)
    migrate.prepare(loaded, upgrade=False)
    return Cloud(loaded)


def _read(state: str | None, fn: Callable[[Tx], T]) -> T:
    return asyncio.run(_cloud(state).db.read(fn))  # type: ignore[no-any-return]


def _print(as_json: bool, value: Any, lines: Callable[[], list[str]]) -> None:
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
        return
    for line in lines():
        click.echo(line)


def status(state: str | None, as_json: bool) -> None:
    """Print what runs, what it holds, and what waits."""
    cloud = _cloud(state)
    pid = StateFolder(cloud.config.state).pid()
    down_seconds = cloud.config.options.service.down_seconds
    may_live = pid is not None or not cloud.config.options.bus.url.startswith("memory:")

    def read(tx: Tx) -> dict[str, Any]:
        rows = heartbeat.services(tx)
        servers = cloud.compute.count_by_status(tx)
        return {
            "running": pid is not None,
            "pid": pid,
            "url": _url(cloud.config),
            "services": [
                {
                    "topic": row.topic,
                    "host": row.host,
                    "up": may_live and heartbeat.is_up(row, tx.now, down_seconds),
                    "seen_at": iso(row.seen_at),
                }
                for row in rows
            ],
            "servers": servers,
            "volumes": cloud.volume.count_by_status(tx),
            "open_tasks": tx.count(Task, open=True),
            "troubles": cloud.network.troubles(tx),
        }

    found = asyncio.run(cloud.db.read(read))

    def lines() -> list[str]:
        where = f"runs as process {found['pid']} at {found['url']}" if found["running"] else "does not run"
        told = [f"the cloud in {cloud.config.state} {where}"]
        told += [f"{noun}: {_counted(found[noun])}" for noun in ("servers", "volumes")]
        told.append(f"open tasks: {found['open_tasks']}")
        topic, host = (max((len(one[key]) for one in found["services"]), default=0) for key in ("topic", "host"))
        for one in found["services"]:
            state = "up" if one["up"] else "down"
            told.append(f"  {one['topic']:<{topic}}  {one['host']:<{host}}  {state:<4}  {one['seen_at']}")
        told += [one if one.startswith(about) else f"{about}: {one}" for about, one in found["troubles"].items()]
        return told

    _print(as_json, found, lines)


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "none"


def _url(loaded: Config) -> str:
    known = clouds_yaml.read(loaded.state / "clouds.yaml").get("micronova")
    return str(known["auth"]["auth_url"]).removesuffix("/identity/v3") if known else ""


def why(resource: str, state: str | None, as_json: bool) -> None:
    """Print why a server or volume is where it is: decisions, faults, tasks. Raises NotFound, Conflict."""
    found = asyncio.run(_explain(_cloud(state), resource))
    _print(as_json, found, lambda: list(found["lines"]))


async def _explain(cloud: Any, resource: str) -> dict[str, Any]:
    """What the room says whose it is. Raises NotFound, Conflict."""
    for manager in (cloud.compute, cloud.volume):
        with contextlib.suppress(NotFound):
            return dict(await manager.explain(_admin(cloud), resource))
    raise NotFound(f"there is no server or volume {resource}, and there was none")


def _admin(cloud: Any) -> Any:
    from micronova.context import admin_context

    return admin_context(cloud.clock)


def task_list(state: str | None, as_json: bool, *, everything: bool) -> None:
    """Print open tasks, and the latest that are finished."""

    def read(tx: Tx) -> list[Task]:
        opened = tx.find(Task, open=True, order=(("seq", True),))
        limit = None if everything else LATEST
        return tx.find(Task, open=False, order=(("seq", False),), limit=limit)[::-1] + opened

    found = _read(state, read)

    def lines() -> list[str]:
        head = f"{'ID':<36} {'STATE':<9} {'TASK':<24} {'RESOURCE':<45} {'SECONDS':>8}  NOW"
        return [head, *(_task_line(task) for task in found)] if found else ["no tasks"]

    _print(as_json, [_task_view(task) for task in found], lines)


def _task_line(task: Task) -> str:
    doing = task.log[-1].name if task.open and task.log else task.error
    name = f"{task.topic}.{task.method}"
    return f"{task.id} {task.state:<9} {name:<24} {task.resource:<45} {_seconds(task):>8}  {doing}".rstrip()


def _seconds(task: Task) -> str:
    if task.started_at is None or task.finished_at is None:
        return "-"
    return f"{(task.finished_at - task.started_at).total_seconds():.2f}"


def _task_view(task: Task) -> dict[str, Any]:
    view: dict[str, Any] = msgspec.to_builtins(task)
    for hidden in ("context", "revision", "open"):
        view.pop(hidden)
    return view


def task_show(id: str, state: str | None, as_json: bool) -> None:
    """Print one task, step by step. Raises NotFound."""

    def read(tx: Tx) -> Task:
        found = tx.first(Task, id=id)
        if found is None:
            raise NotFound(f"there is no task {id}; `micronova task list --all` shows those there are")
        return found

    task = _read(state, read)

    def lines() -> list[str]:
        told = [
            f"task      {task.id}",
            f"does      {task.topic}.{task.method} of {task.resource or '-'} on {task.host or 'any host'}",
            f"state     {task.state}, attempt {task.attempts}, deadline {iso(task.deadline_at)}",
            f"asked     {iso(task.created_at)} by request {task.request_id}",
        ]
        if task.error:
            told.append(f"error     {task.error}")
        for step in task.log:
            took = "" if step.finished_at is None else f"{(step.finished_at - step.started_at).total_seconds():8.2f} s"
            told.append(f"  {step.name:<20} {step.state:<8} {took:>10}  {step.error}".rstrip())
        return told

    _print(as_json, _task_view(task), lines)


def log(resource: str, state: str | None, as_json: bool) -> None:
    """Print every change of a resource. Raises NotFound when there was none."""
    cloud = _cloud(state)

    def read(tx: Tx) -> list[Entry]:
        found = tx.find(Entry, row_id=resource, order=(("seq", True),))
        if found:
            return found
        rooms = (cloud.compute, cloud.network, cloud.volume)
        named = [id for room in rooms for id in room.ids_by_name(tx, resource)]
        return tx.find(Entry, row_id=named, order=(("seq", True),)) if named else []

    entries = asyncio.run(cloud.db.read(read))
    if not entries:
        raise NotFound(f"nothing with the id {resource}, and no server, volume or network called so, was ever changed")

    def lines() -> list[str]:
        return [line for entry in entries for line in _entry_lines(entry)]

    _print(as_json, [msgspec.to_builtins(entry) for entry in entries], lines)


def _entry_lines(entry: Entry) -> list[str]:
    who = f", user {entry.user_id}" if entry.user_id else ""
    head = f"{entry.at:%Y-%m-%dT%H:%M:%S.%fZ} {entry.table_name} {entry.op}: {entry.why} ({entry.request_id}{who})"
    if entry.op != "change":
        return [head]
    return [head, *(f"    {name}: {_short(entry.before.get(name))} -> {_short(v)}" for name, v in entry.after.items())]


def _short(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 100 else text[:97] + "..."


def config_show(state: str | None, file: Path | None, as_json: bool) -> None:
    """Print each option with its value and origin: of the running cloud, or of a start from here."""
    folder = settings.state_of(state)
    if file is None and (folder / settings.RECORD).exists():
        loaded = settings.recorded(state)
    else:
        loaded = settings.from_flags({"state": state, "file": file})
    rows = [{"option": name, "value": value, "origin": origin} for name, value, origin in loaded.lines()]

    def lines() -> list[str]:
        return [
            f"{row['option']:<32} = {msgspec.json.encode(row['value']).decode():<40} # {row['origin']}" for row in rows
        ]

    _print(as_json, rows, lines)


def db_upgrade(state: str | None, file: Path | None, db: str | None, as_json: bool) -> None:
    """Bring the database to this version and say from which to which."""
    from micronova.db import migrate

    folder = settings.state_of(state)
    loaded = settings.from_flags({"state": state, "file": file, "db": db})
    if db is None and file is None and (folder / settings.RECORD).exists():
        loaded = settings.recorded(state)
    before, after = migrate.upgrade(loaded)
    told = f"upgraded from {before or 'nothing'} to {after}" if before != after else f"already at {after}"
    _print(as_json, {"before": before, "after": after}, lambda: [told])


def audit(state: str | None, as_json: bool) -> None:
    """Print where rows and hosts differ; exit 1 when they do."""
    loaded = settings.recorded(state)
    findings = asyncio.run(_ask_for_audit(loaded))
    told = [f"{one['host']}: {one['what']}" for one in findings] or ["rows and hosts agree"]
    _print(as_json, findings, lambda: told)
    if findings:
        sys.exit(1)


async def _ask_for_audit(loaded: Config) -> list[dict[str, str]]:
    client = await connected(loaded, "audit")
    return list((await client.get("/micronova/v1/audit"))["findings"])


async def connected(loaded: Config, word: str) -> Client:
    """The running cloud, asked by `micronova WORD`. Raises ConfigError when it does not run."""
    known = clouds_yaml.read(loaded.state / "clouds.yaml").get("micronova")
    if known is None or StateFolder(loaded.state).pid() is None:
        raise ConfigError(f"the cloud in {loaded.state} does not run; {word} asks its hosts: start it first")
    client = Client(known)
    await client.log_in()
    return client


class Packet(msgspec.Struct, frozen=True):
    """What `net trace` asks about."""

    sender: str
    ip: str
    protocol: str
    port: int | None
    source: str | None


def net_trace(packet: Packet, state: str | None, as_json: bool) -> None:
    """Print whether the packet would pass, hop by hop; exit 1 when it would not. Raises NotFound, BadRequest."""
    found = asyncio.run(_trace(_cloud(state), packet))
    _print(as_json, found, found.lines)
    if not found.passes:
        sys.exit(1)


async def _trace(cloud: Any, packet: Packet) -> Any:
    """The answer for a port, or for the server that has that name. Raises NotFound, Conflict when several have it."""
    ctx = _admin(cloud)
    question = (packet.ip, packet.protocol, packet.port, packet.source)
    try:
        return await cloud.network.trace(ctx, packet.sender, *question)
    except NotFound:
        ids = await cloud.db.read(lambda tx: cloud.compute.ids_by_name(tx, packet.sender))
        having = [id for id, nics in (await cloud.network.nics_of(ctx, ids)).items() if nics]
        if len(having) > 1:
            raise Conflict(f"{packet.sender} means several servers, name one: {', '.join(having)}") from None
        if not having:
            raise
        return await cloud.network.trace(ctx, having[0], *question)
