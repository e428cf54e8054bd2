"""What the cloud says of itself: is it alive, what is it, do rows and hosts agree. Our own API, not OpenStack's."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from micronova import __version__, heartbeat
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import Error, NotFound, Unavailable
from micronova.http import JSON, Api, Request, Route
from micronova.manager import Manager
from micronova.repair import Examiner, Finding

RULES = {"micronova:audit": "rule:admin", "micronova:repair": "rule:admin"}


class Ailment(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong, and what was done about it: `done`, or why not in `error`; neither when nobody wanted it done."""

    finding: Finding
    done: bool = False
    error: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of a resource and of what belongs to it."""

    id: str
    summary: str
    ailments: tuple[Ailment, ...] = ()


class Operations:
    """Questions to all hosts."""

    def __init__(self, managers: Mapping[str, Manager]) -> None:
        self._managers = managers

    async def audit(self, ctx: Context) -> list[dict[str, str]]:
        """What differs, host by host; a host that does not answer is a finding too."""
        asked = [manager for manager in self._managers.values() if "audit" in type(manager).offers().remote]
        if not asked:
            return []
        rows = await asked[0].db.read(heartbeat.services)
        pairs = [
            (manager, row.host) for manager in asked for row in rows if row.topic == manager.topic and not row.stopped
        ]
        answers = await asyncio.gather(*(self._ask(ctx, manager, host) for manager, host in pairs))
        return [
            {"host": host, "topic": manager.topic, "what": what}
            for (manager, host), answer in zip(pairs, answers, strict=True)
            for what in answer
        ]

    async def repair(self, ctx: Context, id: str, *, do: bool) -> Report:
        """What is wrong with the resource of this id, whoever's it is, and with what belongs to it; `do`: mended too.

        Raises NotFound when nobody knows the id.
        """
        summary, found = await self._examine(ctx, id)
        ailments = [await self._cured(ctx, *one) if do else Ailment(finding=one[1]) for one in found]
        return Report(id=id, summary=summary, ailments=tuple(ailments))

    async def _examine(self, ctx: Context, id: str) -> tuple[str, list[tuple[Examiner, Finding]]]:
        """What all managers say of the id, and what others say of what belongs to it. Raises NotFound."""
        examiners = [manager for manager in self._managers.values() if isinstance(manager, Examiner)]
        told = [(examiner, await examiner.examine(ctx, id)) for examiner in examiners]
        for owner, examined in list(told):
            for other in examined.also if examined is not None else ():
                told += [(one, await one.examine(ctx, other)) for one in examiners if one is not owner]
        known = [(examiner, examined) for examiner, examined in told if examined is not None]
        summary = next((examined.summary for _, examined in known if examined.summary), "")
        if not summary:
            raise NotFound(await self._unknown(ctx, id), id=id)
        return summary, [(examiner, finding) for examiner, examined in known for finding in examined.findings]

    async def _unknown(self, ctx: Context, id: str) -> str:
        """What is known of an id that is nobody's."""
        about = [f"{one['host']}: {one['what']}" for one in await self.audit(ctx) if id in one["what"].split()]
        if about:
            return f"{id} is nobody's, and what nobody here made is left alone: {'; '.join(about)}"
        return f"there is no server, volume, snapshot, attachment, backup, port or network with the id {id}"

    async def _cured(self, ctx: Context, examiner: Examiner, finding: Finding) -> Ailment:
        if not finding.action:
            return Ailment(finding=finding)
        try:
            await examiner.cure(ctx, finding)
        except Error as err:
            return Ailment(finding=finding, error=str(err))
        return Ailment(finding=finding, done=True)

    async def _ask(self, ctx: Context, manager: Manager, host: str) -> list[str]:
        there: Any = manager.on(host)
        try:
            found: list[str] = await there.audit(ctx)
        except Unavailable as err:
            return [f"{manager.topic} does not answer: {err}"]
        return found


def render(status: int, error: Error) -> tuple[str, bytes]:
    """Our own error body."""
    body = {"error": {"code": status, "type": error.type, "message": error.message}}
    return JSON, msgspec.json.encode(body)


def api(managers: Mapping[str, Manager], prefixes: Sequence[str]) -> Api:
    """The routes below no prefix at all: `/`, `/healthz`, `/micronova/v1/…`."""
    operations = Operations(managers)

    async def root(request: Request) -> Any:
        services = {prefix.strip("/"): f"{request.base_url}{prefix}" for prefix in prefixes if prefix}
        return {"name": "micronova", "version": __version__, "services": services}

    async def healthy(request: Request) -> Any:
        def ask(tx: Tx) -> int:
            return len(heartbeat.services(tx))

        return {"healthy": True, "services": await managers["identity"].db.read(ask)}

    async def audit(request: Request) -> Any:
        return {"findings": await operations.audit(request.ctx)}

    async def examine(request: Request) -> Any:
        return msgspec.to_builtins(await operations.repair(request.ctx, request.path["id"], do=False))

    async def repair(request: Request) -> Any:
        return msgspec.to_builtins(await operations.repair(request.ctx, request.path["id"], do=True))

    routes = (
        Route("GET", "", root, public=True),
        Route("GET", "/healthz", healthy, public=True),
        Route("GET", "/micronova/v1/audit", audit, policy="micronova:audit"),
        Route("GET", "/micronova/v1/repair/{id}", examine, policy="micronova:repair"),
        Route("POST", "/micronova/v1/repair/{id}", repair, policy="micronova:repair"),
    )
    return Api(name="micronova", prefix="", routes=routes, render=render)
