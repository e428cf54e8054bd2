"""NetworkManager: the front of the room. What carries a network is the matter of the strategy of its type.

The room's resources are collections, one a noun, which decide; the host side makes them real through the driver.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import Duplicate
from micronova.manager import Runtime, periodic, remote, task
from micronova.network import hosting, servers
from micronova.network.address_groups import AddressGroups
from micronova.network.address_scopes import AddressScopes
from micronova.network.agents import Agents
from micronova.network.contract import NicInfo, NicRequest, Plugged
from micronova.network.db import Network
from micronova.network.driver import NetworkDriver
from micronova.network.floating_ips import FloatingIps
from micronova.network.host import HostSide, SocketDropper, SocketTaker
from micronova.network.hosting import AgentHosting
from micronova.network.metering import MeteringLabels, MeteringRules
from micronova.network.networks import Networks
from micronova.network.port_forwardings import PortForwardings
from micronova.network.ports import Ports
from micronova.network.qos_policies import QosPolicies
from micronova.network.qos_rules import BandwidthLimitRules, DscpMarkingRules, MinimumBandwidthRules, QosRules
from micronova.network.rbac_policies import RbacPolicies
from micronova.network.repair import Repairs
from micronova.network.room import HOST_RESOURCE, Room
from micronova.network.router_interfaces import Asked, Interface, RouterInterfaces
from micronova.network.routers import Routers
from micronova.network.security_groups import SecurityGroups
from micronova.network.security_rules import SecurityGroupRules
from micronova.network.servers import ServerPlace, ServerPorts
from micronova.network.strategies.base import StrategyManager
from micronova.network.strategy import Hooks, Strategies
from micronova.network.subnet_pools import SubnetPools
from micronova.network.subnets import Subnets
from micronova.network.topologies import Makers, Topologies
from micronova.network.trunks import Trunks
from micronova.policy import Policy

ALLOCATION_TRIES = 20
T = TypeVar("T")


class NetworkManager(Repairs):
    """Networks, subnets, ports, addresses and security groups, and what of them is real on this host."""

    topic = "network"

    def __init__(
        self,
        runtime: Runtime,
        host: str | None = None,
        db_driver: Database | None = None,
        *,
        driver: NetworkDriver,
        policy: Policy,
        strategies: Sequence[StrategyManager],
    ) -> None:
        """Raises ConfigError when two of the strategies carry the same type of network, or there is none."""
        super().__init__(runtime, host, db_driver)
        options = self.config.options
        self.driver = driver
        self.policy = policy
        self.room = Room(
            clock=self.clock,
            db=self.db,
            policy=policy,
            options=options.network,
            quota=options.quota,
            zone=options.service.zone,
            strategies=Strategies(strategies, Hooks(options.network.mtu)),
            refresh=lambda tx, ctx, host: self.on(host).refresh.record(tx, ctx, host),
            follow=lambda tx, ctx, host, *news: self.on(host).follow.record(tx, ctx, host, *news),
        )
        for strategy in strategies:
            strategy.enter(self.room)
        self.networks = Networks(self.room)
        self.subnets = Subnets(self.room)
        self.ports = Ports(self.room)
        self.security_groups = SecurityGroups(self.room)
        self.security_group_rules = SecurityGroupRules(self.room)
        self.routers = Routers(self.room, self.ports)
        self.router_interfaces = RouterInterfaces(self.room, self.routers, self.ports)
        self.floating_ips = FloatingIps(self.room, self.ports)
        self.port_forwardings = PortForwardings(self.room, self.floating_ips, self.ports)
        self.subnet_pools = SubnetPools(self.room)
        self.address_groups = AddressGroups(self.room)
        self.trunks = Trunks(self.room, self.ports)
        self.qos_policies = QosPolicies(self.room)
        rules = (BandwidthLimitRules, DscpMarkingRules, MinimumBandwidthRules)
        self.qos_rules: tuple[QosRules, ...] = tuple(one(self.room, self.qos_policies) for one in rules)
        self.rbac_policies = RbacPolicies(self.room)
        self.address_scopes = AddressScopes(self.room)
        self.metering_labels = MeteringLabels(self.room)
        self.metering_rules = MeteringRules(self.room)
        self.agents = Agents(self.room, options.service.down_seconds)
        self.dhcp_hosting = AgentHosting(hosting.DHCP, self.agents, self.networks)
        self.l3_hosting = AgentHosting(hosting.L3, self.agents, self.routers)
        makers = Makers(self.networks, self.subnets, self.routers, self.router_interfaces)
        self.topologies = Topologies(self.room, makers)
        self.servers = ServerPorts(self.room, self.ports, self.topologies)
        self.here = HostSide(self.room, self.host, driver)

    # -- this host

    async def init_host(self, ctx: Context) -> None:
        """This host has the networks and ports of its rows, and no others. Raises DriverError when it can't serve."""
        await self.here.open()
        await self.agents.announce(ctx, self.host)

    async def close_host(self) -> None:
        """Let go of the driver; what guests use stays."""
        await self.here.close()

    @periodic(every=10)
    async def reconcile(self, ctx: Context) -> None:
        """Bring this host's networks and ports and their rows back to agreement."""
        await self.agents.announce(ctx, self.host)
        await self.here.look()

    @task(deadline=600, resource=HOST_RESOURCE, retries=8)
    async def refresh(self, ctx: Context, host: str) -> None:
        """This host follows what was changed. What can't be done in time is left to `reconcile`."""
        await self.here.settle(full=False)

    @task(deadline=600, resource=HOST_RESOURCE, retries=8)
    async def follow(self, ctx: Context, host: str, networks: tuple[str, ...], groups: tuple[str, ...]) -> None:
        """This host knows where ports of these networks are elsewhere, and who is in these groups."""
        await self.here.follow(networks, groups)

    @property
    def on_metadata_socket(self) -> SocketTaker | None:
        """Called once a network of this host, with the socket on which its guests ask for metadata."""
        return self.here.on_metadata_socket

    @on_metadata_socket.setter
    def on_metadata_socket(self, taker: SocketTaker | None) -> None:
        self.here.on_metadata_socket = taker

    @property
    def on_metadata_gone(self) -> SocketDropper | None:
        """Called when the network has left this host."""
        return self.here.on_metadata_gone

    @on_metadata_gone.setter
    def on_metadata_gone(self, dropper: SocketDropper | None) -> None:
        self.here.on_metadata_gone = dropper

    # -- routers

    async def add_router_interface(self, ctx: Context, router_id: str, asked: Asked) -> Interface:
        """The router joins a network. Raises NotFound, Forbidden, BadRequest, InUse."""
        add = partial(self.router_interfaces.add, ctx=ctx, router_id=router_id, asked=asked)
        return await self.insist(add, ctx, "the router joins a network")

    async def remove_router_interface(self, ctx: Context, router_id: str, asked: Asked) -> Interface:
        """The router has left a network. Raises NotFound, Forbidden, BadRequest, InUse."""
        remove = partial(self.router_interfaces.remove, ctx=ctx, router_id=router_id, asked=asked)
        return await self.insist(remove, ctx, "the router leaves a network")

    # -- for servers

    async def check_requests(
        self, ctx: Context, requests: tuple[NicRequest, ...] | None, security_groups: tuple[str, ...]
    ) -> tuple[NicRequest, ...]:
        """The requested interfaces with their networks, if they are possible now; None asks for the only network.

        Raises BadRequest, Conflict, Forbidden, QuotaExceeded in Nova's words. Changes nothing.
        """
        return await self.db.read(lambda tx: self.servers.check(tx, ctx, requests, security_groups))

    async def allocate_for_server(
        self,
        ctx: Context,
        server_id: str,
        host: str,
        hostname: str,
        requests: tuple[NicRequest, ...],
        security_groups: tuple[str, ...],
    ) -> tuple[NicInfo, ...]:
        """The server has its ports, bound on `host`, in the order of the requests. Safe to repeat, also elsewhere.

        Raises Conflict when an address or port was taken meanwhile, QuotaExceeded, BadRequest.
        """
        place = ServerPlace(server_id, host, hostname)
        allocate = partial(self.servers.allocate, ctx=ctx, server=place, requests=requests, groups=security_groups)
        return await self.insist(allocate, ctx, "ports for a server")

    async def detach_from_server(self, ctx: Context, server_id: str, port_id: str) -> None:
        """The server has no such port: one made for it is gone, its user's own is free. Safe to repeat."""
        detach = partial(self.servers.detach, ctx=ctx, server_id=server_id, port_id=port_id)
        await self.db.write(detach, ctx, why="the server gives up a port")

    @remote(wait=60)
    async def plug_server(self, ctx: Context, server_id: str) -> tuple[Plugged, ...]:
        """The server's ports are real on this host, in order. Safe to repeat. Raises DriverError."""
        return await self.here.plug(ctx, server_id)

    @remote(wait=60)
    async def unplug_server(self, ctx: Context, server_id: str) -> None:
        """The server's ports are real nowhere on this host. Safe to repeat. Raises DriverError."""
        await self.here.unplug(ctx, server_id)

    async def deallocate_for_server(self, ctx: Context, server_id: str) -> None:
        """Ports the cloud made for the server are gone, its user's own are free. Safe to repeat."""
        await self.db.write(lambda tx: self.servers.release(tx, ctx, server_id), ctx, why="the server is gone")

    async def nics_of(self, ctx: Context, server_ids: Sequence[str]) -> dict[str, tuple[NicInfo, ...]]:
        """The interfaces of these servers in order; servers without any are missing."""
        return await self.db.read(lambda tx: self.servers.nics(tx, server_ids))

    async def guest_nics(self, ctx: Context, server_id: str) -> tuple[NicInfo, ...]:
        """The server's interfaces in order, with all that its guest needs to use their addresses."""
        return await self.db.read(lambda tx: self.servers.guest_nics(tx, server_id))

    async def security_groups_of(self, ctx: Context, server_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The names of the groups that these servers' ports are in."""
        return await self.db.read(lambda tx: self.servers.group_names(tx, server_ids))

    async def server_at(self, ctx: Context, network_id: str, ip: str) -> str | None:
        """The server that has this address on this network."""
        return await self.db.read(lambda tx: servers.server_at(tx, network_id, ip))

    # -- for operators

    def troubles(self, tx: Tx) -> dict[str, str]:
        """What is wrong between the hosts, a sentence by what it is about; the driver's troubles are told by rows."""
        return self.room.strategies.troubles(tx)

    def ids_by_name(self, tx: Tx, name: str) -> list[str]:
        """Networks of this name."""
        return [network.id for network in tx.find(Network, name=name, order=(("id", True),))]

    # -- inside

    async def insist(self, fn: Callable[[Tx], T], ctx: Context, why: str) -> T:
        """What a transaction that takes addresses returns; lost against another one for an address, it looks again."""
        for _ in range(ALLOCATION_TRIES):
            try:
                return await self.db.write(fn, ctx, why=why)
            except Duplicate:
                continue
        return await self.db.write(fn, ctx, why=why)
