"""Members of images over HTTP.

{"image_id": "…", "member_id": "…", "status": "pending", "created_at": "…", "updated_at": "…",
 "schema": "/v2/schemas/member"}
"""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from micronova.clock import iso
from micronova.http import Answer, Request, Route
from micronova.image.db import Member
from micronova.image.members import Members

MEMBERS = "/v2/images/{image_id}/members"
PROJECT = r"^[^\x00-\x1f\x7f]+$"


class AddMember(msgspec.Struct):
    member: Annotated[str, Meta(min_length=1, max_length=255, pattern=PROJECT)]


class AnswerMember(msgspec.Struct):
    status: str


class MembersApi:
    """Handlers over the members of images."""

    def __init__(self, members: Members) -> None:
        self._members = members

    def routes(self) -> list[Route]:
        """What this part of the API answers."""
        one = MEMBERS + "/{member_id}"
        return [
            Route("GET", MEMBERS, self.index),
            Route("POST", MEMBERS, self.create),
            Route("GET", one, self.show),
            Route("PUT", one, self.update),
            Route("DELETE", one, self.delete),
        ]

    async def index(self, request: Request) -> Any:
        found = await self._members.of(request.ctx, request.path["image_id"])
        return {"members": [show_member(member) for member in found], "schema": "/v2/schemas/members"}

    async def create(self, request: Request) -> Any:
        body = await request.body(AddMember)
        return show_member(await self._members.add(request.ctx, request.path["image_id"], body.member))

    async def show(self, request: Request) -> Any:
        return show_member(await self._members.get(request.ctx, *_ids(request)))

    async def update(self, request: Request) -> Any:
        body = await request.body(AnswerMember)
        return show_member(await self._members.answer(request.ctx, *_ids(request), body.status))

    async def delete(self, request: Request) -> Answer:
        await self._members.remove(request.ctx, *_ids(request))
        return Answer(status=204)


def _ids(request: Request) -> tuple[str, str]:
    return request.path["image_id"], request.path["member_id"]


def show_member(member: Member) -> dict[str, Any]:
    """The wire's shape of a membership."""
    return {
        "image_id": member.image_id,
        "member_id": member.member_id,
        "status": member.status,
        "created_at": iso(member.created_at),
        "updated_at": iso(member.updated_at),
        "schema": "/v2/schemas/member",
    }
