"""What of a volume group is ours: which logical volume is which volume or snapshot.

Everything is in LVM's own metadata, which it changes in one write, so that nothing can disagree with it:

    v3-NAME   tagged "micronova": volume NAME. When it gets other data as a whole, that is made beside it as v4-NAME,
              which is the volume from the moment it is complete; v3-NAME is then a leftover.
    s-NAME    tagged "micronova", "micronova.of=VOLUME", "micronova.nth=2": VOLUME's second snapshot.
    h-NAME    a moment's hold of some data, while they are copied.

"micronova.half" is on what is not complete: it is nothing to anybody, and goes.
"""

import re

import msgspec

from micronova.errors import DriverError
from micronova.volume.drivers.lvm.group import Lv

OURS = "micronova"
HALF = "micronova.half"
_OF = "micronova.of="
_NTH = "micronova.nth="
_VOLUME = re.compile(r"v([0-9]{1,9})-(.+)")
_SNAPSHOT = "s-"
_HOLD = "h-"


def volume_lv(name: str, turn: int = 0) -> str:
    """The logical volume of volume `name`, made anew for the `turn`th time."""
    return f"v{turn}-{name}"


def snapshot_lv(name: str) -> str:
    """The logical volume of snapshot `name`."""
    return f"{_SNAPSHOT}{name}"


def hold_lv(id: str) -> str:
    """The logical volume that holds data while they are copied."""
    return f"{_HOLD}{id}"


def of(volume: str) -> str:
    """The tag of a volume's snapshots."""
    return f"{_OF}{volume}"


def nth(number: int) -> str:
    """The tag of a volume's snapshot that says which came later."""
    return f"{_NTH}{number}"


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot and its logical volume. `number` grows with each of a volume."""

    lv: Lv
    volume: str
    number: int


class Holdings(msgspec.Struct, frozen=True, kw_only=True):
    """All of a group at one moment: our volumes and snapshots by name, leftovers, and what is others'."""

    pool: Lv | None
    volumes: dict[str, Lv]
    snapshots: dict[str, Snapshot]
    leftovers: dict[str, str]
    """By logical volume: the volume or snapshot it was for."""
    foreign: dict[str, Lv]

    def volume(self, name: str) -> Lv:
        """The volume. Raises DriverError when it is missing."""
        if name not in self.volumes:
            raise DriverError(f"there is no volume {name}", name=name)
        return self.volumes[name]

    def snapshot(self, name: str, volume: str) -> Lv:
        """The volume's snapshot. Raises DriverError when it is missing."""
        found = self.snapshots.get(name)
        if found is None or found.volume != volume:
            raise DriverError(f"volume {volume} has no snapshot {name}", name=name)
        return found.lv

    def snapshots_of(self, volume: str) -> list[str]:
        """The volume's snapshots, oldest first."""
        mine = [(one.number, name) for name, one in self.snapshots.items() if one.volume == volume]
        return [name for _, name in sorted(mine)]

    def leftovers_of(self, name: str) -> list[str]:
        """What is left of attempts to make a volume or snapshot, or of its earlier data."""
        return [lv for lv, of in self.leftovers.items() if of == name]

    def all_ours(self) -> list[str]:
        """Every logical volume that we made."""
        ours = [*self.volumes.values(), *(one.lv for one in self.snapshots.values())]
        return [*(lv.name for lv in ours), *self.leftovers]


def turn_of(lv: str) -> int:
    """How often the volume of this logical volume was made anew."""
    found = _VOLUME.fullmatch(lv)
    return int(found[1]) if found else 0


def sort(lvs: list[Lv], pool: str) -> Holdings:
    """Whose each logical volume is."""
    there = Holdings(
        pool=next((lv for lv in lvs if lv.name == pool and lv.kind == "thin-pool"), None),
        volumes={},
        snapshots={},
        leftovers={},
        foreign={},
    )
    for lv in sorted(lvs, key=lambda lv: (turn_of(lv.name), lv.name)):
        if lv.pool == pool:
            _place(there, lv)
    return there


def _place(there: Holdings, lv: Lv) -> None:
    volume = _VOLUME.fullmatch(lv.name)
    plain = volume[2] if volume else lv.name[len(_SNAPSHOT) :]
    if OURS not in lv.tags or not (volume or lv.name.startswith((_SNAPSHOT, _HOLD))):
        there.foreign[lv.name] = lv
    elif HALF in lv.tags or lv.name.startswith(_HOLD):
        there.leftovers[lv.name] = plain
    elif volume:
        # In order of their turns: the later one is the volume.
        if plain in there.volumes:
            there.leftovers[there.volumes[plain].name] = plain
        there.volumes[plain] = lv
    else:
        there.snapshots[plain] = Snapshot(lv=lv, volume=_value(lv, _OF), number=int(_value(lv, _NTH) or 0))


def _value(lv: Lv, word: str) -> str:
    return next((tag.removeprefix(word) for tag in lv.tags if tag.startswith(word)), "")
