"""A switch that exists only in memory: keeps the contract, remembers changes, can be slow or refuse."""

import asyncio
import logging
from collections import deque
from pathlib import Path
from typing import Self

import msgspec

from micronova.clock import Clock
from micronova.errors import DriverError, Rejected
from micronova.network.switch import SwitchChange, SwitchFacts, SwitchPortSpec
from micronova.network.switch_changes import (
    EVERY,
    PortState,
    State,
    check,
    is_unnamed,
    need_vlans,
    own_name,
    vlan_facts,
    with_all_ports,
)
from micronova.network.switch_file import SwitchSettings

LOG = logging.getLogger(__name__)
REMEMBERED_CHANGES = 10_000
RESERVED = ((1, 1), (1002, 1005))


class Refusal(msgspec.Struct, kw_only=True):
    """A refusal to come, `left` more times. `half` means that the change is made all the same."""

    message: str
    left: int
    error: type[DriverError]
    half: bool


class FakeSwitch:
    """VLANs and ports as values in memory.

    `changes` holds the newest changes, oldest first, `state` what came of them; `delay` is how many seconds each call
    takes before it has its effect.
    """

    def __init__(self, name: str, settings: SwitchSettings, *, delay: float = 0) -> None:
        self.name = name
        self.delay = delay
        self.changes: deque[SwitchChange] = deque(maxlen=REMEMBERED_CHANGES)
        self.state = State(vlans={1: "default"}, ports={port: PortState(port=port) for port in settings.ports})
        self._uplinks = settings.uplinks
        self._refusals: list[Refusal] = []

    @classmethod
    def configured(cls, name: str, settings: SwitchSettings, folder: Path, clock: Clock) -> Self:
        """The switch of a section of the switches file; nothing that tells how to reach it matters."""
        return cls(name, settings)

    def refuse(
        self, message: str, *, times: int = 1, error: type[DriverError] = DriverError, half: bool = False
    ) -> None:
        """The next `times` calls fail with `error(message)`: without effect, or, when `half`, after it."""
        self._refusals.append(Refusal(message=message, left=times, error=error, half=half))

    def relent(self) -> None:
        """Forget every refusal still to come."""
        self._refusals.clear()

    async def apply(self, change: SwitchChange) -> None:
        """The change is true. Raises Rejected when it can't be, DriverError as told by `refuse`."""
        check(change, RESERVED)
        refusal = await self._begin()
        wanted = with_all_ports(change, tuple(self.state.ports), self._uplinks)
        self._need_ports(tuple(spec.port for spec in wanted.ports))
        need_vlans(self.state, wanted)
        self.changes.append(change)
        self.state = _after(self.state, wanted)
        if refusal:
            raise refusal.error(refusal.message)

    async def facts(self, ports: tuple[str, ...] = ()) -> SwitchFacts:
        """What the switch has. Raises Rejected when a port doesn't exist."""
        refusal = await self._begin()
        if refusal:
            raise refusal.error(refusal.message)
        self._need_ports(ports)
        return SwitchFacts(
            vlans=vlan_facts(self.state.vlans), ports=tuple(self.state.ports[port].facts for port in ports)
        )

    async def close(self) -> None:
        """Nothing was held."""

    async def _begin(self) -> Refusal | None:
        if self.delay:
            await asyncio.sleep(self.delay)
        if not self._refusals:
            return None
        refusal = self._refusals[0]
        refusal.left -= 1
        if refusal.left <= 0:
            self._refusals.remove(refusal)
        LOG.debug("fake switch %s refuses: %s", self.name, refusal.message)
        if not refusal.half:
            raise refusal.error(refusal.message)
        return refusal

    def _need_ports(self, ports: tuple[str, ...]) -> None:
        for port in ports:
            if port not in self.state.ports:
                raise Rejected(f"switch {self.name}: there is no port {port}")


def _after(state: State, wanted: SwitchChange) -> State:
    vlans = {id: name for id, name in state.vlans.items() if id not in wanted.gone}
    for vlan in wanted.vlans:
        if vlan.id not in vlans or is_unnamed(state, vlan.id):
            vlans[vlan.id] = vlan.name or own_name(vlan.id)
    changed = {spec.port: _port_after(state.ports[spec.port], spec) for spec in wanted.ports}
    return State(vlans=vlans, ports={**state.ports, **changed})


def _port_after(port: PortState, spec: SwitchPortSpec) -> PortState:
    """As a real one: what was no trunk becomes one only for VLANs to carry."""
    if not port.trunk and not spec.carries and spec.native is None:
        return port
    native = (port.native if port.trunk else port.access) if spec.native is None else spec.native
    if native in spec.carries:
        raise DriverError(f"port {port.port} has VLAN {native} untagged and can't carry it tagged")
    before = port.allowed if port.trunk else frozenset[int]()
    allowed = (before | {*spec.carries, native}) - (set(spec.drops) - {native})
    return msgspec.structs.replace(port, trunk=True, allowed=allowed & EVERY, native=native)
