"""The bytes of images over HTTP: upload, and download whole or in part (RFC 9110, section 14)."""

import asyncio
import re
from collections.abc import AsyncIterator

from micronova.errors import BadRequest, Unavailable
from micronova.http import Answer, Request, Route
from micronova.image import states
from micronova.image.db import Image
from micronova.image.manager import ImageManager

ONE = "/v2/images/{image_id}"
BYTES = "application/octet-stream"
IMPORT_METHODS = ("glance-direct",)
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class DataApi:
    """Handlers over the image manager."""

    def __init__(self, images: ImageManager) -> None:
        self._images = images

    def routes(self) -> list[Route]:
        """What this part of the API answers."""
        return [
            Route("PUT", ONE + "/file", self.upload),
            Route("GET", ONE + "/file", self.download),
            Route("PUT", ONE + "/stage", self.stage),
            Route("POST", ONE + "/import", self.import_staged),
        ]

    async def upload(self, request: Request) -> Answer:
        size = _size(request)
        await self._images.upload(request.ctx, request.path["image_id"], whole(request), size)
        return Answer(status=204)

    async def stage(self, request: Request) -> Answer:
        size = _size(request)
        await self._images.stage(request.ctx, request.path["image_id"], whole(request), size)
        return Answer(status=204)

    async def import_staged(self, request: Request) -> Answer:
        body = await request.body(dict[str, object])
        method = body.get("method")
        if method is None:
            raise BadRequest("Import request requires a 'method' field.")
        if not isinstance(method, dict) or "name" not in method:
            raise BadRequest("Import request requires a 'name' field.")
        if method["name"] not in IMPORT_METHODS:
            raise BadRequest(f"Unknown import method name '{str(method['name'])[:50]}'.")
        await self._images.import_staged(request.ctx, request.path["image_id"])
        return Answer(status=202, body=b"")

    async def download(self, request: Request) -> Answer:
        image = await self._images.readable(request.ctx, request.path["image_id"])
        if image.status not in states.HOLDING or image.size is None:
            return Answer(status=204)
        wanted = part(request.header("Range"), image.size)
        first, length = wanted or (0, image.size)
        headers = {"Accept-Ranges": "bytes"}
        if wanted is not None:
            headers["Content-Range"] = f"bytes {first}-{first + length - 1}/{image.size}"
        elif image.checksum:
            headers["Content-MD5"] = image.checksum
        return Answer(
            status=200 if wanted is None else 206,
            headers=headers,
            content_type=BYTES,
            stream=await self._begun(request, image, first, length),
            length=length,
        )

    async def _begun(self, request: Request, image: Image, first: int, length: int) -> AsyncIterator[bytes]:
        """The bytes, the first of them read already: what can't be read at all is refused in time to say so."""
        data = self._images.read(request.ctx, image, first, length)
        return _joined(await anext(data, b""), data)


async def _joined(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if head:
        yield head
    async for data in rest:
        yield data


async def whole(request: Request) -> AsyncIterator[bytes]:
    """The body piece by piece. Raises Unavailable when the client went away before it had sent all."""
    async for chunk in request.chunks():
        yield chunk
    if request.http.content_length is None and await _is_gone(request):
        raise Unavailable("The client went away before all was sent.")


async def _is_gone(request: Request) -> bool:
    """Whether the client of a body of unknown length is gone.

    Falcon ends the body in the same way at its end and at a lost connection; the server tells the latter at once.
    """
    try:
        async with asyncio.timeout(0):
            event = await request.http._receive()
    except TimeoutError:
        return False
    return bool(event["type"] == "http.disconnect")


def _size(request: Request) -> int | None:
    """How many bytes the client says it will send. Raises BadRequest, with status 415 for anything but plain bytes."""
    kind = (request.header("Content-Type") or BYTES).partition(";")[0].strip().lower()
    if kind != BYTES:
        raise BadRequest(f"Invalid content type {kind[:100]}", status=415)
    told = request.header("x-openstack-image-size")
    if told is None:
        return request.http.content_length
    if not re.fullmatch(r"[0-9]{1,18}", told):
        raise BadRequest("Invalid or missing image size in request headers.")
    return int(told)


def part(header: str | None, size: int) -> tuple[int, int] | None:
    """(first byte, how many) of a Range header; None without one.

    Raises BadRequest with status 416 for more ranges than one, nonsense, or nothing of `size` bytes.
    """
    if header is None:
        return None
    found = _RANGE.fullmatch(header.strip())
    if found is None or not (found[1] or found[2]):
        raise BadRequest("Invalid Range header.", status=416)
    if not found[1]:
        first = max(0, size - int(found[2]))
        last = size - 1
    else:
        first = int(found[1])
        last = min(int(found[2]) if found[2] else size - 1, size - 1)
    if first > last:
        raise BadRequest(f"Invalid start position in Range header. The image has {size} bytes.", status=416)
    return first, last - first + 1
