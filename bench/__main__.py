"""`script/bench`: one table of our own figures beside the primitives they stand on, measured in the same run.

A goal is met or missed by our figure; on a busy machine the ratio to the primitive says more, because it suffers too.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from bench import api, attach, boot, bus, database, guest, network, start, volume
from bench.cloud import Result
from bench.goals import GOALS, Goal

NOTHING = "-"
COLUMNS = ("what", "ours", "primitive", "ratio", "goal", "met?", "OpenStack")


class Row(msgspec.Struct, frozen=True):
    """One row of the table, as text and as numbers."""

    what: str
    ours: float | None
    unit: str
    primitive: float | None
    ratio: float | None
    goal: str
    met: str
    peer: str

    def cells(self) -> tuple[str, ...]:
        primitive = NOTHING if self.primitive is None else f"{_short(self.primitive)} {self.unit}"
        ours = "skipped" if self.ours is None else f"{_short(self.ours)} {self.unit}"
        ratio = NOTHING if self.ratio is None else f"{_short(self.ratio)}"
        return self.what, ours, primitive, ratio, self.goal, self.met, self.peer or NOTHING


def row(goal: Goal, found: dict[str, tuple[float, str]]) -> Row:
    """The row of a goal from what was measured."""
    ours, unit = found.get(goal.ours, (None, ""))
    primitive = found.get(goal.floor, (None, ""))[0]
    ratio = ours / primitive if ours is not None and primitive else None
    judged = ours
    if ours is not None and primitive and goal.compare != "value":
        judged = ratio if goal.compare == "ratio" else ours - primitive
    wanted, met = NOTHING, NOTHING
    if goal.limit is not None:
        sign = ("≤" if goal.most else "≥") + (" primitive +" if goal.compare == "excess" else "")
        scale = "times primitive" if goal.compare == "ratio" else unit
        wanted = f"{sign} {goal.limit:g} {scale}".rstrip()
        if judged is not None:
            met = "yes" if (judged <= goal.limit if goal.most else judged >= goal.limit) else "no"
    return Row(goal.what, ours, unit, primitive, ratio, wanted, met, goal.peer)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def table(rows: list[Row]) -> str:
    """The rows as Markdown, columns aligned."""
    lines = [COLUMNS, *(one.cells() for one in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    )


def _measured(*, quick: bool) -> dict[str, tuple[float, str]]:
    parts: tuple[tuple[str, Callable[[], list[Result]]], ...] = (
        ("database", database.measure),
        ("bus", bus.measure),
        ("start", lambda: start.measure(quick=quick)),
        ("requests", lambda: api.measure(quick=quick)),
        ("boots", lambda: boot.measure(quick=quick)),
        ("networks", lambda: network.measure(quick=quick)),
        ("volumes", lambda: volume.measure(quick=quick)),
        ("volumes of guests", lambda: attach.measure(quick=quick)),
        ("guests", lambda: guest.measure(quick=quick)),
    )
    found: dict[str, tuple[float, str]] = {}
    for name, measure in parts:
        print(f"measuring {name} …", flush=True)
        found |= {what: (value, unit) for what, value, unit in measure()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few repetitions and servers: shows that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure and the table there too")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    found = _measured(quick=given.quick)
    rows = [row(goal, found) for goal in GOALS]
    print(f"\n{table(rows)}\n")
    if not any(one.what.startswith("guest") and one.ours is not None for one in rows):
        print(f"guest boots were skipped: {guest.missing() or 'the image could not be built'}")
    print(
        f"load when it began {load:.1f} on {os.cpu_count()} cores"
        + ("; --quick: no figure counts" if given.quick else "")
    )
    if given.json:
        figures = {what: {"value": value, "unit": unit} for what, (value, unit) in found.items()}
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode({"load": load, "rows": rows, "all": figures})))


if __name__ == "__main__":
    main()
