"""How a volume gets its first data: zeros, a file's, another volume's or a snapshot's, encrypted or not."""

import pathlib

from micronova.errors import DriverError, Rejected
from micronova.volume.driver import GIB, Encryption, FromFile, FromSnapshot, FromVolume, VolumeSpec
from micronova.volume.drivers import inspected, luks
from micronova.volume.drivers.file import foreign
from micronova.volume.drivers.file.layers import Layers
from micronova.volume.drivers.file.moments import Moments
from micronova.volume.drivers.file.records import Records, SnapshotRecord, VolumeRecord
from micronova.volume.drivers.steps import in_thread


class Making:
    """Makes layers for new volumes; a layer that is not written down afterwards is a leftover."""

    def __init__(self, layers: Layers, records: Records, moments: Moments, *, qcow2: bool) -> None:
        self._layers = layers
        self._records = records
        self._moments = moments
        self._qcow2 = qcow2

    async def make(self, spec: VolumeSpec) -> VolumeRecord:
        """What is to be written down of a new volume. Raises NoSpace, Rejected, DriverError.

        Whoever calls holds the locks of the volume and of the one it is made from.
        """
        size = spec.size_gib * GIB
        if spec.encryption is not None:
            luks.check(spec.encryption)
        if isinstance(spec.source, FromFile):
            path = pathlib.Path(spec.source.path)
            own = await in_thread(inspected.disk_size, path, spec.source.format)
            if own > size:
                raise Rejected(f"the source is larger than {spec.size_gib} GiB", name=spec.name)
            if spec.encryption is not None:
                return await self._encrypted_file(path, spec.source.format, own, spec)
            return VolumeRecord(layer=await self.from_file(path, spec.source.format, size), size=size)
        if spec.source is not None:
            return await self._from_ours(spec.source, size, spec.encryption)
        if spec.encryption is not None:
            return await self._encrypted(None, "raw", size, spec.encryption)
        if self._qcow2:
            return VolumeRecord(layer=await self._layers.new_qcow2(size), size=size)
        return VolumeRecord(layer=await in_thread(self._layers.new_raw, size), size=size)

    async def from_file(self, path: pathlib.Path, format: str, size: int) -> str:
        """A new layer of `size` that begins with the disk in a foreign file. Raises NoSpace, DriverError."""
        draft = self._layers.draft("raw")
        try:
            await foreign.take_in(path, format, draft, size, self._layers.account)
            return await in_thread(self._layers.keep, draft)
        except BaseException:
            self._layers.discard(draft)
            raise

    async def _from_ours(
        self, source: FromVolume | FromSnapshot, size: int, encryption: Encryption | None
    ) -> VolumeRecord:
        found: VolumeRecord | SnapshotRecord
        if isinstance(source, FromVolume):
            found = await in_thread(self._records.volume, source.name)
        else:
            found = await in_thread(self._records.snapshot, source.name)
            if found.volume != source.volume:
                raise DriverError(f"volume {source.volume} has no snapshot {source.name}", name=source.name)
        if found.size > size:
            raise Rejected(f"the source is larger than {size // GIB} GiB")
        if encryption is not None and not found.header:
            layer = found.layer if isinstance(found, SnapshotRecord) else await self._moments.seal(source.name)
            return await self._encrypted(self._layers.path(layer), layer.rpartition(".")[2], size, encryption)
        # A copy of a container is a container with the same key, which only its users know.
        total = size + found.header
        if isinstance(found, SnapshotRecord):
            layer = await self._moments.copy(found.layer, total)
        else:
            layer = await self._moments.copy_of_volume(source.name, total)
        return VolumeRecord(layer=layer, size=size, header=found.header)

    async def _encrypted_file(self, path: pathlib.Path, format: str, own: int, spec: VolumeSpec) -> VolumeRecord:
        """Only the file's `own` bytes are encrypted, its zeros too; what lies behind them stays unwritten."""
        assert spec.encryption is not None
        plain = self._layers.draft("raw")
        try:
            await foreign.take_in(path, format, plain, -(-own // 512) * 512, self._layers.account)
            return await self._encrypted(plain, "raw", spec.size_gib * GIB, spec.encryption)
        finally:
            plain.unlink(missing_ok=True)

    async def _encrypted(self, source: pathlib.Path | None, format: str, size: int, how: Encryption) -> VolumeRecord:
        draft = self._layers.draft("raw")
        try:
            header = await luks.create(draft, size, how)
            if source is not None:
                await luks.fill(draft, source, format, how)
            return VolumeRecord(layer=await in_thread(self._layers.keep, draft), size=size, header=header)
        except BaseException:
            self._layers.discard(draft)
            raise
