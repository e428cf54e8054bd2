"""The volume group: what is in it, asked of LVM each time, and the commands that change it.

A command of LVM is never killed half way, whoever gives up waiting: it may have suspended the device that a guest
writes to, and only it would resume that.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from micronova import command
from micronova.errors import DriverError, NoSpace, Rejected
from micronova.volume.drivers.steps import whole

_WAIT = 600
_ENV = {"LC_ALL": "C", "LVM_SUPPRESS_FD_WARNINGS": "1"}
_FIELDS = (
    *("lv_name", "lv_size", "lv_tags", "pool_lv", "segtype", "lv_active", "lv_device_open", "lv_suspended"),
    *("data_percent", "metadata_percent", "zero", "lv_health_status"),
)
_FULL = ("insufficient", "reached threshold", "out of space", "out of data space", "no space left", "not enough")
_NEVER = ("are reserved", "is reserved", "logical volume name", "maximum length", "maximum allowed")


class Lv(msgspec.Struct, frozen=True, kw_only=True):
    """A logical volume as it is. The percentages are known of what is active only."""

    name: str
    size: int
    tags: frozenset[str] = frozenset()
    pool: str = ""
    kind: str = ""
    active: bool = False
    open: bool = False
    suspended: bool = False
    data_percent: float | None = None
    metadata_percent: float | None = None
    zero: bool = False
    health: str = ""
    """What LVM finds wrong with it; "" for nothing."""

    @property
    def taken_bytes(self) -> int:
        """What it takes of its pool, or a pool of its disks; 0 when unknown."""
        return int(self.size * (self.data_percent or 0) / 100)


class _Report(msgspec.Struct):
    report: list[dict[str, list[dict[str, str]]]]


def parse(told: bytes) -> list[Lv]:
    """The logical volumes of a report of `lvs`. Raises DriverError."""
    try:
        rows = [row for part in msgspec.json.decode(told, type=_Report).report for row in part.get("lv", [])]
        return [_lv(row) for row in rows]
    except (msgspec.MsgspecError, KeyError, ValueError) as err:
        raise DriverError("LVM's report can't be read") from err


def _lv(row: dict[str, str]) -> Lv:
    return Lv(
        name=row["lv_name"].strip("[]"),
        size=int(row["lv_size"]),
        tags=frozenset(tag for tag in row["lv_tags"].split(",") if tag),
        pool=row["pool_lv"].strip("[]"),
        kind=row["segtype"],
        active=row["lv_active"] == "active",
        open=row["lv_device_open"] == "open",
        suspended=row["lv_suspended"] == "suspended",
        data_percent=_number(row["data_percent"]),
        metadata_percent=_number(row["metadata_percent"]),
        zero=row["zero"] == "zero",
        health=row["lv_health_status"],
    )


def _number(text: str) -> float | None:
    return float(text) if text else None


class VolumeGroup:
    """Volume group `name`. Its logical volumes are thin ones of `pool`, and rest without a device."""

    def __init__(self, name: str, pool: str) -> None:
        self.name = name
        self.pool = pool

    def path(self, lv: str) -> str:
        """The device of an active logical volume."""
        return f"/dev/{self.name}/{lv}"

    async def look(self) -> list[Lv]:
        """All logical volumes, also others'. Raises DriverError when there is no such group."""
        words = ["lvs", "--reportformat", "json", "--units", "b", "--nosuffix", "-o", ",".join(_FIELDS), self.name]
        return parse(await self._run(*words))

    async def create(self, lv: str, size: int, tags: Sequence[str], *, active: bool = False) -> None:
        """A new one that reads as zeros. Raises NoSpace, Rejected, DriverError."""
        words = ["--type", "thin", "--virtualsize", f"{size}b", "--thinpool", self.pool]
        await self._change("lvcreate", *_made(lv, tags, active=active), *words, self.name)

    async def clone(self, origin: str, lv: str, tags: Sequence[str], *, active: bool = False) -> None:
        """A new one with the data and size of `origin` at this moment. Raises as `create` does."""
        await self._change("lvcreate", *_made(lv, tags, active=active), "--type", "thin", f"{self.name}/{origin}")

    async def extend(self, lv: str, size: int) -> None:
        """It has `size`, which is more than it had. Raises as `create` does."""
        await self._change("lvextend", "--size", f"{size}b", f"{self.name}/{lv}")

    async def retag(self, lv: str, *, add: Sequence[str] = (), drop: Sequence[str] = ()) -> None:
        """It has the tags `add` and lacks those of `drop`, in one step. Raises DriverError."""
        words = [f"--addtag={tag}" for tag in add] + [f"--deltag={tag}" for tag in drop]
        await self._change("lvchange", *words, f"{self.name}/{lv}")

    async def rename(self, lv: str, new: str) -> None:
        """It has the new name. Raises DriverError."""
        await self._change("lvrename", self.name, lv, new)

    async def remove(self, *lvs: str) -> None:
        """They are gone. Raises DriverError when one was missing or is open."""
        if lvs:
            await self._change("lvremove", "--force", *(f"{self.name}/{lv}" for lv in lvs))

    async def activate(self, lv: str) -> str:
        """It has a device; returns its path. Repeating changes nothing. Raises DriverError."""
        await self._change("lvchange", "--activate", "y", "--ignoreactivationskip", f"{self.name}/{lv}")
        return self.path(lv)

    async def deactivate(self, lv: str) -> None:
        """It has no device. Repeating changes nothing. Raises DriverError when it is open."""
        await self._change("lvchange", "--activate", "n", f"{self.name}/{lv}")

    async def refresh(self, lv: str) -> None:
        """Its device works as LVM has it written down: one left suspended goes on. Raises DriverError."""
        await self._change("lvchange", "--refresh", f"{self.name}/{lv}")

    async def _change(self, tool: str, *words: str) -> None:
        with told():
            await self._run(tool, "--yes", "--quiet", *words)

    async def _run(self, *words: str) -> bytes:
        work = asyncio.ensure_future(command.run(["lvm", *words], wait=_WAIT, env=_ENV))
        return await whole(work)


def _made(lv: str, tags: Sequence[str], *, active: bool) -> list[str]:
    # Skipped when this host starts: whatever lies on a volume is its user's, not for this host to look at.
    rest = ["--activate", "y", "--ignoreactivationskip"] if active else ["--activate", "n"]
    return ["--name", lv, "--setactivationskip", "y", *rest, *(f"--addtag={tag}" for tag in tags)]


@contextmanager
def told() -> Iterator[None]:
    """LVM's words as our errors."""
    try:
        yield
    except DriverError as err:
        said = err.message.lower()
        if any(word in said for word in _FULL):
            raise NoSpace("no space left in the thin pool") from err
        if any(word in said for word in _NEVER):
            raise Rejected("LVM can't have a volume like this") from err
        raise
