"""Rows to what a driver is told: which networks, ports and filters a host must have. Pure but for `load`."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from micronova.db import Tx
from micronova.network import db, l3_specs, qos_specs, reach, subports
from micronova.network.addresses import automatic
from micronova.network.db import AddressGroup, FloatingIp, Network, Port, PortForwarding, Rule, Subnet
from micronova.network.driver import (
    DhcpOptionSpec,
    GroupSpec,
    Lease,
    NetworkSpec,
    ParentSpec,
    PortSpec,
    QosSpec,
    RuleSpec,
    SegmentSpec,
    SubnetSpec,
)
from micronova.network.l3_specs import Layer3
from micronova.network.security_rules import normalized
from micronova.network.strategy import Strategies, Strategy
from micronova.options import NetworkOptions

DEVICE_PREFIX = "tap"
DEVICE_LENGTH = 14
"""As Nova and Neutron name a tap: the prefix and the first eleven characters of the port's id."""


class View(msgspec.Struct, frozen=True):
    """What some ports of one host need to know: their networks, ranges and rules.

    `rules` is by group, `qos` by policy; `carriers` tells who carries a port in its frames, under which tag,
    and `trunked` are ports that may carry some.
    """

    ports: tuple[Port, ...]
    networks: dict[str, Network]
    subnets: dict[str, list[Subnet]]
    rules: dict[str, tuple[RuleSpec, ...]]
    layer3: Layer3 = Layer3()
    segments: Mapping[str, SegmentSpec] = {}
    unserved: frozenset[str] = frozenset()
    """Networks for which the host shall serve no DHCP."""
    qos: Mapping[str, QosSpec] = {}
    carriers: Mapping[str, tuple[str, int]] = {}
    trunked: frozenset[str] = frozenset()

    def remote_groups(self) -> set[str]:
        """Groups that rules name as the other side."""
        named = {rule.remote_group for rules in self.rules.values() for rule in rules}
        return {id for id in named if id is not None}


def load(tx: Tx, ports: Sequence[Port], networks: Iterable[str] = (), beside: Sequence[Port] = ()) -> View:
    """The view of these ports and networks. Networks that routers join with them belong to it too.

    `beside` are other ports of the host that have floating IPs on these networks.
    """
    network_ids = reach.joined(tx, {*networks, *(port.network_id for port in ports)})
    subnets: dict[str, list[Subnet]] = {id: [] for id in network_ids}
    order = (("created_at", True), ("id", True))
    for subnet in tx.find(Subnet, network_id=sorted(network_ids), order=order) if network_ids else ():
        subnets[subnet.network_id].append(subnet)
    groups = {id for port in ports for id in port.security_group_ids}
    layer3 = l3_specs.load(tx, subnets, (*ports, *beside))
    rows = db.find_all(tx, Network, network_ids)
    carriers, trunked = subports.carriers(tx, ports), frozenset(db.trunks_of_ports(tx, (port.id for port in ports)))
    policies = {row.qos_policy_id for row in (*ports, *rows.values())}
    return View(
        tuple(ports),
        rows,
        subnets,
        _rules(tx, groups),
        layer3,
        qos=qos_specs.load(tx, policies),
        carriers=carriers,
        trunked=trunked,
    )


def wanted_ports(tx: Tx, host: str) -> list[Port]:
    """Ports that shall be real on this host, with those that their trunks carry."""
    real = tx.find(Port, host=host, status="ACTIVE", order=(("id", True),))
    there = {port.id for port in real}
    return [*real, *(port for port in subports.wanted(tx, host, real) if port.id not in there)]


def floating_here(tx: Tx, host: str, network_ids: Iterable[str]) -> list[Port]:
    """Ports that shall be real on this host and have floating IPs, or ports of some, on one of these networks."""
    wanted = sorted(set(network_ids))
    rows = tx.find(FloatingIp, fixed_network_id=wanted) if wanted else []
    forwardings = tx.find(PortForwarding, fixed_network_id=wanted) if wanted else []
    held = {row.port_id for row in rows if row.port_id is not None}
    ids = sorted(held | {row.internal_port_id for row in forwardings})
    return tx.find(Port, id=ids, host=host, status="ACTIVE", order=(("id", True),)) if ids else []


def left_here(tx: Tx, host: str, network_ids: Iterable[str]) -> tuple[set[str], set[str]]:
    """Of these networks and those joined with them: what this host shall have, and what it has no use for."""
    kept, gone = set[str](), set[str]()
    for id in sorted(set(network_ids)):
        joined = reach.joined(tx, {id})
        used = tx.first(Port, host=host, status="ACTIVE", network_id=sorted(joined)) is not None
        (kept if used else gone).update(joined)
    return kept, gone - kept


# -- networks


def joined_on(tx: Tx, view: View, strategies: Strategies, host: str) -> View:
    """The view with what joins its networks on this host with the same networks on others."""
    found = {id: strategies.of(row.network_type).segment_spec(tx, row, host) for id, row in view.networks.items()}
    return msgspec.structs.replace(view, segments=found)


def network_spec(view: View, network_id: str, strategies: Strategies, options: NetworkOptions) -> NetworkSpec:
    """The network as the view's host must have it."""
    network = view.networks[network_id]
    strategy = strategies.of(network.network_type)
    served = network_id not in view.unserved
    subnets = view.subnets[network_id]
    return NetworkSpec(
        id=network.id,
        mtu=network.mtu,
        subnets=tuple(_subnet_spec(subnet, strategy, options.dns, served=served) for subnet in subnets),
        domain=(network.dns_domain or options.domain).rstrip("."),
        segment=view.segments.get(network_id, SegmentSpec()),
        nat=strategy.nat(network),
        routers=view.layer3.routers.get(network_id, ()),
        floating=view.layer3.floating.get(network_id, ()),
        forwardings=view.layer3.forwardings.get(network_id, ()),
    )


def _subnet_spec(subnet: Subnet, strategy: Strategy, dns: tuple[str, ...], *, served: bool) -> SubnetSpec:
    served = served and strategy.wants_dhcp(subnet)
    usual = tuple(address for address in dns if (":" in address) == (":" in subnet.cidr))
    return SubnetSpec(
        id=subnet.id,
        cidr=subnet.cidr,
        gateway=strategy.gateway_here(subnet),
        dhcp=served,
        dns=subnet.dns_nameservers or usual,
        routes=subnet.host_routes,
        ipv6_mode=subnet.ipv6_ra_mode if served else None,
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
        leases=_leases(view, port),
        dhcp_options=tuple(
            DhcpOptionSpec(name=one.name, value=one.value, ip_version=one.ip_version) for one in port.dhcp_options
        ),
        up=port.admin_state_up and network.admin_state_up,
        parent=_parent(view, port),
        qos=qos_specs.of_port(view.qos, port.qos_policy_id, network.qos_policy_id, port.device_owner),
    )


def _parent(view: View, port: Port) -> ParentSpec | None:
    carrier = view.carriers.get(port.id)
    if carrier is None:
        return None
    parent_id, vlan = carrier
    return ParentSpec(port_id=parent_id, device=device_name(parent_id), vlan=vlan)


def _leases(view: View, port: Port) -> tuple[Lease, ...]:
    served = {s.id for s in view.subnets[port.network_id] if s.enable_dhcp and not automatic(s)}
    return tuple(
        Lease(ip=fixed.ip, hostname=hostname(port, fixed.ip)) for fixed in port.fixed_ips if fixed.subnet_id in served
    )


# -- rules and who they trust


def members(tx: Tx, group_ids: Iterable[str]) -> dict[str, GroupSpec]:
    """Groups by id, with all addresses their members may send from, on whatever host."""
    return {id: group_spec(id, db.addresses_of_group(tx, id)) for id in sorted(set(group_ids))}


def group_spec(id: str, addresses: Iterable[str]) -> GroupSpec:
    """The group with these members."""
    return GroupSpec(id=id, addresses=tuple(sorted(addresses)))


def addresses_of(port: Port) -> set[str]:
    """The addresses and ranges the port may send from."""
    return {*(fixed.ip for fixed in port.fixed_ips), *(pair.ip for pair in port.allowed_pairs)}


def _rules(tx: Tx, group_ids: set[str]) -> dict[str, tuple[RuleSpec, ...]]:
    """What each group lets pass, in a stable order."""
    order = (("created_at", True), ("id", True))
    rows = tx.find(Rule, group_id=sorted(group_ids), order=order) if group_ids else []
    found: dict[str, list[RuleSpec]] = {id: [] for id in group_ids}
    ranges: dict[str, AddressGroup] = db.find_all(
        tx, AddressGroup, (row.remote_address_group_id for row in rows if row.remote_address_group_id)
    )
    for row in rows:
        if row.remote_address_group_id is None:
            found[row.group_id].append(_rule_spec(row))
        elif ranges[row.remote_address_group_id].addresses:  # no address at all would mean anywhere
            found[row.group_id].append(_rule_spec(row, ranges[row.remote_address_group_id].addresses))
    return {id: tuple(rules) for id, rules in found.items()}


def _rule_spec(rule: Rule, ranges: tuple[str, ...] = ()) -> RuleSpec:
    prefix = normalized(rule.remote_prefix)
    return RuleSpec(
        direction=rule.direction,
        ethertype=rule.ethertype,
        protocol=rule.protocol,
        port_min=rule.port_min,
        port_max=rule.port_max,
        remotes=ranges if prefix is None else (prefix,),
        remote_group=rule.remote_group_id,
    )


def as_range(address: str) -> str:
    """An address as a range of one; a range as it is."""
    if "/" in address:
        return address
    return f"{address}/128" if ":" in address else f"{address}/32"
