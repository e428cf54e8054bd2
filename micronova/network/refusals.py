"""The network API's names for what it refuses, each with the reaction it wants from the caller.

Clients match on these names (Networking API reference, "Faults"; neutron_lib.exceptions lists them).
"""

from micronova.errors import BadRequest, Conflict, Error, Forbidden, InUse, NotFound, QuotaExceeded, Stale

_CLASSES: dict[type[Error], tuple[str, ...]] = {
    NotFound: (
        "NetworkNotFound",
        "SubnetNotFound",
        "PortNotFound",
        "SecurityGroupNotFound",
        "SecurityGroupRuleNotFound",
        "ExtensionNotFound",
        "AgentNotFound",
        "TagNotFound",
        "ResourceNotFound",
        "TenantQuotaNotFound",
        "RouterNotFound",
        "RouterInterfaceNotFound",
        "RouterInterfaceNotFoundForSubnet",
        "FloatingIPNotFound",
        "SubnetPoolNotFound",
        "RbacPolicyNotFound",
        "ExternalGatewayForFloatingIPNotFound",
        "AddressScopeNotFound",
        "AvailabilityZoneNotFound",
        "MeteringLabelNotFound",
        "MeteringLabelRuleNotFound",
        "InvalidDHCPAgent",
        "InvalidL3Agent",
        "PortForwardingNotFound",
        "QosPolicyNotFound",
        "QosRuleNotFound",
        "TrunkNotFound",
        "AddressGroupNotFound",
        "AddressesNotFound",
        "SubPortNotFound",
    ),
    BadRequest: (
        "HTTPBadRequest",
        "BadRequest",
        "InvalidInput",
        "InvalidRoutes",
        "RoutesExhausted",
        "SubnetMismatchForPort",
        "ExternalIpAddressExhausted",
        "PortHasPortForwarding",
        "AddressesAlreadyExist",
        "SecurityGroupMultipleRemoteEntites",
        "DefaultExternalNetworkExists",
        "EmptySubnetPoolPrefixList",
        "PrefixVersionMismatch",
        "IllegalSubnetPoolPrefixBounds",
        "IllegalSubnetPoolUpdate",
        "MinPrefixSubnetAllocationError",
        "MaxPrefixSubnetAllocationError",
        "SubnetPoolDeleteError",
        "AddressScopeUpdateError",
        "IllegalSubnetPoolIpVersionAssociationToAddressScope",
        "NetworkAddressScopeAffinityError",
        "InvalidSubnetServiceType",
        "InvalidIpForSubnet",
        "InvalidIpForNetwork",
        "InvalidAllocationPool",
        "OutOfBoundsAllocationPool",
        "OverlappingAllocationPools",
        "AllocationOnAutoAddressSubnet",
        "SecurityGroupInvalidIcmpValue",
        "SecurityGroupInvalidPortRange",
        "SecurityGroupInvalidPortValue",
        "SecurityGroupInvalidProtocolForPort",
        "SecurityGroupInvalidProtocolType",
        "SecurityGroupMissingIcmpType",
        "SecurityGroupRemoteGroupAndRemoteIpPrefix",
        "SecurityGroupRuleParameterConflict",
        "SecurityGroupRuleInvalidEtherType",
        "SecurityGroupRuleInvalidDirection",
        "SecurityGroupProtocolRequiredWithPorts",
        "SecurityGroupEthertypeConflictWithProtocol",
        "PortSecurityAndIPRequiredForSecurityGroups",
        "PortSecurityPortHasSecurityGroup",
        "AddressPairAndPortSecurityRequired",
        "QuotaResourceUnknown",
        "QuotaMissingTenant",
        "InvalidQuotaValue",
    ),
    Conflict: (
        "IpAddressGenerationFailure",
        "GatewayConflictWithAllocationPools",
        "MacAddressGenerationFailure",
        "SecurityGroupRuleExists",
        "SecurityGroupDefaultAlreadyExists",
        "SecurityGroupCannotUpdateDefault",
        "SecurityGroupCannotRemoveDefault",
        "InvalidSharedSetting",
        "UnsupportedPortDeviceOwner",
        "FloatingIPPortAlreadyAssociated",
        "SubnetAllocationError",
        "AddressScopePrefixConflict",
        "MeteringLabelRuleOverlaps",
        "NetworkHostedByDHCPAgent",
        "NetworkNotHostedByDhcpAgent",
        "RouterHostedByL3Agent",
        "RouterNotHostedByL3Agent",
        "IpAddressGenerationFailureNoMatchingSubnet",
        "AutoAllocationFailure",
        "DuplicateRbacPolicy",
        "QoSPolicyDefaultAlreadyExists",
        "QoSRulesConflict",
        "QoSRuleParameterConflict",
        "QosRuleNotSupported",
        "SubPortMtuGreaterThanTrunkPortMtu",
        "TrunkDisabled",
        "QosRuleNotSupportedByNetwork",
    ),
    InUse: (
        "IpAddressAlreadyAllocated",
        "MacAddressInUse",
        "NetworkInUse",
        "SubnetInUse",
        "PortInUse",
        "PortBound",
        "ServicePortInUse",
        "GatewayIpInUse",
        "SecurityGroupInUse",
        "VlanIdInUse",
        "TunnelIdInUse",
        "FlatNetworkInUse",
        "NoNetworkAvailable",
        "RouterInUse",
        "RouterExternalGatewayInUseByFloatingIp",
        "RouterInterfaceInUseByFloatingIP",
        "RouterInterfaceInUseByRoute",
        "ExternalNetworkInUse",
        "RbacPolicyInUse",
        "AddressScopeInUse",
        "FipInUseByPortForwarding",
        "QosPolicyInUse",
        "TrunkInUse",
        "AddressGroupInUse",
        "TrunkPortInUse",
        "ParentPortInUse",
        "DuplicateSubPort",
        "PortInUseAsSubPort",
        "PortInUseAsTrunkParent",
        "PortHasBindingFloatingIP",
    ),
    QuotaExceeded: ("OverQuota", "SubnetPoolQuotaExceeded"),
    Forbidden: ("PolicyNotAuthorized", "PolicyRemoveAuthorizationError"),
    Stale: ("RevisionNumberConstraintFailed",),
}
_CLASS_OF = {name: cls for cls, names in _CLASSES.items() for name in names}
STATUSES: dict[type[Error], int] = {QuotaExceeded: 409}
"""Where the network API's status differs from the error class's own."""


def refusal(type: str, message: str, **facts: object) -> Error:
    """The error that the network API calls `type`."""
    return _CLASS_OF[type](message, type=type, **facts)


def bad(message: str) -> Error:
    """The request itself is wrong."""
    return refusal("HTTPBadRequest", message)


def invalid(reason: str) -> Error:
    """A value doesn't fit with the others."""
    return refusal("InvalidInput", f"Invalid input for operation: {reason}.".replace("..", "."))


def wrong(attribute: str, reason: str) -> Error:
    """One attribute's value is wrong."""
    return bad(f"Invalid input for {attribute}. Reason: {reason}.")


def bad_for(resource: str, reason: str) -> Error:
    """The request doesn't make sense for this kind of resource."""
    return refusal("BadRequest", f"Bad {resource} request: {reason}.".replace("..", "."))


def missing(noun: str, id: str) -> Error:
    """There is no such network, subnet, port, security group … (for this caller)."""
    name, said = _NOUNS[noun]
    return refusal(name, said.format(id=id), id=id)


_NOUNS = {
    "network": ("NetworkNotFound", "Network {id} could not be found."),
    "subnet": ("SubnetNotFound", "Subnet {id} could not be found."),
    "port": ("PortNotFound", "Port {id} could not be found."),
    "security_group": ("SecurityGroupNotFound", "Security group {id} does not exist"),
    "security_group_rule": ("SecurityGroupRuleNotFound", "Security group rule {id} does not exist"),
    "router": ("RouterNotFound", "Router {id} could not be found"),
    "address_group": ("AddressGroupNotFound", "Address group {id} could not be found."),
    "trunk": ("TrunkNotFound", "Trunk {id} could not be found."),
    "rule_type": ("ResourceNotFound", "QoS rule type {id} could not be found."),
    "policy": ("QosPolicyNotFound", "QoS policy {id} could not be found."),
    "bandwidth_limit_rule": ("QosRuleNotFound", "QoS rule {id} could not be found."),
    "dscp_marking_rule": ("QosRuleNotFound", "QoS rule {id} could not be found."),
    "minimum_bandwidth_rule": ("QosRuleNotFound", "QoS rule {id} could not be found."),
    "port_forwarding": ("PortForwardingNotFound", "Port Forwarding {id} could not be found."),
    "floatingip": ("FloatingIPNotFound", "Floating IP {id} could not be found"),
    "subnetpool": ("SubnetPoolNotFound", "Subnet pool {id} could not be found."),
    "rbac_policy": ("RbacPolicyNotFound", "RBAC policy with ID {id} not found"),
    "address_scope": ("AddressScopeNotFound", "Address scope {id} could not be found."),
    "metering_label": ("MeteringLabelNotFound", "Metering label '{id}' does not exist."),
    "metering_label_rule": ("MeteringLabelRuleNotFound", "Metering label rule '{id}' does not exist."),
    "agent": ("AgentNotFound", "Agent {id} could not be found."),
    "extension": ("ExtensionNotFound", "Extension with alias {id} does not exist."),
}
