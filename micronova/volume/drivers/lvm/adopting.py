"""New names for volumes, and volumes out of logical volumes that others made in the pool."""

import msgspec

from micronova.errors import DriverError, Rejected
from micronova.volume.driver import GIB, gib
from micronova.volume.drivers.lvm import holdings
from micronova.volume.drivers.lvm.group import Lv, VolumeGroup
from micronova.volume.drivers.lvm.holdings import OURS, Holdings


class Adopting:
    """Renames in one pool. Whoever calls holds the locks of both names."""

    def __init__(self, group: VolumeGroup) -> None:
        self._group = group

    async def rename(self, name: str, new_name: str, there: Holdings) -> Lv:
        """The volume, or the foreign logical volume, `name` is volume `new_name`.

        Raises DriverError when none or both exist, Rejected when it is in use, NoSpace.
        """
        old, new = there.volumes.get(name), there.volumes.get(new_name)
        if old is not None and new is not None:
            raise DriverError("both volumes exist", name=name)
        if old is not None:
            await self._group.remove(*there.leftovers_of(name), *there.leftovers_of(new_name))
            await self._group.rename(old.name, holdings.volume_lv(new_name, holdings.turn_of(old.name)))
            new = old
        if new is not None:
            await self._follow(name, new_name, there)
            return new
        return await self._adopt(name, new_name, there)

    async def _follow(self, name: str, new_name: str, there: Holdings) -> None:
        """Snapshots go with their volume."""
        for snapshot in there.snapshots_of(name):
            lv = there.snapshots[snapshot].lv
            await self._group.retag(lv.name, add=[holdings.of(new_name)], drop=[holdings.of(name)])

    async def _adopt(self, name: str, new_name: str, there: Holdings) -> Lv:
        """The foreign one becomes a volume and is gone under its old name; it has whole GiB then."""
        found = there.foreign.get(name)
        if found is None:
            raise DriverError(f"there is no volume and no logical volume {name} in the pool", name=name)
        if found.open:
            raise Rejected("somebody uses the logical volume", name=name)
        size = max(1, gib(found.size)) * GIB
        if found.active:
            await self._group.deactivate(name)
        if found.size < size:
            await self._group.extend(name, size)
        # Ours only under the name that a volume has: dying in between leaves it where it was.
        await self._group.retag(name, add=[OURS])
        await self._group.rename(name, holdings.volume_lv(new_name))
        return msgspec.structs.replace(found, size=size)
