"""How an image gets its first data: zeros, a file's, another image's of now or of a snapshot, encrypted or not."""

import contextlib
import pathlib
from collections.abc import AsyncIterator

from micronova.clock import Clock
from micronova.errors import DriverError, Rejected
from micronova.volume.driver import GIB, Encryption, FromFile, FromSnapshot, FromVolume, VolumeSpec
from micronova.volume.drivers import inspected
from micronova.volume.drivers.rbd.filling import Filling
from micronova.volume.drivers.rbd.images import Image, Images, Moment, header_of, size_gib
from micronova.volume.drivers.steps import in_thread


class Making:
    """Makes images of one pool; half of one may be left when it fails."""

    def __init__(self, images: Images, filling: Filling, clock: Clock, *, depth: int, mark: str) -> None:
        """`mark` is how this host's own snapshots begin."""
        self._images = images
        self._filling = filling
        self._clock = clock
        self._depth = depth
        self._mark = mark

    async def make(self, spec: VolumeSpec) -> None:
        """The image is there, of the volume's size. Raises NoSpace, Rejected, DriverError.

        Whoever calls holds the locks of the volume and of the one it is made from.
        """
        match spec.source:
            case None:
                await self._from_nothing(spec)
            case FromFile():
                await self._from_file(spec, pathlib.Path(spec.source.path), spec.source.format)
            case FromVolume() | FromSnapshot():
                await self._from_ours(spec, spec.source)

    async def _from_nothing(self, spec: VolumeSpec) -> None:
        if spec.encryption is None:
            await self._create(spec.name, spec.size_gib * GIB)
        else:
            await self._encrypted(spec.name, spec.size_gib * GIB, spec.encryption, None)

    async def _from_file(self, spec: VolumeSpec, path: pathlib.Path, format: str) -> None:
        if await in_thread(inspected.disk_size, path, format) > spec.size_gib * GIB:
            raise Rejected(f"the source is larger than {spec.size_gib} GiB", name=spec.name)
        if spec.encryption is not None:
            await self._encrypted(spec.name, spec.size_gib * GIB, spec.encryption, (path, format))
            return
        await self._create(spec.name, spec.size_gib * GIB)
        await self._filling.pour(path, format, spec.name)

    async def _from_ours(self, spec: VolumeSpec, source: FromVolume | FromSnapshot) -> None:
        origin = await self._images.get(source.name if isinstance(source, FromVolume) else source.volume)
        moment = await self._chosen(source)
        bytes_of_it = origin.size if moment is None else moment.size
        if size_gib(bytes_of_it) > spec.size_gib:
            raise Rejected(f"the source is larger than {spec.size_gib} GiB", name=spec.name)
        async with self.still(origin.name, moment) as held:
            if spec.encryption is not None and not header_of(bytes_of_it):
                async with self._filling.scratch() as plain:
                    await self._filling.draw(origin.name, held, plain, "raw")
                    await self._encrypted(spec.name, spec.size_gib * GIB, spec.encryption, (plain, "raw"))
                return
            # A copy of a container is a container with the same key, which only its users know.
            too_deep = bool(origin.parent) and await self._images.depth(origin) >= self._depth
            await self._images.clone(origin.name, held, spec.name)
            copy = Image(name=spec.name, size=bytes_of_it)
            await self._images.grow(copy, spec.size_gib * GIB + header_of(bytes_of_it))
            if too_deep:
                await self._images.flatten(spec.name)

    async def _chosen(self, source: FromVolume | FromSnapshot) -> Moment | None:
        if isinstance(source, FromVolume):
            return None
        for moment in await self._images.moments(source.volume) or []:
            if moment.name == source.name:
                return moment
        raise DriverError(f"volume {source.volume} has no snapshot {source.name}", name=source.name)

    @contextlib.asynccontextmanager
    async def still(self, image: str, moment: Moment | None = None) -> AsyncIterator[str]:
        """The name of the snapshot; without one, of a snapshot of now that goes when the block is left."""
        if moment is not None:
            yield moment.name
            return
        name = f"{self._mark}{self._clock.new_id()}"
        try:
            await self._images.keep(image, name)
            yield name
        finally:
            await self._images.forget(image, name)

    async def _encrypted(self, name: str, size: int, how: Encryption, source: tuple[pathlib.Path, str] | None) -> None:
        async with self._filling.container(size, how, source) as path:
            await self._create(name, (await in_thread(path.stat)).st_size)
            await self._filling.pour(path, "raw", name)

    async def _create(self, name: str, size: int) -> None:
        if not await self._images.create(name, size):
            await self._images.discard(name)
            if not await self._images.create(name, size):
                raise DriverError(f"somebody else makes an image {name}", name=name)
