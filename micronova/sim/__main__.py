"""`python -m micronova.sim --seeds N [--seed S] [--events N] [--verbose]`: live through many small clouds.

Ends with status 1 when a seed fails; `--seed S --verbose` then tells all that happened in it.
"""

import click

from micronova.clock import SystemClock
from micronova.sim.many import live_through
from micronova.sim.simulation import EVENTS, Outcome, simulate

SHOWN = 5
"""Problems of one seed that are shown; what follows from them is seldom news."""


@click.command()
@click.option("--seeds", type=click.IntRange(1), default=200, show_default=True, help="How many seeds.")
@click.option("--seed", type=click.IntRange(0), help="Only this seed.")
@click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="The first of many seeds.")
@click.option("--events", type=click.IntRange(0), default=EVENTS, show_default=True, help="Events in each seed.")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Processes that work at once.")
@click.option("--verbose", is_flag=True, help="Tell every event (with --seed).")
def main(seeds: int, seed: int | None, first: int, events: int, jobs: int, verbose: bool) -> None:
    """Simulate whole clouds with faults under a virtual clock and check what must be true of them."""
    clock = SystemClock()
    began = clock.monotonic()
    if seed is not None:
        outcomes = iter([simulate(seed, events, say=click.echo if verbose else lambda line: None)])
    else:
        outcomes = live_through(range(first, first + seeds), events, jobs)
    passed = failed = 0
    for outcome in outcomes:
        if outcome.problems:
            failed += 1
            tell(outcome, events, with_events=seed is None)
        else:
            passed += 1
    click.echo(f"{passed} passed, {failed} failed in {clock.monotonic() - began:.1f} s")
    if failed:
        raise SystemExit(1)


def tell(outcome: Outcome, events: int, *, with_events: bool) -> None:
    """Say what is wrong with a seed, and how to see it again."""
    click.echo(f"seed {outcome.seed} failed:")
    for problem in outcome.problems[:SHOWN]:
        click.echo(f"  {problem}")
    if not with_events:
        return
    click.echo("  last events:")
    for line in outcome.last:
        click.echo(f"    {line[:200]}")
    click.echo(f"  again: python -m micronova.sim --seed {outcome.seed} --events {events} --verbose")


if __name__ == "__main__":
    main()
