"""What projects share, as data: address scopes, subnet pools, RBAC policies (Networking API v2.0 reference)."""

from micronova.network import checks
from micronova.network.attributes import Attribute as A
from micronova.network.attributes import Resource
from micronova.network.checks import boolean, integer, ip_version, name, one_of, or_none, string, unique
from micronova.network.resources.standard import NOT_GIVEN, TAGGED, standard

ADDRESS_SCOPE = Resource(
    "address_scope",
    "address_scopes",
    (
        A("id"),
        A("name", name, post=True, put=True, default=""),
        A("project_id", string(255), post=True, default=NOT_GIVEN),
        A("tenant_id", column="project_id"),
        A("ip_version", ip_version, post=True, required=True),
        A("shared", boolean, post=True, put=True, default=False, guarded=True),
    ),
)

PREFIX_LENGTHS = ("min_prefixlen", "max_prefixlen", "default_prefixlen")
_LENGTH = or_none(integer(0, 128))

SUBNET_POOL = Resource(
    "subnetpool",
    "subnetpools",
    (
        *standard(),
        *TAGGED,
        A("prefixes", unique(checks.pool_cidr, 100), post=True, put=True, required=True, stored=False),
        *(A(length, _LENGTH, post=True, put=True) for length in PREFIX_LENGTHS),
        A("default_quota", or_none(integer(0)), post=True, put=True),
        A("shared", boolean, post=True, default=False, guarded=True),
        A("is_default", boolean, post=True, put=True, default=False, guarded=True),
        A("ip_version"),
        A("address_scope_id", or_none(checks.uuid), post=True, put=True),
    ),
)

SHARED_TYPES = ("network", "qos_policy", "security_group", "subnetpool", "address_scope", "address_group")

RBAC_POLICY = Resource(
    "rbac_policy",
    "rbac_policies",
    (
        A("id"),
        A("project_id", string(255), post=True, default=NOT_GIVEN),
        A("tenant_id", column="project_id"),
        A("object_type", one_of(*SHARED_TYPES), post=True, required=True),
        A("object_id", checks.uuid, post=True, required=True),
        A("action", one_of("access_as_shared", "access_as_external"), post=True, required=True),
        A("target_tenant", string(255), post=True, put=True, required=True),
    ),
)
