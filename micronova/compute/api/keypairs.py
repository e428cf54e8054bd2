"""Key pairs on the wire.

{"keypair": {"name": "k", "type": "ssh", "public_key": "ssh-rsa …", "fingerprint": "1e:2c:…", "user_id": "…",
             "private_key": "-----BEGIN …"}}
"""

import re
from typing import Any, Literal

import msgspec

from micronova.compute import inputs
from micronova.compute.db import KeyPair
from micronova.compute.inputs import Name
from micronova.compute.keypairs import CreateKeyPair, KeyPairs, MadeKeyPair
from micronova.errors import BadRequest
from micronova.http import Answer, Request, Route

_RULE = "os_compute_api:os-keypairs:"
_PLAIN = r"\A[a-zA-Z0-9 _-]+\Z"
_WIDER = r"\A[a-zA-Z0-9@. _-]+\Z"


class _KeyPair(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    name: Name
    public_key: str | None = None
    type: Literal["ssh", "x509"] | None = None
    user_id: str | None = None


class _Create(msgspec.Struct, forbid_unknown_fields=True):
    keypair: _KeyPair


class KeyPairApi:
    """The handlers."""

    def __init__(self, keypairs: KeyPairs, most: int) -> None:
        self._keypairs = keypairs
        self._most = most

    async def list(self, request: Request) -> Any:
        inputs.known_query(request, "user_id", "limit", "marker")
        rows = await self._keypairs.list(request.ctx, _owner(request, "index"))
        if request.version < (2, 35):
            return {"keypairs": [{"keypair": show_short(request, row)} for row in rows]}
        chosen, more = inputs.page(rows, request, self._most, lambda row: row.name)
        body: dict[str, Any] = {"keypairs": [{"keypair": show_short(request, row)} for row in chosen]}
        if more:
            body["keypairs_links"] = inputs.next_link(request, "/v2.1/os-keypairs", chosen[-1].name)
        return body

    async def show(self, request: Request) -> Any:
        inputs.known_query(request, "user_id")
        row = await self._keypairs.get(request.ctx, _owner(request, "show"), request.path["name"])
        return {"keypair": show_keypair(request, row)}

    async def create(self, request: Request) -> Any:
        said = (await request.body(_Create)).keypair
        _check(request, said)
        user_id = said.user_id or request.ctx.user_id
        request.policy.require(request.ctx, f"{_RULE}create", {"user_id": user_id})
        made = await self._keypairs.create(
            request.ctx,
            CreateKeyPair(user_id=user_id, name=said.name, type=said.type or "ssh", public_key=said.public_key),
        )
        return Answer(status=201 if request.version >= (2, 2) else 200, body={"keypair": show_made(request, made)})

    async def delete(self, request: Request) -> Any:
        inputs.known_query(request, "user_id")
        await self._keypairs.delete(request.ctx, _owner(request, "delete"), request.path["name"])
        return Answer(status=204 if request.version >= (2, 2) else 202)


def routes(keypairs: KeyPairs, most: int = 1000) -> list[Route]:
    """The routes of key pairs; `most` is the length of a page."""
    api = KeyPairApi(keypairs, most)
    return [
        Route("GET", "/v2.1/os-keypairs", api.list),
        Route("POST", "/v2.1/os-keypairs", api.create),
        Route("GET", "/v2.1/os-keypairs/{name}", api.show),
        Route("DELETE", "/v2.1/os-keypairs/{name}", api.delete),
    ]


def show_short(request: Request, row: KeyPair) -> dict[str, Any]:
    """A key pair in a list."""
    shown: dict[str, Any] = {"name": row.name, "public_key": row.public_key, "fingerprint": row.fingerprint}
    if request.version >= (2, 2):
        shown["type"] = row.type
    return shown


def show_made(request: Request, made: MadeKeyPair) -> dict[str, Any]:
    """A key pair just created, with the private half that will never be shown again."""
    shown = {**show_short(request, made.row), "user_id": made.row.user_id}
    if made.private_key is not None:
        shown["private_key"] = made.private_key
    return shown


def show_keypair(request: Request, row: KeyPair) -> dict[str, Any]:
    """A key pair with all its facts."""
    return {
        **show_short(request, row),
        "user_id": row.user_id,
        "id": row.number,
        "created_at": inputs.bare(row.created_at),
        "updated_at": None,
        "deleted": False,
        "deleted_at": None,
    }


def _owner(request: Request, rule: str) -> str:
    """Whose key pairs are meant; raises Forbidden when the caller may not ask for that user's."""
    asked = request.get("user_id") if request.version >= (2, 10) else None
    user_id = asked or request.ctx.user_id
    request.policy.require(request.ctx, f"{_RULE}{rule}", {"user_id": user_id})
    return user_id


def _check(request: Request, said: _KeyPair) -> None:
    """Raises BadRequest for what this microversion does not have."""
    version = request.version
    if re.search(_WIDER if version >= (2, 92) else _PLAIN, said.name) is None:
        raise BadRequest("Keypair data is invalid: Keypair name contains unsafe characters")
    if said.type is not None and version < (2, 2):
        raise BadRequest("Additional properties are not allowed ('type' was unexpected)")
    if said.user_id is not None and version < (2, 10):
        raise BadRequest("Additional properties are not allowed ('user_id' was unexpected)")
    if said.public_key is None and version >= (2, 92):
        raise BadRequest("Invalid input for field/attribute keypair. 'public_key' is a required property")
