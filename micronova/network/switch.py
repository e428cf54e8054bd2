"""What a physical switch must be able to do for VLAN networks. Knows no database, project, host or other switch.

One driver is one switch. Who decides which VLANs are on which of its ports is the manager; what is on the switch and
was never asked for or asked away stays as it is.
"""

from typing import Protocol

import msgspec

from micronova.errors import Rejected


class LoginRefused(Rejected):
    """The switch doesn't let us in with what it was told: to try on may lock the account for everybody."""


class VlanSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A VLAN that exists. `name`: 1 to 32 of letters, digits, `-`, `_`, `.`; "" leaves the switch's own choice.

    The name is for a VLAN that has none but the switch's own: one that somebody has named keeps its name.
    """

    id: int
    name: str = ""


class SwitchPortSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A port of the switch, in the switch's own spelling, that carries some VLANs tagged and others not.

    VLANs in neither `carries` nor `drops` stay as they are. `native` is the VLAN of untagged packets, None leaves it.
    A port that was no trunk becomes one that carries only `carries` and, untagged, the VLAN it had.
    """

    port: str
    carries: tuple[int, ...] = ()
    drops: tuple[int, ...] = ()
    native: int | None = None


class SwitchChange(msgspec.Struct, frozen=True, kw_only=True):
    """What is wanted of a switch, in any order; the driver does `vlans`, then `ports`, then `gone`.

    `gone` are ids of VLANs that exist no more, and that no port of the driver's lists any longer.
    """

    vlans: tuple[VlanSpec, ...] = ()
    ports: tuple[SwitchPortSpec, ...] = ()
    gone: tuple[int, ...] = ()


class VlanFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A VLAN as the switch has it."""

    id: int
    name: str


class SwitchPortFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A port as the switch has it. `vlans` are those it carries tagged (a port that is no trunk: none).

    `native` is the VLAN of its untagged packets.
    """

    port: str
    trunk: bool
    vlans: frozenset[int]
    native: int


class SwitchFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a switch says of itself: all its VLANs in order of id, and the ports that were asked for, in that order."""

    vlans: tuple[VlanFacts, ...]
    ports: tuple[SwitchPortFacts, ...]


class SwitchDriver(Protocol):
    """VLANs and ports of one switch. Each method is safe to repeat, and calls at the same time all take effect.

    The sentence of an error is the switch's own where it said one. Rejected: repeating can't help (no such port, an
    id or name no VLAN can have, a switch that doesn't understand); LoginRefused: not before somebody has seen to it.
    DriverError: it may (unreachable, too slow, connection lost, refused for now); part of the change may have been
    made, and repeating completes it.
    """

    async def apply(self, change: SwitchChange) -> None:
        """Make everything in `change` true, in one session, writing only what differs from what the switch says.

        Returns when the switch, asked again, says so. Raises Rejected before anything is changed when the change
        contradicts itself or can't be; DriverError, also for a port that carries a VLAN the switch hasn't.
        """

    async def facts(self, ports: tuple[str, ...] = ()) -> SwitchFacts:
        """What the switch has now: its VLANs, and `ports`. Raises Rejected when a port doesn't exist."""

    async def close(self) -> None:
        """Let go of the session; VLANs and ports stay as they are. The next call makes a new one."""
