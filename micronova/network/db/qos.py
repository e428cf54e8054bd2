"""Rows of QoS policies and their rules, and the questions asked of them."""

from collections.abc import Iterable
from typing import Annotated, ClassVar

from micronova.db import UNIQUE, Tx
from micronova.network.db.standard import Standard


class QosPolicy(Standard, frozen=True, kw_only=True):
    """Rules under a name. `default_of` is the project whose new networks have it; it can have only one."""

    TABLE: ClassVar[str] = "qos_policies"

    shared: bool = False
    is_default: bool = False
    default_of: Annotated[str | None, UNIQUE] = None


class QosRule(Standard, frozen=True, kw_only=True):
    """What a policy does to packets, by `type`: "bandwidth_limit", "dscp_marking" or "minimum_bandwidth".

    `direction` is seen from the guest, "" where it means nothing, as do the numbers of other types.
    """

    TABLE: ClassVar[str] = "qos_rules"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("policy_id", "type", "direction"),)

    policy_id: str
    type: str
    direction: str = ""
    max_kbps: int = 0
    max_burst_kbps: int = 0
    min_kbps: int = 0
    dscp_mark: int = 0


def qos_rules_of(tx: Tx, policy_ids: Iterable[str]) -> dict[str, list[QosRule]]:
    """Rules by policy, oldest first; policies without any are missing."""
    found: dict[str, list[QosRule]] = {}
    wanted = sorted(set(policy_ids))
    order = (("created_at", True), ("id", True))
    for row in tx.find(QosRule, policy_id=wanted, order=order) if wanted else ():
        found.setdefault(row.policy_id, []).append(row)
    return found
