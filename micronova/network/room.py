"""What everything in the network room shares: the database, the rules, the strategy, and how hosts hear of changes."""

from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from micronova.clock import Clock
from micronova.context import Context
from micronova.db import Database, Tx
from micronova.network.db import Network, Port, Subnet
from micronova.options import NetworkOptions, QuotaOptions
from micronova.policy import Policy
from micronova.tasks import Task


class Segment(msgspec.Struct, frozen=True):
    """What carries a network's packets. What a request leaves open is "" or None."""

    network_type: str = ""
    physical_network: str | None = None
    segmentation_id: int | None = None


class Vif(msgspec.Struct, frozen=True):
    """How a bound port is attached, as clients are told (Networking API reference, "Port binding")."""

    type: str
    details: dict[str, bool | str]


class Strategy(Protocol):
    """The points where network managers differ. The base manager decides the rest."""

    def choose_segment(self, tx: Tx, asked: Segment) -> Segment:
        """The segment of a new network.

        Raises BadRequest for a type this cloud doesn't have, Conflict when the segment is taken or none is left.
        """

    def largest_mtu(self, network_type: str) -> int:
        """The largest packet a network of this type can carry."""

    def wants_dhcp(self, subnet: Subnet) -> bool:
        """Whether hosts serve DHCP on the subnet."""

    def nat(self, network: Network) -> bool:
        """Whether guests of the network reach the world behind the host's own address."""

    def gateway_here(self, subnet: Subnet) -> str | None:
        """The gateway address that hosts hold themselves; None when somebody else is the gateway, or nobody."""

    def vif(self, port: Port) -> Vif:
        """How the port is attached on its host."""


class Room(msgspec.Struct, frozen=True):
    """The common ground of the room's collections."""

    clock: Clock
    db: Database
    policy: Policy
    options: NetworkOptions
    quota: QuotaOptions
    zone: str
    strategy: Strategy
    refresh: Callable[[Tx, Context, str], Task]
    """Records that a host shall bring its networks and ports up to date."""

    @property
    def spread(self) -> int:
        """From how many free addresses to choose: several writers at once would all want the first."""
        return 1 if self.db.engine.writers == 1 else 2 * self.db.engine.writers

    def tell(self, tx: Tx, ctx: Context, hosts: Iterable[str]) -> None:
        """Have these hosts follow what this transaction changes. One waiting task a host is enough for any number.

        The waiting task is touched: were it begun meanwhile, one of both transactions would have to start over.
        """
        for host in sorted(set(hosts) - {""}):
            waiting = tx.first(Task, resource=resource_of(host), open=True, state="queued", cancelled=False)
            if waiting is None:
                self.refresh(tx, ctx, host)
            elif waiting.run_at < tx.now:
                tx.change(waiting, run_at=tx.now)


def resource_of(host: str) -> str:
    """What the tasks of a host's networks are queued by."""
    return f"{HOST_RESOURCE}:{host}"


HOST_RESOURCE = "network-host"
