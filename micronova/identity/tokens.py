"""What a token carries: who, where, how proven, until when. Sealed, never stored.

A token counts while its user's and its scope's `token_epoch` are those it was made with, its audit id was not revoked
and its user still has a role there; all of that is looked up when the identity epoch has moved (authentication.py).
"""

import base64
import re
from datetime import datetime
from typing import Any

import msgspec

from micronova.db.rows import micros, moment
from micronova.identity.keys import Keys

VERSION = 1
LONGEST = 1024
"""Characters of a token; longer texts are none of ours."""
METHODS = ("password", "token", "application_credential")

PROJECT, DOMAIN, SYSTEM, UNSCOPED = "project", "domain", "system", ""
_KINDS = (UNSCOPED, PROJECT, DOMAIN, SYSTEM)


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """`kind` is project, domain, system or "". `audit_ids`: the token's own and, after a rescope, the first one's."""

    user_id: str
    kind: str = UNSCOPED
    scope_id: str = ""
    methods: tuple[str, ...]
    issued_at: datetime
    expires_at: datetime
    audit_ids: tuple[str, ...]
    user_epoch: int
    scope_epoch: int = 0
    app_credential_id: str = ""


class _Wire(msgspec.Struct, array_like=True):
    """What is sealed. Ids that are 32 hexadecimal digits travel as 16 bytes, others as text."""

    version: int
    user: Any
    kind: int
    scope: Any
    methods: int
    issued: int
    lasts: int
    audit: tuple[str, ...]
    epochs: tuple[int, int]
    app_credential: Any


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Wire).decode
_HEX = re.compile(r"[0-9a-f]{32}").fullmatch


def seal(claims: Claims, keys: Keys) -> str:
    """The token that carries `claims`."""
    issued = micros(claims.issued_at)
    wire = _Wire(
        VERSION,
        _pack(claims.user_id),
        _KINDS.index(claims.kind),
        _pack(claims.scope_id),
        sum(1 << METHODS.index(method) for method in claims.methods),
        issued,
        micros(claims.expires_at) - issued,
        claims.audit_ids,
        (claims.user_epoch, claims.scope_epoch),
        _pack(claims.app_credential_id),
    )
    return keys.seal(_encode(wire))


def unseal(token: str, keys: Keys) -> Claims | None:
    """What a token carries, None when it is not one of ours. Says nothing of whether it still counts."""
    if len(token) > LONGEST or not token.isascii():
        return None
    data = keys.open(token)
    if data is None:
        return None
    try:
        wire = _decode(data)
    except msgspec.DecodeError:
        return None
    if wire.version != VERSION:
        return None
    return Claims(
        user_id=_unpack(wire.user),
        kind=_KINDS[wire.kind],
        scope_id=_unpack(wire.scope),
        methods=tuple(name for i, name in enumerate(METHODS) if wire.methods >> i & 1),
        issued_at=moment(wire.issued),
        expires_at=moment(wire.issued + wire.lasts),
        audit_ids=wire.audit,
        user_epoch=wire.epochs[0],
        scope_epoch=wire.epochs[1],
        app_credential_id=_unpack(wire.app_credential),
    )


def audit_id(chance: bytes) -> str:
    """The name of one token in audits and revocations."""
    return base64.urlsafe_b64encode(chance).rstrip(b"=").decode()


def _pack(id: str) -> bytes | str:
    return bytes.fromhex(id) if _HEX(id) else id


def _unpack(id: bytes | str) -> str:
    return id.hex() if isinstance(id, bytes) else id
