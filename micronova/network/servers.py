"""What servers need of the network: which requests are possible, ports made and bound for them, what they have.

The sentences are Nova's, whose users read them (Compute API reference, "Create server").
"""

from collections.abc import Sequence

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, Conflict, Forbidden, InUse, NotFound, QuotaExceeded
from micronova.network import checks, db, floating_ips, ipam, networks, quotas, security_groups, subports
from micronova.network.contract import NicAddress, NicInfo, NicRequest
from micronova.network.db import Address, Network, Port, SecurityGroup, Subnet
from micronova.network.ports import Ports
from micronova.network.room import Room
from micronova.network.sharing import is_given
from micronova.network.topologies import Topologies

OWNER = "compute:"


class ServerPorts:
    """The ports of servers."""

    def __init__(self, room: Room, ports: Ports, topologies: Topologies) -> None:
        self._room = room
        self._ports = ports
        self._topologies = topologies

    # -- before there is a server

    def check(
        self, tx: Tx, ctx: Context, requests: tuple[NicRequest, ...] | None, groups: Sequence[str]
    ) -> tuple[NicRequest, ...]:
        """The requests with their networks filled in; None means the one network there is.

        Raises BadRequest, Conflict, Forbidden, QuotaExceeded.
        """
        group_ids(tx, ctx, groups)
        if requests is None:
            requests = self._automatic(tx, ctx)
        named = [request.port_id for request in requests if request.port_id is not None]
        if len(set(named)) != len(named):
            raise BadRequest("A port can't be requested twice for one server.")
        found = tuple(self._check_one(tx, ctx, request) for request in requests)
        self._check_quota(tx, ctx, sum(1 for request in found if request.port_id is None))
        return found

    def _automatic(self, tx: Tx, ctx: Context) -> tuple[NicRequest, ...]:
        there = db.find_all(tx, Network, networks.ids_in_reach(tx, ctx)).values()
        usable = [network for network in there if not network.external and network.subnet_ids]
        own = [network for network in usable if network.project_id == ctx.project_id]
        usable = own or usable
        if len(usable) > 1:
            raise Conflict("Multiple possible networks found, use a Network ID to be more specific.")
        return tuple(NicRequest(network_id=network.id) for network in usable)

    def _check_one(self, tx: Tx, ctx: Context, request: NicRequest) -> NicRequest:
        if request.port_id is not None:
            port = tx.first(Port, id=request.port_id)
            if port is None or not (ctx.is_admin or self._ports.sees(tx, ctx, port)):
                raise BadRequest(f"Port id {request.port_id} could not be found.")
            if port.device_id or subports.is_carried(tx, port.id):
                raise InUse(f"Port {port.id} is still in use.")
            return msgspec.structs.replace(request, network_id=port.network_id)
        if request.auto:
            return self._check_auto(tx, ctx, request)
        if request.network_id is None:
            raise BadRequest("A network or a port must be given.")
        network = tx.first(Network, id=request.network_id)
        if network is None or not (ctx.is_admin or networks.seen_by(tx, ctx, network)):
            raise BadRequest(f"Network {request.network_id} could not be found.")
        if not (ctx.is_admin or networks.open_to(ctx, network)):
            raise Forbidden(f"It is not allowed to create an interface on external network {network.id}")
        if not network.subnet_ids:
            raise BadRequest(f"Network {network.id} requires a subnet in order to boot instances on.")
        if request.fixed_ip is not None:
            return msgspec.structs.replace(request, fixed_ip=self._check_ip(tx, network, request.fixed_ip))
        return request

    def _check_auto(self, tx: Tx, ctx: Context, request: NicRequest) -> NicRequest:
        """On the network there is; or as it was, if one can be made when the server gets its ports."""
        found = self._automatic(tx, ctx)
        if found:
            return msgspec.structs.replace(request, network_id=found[0].network_id, auto=False)
        try:
            self._topologies.check(tx)
        except Conflict as err:
            raise BadRequest(
                f"Unable to automatically allocate a network for project {ctx.project_id}", reason=err.message
            ) from err
        return request

    def _check_ip(self, tx: Tx, network: Network, given: str) -> str:
        try:
            ip: str = checks.ip(given)
        except ValueError as err:
            raise BadRequest(f"Invalid fixed IP address {checks.short(given)}.") from err
        subnets = tx.find(Subnet, network_id=network.id)
        if not any(ipam.overlapping(ipam.network_of(ip), [subnet.cidr]) for subnet in subnets):
            raise BadRequest(f"Fixed IP address {ip} is not in any subnet of network {network.id}.")
        user = _user_of(tx, network.id, ip)
        if user is not None:
            raise BadRequest(_in_use(ip, user))
        return ip

    def _check_quota(self, tx: Tx, ctx: Context, count: int) -> None:
        if not count:
            return
        try:
            quotas.admit(tx, self._room.quota, ctx.project_id, "port", count)
        except QuotaExceeded as err:
            raise QuotaExceeded("Maximum number of ports exceeded") from err

    # -- its ports

    def allocate(
        self, tx: Tx, ctx: Context, server: "ServerPlace", requests: Sequence[NicRequest], groups: Sequence[str]
    ) -> tuple[NicInfo, ...]:
        """The server has a port bound on its host for each request; what it has already is kept."""
        have = {port.position: port for port in db.ports_of_devices(tx, [server.server_id])}
        ids = group_ids(tx, ctx, groups)
        for position, request in enumerate(requests):
            port = have.get(position)
            if port is None:
                self._new(tx, ctx, server, position, request, ids)
            elif port.host != server.host:
                self._bind(tx, ctx, port, server, position, request)
        return self.nics(tx, [server.server_id]).get(server.server_id, ())

    def _new(
        self, tx: Tx, ctx: Context, server: "ServerPlace", position: int, request: NicRequest, ids: tuple[str, ...]
    ) -> Port:
        if request.port_id is not None:
            port = tx.first(Port, id=request.port_id)
            if port is None:
                raise BadRequest(f"Port id {request.port_id} could not be found.")
            if port.device_id not in ("", server.server_id) or subports.is_carried(tx, port.id):
                raise InUse(f"Port {port.id} is still in use.")
            return self._bind(tx, ctx, port, server, position, request)
        network = networks.usable(tx, ctx, self._network(tx, ctx, request))
        values = {
            "project_id": ctx.project_id,
            "network_id": network.id,
            "device_id": server.server_id,
            "device_owner": OWNER + self._room.zone,
            "host": server.host,
            "dns_name": server.hostname,
            "owned": True,
            "tag": request.tag,
            "position": position,
        }
        if request.fixed_ip is not None:
            values["fixed_ips"] = ((None, request.fixed_ip),)
        if network.port_security_enabled and ids:
            values["security_group_ids"] = ids
        return self._ports.make(tx, ctx, values)

    def _network(self, tx: Tx, ctx: Context, request: NicRequest) -> str:
        """The network of the request, which is made for its project where it has none and asked for any."""
        if not request.auto:
            return str(request.network_id)
        found = self._automatic(tx, ctx)
        return str(found[0].network_id) if found else self._topologies.ensure(tx, ctx, ctx.project_id)

    def _bind(
        self, tx: Tx, ctx: Context, port: Port, server: "ServerPlace", position: int, request: NicRequest
    ) -> Port:
        bound = tx.change(
            port,
            device_id=server.server_id,
            device_owner=OWNER + self._room.zone,
            host=server.host,
            status=port.status if port.host == server.host else "DOWN",
            dns_name=port.dns_name or server.hostname,
            tag=request.tag,
            position=position,
            updated_at=tx.now,
        )
        db.follow_port(tx, bound)
        self._ports.told(tx, ctx, port, bound)
        return bound

    def release(self, tx: Tx, ctx: Context, server_id: str) -> None:
        """Ports made for the server are gone; its user's own are free for another one."""
        for port in db.ports_of_devices(tx, [server_id]):
            self._let_go(tx, ctx, port)

    def _let_go(self, tx: Tx, ctx: Context, port: Port) -> None:
        if port.owned:
            self._ports.remove(tx, ctx, port)
            return
        free = tx.change(
            port, device_id="", device_owner="", host="", status="DOWN", tag=None, position=0, updated_at=tx.now
        )
        db.follow_port(tx, free)
        self._ports.told(tx, ctx, port, free)

    # -- one more, one less

    def attach(self, tx: Tx, ctx: Context, server: "ServerPlace", request: NicRequest) -> str:
        """The server has one more port, bound on its host and not yet real; returns its id.

        Raises NotFound, InUse, and what `check` raises (Compute API reference, "Create Interface").
        """
        if request.port_id is None and request.network_id is None:
            request = self._only_network(tx, ctx, request)
        self._check_there(tx, ctx, request)
        (checked,) = self.check(tx, ctx, (request,), ())
        have = db.ports_of_devices(tx, [server.server_id])
        position = max((port.position for port in have), default=-1) + 1
        return self._new(tx, ctx, server, position, checked, ()).id

    def _only_network(self, tx: Tx, ctx: Context, request: NicRequest) -> NicRequest:
        try:
            found = self._automatic(tx, ctx)
        except Conflict as err:
            raise BadRequest(err.message) from err
        if not found:
            raise BadRequest(
                f"No specific network was requested and none are available for project '{ctx.project_id}'."
            )
        return msgspec.structs.replace(request, network_id=found[0].network_id)

    def _check_there(self, tx: Tx, ctx: Context, request: NicRequest) -> None:
        """What a new server's order would be refused for as wrong is here missing, or in use."""
        if request.port_id is not None:
            port = tx.first(Port, id=request.port_id)
            if port is None or not (ctx.is_admin or self._ports.sees(tx, ctx, port)):
                raise NotFound(f"Port id {request.port_id} could not be found.")
            return
        network_id = str(request.network_id)
        try:
            networks.usable(tx, ctx, network_id)
        except NotFound as err:
            raise NotFound(f"Network {network_id} could not be found.") from err
        user = _user_of(tx, network_id, request.fixed_ip) if request.fixed_ip else None
        if user is not None:
            raise InUse(_in_use(str(request.fixed_ip), user))

    def detach(self, tx: Tx, ctx: Context, server_id: str, port_id: str) -> None:
        """The server has no such port: one made for it is gone, its user's own is free. Safe to repeat."""
        port = tx.first(Port, id=port_id)
        if port is not None and port.device_id == server_id:
            self._let_go(tx, ctx, port)

    # -- what it has

    def guest_nics(self, tx: Tx, server_id: str) -> tuple[NicInfo, ...]:
        """The server's interfaces in order, with all that its guest needs to use their addresses."""
        nics = self.nics(tx, [server_id]).get(server_id, ())
        subnets: dict[str, Subnet] = db.find_all(tx, Subnet, (id for nic in nics for id, _, _ in nic.fixed_ips))
        usual = self._room.options.dns
        found = []
        for nic in nics:
            told = self._room.strategy_of(tx, nic.network_id).wants_dhcp
            here = ((subnets[id], ip) for id, ip, _ in nic.fixed_ips)
            addresses = tuple(guest_address(subnet, ip, usual, told=told(subnet)) for subnet, ip in here)
            found.append(msgspec.structs.replace(nic, addresses=addresses))
        return tuple(found)

    def nics(self, tx: Tx, server_ids: Sequence[str]) -> dict[str, tuple[NicInfo, ...]]:
        """The interfaces of these servers, in order; servers without any are missing."""
        if not server_ids:
            return {}
        ports = db.ports_of_devices(tx, server_ids)
        known = db.find_all(tx, Network, (port.network_id for port in ports))
        floating = floating_ips.addresses_of(tx, [port.id for port in ports])
        found: dict[str, list[NicInfo]] = {}
        for port in ports:
            nic = _nic(port, known[port.network_id], floating.get(port.id, ()))
            found.setdefault(port.device_id, []).append(nic)
        return {id: tuple(nics) for id, nics in found.items()}

    def group_names(self, tx: Tx, server_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The names of the groups these servers' ports are in, each once, in order of the ports."""
        if not server_ids:
            return {}
        ports = db.ports_of_devices(tx, server_ids)
        groups = db.find_all(tx, SecurityGroup, (id for port in ports for id in port.security_group_ids))
        found: dict[str, dict[str, None]] = {}
        for port in ports:
            names = found.setdefault(port.device_id, {})
            names.update((groups[id].name, None) for id in port.security_group_ids)
        return {id: tuple(names) for id, names in found.items()}


class ServerPlace(msgspec.Struct, frozen=True):
    """A server and where it is."""

    server_id: str
    host: str
    hostname: str


def guest_address(subnet: Subnet, ip: str, dns: Sequence[str], *, told: bool) -> NicAddress:
    """An address as its guest sees it; `told` when somebody on the network tells guests of theirs."""
    automatic = "dhcp" if subnet.ip_version == 4 else subnet.ipv6_address_mode or subnet.ipv6_ra_mode
    default = "0.0.0.0/0" if subnet.ip_version == 4 else "::/0"
    gateway = ((default, subnet.gateway_ip),) if subnet.gateway_ip is not None else ()
    usual = tuple(address for address in dns if ipam.version_of(address) == subnet.ip_version)
    return NicAddress(
        ip=ip,
        cidr=subnet.cidr,
        mode=(automatic if told else None) or "static",
        routes=(*gateway, *subnet.host_routes),
        dns=subnet.dns_nameservers or usual,
    )


def group_ids(tx: Tx, ctx: Context, asked: Sequence[str]) -> tuple[str, ...]:
    """The project's groups by name or id. `default` may not have been made yet and then stands for nothing.

    Raises BadRequest for one that is not there, Conflict for a name that several have.
    """
    found = []
    for given in dict.fromkeys(asked):
        by_name = tx.find(SecurityGroup, project_id=ctx.project_id, name=given, limit=2)
        if len(by_name) > 1:
            raise Conflict(f"Multiple security groups found matching '{given}'. Use an ID to be more specific.")
        group = by_name[0] if by_name else tx.first(SecurityGroup, id=given)
        if group is not None and (
            ctx.is_admin or group.shared or group.project_id == ctx.project_id or is_given(tx, ctx.project_id, group.id)
        ):
            found.append(group.id)
        elif given != security_groups.DEFAULT:
            raise BadRequest(f"Security group {given} not found for project {ctx.project_id}.")
    return tuple(found)


def _user_of(tx: Tx, network_id: str, ip: str) -> str | None:
    """The device that has this address on this network, "" for a port that no device has; None: it is free."""
    taken = tx.first(Address, network_id=network_id, ip=ip)
    return tx.get(Port, taken.port_id).device_id if taken is not None else None


def _in_use(ip: str, user: str) -> str:
    return f"Fixed IP address {ip} is already in use on instance {user or 'none'}."


def server_at(tx: Tx, network_id: str, ip: str) -> str | None:
    """The server that has this address on this network."""
    address = tx.first(Address, network_id=network_id, ip=ip)
    port = tx.first(Port, id=address.port_id) if address is not None else None
    return port.device_id if port is not None and port.device_owner.startswith(OWNER) else None


def _nic(port: Port, network: Network, floating: tuple[str, ...]) -> NicInfo:
    return NicInfo(
        port_id=port.id,
        network_id=network.id,
        network_label=network.name,
        mac=port.mac,
        fixed_ips=tuple((fixed.subnet_id, fixed.ip, ipam.version_of(fixed.ip)) for fixed in port.fixed_ips),
        floating_ips=floating,
        created=port.owned,
        tag=port.tag,
        mtu=network.mtu,
        device_id=port.device_id,
        status=port.status,
    )
