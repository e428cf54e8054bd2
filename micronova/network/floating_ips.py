"""Floating IPs: an address of an external network, kept by a port of ours, that stands for one address of a port."""

from collections.abc import Sequence

from micronova.context import Context
from micronova.db import Tx
from micronova.network import db, ipam, networks, qos_policies, resources, standing
from micronova.network.attributes import Values
from micronova.network.collection import Collection, Found
from micronova.network.db import (
    FixedIp,
    FloatingIp,
    Network,
    Port,
    PortForwarding,
    Router,
    RouterPort,
    Subnet,
    forwardings_of,
)
from micronova.network.ports import Ports
from micronova.network.refusals import bad_for, refusal
from micronova.network.room import Room

OWNER = "network:floatingip"
NO_STATUS = "N/A"
NEEDED_ON_HOSTS = ("port_id", "fixed_ip_address", "qos_policy_id")


class FloatingIps(Collection[FloatingIp]):
    """All floating IPs."""

    resource = resources.FLOATING_IP
    row = FloatingIp

    def __init__(self, room: Room, ports: Ports) -> None:
        super().__init__(room)
        self._ports = ports

    def found(self, tx: Tx, rows: Sequence[FloatingIp]) -> Found[FloatingIp]:
        """The floating IPs with the ports they stand for (None for none), and then their forwardings."""
        ports = db.find_all(tx, Port, (row.port_id for row in rows if row.port_id))
        forwardings = forwardings_of(tx, (row.id for row in rows))
        parts = {row.id: [ports.get(row.port_id or ""), *forwardings.get(row.id, ())] for row in rows}
        return Found(list(rows), parts)

    def insert(self, tx: Tx, ctx: Context, values: Values) -> FloatingIp:
        """Give it an address that no other has, and have it stand for a port where one is named."""
        network = networks.usable(tx, ctx, values["floating_network_id"])
        if not network.external:
            raise bad_for("floatingip", f"Network {network.id} is not a valid external network")
        port_id, fixed_ip = values.pop("port_id", None), values.pop("fixed_ip_address", None)
        qos_policies.usable(tx, ctx, values.get("qos_policy_id"))
        values = self.standard(tx, values)
        holder = self._holder(tx, ctx, network, values)
        row = FloatingIp(**values, floating_ip_address=holder.fixed_ips[0].ip, holder_id=holder.id)
        stored = tx.insert(row)
        place = self._place(tx, ctx, stored, port_id, fixed_ip)
        stored = tx.change(stored, **place)
        self._tell(tx, ctx, stored)
        return stored

    def alter(self, tx: Tx, ctx: Context, row: FloatingIp, values: Values) -> FloatingIp:
        """It stands for what is asked for; the hosts of the port it leaves and of the one it meets follow."""
        values = dict(values) or {"port_id": None}  # nothing asked for is an old way to take it off
        fixed_ip = values.pop("fixed_ip_address", None)
        if "port_id" in values:
            values.update(self._place(tx, ctx, row, values.pop("port_id"), fixed_ip))
        elif fixed_ip is not None:
            values.update(self._place(tx, ctx, row, row.port_id, fixed_ip))
        if "qos_policy_id" in values:
            qos_policies.replaceable(tx, ctx, row.qos_policy_id, values["qos_policy_id"])
        changed = self.touch(tx, row, values)
        if any(getattr(row, name) != getattr(changed, name) for name in NEEDED_ON_HOSTS):
            self._tell(tx, ctx, row, changed)
        return changed

    def erase(self, tx: Tx, ctx: Context, row: FloatingIp) -> None:
        """The address is free. Raises InUse while it has forwardings."""
        _check_no_forwarding(tx, row)
        holder = tx.get(Port, row.holder_id)
        tx.delete(row)
        self._ports.remove(tx, ctx, holder)
        self._tell(tx, ctx, row)

    # -- its own address

    def _holder(self, tx: Tx, ctx: Context, network: Network, values: Values) -> Port:
        """A port on the external network that keeps the address: what makes it nobody else's."""
        subnet_id, ip = values.pop("subnet_id"), values.pop("floating_ip_address", None)
        fours = tx.find(Subnet, network_id=network.id, ip_version=4, order=(("created_at", True), ("id", True)))
        if not fours:
            raise bad_for("floatingip", f"Network {network.id} does not contain any IPv4 subnet")
        if subnet_id is not None and subnet_id not in [subnet.id for subnet in fours]:
            raise bad_for("floatingip", f"Subnet {subnet_id} is no IPv4 subnet of network {network.id}")
        if ip is not None and ipam.version_of(ip) != 4:
            raise bad_for("floatingip", f"Floating IP address {ip} is no IPv4 address")
        made: Values = {
            "project_id": "",
            "network_id": network.id,
            "device_id": values["id"],
            "device_owner": OWNER,
            "port_security_enabled": False,
            "status": NO_STATUS,
        }
        if ip is not None or subnet_id is not None:
            return self._ports.place(tx, ctx, {**made, "fixed_ips": ((subnet_id, ip),)})
        fitting = [subnet for subnet in fours if not subnet.service_types or OWNER in subnet.service_types]
        for subnet in fitting[:-1]:
            if not self._full(tx, subnet):
                return self._ports.place(tx, ctx, {**made, "fixed_ips": ((subnet.id, None),)})
        last = (fitting or fours)[-1]
        return self._ports.place(tx, ctx, {**made, "fixed_ips": ((last.id, None),)})

    def _full(self, tx: Tx, subnet: Subnet) -> bool:
        return db.addresses_per_subnet(tx, subnet.network_id).get(subnet.id, 0) >= ipam.size(subnet.pools)

    # -- what it stands for

    def _place(self, tx: Tx, ctx: Context, row: FloatingIp, port_id: str | None, fixed_ip: str | None) -> Values:
        """What of the row says for which address it stands. Raises what makes that impossible."""
        if port_id is None:
            if fixed_ip is not None:
                raise bad_for("floatingip", "fixed_ip_address cannot be specified without a port_id")
            return {} if row.port_id is None else standing.FREE
        _check_no_forwarding(tx, row)
        port = self._ports.visible(tx, ctx, port_id)
        if port.project_id != row.project_id and not ctx.is_admin:
            raise bad_for(
                "floatingip",
                f"Port {port.id} is associated with a different tenant than Floating IP {row.id} and therefore cannot "
                "be bound",
            )
        fixed = _chosen(port, fixed_ip)
        router_id = self.router_for(tx, row, port, fixed)
        self._check_alone(tx, row, port, fixed)
        if tx.count(PortForwarding, internal_port_id=port.id):
            raise refusal(
                "PortHasPortForwarding",
                f"Cannot associate floating IP to port {port.id} because it already has a Port Forwarding binding.",
            )
        return {
            "port_id": port.id,
            "fixed_ip_address": fixed.ip,
            "fixed_network_id": port.network_id,
            "router_id": router_id,
            "status": "ACTIVE",
        }

    def router_for(self, tx: Tx, row: FloatingIp, port: Port, fixed: FixedIp) -> str:
        """The router by which the external network is reached from the address; its gateway's, if there are several."""
        subnet = tx.get(Subnet, fixed.subnet_id)
        links = tx.find(RouterPort, network_id=port.network_id, order=(("id", True),))
        joints = db.find_all(tx, Port, (link.id for link in links))
        routers = db.find_all(tx, Router, (link.router_id for link in links))
        found: list[tuple[bool, str]] = []
        for link in links:
            if routers[link.router_id].external_network_id != row.floating_network_id:
                continue
            its = [one.ip for one in joints[link.id].fixed_ips if one.subnet_id == subnet.id]
            found += [(ip != subnet.gateway_ip, link.router_id) for ip in its]
        if not found:
            raise refusal(
                "ExternalGatewayForFloatingIPNotFound",
                f"External network {row.floating_network_id} is not reachable from subnet {subnet.id}.  Therefore, "
                f"cannot associate Port {port.id} with a Floating IP.",
            )
        # the router is touched, so that its gateway or interface can't go at the same moment
        router_id = min(found)[1]
        tx.change(routers[router_id], updated_at=tx.now)
        return router_id

    def _check_alone(self, tx: Tx, row: FloatingIp, port: Port, fixed: FixedIp) -> None:
        other = tx.first(
            FloatingIp, port_id=port.id, fixed_ip_address=fixed.ip, floating_network_id=row.floating_network_id
        )
        if other is not None and other.id != row.id:
            raise refusal(
                "FloatingIPPortAlreadyAssociated",
                f"Cannot associate floating IP {row.floating_ip_address} ({row.id}) with port {port.id} using fixed IP "
                f"{fixed.ip}, as that fixed IP already has a floating IP on external network "
                f"{row.floating_network_id}.",
            )

    def _tell(self, tx: Tx, ctx: Context, *versions: FloatingIp) -> None:
        """Hosts of the ports it stands or stood for follow."""
        ports = db.find_all(tx, Port, (row.port_id for row in versions if row.port_id))
        self.room.tell(tx, ctx, {port.host for port in ports.values() if port.status == "ACTIVE"})


def addresses_of(tx: Tx, port_ids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Floating IPs that stand for these ports, by port; ports without any are missing."""
    found: dict[str, list[str]] = {}
    if port_ids:
        for row in tx.find(FloatingIp, port_id=list(port_ids), order=(("floating_ip_address", True), ("id", True))):
            found.setdefault(str(row.port_id), []).append(row.floating_ip_address)
    return {id: tuple(ips) for id, ips in found.items()}


def _check_no_forwarding(tx: Tx, row: FloatingIp) -> None:
    """Raises InUse while some of its ports stand for somebody's."""
    if tx.count(PortForwarding, floatingip_id=row.id):
        raise refusal("FipInUseByPortForwarding", f"Floating IP {row.id} in use by Port Forwarding resources.")


def _chosen(port: Port, asked: str | None) -> FixedIp:
    """The address it shall stand for. Raises BadRequest."""
    fours = [fixed for fixed in port.fixed_ips if ":" not in fixed.ip]
    if asked is not None:
        for fixed in fours:
            if fixed.ip == asked:
                return fixed
        raise bad_for("floatingip", f"Port {port.id} does not have fixed ip {asked}")
    if not fours:
        raise bad_for("floatingip", f"Cannot add floating IP to port {port.id} that has no fixed IPv4 addresses")
    if len(fours) > 1:
        raise bad_for(
            "floatingip",
            f"Port {port.id} has multiple fixed IPv4 addresses.  Must provide a specific IPv4 address when assigning a "
            "floating IP",
        )
    return fours[0]
