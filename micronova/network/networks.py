"""Networks: who may use them, what carries them, when one may go."""

from collections.abc import Sequence
from typing import Any

import msgspec

from micronova.context import Context
from micronova.db import Not, Tx
from micronova.network import db, duties, qos_policies, reach, resources, sharing, standing, zones
from micronova.network.attributes import Values
from micronova.network.collection import Collection, Found, Where
from micronova.network.db import FloatingIp, Network, Port, RbacPolicy, Router, Subnet
from micronova.network.refusals import invalid, missing, refusal
from micronova.network.strategy import Segment

NEEDED_ON_HOSTS = ("admin_state_up", "mtu", "dns_domain", "external", "port_security_enabled", "qos_policy_id")
DHCP_PORT = "network:dhcp"
IPV6_LEAST_MTU = 1280


class Networks(Collection[Network]):
    """All networks."""

    resource = resources.NETWORK
    row = Network

    def scopes(self, tx: Tx, ctx: Context) -> list[Where]:
        given = [row.object_id for row in tx.find(RbacPolicy, target_tenant=ctx.project_id, object_type="network")]
        others = Not(ctx.project_id)
        scopes: list[Where] = [{"project_id": ctx.project_id}, {"public": True, "project_id": others}]
        return [*scopes, {"id": given, "public": False, "project_id": others}] if given else scopes

    def sees(self, tx: Tx, ctx: Context, row: Network) -> bool:
        return seen_by(tx, ctx, row)

    def found_by(self, tx: Tx, ctx: Context, rows: Sequence[Network]) -> Found[Network]:
        """The networks with their address scopes; what is shared with the caller's project alone is shown as shared."""
        scopes = db.scopes_of(tx, (row.id for row in rows))
        return Found(
            list(rows),
            {row.id: [row.shared or ctx.project_id in row.shared_with, scopes.get(row.id, {})] for row in rows},
        )

    def insert(self, tx: Tx, ctx: Context, values: Values) -> Network:
        """Choose what carries the network, and store it."""
        asked = Segment(
            values.pop("network_type", ""),
            values.pop("physical_network", None),
            values.pop("segmentation_id", None),
        )
        zones.check(tx, self.room.zone, values.get("availability_zone_hints", ()))
        strategy = self.room.strategies.pick(asked.network_type)
        values = self.standard(tx, values)
        segment = strategy.allocate(tx, values["id"], asked)
        values["mtu"] = self._mtu(values["mtu"], segment.network_type)
        values["public"] = values["shared"] or values["external"]
        asked_policy = qos_policies.usable(tx, ctx, values.get("qos_policy_id"))
        values["qos_policy_id"] = asked_policy or qos_policies.default_of(tx, values["project_id"])
        qos_policies.check_supported(tx, values["qos_policy_id"], "network", values["id"])
        self._check_only_default(tx, external=values["external"], is_default=values["is_default"])
        row = tx.insert(Network(**values, **msgspec.structs.asdict(segment)))
        sharing.follow(tx, self.room.clock, row)
        return row

    def alter(self, tx: Tx, ctx: Context, row: Network, values: Values) -> Network:
        """Store the new values; hosts that have the network follow."""
        values = dict(values)
        if "mtu" in values:
            values["mtu"] = self._mtu(values["mtu"], row.network_type)
            self._check_ipv6_mtu(tx, row, values["mtu"])
        if "qos_policy_id" in values:
            qos_policies.replaceable(tx, ctx, row.qos_policy_id, values["qos_policy_id"])
            qos_policies.check_supported(tx, values["qos_policy_id"], "network", row.id)
        shared, external = values.get("shared", row.shared), values.get("external", row.external)
        if row.external and not external:
            check_no_way_out(tx, row)
        self._check_only_default(tx, external=external, is_default=values.get("is_default", False), id=row.id)
        if row.shared and not shared:
            self._check_nobody_else(tx, row)
        values["public"] = shared or (external and (not row.external or sharing.leads_all_out(tx, row.id)))
        changed = self.touch(tx, row, values)
        sharing.follow(tx, self.room.clock, changed)
        if any(getattr(row, name) != getattr(changed, name) for name in NEEDED_ON_HOSTS):
            self.room.tell(tx, ctx, reach.hosts(tx, [row.id]))
        return changed

    def erase(self, tx: Tx, ctx: Context, row: Network) -> None:
        """The network, its subnets and unused floating IPs are gone. Raises InUse while it has ports."""
        standing.drop_unused_floating(tx, row.id)
        ports = [port.id for port in tx.find(Port, network_id=row.id) if port.device_owner != DHCP_PORT]
        if ports:
            raise refusal(
                "NetworkInUse",
                f"Unable to complete operation on network {row.id}. There are one or more ports still in use on the "
                f"network, id for these ports are: {','.join(sorted(ports)[:10])}.",
                ports=sorted(ports)[:10],
            )
        for subnet in tx.find(Subnet, network_id=row.id):
            tx.delete(subnet)
        sharing.forget(tx, row)
        duties.forget(tx, row.id)
        self.room.strategies.of(row.network_type).release(tx, row)
        tx.delete(row)

    def _mtu(self, asked: int | None, network_type: str) -> int:
        largest = self.room.strategies.of(network_type).largest_mtu()
        if asked is not None and asked > largest:
            raise invalid(f"Requested MTU is too big, maximum is {largest}")
        return asked or largest

    def _check_ipv6_mtu(self, tx: Tx, row: Network, mtu: int) -> None:
        if mtu < IPV6_LEAST_MTU and tx.count(Subnet, network_id=row.id, ip_version=6):
            raise invalid(f"MTU {mtu} is too small for the network's IPv6 subnets, minimum is {IPV6_LEAST_MTU}")

    def _check_only_default(self, tx: Tx, *, external: bool, is_default: bool, id: str = "") -> None:
        other = tx.first(Network, external=True, is_default=True) if external and is_default else None
        if other is not None and other.id != id:
            raise refusal("DefaultExternalNetworkExists", f"A default external network already exists: {other.id}.")

    def _check_nobody_else(self, tx: Tx, row: Network) -> None:
        entitled = {row.project_id, "", *row.shared_with}
        if any(port.project_id not in entitled for port in tx.find(Port, network_id=row.id)):
            raise refusal(
                "InvalidSharedSetting",
                f"Unable to reconfigure sharing settings for network {row.name}. Multiple tenants are using it.",
            )


def usable(tx: Tx, ctx: Context, id: str) -> Network:
    """The network if the caller sees it. Raises NotFound."""
    row = tx.first(Network, id=id)
    if row is None or not (ctx.is_admin or seen_by(tx, ctx, row)):
        raise missing("network", id)
    return row


def seen_by(tx: Tx, ctx: Context, row: Network) -> bool:
    """Whether the caller's project sees the network: it may put ports on it, or it leads the project out."""
    return row.public or open_to(ctx, row) or sharing.is_given(tx, ctx.project_id, row.id)


def open_to(ctx: Context, row: Network) -> bool:
    """Whether the caller's project may put ports on the network: it is its own, or shared with it."""
    return row.shared or ctx.project_id in (row.project_id, *row.shared_with)


def check_no_way_out(tx: Tx, row: Network) -> None:
    """Raises InUse while routers or floating IPs lead out by the network."""
    if tx.count(Router, external_network_id=row.id) or tx.count(FloatingIp, floating_network_id=row.id):
        raise refusal(
            "ExternalNetworkInUse",
            f"External network {row.id} cannot be updated to be made non-external, since it has existing gateway "
            "ports.",
        )


def ids_in_reach(tx: Tx, ctx: Context) -> list[str]:
    """Networks that are the caller's own or shared with him."""
    own = tx.find(Network, project_id=ctx.project_id)
    shared = tx.find(Network, shared=True, project_id=Not(ctx.project_id))
    given = tx.find(RbacPolicy, target_tenant=ctx.project_id, object_type="network", action=sharing.SHARED)
    return sorted({row.id for row in (*own, *shared)} | {row.object_id for row in given})


def owner_target(network: Network, project_id: str) -> dict[str, Any]:
    """What policy rules may ask of something on a network."""
    return {
        "project_id": project_id,
        "tenant_id": project_id,
        "network:project_id": network.project_id,
        "network:tenant_id": network.project_id,
        "network:shared": network.shared,
        "network:external": network.external,
    }
