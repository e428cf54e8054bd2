"""Questions asked of the addresses that are given."""

import sqlalchemy as sa

from micronova.db import Tx, table
from micronova.network.db.layer2 import Address

_A = table(Address)
_POOL = (
    _A.c.subnet_id == sa.bindparam("subnet_id", type_=sa.Text()),
    _A.c.number >= sa.bindparam("first", type_=sa.Text()),
    _A.c.number <= sa.bindparam("last", type_=sa.Text()),
)
_HIGHEST = sa.select(_A.c.number).where(*_POOL).order_by(_A.c.number.desc()).limit(1)
_TAKEN = sa.select(_A.c.number).where(*_POOL).order_by(_A.c.number).limit(sa.bindparam("most", type_=sa.Integer()))
_ONE = sa.select(_A.c.number).where(_POOL[0], _A.c.number == sa.bindparam("number", type_=sa.Text()))
_PER_SUBNET = (
    sa.select(_A.c.subnet_id, sa.func.count())
    .where(_A.c.network_id == sa.bindparam("network_id", type_=sa.Text()))
    .group_by(_A.c.subnet_id)
)


def highest_taken(tx: Tx, subnet_id: str, first: str, last: str) -> str | None:
    """The highest number given in a range."""
    found = tx.values(_HIGHEST, subnet_id=subnet_id, first=first, last=last)
    return str(found[0][0]) if found else None


def taken(tx: Tx, subnet_id: str, first: str, last: str, most: int) -> list[str]:
    """The lowest `most` numbers given in a range, in order."""
    return [row[0] for row in tx.values(_TAKEN, subnet_id=subnet_id, first=first, last=last, most=most)]


def is_taken(tx: Tx, subnet_id: str, number: str) -> bool:
    return bool(tx.values(_ONE, subnet_id=subnet_id, number=number))


def addresses_per_subnet(tx: Tx, network_id: str) -> dict[str, int]:
    """How many addresses are given, by subnet."""
    return {row[0]: row[1] for row in tx.values(_PER_SUBNET, network_id=network_id)}
