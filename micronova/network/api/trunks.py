"""What the network API does to trunks beyond create, change and delete.

PUT /v2.0/trunks/ID/add_subports {"sub_ports": [{"port_id": …, "segmentation_type": "vlan", "segmentation_id": 5}]}
PUT /v2.0/trunks/ID/remove_subports {"sub_ports": [{"port_id": …}]}
    -> 200 {"id": …, "sub_ports": […], …}: the trunk, in no envelope
GET /v2.0/trunks/ID/get_subports -> 200 {"sub_ports": […]}
"""

from typing import Any

from micronova.http import Request, Route
from micronova.network import reading
from micronova.network.collection import Found
from micronova.network.db import Trunk
from micronova.network.manager import NetworkManager
from micronova.network.resources.trunks import named_ports, sub_ports
from micronova.network.wire import trunks as wire_trunks


def routes(manager: NetworkManager) -> list[Route]:
    """The routes of trunks' actions."""
    actions = TrunkActions(manager)
    one = f"{reading.ROOT}/trunks/{{id}}"
    return [
        Route("PUT", f"{one}/add_subports", actions.add),
        Route("PUT", f"{one}/remove_subports", actions.remove),
        Route("GET", f"{one}/get_subports", actions.get),
    ]


class TrunkActions:
    """The handlers."""

    def __init__(self, manager: NetworkManager) -> None:
        self._trunks = manager.trunks

    async def add(self, request: Request) -> Any:
        id, wanted = reading.id_of(request, "trunk"), await reading.alone(request, "sub_ports", sub_ports)
        return self._shown(await self._trunks.add(request.ctx, id, wanted))

    async def remove(self, request: Request) -> Any:
        id, wanted = reading.id_of(request, "trunk"), await reading.alone(request, "sub_ports", named_ports)
        return self._shown(await self._trunks.remove(request.ctx, id, wanted))

    async def get(self, request: Request) -> Any:
        found = await self._trunks.get(request.ctx, reading.id_of(request, "trunk"))
        return {"sub_ports": self._shown(found)["sub_ports"]}

    def _shown(self, found: Found[Trunk]) -> dict[str, Any]:
        row = found.rows[0]
        return wire_trunks.show_trunk(self._trunks.room, row, found.parts[row.id])
