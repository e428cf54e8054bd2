"""Where the strategies differ: the contract between the network room and what carries each type of network."""

from collections.abc import Iterable, Sequence
from typing import ClassVar, Protocol

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import ConfigError, Error
from micronova.network.db import GivenSegment, Network, Port, Subnet
from micronova.network.driver import SegmentSpec
from micronova.network.refusals import invalid, refusal


class Segment(msgspec.Struct, frozen=True):
    """What carries a network's packets. What a request leaves open is "" or None."""

    network_type: str = ""
    physical_network: str | None = None
    segmentation_id: int | None = None


class Vif(msgspec.Struct, frozen=True):
    """How a bound port is attached, as clients are told (Networking API reference, "Port binding")."""

    type: str
    details: dict[str, bool | str]


class Wire(Protocol):
    """What carries the networks of one type between hosts."""

    @property
    def network_type(self) -> str:
        """The type of the networks, as clients name it."""

    @property
    def spans_hosts(self) -> bool:
        """Whether a network's ports on different hosts are on one wire."""

    @property
    def ours(self) -> bool:
        """Whether the wire is the cloud's own: who asks for no type may get it, and routers join networks on it."""

    def allocate(self, tx: Tx, network_id: str, asked: Segment) -> Segment:
        """The segment of a new network, which nobody else gets until it is released.

        Raises BadRequest for one that can't be, Conflict when it is taken or none is left.
        """

    def release(self, tx: Tx, network: Network) -> None:
        """The network's segment is free for others."""

    def segment_spec(self, tx: Tx, network: Network, host: str) -> SegmentSpec:
        """What joins the network on this host with the same network on others."""

    def ports_moved(self, tx: Tx, ctx: Context, network: Network, hosts: Iterable[str]) -> None:
        """Ports of the network came to these hosts, changed there or left them."""

    def troubles(self, tx: Tx) -> dict[str, str]:
        """A sentence for each thing between the hosts that is not as it shall be, by what it is."""


class Serving(Protocol):
    """What the hosts themselves do for networks of one type."""

    def largest_mtu(self) -> int:
        """The largest packet a network can carry."""

    def wants_dhcp(self, subnet: Subnet) -> bool:
        """Whether hosts serve DHCP on the subnet."""

    def nat(self, network: Network) -> bool:
        """Whether guests of the network reach the world behind the host's own address."""

    def gateway_here(self, subnet: Subnet) -> str | None:
        """The gateway address that hosts hold themselves; None when somebody else is the gateway, or nobody."""

    def vif(self, port: Port) -> Vif:
        """How the port is attached on its host."""


class Strategy(Wire, Serving, Protocol):
    """The points where strategies differ, all about networks of one type. The room decides the rest."""


class Strategies:
    """The strategies of this cloud by network type, in the configured order."""

    def __init__(self, strategies: Sequence[Strategy], rest: Strategy) -> None:
        """`rest` answers for networks of a type that is no longer configured.

        Raises ConfigError when there is no strategy, or two carry the same type.
        """
        self._by_type: dict[str, Strategy] = {}
        self._rest = rest
        for strategy in strategies:
            other = self._by_type.setdefault(strategy.network_type, strategy)
            if other is not strategy:
                names = f"{type(other).__name__} and {type(strategy).__name__}"
                raise ConfigError(
                    f"configuration: network.strategies: {names} both carry networks of type "
                    f"{strategy.network_type!r}: choose one"
                )
        if not self._by_type:
            raise ConfigError("configuration: network.strategies: at least one is needed")

    def troubles(self, tx: Tx) -> dict[str, str]:
        """What is wrong between the hosts, a sentence by what it is about."""
        return {about: sentence for one in self._by_type.values() for about, sentence in one.troubles(tx).items()}

    @property
    def types(self) -> list[str]:
        """The network types there are, in the configured order."""
        return list(self._by_type)

    @property
    def spanning(self) -> bool:
        """Whether there may be networks that are on one wire on several hosts."""
        return any(strategy.spans_hosts for strategy in self._by_type.values())

    def of(self, network_type: str) -> Strategy:
        """The strategy of networks of this type that are there."""
        return self._by_type.get(network_type, self._rest)

    def pick(self, network_type: str) -> Strategy:
        """The strategy of a new network; the first one whose wire is ours where no type was asked for.

        Raises BadRequest with the types there are, Conflict when there is no wire of ours.
        """
        if network_type:
            found = self._by_type.get(network_type)
            if found is None:
                there = ", ".join(self.types)
                raise invalid(f"network_type value '{network_type}' not supported, this cloud has: {there}")
            return found
        for strategy in self._by_type.values():
            if strategy.ours:
                return strategy
        raise none_left()


def none_left() -> Error:
    """No segment is there for a network that leaves open which one it gets."""
    return refusal("NoNetworkAvailable", "Unable to create the network. No tenant network is available for allocation.")


class Hooks:
    """What most strategies answer: networks that each host serves by itself, behind its own address."""

    network_type: ClassVar[str] = ""
    spans_hosts: ClassVar[bool] = False
    ours: ClassVar[bool] = True

    def __init__(self, mtu: int) -> None:
        self.mtu = mtu

    def allocate(self, tx: Tx, network_id: str, asked: Segment) -> Segment:
        """None is left. Raises Conflict."""
        raise none_left()

    def release(self, tx: Tx, network: Network) -> None:
        """What was recorded for the network is free."""
        for given in tx.find(GivenSegment, id=network.id):
            tx.delete(given)

    def largest_mtu(self) -> int:
        """The configured MTU: nothing is wrapped around the packets."""
        return self.mtu

    def wants_dhcp(self, subnet: Subnet) -> bool:
        """DHCP where the subnet asks for it."""
        return subnet.enable_dhcp

    def nat(self, network: Network) -> bool:
        """Behind the host's address, but for external networks, whose addresses the world knows."""
        return not network.external

    def gateway_here(self, subnet: Subnet) -> str | None:
        """Every host is the gateway of its own ports."""
        return subnet.gateway_ip

    def vif(self, port: Port) -> Vif:
        """An interface on the host's bridge, filtered by the host."""
        if not port.host:
            return Vif("unbound", {})
        return Vif("bridge", {"connectivity": "l2", "port_filter": port.port_security_enabled})

    def segment_spec(self, tx: Tx, network: Network, host: str) -> SegmentSpec:
        """What the row says."""
        return SegmentSpec(
            network_type=network.network_type, physical_network=network.physical_network, id=network.segmentation_id
        )

    def ports_moved(self, tx: Tx, ctx: Context, network: Network, hosts: Iterable[str]) -> None:
        """Nobody but the hosts themselves has to follow."""

    def troubles(self, tx: Tx) -> dict[str, str]:
        """Nothing is between the hosts."""
        return {}
