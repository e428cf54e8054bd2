"""How much block storage a project may have. What it has is counted from rows, in the transaction that adds to them.

Beside the whole there are limits a volume type, named after it: `volumes_fast`, `gigabytes_fast`, `snapshots_fast`.
"""

from collections.abc import Mapping

from micronova.db import Tx
from micronova.errors import QuotaExceeded
from micronova.options import QuotaOptions
from micronova.volume import db
from micronova.volume.db import Backup, Group, VolumeQuota

UNLIMITED = -1
RESOURCES = ("volumes", "snapshots", "gigabytes", "per_volume_gigabytes", "backups", "backup_gigabytes", "groups")
OF_TYPES = ("volumes", "gigabytes", "snapshots")


def resources(tx: Tx) -> list[str]:
    """Every resource there is a limit for."""
    names = sorted(db.type_names(tx).values())
    return [*RESOURCES, *(f"{resource}_{name}" for name in names for resource in OF_TYPES)]


def limits(tx: Tx, options: QuotaOptions, project_id: str) -> dict[str, int]:
    """A project's limits: its own, else the operator's default, else the configured one. Project "": the defaults."""
    found = dict.fromkeys(resources(tx), UNLIMITED)
    for name in RESOURCES:
        found[name] = int(getattr(options, "volume_groups" if name == "groups" else name))
    rows = tx.find(VolumeQuota, project_id=["", project_id])
    for row in sorted(rows, key=lambda row: row.project_id):
        if row.resource in found:
            found[row.resource] = row.limit
    return found


def usage(tx: Tx, project_id: str) -> dict[str, int]:
    """What a project has of each resource that it has something of."""
    names = db.type_names(tx)
    used: dict[str, int] = {}

    def add(resource: str, type_id: str, amount: int) -> None:
        used[resource] = used.get(resource, 0) + amount
        if type_id in names:
            of_type = f"{resource}_{names[type_id]}"
            used[of_type] = used.get(of_type, 0) + amount

    for kind, type_id, count, gib in db.used_by_type(tx, project_id):
        add(kind, type_id, count)
        add("gigabytes", type_id, gib)
    backups = tx.find(Backup, project_id=project_id)
    used["backups"] = len(backups)
    used["backup_gigabytes"] = sum(backup.size_gib for backup in backups)
    used["groups"] = tx.count(Group, project_id=project_id)
    return used


def admit(tx: Tx, options: QuotaOptions, project_id: str, more: Mapping[str, int], type_id: str = "") -> None:
    """Return when the project may have so much more. Raises QuotaExceeded, with the numbers, when not.

    `more` names resources of the whole; what counts a type is added for `type_id`.
    """
    asked = dict(more)
    name = db.type_names(tx).get(type_id)
    if name is not None:
        asked |= {f"{resource}_{name}": amount for resource, amount in more.items() if resource in OF_TYPES}
    allowed, used = limits(tx, options, project_id), usage(tx, project_id)
    for resource, amount in asked.items():
        limit, had = allowed.get(resource, UNLIMITED), used.get(resource, 0)
        if limit != UNLIMITED and amount > 0 and had + amount > limit:
            raise _refusal(resource, amount, limit, had)


def check_size(tx: Tx, options: QuotaOptions, project_id: str, size_gib: int) -> None:
    """Return when the project may have a volume this large. Raises QuotaExceeded."""
    limit = limits(tx, options, project_id)["per_volume_gigabytes"]
    if limit != UNLIMITED and size_gib > limit:
        raise QuotaExceeded(f"Requested volume size {size_gib}G is larger than maximum allowed limit {limit}G.")


def _refusal(resource: str, amount: int, limit: int, had: int) -> QuotaExceeded:
    if resource.startswith("gigabytes"):
        return QuotaExceeded(
            f"Requested volume or snapshot exceeds allowed {resource} quota. Requested {amount}G, quota is {limit}G "
            f"and {had}G has been consumed."
        )
    if resource == "backup_gigabytes":
        return QuotaExceeded(
            f"Requested backup exceeds allowed Backup gigabytes quota. Requested {amount}G, quota is {limit}G and "
            f"{had}G has been consumed."
        )
    return QuotaExceeded(f"Maximum number of {resource.partition('_')[0]} allowed ({limit}) exceeded for {resource!r}.")
