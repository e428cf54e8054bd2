"""Flows as values, and how a bridge comes to have them: what changed, as one bundle, applied whole or not at all.

A bridge's flows are kept in *pieces*, one for each network, port and chain of rules. A change names the pieces that are
new; what these no longer hold is deleted. Once it is not certain what the bridge has, it gets all pieces anew, still in
one bundle: no packet sees anything but the old flows or the new ones.
"""

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from micronova.command import run
from micronova.errors import DriverError
from micronova.network.drivers.ovs.tables import MARKER

WAIT = 20.0
VERSION = ("-O", "OpenFlow15")


class Flow(msgspec.Struct, frozen=True):
    """What happens to packets that match in a table. No two flows have table, priority and match in common."""

    table: int
    priority: int
    match: str
    actions: str

    @property
    def key(self) -> str:
        """What tells it from other flows."""
        match = f",{self.match}" if self.match else ""
        return f"table={self.table},priority={self.priority}{match}"


class Group(msgspec.Struct, frozen=True):
    """Copies of a packet: each bucket's actions get one. Flows name it by `number`."""

    number: int
    buckets: tuple[str, ...]


Piece = tuple[Flow | Group, ...]
NOTHING: Piece = ()
COMPLETE = Flow(MARKER, 0, "", "drop")


class Flows:
    """The flows of one bridge, reached at its management socket."""

    def __init__(self) -> None:
        self._pieces: dict[str, Piece] = {}
        self._sure = False

    def forget(self) -> None:
        """It is not certain what the bridge has."""
        self._sure = False

    async def known(self, socket: Path) -> bool:
        """Whether the bridge has the flows that we gave it. Raises DriverError when it doesn't answer."""
        if self._sure:
            told = await _ofctl("dump-flows", socket, f"table={MARKER}")
            self._sure = b"actions=drop" in told
        return self._sure

    async def replace(self, socket: Path, pieces: Mapping[str, Piece]) -> None:
        """The bridge has these pieces and nothing else."""
        self._sure = False
        whole = {name: piece for name, piece in pieces.items() if piece}
        lines = ["flow delete", "group delete", *_added(_parts([*whole.values(), (COMPLETE,)]))]
        await _bundle(socket, lines)
        self._pieces = whole
        self._sure = True

    async def change(self, socket: Path, pieces: Mapping[str, Piece]) -> bool:
        """The bridge has these pieces in place of those of the same names; an empty one is gone.

        Whether any flow that was there is not any more, or does something else.
        """
        old = _parts(self._pieces.get(name, NOTHING) for name in pieces)
        new = _parts(pieces.values())
        gone = [part for key, part in old.items() if key not in new]
        lines = [*_added({key: part for key, part in new.items() if old.get(key) != part}), *map(_deleted, gone)]
        if lines:
            self._sure = False  # until it is done: who waits for the answer may be cancelled
            await _bundle(socket, lines)
        self._pieces.update(pieces)
        for name in [name for name, piece in pieces.items() if not piece]:
            del self._pieces[name]
        self._sure = True
        return any(isinstance(part, Flow) and new.get(key) != part for key, part in old.items())


async def settle_meter(socket: Path, number: int, meter: str) -> None:
    """The bridge has this meter under its number, or none for "". Flows of it may be there, or may not."""
    if not meter:
        await _ofctl("del-meter", socket, f"meter={number}")
        return
    try:
        await _ofctl("mod-meter", socket, meter)
    except DriverError:
        await _ofctl("add-meter", socket, meter)


async def settled(socket: Path) -> None:
    """No packet is treated any more as flows that are gone or changed had said.

    The switch remembers what its flows came to, and goes through that twice a second, or when flows change.
    """
    argv = ["ovs-appctl", f"--timeout={WAIT:.0f}", "-t", "ovs-vswitchd", "revalidator/wait"]
    await run(argv, wait=WAIT + 1, env={"OVS_RUNDIR": str(socket.parent)})


async def forget_connections(socket: Path, zone: int) -> None:
    """The bridge's datapath tracks no connection of this zone."""
    await _ofctl("ct-flush-zone", socket, str(zone))


async def _bundle(socket: Path, lines: Iterable[str]) -> None:
    text = await asyncio.to_thread("".join, [f"{line}\n" for line in lines])
    await _ofctl("bundle", socket, "-", stdin=text.encode())


async def _ofctl(command: str, socket: Path, *words: str, stdin: bytes | None = None) -> bytes:
    if not socket.exists():
        raise DriverError(f"Open vSwitch has no bridge {socket.stem}", command="ovs-ofctl")
    argv = ["ovs-ofctl", *VERSION, command, f"unix:{socket}", *words]
    return await run(argv, wait=WAIT, stdin=stdin)


def _parts(pieces: Iterable[Piece]) -> dict[str | int, Flow | Group]:
    return {(part.key if isinstance(part, Flow) else part.number): part for piece in pieces for part in piece}


def _added(parts: Mapping[str | int, Flow | Group]) -> list[str]:
    """Groups first: flows refer to them."""
    groups = [_group(part) for part in parts.values() if isinstance(part, Group)]
    flows = [f"flow add {part.key},actions={part.actions}" for part in parts.values() if isinstance(part, Flow)]
    return [*groups, *flows]


def _group(group: Group) -> str:
    buckets = "".join(f",bucket=actions={actions}" for actions in group.buckets)
    return f"group add_or_mod group_id={group.number},type=all{buckets}"


def _deleted(part: Flow | Group) -> str:
    return f"flow delete_strict {part.key}" if isinstance(part, Flow) else f"group delete group_id={part.number}"
