"""QoS policies and their rules as data (Networking API v2.0 reference, "Quality of Service")."""

from typing import Any

from micronova.network import checks
from micronova.network.attributes import Attribute as A
from micronova.network.attributes import Resource
from micronova.network.checks import boolean, integer, one_of
from micronova.network.resources.standard import TAGGED, standard

DIRECTIONS = ("egress", "ingress")
DSCP_MARKS = (0, *range(8, 42, 2), 44, 46, 48, 56)
"""Neutron's: the code points of RFC 2474 (class selectors), 2597 (assured) and 3246, 5865 (expedited forwarding)."""


def _dscp_mark(value: Any) -> int:
    found: int = integer(0)(value)
    if found not in DSCP_MARKS:
        raise ValueError(f"'{checks.short(value)}' is not in {list(DSCP_MARKS)}")
    return found


def _rule(noun: str, *attributes: A) -> Resource:
    plural = f"{noun}s"
    return Resource(noun, plural, (A("id"), *attributes), folder="qos/policies/{id}/", inside="policy")


def _direction() -> A:
    return A("direction", one_of(*DIRECTIONS), post=True, put=True, default="egress")


QOS_POLICY = Resource(
    "policy",
    "policies",
    (
        *standard(),
        *TAGGED,
        A("shared", boolean, post=True, put=True, default=False),
        A("is_default", boolean, post=True, put=True, default=False),
        A("rules", stored=False),
    ),
    folder="qos/",
)

BANDWIDTH_LIMIT_RULE = _rule(
    "bandwidth_limit_rule",
    A("max_kbps", integer(0), post=True, put=True, required=True),
    A("max_burst_kbps", integer(0), post=True, put=True, default=0),
    _direction(),
)
DSCP_MARKING_RULE = _rule("dscp_marking_rule", A("dscp_mark", _dscp_mark, post=True, put=True, required=True))
MINIMUM_BANDWIDTH_RULE = _rule(
    "minimum_bandwidth_rule", A("min_kbps", integer(0), post=True, put=True, required=True), _direction()
)
