"""Who has to follow what happens on networks that are on several hosts: those hosts, and the strategies."""

from collections.abc import Iterable, Sequence

from micronova.context import Context
from micronova.db import Tx
from micronova.network import db, reach
from micronova.network.db import Network, Port
from micronova.network.room import Room


def ports_moved(room: Room, tx: Tx, ctx: Context, ports: Sequence[Port], here: str = "") -> None:
    """Other hosts know where these ports are now, which came, left or changed; `here` has seen to itself."""
    network_ids = {port.network_id for port in ports if port.host}
    if not network_ids or not room.strategies.spanning:
        return
    joined = reach.joined(tx, network_ids)
    spanning = _spanning(room, tx, joined)
    if spanning:
        room.tell_of(tx, ctx, _hosts(tx, joined) - {here}, networks=(network.id for network in spanning))
        _strategies_follow(room, tx, ctx, spanning, {port.host for port in ports})


def networks_joined(room: Room, tx: Tx, ctx: Context, network_id: str) -> None:
    """All hosts of the networks that a router joins, or is about to part, follow."""
    joined = reach.joined(tx, [network_id])
    hosts = _hosts(tx, joined)
    room.tell(tx, ctx, hosts)
    _strategies_follow(room, tx, ctx, _spanning(room, tx, joined), hosts)


def moves(old: Port, new: Port) -> bool:
    """Whether other hosts have to know the difference."""
    return _whereabouts(old) != _whereabouts(new)


def _whereabouts(port: Port) -> tuple[object, ...]:
    return (port.host, port.status, port.mac, port.fixed_ips, port.allowed_pairs)


def _hosts(tx: Tx, network_ids: Iterable[str]) -> set[str]:
    return {host for id in sorted(network_ids) for host in db.hosts_of_network(tx, id)}


def _spanning(room: Room, tx: Tx, network_ids: Iterable[str]) -> list[Network]:
    known = db.find_all(tx, Network, network_ids)
    return [known[id] for id in sorted(known) if room.strategies.of(known[id].network_type).spans_hosts]


def _strategies_follow(room: Room, tx: Tx, ctx: Context, networks: Iterable[Network], hosts: set[str]) -> None:
    for network in networks:
        room.strategies.of(network.network_type).ports_moved(tx, ctx, network, hosts - {""})
