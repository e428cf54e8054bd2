"""A network on request (Networking API reference, "Auto allocated topologies").

GET    /v2.0/auto-allocated-topology/PROJECT                  -> 200 {"auto_allocated_topology": {"id": NETWORK, …}}
GET    /v2.0/auto-allocated-topology/PROJECT?fields=dry-run   -> 200 {… {"id": "dry-run=pass", …}}: it could be made
DELETE /v2.0/auto-allocated-topology/PROJECT                  -> 204
"""

from functools import partial
from typing import Any

from micronova.http import Answer, Request, Route
from micronova.network import checks, listing, reading
from micronova.network.manager import NetworkManager
from micronova.network.refusals import bad, bad_for

RULE = "auto_allocated_topology"
CHECK = frozenset({"dry-run"})
PROJECT_MOST = 255


def routes(manager: NetworkManager) -> list[Route]:
    """The routes of topologies."""
    handlers = Handlers(manager)
    one = f"{reading.ROOT}/auto-allocated-topology/{{project_id}}"
    return [Route("GET", one, handlers.get), Route("DELETE", one, handlers.delete)]


class Handlers:
    """The handlers."""

    def __init__(self, manager: NetworkManager) -> None:
        self._manager = manager
        self._topologies = manager.topologies

    async def get(self, request: Request) -> Any:
        project_id, fields = self._project(request, f"get_{RULE}"), listing.fields(request)
        if fields - CHECK:
            raise bad_for("auto_allocate", "Unrecognized field")
        if fields:
            await self._manager.db.read(self._topologies.check)
            return _shown("dry-run=pass", project_id)
        ensure = partial(self._topologies.ensure, ctx=request.ctx, project_id=project_id)
        network_id = await self._manager.insist(ensure, request.ctx, "a network was asked for")
        return _shown(network_id, project_id)

    async def delete(self, request: Request) -> Answer:
        project_id = self._project(request, f"delete_{RULE}")
        remove = partial(self._topologies.remove, ctx=request.ctx, project_id=project_id)
        await self._manager.insist(remove, request.ctx, "the network that was asked for is not wanted any more")
        return Answer(status=204)

    def _project(self, request: Request, rule: str) -> str:
        asked = request.path["project_id"]
        if len(asked) > PROJECT_MOST or "\0" in asked or not checks.storable(asked):
            raise bad("Invalid project id.")
        return self._topologies.project(request.ctx, asked, rule)


def _shown(id: str, project_id: str) -> dict[str, Any]:
    return {RULE: {"id": id, "project_id": project_id, "tenant_id": project_id}}
