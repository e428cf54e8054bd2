"""What volume types and group types share on the wire: a name, who sees them, and specs, which are texts by their keys.

{"extra_specs": {"volume_backend_name": "ssd"}} for volume types, {"group_specs": {"key": "value"}} for group types.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from micronova.context import Context
from micronova.errors import BadRequest, NotFound
from micronova.http import Answer, Request
from micronova.volume.api import inputs
from micronova.volume.api.inputs import Name

ACCEPTED = Answer(status=202)
_KEY = re.compile(r"[\w\-:. ]+")
TypeName = Annotated[str, Meta(min_length=1, max_length=255)]
Specs = dict[str, str | int | float | bool]
R = TypeVar("R")


class Changed(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a request may change of either kind."""

    name: str | UnsetType | None = UNSET
    description: Name | UnsetType | None = UNSET
    is_public: bool | str | UnsetType = UNSET


class Keeper(Protocol):
    """The part of the manager that keeps the kinds."""

    async def get(self, ctx: Context, id: str) -> Any: ...

    async def set_specs(self, ctx: Context, id: str, specs: Mapping[str, str]) -> Any: ...

    async def unset_spec(self, ctx: Context, id: str, key: str) -> None: ...


class SpecApi:
    """The handlers of a kind's specs, which are its row's `field`."""

    def __init__(self, keeper: Keeper, field: str, noun: str, status: int = 200) -> None:
        self._keeper = keeper
        self._field = field
        self._noun = noun
        self._status = status

    async def _get(self, request: Request) -> dict[str, str]:
        found: dict[str, str] = getattr(await self._keeper.get(request.ctx, request.path["id"]), self._field)
        return found

    async def list(self, request: Request) -> Any:
        return {self._field: await self._get(request)}

    async def create(self, request: Request) -> Any:
        body = await request.body(dict[str, Specs])
        if list(body) != [self._field]:
            raise BadRequest(f"Invalid input for field/attribute body. '{self._field}' is all that is expected")
        said = specs_of(body[self._field])
        await self._keeper.set_specs(request.ctx, request.path["id"], said)
        return Answer(status=self._status, body={self._field: said})

    async def show(self, request: Request) -> Any:
        specs, key = await self._get(request), request.path["key"]
        if key not in specs:
            raise NotFound(f"{self._noun} {request.path['id']} has no specs with key {key}.")
        return {key: specs[key]}

    async def update(self, request: Request) -> Any:
        await self._get(request)
        said, key = specs_of(await request.body(Specs)), request.path["key"]
        if list(said) != [key]:
            raise BadRequest(
                "Request body and URI mismatch" if len(said) <= 1 else "Request body contains too many items"
            )
        await self._keeper.set_specs(request.ctx, request.path["id"], said)
        return said

    async def delete(self, request: Request) -> Any:
        await self._keeper.unset_spec(request.ctx, request.path["id"], request.path["key"])
        return ACCEPTED


def new_values(name: str, description: str | None, is_public: bool | str) -> dict[str, Any]:
    """What a new row of either kind holds. Raises BadRequest for a blank name."""
    if not name.strip():
        raise BadRequest("Invalid input for field/attribute name. It must not be blank.")
    return {
        "name": name.strip(),
        "description": description,
        "is_public": inputs.flag(is_public, "is_public"),
    }


def changed_values(said: Changed, noun: str) -> dict[str, Any]:
    """What of a row changes. Raises BadRequest when that is nothing, and for a blank name."""
    values: dict[str, Any] = {}
    if said.name is not UNSET and said.name is not None:
        if not said.name.strip():
            raise BadRequest(f"{noun} name can not be empty.")
        values["name"] = said.name.strip()
    if said.description is not UNSET:
        values["description"] = said.description
    if said.is_public is not UNSET:
        values["is_public"] = inputs.flag(said.is_public, "is_public")
    if not values:
        raise BadRequest(f"Specify {noun.lower()} name, description, is_public or a combination thereof.")
    return values


def specs_of(said: Specs) -> dict[str, str]:
    """Specs as they are kept: texts. Raises BadRequest for a key that is none."""
    for key in said:
        if not _KEY.fullmatch(key) or len(key) > 255:
            raise BadRequest(f"Invalid input for field/attribute specs. {key!r} is no valid key.")
    return {key: str(value) for key, value in said.items()}


def page(rows: Sequence[R], marker: str | None, offset: int, limit: int) -> Sequence[R]:
    """The rows after the one whose id is `marker`, from the first when there is none."""
    ids = [getattr(row, "id", "") for row in rows]
    start = ids.index(marker) + 1 if marker in ids else 0
    return rows[start + offset :][:limit]
