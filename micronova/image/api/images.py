"""Images over HTTP: create, list, show, change, delete, tags, deactivation.

{"id": "…", "name": "cirros", "status": "active", "visibility": "public", "disk_format": "qcow2", "size": 21430272,
 "os_distro": "cirros", "tags": [], "self": "/v2/images/…", "file": "/v2/images/…/file", "schema": "/v2/schemas/image"}

Custom properties stand beside the fields. Links are paths without prefix: that is how clients put them together.
"""

from typing import Any
from urllib.parse import urlencode

from micronova.clock import iso
from micronova.errors import NotFound
from micronova.http import Answer, Request, Route
from micronova.image import changes, fields, filters, states
from micronova.image.api.data import IMPORT_METHODS
from micronova.image.db import Image
from micronova.image.manager import ImageManager

IMAGES = "/v2/images"


class ImagesApi:
    """Handlers over the image manager."""

    def __init__(self, images: ImageManager, max_page: int) -> None:
        self._images = images
        self._max_page = max_page
        self._store = images.config.options.image.driver

    def routes(self) -> list[Route]:
        """What this part of the API answers."""
        one = IMAGES + "/{image_id}"
        return [
            Route("GET", IMAGES, self.index, policy="get_images"),
            Route("POST", IMAGES, self.create),
            Route("GET", one, self.show),
            Route("PATCH", one, self.update),
            Route("DELETE", one, self.delete),
            Route("GET", one + "/tasks", self.tasks),
            Route("POST", one + "/actions/deactivate", self.deactivate),
            Route("POST", one + "/actions/reactivate", self.reactivate),
            Route("PUT", one + "/tags/{tag}", self.tag),
            Route("DELETE", one + "/tags/{tag}", self.untag),
        ]

    async def index(self, request: Request) -> Any:
        if request.http.scope["path"].endswith("/"):
            raise NotFound("The resource could not be found.")  # an image without an id, not the list
        query = request.query()
        question = filters.parse(query, request.ctx)
        limit = self._max_page if question.limit is None else min(question.limit, self._max_page)
        found = await self._images.find(request.ctx, question, limit + 1) if limit else []
        shown = found[:limit]
        asked = [(key, value) for key, value in query if key != "marker"]
        body: dict[str, Any] = {
            "images": [self.view(image) for image in shown],
            "first": f"{IMAGES}?{urlencode(asked)}" if asked else IMAGES,
            "schema": "/v2/schemas/images",
        }
        if len(found) > limit:
            body["next"] = f"{IMAGES}?{urlencode([*asked, ('marker', shown[-1].id)])}"
        return body

    async def create(self, request: Request) -> Answer:
        new = changes.creation(await request.body(object))
        image = await self._images.create(request.ctx, new)
        headers = {"Location": f"{request.root}{IMAGES}/{image.id}", "OpenStack-image-store-ids": self._store}
        headers["OpenStack-image-import-methods"] = ",".join(IMPORT_METHODS)
        return Answer(status=201, body=self.view(image), headers=headers)

    async def show(self, request: Request) -> Any:
        return self.view(await self._images.get(request.ctx, request.path["image_id"]))

    async def update(self, request: Request) -> Any:
        wanted = changes.parse(await request.body(object), request.header("Content-Type") or "")
        return self.view(await self._images.update(request.ctx, request.path["image_id"], wanted))

    async def delete(self, request: Request) -> Answer:
        await self._images.delete(request.ctx, request.path["image_id"])
        return Answer(status=204)

    async def tasks(self, request: Request) -> Any:
        await self._images.get(request.ctx, request.path["image_id"])
        return {"tasks": []}

    async def deactivate(self, request: Request) -> Answer:
        await self._images.deactivate(request.ctx, request.path["image_id"])
        return Answer(status=204)

    async def reactivate(self, request: Request) -> Answer:
        await self._images.reactivate(request.ctx, request.path["image_id"])
        return Answer(status=204)

    async def tag(self, request: Request) -> Answer:
        tag = request.path["tag"]
        fields.check("tags", [tag])
        await self._images.tag(request.ctx, request.path["image_id"], tag)
        return Answer(status=204)

    async def untag(self, request: Request) -> Answer:
        await self._images.untag(request.ctx, request.path["image_id"], request.path["tag"])
        return Answer(status=204)

    def view(self, image: Image) -> dict[str, Any]:
        """The wire's shape of an image."""
        path = f"{IMAGES}/{image.id}"
        shown: dict[str, Any] = {
            **image.properties,
            "id": image.id,
            "name": image.name,
            "status": image.status,
            "visibility": image.visibility,
            "protected": image.protected,
            "os_hidden": image.os_hidden,
            "owner": image.owner,
            "disk_format": image.disk_format,
            "container_format": image.container_format,
            "size": image.size,
            "virtual_size": image.virtual_size,
            "checksum": image.checksum,
            "os_hash_algo": image.os_hash_algo,
            "os_hash_value": image.os_hash_value,
            "min_disk": image.min_disk,
            "min_ram": image.min_ram,
            "tags": image.tags,
            "created_at": iso(image.created_at),
            "updated_at": iso(image.updated_at),
            "self": path,
            "file": path + "/file",
            "schema": "/v2/schemas/image",
        }
        if image.status in states.HOLDING:
            shown["stores"] = self._store
        return shown
