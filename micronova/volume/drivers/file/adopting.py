"""New names for volumes, and volumes out of files that others put into the back end's folder."""

import os
import pathlib

import msgspec

from micronova.errors import DriverError
from micronova.volume.driver import GIB, gib
from micronova.volume.drivers import inspected
from micronova.volume.drivers.file import foreign
from micronova.volume.drivers.file.layers import Layers
from micronova.volume.drivers.file.records import Records, VolumeRecord
from micronova.volume.drivers.steps import in_thread


class Adopting:
    """Renames in one back end. Whoever calls holds the locks of both names."""

    def __init__(self, folder: pathlib.Path, layers: Layers, records: Records) -> None:
        self._folder = folder
        self._layers = layers
        self._records = records

    async def rename(self, name: str, new_name: str) -> VolumeRecord:
        """The volume, or the foreign file, `name` is volume `new_name`. Raises DriverError when none or both exist."""
        old = await in_thread(self._records.volumes.find, name)
        new = await in_thread(self._records.volumes.find, new_name)
        if old is not None and new is not None:
            raise DriverError("both volumes exist", name=name)
        if old is not None:
            await in_thread(self._records.volumes.move, name, new_name)
            new = old
        if new is not None:
            await in_thread(self._follow, name, new_name, new.layer)
            return new
        return await self._adopt(name, new_name)

    def _follow(self, name: str, new_name: str, layer: str) -> None:
        """Snapshots go with their volume; an adopted file's old name goes too."""
        foreign_file = self._folder / name
        if foreign_file.is_file() and foreign_file.samefile(self._layers.path(layer)):
            foreign_file.unlink()
        for snapshot, record in self._records.snapshots_of(name).items():
            self._records.snapshots.put(snapshot, msgspec.structs.replace(record, volume=new_name))

    async def _adopt(self, name: str, new_name: str) -> VolumeRecord:
        """The foreign file becomes a volume and is gone under its old name. Raises Rejected when it is unsafe."""
        path = self._folder / name
        format, size = await in_thread(self._look, path)
        wanted = max(1, gib(size)) * GIB
        if format == "raw":
            layer = await in_thread(self._take, path)
            await self._layers.grow(layer, wanted)
        else:
            layer = await self._converted(path, wanted)
        record = VolumeRecord(layer=layer, size=wanted)
        await in_thread(self._records.volumes.put, new_name, record)
        await in_thread(path.unlink)
        return record

    def _look(self, path: pathlib.Path) -> tuple[str, int]:
        if path.is_symlink() or not path.is_file():
            raise DriverError(f"there is no volume and no file {path.name}", name=path.name)
        with path.open("rb") as file:
            format = "qcow2" if file.read(4) == b"QFI\xfb" else "raw"
        return format, inspected.disk_size(path, format)

    def _take(self, path: pathlib.Path) -> str:
        # A second name of the same file: if we die before the record is there, it is still where its owner put it.
        draft = self._layers.draft("raw")
        os.link(path, draft)
        return self._layers.keep(draft)

    async def _converted(self, path: pathlib.Path, size: int) -> str:
        draft = self._layers.draft("raw")
        try:
            await foreign.take_in(path, "qcow2", draft, size, self._layers.account)
            return await in_thread(self._layers.keep, draft)
        except BaseException:
            self._layers.discard(draft)
            raise
