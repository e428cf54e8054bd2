"""Layers that nobody needs by themselves any more: removed, merged with their neighbours, or kept until that is cheap.

A layer without a name of its own that others stand on can't just go. Where one volume alone stands on it, its data are
moved: up into the layer above, or, when the volume is idle, the newest layer down into it. The lowest layer of a volume
in use stays: moving all of it would cost more than it gains; what is above it is merged, so there are never many.
A crash at any moment leaves what every volume shows as it was.
"""

import logging

import msgspec

from micronova.errors import DriverError
from micronova.volume.drivers.file.exports import Exports
from micronova.volume.drivers.file.layers import Layers
from micronova.volume.drivers.file.records import Records
from micronova.volume.drivers.steps import in_thread

LOG = logging.getLogger(__name__)


class Merging:
    """Keeps the layers of one back end few. Whoever calls holds the volume's lock."""

    def __init__(self, layers: Layers, records: Records, exports: Exports) -> None:
        self._layers = layers
        self._records = records
        self._exports = exports
        self._pins: dict[str, int] = {}

    def pin(self, layer: str) -> None:
        """The layer stays as it is until it is unpinned: somebody reads it."""
        self._pins[layer] = self._pins.get(layer, 0) + 1

    def unpin(self, layer: str) -> None:
        """One reader less."""
        self._pins[layer] -= 1
        if not self._pins[layer]:
            del self._pins[layer]

    def collect(self, layer: str) -> None:
        """The layer, and those below it, are gone as far as nothing needs them. Raises OSError, DriverError."""
        named = self._records.named_layers()
        while layer and layer not in named and layer not in self._pins and self._layers.path(layer).exists():
            if self._layers.standing_on().get(layer):
                return
            parent = self._layers.parent(layer)
            self._layers.delete(layer)
            layer = parent

    def leftovers(self) -> list[str]:
        """Layers that no volume or snapshot shows. Raises OSError, DriverError."""
        there, needed = set(self._layers.names()), set()
        for layer in self._records.named_layers():
            # A lost file is its volume's misfortune only.
            while layer in there and layer not in needed:
                needed.add(layer)
                layer = self._layers.parent(layer)
        return sorted(there - needed)

    async def tidy(self, volume: str) -> None:
        """The volume has as few layers as is cheap now; what can't be merged yet waits for the next time."""
        try:
            while await self._step(volume):
                pass
        except DriverError as err:
            LOG.warning("layers of volume %s are merged later: %s", volume, err)

    async def _step(self, volume: str) -> bool:
        """Whether one layer was merged. Raises DriverError."""
        record = await in_thread(self._records.volumes.find, volume)
        if record is None:
            return False
        chain = await in_thread(self._layers.chain, record.layer)
        needless = await in_thread(self._needless, chain)
        in_use = bool(await in_thread(self._records.exports_of, volume))
        for layer in needless:
            at = chain.index(layer)
            above, below = chain[at - 1], chain[at + 1] if at + 1 < len(chain) else ""
            if in_use and not below:
                continue
            if in_use:
                await self._exports.agree(volume)
                await self._exports.daemon(volume).take_over(chain, at)
            elif at == 1 and (not below or self._layers.allocated(above) <= self._layers.allocated(layer)):
                await self._layers.merge_down(above)
                await in_thread(self._records.volumes.put, volume, msgspec.structs.replace(record, layer=layer))
                layer = above
            elif below:
                await self._layers.move_onto(above, below)
            else:
                continue
            await in_thread(self._delete_unused, volume, layer)
            return True
        return False

    def _delete_unused(self, volume: str, layer: str) -> None:
        """The merged layer is gone. Looked at once more: nothing is as bad as deleting one that still shows."""
        if layer in self._layers.chain(self._records.volume(volume).layer):
            raise DriverError("a layer is still in use after its data were moved")
        self._layers.delete(layer)

    def _needless(self, chain: tuple[str, ...]) -> list[str]:
        """Layers of the chain that only its newest layer shows, with nobody else beside or between; newest first."""
        named, standing = self._records.named_layers(), self._layers.standing_on()
        found = []
        for layer in chain[1:]:
            if len(standing.get(layer, [])) != 1 or layer in self._pins:
                break
            if layer not in named:
                found.append(layer)
        return found
