"""RBAC policies: who else may use a network, a security group …, one project at a time or all of them."""

from typing import Any

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import Error
from micronova.network import networks, reach, resources, sharing
from micronova.network.attributes import Values
from micronova.network.collection import Collection, get
from micronova.network.db import AddressScope, Network, RbacPolicy, SubnetPool
from micronova.network.refusals import invalid, missing, refusal
from micronova.network.sharing import EVERYBODY, EXTERNAL, OBJECTS

NOUNS = {"qos_policy": "policy"}
"""Objects that errors call by another name than policies do."""


class RbacPolicies(Collection[RbacPolicy]):
    """All RBAC policies."""

    resource = resources.RBAC_POLICY
    row = RbacPolicy

    def further_rules(self, verb: str, values: Values) -> tuple[str, ...]:
        return (f"{verb}_rbac_policy:target_tenant",) if values.get("target_tenant") == EVERYBODY else ()

    def insert(self, tx: Tx, ctx: Context, values: Values) -> RbacPolicy:
        """Open the object to the target. Raises BadRequest for another one's, Conflict when it is open already."""
        action, target = values["action"], values["target_tenant"]
        if action == EXTERNAL and values["object_type"] != "network":
            raise invalid(f"action {action} is not for objects of type {values['object_type']}")
        row = self._object(tx, ctx, values["object_type"], values["object_id"])
        if not ctx.is_admin and row.project_id != ctx.project_id:
            raise invalid("Only admins can manipulate policies on objects they do not own")
        if isinstance(row, SubnetPool):
            _check_scope(tx, row, target)
        if tx.count(RbacPolicy, object_id=row.id, action=action, target_tenant=target):
            raise refusal("DuplicateRbacPolicy", "An RBAC policy already exists with those values.")
        policy = tx.insert(RbacPolicy(**self.standard(tx, values)))
        self._apply(tx, ctx, row)
        return policy

    def alter(self, tx: Tx, ctx: Context, row: RbacPolicy, values: Values) -> RbacPolicy:
        """The policy is for another target, and the object closed to the one it was for."""
        target = values.get("target_tenant", row.target_tenant)
        if target == row.target_tenant:
            return row
        values = {"object_type": row.object_type, "object_id": row.object_id, "action": row.action}
        if tx.count(RbacPolicy, **values, target_tenant=target):
            raise refusal("DuplicateRbacPolicy", "An RBAC policy already exists with those values.")
        used = get(tx, OBJECTS[row.object_type], _noun(row.object_type), row.object_id)
        self._check_unneeded(tx, row, used, kept=target)
        changed = self.touch(tx, row, {"target_tenant": target})
        self._apply(tx, ctx, used)
        return changed

    def erase(self, tx: Tx, ctx: Context, row: RbacPolicy) -> None:
        """The object is closed to the target. Raises InUse while the target has something that needs it."""
        used = get(tx, OBJECTS[row.object_type], _noun(row.object_type), row.object_id)
        self._check_unneeded(tx, row, used)
        tx.delete(row)
        self._apply(tx, ctx, used)

    def _object(self, tx: Tx, ctx: Context, object_type: str, id: str) -> Any:
        """What the policy is about, if the caller sees it. Raises NotFound."""
        if object_type == "network":
            return networks.usable(tx, ctx, id)
        row: Any = tx.first(OBJECTS[object_type], id=id)
        seen = row is not None and (
            ctx.is_admin or row.shared or row.project_id == ctx.project_id or sharing.is_given(tx, ctx.project_id, id)
        )
        if not seen:
            raise missing(_noun(object_type), id)
        return row

    def _apply(self, tx: Tx, ctx: Context, row: Any) -> None:
        """The object says what its policies say; hosts of a network that leads out now, or no more, follow."""
        changed = sharing.obey(tx, row)
        if isinstance(row, Network) and row.external != changed.external:
            self.room.tell(tx, ctx, reach.hosts(tx, [row.id]))

    def _check_unneeded(self, tx: Tx, policy: RbacPolicy, row: Any, kept: str = "") -> None:
        if policy.action == EXTERNAL:
            _check_ways_out(tx, policy, row, kept)
            return
        if (kept == EVERYBODY and isinstance(row, Network)) or (row.shared and policy.target_tenant != EVERYBODY):
            return
        others = tx.find(RbacPolicy, object_id=row.id, action=policy.action)
        entitled = {other.target_tenant for other in others if other.id != policy.id}
        if isinstance(row, Network):
            entitled |= {row.project_id, kept}
        lost = sharing.users(tx, policy.object_type, row.id) - entitled
        if policy.target_tenant != EVERYBODY:
            lost &= {policy.target_tenant}
        if lost:
            raise _in_use(row, f"{len(lost)} other projects use {policy.object_type} {row.id}")


def _check_ways_out(tx: Tx, policy: RbacPolicy, row: Network, kept: str) -> None:
    """Raises InUse when a project whose routers or floating IPs lead out by the network would not see it any more.

    Who shares the network sees it all the same. The last policy stays as long as anybody leads out by it.
    """
    if policy.target_tenant == EVERYBODY and row.is_default:
        raise _in_use(row, "Default external networks must be shared to everyone.")
    others = [one for one in tx.find(RbacPolicy, object_id=row.id, action=EXTERNAL) if one.id != policy.id]
    entitled = {one.target_tenant for one in others} | ({kept} if kept else set())
    if not entitled:
        networks.check_no_way_out(tx, row)
    if row.shared or EVERYBODY in entitled:
        return
    lost = sharing.users_outwards(tx, row.id) - entitled - {row.project_id, *row.shared_with}
    if policy.target_tenant != EVERYBODY:
        lost &= {policy.target_tenant}
    if lost:
        raise _in_use(row, "There are routers attached to this network that depend on this policy for access.")


def _in_use(row: Any, why: str) -> Error:
    return refusal(
        "RbacPolicyInUse",
        f"RBAC policy on object {row.id} cannot be removed because other objects depend on it.\nDetails: {why}",
    )


def _check_scope(tx: Tx, pool: SubnetPool, target: str) -> None:
    """Raises BadRequest when the target may use the pool, but not the address scope that it is of."""
    scope = tx.first(AddressScope, id=pool.address_scope_id) if pool.address_scope_id is not None else None
    open_to_target = scope is None or scope.shared or scope.project_id == target
    if not open_to_target and not sharing.is_given(tx, target, str(pool.address_scope_id)):
        raise invalid(f"subnet pool {pool.id} can't be shared with {target}, which may not use its address scope")


def _noun(object_type: str) -> str:
    return NOUNS.get(object_type, object_type)
