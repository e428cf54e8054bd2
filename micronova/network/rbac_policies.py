"""RBAC policies: who else may use a network, one project at a time or all of them."""

from micronova.context import Context
from micronova.db import Tx
from micronova.network import networks, resources
from micronova.network.attributes import Values
from micronova.network.collection import Collection, get
from micronova.network.db import Network, Port, RbacPolicy
from micronova.network.refusals import invalid, refusal
from micronova.network.sharing import EVERYBODY, EXTERNAL, open_to_all


class RbacPolicies(Collection[RbacPolicy]):
    """All RBAC policies."""

    resource = resources.RBAC_POLICY
    row = RbacPolicy

    def further_rules(self, verb: str, values: Values) -> tuple[str, ...]:
        return (f"{verb}_rbac_policy:target_tenant",) if values.get("target_tenant") == EVERYBODY else ()

    def insert(self, tx: Tx, ctx: Context, values: Values) -> RbacPolicy:
        """Open the network to the target. Raises BadRequest for another one's network, Conflict when it is already."""
        network = networks.usable(tx, ctx, values["object_id"])
        if not ctx.is_admin and network.project_id != ctx.project_id:
            raise invalid("Only admins can manipulate policies on objects they do not own")
        action, target = values["action"], values["target_tenant"]
        if action == EXTERNAL and target != EVERYBODY:
            raise invalid("a network leads out for all projects or for none")
        if tx.count(RbacPolicy, object_id=network.id, action=action, target_tenant=target):
            raise refusal("DuplicateRbacPolicy", "An RBAC policy already exists with those values.")
        row = tx.insert(RbacPolicy(**self.standard(tx, values)))
        self._apply(tx, network, row, given=True)
        return row

    def alter(self, tx: Tx, ctx: Context, row: RbacPolicy, values: Values) -> RbacPolicy:
        """The policy is for another target, and the network closed to the one it was for."""
        target = values.get("target_tenant", row.target_tenant)
        if target == row.target_tenant:
            return row
        values = {"object_type": row.object_type, "object_id": row.object_id, "action": row.action}
        network = get(tx, Network, "network", row.object_id)
        if row.action == EXTERNAL or tx.count(RbacPolicy, **values, target_tenant=target):
            raise refusal("DuplicateRbacPolicy", "An RBAC policy already exists with those values.")
        self._check_unneeded(tx, row, network, kept=target)
        changed = self.touch(tx, row, {"target_tenant": target})
        network = self._apply(tx, network, row, given=False)
        self._apply(tx, network, changed, given=True)
        return changed

    def erase(self, tx: Tx, ctx: Context, row: RbacPolicy) -> None:
        """The network is closed to the target. Raises InUse while the target has ports on it."""
        network = get(tx, Network, "network", row.object_id)
        self._check_unneeded(tx, row, network)
        tx.delete(row)
        self._apply(tx, network, row, given=False)

    def _apply(self, tx: Tx, network: Network, row: RbacPolicy, *, given: bool) -> Network:
        """The network says what the policy says."""
        if row.target_tenant != EVERYBODY:
            others = [id for id in network.shared_with if id != row.target_tenant]
            return tx.change(
                network, shared_with=(*others, row.target_tenant) if given else tuple(others), updated_at=tx.now
            )
        shared, external = (given if row.action == one else now for one, now in open_to_all(network))
        return tx.change(network, shared=shared, external=external, public=shared or external, updated_at=tx.now)

    def _check_unneeded(self, tx: Tx, row: RbacPolicy, network: Network, kept: str = "") -> None:
        if row.action == EXTERNAL:
            networks.check_no_way_out(tx, network)
            return
        if network.shared and row.target_tenant != EVERYBODY:
            return
        entitled = {network.project_id, "", kept, *(() if row.target_tenant != EVERYBODY else network.shared_with)}
        users = {port.project_id for port in tx.find(Port, network_id=network.id)}
        lost = users - entitled if row.target_tenant == EVERYBODY else users & ({row.target_tenant} - entitled)
        if lost and kept != EVERYBODY:
            raise refusal(
                "RbacPolicyInUse",
                f"RBAC policy on object {network.id} cannot be removed because other objects depend on it.\n"
                f"Details: ports of {len(lost)} other projects are on the network",
            )
