"""What everything in the network room shares: database, rules, strategies, and how hosts hear of changes."""

from collections.abc import Callable, Iterable

import msgspec

from micronova.clock import Clock
from micronova.context import Context
from micronova.db import Database, Tx
from micronova.network.db import Network
from micronova.network.strategy import Strategies, Strategy
from micronova.options import NetworkOptions, QuotaOptions
from micronova.policy import Policy
from micronova.tasks import Task


class Room(msgspec.Struct, frozen=True):
    """The common ground of the room's collections."""

    clock: Clock
    db: Database
    policy: Policy
    options: NetworkOptions
    quota: QuotaOptions
    zone: str
    strategies: Strategies
    refresh: Callable[[Tx, Context, str], Task]
    """Records that a host shall bring its networks and ports up to date."""
    follow: Callable[[Tx, Context, str, tuple[str, ...], tuple[str, ...]], Task]
    """Records that a host shall bring these networks, and the members of these groups, up to date."""

    @property
    def spread(self) -> int:
        """From how many free addresses to choose: several writers at once would all want the first."""
        return 1 if self.db.engine.writers == 1 else 2 * self.db.engine.writers

    def strategy_of(self, tx: Tx, network_id: str) -> Strategy:
        """The strategy of a network that is there."""
        return self.strategies.of(tx.get(Network, network_id).network_type)

    def tell(self, tx: Tx, ctx: Context, hosts: Iterable[str]) -> None:
        """Have these hosts follow what this transaction changes. One waiting task a host is enough for any number.

        The waiting task is touched: were it begun meanwhile, one of both transactions would have to start over.
        """
        for host in sorted(set(hosts) - {""}):
            if not _touch(tx, _waiting(tx, host, REFRESH)):
                self.refresh(tx, ctx, host)

    def tell_of(
        self, tx: Tx, ctx: Context, hosts: Iterable[str], networks: Iterable[str] = (), groups: Iterable[str] = ()
    ) -> None:
        """Have these hosts follow what this transaction changes of where a network's ports are, or who is in a group.

        Costs a host the same however many ports it has. What waits already is added to.
        """
        news = (tuple(sorted(set(networks))), tuple(sorted(set(groups))))
        for host in sorted(set(hosts) - {""}) if any(news) else ():
            if _touch(tx, _waiting(tx, host, REFRESH)):
                continue
            waiting = _waiting(tx, host, FOLLOW)
            if waiting is None:
                self.follow(tx, ctx, host, *news)
            else:
                older = waiting.arguments[1:]
                both = [sorted({*had, *new}) for had, new in zip(older, news, strict=True)]
                tx.change(waiting, arguments=[host, *both], run_at=max(waiting.run_at, tx.now))


def _waiting(tx: Tx, host: str, method: str) -> Task | None:
    """A task of the host's networks that waits to be begun."""
    return tx.first(Task, resource=resource_of(host), open=True, state="queued", cancelled=False, method=method)


def _touch(tx: Tx, waiting: Task | None) -> bool:
    """Were the task begun meanwhile, one of both transactions would have to start over. False when there is none."""
    if waiting is not None:
        tx.change(waiting, run_at=max(waiting.run_at, tx.now))
    return waiting is not None


def resource_of(host: str) -> str:
    """What the tasks of a host's networks are queued by."""
    return f"{HOST_RESOURCE}:{host}"


HOST_RESOURCE = "network-host"
REFRESH, FOLLOW = "refresh", "follow"
"""Tasks of a host's networks."""
