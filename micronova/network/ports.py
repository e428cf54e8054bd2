"""Ports: made before the server and kept after it, with MAC, addresses and groups; hosts hear of every change."""

from collections.abc import Collection as Several
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.network import (
    db,
    dhcp_options,
    following,
    networks,
    qos_policies,
    quotas,
    resources,
    security_groups,
    standing,
    subports,
)
from micronova.network.addresses import Addresses, Claimant, automatic, claimant
from micronova.network.attributes import Values
from micronova.network.collection import Collection, Found, Where
from micronova.network.db import Address, Membership, Network, Pair, Port
from micronova.network.refusals import refusal

MAC_PREFIX = "fa:16:3e"
MAC_TRIES = 16
OF_THE_NETWORK = "network:"
SERVICE_OWNERS = ("network:router", "network:floatingip", "network:ha_router")


class Ports(Collection[Port]):
    """All ports."""

    resource = resources.PORT
    row = Port

    def scopes(self, tx: Tx, ctx: Context) -> list[Where]:
        return [{"project_id": ctx.project_id}, {"guest_of": ctx.project_id}]

    def sees(self, tx: Tx, ctx: Context, row: Port) -> bool:
        return ctx.project_id in (row.project_id, row.guest_of)

    def target(self, tx: Tx, row: Port) -> dict[str, Any]:
        return networks.owner_target(tx.get(Network, row.network_id), row.project_id)

    def new_target(self, tx: Tx, ctx: Context, values: Values) -> dict[str, Any]:
        network = networks.usable(tx, ctx, values["network_id"])
        if not (ctx.is_admin or networks.open_to(ctx, network)):
            raise refusal("PolicyNotAuthorized", f"Tenant {ctx.project_id} not allowed to create port on this network")
        return networks.owner_target(network, values["project_id"])

    def related(self, tx: Tx, name: str, values: Sequence[str]) -> set[str]:
        """Ports by address or group."""
        if name == "ip":
            return {row.port_id for row in tx.find(Address, ip=list(values))}
        return {row.port_id for row in tx.find(Membership, group_id=list(values))}

    def further_rules(self, verb: str, values: Values) -> tuple[str, ...]:
        rules = []
        if any(ip is not None for _, ip in values.get("fixed_ips") or ()):
            rules.append(f"{verb}_port:fixed_ips:ip_address")
        if str(values.get("device_owner") or "").startswith(OF_THE_NETWORK):
            rules.append(f"{verb}_port:device_owner")
        return tuple(rules)

    def found(self, tx: Tx, rows: Sequence[Port]) -> Found[Port]:
        """The ports with what their networks say of them, and what their trunks carry (None for no trunk)."""
        known = db.find_all(tx, Network, (row.network_id for row in rows))
        domain = self.room.options.domain
        known_of = {row.id: known[row.network_id] for row in rows}
        trunks = subports.details(tx, known_of)
        parts = {
            id: [net.dns_domain or domain, net.network_type, net.qos_policy_id, trunks.get(id)]
            for id, net in known_of.items()
        }
        return Found(list(rows), parts)

    def insert(self, tx: Tx, ctx: Context, values: Values) -> Port:
        """Give MAC and addresses, and store the port with its groups."""
        network = networks.usable(tx, ctx, values["network_id"])
        wanted = values.pop("fixed_ips", None)
        values = self.standard(tx, values)
        values["guest_of"] = network.project_id if network.project_id != values["project_id"] else ""
        values["mac"] = self._mac(tx, network.id, values["mac"])
        values["allowed_pairs"] = tuple(Pair(*pair) for pair in values["allowed_pairs"])
        values["dhcp_options"] = dhcp_options.merged((), values.get("dhcp_options", ()))
        values.setdefault("port_security_enabled", network.port_security_enabled)
        values["security_group_ids"] = self._groups(tx, ctx, values)
        _check_security(values)
        values["qos_policy_id"] = qos_policies.usable(tx, ctx, values.get("qos_policy_id"))
        for policy_id in (values["qos_policy_id"], network.qos_policy_id):
            qos_policies.check_supported(tx, policy_id, "port", values["id"])
        who = Claimant(values["id"], network.id, values["mac"], values["device_owner"])
        addresses = Addresses(self.room, tx, network.id)
        given = addresses.give_any(who) if wanted is None else addresses.give(who, wanted)
        port = tx.insert(Port(**values, fixed_ips=given))
        self._join(tx, port, port.security_group_ids)
        self.told(tx, ctx, port)
        return port

    def alter(self, tx: Tx, ctx: Context, row: Port, values: Values) -> Port:
        """Store the new values; the hosts it is and was on follow, and those that trust its groups."""
        values = dict(values)
        wanted = values.pop("fixed_ips", None)
        if "allowed_pairs" in values:
            values["allowed_pairs"] = tuple(Pair(*pair) for pair in values["allowed_pairs"])
        if "dhcp_options" in values:
            values["dhcp_options"] = dhcp_options.merged(row.dhcp_options, values["dhcp_options"])
        if "mac" in values:
            values["mac"] = self._other_mac(tx, row, values["mac"])
        if "qos_policy_id" in values:
            qos_policies.replaceable(tx, ctx, row.qos_policy_id, values["qos_policy_id"])
            qos_policies.check_supported(tx, values["qos_policy_id"], "port", row.id)
        if "security_group_ids" in values:
            security_groups.check_usable(tx, ctx, values["security_group_ids"], row.project_id)
        elif values.get("port_security_enabled") is False and row.security_group_ids:
            raise refusal(
                "PortSecurityPortHasSecurityGroup",
                "Port has security group associated. Cannot disable port security or IP address until security group "
                "is removed",
            )
        _check_security({**msgspec.structs.asdict(row), **values})
        if "host" in values and values["host"] != row.host:
            values["status"] = "DOWN"
        values.update(self._other_addresses(tx, row, values, wanted))
        standing.check_role(tx, row, values)
        changed = self.touch(tx, row, values)
        if changed.fixed_ips != row.fixed_ips:
            self._leave(tx, ctx, row, [fixed.ip for fixed in changed.fixed_ips])
        if changed is not row:
            self._regroup(tx, row, changed)
            self.told(tx, ctx, row, changed)
        return changed

    def erase(self, tx: Tx, ctx: Context, row: Port) -> None:
        """The port is gone, its addresses are free. Raises InUse for one that serves a router, or is in a trunk."""
        subports.check_free(tx, row)
        if row.device_owner.startswith(SERVICE_OWNERS) and standing.serves(tx, row):
            raise refusal(
                "ServicePortInUse",
                f"Port {row.id} cannot be deleted directly via the port API: has device owner {row.device_owner}.",
            )
        self.remove(tx, ctx, row)

    def remove(self, tx: Tx, ctx: Context, row: Port) -> None:
        """The port is gone, whoever had it."""
        self._leave(tx, ctx, row, ())
        subports.dissolve(tx, row)
        for belonging in (*tx.find(Address, port_id=row.id), *tx.find(Membership, port_id=row.id)):
            tx.delete(belonging)
        tx.delete(row)
        self.told(tx, ctx, row)

    def make(self, tx: Tx, ctx: Context, values: Values) -> Port:
        """A port that the cloud itself makes for a project: quota counts, policy was asked before."""
        quotas.admit(tx, self.room.quota, values["project_id"], "port")
        return self.place(tx, ctx, values)

    def place(self, tx: Tx, ctx: Context, values: Values) -> Port:
        """A port of the cloud's own, which counts against nobody's quota."""
        blank: Values = {"name": "", "description": "", "mac": None, "allowed_pairs": (), "device_owner": ""}
        return self.insert(tx, ctx, {**blank, **values})

    def told(self, tx: Tx, ctx: Context, *versions: Port) -> None:
        """Hosts that hold any of these versions of a port follow, and hosts whose ports trust its groups."""
        if versions[0].host != versions[-1].host:
            subports.follow(tx, versions[-1])
            self.room.tell(tx, ctx, db.hosts_beside(tx, versions[-1].id))
        groups = {id for port in versions for id in port.security_group_ids}
        real = [port for port in versions if port.status == "ACTIVE"]
        held = {port.host for port in real}
        self.room.tell(tx, ctx, held)
        self.room.tell_of(tx, ctx, db.hosts_that_trust(tx, sorted(groups)) - held, groups=groups)
        if len(versions) == 1 or following.moves(versions[0], versions[-1]):
            following.ports_moved(self.room, tx, ctx, real)

    # -- inside

    def _leave(self, tx: Tx, ctx: Context, row: Port, kept: Several[str]) -> None:
        """Nothing outside stands for the port's addresses but for those kept; another host may have it now."""
        beside = db.hosts_beside(tx, row.id) - {row.host}
        standing.leave(tx, row, kept)
        self.room.tell(tx, ctx, beside)

    def _mac(self, tx: Tx, network_id: str, asked: str | None) -> str:
        """The asked MAC if it is free, or a new one. Raises Conflict."""
        if asked is not None:
            if tx.count(Port, network_id=network_id, mac=asked):
                raise refusal(
                    "MacAddressInUse",
                    f"Unable to complete operation for network {network_id}. The mac address {asked} is in use.",
                )
            return asked
        for _ in range(MAC_TRIES):
            tail = self.room.clock.randbelow(1 << 24)
            mac = f"{MAC_PREFIX}:{tail >> 16:02x}:{tail >> 8 & 255:02x}:{tail & 255:02x}"
            if not tx.count(Port, network_id=network_id, mac=mac):
                return mac
        raise refusal("MacAddressGenerationFailure", f"Unable to generate unique mac on network {network_id}.")

    def _other_mac(self, tx: Tx, row: Port, asked: str | None) -> str:
        if asked == row.mac:
            return asked
        if row.host:
            raise refusal(
                "PortBound",
                f"Unable to complete operation on port {row.id}, port is already bound, port type: "
                f"{self.room.strategy_of(tx, row.network_id).vif(row).type}, old_mac {row.mac}, new_mac {asked}.",
            )
        return self._mac(tx, row.network_id, asked)

    def _other_addresses(self, tx: Tx, row: Port, values: Values, wanted: Sequence[Any] | None) -> Values:
        """New addresses when they are asked for, or when they follow from a MAC that changes."""
        mac = values.get("mac", row.mac)
        if wanted is None and mac == row.mac:
            return {}
        addresses = Addresses(self.room, tx, row.network_id)
        if wanted is None:
            by_id = {subnet.id: subnet for subnet in addresses.subnets}
            wanted = [(f.subnet_id, f.ip) for f in row.fixed_ips if not automatic(by_id[f.subnet_id])]
        who = msgspec.structs.replace(claimant(row), mac=mac, device_owner=values.get("device_owner", row.device_owner))
        return {"fixed_ips": addresses.change(row, who, wanted)}

    def _groups(self, tx: Tx, ctx: Context, values: Values) -> tuple[str, ...]:
        """The groups asked for, or the project's default one where nothing was said."""
        asked = values.pop("security_group_ids", None)
        if asked is not None:
            security_groups.check_usable(tx, ctx, asked, values["project_id"])
            return tuple(asked)
        if not values["port_security_enabled"] or values["device_owner"].startswith(OF_THE_NETWORK):
            return ()
        return (security_groups.ensure_default(tx, self.room.clock, values["project_id"]).id,)

    def _join(self, tx: Tx, port: Port, group_ids: Iterable[str]) -> None:
        for id in group_ids:
            tx.insert(Membership(id=f"{id}/{port.id}", group_id=id, port_id=port.id, host=port.host))

    def _regroup(self, tx: Tx, old: Port, new: Port) -> None:
        if new.host != old.host:
            db.follow_port(tx, new)
        before, after = set(old.security_group_ids), set(new.security_group_ids)
        for membership in tx.find(Membership, port_id=old.id) if before - after else ():
            if membership.group_id not in after:
                tx.delete(membership)
        self._join(tx, new, sorted(after - before))


def _check_security(values: Values) -> None:
    """Groups and pairs need port security. Raises BadRequest."""
    if values["port_security_enabled"]:
        return
    if values["security_group_ids"]:
        raise refusal(
            "PortSecurityAndIPRequiredForSecurityGroups",
            "Port security must be enabled and port must have an IP address in order to use security groups.",
        )
    if values["allowed_pairs"]:
        raise refusal(
            "AddressPairAndPortSecurityRequired",
            "Port Security must be enabled in order to have allowed address pairs on a port.",
        )
