"""Which address scope a network is in: that of the pools its subnets are from."""

from collections.abc import Iterable, Mapping

from micronova.db import Not, Tx
from micronova.network.db.layer2 import Subnet
from micronova.network.db.lookup import find_all
from micronova.network.db.shares import SubnetPool

ScopeIds = Mapping[int, str]
"""A network's scope by IP version; a version without one is missing."""


def scopes_of(tx: Tx, network_ids: Iterable[str]) -> dict[str, ScopeIds]:
    """The scopes of networks that are in any, by network."""
    wanted = sorted(set(network_ids))
    subnets = tx.find(Subnet, network_id=wanted, subnetpool_id=Not(None)) if wanted else []
    pools: dict[str, SubnetPool] = find_all(tx, SubnetPool, (str(subnet.subnetpool_id) for subnet in subnets))
    found: dict[str, dict[int, str]] = {}
    for subnet in subnets:
        scope_id = pools[str(subnet.subnetpool_id)].address_scope_id
        if scope_id is not None:
            found.setdefault(subnet.network_id, {})[subnet.ip_version] = scope_id
    return {**found}
