"""How QoS policies and their rules look on the wire (Networking API v2.0 reference, "Quality of Service")."""

from collections.abc import Sequence
from typing import Any

from micronova.network.db import QosPolicy, QosRule
from micronova.network.room import Room
from micronova.network.wire import Show, Shown, standard

PARAMETERS = {
    "bandwidth_limit": ("max_kbps", "max_burst_kbps", "direction"),
    "dscp_marking": ("dscp_mark",),
    "minimum_bandwidth": ("min_kbps", "direction"),
}


def show_policy(room: Room, row: QosPolicy, parts: Sequence[Any]) -> Shown:
    return {
        **standard(row),
        "shared": row.shared,
        "is_default": row.is_default,
        "rules": [{**show_rule(room, rule, ()), "type": rule.type, "qos_policy_id": row.id} for rule in parts],
    }


def show_rule(room: Room, row: QosRule, parts: Sequence[Any]) -> Shown:
    return {"id": row.id, **{name: getattr(row, name) for name in PARAMETERS[row.type]}}


SHOW: dict[str, Show] = {
    "policy": show_policy,
    "bandwidth_limit_rule": show_rule,
    "dscp_marking_rule": show_rule,
    "minimum_bandwidth_rule": show_rule,
}
