"""QoS policies: who may use them, which is a project's default, when one may go, and whose packets they are about."""

from collections.abc import Sequence

from micronova.context import Context
from micronova.db import Tx
from micronova.network import db, resources
from micronova.network.attributes import Values
from micronova.network.collection import Found, get
from micronova.network.db import FloatingIp, Network, Port, QosPolicy, QosRule
from micronova.network.refusals import missing, refusal
from micronova.network.shareable import Shareable
from micronova.network.sharing import is_given

MINIMUM_BANDWIDTH = "minimum_bandwidth"
USERS: tuple[tuple[str, type[Network] | type[Port] | type[FloatingIp]], ...] = (
    ("network", Network),
    ("port", Port),
    ("floatingip", FloatingIp),
)


class QosPolicies(Shareable[QosPolicy]):
    """All QoS policies."""

    resource = resources.QOS_POLICY
    row = QosPolicy

    def found(self, tx: Tx, rows: Sequence[QosPolicy]) -> Found[QosPolicy]:
        """The policies with their rules."""
        rules = db.qos_rules_of(tx, (row.id for row in rows))
        return Found(list(rows), {row.id: list(rules.get(row.id, ())) for row in rows})

    def marked(self, tx: Tx, ctx: Context, id: str) -> QosPolicy:
        """The policy, also one that the caller doesn't see: clients go on as somebody else. Raises NotFound."""
        return get(tx, QosPolicy, self.noun, id)

    def insert(self, tx: Tx, ctx: Context, values: Values) -> QosPolicy:
        """Store a policy without rules. Raises Conflict for a second default of a project."""
        row = QosPolicy(**self.standard(tx, values), default_of=self._default_of(tx, values, values["project_id"]))
        return self.store(tx, row)

    def alter(self, tx: Tx, ctx: Context, row: QosPolicy, values: Values) -> QosPolicy:
        """Store the new values. Raises Conflict for a second default, InUse when others need it shared."""
        if "is_default" in values:
            values = {**values, "default_of": self._default_of(tx, values, row.project_id, row.id)}
        return self.restore(tx, row, values)

    def erase(self, tx: Tx, ctx: Context, row: QosPolicy) -> None:
        """The policy and its rules are gone. Raises InUse while something has it."""
        for kind, cls in USERS:
            user = tx.first(cls, qos_policy_id=row.id)
            if user is not None:
                raise refusal("QosPolicyInUse", f"QoS Policy {row.id} is used by {kind} {user.id}.")
        for rule in tx.find(QosRule, policy_id=row.id):
            tx.delete(rule)
        self.drop(tx, row)

    def _default_of(self, tx: Tx, values: Values, project_id: str, id: str = "") -> str | None:
        if not values["is_default"]:
            return None
        other = tx.first(QosPolicy, default_of=project_id)
        if other is not None and other.id != id:
            raise refusal("QoSPolicyDefaultAlreadyExists", f"A default QoS policy exists for project {project_id}.")
        return project_id


def usable(tx: Tx, ctx: Context, id: str | None) -> str | None:
    """The policy's id if the caller may use it. Raises NotFound."""
    if id is not None and not _sees(tx, ctx, id):
        raise missing("policy", id)
    return id


def replaceable(tx: Tx, ctx: Context, old: str | None, new: str | None) -> str | None:
    """The new policy's id if the caller may use it in place of the old one. Raises NotFound, and Forbidden for an old
    one that he may not use himself: somebody else put it there."""
    if new == old:
        return new
    if old is not None and not _sees(tx, ctx, old):
        raise refusal(
            "PolicyRemoveAuthorizationError",
            f"Failed to remove provided policy {old} because you are not authorized.",
        )
    return usable(tx, ctx, new)


def default_of(tx: Tx, project_id: str) -> str | None:
    """The policy that new networks of the project have."""
    row = tx.first(QosPolicy, default_of=project_id)
    return row.id if row is not None else None


def check_supported(tx: Tx, policy_id: str | None, kind: str, id: str) -> None:
    """Raises Conflict when the policy has rules that no driver can keep for a port or network: nobody reserves
    bandwidth."""
    if policy_id is None or not tx.count(QosRule, policy_id=policy_id, type=MINIMUM_BANDWIDTH):
        return
    if kind == "port":
        raise refusal("QosRuleNotSupported", f"Rule {MINIMUM_BANDWIDTH} is not supported by port {id}")
    raise refusal("QosRuleNotSupportedByNetwork", f"Rule {MINIMUM_BANDWIDTH} is not supported by network {id}")


def hosts_of(tx: Tx, policy_id: str) -> set[str]:
    """Hosts that do to packets what the policy says."""
    networks = [row.id for row in tx.find(Network, qos_policy_id=policy_id)]
    ports = tx.find(Port, qos_policy_id=policy_id)
    floating = [row.port_id for row in tx.find(FloatingIp, qos_policy_id=policy_id) if row.port_id]
    held = {port.host for port in (*ports, *db.find_all(tx, Port, floating).values())}
    return held | {host for id in networks for host in db.hosts_of_network(tx, id)}


def _sees(tx: Tx, ctx: Context, id: str) -> bool:
    row = tx.first(QosPolicy, id=id)
    return row is not None and (
        ctx.is_admin or row.shared or row.project_id == ctx.project_id or is_given(tx, ctx.project_id, id)
    )
