"""Who sees which image. What can't be seen is not found, whoever asks for it and whatever for."""

from typing import Any

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import Forbidden, NotFound
from micronova.image import db
from micronova.image.db import Image
from micronova.policy import Policy


def sees(tx: Tx, ctx: Context, image: Image) -> bool:
    """Whether the caller may know of the image: it is theirs, for all, or shared with them."""
    if ctx.is_admin or image.owner is None or image.visibility in ("public", "community"):
        return True
    if ctx.project_id and image.owner == ctx.project_id:
        return True
    return image.visibility == "shared" and db.member_of(tx, image.id, ctx.project_id) is not None


def seen(tx: Tx, ctx: Context, id: str, message: str = "No image found with ID {id}") -> Image:
    """The image, for a caller who sees it. Raises NotFound with `message`."""
    image = tx.first(Image, id=id)
    if image is None or not sees(tx, ctx, image):
        raise NotFound(message.format(id=id), id=id)
    return image


def target(image: Image, member_id: str = "") -> dict[str, Any]:
    """An image as policy sees it."""
    return {
        "project_id": image.owner,
        "owner": image.owner,
        "visibility": image.visibility,
        "member_id": member_id,
    }


def require(policy: Policy, ctx: Context, rule: str, image: Image, message: str) -> None:
    """Return when the caller passes `rule` for the image. Raises Forbidden with `message`."""
    if not policy.allows(ctx, rule, target(image)):
        raise Forbidden(message, rule=rule)


def require_visibility(policy: Policy, ctx: Context, visibility: str, image: Image) -> None:
    """Return when the caller may show the image to so many. Raises Forbidden naming the rule."""
    rule = {"public": "publicize_image", "community": "communitize_image"}.get(visibility)
    if rule is not None:
        policy.require(ctx, rule, target(image))
