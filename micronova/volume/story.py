"""Why a volume is where it is, told in lines of text, for people: `micronova why VOLUME`."""

from collections.abc import Sequence

from micronova.clock import iso
from micronova.tasks import Task
from micronova.volume import pools
from micronova.volume.db import Message, Placement, Volume

TOLD = 5
"""How many of the back ends that could have taken it are told, most room first."""


def of_volume(volume: Volume | None, id: str) -> str:
    """What the volume is now."""
    if volume is None:
        return f"volume {id} is gone"
    name = f" {volume.name}" if volume.name else ""
    place = pools.name_of(volume.host, volume.backend) if volume.host else "no back end"
    return f"volume{name} ({id}), {volume.size_gib} GiB, is {volume.status} on {place}"


def of_placement(row: Placement) -> list[str]:
    """A choice with its numbers: who was looked at, who was removed by which filter, and who was left."""
    several = "" if row.facts.get("pools") == 1 else "s"
    lines = [f"{iso(row.created_at)}  {row.message}", f"  looked at {row.facts.get('pools', 0)} back end{several}"]
    for name, missed in row.facts.get("removed", {}).items():
        lines.append(f"  filter {name} removed {len(missed)}: {', '.join(missed)}")
    weights: dict[str, float] = row.facts.get("weights", {})
    ranked = sorted(weights.items(), key=lambda item: (item[0] != row.pool_id, -item[1], item[0]))
    lines += [f"  {place}. {pool}  room {room:g} GiB" for place, (pool, room) in enumerate(ranked[:TOLD], 1)]
    if len(ranked) > TOLD:
        lines.append(f"  … and {len(ranked) - TOLD} more")
    return lines


def of_rest(messages: Sequence[Message], tasks: Sequence[Task]) -> list[str]:
    """What its users were told of failures, and what was done."""
    told = [f"told: {row.text} ({iso(row.created_at)})" for row in messages]
    for task in tasks:
        error = f": {task.error}" if task.error else ""
        told.append(f"task {task.method} {task.state}{error} ({task.id})")
    return told
