"""ImageManager: what users do with images and with the projects they share them with."""

from collections.abc import Callable

from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import BadRequest, Conflict, Forbidden, NotFound
from micronova.image import changes, db, fields, sight, states
from micronova.image.bytes import ImageBytes
from micronova.image.changes import Change, NewImage
from micronova.image.db import Image
from micronova.image.driver import ImageStore
from micronova.image.filters import Question
from micronova.image.members import Members
from micronova.manager import Runtime
from micronova.policy import Policy


class ImageManager(ImageBytes):
    """Images: who sees them, and what they may become."""

    def __init__(
        self,
        runtime: Runtime,
        host: str | None = None,
        db_driver: Database | None = None,
        *,
        driver: ImageStore,
        policy: Policy,
    ) -> None:
        super().__init__(runtime, host, db_driver, driver=driver, policy=policy)
        self.members = Members(self.db, self.clock, policy)
        self._listings = db.Listings()

    # -- images

    async def create(self, ctx: Context, new: NewImage) -> Image:
        """Register an image, still without bytes. Raises Forbidden, Conflict when its id is taken."""
        owner = new.values.get("owner", ctx.project_id or None)

        def record(tx: Tx) -> Image:
            id = new.values.get("id") or self.clock.new_id()
            given = {**new.values, "id": id, "owner": owner, "properties": new.properties}
            image = Image(**given, created_at=tx.now, updated_at=tx.now)
            self._require_add(ctx, image)
            if tx.first(Image, id=id) is not None:
                raise Conflict(f"Image ID {id} already exists!")
            return tx.insert(image)

        return await self.db.write(record, ctx, why="created by request")

    async def find(self, ctx: Context, question: Question, limit: int) -> list[Image]:
        """Up to `limit` images that answer the question. Raises BadRequest for an unknown marker."""

        def look(tx: Tx) -> list[Image]:
            after = tx.first(Image, id=question.marker) if question.marker is not None else None
            if question.marker is not None and (after is None or not sight.sees(tx, ctx, after)):
                raise BadRequest(f"No image found with ID {question.marker[:100]}")
            return self._listings.page(tx, question.listing, after, limit)

        return await self.db.read(look)

    async def update(self, ctx: Context, id: str, wanted: list[Change]) -> Image:
        """Change fields and properties, all or none. Raises NotFound, Forbidden, Conflict, TooLarge."""

        def change(tx: Tx) -> Image:
            image = self._mine(tx, ctx, id, "modify_image", "You do not own this image")
            for one in wanted:
                if one.name == "visibility" and one.op != "remove":
                    sight.require_visibility(self.policy, ctx, one.value, image)
            new = changes.apply(image, wanted, is_admin=ctx.is_admin)
            return tx.change(image, **new, updated_at=tx.now) if wanted else image

        return await self.db.write(change, ctx, why="changed by request")

    async def delete(self, ctx: Context, id: str) -> None:
        """Forget the image; its bytes are removed where they are. Raises NotFound, Forbidden when protected."""

        def forget(tx: Tx) -> None:
            image = sight.seen(tx, ctx, id, "Failed to find image {id} to delete")
            sight.require(self.policy, ctx, "delete_image", image, "You do not own this image")
            if image.protected:
                raise Forbidden(f"Image {id} is protected and cannot be deleted.")
            for member in db.members_of(tx, id):
                tx.delete(member)
            tx.delete(image)
            self._let_go(tx, ctx, image)

        await self.db.write(forget, ctx, why="deleted by request")

    async def tag(self, ctx: Context, id: str, tag: str) -> None:
        """The image has the tag. Raises NotFound, Forbidden, TooLarge."""
        await self._retag(ctx, id, lambda tags: tags if tag in tags else (*tags, tag))

    async def untag(self, ctx: Context, id: str, tag: str) -> None:
        """The image has lost the tag. Raises NotFound also when it did not have it, Forbidden."""

        def without(tags: tuple[str, ...]) -> tuple[str, ...]:
            if tag not in tags:
                raise NotFound("The resource could not be found.")
            return tuple(one for one in tags if one != tag)

        await self._retag(ctx, id, without)

    async def deactivate(self, ctx: Context, id: str) -> None:
        """Nobody but administrators can get the bytes. Raises NotFound, Forbidden. Repeating changes nothing."""
        await self._restate(ctx, id, "deactivate", states.deactivated)

    async def reactivate(self, ctx: Context, id: str) -> None:
        """The bytes can be had again. Raises NotFound, Forbidden. Repeating changes nothing."""
        await self._restate(ctx, id, "reactivate", states.reactivated)

    # -- inside

    def _require_add(self, ctx: Context, image: Image) -> None:
        target = {**sight.target(image), "project_id": image.owner}
        if not self.policy.allows(ctx, "add_image", target):
            if image.owner != (ctx.project_id or None):
                raise Forbidden(f"You are not permitted to create images owned by '{image.owner}'")
            raise Forbidden("You are not authorized to complete add_image action.")
        sight.require_visibility(self.policy, ctx, image.visibility, image)

    async def _retag(self, ctx: Context, id: str, change: Callable[[tuple[str, ...]], tuple[str, ...]]) -> None:
        def write(tx: Tx) -> None:
            image = self._mine(tx, ctx, id, "modify_image", f"Not allowed to update tags for image {id}.")
            tags = change(image.tags)
            fields.check_counts(tags, image.properties)
            if tags != image.tags:
                tx.change(image, tags=tags, updated_at=tx.now)

        await self.db.write(write, ctx, why="tags changed by request")

    async def _restate(self, ctx: Context, id: str, rule: str, step: Callable[[str], str]) -> None:
        def write(tx: Tx) -> None:
            image = self._mine(tx, ctx, id, rule, f"You are not authorized to complete {rule} action.")
            status = step(image.status)
            if status != image.status:
                tx.change(image, status=status, updated_at=tx.now)

        await self.db.write(write, ctx, why=f"{rule}d by request")
