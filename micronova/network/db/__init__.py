"""Rows of the network room and the questions asked of them; no decisions."""

from micronova.db import Row
from micronova.network.db.addresses import addresses_per_subnet, highest_taken, is_taken, taken
from micronova.network.db.agents import Agent, Hosting, Load, loads
from micronova.network.db.forwardings import PortForwarding, forwardings_of, hosts_beside, places_of
from micronova.network.db.hosts import (
    addresses_of_group,
    follow_port,
    hosts_of_groups,
    hosts_of_network,
    hosts_that_trust,
)
from micronova.network.db.layer2 import Address, DhcpOption, FixedIp, Network, Pair, Port, Subnet
from micronova.network.db.layer3 import FloatingIp, Router, RouterPort
from micronova.network.db.lookup import by_id, find_all, ports_of_devices
from micronova.network.db.metering import MeteringLabel, MeteringRule
from micronova.network.db.qos import QosPolicy, QosRule, qos_rules_of
from micronova.network.db.scopes import ScopeIds, scopes_of
from micronova.network.db.security import AddressGroup, Membership, Rule, SecurityGroup
from micronova.network.db.segments import (
    GivenSegment,
    RealPort,
    SwitchPlace,
    SwitchState,
    TunnelEndpoint,
    all_real_networks,
    highest_segment,
    real_hosts,
    real_networks,
    real_ports,
    segments_taken,
)
from micronova.network.db.shares import AddressScope, AutoTopology, QuotaLimit, RbacPolicy, SubnetPool
from micronova.network.db.standard import Standard
from micronova.network.db.trunks import SubPort, Trunk, sub_ports_of, trunks_of_ports

ROWS: tuple[type[Row], ...] = (
    Network,
    Subnet,
    Port,
    Address,
    SecurityGroup,
    Rule,
    Membership,
    Router,
    RouterPort,
    FloatingIp,
    PortForwarding,
    QosPolicy,
    QosRule,
    Trunk,
    SubPort,
    AddressGroup,
    SubnetPool,
    RbacPolicy,
    QuotaLimit,
    AddressScope,
    AutoTopology,
    MeteringLabel,
    MeteringRule,
    Agent,
    Hosting,
    GivenSegment,
    TunnelEndpoint,
    SwitchPlace,
    SwitchState,
)

__all__ = [
    "ROWS",
    "Address",
    "AddressGroup",
    "AddressScope",
    "Agent",
    "AutoTopology",
    "DhcpOption",
    "FixedIp",
    "FloatingIp",
    "GivenSegment",
    "Hosting",
    "Load",
    "Membership",
    "MeteringLabel",
    "MeteringRule",
    "Network",
    "Pair",
    "Port",
    "PortForwarding",
    "QosPolicy",
    "QosRule",
    "QuotaLimit",
    "RbacPolicy",
    "RealPort",
    "Router",
    "RouterPort",
    "Rule",
    "ScopeIds",
    "SecurityGroup",
    "Standard",
    "SubPort",
    "Subnet",
    "SubnetPool",
    "SwitchPlace",
    "SwitchState",
    "Trunk",
    "TunnelEndpoint",
    "addresses_of_group",
    "addresses_per_subnet",
    "all_real_networks",
    "by_id",
    "find_all",
    "follow_port",
    "forwardings_of",
    "highest_segment",
    "highest_taken",
    "hosts_beside",
    "hosts_of_groups",
    "hosts_of_network",
    "hosts_that_trust",
    "is_taken",
    "loads",
    "places_of",
    "ports_of_devices",
    "qos_rules_of",
    "real_hosts",
    "real_networks",
    "real_ports",
    "scopes_of",
    "segments_taken",
    "sub_ports_of",
    "taken",
    "trunks_of_ports",
]
