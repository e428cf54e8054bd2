"""What a port is to layer 3: a router's interface, what keeps a floating IP, or what one stands for."""

from collections.abc import Collection
from typing import Any

from micronova.db import Tx
from micronova.network import ipam
from micronova.network.db import Address, FixedIp, FloatingIp, Port, PortForwarding, Router, RouterPort, Subnet
from micronova.network.refusals import bad_for, refusal

ROLE = ("device_id", "device_owner")


def serves(tx: Tx, port: Port) -> bool:
    """Whether a router or floating IP there is needs the port."""
    return (
        tx.first(RouterPort, id=port.id) is not None
        or tx.first(Router, id=port.device_id, gateway_port_id=port.id) is not None
        or tx.first(FloatingIp, holder_id=port.id) is not None
    )


def leave(tx: Tx, port: Port, kept: Collection[str]) -> None:
    """Floating IPs, or some of their ports, stand for none of the port's addresses but those that are kept."""
    for row in tx.find(FloatingIp, port_id=port.id):
        if row.fixed_ip_address not in kept:
            tx.change(row, **FREE, updated_at=tx.now)
    for forwarding in tx.find(PortForwarding, internal_port_id=port.id):
        if forwarding.internal_ip_address not in kept:
            drop_forwarding(tx, forwarding)


def drop_forwarding(tx: Tx, row: PortForwarding) -> None:
    """The forwarding is gone; with the last one its floating IP is no router's any more."""
    tx.delete(row)
    floating = tx.get(FloatingIp, row.floatingip_id)
    last = not tx.count(PortForwarding, floatingip_id=row.floatingip_id)
    tx.change(floating, **(FREE if last else {}), updated_at=tx.now)


def check_role(tx: Tx, port: Port, values: dict[str, Any]) -> None:
    """Raises what a change would break: a router's port stays the router's, and within what the router joins."""
    leaves = any(values.get(name, getattr(port, name)) != getattr(port, name) for name in ROLE)
    if not leaves and "fixed_ips" not in values:
        return
    if not port.device_owner.startswith("network:") or not serves(tx, port):
        return
    if leaves:
        raise refusal(
            "UnsupportedPortDeviceOwner",
            f"Port {port.id} serves {port.device_owner} {port.device_id}: its device_id and device_owner stay.",
        )
    link = tx.first(RouterPort, id=port.id)
    if link is None:
        raise bad_for("port", f"the addresses of port {port.id} belong to {port.device_owner} {port.device_id}")
    _check_interface(tx, port, values["fixed_ips"], tx.get(Router, link.router_id))


def _check_interface(tx: Tx, port: Port, fixed_ips: tuple[FixedIp, ...], router: Router) -> None:
    """The interface's new addresses fit with the router's other networks, routes and floating IPs."""
    if not fixed_ips:
        raise bad_for("router", "Router port must have at least one fixed IP")
    here = {fixed.subnet_id for fixed in fixed_ips}
    for subnet_id in sorted({fixed.subnet_id for fixed in port.fixed_ips} - here):
        check_unneeded(tx, router, tx.get(Subnet, subnet_id))
    new = here - {fixed.subnet_id for fixed in port.fixed_ips}
    check_ranges(tx, router, [tx.get(Subnet, id) for id in sorted(new)])
    tx.change(router, updated_at=tx.now)


def check_ranges(tx: Tx, router: Router, subnets: Collection[Subnet]) -> None:
    """Raises BadRequest when the router has one of these subnets, or one that overlaps with them, already."""
    joined = tx.find(Port, id=[*router.interface_ids, *filter(None, [router.gateway_port_id])])
    ids = {fixed.subnet_id for port in joined for fixed in port.fixed_ips}
    there = tx.find(Subnet, id=sorted(ids), order=(("id", True),)) if ids else []
    for subnet in subnets:
        if subnet.id in ids:
            raise bad_for("router", f"Router already has a port on subnet {subnet.id}")
        for other in there:
            if ipam.overlapping(ipam.network_of(subnet.cidr), [other.cidr]):
                raise bad_for(
                    "router",
                    f"Cidr {subnet.cidr} of subnet {subnet.id} overlaps with cidr {other.cidr} of subnet {other.id}",
                )


def check_unneeded(tx: Tx, router: Router, subnet: Subnet) -> None:
    """Raises InUse while a floating IP or an extra route needs the router's interface on the subnet."""
    said = f"Router interface for subnet {subnet.id} on router {router.id} cannot be deleted, as it is required by one"
    net = ipam.network_of(subnet.cidr)
    for row in tx.find(FloatingIp, router_id=router.id):
        if row.fixed_network_id == subnet.network_id and ipam.within(net, str(row.fixed_ip_address)):
            raise refusal("RouterInterfaceInUseByFloatingIP", f"{said} or more floating IPs.")
    for forwarding in tx.find(PortForwarding, fixed_network_id=subnet.network_id):
        if ipam.within(net, forwarding.internal_ip_address) and tx.count(
            FloatingIp, id=forwarding.floatingip_id, router_id=router.id
        ):
            raise refusal("RouterInterfaceInUseByFloatingIP", f"{said} or more port forwardings.")
    if any(ipam.within(net, nexthop) for _, nexthop in router.routes):
        raise refusal("RouterInterfaceInUseByRoute", f"{said} or more routes.")


def drop_unused_floating(tx: Tx, network_id: str) -> None:
    """Floating IPs of the external network that stand for nothing are gone, with what kept their addresses."""
    for row in tx.find(FloatingIp, floating_network_id=network_id, port_id=None, router_id=None):
        for address in tx.find(Address, port_id=row.holder_id):
            tx.delete(address)
        tx.delete(tx.get(Port, row.holder_id))
        tx.delete(row)


FREE: dict[str, Any] = {
    "port_id": None,
    "fixed_ip_address": None,
    "fixed_network_id": None,
    "router_id": None,
    "status": "DOWN",
}
"""What a floating IP is while it stands for none."""
