"""The network API's resources as data, a module a group of nouns (Networking API v2.0 reference)."""

from micronova.network.resources.address_groups import ADDRESS_GROUP
from micronova.network.resources.forwardings import PORT_FORWARDING
from micronova.network.resources.layer2 import NETWORK, PORT, SUBNET
from micronova.network.resources.layer3 import FLOATING_IP, ROUTER
from micronova.network.resources.operators import AGENT, METERING_LABEL, METERING_LABEL_RULE
from micronova.network.resources.qos import (
    BANDWIDTH_LIMIT_RULE,
    DSCP_MARKING_RULE,
    MINIMUM_BANDWIDTH_RULE,
    QOS_POLICY,
)
from micronova.network.resources.security import SECURITY_GROUP, SECURITY_GROUP_RULE
from micronova.network.resources.shares import ADDRESS_SCOPE, PREFIX_LENGTHS, RBAC_POLICY, SUBNET_POOL
from micronova.network.resources.trunks import TRUNK

RESOURCES = (
    NETWORK,
    SUBNET,
    PORT,
    SECURITY_GROUP,
    SECURITY_GROUP_RULE,
    ROUTER,
    FLOATING_IP,
    PORT_FORWARDING,
    QOS_POLICY,
    BANDWIDTH_LIMIT_RULE,
    DSCP_MARKING_RULE,
    MINIMUM_BANDWIDTH_RULE,
    TRUNK,
    ADDRESS_GROUP,
    SUBNET_POOL,
    RBAC_POLICY,
    ADDRESS_SCOPE,
    METERING_LABEL,
    METERING_LABEL_RULE,
    AGENT,
)

__all__ = [
    "ADDRESS_GROUP",
    "ADDRESS_SCOPE",
    "AGENT",
    "BANDWIDTH_LIMIT_RULE",
    "DSCP_MARKING_RULE",
    "FLOATING_IP",
    "METERING_LABEL",
    "METERING_LABEL_RULE",
    "MINIMUM_BANDWIDTH_RULE",
    "NETWORK",
    "PORT",
    "PORT_FORWARDING",
    "PREFIX_LENGTHS",
    "QOS_POLICY",
    "RBAC_POLICY",
    "RESOURCES",
    "ROUTER",
    "SECURITY_GROUP",
    "SECURITY_GROUP_RULE",
    "SUBNET",
    "SUBNET_POOL",
    "TRUNK",
]
