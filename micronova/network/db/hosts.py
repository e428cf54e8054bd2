"""Questions of who must hear of a change: hosts with members of a group, with ports of a network."""

from collections.abc import Iterable

import msgspec
import sqlalchemy as sa

from micronova.db import Tx, table
from micronova.network.db.layer2 import FixedIp, Pair, Port
from micronova.network.db.security import Membership, Rule

_P, _M, _R = table(Port), table(Membership), table(Rule)
_NEXT_HOST = (
    sa.select(sa.func.min(_M.c.host))
    .where(_M.c.group_id == sa.bindparam("group_id", type_=sa.Text()))
    .where(_M.c.host > sa.bindparam("host", type_=sa.Text()))
)
_TRUSTING = sa.select(_R.c.group_id).distinct().where(_R.c.remote_group_id == sa.bindparam("group_id", type_=sa.Text()))
_HOSTS_OF_NETWORK = (
    sa.select(_P.c.host)
    .distinct()
    .where(_P.c.network_id == sa.bindparam("network_id", type_=sa.Text()), _P.c.host != "")
)
_MEMBER_ADDRESSES = (
    sa.select(_M.c.group_id, _P.c.fixed_ips, _P.c.allowed_pairs)
    .select_from(_M.join(_P, _P.c.id == _M.c.port_id))
    .where(_M.c.group_id == sa.bindparam("group_id", type_=sa.Text()))
)
_decode_ips = msgspec.json.Decoder(tuple[FixedIp, ...]).decode
_decode_pairs = msgspec.json.Decoder(tuple[Pair, ...]).decode


def hosts_of_groups(tx: Tx, group_ids: Iterable[str]) -> set[str]:
    """Hosts with ports in one of these groups, found by one look into the index for each, however many ports."""
    found: set[str] = set()
    for id in group_ids:
        host = tx.values(_NEXT_HOST, group_id=id, host="")[0][0]
        while host is not None:
            found.add(host)
            host = tx.values(_NEXT_HOST, group_id=id, host=host)[0][0]
    return found


def hosts_that_trust(tx: Tx, group_ids: Iterable[str]) -> set[str]:
    """Hosts with ports whose rules name one of these groups as the remote side."""
    trusting = {row[0] for id in group_ids for row in tx.values(_TRUSTING, group_id=id)}
    return hosts_of_groups(tx, sorted(trusting))


def hosts_of_network(tx: Tx, network_id: str) -> set[str]:
    """Hosts with ports of this network."""
    return {row[0] for row in tx.values(_HOSTS_OF_NETWORK, network_id=network_id)}


def follow_port(tx: Tx, port: Port) -> None:
    """The port's memberships say where it is bound."""
    for membership in tx.find(Membership, port_id=port.id):
        tx.change(membership, host=port.host)


def addresses_of_group(tx: Tx, group_id: str) -> set[str]:
    """Every address that a member of the group may send from."""
    found: set[str] = set()
    for _, ips, pairs in tx.values(_MEMBER_ADDRESSES, group_id=group_id):
        found.update(one.ip for one in _decode_ips(ips))
        found.update(one.ip for one in _decode_pairs(pairs))
    return found
