"""A decision told in lines of text, for people: `micronova why SERVER`."""

from micronova.clock import iso
from micronova.scheduler.db import Decision

TOLD = 5
"""How many of the candidates are told, best first."""


def tell(row: Decision) -> str:
    """The decision with its numbers."""
    wanted = row.request
    lines = [
        f"{iso(row.created_at)}  {row.message}",
        f"  asked for: {wanted.vcpus} vCPUs, {wanted.ram_mib} MiB of memory, {wanted.disk_gib} GiB of disk"
        + (f", zone {wanted.zone}" if wanted.zone else ""),
        f"  driver: {row.driver}   request: {row.request_id}",
    ]
    for removal in row.removed:
        several = "" if len(removal.hosts) == 1 else "s"
        lines.append(f"  filter {removal.filter} removed {len(removal.hosts)} host{several}: {removal.reason}")
    for place, weighed in enumerate(row.weights[:TOLD], 1):
        parts = ", ".join(f"{name} {part:g}" for name, part in weighed.parts.items() if part)
        lines.append(f"  {place}. {weighed.host}  weight {weighed.weight:g}" + (f"  ({parts})" if parts else ""))
    if len(row.weights) > TOLD:
        lines.append(f"  … and {len(row.weights) - TOLD} more candidates")
    if len(row.weights) > 1:
        lines.append(f"  margin over the next: {row.margin:g}")
    return "\n".join(lines)
