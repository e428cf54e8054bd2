"""Networks: who may use them, what carries them, when one may go."""

from typing import Any

import msgspec

from micronova.context import Context
from micronova.db import Not, Tx
from micronova.network import db, resources
from micronova.network.attributes import Values
from micronova.network.collection import Collection, Where
from micronova.network.db import Network, Port, Subnet
from micronova.network.refusals import invalid, missing, refusal
from micronova.network.room import Segment

NEEDED_ON_HOSTS = ("admin_state_up", "mtu", "dns_domain", "external", "port_security_enabled")
DHCP_PORT = "network:dhcp"
IPV6_LEAST_MTU = 1280


class Networks(Collection[Network]):
    """All networks."""

    resource = resources.NETWORK
    row = Network

    def scopes(self, tx: Tx, ctx: Context) -> list[Where]:
        return [{"project_id": ctx.project_id}, {"public": True, "project_id": Not(ctx.project_id)}]

    def sees(self, tx: Tx, ctx: Context, row: Network) -> bool:
        return row.public or row.project_id == ctx.project_id

    def insert(self, tx: Tx, ctx: Context, values: Values) -> Network:
        """Choose what carries the network, and store it."""
        segment = self.room.strategy.choose_segment(
            tx,
            Segment(
                values.pop("network_type", ""),
                values.pop("physical_network", None),
                values.pop("segmentation_id", None),
            ),
        )
        values["mtu"] = self._mtu(values["mtu"], segment.network_type)
        values["public"] = values["shared"] or values["external"]
        return tx.insert(Network(**self.standard(tx, values), **msgspec.structs.asdict(segment)))

    def alter(self, tx: Tx, ctx: Context, row: Network, values: Values) -> Network:
        """Store the new values; hosts that have the network follow."""
        values = dict(values)
        if "mtu" in values:
            values["mtu"] = self._mtu(values["mtu"], row.network_type)
            self._check_ipv6_mtu(tx, row, values["mtu"])
        shared, external = values.get("shared", row.shared), values.get("external", row.external)
        if row.shared and not shared:
            self._check_nobody_else(tx, row)
        values["public"] = shared or external
        changed = self.touch(tx, row, values)
        if any(getattr(row, name) != getattr(changed, name) for name in NEEDED_ON_HOSTS):
            self.room.tell(tx, ctx, db.hosts_of_network(tx, row.id))
        return changed

    def erase(self, tx: Tx, ctx: Context, row: Network) -> None:
        """The network and its subnets are gone. Raises InUse while it has ports."""
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
        tx.delete(row)

    def _mtu(self, asked: int | None, network_type: str) -> int:
        largest = self.room.strategy.largest_mtu(network_type)
        if asked is not None and asked > largest:
            raise invalid(f"Requested MTU is too big, maximum is {largest}")
        return asked or largest

    def _check_ipv6_mtu(self, tx: Tx, row: Network, mtu: int) -> None:
        if mtu < IPV6_LEAST_MTU and tx.count(Subnet, network_id=row.id, ip_version=6):
            raise invalid(f"MTU {mtu} is too small for the network's IPv6 subnets, minimum is {IPV6_LEAST_MTU}")

    def _check_nobody_else(self, tx: Tx, row: Network) -> None:
        if tx.count(Port, network_id=row.id, project_id=Not(row.project_id)):
            raise refusal(
                "InvalidSharedSetting",
                f"Unable to reconfigure sharing settings for network {row.name}. Multiple tenants are using it.",
            )


def usable(tx: Tx, ctx: Context, id: str) -> Network:
    """The network if the caller sees it. Raises NotFound."""
    row = tx.first(Network, id=id)
    if row is None or not (ctx.is_admin or row.public or row.project_id == ctx.project_id):
        raise missing("network", id)
    return row


def ids_in_reach(tx: Tx, ctx: Context) -> list[str]:
    """Networks that are the caller's own or shared with him."""
    own = tx.find(Network, project_id=ctx.project_id)
    shared = tx.find(Network, shared=True, project_id=Not(ctx.project_id))
    return [row.id for row in (*own, *shared)]


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
