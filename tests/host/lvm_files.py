"""A volume group that is none: files stand for logical volumes, so that what the driver does with it can be tested
where the kernel has no thin pools, and interrupted between any two of its steps."""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from micronova.clock import SystemClock
from micronova.errors import DriverError
from micronova.volume.drivers.lvm.group import Lv, VolumeGroup

POOL = Lv(name="pool", size=2**40, kind="thin-pool", active=True, zero=True, data_percent=0.1, metadata_percent=1.0)


def own_address() -> str:
    """A loopback address that nobody else uses at the same time."""
    clock = SystemClock()
    return f"127.{1 + clock.randbelow(250)}.{clock.randbelow(250)}.{1 + clock.randbelow(250)}"


class Killed(BaseException):
    """The service was killed."""


class FileGroup(VolumeGroup):
    """Logical volumes are files in `folder`, and what LVM knows of them stands beside them."""

    def __init__(self, folder: Path) -> None:
        super().__init__("vg", "pool")
        self._folder = folder
        self.pool_now = POOL
        self.steps_left = 1 << 30
        """Changes that still happen before the service is killed."""
        self.activated: list[str] = []
        self.before = False
        """Whether it is killed before the last of them, or after it."""

    def path(self, lv: str) -> str:
        return f"{self._folder}/{lv}"

    async def look(self) -> list[Lv]:
        self._folder.mkdir(exist_ok=True)
        return [self.pool_now, *(self._read(path.stem) for path in sorted(self._folder.glob("*.lv")))]

    async def create(self, lv: str, size: int, tags: Sequence[str], *, active: bool = False) -> None:
        with self._step():
            self._refuse(lv)
            Path(self.path(lv)).touch()
            os.truncate(self.path(lv), size)
            self._write(Lv(name=lv, size=size, tags=frozenset(tags), pool="pool", kind="thin", active=active))

    async def clone(self, origin: str, lv: str, tags: Sequence[str], *, active: bool = False) -> None:
        with self._step():
            self._refuse(lv)
            _copy(self.path(origin), self.path(lv))
            self._write(msgspec.structs.replace(self._read(origin), name=lv, tags=frozenset(tags), active=active))

    async def extend(self, lv: str, size: int) -> None:
        with self._step():
            found = self._read(lv)
            assert found.size < size, "lvextend fails when nothing is to be done"
            os.truncate(self.path(lv), size)
            self._write(msgspec.structs.replace(found, size=size))

    async def retag(self, lv: str, *, add: Sequence[str] = (), drop: Sequence[str] = ()) -> None:
        with self._step():
            found = self._read(lv)
            self._write(msgspec.structs.replace(found, tags=(found.tags - set(drop)) | set(add)))

    async def rename(self, lv: str, new: str) -> None:
        with self._step():
            self._refuse(new)
            self._write(msgspec.structs.replace(self._read(lv), name=new))
            os.rename(self.path(lv), self.path(new))
            self._record(lv).unlink()

    async def remove(self, *lvs: str) -> None:
        for lv in lvs:
            with self._step():
                self._read(lv)
                self._record(lv).unlink()
                os.unlink(self.path(lv))

    async def activate(self, lv: str) -> str:
        with self._step():
            self.activated.append(lv)
            if lv != self.pool:
                self._write(msgspec.structs.replace(self._read(lv), active=True))
        return self.path(lv)

    async def deactivate(self, lv: str) -> None:
        with self._step():
            self._write(msgspec.structs.replace(self._read(lv), active=False))

    async def refresh(self, lv: str) -> None:
        with self._step():
            self._write(msgspec.structs.replace(self._read(lv), suspended=False))

    # -- inside

    def _step(self) -> "_Step":
        return _Step(self)

    def _record(self, lv: str) -> Path:
        return self._folder / f"{lv}.lv"

    def _refuse(self, lv: str) -> None:
        if self._record(lv).exists():
            raise DriverError(f'Logical Volume "{lv}" already exists in volume group "vg"')

    def _read(self, lv: str) -> Lv:
        try:
            return msgspec.json.decode(self._record(lv).read_bytes(), type=Lv)
        except FileNotFoundError as err:
            raise DriverError(f'Failed to find logical volume "vg/{lv}"') from err

    def _write(self, lv: Lv) -> None:
        self._record(lv.name).write_bytes(msgspec.json.encode(lv))


def _copy(path: str, to: str) -> None:
    """A sparse file with the same data."""
    with open(path, "rb") as source, open(to, "wb") as target:
        size = os.fstat(source.fileno()).st_size
        os.truncate(to, size)
        at = 0
        while at < size:
            try:
                at = os.lseek(source.fileno(), at, os.SEEK_DATA)
            except OSError as err:
                if err.errno != errno.ENXIO:
                    raise
                return
            end = os.lseek(source.fileno(), at, os.SEEK_HOLE)
            os.pwrite(target.fileno(), os.pread(source.fileno(), end - at, at), at)
            at = end


class _Step:
    """One command of LVM, which happens or not."""

    def __init__(self, group: FileGroup) -> None:
        self._group = group

    def __enter__(self) -> None:
        if self._group.before and self._group.steps_left <= 1:
            raise Killed
        if self._group.steps_left <= 0:
            raise Killed

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._group.steps_left -= 1
        if kind is None and not self._group.before and self._group.steps_left <= 0:
            raise Killed
