"""What is wanted of a switch and what it has, as values: which changes can't be, several as one, what is left. Pure."""

import re
from collections.abc import Iterable, Iterator

import msgspec

from micronova.errors import DriverError, Rejected
from micronova.network.switch import SwitchChange, SwitchPortFacts, SwitchPortSpec, VlanFacts
from micronova.network.switch_file import PORT

FIRST, LAST = 1, 4094
EVERY = frozenset(range(FIRST, LAST + 1))
DEFAULT_VLAN = 1
NAME = r"[A-Za-z0-9._-]{0,32}\Z"


class PortState(msgspec.Struct, frozen=True, kw_only=True):
    """A port as its running configuration says. `allowed` counts while it is a trunk, `access` while it is none.

    A `routed` one carries addresses and no VLANs.
    """

    port: str
    trunk: bool = False
    routed: bool = False
    allowed: frozenset[int] = EVERY
    native: int = DEFAULT_VLAN
    access: int = DEFAULT_VLAN

    @property
    def facts(self) -> SwitchPortFacts:
        """The port in the words of the contract."""
        tagged = self.allowed - {self.native} if self.trunk else frozenset[int]()
        native = self.native if self.trunk else self.access
        return SwitchPortFacts(port=self.port, trunk=self.trunk, vlans=tagged, native=native)


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What was read of a switch: names by VLAN id, ports by name."""

    vlans: dict[int, str]
    ports: dict[str, PortState]


def vlan_facts(names: dict[int, str]) -> tuple[VlanFacts, ...]:
    """VLANs in the words of the contract, in order of id."""
    return tuple(VlanFacts(id=id, name=names[id]) for id in sorted(names))


def check(change: SwitchChange, reserved: tuple[tuple[int, int], ...]) -> None:
    """Nothing in the change is impossible whatever the switch has. Raises Rejected."""
    for vlan in change.vlans:
        if not re.match(NAME, vlan.name):
            raise Rejected(f"{vlan.name!r} can't be a VLAN's name")
    for spec in change.ports:
        if not re.match(PORT, spec.port) or spec.port.endswith("\n"):
            raise Rejected(f"{spec.port!r} can't be a port")
    for id in (*(vlan.id for vlan in change.vlans), *change.gone, *_port_ids(change)):
        if not FIRST <= id <= LAST or any(first <= id <= last for first, last in reserved):
            raise Rejected(f"VLAN {id} can't be: the switch keeps it, or there is none")
    for spec in change.ports:
        if spec.native is not None and not FIRST <= spec.native <= LAST:
            raise Rejected(f"VLAN {spec.native} can't be: there is none")
    against = contradiction(change)
    if against:
        raise Rejected(f"the change contradicts itself: {against}")


def contradiction(change: SwitchChange) -> str:
    """What is wanted and not wanted, "" when nothing is."""
    gone = set(change.gone)
    both = gone & {vlan.id for vlan in change.vlans}
    if both:
        return f"VLAN {min(both)} exists and is gone"
    names: dict[int, str] = {}
    for vlan in change.vlans:
        if vlan.name and names.setdefault(vlan.id, vlan.name) != vlan.name:
            return f"VLAN {vlan.id} has two names"
    for port, carries, drops, native in _by_port(change.ports):
        if carries & (drops | gone):
            return f"port {port} carries VLAN {min(carries & (drops | gone))} and does not"
        if native in carries | gone:
            return f"port {port} has VLAN {native} untagged and does not"
    return ""


def merge(changes: Iterable[SwitchChange]) -> SwitchChange:
    """All of them as one; it may contradict itself."""
    all = tuple(changes)
    vlans = dict.fromkeys(vlan for change in all for vlan in change.vlans)
    ports = (spec for change in all for spec in change.ports)
    return SwitchChange(
        vlans=tuple(vlans),
        ports=tuple(
            SwitchPortSpec(port=port, carries=tuple(sorted(carries)), drops=tuple(sorted(drops)), native=native)
            for port, carries, drops, native in _by_port(ports)
        ),
        gone=tuple(sorted({id for change in all for id in change.gone})),
    )


def with_all_ports(change: SwitchChange, ports: tuple[str, ...], uplinks: tuple[str, ...]) -> SwitchChange:
    """The change with what follows from it for other ports: uplinks carry each VLAN, none lists one that is gone."""
    ids = tuple(vlan.id for vlan in change.vlans)
    on_uplinks = tuple(SwitchPortSpec(port=port, carries=ids) for port in uplinks if ids)
    elsewhere = tuple(SwitchPortSpec(port=port, drops=change.gone) for port in ports if change.gone)
    return merge((change, SwitchChange(ports=(*on_uplinks, *elsewhere))))


def need_vlans(state: State, change: SwitchChange) -> None:
    """Every VLAN that a port is to carry is there, or comes with the change. Raises DriverError."""
    there = {*state.vlans, *(vlan.id for vlan in change.vlans)}
    for spec in change.ports:
        missing = set(spec.carries) - there
        if missing:
            raise DriverError(f"port {spec.port} can't carry VLAN {compress(missing)}: the switch doesn't have it")


def unmet(state: State, change: SwitchChange) -> list[str]:
    """What of the change isn't true in `state`, a clause each."""
    wrong = [f"VLAN {vlan.id} is not there" for vlan in change.vlans if vlan.id not in state.vlans]
    wrong += [f"VLAN {vlan.id} has no name" for vlan in change.vlans if vlan.name and is_unnamed(state, vlan.id)]
    wrong += [f"VLAN {id} is still there" for id in change.gone if id in state.vlans]
    for spec in change.ports:
        port = state.ports[spec.port]
        wrong += [f"port {spec.port} {clause}" for clause in _port_unmet(port, spec)]
    return wrong


def is_unnamed(state: State, id: int) -> bool:
    """Whether the VLAN has only the name that switches themselves give one."""
    return id in state.vlans and is_own_name(id, state.vlans[id])


def own_name(id: int) -> str:
    """The name a switch gives to a VLAN that nobody has named."""
    return f"VLAN{id:04d}"


def is_own_name(id: int, name: str) -> bool:
    """Whether it is the name of a VLAN that nobody has named; some switches write it without the zeros."""
    return name in (own_name(id), f"VLAN{id}")


def _port_unmet(port: PortState, spec: SwitchPortSpec) -> list[str]:
    tagged = port.facts.vlans
    missing, left = set(spec.carries) - tagged, set(spec.drops) & tagged
    wrong = [f"does not carry VLAN {compress(missing)}"] if missing else []
    wrong += [f"still carries VLAN {compress(left)}"] if left else []
    if spec.native is not None and port.facts.native != spec.native:
        wrong.append(f"has VLAN {port.facts.native} untagged")
    return wrong


def expand(words: str) -> frozenset[int]:
    """The ids in a list such as "7,100-109"; "none" has none. What no VLAN can have is left out."""
    ids: set[int] = set()
    for part in words.replace(" ", "").split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            ids.update(range(int(first), int(last or first) + 1))
    return EVERY & ids


def compress(ids: Iterable[int]) -> str:
    """The list that `expand` understands, in order, ranges from three on; "none" for none."""
    return ",".join(_runs(sorted(set(ids)))) or "none"


def pieces(ids: Iterable[int], longest: int) -> list[str]:
    """The list in parts of at most `longest` characters, for switches cut lines."""
    parts: list[str] = []
    for run in _runs(sorted(set(ids))):
        if parts and len(parts[-1]) + 1 + len(run) <= longest:
            parts[-1] = f"{parts[-1]},{run}"
        else:
            parts.append(run)
    return parts


def _runs(ids: list[int]) -> Iterator[str]:
    start = 0
    for at in range(1, len(ids) + 1):
        if at < len(ids) and ids[at] == ids[at - 1] + 1:
            continue
        first, last = ids[start], ids[at - 1]
        if last - first > 1:
            yield f"{first}-{last}"
        else:
            yield from (str(id) for id in ids[start:at])
        start = at


def _port_ids(change: SwitchChange) -> list[int]:
    return [id for spec in change.ports for id in (*spec.carries, *spec.drops)]


def _by_port(specs: Iterable[SwitchPortSpec]) -> list[tuple[str, set[int], set[int], int | None]]:
    """What is wanted of each port, its specs taken together, the last `native` of several."""
    found: dict[str, tuple[set[int], set[int], int | None]] = {}
    for spec in specs:
        carries, drops, native = found.get(spec.port, (set(), set(), None))
        found[spec.port] = (
            carries | set(spec.carries),
            drops | set(spec.drops),
            native if spec.native is None else spec.native,
        )
    return [(port, *wanted) for port, wanted in found.items()]
