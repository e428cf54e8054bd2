"""Devices of volumes: there while somebody uses them, and only then."""

from micronova.volume.drivers.lvm import holdings
from micronova.volume.drivers.lvm.group import VolumeGroup
from micronova.volume.drivers.lvm.holdings import Holdings


class PoolDevices:
    """Devices of the volumes in one pool."""

    def __init__(self, group: VolumeGroup) -> None:
        self._group = group

    async def look(self) -> Holdings:
        """All that is there. Raises DriverError."""
        return holdings.sort(await self._group.look(), self._group.pool)

    async def open(self, volume: str) -> tuple[str, int]:
        """The path of the volume's device and its size in bytes; repeating is safe. Raises DriverError."""
        lv = (await self.look()).volume(volume)
        if not lv.active:
            await self._group.activate(lv.name)
        return self._group.path(lv.name), lv.size

    async def rest(self, volume: str) -> None:
        """The volume has no device; a missing one has none. Raises DriverError when somebody uses it."""
        lv = (await self.look()).volumes.get(volume)
        if lv is not None and lv.active:
            await self._group.deactivate(lv.name)
