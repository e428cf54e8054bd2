"""A network that exists only in memory: keeps the contract, remembers calls, can be slow or refuse."""

import asyncio
import logging
import socket
from collections import deque
from typing import Self

import msgspec

from micronova.clock import Clock
from micronova.config import Config
from micronova.errors import DriverError, Rejected
from micronova.network.driver import GroupSpec, NetworkSpec, PortFacts, PortSpec, SegmentSpec

LOG = logging.getLogger(__name__)
REMEMBERED_CALLS = 10_000
LONGEST_DEVICE = 15


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call this driver got. `subject` is the network's or port's id, "" where the call has none."""

    operation: str
    subject: str
    at: float


class Refusal(msgspec.Struct, kw_only=True):
    """A refusal to come: `left` more times, for `operation`, or for any when that is None."""

    message: str
    left: int
    operation: str | None
    error: type[DriverError]


class FakeNetworkDriver:
    """Networks and ports as values in memory.

    `networks`, `ports` and `groups` hold the specifications as last ensured; `calls` the newest calls, oldest first.
    `delay` is how many seconds each call takes before it has its effect.
    """

    def __init__(self, clock: Clock, *, delay: float = 0) -> None:
        self.delay = delay
        self.networks: dict[str, NetworkSpec] = {}
        self.ports: dict[str, PortSpec] = {}
        self.groups: dict[str, GroupSpec] = {}
        self.calls: deque[Call] = deque(maxlen=REMEMBERED_CALLS)
        self._clock = clock
        self._refusals: list[Refusal] = []

    @classmethod
    def configured(cls, config: Config, clock: Clock) -> Self:
        """The driver as the configuration wants it."""
        return cls(clock)

    def refuse(
        self,
        message: str,
        *,
        times: int = 1,
        operation: str | None = None,
        error: type[DriverError] = DriverError,
    ) -> None:
        """The next `times` calls (of `operation`, when given) fail with `error(message)`, without effect."""
        self._refusals.append(Refusal(message=message, left=times, operation=operation, error=error))

    def relent(self) -> None:
        """Forget every refusal still to come."""
        self._refusals.clear()

    async def init_host(self) -> None:
        """Nothing needs preparing."""
        await self._begin("init_host", "")

    async def ensure_network(self, spec: NetworkSpec) -> None:
        """The network is as described. Raises Rejected for a segment that can't be."""
        await self._begin("ensure_network", spec.id)
        _check(spec.segment)
        self.networks[spec.id] = spec

    async def metadata_socket(self, network_id: str) -> socket.socket | None:
        """None: nobody is there to reach it. Raises DriverError when the network was not ensured."""
        await self._begin("metadata_socket", network_id)
        self._need_network(network_id)
        return None

    async def remove_network(self, network_id: str) -> None:
        """The network is gone. Raises DriverError while it has ports."""
        await self._begin("remove_network", network_id)
        holders = sorted(port.id for port in self.ports.values() if port.network_id == network_id)
        if holders:
            raise DriverError(f"network {network_id} still has {len(holders)} ports on this host", ports=holders[:10])
        self.networks.pop(network_id, None)

    async def ensure_port(self, spec: PortSpec, groups: tuple[GroupSpec, ...] = ()) -> PortFacts:
        """The port is as described.

        Raises DriverError when its network was not ensured or its device is another port's, Rejected when the
        device can't be an interface's name.
        """
        await self._begin("ensure_port", spec.id)
        self._take((spec,), groups)
        return _facts(spec)

    async def ensure_ports(self, specs: tuple[PortSpec, ...], groups: tuple[GroupSpec, ...] = ()) -> None:
        """All the ports and members of groups are as described, or none was changed."""
        await self._begin("ensure_ports", "")
        self._take(specs, groups)

    def members(self, spec: PortSpec) -> dict[str, tuple[str, ...]]:
        """Who is on the other side of the rules of a port that name groups: addresses by group."""
        named = {rule.remote_group for rule in spec.rules if rule.remote_group is not None}
        return {id: self.groups[id].addresses if id in self.groups else () for id in sorted(named)}

    async def remove_port(self, port_id: str) -> None:
        """The port is gone."""
        await self._begin("remove_port", port_id)
        if self.ports.pop(port_id, None) is not None:
            self._forget_groups()

    async def list_ports(self) -> list[PortFacts]:
        """Every port, in order of id."""
        await self._begin("list_ports", "")
        return [_facts(self.ports[id]) for id in sorted(self.ports)]

    async def list_networks(self) -> list[str]:
        """Ids of every network, in order."""
        await self._begin("list_networks", "")
        return sorted(self.networks)

    async def close(self) -> None:
        """Nothing was held."""

    async def erase(self) -> None:
        """No network and no port is left."""
        await self._begin("erase", "")
        self.ports.clear()
        self.networks.clear()
        self.groups.clear()

    async def _begin(self, operation: str, subject: str) -> None:
        self.calls.append(Call(operation=operation, subject=subject, at=self._clock.monotonic()))
        if self.delay:
            await asyncio.sleep(self.delay)
        for refusal in self._refusals:
            if refusal.operation in (None, operation):
                self._use_up(refusal)
                LOG.debug("fake network refuses %s: %s", operation, refusal.message)
                raise refusal.error(refusal.message)

    def _use_up(self, refusal: Refusal) -> None:
        refusal.left -= 1
        if refusal.left <= 0:
            self._refusals.remove(refusal)

    def _need_network(self, network_id: str) -> None:
        if network_id not in self.networks:
            raise DriverError(f"network {network_id} is not on this host")

    def _take(self, specs: tuple[PortSpec, ...], groups: tuple[GroupSpec, ...]) -> None:
        holders = {port.device: port.id for port in self.ports.values()}
        for spec in specs:
            self._admit(spec, holders)
            holders[spec.device] = spec.id
        self.ports.update((spec.id, spec) for spec in specs)
        self.groups.update((group.id, group) for group in groups)
        self._forget_groups()

    def _forget_groups(self) -> None:
        named = {rule.remote_group for port in self.ports.values() for rule in port.rules}
        for id in set(self.groups) - named:
            del self.groups[id]

    def _admit(self, spec: PortSpec, holders: dict[str, str]) -> None:
        self._need_network(spec.network_id)
        if not 0 < len(spec.device) <= LONGEST_DEVICE:
            raise Rejected(f"{spec.device!r} can't be an interface's name: 1 to {LONGEST_DEVICE} characters")
        for lease in spec.leases:
            if not lease.hostname or " " in lease.hostname:
                raise Rejected(f"{lease.hostname!r} can't be a name in DHCP")
        holder = holders.get(spec.device, spec.id)
        if holder != spec.id:
            raise DriverError(f"interface {spec.device} belongs to port {holder}")


def _check(segment: SegmentSpec) -> None:
    """Raises Rejected for what is no segment of its type."""
    match segment.network_type:
        case "flat":
            whole = segment.id is None
        case "vlan":
            whole = bool(segment.physical_network) and segment.id is not None and 1 <= segment.id < 4095
        case "vxlan":
            whole = bool(segment.local) and segment.id is not None and 1 <= segment.id < 1 << 24
        case _:
            whole = False
    if not whole:
        raise Rejected(f"a network can't be on {segment}")


def _facts(spec: PortSpec) -> PortFacts:
    return PortFacts(id=spec.id, network_id=spec.network_id, device=spec.device)
