"""The data of one moment: layers that hold what a volume held then, whatever is written to it afterwards."""

import contextlib
from collections.abc import AsyncIterator, Sequence

import msgspec

from micronova.errors import Rejected
from micronova.volume.driver import FromSnapshot, FromVolume, SnapshotSpec
from micronova.volume.drivers.file.exports import Exports
from micronova.volume.drivers.file.layers import Layers
from micronova.volume.drivers.file.merging import Merging
from micronova.volume.drivers.file.records import Records, SnapshotRecord, VolumeRecord
from micronova.volume.drivers.locks import Locks
from micronova.volume.drivers.steps import in_thread


class Moments:
    """Snapshots of one back end. Whoever calls holds the volume's lock, unless it says otherwise."""

    def __init__(self, layers: Layers, records: Records, exports: Exports, merging: Merging, locks: Locks) -> None:
        self._layers = layers
        self._records = records
        self._exports = exports
        self._merging = merging
        self._locks = locks

    async def seal(self, volume: str) -> str:
        """A layer with all that the volume has acknowledged, which nobody writes to any more. Raises NoSpace ….

        Writes go to a new layer on top of it. That is written down first: whoever looks after a crash in between
        completes it (Exports.agree), and no write can be lost.
        """
        record = await in_thread(self._records.volume, volume)
        in_use = bool(await in_thread(self._records.exports_of, volume))
        if in_use:
            await self._exports.agree(volume)
        elif (below := await in_thread(self._below_blank, record)) is not None:
            return below
        new = await self._layers.on_top(record.layer, record.total)
        await in_thread(self._records.volumes.put, volume, msgspec.structs.replace(record, layer=new))
        if in_use:
            await self._exports.agree(volume)
        return record.layer

    def _below_blank(self, record: VolumeRecord) -> str | None:
        """What the newest layer stands on, if nothing was ever written to it itself."""
        if not self._layers.blank(record.layer):
            return None
        parent = self._layers.parent(record.layer)
        return parent if self._layers.size(parent) == record.total else None

    async def copy(self, layer: str, size: int) -> str:
        """A new layer of `size` with the data of one that nobody writes to, at once. Raises NoSpace, DriverError."""
        if self._shares(layer):
            return await in_thread(self._layers.sharing, layer, size)
        return await self._layers.on_top(layer, size)

    async def copy_of_volume(self, volume: str, size: int) -> str:
        """A new layer of `size` with the volume's data of this moment. Raises NoSpace, Rejected, DriverError."""
        record = await in_thread(self._records.volume, volume)
        if self._shares(record.layer):
            return await in_thread(self._layers.sharing, record.layer, size)
        return await self._layers.on_top(await self.seal(volume), size)

    async def keep(self, spec: SnapshotSpec) -> SnapshotRecord:
        """The snapshot is there, with the data of this moment. Raises NoSpace, Rejected, DriverError."""
        record = await in_thread(self._records.volume, spec.volume)
        if self._shares(record.layer):
            layer = await in_thread(self._layers.sharing, record.layer, record.total)
        else:
            layer = await self.seal(spec.volume)
        return await self._put_snapshot(spec, layer)

    async def _put_snapshot(self, spec: SnapshotSpec, layer: str) -> SnapshotRecord:
        """The layer is known as this snapshot, the volume's latest."""
        record = await in_thread(self._records.volume, spec.volume)
        others = await in_thread(self._records.snapshots_of, spec.volume)
        number = 1 + max((one.number for one in others.values()), default=0)
        made = SnapshotRecord(volume=spec.volume, layer=layer, size=record.size, header=record.header, number=number)
        await in_thread(self._records.snapshots.put, spec.name, made)
        return made

    async def keep_together(self, specs: Sequence[SnapshotSpec]) -> list[SnapshotRecord]:
        """All the snapshots are there, with the data of one moment, or none is. Raises NoSpace, Rejected, DriverError.

        Those of an attempt that was given up are dropped first: they have the data of another moment.
        """
        for spec in specs:
            await in_thread(self._records.volume, spec.volume)
            if (stale := await in_thread(self._records.snapshots.find, spec.name)) is not None:
                await self.drop(spec.name, stale)
        layers = await self._still_together([spec.volume for spec in specs])
        made: dict[str, SnapshotRecord] = {}
        try:
            for spec, layer in zip(specs, layers, strict=True):
                made[spec.name] = await self._put_snapshot(spec, layer)
        except BaseException:
            for spec, layer in zip(specs, layers, strict=True):
                await in_thread(self._records.snapshots.drop, spec.name)
                await in_thread(self._merging.collect, layer)
            raise
        return list(made.values())

    async def _still_together(self, volumes: Sequence[str]) -> list[str]:
        """A layer of each volume with its data of one moment, which nobody writes to any more. Raises as `seal` does.

        New layers are made ready before writes are held: holding them takes as long as a few short commands.
        """
        records = {volume: await in_thread(self._records.volume, volume) for volume in volumes}
        in_use = [volume for volume in volumes if await in_thread(self._records.exports_of, volume)]
        sharing = {volume for volume, record in records.items() if self._shares(record.layer)}
        found = {volume: await self.seal(volume) for volume in volumes if volume not in sharing | set(in_use)}
        for volume in in_use:
            await self._exports.agree(volume)
        fresh: dict[str, str] = {}
        try:
            for volume in in_use:
                if volume not in sharing:
                    fresh[volume] = await self._layers.on_top(records[volume].layer, records[volume].total)
            async with self._exports.held(in_use):
                for volume in sharing:
                    record = records[volume]
                    found[volume] = await in_thread(self._layers.sharing, record.layer, record.total)
                for volume, layer in fresh.items():
                    await self._switch(volume, layer)
                    found[volume] = records[volume].layer
        except BaseException:
            for layer in (*fresh.values(), *(layer for volume, layer in found.items() if volume in sharing)):
                await in_thread(self._merging.collect, layer)
            raise
        return [found[volume] for volume in volumes]

    async def _switch(self, volume: str, layer: str) -> None:
        """Writes go to this new layer, as is written down first (see `seal`)."""
        record = await in_thread(self._records.volume, volume)
        await in_thread(self._records.volumes.put, volume, msgspec.structs.replace(record, layer=layer))
        await self._exports.daemon(volume).put_on_top(layer, record.layer)

    async def drop(self, name: str, record: SnapshotRecord) -> None:
        """The snapshot is gone; what only it needed too. Raises DriverError."""
        await in_thread(self._records.snapshots.drop, name)
        await in_thread(self._merging.collect, record.layer)
        await self._merging.tidy(record.volume)

    async def revert(self, spec: SnapshotSpec) -> VolumeRecord:
        """The volume has the data and size of its latest snapshot. Raises NoSpace, Rejected, DriverError."""
        snapshot = await in_thread(self._records.snapshot, spec.name)
        volume = await in_thread(self._records.volume, spec.volume)
        if spec.name != list(await in_thread(self._records.snapshots_of, spec.volume))[-1]:
            raise Rejected("the volume has later snapshots", name=spec.volume)
        layer = await self.copy(snapshot.layer, snapshot.size + snapshot.header)
        reverted = VolumeRecord(layer=layer, size=snapshot.size, header=snapshot.header)
        await in_thread(self._records.volumes.put, spec.volume, reverted)
        await in_thread(self._merging.collect, volume.layer)
        return reverted

    @contextlib.asynccontextmanager
    async def still(self, source: FromVolume | FromSnapshot) -> AsyncIterator[str]:
        """A layer with the source's data, of this moment if it is a volume in use, unchanged while the block lasts.

        It takes the volume's lock itself: of an idle volume for all that time, else at the beginning and the end.
        """
        volume = source.name if isinstance(source, FromVolume) else source.volume
        async with self._locks.held(volume):
            if isinstance(source, FromVolume) and not await in_thread(self._records.exports_of, volume):
                yield (await in_thread(self._records.volume, volume)).layer
                return
            layer = await self._pinned(source)
        try:
            yield layer
        finally:
            self._merging.unpin(layer)
            async with self._locks.held(volume):
                await in_thread(self._merging.collect, layer)
                await self._merging.tidy(volume)

    async def _pinned(self, source: FromVolume | FromSnapshot) -> str:
        if isinstance(source, FromSnapshot):
            layer = (await in_thread(self._records.snapshot, source.name)).layer
        else:
            record = await in_thread(self._records.volume, source.name)
            if self._shares(record.layer):
                layer = await in_thread(self._layers.sharing, record.layer, record.total)
            else:
                layer = await self.seal(source.name)
        self._merging.pin(layer)
        return layer

    def _shares(self, layer: str) -> bool:
        """Whether the layer can be copied at once, by the file system, even while it is written to."""
        return self._layers.shares_blocks and layer.endswith(".raw")
