"""Which networks are joined by routers, and which hosts have to do with them."""

from collections.abc import Iterable

from micronova.db import Tx
from micronova.network import db
from micronova.network.db import RouterPort


def joined(tx: Tx, network_ids: Iterable[str]) -> set[str]:
    """These networks and all that routers join with them, however many routers are between."""
    found = set(network_ids)
    new, routers = set(found), set[str]()
    while new:
        met = {row.router_id for row in tx.find(RouterPort, network_id=sorted(new))} - routers
        routers |= met
        there = {row.network_id for row in tx.find(RouterPort, router_id=sorted(met))} if met else set()
        new = there - found
        found |= new
    return found


def hosts(tx: Tx, network_ids: Iterable[str]) -> set[str]:
    """Hosts that have one of these networks: they hold ports of it, or of one that a router joins with it."""
    return {host for id in sorted(joined(tx, network_ids)) for host in db.hosts_of_network(tx, id)}


def real_hosts(tx: Tx, network_ids: Iterable[str]) -> set[str]:
    """Hosts where one of these networks is real: they hold real ports of it, or of one that a router joins with it."""
    return {host for id in sorted(joined(tx, network_ids)) for host in db.real_hosts(tx, id)}
