"""Choose by filters and weights: of the hosts that can take it, the one with the highest sum of weights.

Each weigher gives a candidate a part from 0 to 1, times its multiplier. Hosts of equal weight are taken in order of
name, so that the same table gives the same choice.
"""

from collections.abc import Callable
from typing import Self

import msgspec

from micronova.clock import Clock
from micronova.config import Config
from micronova.scheduler.driver import Choice, HostState, Ratios, Request, Weighed
from micronova.scheduler.filters import FILTERS, capacity, free_ram_mib, no_host_message, passing

Measure = Callable[[Request, HostState, Ratios], float]


class Weigher(msgspec.Struct, frozen=True):
    """A named measure of how good a host is, 0 to 1, and how much that counts."""

    name: str
    multiplier: float
    measure: Measure


def _free_ram(request: Request, host: HostState, ratios: Ratios) -> float:
    whole = capacity(host.ram_mib, ratios.ram)
    return free_ram_mib(host, ratios) / whole if whole > 0 else 0.0


def _spread(request: Request, host: HostState, ratios: Ratios) -> float:
    return 1.0 / (1 + host.own_servers)


def _near(request: Request, host: HostState, ratios: Ratios) -> float:
    return 1.0 if host.host in request.near else 0.0


def _far(request: Request, host: HostState, ratios: Ratios) -> float:
    return 1.0 if host.host in request.far else 0.0


WEIGHERS: tuple[Weigher, ...] = (
    Weigher("free_ram", 1.0, _free_ram),
    Weigher("spread", 0.5, _spread),
    Weigher("near", 10.0, _near),
    Weigher("far", -10.0, _far),
)
"""`near` and `far` carry the soft rules of server groups, which outweigh what a host has left."""


class FilterDriver:
    """The default way: filters, then weights."""

    name = "filter"

    def __init__(self, weighers: tuple[Weigher, ...] = WEIGHERS) -> None:
        self._weighers = weighers

    @classmethod
    def configured(cls, config: Config, clock: Clock) -> Self:
        """The driver of a cloud; it needs neither."""
        return cls()

    def choose(self, request: Request, hosts: tuple[HostState, ...], ratios: Ratios, seed: int) -> Choice:
        left, removed = passing(FILTERS, request, hosts, ratios)
        if not left:
            return Choice(host="", message=no_host_message(FILTERS, len(hosts), removed), removed=removed)
        weights = sorted((self._weigh(request, host, ratios) for host in left), key=lambda w: (-w.weight, w.host))
        best = weights[0]
        margin = best.weight - weights[1].weight if len(weights) > 1 else 0.0
        return Choice(
            host=best.host,
            message=_why(best, margin, len(left), len(hosts)),
            candidates=tuple(weighed.host for weighed in weights),
            removed=removed,
            weights=tuple(weights),
            margin=round(margin, 6),
        )

    def _weigh(self, request: Request, host: HostState, ratios: Ratios) -> Weighed:
        parts = {w.name: _part(w, request, host, ratios) for w in self._weighers}
        return Weighed(host=host.host, weight=round(sum(parts.values()), 6), parts=parts)


def _part(weigher: Weigher, request: Request, host: HostState, ratios: Ratios) -> float:
    return round(weigher.multiplier * weigher.measure(request, host, ratios), 6) + 0.0  # never -0.0


def _why(best: Weighed, margin: float, candidates: int, hosts: int) -> str:
    if candidates == 1:
        return f"Host {best.host} was the only one of {hosts} that can take it."
    lead = f"leads by {margin:.3f}" if margin > 0 else "comes first by name among equals"
    return f"Host {best.host} was chosen of {candidates} candidates among {hosts} hosts: it {lead}."
