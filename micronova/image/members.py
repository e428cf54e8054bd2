"""Members: projects that the owner of a shared image lets use it, once they accept."""

from functools import partial

from micronova.clock import Clock
from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import BadRequest, Conflict, Forbidden, NotFound, TooLarge
from micronova.image import db, sight
from micronova.image.db import Image, Member
from micronova.policy import Policy

STATUSES = ("pending", "accepted", "rejected")
MOST = 128
_HIDDEN = "Image {id} not found."


class Members:
    """Who shares which image."""

    def __init__(self, database: Database, clock: Clock, policy: Policy) -> None:
        self._db = database
        self._clock = clock
        self._policy = policy

    async def add(self, ctx: Context, image_id: str, member_id: str) -> Member:
        """Offer the image to a project. Raises NotFound, Forbidden, Conflict when it was offered, TooLarge."""

        def record(tx: Tx) -> Member:
            image = sight.seen(tx, ctx, image_id, _HIDDEN)
            refusal = f"Not allowed to create members for image {image_id}."
            _require_shared(image, refusal)
            sight.require(self._policy, ctx, "add_member", image, refusal)
            if db.member_of(tx, image_id, member_id) is not None:
                raise Conflict(f"Member {member_id} is duplicated for image {image_id}")
            if tx.count(Member, image_id=image_id) >= MOST:
                raise TooLarge(
                    f"Image member limit exceeded for image {image_id}: Attempted: {MOST + 1}, Maximum: {MOST}"
                )
            member = Member(
                id=self._clock.new_id(),
                image_id=image_id,
                member_id=member_id,
                created_at=tx.now,
                updated_at=tx.now,
            )
            return tx.insert(member)

        return await self._db.write(record, ctx, why="shared by its owner")

    async def of(self, ctx: Context, image_id: str) -> list[Member]:
        """The members that the caller may know of: all for the owner, themselves for a member.

        Raises NotFound, Forbidden when the image is not shared.
        """
        return await self._db.read(partial(self._of, ctx=ctx, image_id=image_id))

    def _of(self, tx: Tx, ctx: Context, image_id: str) -> list[Member]:
        image = sight.seen(tx, ctx, image_id, _HIDDEN)
        refusal = f"Not allowed to list members for image {image_id}: "
        _require_shared(image, refusal + "Only shared images have members.")
        if not self._policy.allows(ctx, "get_members", sight.target(image, ctx.project_id)):
            raise Forbidden(refusal + "the policy forbids it.")
        found = db.members_of(tx, image_id)
        if ctx.is_admin or image.owner == ctx.project_id:
            return found
        return [member for member in found if member.member_id == ctx.project_id]

    async def get(self, ctx: Context, image_id: str, member_id: str) -> Member:
        """One membership. Raises NotFound also when the image is not shared."""

        def look(tx: Tx) -> Member:
            image = sight.seen(tx, ctx, image_id, _HIDDEN)
            if image.visibility != "shared":
                raise NotFound("Only shared images have members.")
            return self._member(tx, ctx, image, member_id)

        return await self._db.read(look)

    async def answer(self, ctx: Context, image_id: str, member_id: str, status: str) -> Member:
        """Note whether the member wants the image: pending, accepted or rejected.

        Raises NotFound, Forbidden for anybody but the member, BadRequest.
        """

        def change(tx: Tx) -> Member:
            image = sight.seen(tx, ctx, image_id, _HIDDEN)
            refusal = f"Not allowed to update members for image {image_id}."
            _require_shared(image, refusal)
            member = self._member(tx, ctx, image, member_id)
            if not self._policy.allows(ctx, "modify_member", sight.target(image, member_id)):
                raise Forbidden(refusal)
            if status not in STATUSES:
                raise BadRequest('Incorrect request: Status must be "pending", "accepted" or "rejected".')
            return tx.change(member, status=status, updated_at=tx.now)

        return await self._db.write(change, ctx, why=f"the member said {status[:20]}")

    async def remove(self, ctx: Context, image_id: str, member_id: str) -> None:
        """Take the image back from a project. Raises NotFound, Forbidden for anybody but the owner."""

        def forget(tx: Tx) -> None:
            image = sight.seen(tx, ctx, image_id, _HIDDEN)
            refusal = f"Not allowed to delete members for image {image_id}."
            _require_shared(image, refusal)
            sight.require(self._policy, ctx, "delete_member", image, refusal)
            tx.delete(self._member(tx, ctx, image, member_id))

        await self._db.write(forget, ctx, why="taken back by its owner")

    def _member(self, tx: Tx, ctx: Context, image: Image, member_id: str) -> Member:
        member = db.member_of(tx, image.id, member_id)
        mine = ctx.is_admin or ctx.project_id in (image.owner, member_id)
        if member is None or not mine:
            raise NotFound(f"{member_id} not found in the member list of the image {image.id}.")
        return member


def _require_shared(image: Image, refusal: str) -> None:
    if image.visibility != "shared":
        raise Forbidden(refusal)
