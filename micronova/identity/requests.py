"""What requests to identity may carry, and how bodies are read.

Keystone keeps fields it does not know of users, groups, projects, domains, roles and catalog rows and shows them again:
`resource` hands them over as `extra`. Where Keystone refuses unknown fields the struct forbids them.
"""

from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from micronova.errors import BadRequest
from micronova.http import Request, explain

T = TypeVar("T", bound=msgspec.Struct)

_PRINTABLE = r"\A(?=[\s\S]*\S)[^\x00-\x1f\x7f]*\Z"
Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=_PRINTABLE)]
ShortName = Annotated[str, Meta(min_length=1, max_length=64, pattern=_PRINTABLE)]
Id = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"\A[a-zA-Z0-9-]+\Z")]
Text = Annotated[str, Meta(max_length=65_535)]
Password = Annotated[str, Meta(max_length=4096)]
Tag = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A[^,/\x00-\x1f\x7f]*\Z")]
Tags = Annotated[tuple[Tag, ...], Meta(max_length=80)]
Url = Annotated[str, Meta(min_length=1, max_length=8192, pattern=r"\A[^\s\x00-\x1f\x7f]+\Z")]


class Options(msgspec.Struct, omit_defaults=True):
    """Options of a resource that we act on."""

    immutable: bool | UnsetType | None = UNSET


# -- POST /v3/auth/tokens


class DomainRef(msgspec.Struct):
    id: str | None = None
    name: str | None = None


class UserRef(msgspec.Struct):
    id: str | None = None
    name: str | None = None
    domain: DomainRef | None = None
    password: str | None = None


class ProjectRef(msgspec.Struct):
    id: str | None = None
    name: str | None = None
    domain: DomainRef | None = None


class PasswordProof(msgspec.Struct):
    user: UserRef


class TokenProof(msgspec.Struct):
    id: str


class AppCredentialProof(msgspec.Struct):
    secret: str
    id: str | None = None
    name: str | None = None
    user: UserRef | None = None


class Proofs(msgspec.Struct):
    methods: list[str]
    password: PasswordProof | None = None
    token: TokenProof | None = None
    application_credential: AppCredentialProof | None = None


class SystemRef(msgspec.Struct):
    all: bool = False


class Scope(msgspec.Struct):
    project: ProjectRef | None = None
    domain: DomainRef | None = None
    system: SystemRef | None = None
    unscoped: dict[str, Any] | None = None


class Auth(msgspec.Struct):
    identity: Proofs
    scope: Scope | str | None = None


class AuthBody(msgspec.Struct):
    auth: Auth


# -- resources; every field may be absent, create says which must not


class DomainBody(msgspec.Struct):
    name: ShortName | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    options: Options | UnsetType = UNSET


class ProjectBody(msgspec.Struct):
    name: ShortName | UnsetType = UNSET
    domain_id: Id | UnsetType | None = UNSET
    parent_id: Id | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    is_domain: bool | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    options: Options | UnsetType = UNSET


class UserBody(msgspec.Struct):
    name: Name | UnsetType = UNSET
    domain_id: Id | UnsetType = UNSET
    default_project_id: Id | UnsetType | None = UNSET
    password: Password | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET
    options: dict[str, Any] | UnsetType = UNSET


class GroupBody(msgspec.Struct):
    name: ShortName | UnsetType = UNSET
    domain_id: Id | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET


class RoleBody(msgspec.Struct):
    name: Name | UnsetType = UNSET
    domain_id: Id | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET
    options: Options | UnsetType = UNSET


class RegionBody(msgspec.Struct):
    id: Annotated[str, Meta(max_length=255, pattern=r"\A[^\x00-\x1f\x7f/]*\Z")] | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET
    parent_region_id: str | UnsetType | None = UNSET


class ServiceBody(msgspec.Struct):
    type: Name | UnsetType = UNSET
    name: Annotated[str, Meta(max_length=255)] | UnsetType | None = UNSET
    description: Text | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


class EndpointBody(msgspec.Struct):
    service_id: str | UnsetType = UNSET
    interface: Annotated[str, Meta(pattern=r"\A(public|internal|admin)\Z")] | UnsetType = UNSET
    url: Url | UnsetType = UNSET
    region_id: str | UnsetType | None = UNSET
    region: str | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


class PasswordChange(msgspec.Struct, forbid_unknown_fields=True):
    original_password: str
    password: Password


class PasswordChangeBody(msgspec.Struct):
    user: PasswordChange


class RoleRef(msgspec.Struct, forbid_unknown_fields=True):
    id: str | None = None
    name: str | None = None


class AppCredentialBody(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    description: Text | None = None
    secret: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    expires_at: datetime | None = None
    roles: list[RoleRef] | None = None
    unrestricted: bool | None = None
    access_rules: list[dict[str, Any]] | None = None
    project_id: str | None = None
    system: str | None = None
    id: str | None = None


class CredentialBody(msgspec.Struct):
    type: Name | UnsetType = UNSET
    blob: Text | UnsetType = UNSET
    user_id: str | UnsetType = UNSET
    project_id: str | UnsetType | None = UNSET


# -- reading them

NEVER_EXTRA = frozenset(("id", "links", "original_password", "password_expires_at", "password", "tenant_id"))


async def resource(request: Request, noun: str, kind: type[T]) -> tuple[T, dict[str, Any]]:
    """The body `{noun: {...}}` as `kind`, and its fields that `kind` does not know. Raises BadRequest."""
    return _split(await _fields(request, noun), noun, kind)


async def update(request: Request, noun: str, kind: type[T], id: str) -> tuple[T, dict[str, Any]]:
    """Like `resource`, for a PATCH. Raises BadRequest when the body names another id too."""
    fields = await _fields(request, noun)
    if fields.get("id", id) != id:
        raise BadRequest(f"Cannot change {noun} ID")
    return _split(fields, noun, kind)


async def _fields(request: Request, noun: str) -> dict[str, Any]:
    fields = (await request.body(dict[str, Any])).get(noun)
    if not isinstance(fields, dict):
        raise BadRequest(
            f"Expecting to find {noun} in request body. The server could not comply with the request since it is "
            "either malformed or otherwise incorrect. The client is assumed to be in error."
        )
    return fields


def _split(fields: dict[str, Any], noun: str, kind: type[T]) -> tuple[T, dict[str, Any]]:
    try:
        known = msgspec.convert(fields, kind, strict=True)
    except msgspec.ValidationError as err:
        raise BadRequest(f"Invalid input for field '{noun}': {explain(err)}") from err
    names = NEVER_EXTRA.union(kind.__struct_fields__)
    return known, {name: value for name, value in fields.items() if name not in names}


def given(body: msgspec.Struct, *names: str) -> dict[str, Any]:
    """Those of the named fields that the request carries."""
    found = {name: getattr(body, name) for name in names}
    return {name: value for name, value in found.items() if value is not UNSET}


def need(value: Any, field: str, noun: str) -> Any:
    """`value`. Raises BadRequest when the request lacks it."""
    if value is UNSET or value is None:
        raise BadRequest(f"Invalid input for field '{noun}': '{field}' is a required property")
    return value
