"""How logical volumes come to hold what they shall: made in one step of LVM, or "half" until they are complete."""

import contextlib
import pathlib
from collections.abc import AsyncIterator, Sequence

from micronova.clock import Clock
from micronova.errors import DriverError, Rejected
from micronova.volume.driver import GIB, FromFile, FromSnapshot, FromVolume, SnapshotSpec, VolumeSpec
from micronova.volume.drivers import inspected
from micronova.volume.drivers.lvm import holdings
from micronova.volume.drivers.lvm.data import Copying
from micronova.volume.drivers.lvm.group import Lv, VolumeGroup
from micronova.volume.drivers.lvm.holdings import HALF, OURS, Holdings
from micronova.volume.drivers.steps import in_thread


class Making:
    """Makes what a driver keeps. Whoever calls holds the locks of the volumes that are named."""

    def __init__(self, group: VolumeGroup, copying: Copying, clock: Clock) -> None:
        self._group = group
        self._copying = copying
        self._clock = clock
        self._busy: set[str] = set()

    def busy(self, lv: str) -> bool:
        """Whether something here is at work on a logical volume that is not complete."""
        return lv in self._busy

    async def volume(self, spec: VolumeSpec, there: Holdings) -> None:
        """The volume is there with its source's data. Raises NoSpace, Rejected, DriverError."""
        size = spec.size_gib * GIB
        await self._clear(spec.name, there)
        lv = holdings.volume_lv(spec.name)
        match spec.source:
            case FromFile(path=path, format=format):
                if await in_thread(inspected.disk_size, pathlib.Path(path), format) > size:
                    raise Rejected(f"the source is larger than {spec.size_gib} GiB", name=spec.name)
                await self._from_file(lv, size, path, format)
            case FromVolume() | FromSnapshot() as source:
                origin = self.origin(source, there)
                if origin.size > size:
                    raise Rejected(f"the source is larger than {spec.size_gib} GiB", name=spec.name)
                await self._copy(origin, lv, size)
            case None:
                await self._group.create(lv, size, [OURS])

    def origin(self, source: FromVolume | FromSnapshot, there: Holdings) -> Lv:
        """What has the source's data. Raises DriverError when it is missing."""
        if isinstance(source, FromVolume):
            return there.volume(source.name)
        return there.snapshot(source.name, source.volume)

    async def snapshot(self, spec: SnapshotSpec, there: Holdings) -> Lv:
        """The snapshot is there; returns whose data it has. Raises NoSpace, DriverError."""
        origin = there.volume(spec.volume)
        await self._clear(spec.name, there)
        others = there.snapshots_of(spec.volume)
        number = 1 + (there.snapshots[others[-1]].number if others else 0)
        tags = [OURS, holdings.of(spec.volume), holdings.nth(number)]
        await self._group.clone(origin.name, holdings.snapshot_lv(spec.name), tags)
        return origin

    async def back(self, volume: Lv, name: str, snapshot: Lv) -> None:
        """The volume has the snapshot's data and size, from one moment to the next. Raises NoSpace, DriverError."""
        await self._group.clone(snapshot.name, holdings.volume_lv(name, holdings.turn_of(volume.name) + 1), [OURS])
        await self._group.remove(volume.name)

    async def refill(self, volume: Lv, name: str, path: str, format: str, there: Holdings) -> None:
        """The volume has a file's data instead of its own. Raises NoSpace, DriverError."""
        await self._clear(name, there)
        lv = holdings.volume_lv(name, holdings.turn_of(volume.name) + 1)
        await self._from_file(lv, volume.size, path, format)
        await self._group.remove(volume.name)

    @contextlib.asynccontextmanager
    async def held(self, origin: Lv) -> AsyncIterator[str]:
        """The device with the data of this moment, for as long as the block lasts. Raises NoSpace, DriverError.

        Only its beginning needs the volume's lock.
        """
        lv = holdings.hold_lv(self._clock.new_id())
        async with self._at_work(lv):
            await self._group.clone(origin.name, lv, [OURS, HALF], active=True)
            yield self._group.path(lv)
            await self._group.remove(lv)

    # -- inside

    async def _from_file(self, lv: str, size: int, path: str, format: str) -> None:
        async with self._at_work(lv):
            await self._group.create(lv, size, [OURS, HALF], active=True)
            await self._copying.fill(self._group.path(lv), path, format)
            await self._group.deactivate(lv)
            await self._group.retag(lv, drop=[HALF])

    async def _copy(self, origin: Lv, lv: str, size: int) -> None:
        if origin.size == size:
            await self._group.clone(origin.name, lv, [OURS])
            return
        async with self._at_work(lv):
            await self._group.clone(origin.name, lv, [OURS, HALF])
            await self._group.extend(lv, size)
            await self._group.retag(lv, drop=[HALF])

    @contextlib.asynccontextmanager
    async def _at_work(self, lv: str) -> AsyncIterator[None]:
        """When the block fails, the logical volume goes."""
        self._busy.add(lv)
        try:
            yield
        except BaseException:
            # What can't be removed now is "half", and goes when the service starts again.
            with contextlib.suppress(DriverError):
                await self._group.remove(lv)
            raise
        finally:
            self._busy.discard(lv)

    async def _clear(self, name: str, there: Holdings) -> None:
        """What an earlier attempt left is gone. Raises DriverError."""
        await self.remove(there.leftovers_of(name))

    async def remove(self, lvs: Sequence[str]) -> None:
        """They are gone, those that somebody is at work on excepted. Raises DriverError."""
        await self._group.remove(*(lv for lv in lvs if not self.busy(lv)))
