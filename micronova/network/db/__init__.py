"""Rows of the network room and the questions asked of them; no decisions."""

from micronova.db import Row
from micronova.network.db.addresses import addresses_per_subnet, highest_taken, is_taken, taken
from micronova.network.db.hosts import (
    addresses_of_group,
    follow_port,
    hosts_of_groups,
    hosts_of_network,
    hosts_that_trust,
)
from micronova.network.db.layer2 import Address, FixedIp, Network, Pair, Port, Subnet
from micronova.network.db.layer3 import FloatingIp, Router, RouterPort
from micronova.network.db.lookup import by_id, find_all, ports_of_devices
from micronova.network.db.security import Membership, Rule, SecurityGroup
from micronova.network.db.shares import QuotaLimit, RbacPolicy, SubnetPool
from micronova.network.db.standard import Standard

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
    SubnetPool,
    RbacPolicy,
    QuotaLimit,
)

__all__ = [
    "ROWS",
    "Address",
    "FixedIp",
    "FloatingIp",
    "Membership",
    "Network",
    "Pair",
    "Port",
    "QuotaLimit",
    "RbacPolicy",
    "Router",
    "RouterPort",
    "Rule",
    "SecurityGroup",
    "Standard",
    "Subnet",
    "SubnetPool",
    "addresses_of_group",
    "addresses_per_subnet",
    "by_id",
    "find_all",
    "follow_port",
    "highest_taken",
    "hosts_of_groups",
    "hosts_of_network",
    "hosts_that_trust",
    "is_taken",
    "ports_of_devices",
    "taken",
]
