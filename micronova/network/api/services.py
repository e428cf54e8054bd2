"""Smaller parts of the network API that are no collections of their own.

GET /v2.0/floatingip_pools -> {"floatingip_pools": [{"network_id": …, "subnet_id": …, "cidr": …, …}]}
PUT /v2.0/address-groups/ID/add_addresses {"addresses": ["10.0.0.0/8"]} -> 200 {"address_group": {…}}
"""

from typing import Any

from micronova.context import Context
from micronova.db import Tx
from micronova.http import Request, Route
from micronova.network import checks, listing, reading
from micronova.network.collection import Search
from micronova.network.db import Subnet
from micronova.network.manager import NetworkManager
from micronova.network.refusals import bad
from micronova.network.resources.address_groups import addresses, named_addresses
from micronova.network.wire import address_groups as wire_address_groups


def routes(manager: NetworkManager) -> list[Route]:
    """The routes of floating IP pools and of address groups' actions."""
    services = Services(manager)
    group = f"{reading.ROOT}/address-groups/{{id}}"
    return [
        Route("GET", f"{reading.ROOT}/floatingip_pools", services.pools),
        Route("GET", f"{reading.ROOT}/floatingip-pools", services.pools),
        Route("PUT", f"{group}/add_addresses", services.add),
        Route("PUT", f"{group}/remove_addresses", services.remove),
    ]


class Services:
    """The handlers."""

    def __init__(self, manager: NetworkManager) -> None:
        self._manager = manager

    async def pools(self, request: Request) -> Any:
        """The IPv4 ranges that floating IPs are given from, of external networks that the caller sees."""
        found = await self._manager.db.read(lambda tx: self._pools(tx, request.ctx))
        filters = [(name, value) for name, value in request.query() if name not in listing.RESERVED]
        for name, value in filters:
            if found and name not in found[0]:
                raise bad(f"['{checks.short(name)}'] is invalid attribute for filtering")
            found = [one for one in found if one[name] == value]
        wanted = listing.fields(request)
        return {"floatingip_pools": [{k: v for k, v in one.items() if not wanted or k in wanted} for one in found]}

    async def add(self, request: Request) -> Any:
        return await self._change(request, add=True)

    async def remove(self, request: Request) -> Any:
        return await self._change(request, add=False)

    def _pools(self, tx: Tx, ctx: Context) -> list[dict[str, Any]]:
        search = Search(where={"external": (True,)})
        networks = {network.id for network in self._manager.networks.search(tx, ctx, search)}
        order = (("created_at", True), ("id", True))
        rows = tx.find(Subnet, network_id=sorted(networks), ip_version=4, order=order) if networks else []
        return [
            {
                "subnet_id": row.id,
                "subnet_name": row.name,
                "network_id": row.network_id,
                "cidr": row.cidr,
                "project_id": ctx.project_id,
                "tenant_id": ctx.project_id,
            }
            for row in rows
        ]

    async def _change(self, request: Request, *, add: bool) -> Any:
        id = reading.id_of(request, "address_group")
        wanted = await reading.alone(request, "addresses", addresses if add else named_addresses)
        found = await self._manager.address_groups.change(request.ctx, id, wanted, add=add)
        return {"address_group": wire_address_groups.show_address_group(self._manager.room, found.rows[0], ())}
