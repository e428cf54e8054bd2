"""Rows of what projects share and how much each may have: subnet pools, RBAC policies, limits."""

from typing import Annotated, ClassVar

from micronova.db import INDEX, KEY, Row
from micronova.network.db.standard import Standard


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
