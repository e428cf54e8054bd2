"""The bench runs and prints every row; never how fast."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_bench_prints_every_row(tmp_path):
    told = tmp_path / "bench.json"

    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--json", str(told)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    rows = {row["what"]: row for row in msgspec.json.decode(told.read_bytes())["rows"]}
    assert all(f"| {what} " in done.stdout for what in rows)
    skipped = {what for what, row in rows.items() if row["ours"] is None}
    hosts = {what for what in rows if what.startswith(("plug one", "new rule", "one more member", "volume", "sequent"))}
    assert skipped <= {"guest boot over bare QEMU", "call over NATS, CPU of both and broker", *hosts}
    assert len(rows) >= 25


def test_a_figure_beyond_its_goal_is_said_to_miss_it():
    from bench.__main__ import row
    from bench.goals import Goal

    found = {"ours": (3.0, "ms"), "floor": (2.0, "ms")}

    missed = row(Goal("a thing", "ours", "floor", 2), found)
    met = row(Goal("a thing", "ours", "floor", 2, most=False), found)
    over = row(Goal("a thing", "ours", "floor", 2, compare="excess"), found)
    beside = row(Goal("a thing", "ours", "floor", 1.2, compare="ratio"), found)
    unmeasured = row(Goal("a thing", "theirs", "floor", 2), found)

    judged = [(one.met, one.ratio) for one in (missed, met, over, beside)]
    assert [("no", 1.5), ("yes", 1.5), ("yes", 1.5), ("no", 1.5)] == judged
    assert ("-", None) == (unmeasured.met, unmeasured.ours)
