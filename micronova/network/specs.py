"""Rows to what a driver is told: which networks, ports and filters a host must have. Pure but for `load`."""

from collections.abc import Iterable, Sequence

import msgspec

from micronova.db import Tx
from micronova.network import db, ipam
from micronova.network.addresses import automatic
from micronova.network.db import Network, Port, Rule, Subnet
from micronova.network.driver import Lease, NetworkSpec, PortSpec, RuleSpec, SubnetSpec
from micronova.network.room import Strategy
from micronova.network.security_rules import normalized

DEVICE_PREFIX = "tap"
DEVICE_LENGTH = 14
"""As Nova and Neutron name a tap: the prefix and the first eleven characters of the port's id."""


class View(msgspec.Struct, frozen=True):
    """What some ports of one host need to know: their networks, ranges and rules. `rules` is by group."""

    ports: tuple[Port, ...]
    networks: dict[str, Network]
    subnets: dict[str, list[Subnet]]
    rules: dict[str, tuple[RuleSpec, ...]]


def load(tx: Tx, ports: Sequence[Port]) -> View:
    """The view of these ports."""
    network_ids = {port.network_id for port in ports}
    subnets: dict[str, list[Subnet]] = {id: [] for id in network_ids}
    order = (("created_at", True), ("id", True))
    for subnet in tx.find(Subnet, network_id=sorted(network_ids), order=order) if network_ids else ():
        subnets[subnet.network_id].append(subnet)
    groups = {id for port in ports for id in port.security_group_ids}
    return View(tuple(ports), db.find_all(tx, Network, network_ids), subnets, _rules(tx, groups))


def wanted_ports(tx: Tx, host: str) -> list[Port]:
    """Ports that shall be real on this host."""
    return tx.find(Port, host=host, status="ACTIVE", order=(("id", True),))


def ports_with(tx: Tx, host: str, network_ids: Sequence[str], server_id: str) -> list[Port]:
    """Ports of these networks that shall be real on this host once the server's are."""
    if not network_ids:
        return []
    here = tx.find(Port, host=host, network_id=list(network_ids), order=(("id", True),))
    return [port for port in here if port.status == "ACTIVE" or port.device_id == server_id]


# -- networks


def network_spec(view: View, network_id: str, strategy: Strategy, domain: str) -> NetworkSpec:
    """The network as the view's host must have it."""
    network = view.networks[network_id]
    subnets = view.subnets[network_id]
    served = {subnet.id: strategy.wants_dhcp(subnet) and not automatic(subnet) for subnet in subnets}
    return NetworkSpec(
        id=network.id,
        mtu=network.mtu,
        subnets=tuple(_subnet_spec(subnet, strategy) for subnet in subnets),
        leases=tuple(
            Lease(port_id=port.id, mac=port.mac, ip=fixed.ip, hostname=hostname(port, fixed.ip))
            for port in view.ports
            if port.network_id == network_id
            for fixed in port.fixed_ips
            if served.get(fixed.subnet_id)
        ),
        domain=(network.dns_domain or domain).rstrip("."),
        segment=network.segmentation_id,
        nat=strategy.nat(network),
    )


def _subnet_spec(subnet: Subnet, strategy: Strategy) -> SubnetSpec:
    return SubnetSpec(
        id=subnet.id,
        cidr=subnet.cidr,
        gateway=strategy.gateway_here(subnet),
        dhcp=strategy.wants_dhcp(subnet),
        dns=subnet.dns_nameservers,
        routes=subnet.host_routes,
    )


def hostname(port: Port, ip: str) -> str:
    """The name a guest is told for an address: the port's own, or one made from the address."""
    if port.dns_name:
        return port.dns_name.split(".")[0]
    return "host-" + ip.replace(".", "-").replace(":", "-").strip("-")


# -- ports


def device_name(port_id: str) -> str:
    """The host's interface of a port."""
    return (DEVICE_PREFIX + port_id)[:DEVICE_LENGTH]


def port_spec(view: View, port: Port) -> PortSpec:
    """The port as its host must have it."""
    network = view.networks[port.network_id]
    return PortSpec(
        id=port.id,
        network_id=port.network_id,
        device=device_name(port.id),
        mac=port.mac,
        ips=tuple(fixed.ip for fixed in port.fixed_ips),
        rules=tuple(rule for id in port.security_group_ids for rule in view.rules.get(id, ())),
        secured=port.port_security_enabled,
        allowed_pairs=tuple((pair.mac or port.mac, as_range(pair.ip)) for pair in port.allowed_pairs),
        up=port.admin_state_up and network.admin_state_up,
    )


# -- rules


def _rules(tx: Tx, group_ids: set[str]) -> dict[str, tuple[RuleSpec, ...]]:
    """What each group lets pass, in a stable order."""
    order = (("created_at", True), ("id", True))
    rows = tx.find(Rule, group_id=sorted(group_ids), order=order) if group_ids else []
    trusted = {row.remote_group_id for row in rows if row.remote_group_id is not None}
    members = {id: _ranges(db.addresses_of_group(tx, id)) for id in sorted(trusted)}
    found: dict[str, list[RuleSpec]] = {id: [] for id in group_ids}
    for row in rows:
        remotes = _remotes(row, members)
        if remotes is not None:
            found[row.group_id].append(_rule_spec(row, remotes))
    return {id: tuple(rules) for id, rules in found.items()}


def _remotes(rule: Rule, members: dict[str, dict[str, tuple[str, ...]]]) -> tuple[str, ...] | None:
    """The other sides a rule names; () for anywhere, None when it names a group that has no address."""
    if rule.remote_group_id is not None:
        return members[rule.remote_group_id].get(rule.ethertype) or None
    prefix = normalized(rule.remote_prefix)
    return () if prefix is None else (prefix,)


def _rule_spec(rule: Rule, remotes: tuple[str, ...]) -> RuleSpec:
    return RuleSpec(
        direction=rule.direction,
        ethertype=rule.ethertype,
        protocol=rule.protocol,
        port_min=rule.port_min,
        port_max=rule.port_max,
        remotes=remotes,
    )


def _ranges(addresses: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Addresses and ranges as ranges, by IP version, sorted."""
    found: dict[str, list[str]] = {"IPv4": [], "IPv6": []}
    for address in sorted(addresses):
        found[f"IPv{ipam.version_of(address)}"].append(as_range(address))
    return {ethertype: tuple(ranges) for ethertype, ranges in found.items()}


def as_range(address: str) -> str:
    """An address as a range of one; a range as it is."""
    if "/" in address:
        return address
    return f"{address}/128" if ":" in address else f"{address}/32"
