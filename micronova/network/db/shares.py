"""Rows of what projects share, are given, and may have: address scopes, subnet pools, RBAC policies, limits."""

from typing import Annotated, ClassVar

from micronova.db import INDEX, KEY, Row
from micronova.network.db.standard import Standard


class AddressScope(Standard, frozen=True, kw_only=True):
    """Ranges that are known to each other: pools of a scope don't overlap, and nothing between them is translated."""

    TABLE: ClassVar[str] = "address_scopes"

    ip_version: int
    shared: bool = False


class SubnetPool(Standard, frozen=True, kw_only=True):
    """Ranges that subnets are cut from, by prefix lengths; `default_quota` is a project's share."""

    TABLE: ClassVar[str] = "subnet_pools"

    ip_version: int
    prefixes: tuple[str, ...]
    min_prefixlen: int
    max_prefixlen: int
    default_prefixlen: int
    default_quota: int | None = None
    shared: bool = False
    is_default: bool = False
    address_scope_id: Annotated[str | None, INDEX] = None


class AutoTopology(Row, frozen=True, kw_only=True):
    """The network and router that the cloud made for project `id` when it asked for "a network"."""

    TABLE: ClassVar[str] = "auto_topologies"

    id: Annotated[str, KEY]
    network_id: Annotated[str, INDEX]
    router_id: Annotated[str, INDEX]


class RbacPolicy(Standard, frozen=True, kw_only=True):
    """What the owner of a network lets a project do with it; `target_tenant` "*" means every project."""

    TABLE: ClassVar[str] = "rbac_policies"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("object_id", "action", "target_tenant"),)

    object_type: str
    object_id: str
    action: str
    target_tenant: Annotated[str, INDEX]


class QuotaLimit(Row, frozen=True, kw_only=True):
    """A project's own limit for one kind of resource."""

    TABLE: ClassVar[str] = "network_quotas"

    id: Annotated[str, KEY]
    project_id: Annotated[str, INDEX]
    resource: str
    most: int
