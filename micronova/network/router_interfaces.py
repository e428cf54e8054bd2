"""A router's interfaces: ports on the networks it joins, made for it or brought along, added and removed by name."""

from collections.abc import Sequence

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.network import following, networks, standing
from micronova.network.addresses import Addresses, Wanted, claimant
from micronova.network.attributes import Values
from micronova.network.collection import get
from micronova.network.db import Network, Port, Router, RouterPort, Subnet
from micronova.network.ports import Ports
from micronova.network.refusals import bad_for, missing, refusal
from micronova.network.room import Room
from micronova.network.routers import Routers

INTERFACE_OWNER = "network:router_interface"


class Interface(msgspec.Struct, frozen=True):
    """An interface as a request that added or removed it is answered: `subnet_id` is the one it was about."""

    router: Router
    port: Port
    subnet_id: str
    subnet_ids: tuple[str, ...]


class Asked(msgspec.Struct, frozen=True):
    """The interface a request names: by subnet, by port, or, to remove one, by both."""

    subnet_id: str | None = None
    port_id: str | None = None


class RouterInterfaces:
    """The interfaces of all routers."""

    def __init__(self, room: Room, routers: Routers, ports: Ports) -> None:
        self._room = room
        self._routers = routers
        self._ports = ports

    def add(self, tx: Tx, ctx: Context, router_id: str, asked: Asked) -> Interface:
        """The router joins the network. Raises BadRequest when ranges overlap, NotFound, InUse for a port in use."""
        router = self._routers.permitted(tx, ctx, router_id, "add_router_interface")
        if asked.subnet_id is not None and asked.port_id is not None:
            raise bad_for("router", "Cannot specify both subnet-id and port-id")
        if asked.port_id is not None:
            port, subnets = self._given_port(tx, ctx, router, asked.port_id)
        elif asked.subnet_id is not None:
            port, subnets = self._new_port(tx, ctx, router, asked.subnet_id)
        else:
            raise bad_for("router", "Either subnet_id or port_id must be specified")
        if port.id not in router.interface_ids:
            tx.insert(RouterPort(id=port.id, router_id=router.id, network_id=port.network_id))
        ids = tuple(dict.fromkeys((*router.interface_ids, port.id)))
        router = tx.change(router, interface_ids=ids, updated_at=tx.now)
        self._tell(tx, ctx, port)
        return Interface(router, port, subnets[0].id, tuple(subnet.id for subnet in subnets))

    def remove(self, tx: Tx, ctx: Context, router_id: str, asked: Asked) -> Interface:
        """The router is off the network, and the interface's port gone.

        Raises NotFound when it isn't the router's, BadRequest, InUse while a floating IP or a route needs it.
        """
        router = self._routers.permitted(tx, ctx, router_id, "remove_router_interface")
        port, subnet = self._named(tx, ctx, router, asked)
        subnets = [get(tx, Subnet, "subnet", fixed.subnet_id) for fixed in port.fixed_ips]
        by_subnet = asked.port_id is None
        gone = [subnet] if by_subnet and len(subnets) > 1 else subnets
        for one in gone:
            standing.check_unneeded(tx, router, one)
        self._tell(tx, ctx, port)
        if len(gone) < len(subnets):
            wanted = [(fixed.subnet_id, fixed.ip) for fixed in port.fixed_ips if fixed.subnet_id != subnet.id]
            self._readdress(tx, port, wanted)
            router = tx.change(router, updated_at=tx.now)
        else:
            tx.delete(tx.get(RouterPort, port.id))
            self._ports.remove(tx, ctx, port)
            left = tuple(id for id in router.interface_ids if id != port.id)
            router = tx.change(router, interface_ids=left, updated_at=tx.now)
        return Interface(router, port, subnet.id, tuple(one.id for one in gone))

    # -- adding

    def _new_port(self, tx: Tx, ctx: Context, router: Router, subnet_id: str) -> tuple[Port, list[Subnet]]:
        """A port with the subnet's gateway address; an IPv6 subnet goes to a port that is on its network already."""
        subnet = self._subnet(tx, ctx, subnet_id)
        self._check_ours(tx, subnet.network_id)
        if subnet.gateway_ip is None:
            raise bad_for("router", "Subnet for router interface must have a gateway IP")
        standing.check_ranges(tx, router, [subnet])
        wanted = (subnet.id, _own_address(subnet))
        there = self._ipv6_port(tx, router, subnet)
        if there is not None:
            keep = [(fixed.subnet_id, fixed.ip) for fixed in there.fixed_ips]
            return self._readdress(tx, there, [*keep, wanted]), [subnet]
        values: Values = {
            "project_id": router.project_id,
            "network_id": subnet.network_id,
            "device_id": router.id,
            "device_owner": INTERFACE_OWNER,
            "port_security_enabled": False,
            "status": "ACTIVE",
            "fixed_ips": (wanted,),
        }
        return self._ports.make(tx, ctx, values), [subnet]

    def _given_port(self, tx: Tx, ctx: Context, router: Router, port_id: str) -> tuple[Port, list[Subnet]]:
        """A port of the user's own, which is the router's from now on."""
        port = self._ports.visible(tx, ctx, port_id)
        self._check_ours(tx, port.network_id)
        if port.device_id:
            raise refusal(
                "PortInUse",
                f"Unable to complete operation on port {port.id} for network {port.network_id}. Port already has an "
                f"attached device {port.device_id}.",
            )
        if not port.fixed_ips:
            raise bad_for("router", "Router port must have at least one fixed IP")
        subnets = [get(tx, Subnet, "subnet", fixed.subnet_id) for fixed in port.fixed_ips]
        if sum(subnet.ip_version == 4 for subnet in subnets) > 1:
            raise bad_for("router", "Cannot have multiple IPv4 subnets on router port")
        standing.check_ranges(tx, router, subnets)
        values = {"device_id": router.id, "device_owner": INTERFACE_OWNER, "port_security_enabled": False}
        bare = {"security_group_ids": (), "allowed_pairs": ()}
        changed = self._ports.alter(tx, ctx, port, {**values, **bare})
        return tx.change(changed, status="ACTIVE"), subnets

    def _check_ours(self, tx: Tx, network_id: str) -> None:
        """Raises BadRequest for a wire on which somebody else is the gateway: every host would be the router there."""
        if not self._room.strategy_of(tx, network_id).ours:
            raise bad_for("router", f"the wire of network {network_id} is not this cloud's: its routers are others")

    def _subnet(self, tx: Tx, ctx: Context, id: str) -> Subnet:
        """The subnet if the caller may use its network. Raises NotFound."""
        subnet = get(tx, Subnet, "subnet", id)
        its_own = ctx.is_admin or subnet.project_id == ctx.project_id
        if not its_own and not networks.open_to(ctx, tx.get(Network, subnet.network_id)):
            raise missing("subnet", id)
        return subnet

    def _ipv6_port(self, tx: Tx, router: Router, subnet: Subnet) -> Port | None:
        """The router's port on the subnet's network that has IPv6 addresses alone."""
        if subnet.ip_version != 6:
            return None
        for link in tx.find(RouterPort, router_id=router.id, network_id=subnet.network_id, order=(("id", True),)):
            port = tx.get(Port, link.id)
            if port.fixed_ips and all(":" in fixed.ip for fixed in port.fixed_ips):
                return port
        return None

    def _readdress(self, tx: Tx, port: Port, wanted: Sequence[Wanted]) -> Port:
        given = Addresses(self._room, tx, port.network_id).change(port, claimant(port), wanted)
        return tx.change(port, fixed_ips=given, updated_at=tx.now)

    # -- removing

    def _named(self, tx: Tx, ctx: Context, router: Router, asked: Asked) -> tuple[Port, Subnet]:
        """The interface that is to go, and the subnet it is named by. Raises NotFound, BadRequest."""
        if asked.port_id is not None:
            if asked.port_id not in router.interface_ids:
                raise refusal(
                    "RouterInterfaceNotFound",
                    f"Router {router.id} does not have an interface with id {asked.port_id}",
                )
            port = tx.get(Port, asked.port_id)
            ids = [fixed.subnet_id for fixed in port.fixed_ips]
            if asked.subnet_id is not None and asked.subnet_id not in ids:
                raise refusal(
                    "SubnetMismatchForPort",
                    f"Subnet on port {port.id} does not match the requested subnet {asked.subnet_id}.",
                )
            return port, get(tx, Subnet, "subnet", asked.subnet_id or ids[0])
        if asked.subnet_id is None:
            raise bad_for("router", "Either subnet_id or port_id must be specified")
        subnet = self._subnet(tx, ctx, asked.subnet_id)
        for port in tx.find(Port, id=list(router.interface_ids), order=(("id", True),)):
            if any(fixed.subnet_id == subnet.id for fixed in port.fixed_ips):
                return port, subnet
        raise refusal("RouterInterfaceNotFoundForSubnet", f"Router {router.id} has no interface on subnet {subnet.id}")

    def _tell(self, tx: Tx, ctx: Context, port: Port) -> None:
        following.networks_joined(self._room, tx, ctx, port.network_id)


def _own_address(subnet: Subnet) -> str | None:
    """The router's address: the subnet's gateway, unless that is a link-local one, which is nobody's to give."""
    gateway = subnet.gateway_ip
    return None if gateway is None or gateway.startswith("fe80:") else gateway
