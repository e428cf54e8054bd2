"""What must be true of the simulated cloud's networks: rows that agree with each other, and hosts that follow them."""

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

from micronova.network.db import FloatingIp, Port, Router, Subnet
from micronova.network.driver import GroupSpec
from micronova.sim.snapshot import Snapshot

SERVICE = "network:"
"""How the owners of ports begin that belong to no server."""


def no_address_or_mac_twice(now: Snapshot) -> Iterator[str]:
    """An address is given once, a MAC is used once on a network."""
    given = [(fixed.subnet_id, fixed.ip) for port in now.ports.values() for fixed in port.fixed_ips]
    for subnet_id, ip in _repeated(given):
        yield f"address {ip} of subnet {subnet_id} is given twice"
    for network_id, mac in _repeated((port.network_id, port.mac) for port in now.ports.values()):
        yield f"MAC {mac} is used twice on network {network_id}"


def addresses_are_those_of_ports(now: Snapshot) -> Iterator[str]:
    """Address rows say what ports say; none belongs to a port or subnet that is gone."""
    rows = {(row.port_id, row.subnet_id, row.ip) for row in now.addresses}
    ports = {(port.id, fixed.subnet_id, fixed.ip) for port in now.ports.values() for fixed in port.fixed_ips}
    for port_id, _, ip in sorted(rows - ports):
        yield f"address {ip} is kept for port {port_id}, which doesn't have it"
    for port_id, _, ip in sorted(ports - rows):
        yield f"port {port_id} has address {ip}, which nobody recorded"
    for row in now.addresses:
        if row.subnet_id not in now.subnets:
            yield f"address {row.ip} is of subnet {row.subnet_id}, which is gone"


def networks_and_groups_hold_together(now: Snapshot) -> Iterator[str]:
    """Subnets, ports, rules and memberships belong to something that is there, and both sides say so."""
    for network in now.networks.values():
        own = {subnet.id for subnet in now.subnets.values() if subnet.network_id == network.id}
        if own != set(network.subnet_ids):
            yield f"network {network.id} lists other subnets than it has"
    placed: list[Subnet | Port] = [*now.subnets.values(), *now.ports.values()]
    for row in placed:
        if row.network_id not in now.networks:
            yield f"{type(row).__name__} {row.id} is on network {row.network_id}, which is gone"
    for rule in now.rules:
        if rule.group_id not in now.groups or (rule.remote_group_id or rule.group_id) not in now.groups:
            yield f"rule {rule.id} names a group that is gone"
    said = {(row.port_id, row.group_id) for row in now.memberships}
    meant = {(port.id, group_id) for port in now.ports.values() for group_id in port.security_group_ids}
    for port_id, group_id in sorted(said ^ meant):
        yield f"port {port_id} and its membership in group {group_id} disagree"
    for _, group_id in sorted(said):
        if group_id not in now.groups:
            yield f"a port is in group {group_id}, which is gone"


def routers_hold_together(now: Snapshot) -> Iterator[str]:
    """A router's ports are there and its own, and both sides say so."""
    said = {(row.router_id, row.id, row.network_id) for row in now.router_ports}
    for router in now.routers.values():
        yield from _gateway(now, router)
        for id in router.interface_ids:
            port = now.ports.get(id)
            if port is None or port.device_id != router.id:
                yield f"router {router.id} has interface {id}, which is gone or another's"
            elif (router.id, id, port.network_id) not in said:
                yield f"router {router.id} has interface {id}, which nobody recorded"
    for router_id, id, _ in sorted(said):
        there = now.routers.get(router_id)
        if there is None or id not in there.interface_ids:
            yield f"interface {id} is recorded for router {router_id}, which doesn't have it"


def _gateway(now: Snapshot, router: Router) -> Iterator[str]:
    if (router.external_network_id is None) != (router.gateway_port_id is None):
        yield f"router {router.id} has a gateway without a port, or the other way round"
    if router.gateway_port_id is not None:
        port = now.ports.get(router.gateway_port_id)
        if port is None or port.network_id != router.external_network_id:
            yield f"router {router.id} has its gateway port {router.gateway_port_id} nowhere, or on another network"


def no_floating_ip_twice(now: Snapshot) -> Iterator[str]:
    """A floating IP is given once, its address is kept by a port of its own, and it stands for one address."""
    rows = now.floating_ips.values()
    for network_id, ip in _repeated((row.floating_network_id, row.floating_ip_address) for row in rows):
        yield f"floating IP {ip} of network {network_id} is given twice"
    stands = [(row.floating_network_id, row.port_id, row.fixed_ip_address) for row in rows if row.port_id]
    for _, port_id, ip in _repeated(stands):
        yield f"several floating IPs stand for {ip} of port {port_id}"
    for row in rows:
        yield from _floating(now, row)


def _floating(now: Snapshot, row: FloatingIp) -> Iterator[str]:
    holder = now.ports.get(row.holder_id)
    if holder is None or row.floating_ip_address not in [fixed.ip for fixed in holder.fixed_ips]:
        yield f"nobody keeps the address of floating IP {row.id}"
    if row.port_id is None:
        if row.router_id or row.fixed_ip_address or row.fixed_network_id:
            yield f"floating IP {row.id} stands for no port and remembers one"
        return
    port = now.ports.get(row.port_id)
    if port is None or row.fixed_ip_address not in [fixed.ip for fixed in port.fixed_ips]:
        yield f"floating IP {row.id} stands for {row.fixed_ip_address} of port {row.port_id}, which isn't there"
    elif port.network_id != row.fixed_network_id:
        yield f"floating IP {row.id} stands for a port on another network than it says"
    router = now.routers.get(row.router_id or "")
    if router is None or router.external_network_id != row.floating_network_id:
        yield f"floating IP {row.id} leads through router {row.router_id}, which does not lead there"


# -- once everything has healed


def machines_have_the_ports_of_rows(now: Snapshot) -> Iterator[str]:
    """Every port that shall be real on a host is, exactly as its rows say, with its network; no other is."""
    for name, machine in now.machines.items():
        wanted, have = now.wanted[name], machine.network
        for id in sorted(set(wanted.ports) - set(have.ports)):
            yield f"port {id} is not real on {name}"
        for id in sorted(set(have.ports) - set(wanted.ports)):
            yield f"{name} has port {id}, which nobody wants there"
        for id in sorted(set(wanted.ports) & set(have.ports)):
            if wanted.ports[id] != have.ports[id]:
                yield f"port {id} on {name} is not as its rows say"
        if have.networks != wanted.networks:
            yield f"{name} has other networks than its ports and their routers need"
        for id, group in wanted.groups.items():
            if have.groups.get(id, GroupSpec(id=id)) != group:
                yield f"{name} knows other members of group {id} than there are"


NETWORK_ALWAYS = (
    no_address_or_mac_twice,
    addresses_are_those_of_ports,
    networks_and_groups_hold_together,
    routers_hold_together,
    no_floating_ip_twice,
)


def _repeated(items: Iterable[Hashable]) -> list[Any]:
    return [item for item, count in Counter(items).items() if count > 1]
