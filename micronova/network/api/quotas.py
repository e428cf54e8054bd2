"""Quotas of the network API (Networking API reference, "Quotas extension").

GET /v2.0/quotas/PROJECT          -> {"quota": {"network": 100, …}}
GET /v2.0/quotas/PROJECT/details  -> {"quota": {"network": {"limit": 100, "used": 3, "reserved": 0}, …}}
"""

from typing import Any

from micronova.http import Answer, Request, Route
from micronova.network import checks, quotas, reading
from micronova.network.manager import NetworkManager
from micronova.network.refusals import bad, refusal

LIMIT = checks.integer(-1)
PROJECT_MOST = 255
MANNERS = ("check_limit", "force")
"""Not limits but how to set them: only if no use is above them; whatever the use."""
NOT_LIMITS = ("tenant_id", "project_id", *MANNERS)


def routes(manager: NetworkManager) -> list[Route]:
    """The routes of quotas."""
    handlers = Quotas(manager)
    root = f"{reading.ROOT}/quotas"
    one = f"{root}/{{project_id}}"
    return [
        Route("GET", root, handlers.list),
        Route("GET", f"{root}/tenant", handlers.tenant),
        Route("GET", f"{root}/project", handlers.project),
        Route("GET", one, handlers.get),
        Route("PUT", one, handlers.update),
        Route("DELETE", one, handlers.delete),
        Route("GET", f"{one}/default", handlers.default),
        Route("GET", f"{one}/details", handlers.details),
    ]


class Quotas:
    """The handlers of quotas."""

    def __init__(self, manager: NetworkManager) -> None:
        self._room = manager.room

    async def list(self, request: Request) -> Any:
        """Projects with limits of their own: all for an administrator, else the caller's."""
        found = await self._room.db.read(lambda tx: quotas.all_own(tx, self._room.quota))
        admin = self._room.policy.allows(request.ctx, "update_quota")
        return {
            "quotas": [
                {**limits, "project_id": project_id, "tenant_id": project_id}
                for project_id, limits in found.items()
                if admin or project_id == request.ctx.project_id
            ]
        }

    async def tenant(self, request: Request) -> Any:
        return {"tenant": {"tenant_id": request.ctx.project_id}}

    async def project(self, request: Request) -> Any:
        return {"project": {"project_id": request.ctx.project_id}}

    async def get(self, request: Request) -> Any:
        project_id = self._project(request, "get_quota")
        return {"quota": await self._room.db.read(lambda tx: quotas.limits(tx, self._room.quota, project_id))}

    async def default(self, request: Request) -> Any:
        self._project(request, "get_quota")
        return {"quota": quotas.defaults(self._room.quota)}

    async def details(self, request: Request) -> Any:
        project_id = self._project(request, "get_quota")
        found = await self._room.db.read(lambda tx: quotas.usages(tx, self._room.quota, project_id))
        return {
            "quota": {
                resource: {"limit": usage.limit, "used": usage.used, "reserved": 0} for resource, usage in found.items()
            }
        }

    async def update(self, request: Request) -> Any:
        project_id = self._project(request, "update_quota")
        body = await reading.object_of(request)
        given = body.get("quota")
        if not isinstance(given, dict):
            raise bad("Unable to find 'quota' in request body")
        wanted = {name: _limit(name, value) for name, value in given.items() if name not in NOT_LIMITS}
        check, force = (_flag(name, given.get(name)) for name in MANNERS)
        below_use = force or not check
        await self._room.db.write(
            lambda tx: quotas.set_limits(tx, project_id, wanted, below_use=below_use),
            request.ctx,
            why="quota set by request",
        )
        return {"quota": await self._room.db.read(lambda tx: quotas.limits(tx, self._room.quota, project_id))}

    async def delete(self, request: Request) -> Answer:
        project_id = self._project(request, "delete_quota")
        await self._room.db.write(
            lambda tx: quotas.forget_limits(tx, project_id), request.ctx, why="quota reset by request"
        )
        return Answer(status=204)

    def _project(self, request: Request, rule: str) -> str:
        """The project in the path. Raises Forbidden when the caller may not ask about it."""
        project_id = request.path["project_id"]
        if len(project_id) > PROJECT_MOST or "\0" in project_id or not checks.storable(project_id):
            raise bad("Invalid project id.")
        if not self._room.policy.allows(request.ctx, rule, {"project_id": project_id, "tenant_id": project_id}):
            raise refusal("PolicyNotAuthorized", f"rule:{rule} is disallowed by policy", rule=rule)
        return project_id


def _flag(name: str, value: Any) -> bool:
    try:
        return value is not None and checks.boolean(value)
    except ValueError as err:
        raise bad(f"Invalid input for {name}. Reason: {checks.short(str(err))}.") from err


def _limit(name: str, value: Any) -> int:
    try:
        found: int = LIMIT(value)
    except ValueError as err:
        raise bad(f"Invalid input for {checks.short(name)}. Reason: {err}.") from err
    return found
