"""What the cloud says of itself: is it alive, what is it, do rows and hosts agree. Our own API, not OpenStack's."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from micronova import __version__, heartbeat
from micronova.context import Context
from micronova.db import Tx
from micronova.errors import Error, Unavailable
from micronova.http import JSON, Api, Request, Route
from micronova.manager import Manager

RULES = {"micronova:audit": "rule:admin"}


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
    """The routes below no prefix at all: `/`, `/healthz`, `/micronova/v1/audit`."""
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

    routes = (
        Route("GET", "", root, public=True),
        Route("GET", "/healthz", healthy, public=True),
        Route("GET", "/micronova/v1/audit", audit, policy="micronova:audit"),
    )
    return Api(name="micronova", prefix="", routes=routes, render=render)
