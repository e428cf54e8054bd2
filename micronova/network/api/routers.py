"""What the network API does to routers beyond create, change and delete.

PUT /v2.0/routers/ID/add_router_interface {"subnet_id": ID} or {"port_id": ID}
    -> 200 {"id": ROUTER, "port_id": …, "network_id": …, "subnet_id": …, "subnet_ids": […], "project_id": …}
PUT /v2.0/routers/ID/add_extraroutes {"router": {"routes": [{"destination": …, "nexthop": …}]}}  -> 200 {"router": {…}}
"""

from typing import Any

from micronova.http import Request, Route
from micronova.network import checks, reading, resources, wire
from micronova.network.attributes import for_update
from micronova.network.manager import NetworkManager
from micronova.network.refusals import bad, wrong
from micronova.network.router_interfaces import Asked, Interface


def routes(manager: NetworkManager) -> list[Route]:
    """The routes of routers' actions."""
    actions = RouterActions(manager)
    one = f"{reading.ROOT}/routers/{{id}}"
    return [
        Route("PUT", f"{one}/add_router_interface", actions.add),
        Route("PUT", f"{one}/remove_router_interface", actions.remove),
        Route("PUT", f"{one}/add_extraroutes", actions.add_routes),
        Route("PUT", f"{one}/remove_extraroutes", actions.remove_routes),
    ]


class RouterActions:
    """The handlers."""

    def __init__(self, manager: NetworkManager) -> None:
        self._manager = manager

    async def add(self, request: Request) -> Any:
        id, asked = reading.id_of(request, "router"), await _asked(request)
        return _shown(await self._manager.add_router_interface(request.ctx, id, asked))

    async def remove(self, request: Request) -> Any:
        id, asked = reading.id_of(request, "router"), await _asked(request)
        return _shown(await self._manager.remove_router_interface(request.ctx, id, asked))

    async def add_routes(self, request: Request) -> Any:
        return await self._change_routes(request, add=True)

    async def remove_routes(self, request: Request) -> Any:
        return await self._change_routes(request, add=False)

    async def _change_routes(self, request: Request, *, add: bool) -> Any:
        body = await reading.object_of(request)
        given = body.get("router")
        if not isinstance(given, dict) or set(given) != {"routes"}:
            raise bad("Unable to find 'routes' of 'router' in request body")
        wanted = for_update(resources.ROUTER, given).values["routes"]
        id = reading.id_of(request, "router")
        found = await self._manager.routers.change_routes(request.ctx, id, wanted, add=add)
        row = found.rows[0]
        return {"router": wire.show_router(self._manager.room, row, found.parts.get(row.id, ()))}


async def _asked(request: Request) -> Asked:
    body = await reading.object_of(request)
    unknown = sorted(set(body) - {"subnet_id", "port_id"})
    if unknown:
        raise bad(f"Unrecognized attribute(s) '{checks.short(', '.join(unknown))}'")
    return Asked(_uuid(body, "subnet_id"), _uuid(body, "port_id"))


def _uuid(body: dict[str, Any], name: str) -> str | None:
    if body.get(name) is None:
        return None
    try:
        found: str = checks.uuid(body[name])
    except ValueError as err:
        raise wrong(name, str(err)) from err
    return found


def _shown(interface: Interface) -> dict[str, Any]:
    return {
        "id": interface.router.id,
        "project_id": interface.router.project_id,
        "tenant_id": interface.router.project_id,
        "port_id": interface.port.id,
        "network_id": interface.port.network_id,
        "subnet_id": interface.subnet_id,
        "subnet_ids": interface.subnet_ids,
    }
