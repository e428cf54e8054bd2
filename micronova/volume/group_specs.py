"""What a group's type asks of its volumes: pure questions about rows.

A type whose spec `consistent_group_snapshot_enabled` is "<is> True" has its groups' snapshots taken at one instant
(Cinder administrator guide, "Generic volume groups"); so its volumes lie on one back end.
"""

from micronova.db import Tx
from micronova.volume import choice
from micronova.volume.db import Group, GroupType, Volume

CONSISTENT = "consistent_group_snapshot_enabled"


def is_consistent(tx: Tx, group: Group) -> bool:
    """Whether snapshots of the group are taken at one instant."""
    found = tx.first(GroupType, id=group.group_type_id)
    asked = found.group_specs.get(CONSISTENT) if found is not None else None
    return asked is not None and choice.meets(True, asked)


def place(tx: Tx, group: Group) -> tuple[str, str] | None:
    """(host, back end) on which the group's volumes must lie; None where any will do."""
    if group.host:
        return group.host, group.backend
    if not is_consistent(tx, group):
        return None
    first = next((row for row in tx.find(Volume, group_id=group.id, order=(("created_at", True),)) if row.host), None)
    return (first.host, first.backend) if first is not None else None
