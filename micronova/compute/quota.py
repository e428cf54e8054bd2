"""How much a project may have. What it has is counted from rows, in the transaction that adds to them."""

from collections.abc import Iterable, Mapping

from micronova.compute import db
from micronova.compute.db import QuotaLimit
from micronova.db import Tx
from micronova.errors import QuotaExceeded
from micronova.options import QuotaOptions

UNLIMITED = -1


def limit_of(tx: Tx, options: QuotaOptions, project_id: str, resource: str) -> int:
    """A project's limit of one resource: its own, else the operator's default, else the configured one."""
    return limits_of(tx, options, project_id, (resource,))[resource]


def limits_of(tx: Tx, options: QuotaOptions, project_id: str, resources: tuple[str, ...]) -> dict[str, int]:
    """A project's limits of `resources`."""
    limits = {name: int(getattr(options, name)) for name in resources}
    rows = tx.find(QuotaLimit, project_id=["", project_id], user_id="", resource=resources)
    for row in sorted(rows, key=lambda row: row.project_id):
        limits[row.resource] = row.limit
    return limits


def admit(tx: Tx, options: QuotaOptions, project_id: str, flavor: tuple[int, int], count: tuple[int, int]) -> int:
    """How many servers of a flavor, given as (vCPUs, RAM in MiB), a project may add, of `count` (least, most).

    Raises QuotaExceeded, with the numbers, when not even the least fits.
    """
    limits = limits_of(tx, options, project_id, ("instances", "cores", "ram"))
    used = db.usage(tx, project_id)
    least, most = count
    each = {"instances": 1, "cores": flavor[0], "ram": flavor[1]}
    had = {"instances": used.instances, "cores": used.cores, "ram": used.ram}
    fits = most
    for name, size in each.items():
        if limits[name] != UNLIMITED and size:
            fits = min(fits, max(0, limits[name] - had[name]) // size)
    if fits >= least:
        return fits
    over = [
        name for name, size in each.items() if limits[name] != UNLIMITED and had[name] + size * least > limits[name]
    ]
    raise QuotaExceeded(
        f"Quota exceeded for {', '.join(over)}: Requested {_join(each[n] * least for n in over)}, but already used "
        f"{_join(had[n] for n in over)} of {_join(limits[n] for n in over)} {', '.join(over)}",
    )


def check_metadata(tx: Tx, options: QuotaOptions, project_id: str, metadata: Mapping[str, str]) -> None:
    """Raises QuotaExceeded when a server of the project may not have that many metadata."""
    most = limit_of(tx, options, project_id, "metadata_items")
    if most != UNLIMITED and len(metadata) > most:
        raise QuotaExceeded(f"Maximum number of metadata items exceeds {most}")


def _join(numbers: Iterable[int]) -> str:
    return ", ".join(str(number) for number in numbers)
