"""QoS policies to what a driver is told of them: the part of specs.py for bandwidth and marks."""

from collections.abc import Iterable, Mapping

from micronova.db import Tx
from micronova.network import db
from micronova.network.db import QosRule
from micronova.network.driver import NO_QOS, QosSpec, RateSpec

OF_THE_NETWORK = ("network:", "neutron:")


def load(tx: Tx, policy_ids: Iterable[str | None]) -> dict[str, QosSpec]:
    """What each of these policies says; those that say nothing are missing."""
    wanted = {id for id in policy_ids if id is not None}
    return {id: _spec(rules) for id, rules in db.qos_rules_of(tx, wanted).items()} if wanted else {}


def of_port(known: Mapping[str, QosSpec], own: str | None, network: str | None, owner: str) -> QosSpec:
    """What is done to a port's packets: what its own policy says, else its network's, but for what serves that."""
    if own is None and owner.startswith(OF_THE_NETWORK):
        return NO_QOS
    return known.get(own or network or "", NO_QOS)


def _spec(rules: Iterable[QosRule]) -> QosSpec:
    rates = {
        rule.direction: RateSpec(kbps=rule.max_kbps, burst_kbit=rule.max_burst_kbps)
        for rule in rules
        if rule.type == "bandwidth_limit" and rule.max_kbps
    }
    marks = [rule.dscp_mark for rule in rules if rule.type == "dscp_marking"]
    return QosSpec(egress=rates.get("egress"), ingress=rates.get("ingress"), dscp=marks[0] if marks else None)
