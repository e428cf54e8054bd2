"""A network on request: with a subnet of each default pool, on a router that leads out by the default network.

One a project, made when it is first asked for and gone when it is deleted; all of it, or nothing, in one transaction.
"""

from typing import Any

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import Error
from micronova.network.attributes import for_create
from micronova.network.collection import Collection
from micronova.network.db import AutoTopology, Network, Router, RouterPort, Subnet, SubnetPool
from micronova.network.networks import Networks
from micronova.network.refusals import refusal
from micronova.network.room import Room
from micronova.network.router_interfaces import Asked as Joined
from micronova.network.router_interfaces import RouterInterfaces
from micronova.network.routers import Routers
from micronova.network.subnets import Subnets

NAME = "auto_allocated"
OWN = ("", "None", "null")
"""How clients write that they mean their own project."""


class Makers(msgspec.Struct, frozen=True):
    """What a topology is made of."""

    networks: Networks
    subnets: Subnets
    routers: Routers
    interfaces: RouterInterfaces


class Topologies:
    """The topologies of all projects."""

    def __init__(self, room: Room, makers: Makers) -> None:
        self.room = room
        self._makers = makers

    def project(self, ctx: Context, asked: str, rule: str) -> str:
        """The project that is meant. Raises Forbidden when the caller may not ask for it."""
        project_id = ctx.project_id if asked in OWN else asked
        if not self.room.policy.allows(ctx, rule, {"project_id": project_id, "tenant_id": project_id}):
            raise refusal("PolicyNotAuthorized", f"rule:{rule} is disallowed by policy", rule=rule)
        return project_id

    def check(self, tx: Tx) -> None:
        """Return when a topology could be made. Raises Conflict with what is missing."""
        self._outside(tx)
        self._pools(tx)

    def ensure(self, tx: Tx, ctx: Context, project_id: str) -> str:
        """The network of the project's topology, which is there afterwards. Raises Conflict when it can't be."""
        there = tx.first(AutoTopology, id=project_id)
        if there is not None and tx.first(Network, id=there.network_id) is not None:
            return there.network_id
        self.remove(tx, ctx, project_id)
        outside, pools = self._outside(tx), self._pools(tx)
        try:
            return self._make(tx, ctx, project_id, outside, pools)
        except Error as err:
            if err.status not in (400, 404):
                raise
            raise _failed(f"Unable to provide tenant private network: {err.message}") from err

    def remove(self, tx: Tx, ctx: Context, project_id: str) -> None:
        """The project's topology is gone, if it had one. Raises InUse while there are ports on its network."""
        there = tx.first(AutoTopology, id=project_id)
        if there is None:
            return
        router, network = tx.first(Router, id=there.router_id), tx.first(Network, id=there.network_id)
        if router is not None:
            for link in tx.find(RouterPort, router_id=router.id, network_id=there.network_id):
                self._makers.interfaces.remove(tx, ctx, router.id, Joined(port_id=link.id))
            self._makers.routers.erase(tx, ctx, tx.get(Router, router.id))
        if network is not None:
            for subnet in tx.find(Subnet, network_id=network.id):
                self._makers.subnets.erase(tx, ctx, subnet)
            self._makers.networks.erase(tx, ctx, tx.get(Network, network.id))
        tx.delete(there)

    # -- inside

    def _make(self, tx: Tx, ctx: Context, project_id: str, outside: str, pools: list[SubnetPool]) -> str:
        makers = self._makers
        network = self._create(tx, ctx, makers.networks, {"name": f"{NAME}_network", "project_id": project_id})
        gateway = {"network_id": outside}
        named = {"name": f"{NAME}_router", "project_id": project_id, "external_gateway_info": gateway}
        router = self._create(tx, ctx, makers.routers, named)
        for pool in pools:
            asked = {"name": f"{NAME}_subnet_v{pool.ip_version}", "project_id": project_id, "network_id": network.id,
                     "ip_version": pool.ip_version, "subnetpool_id": pool.id}  # fmt: skip
            subnet = self._create(tx, ctx, makers.subnets, asked)
            makers.interfaces.add(tx, ctx, router.id, Joined(subnet_id=subnet.id))
        tx.insert(AutoTopology(id=project_id, network_id=network.id, router_id=router.id))
        return str(network.id)

    def _create(self, tx: Tx, ctx: Context, collection: Collection[Any], values: dict[str, Any]) -> Any:
        return collection.create_one(tx, ctx, for_create(collection.resource, values))

    def _outside(self, tx: Tx) -> str:
        outside = tx.first(Network, external=True, is_default=True, public=True)
        if outside is None:
            raise _failed("No default router:external network")
        return outside.id

    def _pools(self, tx: Tx) -> list[SubnetPool]:
        pools = tx.find(SubnetPool, is_default=True, order=(("ip_version", True), ("id", True)))
        if not pools:
            raise _failed("No default subnetpools defined")
        return pools


def _failed(reason: str) -> Error:
    return refusal("AutoAllocationFailure", f"Deployment error: {reason}.".replace("..", "."))
