"""Port forwardings: some ports of a floating IP that stand for ports of a port's address, each its own one."""

from typing import Any

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import NotFound
from micronova.network import resources, standing
from micronova.network.attributes import Values
from micronova.network.db import FixedIp, FloatingIp, Port, PortForwarding, places_of
from micronova.network.floating_ips import FloatingIps
from micronova.network.l3_specs import ends
from micronova.network.nested import Nested
from micronova.network.ports import Ports
from micronova.network.refusals import bad_for, refusal
from micronova.network.room import Room

SIDES = ("external", "internal")


class PortForwardings(Nested[PortForwarding]):
    """The forwardings of all floating IPs."""

    resource = resources.PORT_FORWARDING
    row = PortForwarding
    parent_column = "floatingip_id"

    def __init__(self, room: Room, floating_ips: FloatingIps, ports: Ports) -> None:
        super().__init__(room, floating_ips)
        self._floating_ips = floating_ips
        self._ports = ports

    def insert(self, tx: Tx, ctx: Context, values: Values) -> PortForwarding:
        """Store it; the floating IP is its router's from now on, and the port's host follows.

        Raises BadRequest for what collides or can't be reached, Conflict while either side is bound by a floating IP.
        """
        floating = tx.get(FloatingIp, values["floatingip_id"])
        values = {**values, **_both_ranges(values, {})}
        self._check_port_free(tx, values["internal_port_id"])
        if floating.port_id is not None:
            raise refusal(
                "FloatingIPPortAlreadyAssociated",
                f"Cannot associate floating IP {floating.floating_ip_address} ({floating.id}) with port "
                f"{values['internal_port_id']}, as that floating IP already stands for port {floating.port_id}.",
            )
        port = self._ports.visible(tx, ctx, values["internal_port_id"])
        values.update(self._place(tx, ctx, floating, port, values.get("internal_ip_address")))
        self._check_collisions(tx, values)
        row = tx.insert(PortForwarding(**self.standard(tx, values)))
        self._tell(tx, ctx, row)
        return row

    def alter(self, tx: Tx, ctx: Context, row: PortForwarding, values: Values) -> PortForwarding:
        """Store the new values; the hosts of the port it leaves and of the one it meets follow."""
        floating = tx.get(FloatingIp, row.floatingip_id)
        values = {**values, **_both_ranges(values, {side: getattr(row, f"{side}_port_range") for side in SIDES})}
        port = self._ports.visible(tx, ctx, values.get("internal_port_id", row.internal_port_id))
        if port.id != row.internal_port_id:
            self._check_port_free(tx, port.id)
        ip = values.get("internal_ip_address", row.internal_ip_address if port.id == row.internal_port_id else None)
        values.update(self._place(tx, ctx, floating, port, ip, other=row.id))
        now = {name: getattr(row, name) for name in ("id", "floatingip_id", "protocol")}
        self._check_collisions(tx, {**now, **values, "internal_port_id": port.id})
        changed = self.touch(tx, row, values)
        self._tell(tx, ctx, row, changed)
        return changed

    def erase(self, tx: Tx, ctx: Context, row: PortForwarding) -> None:
        """It is gone; with the last one the floating IP is no router's any more."""
        standing.drop_forwarding(tx, row)
        self._tell(tx, ctx, row)

    def _check_port_free(self, tx: Tx, port_id: str) -> None:
        other = tx.first(FloatingIp, port_id=port_id)
        if other is not None:
            raise refusal(
                "PortHasBindingFloatingIP",
                f"Cannot create port forwarding to floating IP {other.floating_ip_address} ({other.id}) with port "
                f"{port_id} using fixed IP {other.fixed_ip_address}, as that port already has a binding floating IP.",
            )

    def _place(self, tx: Tx, ctx: Context, floating: FloatingIp, port: Port, ip: str | None, other: str = "") -> Values:
        """What of the row says where it leads; the floating IP is the router's on that way. Raises BadRequest."""
        if port.project_id != floating.project_id and not ctx.is_admin:
            raise bad_for(
                "port_forwarding",
                f"Port {port.id} is associated with a different tenant than Floating IP {floating.id} and therefore "
                "cannot be bound",
            )
        fixed = _chosen(port, ip)
        try:
            router_id = self._floating_ips.router_for(tx, floating, port, fixed)
        except NotFound as err:
            raise bad_for(
                "port_forwarding",
                f"External network {floating.floating_network_id} is not reachable from subnet {fixed.subnet_id}. "
                f"Cannot set Port forwarding for port {port.id} with Floating IP {floating.id}",
            ) from err
        others = [row for row in tx.find(PortForwarding, floatingip_id=floating.id) if row.id != other]
        if floating.router_id not in (None, router_id) and others:
            raise bad_for(
                "port_forwarding",
                f"The Floating IP {floating.id} had been set on router {floating.router_id}, the internal Neutron port "
                f"{port.id} can not reach it",
            )
        if any(row.fixed_network_id != port.network_id for row in others):
            raise bad_for(
                "port_forwarding",
                f"Port forwardings of Floating IP {floating.id} lead to network {others[0].fixed_network_id}: all of "
                "them lead to the same one",
            )
        self._check_same_host(tx, floating, port, [row.internal_port_id for row in others])
        # touched in any case, so that no two that collide can both win
        tx.change(floating, router_id=router_id, status="ACTIVE", updated_at=tx.now)
        return {"internal_ip_address": fixed.ip, "fixed_network_id": port.network_id}

    def _check_same_host(self, tx: Tx, floating: FloatingIp, port: Port, others: list[str]) -> None:
        """Raises BadRequest when the floating IP is at another host than the port: just one can have the address."""
        elsewhere = [one.id for one in tx.find(Port, id=others) if one.host not in ("", port.host)]
        if port.host and elsewhere:
            raise bad_for(
                "port_forwarding",
                f"Floating IP {floating.id} is found at one host, that of port {min(elsewhere)}; port {port.id} is at "
                "another one. Use a floating IP of its own for it",
            )

    def _check_collisions(self, tx: Tx, values: Values) -> None:
        """Raises BadRequest when another forwarding has one of these ports, outside or inside."""
        outside = tx.find(PortForwarding, floatingip_id=values["floatingip_id"], protocol=values["protocol"])
        inside = tx.find(
            PortForwarding,
            internal_port_id=values["internal_port_id"],
            internal_ip_address=values["internal_ip_address"],
            protocol=values["protocol"],
        )
        for side, rows in zip(SIDES, (outside, inside), strict=True):
            name = f"{side}_port_range"
            for row in rows:
                there = getattr(row, name)
                if row.id != values.get("id") and _meet(there, values[name]):
                    raise bad_for(
                        "port_forwarding",
                        f"There is a port collision with the {name}. The following ranges collide: {there} and "
                        f"{values[name]}",
                    )

    def _tell(self, tx: Tx, ctx: Context, *versions: PortForwarding) -> None:
        """Hosts of the ports it leads and led to follow, and those that have the floating IP's other ports."""
        ports = tx.find(Port, id=sorted({row.internal_port_id for row in versions}), status="ACTIVE")
        places = places_of(tx, {row.floatingip_id for row in versions})
        beside = {host for hosts in places.values() for host in hosts}
        self.room.tell(tx, ctx, {port.host for port in ports} | beside)


def _chosen(port: Port, asked: str | None) -> FixedIp:
    """The address it shall lead to; the first IPv4 one when nothing is said. Raises BadRequest."""
    fours = [fixed for fixed in port.fixed_ips if ":" not in fixed.ip]
    if not fours:
        raise bad_for("port_forwarding", f"Requested internal port {port.id} must allocate an IPv4 address at least")
    for fixed in fours:
        if asked in (None, fixed.ip):
            return fixed
    raise bad_for(
        "port_forwarding",
        f"Requested internal IP address {asked} is not suitable for internal neutron port {port.id}, as its fixed_ips "
        f"are {[fixed.ip for fixed in fours]}",
    )


def _both_ranges(values: Values, now: dict[str, str]) -> dict[str, Any]:
    """The ports of both sides as they shall be, from what is asked and what is. Raises BadRequest."""
    ranges = {side: _range_of(side, values) or now.get(side) for side in SIDES}
    absent = [side for side in SIDES if ranges[side] is None]
    if absent:
        raise bad_for("port_forwarding", f"{absent[0]}_port or {absent[0]}_port_range must be specified")
    outer, inner = (ends(str(ranges[side])) for side in SIDES)
    if inner[1] > inner[0] and inner[1] - inner[0] != outer[1] - outer[0]:
        raise bad_for(
            "port_forwarding",
            "Invalid ranges of internal and/or external ports. The relation between internal and external ports must "
            "be N-N or 1-N",
        )
    return {
        "external_port": outer[0] if outer[0] == outer[1] else None,
        "external_port_range": ranges["external"],
        "internal_port": inner[0] if inner[0] == inner[1] else None,
        "internal_port_range": ranges["internal"],
    }


def _range_of(side: str, values: Values) -> str | None:
    port, whole = values.get(f"{side}_port"), values.get(f"{side}_port_range")
    single = None if port is None else f"{port}:{port}"
    if single and whole and single != whole:
        raise bad_for("port_forwarding", f"{side}_port {port} and {side}_port_range {whole} do not match")
    return single or whole


def _meet(one: str, other: str) -> bool:
    (a, b), (c, d) = ends(one), ends(other)
    return max(a, c) <= min(b, d)
