"""Metering: labels for a project's traffic through its routers, and rules that say which traffic that is."""

from typing import Any

from micronova.context import Context
from micronova.db import Not, Tx
from micronova.network import ipam, resources
from micronova.network.attributes import Values
from micronova.network.collection import Collection, Where, get
from micronova.network.db import MeteringLabel, MeteringRule
from micronova.network.refusals import bad, refusal

SIDES = ("source_prefix", "destination_prefix")


class MeteringLabels(Collection[MeteringLabel]):
    """All labels."""

    resource = resources.METERING_LABEL
    row = MeteringLabel

    def scopes(self, tx: Tx, ctx: Context) -> list[Where]:
        if not self.room.policy.allows(ctx, "get_metering_label"):
            return []
        return [{"project_id": ctx.project_id}, {"shared": True, "project_id": Not(ctx.project_id)}]

    def sees(self, tx: Tx, ctx: Context, row: MeteringLabel) -> bool:
        ours = row.shared or row.project_id == ctx.project_id
        return ours and self.room.policy.allows(ctx, "get_metering_label")

    def insert(self, tx: Tx, ctx: Context, values: Values) -> MeteringLabel:
        """Store a label without rules."""
        return tx.insert(MeteringLabel(**self.standard(tx, values)))

    def erase(self, tx: Tx, ctx: Context, row: MeteringLabel) -> None:
        """The label and its rules are gone."""
        for rule in tx.find(MeteringRule, label_id=row.id):
            tx.delete(rule)
        tx.delete(row)


class MeteringRules(Collection[MeteringRule]):
    """All rules of all labels."""

    resource = resources.METERING_LABEL_RULE
    row = MeteringRule

    def scopes(self, tx: Tx, ctx: Context) -> list[Where]:
        allowed = self.room.policy.allows(ctx, "get_metering_label_rule")
        return [{"project_id": ctx.project_id}] if allowed else []

    def sees(self, tx: Tx, ctx: Context, row: MeteringRule) -> bool:
        return row.project_id == ctx.project_id and self.room.policy.allows(ctx, "get_metering_label_rule")

    def new_target(self, tx: Tx, ctx: Context, values: Values) -> dict[str, Any]:
        """A rule is whose its label is. Raises NotFound."""
        label = get(tx, MeteringLabel, "metering_label", values["label_id"])
        values["project_id"] = label.project_id
        return {"project_id": label.project_id, "tenant_id": label.project_id}

    def insert(self, tx: Tx, ctx: Context, values: Values) -> MeteringRule:
        """Store a rule for traffic that no other rule of the label names. Raises BadRequest, Conflict."""
        _check_sides(values)
        rule = MeteringRule(**self.standard(tx, values))
        others = tx.find(MeteringRule, label_id=rule.label_id, direction=rule.direction, excluded=rule.excluded)
        if rule.remote_prefix is not None and any(_overlap(rule.remote_prefix, one.remote_prefix) for one in others):
            raise refusal(
                "MeteringLabelRuleOverlaps",
                f"Metering label rule with remote_ip_prefix '{rule.remote_prefix}' overlaps another.",
            )
        label = get(tx, MeteringLabel, "metering_label", rule.label_id)
        tx.change(label, updated_at=tx.now)  # two rules that overlap can't both win
        return tx.insert(rule)

    def erase(self, tx: Tx, ctx: Context, row: MeteringRule) -> None:
        """The rule is gone."""
        tx.delete(row)


def _check_sides(values: Values) -> None:
    """A rule names the remote side, or source and destination or one of them, of one IP version."""
    named = [values[side] for side in SIDES if values[side] is not None]
    if values["remote_prefix"] is not None and named:
        raise bad("Cannot use remote-ip-prefix in conjunction with source-ip-prefix or destination-ip-prefix.")
    if values["remote_prefix"] is None and not named:
        raise bad("You must define at least one of the options: source_ip_prefix, destination_ip_prefix.")
    if len({ipam.network_of(cidr).version for cidr in named}) > 1:
        raise bad("source_ip_prefix and destination_ip_prefix are of different IP versions.")


def _overlap(cidr: str, other: str | None) -> bool:
    return other is not None and ipam.overlapping(ipam.network_of(cidr), [other]) is not None
