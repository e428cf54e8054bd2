"""Routers: which networks they join, how they lead out, along which extra routes. Every host is all of them."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.network import db, duties, ipam, networks, reach, resources, standing, zones
from micronova.network.attributes import Values
from micronova.network.collection import Collection, Found
from micronova.network.db import FixedIp, FloatingIp, Network, Port, Router, RouterPort, Subnet
from micronova.network.ports import Ports
from micronova.network.refusals import bad_for, refusal
from micronova.network.room import Room

GATEWAY_OWNER = "network:router_gateway"
ROUTES_MOST = 30
NEEDED_ON_HOSTS = ("admin_state_up", "external_network_id", "gateway_port_id", "enable_snat", "routes")
MANNERS = {"distributed": "migrate active router to another mode", "ha": "change HA attribute of active routers"}
"""What operators may ask for, though every host is the router in any case; and how a refusal calls changing it."""
Route = tuple[str, str]


class Routers(Collection[Router]):
    """All routers."""

    resource = resources.ROUTER
    row = Router

    def __init__(self, room: Room, ports: Ports) -> None:
        super().__init__(room)
        self._ports = ports

    def found(self, tx: Tx, rows: Sequence[Router]) -> Found[Router]:
        """The routers with the ports of their gateways."""
        ports = db.find_all(tx, Port, (row.gateway_port_id for row in rows if row.gateway_port_id))
        return Found(list(rows), {row.id: [ports[row.gateway_port_id]] for row in rows if row.gateway_port_id})

    def further_rules(self, verb: str, values: Values) -> tuple[str, ...]:
        given = values.get("gateway") or {}
        return tuple(f"{verb}_router:external_gateway_info:{name}" for name in given)

    def insert(self, tx: Tx, ctx: Context, values: Values) -> Router:
        """Store the router, with its gateway."""
        gateway = values.pop("gateway", None)
        zones.check(tx, self.room.zone, values.get("availability_zone_hints", ()))
        values = {name: value for name, value in values.items() if name not in MANNERS or value is not None}
        row = tx.insert(Router(**self.standard(tx, values)))
        if gateway is None:
            return row
        return tx.change(row, **self._gateway(tx, ctx, row, gateway))

    def alter(self, tx: Tx, ctx: Context, row: Router, values: Values) -> Router:
        """Store the new values; hosts that have one of its networks follow."""
        values = {name: value for name, value in values.items() if name not in MANNERS or value is not None}
        _check_still(row, values)
        if "gateway" in values:
            values.update(self._gateway(tx, ctx, row, values.pop("gateway")))
        changed = self.touch(tx, row, values)
        if changed.routes != row.routes:
            self._check_routes(tx, changed)
        self.told(tx, ctx, row, changed)
        return changed

    def erase(self, tx: Tx, ctx: Context, row: Router) -> None:
        """The router and its gateway are gone. Raises InUse while it has interfaces."""
        if row.interface_ids:
            raise refusal("RouterInUse", f"Router {row.id} still has ports")
        if row.gateway_port_id is not None:
            self._ports.remove(tx, ctx, tx.get(Port, row.gateway_port_id))
        duties.forget(tx, row.id)
        tx.delete(row)

    async def change_routes(self, ctx: Context, id: str, routes: Sequence[Route], *, add: bool) -> Found[Router]:
        """The router has these extra routes too, or none of them; those it has or hasn't already are no error."""
        rule = "add_extraroutes" if add else "remove_extraroutes"

        def record(tx: Tx) -> Found[Router]:
            row = self.permitted(tx, ctx, id, rule)
            kept = tuple(route for route in row.routes if route not in routes)
            return self.found(tx, [self.alter(tx, ctx, row, {"routes": (*kept, *routes) if add else kept})])

        return await self._write(record, ctx, "extra routes of a router")

    # -- for its interfaces too

    def permitted(self, tx: Tx, ctx: Context, id: str, rule: str) -> Router:
        """The router if the caller passes the rule for it. Raises NotFound, Forbidden."""
        row = self.visible(tx, ctx, id)
        self._pass(ctx, (rule,), self.target(tx, row))
        return row

    def told(self, tx: Tx, ctx: Context, old: Router, new: Router) -> None:
        """Hosts that have one of the router's networks follow."""
        if any(getattr(old, name) != getattr(new, name) for name in NEEDED_ON_HOSTS):
            ids = [link.network_id for link in tx.find(RouterPort, router_id=new.id)]
            self.room.tell(tx, ctx, reach.hosts(tx, ids))

    # -- the gateway

    def _gateway(self, tx: Tx, ctx: Context, row: Router, asked: dict[str, Any] | None) -> Values:
        """What of the row a gateway changes; its port is there afterwards, and that of another one gone."""
        if asked is None:
            self._check_gateway_unneeded(tx, row)
            self._drop_gateway(tx, ctx, row)
            return {"external_network_id": None, "gateway_port_id": None, "enable_snat": True}
        network = networks.usable(tx, ctx, asked["network_id"])
        if not network.external:
            raise bad_for("router", f"Network {network.id} is not an external network")
        values = {"external_network_id": network.id, "enable_snat": asked.get("enable_snat", True)}
        wanted = asked.get("external_fixed_ips") or None
        if network.id == row.external_network_id and row.gateway_port_id is not None:
            if wanted is None:
                return values
            port = tx.get(Port, row.gateway_port_id)
            if _same(port.fixed_ips, wanted):
                return values
            return {**values, "gateway_port_id": self._new_gateway(tx, ctx, row, network, wanted)}
        self._check_gateway_unneeded(tx, row)
        return {**values, "gateway_port_id": self._new_gateway(tx, ctx, row, network, wanted)}

    def _new_gateway(self, tx: Tx, ctx: Context, row: Router, network: Network, wanted: Sequence[Any] | None) -> str:
        self._drop_gateway(tx, ctx, row)
        values: Values = {
            "project_id": "",
            "network_id": network.id,
            "device_id": row.id,
            "device_owner": GATEWAY_OWNER,
            "port_security_enabled": False,
            "status": "ACTIVE",
        }
        if wanted is not None:
            values["fixed_ips"] = wanted
        port = self._ports.place(tx, ctx, values)
        subnets = tx.find(Subnet, id=[fixed.subnet_id for fixed in port.fixed_ips])
        standing.check_ranges(tx, msgspec.structs.replace(row, gateway_port_id=None), subnets)
        return port.id

    def _drop_gateway(self, tx: Tx, ctx: Context, row: Router) -> None:
        if row.gateway_port_id is not None:
            self._ports.remove(tx, ctx, tx.get(Port, row.gateway_port_id))

    def _check_gateway_unneeded(self, tx: Tx, row: Router) -> None:
        if row.external_network_id is not None and tx.count(FloatingIp, router_id=row.id):
            raise refusal(
                "RouterExternalGatewayInUseByFloatingIp",
                f"Gateway cannot be updated for router {row.id}, since a gateway to external network "
                f"{row.external_network_id} is required by one or more floating IPs.",
            )

    # -- routes

    def _check_routes(self, tx: Tx, row: Router) -> None:
        """Each next hop is a neighbour of the router, and not the router. Raises BadRequest."""
        if len(row.routes) > ROUTES_MOST:
            raise refusal(
                "RoutesExhausted",
                f"Unable to complete operation for {row.id}. The number of routes exceeds the maximum {ROUTES_MOST}.",
            )
        ports = tx.find(Port, id=[*row.interface_ids, *filter(None, [row.gateway_port_id])])
        own = {fixed.ip for port in ports for fixed in port.fixed_ips}
        subnets = db.find_all(tx, Subnet, (fixed.subnet_id for port in ports for fixed in port.fixed_ips)).values()
        nets = [ipam.network_of(subnet.cidr) for subnet in subnets]
        for destination, nexthop in row.routes:
            if ipam.network_of(destination).version != ipam.version_of(nexthop):
                raise _wrong_routes(row.routes, f"the nexthop {nexthop} is of another IP version than {destination}")
            if not any(ipam.within(net, nexthop) for net in nets):
                raise _wrong_routes(row.routes, "the nexthop is not connected with router")
            if nexthop in own:
                raise _wrong_routes(row.routes, "the nexthop is used by router")


def _check_still(row: Router, values: Values) -> None:
    """Raises BadRequest when the router changes its manner while it forwards."""
    up = values.get("admin_state_up", row.admin_state_up)
    for name, said in MANNERS.items():
        if up and values.get(name, getattr(row, name)) != getattr(row, name):
            raise bad_for("router", f"Cannot {said}. Please set router admin_state_up to False prior to upgrade")


def _same(given: Iterable[FixedIp], wanted: Sequence[Any]) -> bool:
    """Whether the addresses are what is wanted already."""
    left = list(given)
    for subnet_id, ip in wanted:
        match = next((f for f in left if subnet_id in (None, f.subnet_id) and ip in (None, f.ip)), None)
        if match is None:
            return False
        left.remove(match)
    return not left


def _wrong_routes(routes: Sequence[Route], reason: str) -> Exception:
    said = [{"destination": to, "nexthop": via} for to, via in routes[:3]]
    return refusal("InvalidRoutes", f"Invalid format for routes: {said}, {reason}")
