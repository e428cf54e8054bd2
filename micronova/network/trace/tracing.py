"""What operators ask of the network: would a packet from this port reach that address, and if not, why not."""

import ipaddress
from collections.abc import Sequence

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, Conflict, Forbidden, NotFound
from micronova.manager import Manager
from micronova.network import checks, db, duties, specs
from micronova.network.db import Address, AddressGroup, FloatingIp, Port, Router, Rule, SecurityGroup
from micronova.network.room import Room
from micronova.network.trace import Trace, trace
from micronova.network.trace.filters import Book, Probe, within
from micronova.network.trace.scene import Scene, single_pairs

PROTOCOLS = ("icmp", "tcp", "udp")
HIGHEST_PORT = 65535


class Tracing(Manager):
    """The part of the network manager that explains."""

    room: Room

    async def trace(
        self,
        ctx: Context,
        port_id_or_name: str,
        ip: str,
        protocol: str = "icmp",
        port: int | None = None,
        source: str | None = None,
    ) -> Trace:
        """Whether such a packet from the port to the address would pass by what the rows say, and why not.

        The port may be named by its server's id when it is its only one; `source` is an address to pretend to be.
        Raises NotFound, Conflict when several ports fit, BadRequest, and Forbidden to all but admins: it tells of
        other projects' ports.
        """
        if not ctx.is_admin:
            raise Forbidden("Only an admin may trace packets.")
        probe = probe_of(ip, protocol, port)
        pretended = None if source is None else str(_address(source))
        if pretended is not None and (":" in pretended) != (":" in probe.destination):
            raise BadRequest(f"{pretended} and {probe.destination} are addresses of different IP versions")

        def read(tx: Tx) -> Trace:
            sender = find_port(tx, port_id_or_name)
            return trace(self._scene(tx, sender, probe, pretended), probe)

        return await self.db.read(read)

    def _scene(self, tx: Tx, sender: Port, probe: Probe, source: str | None) -> Scene:
        """All rows that the way of the packet may touch."""
        floating = tx.find(FloatingIp, floating_ip_address=probe.destination, order=(("id", True),))
        floating += tx.find(FloatingIp, port_id=sender.id, order=(("id", True),))
        targets = {one.port_id for one in floating if one.port_id}
        own = specs.load(tx, [sender])
        vias = {via for routers in own.layer3.routers.values() for router in routers for _, via in router.routes}
        vias |= {via for subnets in own.subnets.values() for subnet in subnets for _, via in subnet.host_routes}
        vias |= {subnet.gateway_ip for subnets in own.subnets.values() for subnet in subnets if subnet.gateway_ip}
        ports = _holders(tx, {probe.destination, *vias}, set(own.networks), targets)
        view = duties.limited(tx, specs.load(tx, [sender, *ports]), sender.host)
        routers: dict[str, Router] = db.find_all(
            tx, Router, (r.id for its in view.layer3.routers.values() for r in its)
        )
        return Scene(
            source=sender,
            source_ip=source or _source_ip(sender, view, probe),
            networks=view.networks,
            subnets=view.subnets,
            specs={id: specs.network_spec(view, id, self.room.strategies, self.room.options) for id in view.networks},
            ports=tuple(ports),
            floating=tuple(db.by_id(floating).values()),
            names={id: router.name for id, router in routers.items()},
            book=_book(tx, [sender, *ports]),
            spanning=frozenset(
                id for id, row in view.networks.items() if self.room.strategies.of(row.network_type).spans_hosts
            ),
        )


def probe_of(ip: str, protocol: str, port: int | None) -> Probe:
    """The packet that is asked about. Raises BadRequest when there can be no such packet."""
    address = _address(ip)
    unreal = address.is_multicast or address.is_unspecified or address.is_loopback or str(address) == "255.255.255.255"
    if unreal or (address.version == 6 and address.is_link_local):
        raise BadRequest(f"{address} is not an address of one port or machine")
    if protocol not in PROTOCOLS:
        raise BadRequest(f"'{checks.short(protocol)}' is not one of {', '.join(PROTOCOLS)}")
    if protocol == "icmp" and port is not None:
        raise BadRequest("icmp has no ports")
    if protocol != "icmp" and (port is None or not 1 <= port <= HIGHEST_PORT):
        raise BadRequest(f"{protocol} needs a port between 1 and {HIGHEST_PORT}")
    return Probe(destination=str(address), protocol=protocol, port=port)


def find_port(tx: Tx, word: str) -> Port:
    """The port with this id, name or server. Raises NotFound, Conflict."""
    order = (("position", True), ("id", True))
    found = tx.find(Port, id=word)
    if word:
        found = found or tx.find(Port, name=word, order=order) or tx.find(Port, device_id=word, order=order)
    if not found:
        raise NotFound(f"there is no port {checks.short(word)}, and no server of that name or id has one")
    if len(found) > 1:
        ids = ", ".join(f"{port.id} ({' '.join(fixed.ip for fixed in port.fixed_ips)})" for port in found)
        raise Conflict(f"{checks.short(word)} means several ports, name one: {ids}")
    return found[0]


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError as err:
        raise BadRequest(f"'{checks.short(text)}' is not an IP address") from err


def _source_ip(port: Port, view: specs.View, probe: Probe) -> str:
    """What the guest sends from: its address beside the destination, else its first of that version, else ""."""
    cidrs = {subnet.id: subnet.cidr for subnet in view.subnets[port.network_id]}
    own = [fixed for fixed in port.fixed_ips if (":" in fixed.ip) == (":" in probe.destination)]
    near = [fixed for fixed in own if within(probe.destination, cidrs[fixed.subnet_id])]
    return next((fixed.ip for fixed in (*near, *own)), "")


def _holders(tx: Tx, ips: set[str], network_ids: set[str], port_ids: set[str]) -> list[Port]:
    """Ports that have these addresses, on these networks also as allowed pairs, and the ports with these ids."""
    wanted = {row.port_id for row in tx.find(Address, ip=sorted(ips))} | port_ids
    pairing = [port.id for port in tx.find(Port, network_id=sorted(network_ids)) if single_pairs(port) & ips]
    found = db.find_all(tx, Port, {*wanted, *pairing})
    return [found[id] for id in sorted(found)]


def _book(tx: Tx, ports: Sequence[Port]) -> Book:
    """The rules of these ports' groups in the order in which drivers get them."""
    group_ids = sorted({id for port in ports for id in port.security_group_ids})
    order = (("created_at", True), ("id", True))
    rows = tx.find(Rule, group_id=group_ids, order=order) if group_ids else []
    remote = sorted({row.remote_group_id for row in rows if row.remote_group_id is not None})
    groups: dict[str, SecurityGroup] = db.find_all(tx, SecurityGroup, (*group_ids, *remote))
    named = (row.remote_address_group_id for row in rows if row.remote_address_group_id is not None)
    ranges: dict[str, AddressGroup] = db.find_all(tx, AddressGroup, named)
    return Book(
        names={id: group.name for id, group in (*groups.items(), *ranges.items())},
        rules={id: tuple(row for row in rows if row.group_id == id) for id in group_ids},
        members={
            **{id: frozenset(db.addresses_of_group(tx, id)) for id in remote},
            **{id: frozenset(group.addresses) for id, group in ranges.items()},
        },
    )
