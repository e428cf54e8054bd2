"""The bytes of images: taken in, handed out, brought to this host, and removed.

An image's bytes have a name of their own (`location`), new with every upload, in the store of the host that took them
in. So an upload that failed, a deletion and a new upload never meet.
"""

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable
from datetime import timedelta
from functools import partial
from urllib.parse import quote

import msgspec

from micronova import heartbeat
from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import Conflict, DriverError, Forbidden, NotFound, Rejected, Unavailable, WrongState
from micronova.image import db, formats, sight, states
from micronova.image.cache import CHUNK, ImageCache, Source
from micronova.image.db import Image
from micronova.image.driver import ImageStore
from micronova.image.reception import HASH, Received, Reception
from micronova.image.stores.file import FileStore
from micronova.manager import Manager, Runtime, periodic, remote, task
from micronova.policy import Policy

LOG = logging.getLogger(__name__)

DAY = 24 * 3600
FORGOTTEN = DAY
"""Seconds after which an upload that another process of this host began counts as lost."""


class ImageFile(msgspec.Struct, frozen=True):
    """An image's bytes as a read-only file on this host. `format` is what QEMU has to be told."""

    path: str
    format: str
    size: int
    virtual_size: int
    properties: dict[str, str]


class ImageBytes(Manager):
    """The part of the image manager that has to do with bytes."""

    topic = "image"

    def __init__(
        self,
        runtime: Runtime,
        host: str | None = None,
        db_driver: Database | None = None,
        *,
        driver: ImageStore,
        policy: Policy,
    ) -> None:
        super().__init__(runtime, host, db_driver)
        self.driver = driver
        self.policy = policy
        self._reception = Reception(driver, self.config.options.image.max_gib << 30)
        self._cache = ImageCache(FileStore(self.config.state / "cache" / quote(self.host, safe="") / "images"))
        self._arriving: set[str] = set()
        self._unsettled: set[str] = set()
        """Uploads that ended while the database was away: their rows may wait for them still."""
        self._born_at = self.clock.now()

    async def init_host(self, ctx: Context) -> None:
        """Drop what earlier lives of this host did not finish: bytes half taken in, images waiting for them."""
        for name in await self.driver.unfinished():
            if name not in self._arriving:
                await self.driver.remove(name)
        await self._cache.clear_unfinished()
        await self._settle(ctx, lambda tx, image: image.store_host == self.host and image.updated_at < self._born_at)

    async def close_host(self) -> None:
        await self._cache.close()

    async def get(self, ctx: Context, id: str) -> Image:
        """The image, for a caller who sees it. Raises NotFound."""

        def look(tx: Tx) -> Image:
            image = sight.seen(tx, ctx, id)
            if not self.policy.allows(ctx, "get_image", sight.target(image)):
                raise NotFound(f"No image found with ID {id}")
            return image

        return await self.db.read(look)

    async def upload(self, ctx: Context, id: str, chunks: AsyncIterable[bytes], size: int | None = None) -> Image:
        """Take in the image's bytes, which makes it active; if that fails it is as it was before.

        `size` is how many bytes there must be, where known. Raises NotFound (status 410 when the image was deleted
        meanwhile), Forbidden, WrongState, BadRequest, TooLarge, NoSpace, DriverError.
        """
        return await self._take_in(ctx, partial(self._begin, ctx=ctx, id=id, size=size), chunks, size)

    async def stage(self, ctx: Context, id: str, chunks: AsyncIterable[bytes], size: int | None = None) -> Image:
        """Take in bytes that become the image's when it is imported. Raises as `upload` does."""
        return await self._take_in(ctx, partial(self._begin_staging, ctx=ctx, id=id, size=size), chunks, size)

    async def import_staged(self, ctx: Context, id: str) -> Image:
        """Make the staged bytes the image's own, which makes it active. Raises NotFound, Forbidden, Conflict."""

        def write(tx: Tx) -> Image:
            image = self._mine(tx, ctx, id, "modify_image", "You do not own this image")
            if image.status == states.ACTIVE:
                raise Conflict("Image with status active cannot be target for import")
            if image.status != states.UPLOADING or image.size is None:
                raise Conflict("Image needs to be staged before 'glance-direct' method can be used")
            for name in ("container_format", "disk_format"):
                if not getattr(image, name):
                    raise Conflict(f"'{name}' needs to be set before import")
            return tx.change(image, status=states.ACTIVE, updated_at=tx.now)

        return await self.db.write(write, ctx, why="imported by request")

    async def readable(self, ctx: Context, id: str) -> Image:
        """The image, for a caller who may read its bytes. Raises NotFound, Forbidden."""
        image = await self.get(ctx, id)
        if image.status == states.DEACTIVATED and not ctx.is_admin:
            raise Forbidden("The requested image has been deactivated. Image data download is forbidden.")
        self.policy.require(ctx, "download_image", sight.target(image))
        return image

    async def read(self, ctx: Context, image: Image, offset: int, length: int) -> AsyncIterator[bytes]:
        """The image's bytes from `offset` on, `length` of them. Raises DriverError, HostUnreachable."""
        end = offset + length
        while offset < end:
            data = await self._chunk(ctx, image, offset, min(CHUNK, end - offset))
            if not data:
                raise DriverError(f"The bytes of image {image.id} end too early.")
            yield data
            offset += len(data)

    async def local(self, ctx: Context, id: str) -> ImageFile:
        """The image's bytes as a file on this host, brought here if need be.

        Raises NotFound, WrongState when it has no bytes to use, Rejected when no tool may open them, NoSpace,
        DriverError, HostUnreachable.
        """
        image = await self.get(ctx, id)
        if image.status != states.ACTIVE:
            raise WrongState(f"Image {id} is not active.")
        format = formats.opened_as(image.disk_format, image.content)
        if not image.size or not image.os_hash_value:
            raise Rejected(f"Image {id} is empty.")
        path = self.driver.path(image.location) if image.store_host == self.host else None
        if path is None:
            read = partial(self._chunk, ctx.elevated(), image)
            path = await self._cache.get(Source(image.location, image.size, image.os_hash_value, read))
        virtual_size = image.size if image.virtual_size is None else image.virtual_size
        return ImageFile(path, format, image.size, virtual_size, image.properties)

    @remote(wait=20)
    async def read_chunk(self, ctx: Context, location: str, offset: int, length: int) -> bytes:
        """Bytes of this host's store, at most CHUNK. Raises DriverError when there are none by this name."""
        return await self.driver.read(location, offset, min(length, CHUNK))

    @task(deadline=30 * DAY, resource="image-bytes", retries=10_000)
    async def erase(self, ctx: Context, location: str) -> None:
        """Remove bytes from this host's store. Safe to repeat."""
        await self.driver.remove(location)

    @periodic(every=300)
    async def reconcile(self, ctx: Context) -> None:
        """Free copies of images that are gone; settle images whose bytes will never arrive."""
        await self.forget_copies()
        await self._settle(ctx, self._is_lost)

    async def forget_copies(self) -> None:
        """This host keeps no copy of an image that is gone."""
        keep = await self.db.read(db.locations)
        count = await self._cache.sweep(keep)
        if count:
            LOG.info("%d cached images are gone and were removed from this host", count)

    # -- inside

    def _mine(self, tx: Tx, ctx: Context, id: str, rule: str, refusal: str) -> Image:
        """An image that the caller may handle by `rule`. Raises NotFound, Forbidden."""
        image = sight.seen(tx, ctx, id)
        sight.require(self.policy, ctx, rule, image, refusal)
        return image

    def _begin(self, tx: Tx, ctx: Context, id: str, size: int | None, location: str) -> Image:
        image = self._mine(tx, ctx, id, "upload_image", f"Not allowed to upload image data for image {id}")
        states.require_step(image.status, states.SAVING)
        states.require_formats(image.disk_format, image.container_format)
        self._reception.require_size(size)
        return self._expect(tx, image, states.SAVING, location)

    def _begin_staging(self, tx: Tx, ctx: Context, id: str, size: int | None, location: str) -> Image:
        image = self._mine(tx, ctx, id, "modify_image", f"Not allowed to upload image data for image {id}")
        states.require_step(image.status, states.UPLOADING)
        self._reception.require_size(size)
        return self._expect(tx, image, states.UPLOADING, location)

    def _expect(self, tx: Tx, image: Image, status: str, location: str) -> Image:
        return tx.change(image, status=status, location=location, store_host=self.host, updated_at=tx.now)

    async def _take_in(
        self, ctx: Context, begin: Callable[..., Image], chunks: AsyncIterable[bytes], size: int | None
    ) -> Image:
        location = self.clock.new_id()
        self._arriving.add(location)
        try:
            image = await self.db.write(partial(begin, location=location), ctx, why="bytes began to arrive")
            return await self._receive(ctx, image, chunks, size)
        except Unavailable:
            self._unsettled.add(location)
            raise
        finally:
            self._arriving.discard(location)

    async def _receive(self, ctx: Context, image: Image, chunks: AsyncIterable[bytes], size: int | None) -> Image:
        try:
            received = await self._reception.take(image.location, chunks, size)
            finish = partial(self._finish, image=image, received=received)
            return await self.db.write(finish, ctx, why="all bytes arrived")
        except BaseException:
            give_up = partial(self._abandon, ctx=ctx, image=image)
            await asyncio.shield(self.db.write(give_up, ctx, why="the bytes did not all arrive"))
            raise

    def _finish(self, tx: Tx, image: Image, received: Received) -> Image:
        now = tx.first(Image, id=image.id)
        if now is None or now.location != image.location or now.status != image.status:
            raise NotFound(
                f"Image {image.id} could not be found after upload. The image may have been deleted during the "
                "upload, cleaning up the chunks uploaded.",
                status=410,
            )
        return tx.change(
            now,
            status=states.ACTIVE if now.status == states.SAVING else now.status,
            size=received.size,
            virtual_size=received.content.virtual_size,
            checksum=received.checksum,
            os_hash_algo=HASH,
            os_hash_value=received.hash_value,
            content=received.content.format,
            updated_at=tx.now,
        )

    def _abandon(self, tx: Tx, ctx: Context, image: Image) -> None:
        """The image waits for bytes again, if it is still waiting for these; these are removed.

        Nothing happens when it has them: then their arrival was stored, and only the answer got lost.
        """
        now = tx.first(Image, id=image.id)
        if now is not None and now.location == image.location:
            if now.size is not None:
                return
            tx.change(now, status=states.QUEUED, location="", store_host="", updated_at=tx.now)
        self._let_go(tx, ctx, image)

    def _let_go(self, tx: Tx, ctx: Context, image: Image) -> None:
        """Have the image's bytes removed by the host that has them."""
        if image.location:
            self.on(image.store_host).erase.record(tx, ctx, image.location)

    async def _settle(self, ctx: Context, lost: Callable[[Tx, Image], bool]) -> None:
        def write(tx: Tx) -> list[str]:
            found = [image for image in db.in_transit(tx) if lost(tx, image) and image.location not in self._arriving]
            for image in found:
                self._abandon(tx, ctx, image)
            return [image.id for image in found]

        unsettled = set(self._unsettled)
        if await self.db.read(db.in_transit):
            for id in await self.db.write(write, ctx, why="its bytes will never arrive"):
                LOG.warning("image %s: an upload was cut short, it is queued again", id)
        self._unsettled -= unsettled

    def _is_lost(self, tx: Tx, image: Image) -> bool:
        """Whether the host that takes in the image's bytes is down, or no longer does."""
        if image.location in self._unsettled:
            return True
        if image.store_host == self.host:
            return tx.now - image.updated_at > timedelta(seconds=FORGOTTEN)
        rows = heartbeat.services(tx, topic=self.topic, host=image.store_host)
        down_seconds = self.config.options.service.down_seconds
        return not any(heartbeat.is_up(row, tx.now, down_seconds) for row in rows)

    async def _chunk(self, ctx: Context, image: Image, offset: int, length: int) -> bytes:
        if image.store_host == self.host:
            return await self.driver.read(image.location, offset, length)
        return await self.on(image.store_host).read_chunk(ctx, image.location, offset, length)
