"""Many seeds, shared among processes. A module of its own: a new process can't import a package's __main__."""

import contextlib
import multiprocessing
from collections.abc import Iterator, Sequence

from micronova.sim.simulation import Outcome, simulate
from micronova.sim.world import Ground

BATCH = 20
"""Seeds that a process takes at once: they share compiled statements."""


def live_through(seeds: Sequence[int], events: int, jobs: int) -> Iterator[Outcome]:
    """The outcomes of seeds in order, with `jobs` processes."""
    batches = [(seeds[at : at + BATCH], events) for at in range(0, len(seeds), BATCH)]
    if jobs == 1 or len(batches) == 1:
        for batch in batches:
            yield from live_batch(batch)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for outcomes in pool.imap(live_batch, batches):
            yield from outcomes


def live_batch(batch: tuple[Sequence[int], int]) -> list[Outcome]:
    """The outcomes of some seeds, in this process."""
    seeds, events = batch
    with contextlib.closing(Ground()) as ground:
        return [simulate(seed, events, ground=ground) for seed in seeds]
