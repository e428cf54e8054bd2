"""How much of each resource a project may have: counted in the transaction that adds one, never stored."""

from collections.abc import Mapping

import msgspec

from micronova.db import Row, Tx
from micronova.network.db import (
    FloatingIp,
    Network,
    Port,
    QuotaLimit,
    RbacPolicy,
    Router,
    Rule,
    SecurityGroup,
    Subnet,
    SubnetPool,
    Trunk,
)
from micronova.network.refusals import bad, refusal
from micronova.options import QuotaOptions

COUNTED: Mapping[str, type[Row]] = {
    "network": Network,
    "subnet": Subnet,
    "port": Port,
    "security_group": SecurityGroup,
    "security_group_rule": Rule,
    "router": Router,
    "floatingip": FloatingIp,
    "subnetpool": SubnetPool,
    "rbac_policy": RbacPolicy,
    "trunk": Trunk,
}
NO_LIMIT = -1


class Usage(msgspec.Struct, frozen=True):
    """One resource of one project."""

    limit: int
    used: int


def defaults(options: QuotaOptions) -> dict[str, int]:
    """What a project may have that nobody said anything about."""
    return {
        "network": options.networks,
        "subnet": options.subnets,
        "port": options.ports,
        "security_group": options.security_groups,
        "security_group_rule": options.security_group_rules,
        "router": options.routers,
        "floatingip": options.floating_ips,
        "subnetpool": options.subnet_pools,
        "rbac_policy": options.rbac_policies,
        "trunk": NO_LIMIT,
    }


def limits(tx: Tx, options: QuotaOptions, project_id: str) -> dict[str, int]:
    """What the project may have, by resource."""
    own = {row.resource: row.most for row in tx.find(QuotaLimit, project_id=project_id)}
    return {resource: own.get(resource, most) for resource, most in defaults(options).items()}


def usages(tx: Tx, options: QuotaOptions, project_id: str) -> dict[str, Usage]:
    """What the project may have, and has."""
    return {
        resource: Usage(most, tx.count(COUNTED[resource], project_id=project_id))
        for resource, most in limits(tx, options, project_id).items()
    }


def admit(tx: Tx, options: QuotaOptions, project_id: str, resource: str, count: int = 1) -> None:
    """Return when the project may have `count` more; what nobody counts has no limit. Raises QuotaExceeded."""
    if resource not in COUNTED:
        return
    own = tx.first(QuotaLimit, id=_key(project_id, resource))
    most = own.most if own is not None else defaults(options)[resource]
    if most != NO_LIMIT and tx.count(COUNTED[resource], project_id=project_id) + count > most:
        raise refusal("OverQuota", f"Quota exceeded for resources: ['{resource}'].", resource=resource, limit=most)


def set_limits(tx: Tx, project_id: str, wanted: Mapping[str, int], *, below_use: bool = True) -> None:
    """The project's own limits are these; others stay.

    Raises BadRequest for a resource that has none, and, unless `below_use`, for a limit the project is over already.
    """
    unknown = sorted(set(wanted) - set(COUNTED))
    if unknown:
        raise bad(f"Unrecognized attribute(s) '{', '.join(unknown)}'")
    for resource, most in wanted.items():
        if not below_use:
            _check_use(tx, project_id, resource, most)
        row = tx.first(QuotaLimit, id=_key(project_id, resource))
        if row is None:
            tx.insert(QuotaLimit(id=_key(project_id, resource), project_id=project_id, resource=resource, most=most))
        else:
            tx.change(row, most=most)


def _check_use(tx: Tx, project_id: str, resource: str, most: int) -> None:
    used = tx.count(COUNTED[resource], project_id=project_id)
    if most != NO_LIMIT and used > most:
        raise bad(f"Quota limit {most} for {resource} must be greater than or equal to already used {used}")


def forget_limits(tx: Tx, project_id: str) -> None:
    """The project has the default limits again. Raises NotFound when it had no others."""
    rows = tx.find(QuotaLimit, project_id=project_id)
    if not rows:
        raise refusal("TenantQuotaNotFound", f"Quota for tenant {project_id} could not be found.")
    for row in rows:
        tx.delete(row)


def all_own(tx: Tx, options: QuotaOptions) -> dict[str, dict[str, int]]:
    """Every project that has limits of its own, with all its limits."""
    projects = sorted({row.project_id for row in tx.find(QuotaLimit)})
    return {project_id: limits(tx, options, project_id) for project_id in projects}


def _key(project_id: str, resource: str) -> str:
    return f"{project_id}:{resource}"
