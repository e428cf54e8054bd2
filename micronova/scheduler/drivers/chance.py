"""Choose by chance: any of the hosts that can take it, all equally likely."""

import hashlib
from typing import Self

from micronova.clock import Clock
from micronova.config import Config
from micronova.scheduler.driver import Choice, HostState, Ratios, Request, Weighed
from micronova.scheduler.filters import FILTERS, no_host_message, passing


class ChanceDriver:
    """A host by lot. The lots follow from the seed, so that a decision can be repeated."""

    name = "chance"

    @classmethod
    def configured(cls, config: Config, clock: Clock) -> Self:
        """The driver of a cloud; it needs neither."""
        return cls()

    def choose(self, request: Request, hosts: tuple[HostState, ...], ratios: Ratios, seed: int) -> Choice:
        left, removed = passing(FILTERS, request, hosts, ratios)
        if not left:
            return Choice(host="", message=no_host_message(FILTERS, len(hosts), removed), removed=removed)
        drawn = sorted((Weighed(host=host.host, weight=_lot(seed, host.host)) for host in left), key=_order)
        return Choice(
            host=drawn[0].host,
            message=f"Host {drawn[0].host} was drawn by lot from {len(left)} candidates among {len(hosts)} hosts.",
            candidates=tuple(weighed.host for weighed in drawn),
            removed=removed,
            weights=tuple(drawn),
            margin=round(drawn[0].weight - drawn[1].weight, 6) if len(drawn) > 1 else 0.0,
        )


def _lot(seed: int, host: str) -> float:
    digest = hashlib.blake2b(f"{seed}:{host}".encode(), digest_size=6).digest()
    return round(int.from_bytes(digest, "big") / 2**48, 6)


def _order(weighed: Weighed) -> tuple[float, str]:
    return -weighed.weight, weighed.host
