"""Rules of QoS policies, one collection a type: each type once a policy and direction. Hosts follow every change."""

from collections.abc import Mapping
from typing import ClassVar

from micronova.context import Context
from micronova.db import Tx
from micronova.network import resources
from micronova.network.attributes import Values
from micronova.network.collection import Search
from micronova.network.db import Network, Port, QosPolicy, QosRule
from micronova.network.nested import Nested
from micronova.network.qos_policies import MINIMUM_BANDWIDTH, check_supported, hosts_of
from micronova.network.refusals import refusal

BANDWIDTH_LIMIT, DSCP_MARKING = "bandwidth_limit", "dscp_marking"
SUPPORTED: Mapping[str, tuple[str, ...]] = {
    BANDWIDTH_LIMIT: ("max_kbps", "max_burst_kbps", "direction"),
    DSCP_MARKING: ("dscp_mark",),
}
"""What hosts do to packets: types of rules and their parameters."""


class QosRules(Nested[QosRule]):
    """The rules of one type."""

    row = QosRule
    parent_column = "policy_id"
    type: ClassVar[str]

    def visible(self, tx: Tx, ctx: Context, id: str) -> QosRule:
        row = super().visible(tx, ctx, id)
        if row.type != self.type:
            raise self.absent(id)
        return row

    def absent(self, id: str) -> Exception:
        return refusal("QosRuleNotFound", f"QoS rule {id} for policy {self.parent_id} could not be found.", id=id)

    def search(self, tx: Tx, ctx: Context, search: Search) -> list[QosRule]:
        policy = self.parent(tx, ctx)
        return self.matching(tx, ctx, search, [{"policy_id": policy.id, "type": self.type}])

    def insert(self, tx: Tx, ctx: Context, values: Values) -> QosRule:
        """Store a rule of which the policy has none like it. Raises Conflict."""
        self._check(tx, values)
        row = tx.insert(QosRule(**self.standard(tx, values), type=self.type))
        self._policy_changed(tx, ctx, row.policy_id)
        return row

    def alter(self, tx: Tx, ctx: Context, row: QosRule, values: Values) -> QosRule:
        """Store the new values. Raises Conflict when another rule is like it then."""
        names = (
            "policy_id",
            "direction",
            *(name for name in ("max_kbps", "min_kbps") if name in self.resource.named()),
        )
        now = {name: getattr(row, name) for name in names}
        self._check(tx, {**now, **values}, row.id)
        changed = self.touch(tx, row, values)
        self._policy_changed(tx, ctx, row.policy_id)
        return changed

    def erase(self, tx: Tx, ctx: Context, row: QosRule) -> None:
        """The rule is gone."""
        tx.delete(row)
        self._policy_changed(tx, ctx, row.policy_id)

    async def policy_of(self, id: str) -> str:
        """The policy that the rule is of. Raises NotFound."""
        row = await self.room.db.read(lambda tx: tx.first(QosRule, id=id, type=self.type))
        if row is None:
            raise refusal("QosRuleNotFound", f"QoS rule {id} for policy  could not be found.", id=id)
        return row.policy_id

    def _check(self, tx: Tx, values: Values, id: str = "") -> None:
        policy_id, direction = values["policy_id"], values.get("direction", "")
        for other in tx.find(QosRule, policy_id=policy_id, order=(("id", True),)):
            if other.id == id or other.direction != direction:
                continue
            if other.type == self.type:
                raise refusal(
                    "QoSRulesConflict",
                    f"Rule {self.type} conflicts with rule {other.id} which already exists in QoS Policy {policy_id}.",
                )
            least, most = (values.get("min_kbps", other.min_kbps), values.get("max_kbps", other.max_kbps))
            if direction and least > most:
                raise refusal(
                    "QoSRuleParameterConflict",
                    f"Unable to add the rule with value {values.get('min_kbps', values.get('max_kbps'))} to the policy "
                    f"{policy_id} as the existing rule of type {other.type} restricts the bandwidth to "
                    f"{other.max_kbps or other.min_kbps}.",
                )

    def _policy_changed(self, tx: Tx, ctx: Context, policy_id: str) -> None:
        for kind, row in (
            ("port", tx.first(Port, qos_policy_id=policy_id)),
            ("network", tx.first(Network, qos_policy_id=policy_id)),
        ):
            if row is not None:
                check_supported(tx, policy_id, kind, row.id)
        tx.change(tx.get(QosPolicy, policy_id), updated_at=tx.now)
        self.room.tell(tx, ctx, hosts_of(tx, policy_id))


class BandwidthLimitRules(QosRules):
    """How much may pass, by direction."""

    resource = resources.BANDWIDTH_LIMIT_RULE
    type = BANDWIDTH_LIMIT


class DscpMarkingRules(QosRules):
    """How packets that leave are marked."""

    resource = resources.DSCP_MARKING_RULE
    type = DSCP_MARKING


class MinimumBandwidthRules(QosRules):
    """How much shall be kept free. No driver can: a policy with such a rule can't be used."""

    resource = resources.MINIMUM_BANDWIDTH_RULE
    type = MINIMUM_BANDWIDTH
