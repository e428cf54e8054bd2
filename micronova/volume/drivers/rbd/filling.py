"""Bytes between images and local files, moved by qemu-img; it is ended when whoever waits gives up.

Containers (LUKS) are made in a local folder, where they are sparse files, and then copied: so the key goes to one tool
only, and the image is never seen half encrypted.
"""

import contextlib
import os
import pathlib
from collections.abc import AsyncIterator

from micronova import command
from micronova.clock import Clock
from micronova.errors import DriverError, NoSpace
from micronova.volume.driver import GIB, Encryption
from micronova.volume.drivers import luks
from micronova.volume.drivers.rbd.cluster import LONG, Cluster
from micronova.volume.drivers.rbd.images import Image
from micronova.volume.drivers.steps import in_thread, space_told

_PIECE = GIB
"""Bytes that are made zeros at once; QEMU takes no two GiB."""
_SURE = ("-t", "writeback")
"""Not the tools' own cache modes, in which the last bytes' failure may go unnoticed."""


class Filling:
    """Copies of one pool's images. `folder` holds what is there only as long as a copy is under way."""

    def __init__(self, cluster: Cluster, folder: pathlib.Path, clock: Clock) -> None:
        self._cluster = cluster
        self._folder = folder
        self._clock = clock

    def clear(self) -> None:
        """What a crash left is gone. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in self._folder.iterdir():
            path.unlink(missing_ok=True)

    async def blank(self, image: Image) -> None:
        """The image is all zeros and takes no space. Raises DriverError."""
        pieces = range(0, image.size, _PIECE)
        orders = [f"write -z -u {start} {min(_PIECE, image.size - start)}" for start in pieces]
        words = [word for order in orders for word in ("-c", order)]
        await self._run(["qemu-io", *_SURE, "-f", "raw", *words, self._cluster.url(image.name)])

    async def pour(self, path: pathlib.Path, format: str, image: str) -> None:
        """The image, all zeros, begins with the disk in the file. The file must have been looked at.

        Raises NoSpace, DriverError; then nothing is known of the image's data.
        """
        words = ["-q", "-n", "--target-is-zero", *_SURE, "-f", format, "-O", "raw"]
        await self._convert([*words, _local(path), self._cluster.url(image)])

    async def draw(self, image: str, moment: str, path: pathlib.Path, format: str) -> None:
        """The new file holds what the image, or its snapshot, shows. Raises NoSpace, DriverError; then it is gone."""
        try:
            await self._convert(["-q", "-f", "raw", "-O", format, self._cluster.url(image, moment), _local(path)])
        except BaseException:
            path.unlink(missing_ok=True)
            raise

    @contextlib.asynccontextmanager
    async def container(
        self, size: int, how: Encryption, source: tuple[pathlib.Path, str] | None
    ) -> AsyncIterator[pathlib.Path]:
        """A container for a disk of so many bytes, that of the source (a file, its format) at its beginning."""
        async with self.scratch() as draft, self.scratch() as plain:
            await luks.create(draft, size, how)
            if source is not None:
                path, format = source
                await self._convert(["-q", "-f", format, "-O", "raw", _local(path), _local(plain)])
                # Its user's disk has whole sectors.
                await in_thread(os.truncate, plain, -(-plain.stat().st_size // 512) * 512)
                await luks.fill(draft, plain, "raw", how)
            yield draft

    @contextlib.asynccontextmanager
    async def scratch(self) -> AsyncIterator[pathlib.Path]:
        """The name of a file, which is gone afterwards."""
        path = self._folder / self._clock.new_id()
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    async def _convert(self, words: list[str]) -> None:
        await self._run(["qemu-img", "convert", *words])

    async def _run(self, argv: list[str]) -> None:
        try:
            with space_told():
                await command.run(argv, wait=LONG)
        except NoSpace:
            raise
        except DriverError as err:
            if "Unknown protocol 'rbd'" in err.message:
                raise DriverError("QEMU can't use Ceph on this host: install the package qemu-block-extra") from err
            raise await self._cluster.told(err, argv[0]) from err


def _local(path: pathlib.Path) -> str:
    """A path that no tool takes for a protocol."""
    return os.path.abspath(path)
