"""Rows of the identity room and the questions asked of them; no decisions.

A domain is a project that acts as one: its `domain_id` is "" and `is_domain` is true. `extra` holds fields of a request
that Keystone keeps without knowing them.
"""

from datetime import datetime
from typing import Annotated, Any, ClassVar, TypeVar

import sqlalchemy as sa

from micronova.db import INDEX, KEY, SECRET, Row, Tx, table
from micronova.errors import NotFound
from micronova.identity.keys import TokenKey

SYSTEM = "system"
"""What an assignment on the whole cloud has as its target."""
EPOCH = "identity"

R = TypeVar("R", bound=Row)


class Epoch(Row, frozen=True, kw_only=True):
    """Counts up with every change that may end or alter a token. One row."""

    TABLE: ClassVar[str] = "identity_epoch"
    JOURNAL: ClassVar[bool] = False

    id: Annotated[str, KEY]
    number: int


class Project(Row, frozen=True, kw_only=True):
    """A project, or a domain. Tokens carry `token_epoch`; older ones do not count."""

    TABLE: ClassVar[str] = "projects"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("domain_id", "name"),)

    id: Annotated[str, KEY]
    name: str
    domain_id: str
    parent_id: Annotated[str | None, INDEX] = None
    is_domain: bool = False
    enabled: bool = True
    description: str = ""
    tags: tuple[str, ...] = ()
    options: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    token_epoch: int = 0


class User(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "users"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("domain_id", "name"),)

    id: Annotated[str, KEY]
    name: str
    domain_id: str
    default_project_id: str | None = None
    enabled: bool = True
    password_hash: Annotated[str, SECRET] = ""
    options: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    token_epoch: int = 0


class Group(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "groups"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("domain_id", "name"),)

    id: Annotated[str, KEY]
    name: str
    domain_id: str
    description: str = ""
    extra: dict[str, Any] = {}


class Membership(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "group_members"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("user_id", "group_id"),)

    id: Annotated[str, KEY]
    user_id: str
    group_id: Annotated[str, INDEX]


class Role(Row, frozen=True, kw_only=True):
    """`domain_id` "" means the role can be given everywhere."""

    TABLE: ClassVar[str] = "roles"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("domain_id", "name"),)

    id: Annotated[str, KEY]
    name: str
    domain_id: str = ""
    description: str | None = None
    options: dict[str, Any] = {}
    extra: dict[str, Any] = {}


class Implied(Row, frozen=True, kw_only=True):
    """Who has the prior role has the implied one too."""

    TABLE: ClassVar[str] = "implied_roles"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("prior_id", "implied_id"),)

    id: Annotated[str, KEY]
    prior_id: str
    implied_id: str


class Assignment(Row, frozen=True, kw_only=True):
    """A role of a user or group on a project, domain or the system; `inherited` means on what lies below instead."""

    TABLE: ClassVar[str] = "role_assignments"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("actor_id", "target_id", "role_id", "inherited"),)

    id: Annotated[str, KEY]
    actor: str
    """user or group"""
    actor_id: str
    target: str
    """project, domain or system"""
    target_id: Annotated[str, INDEX]
    role_id: Annotated[str, INDEX]
    inherited: bool = False


class Region(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "regions"

    id: Annotated[str, KEY]
    parent_region_id: str | None = None
    description: str = ""
    extra: dict[str, Any] = {}


class CatalogService(Row, frozen=True, kw_only=True):
    TABLE: ClassVar[str] = "catalog_services"

    id: Annotated[str, KEY]
    type: str
    name: str | None = None
    description: str | None = None
    enabled: bool = True
    extra: dict[str, Any] = {}


class Endpoint(Row, frozen=True, kw_only=True):
    """A `url` that starts with "/" is shown behind the address the client used."""

    TABLE: ClassVar[str] = "endpoints"

    id: Annotated[str, KEY]
    service_id: Annotated[str, INDEX]
    region_id: str | None = None
    interface: str
    url: str
    enabled: bool = True
    extra: dict[str, Any] = {}


class AppCredential(Row, frozen=True, kw_only=True):
    """A password of a user's own for a program, good for some roles in one project."""

    TABLE: ClassVar[str] = "application_credentials"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("user_id", "name"),)

    id: Annotated[str, KEY]
    name: str
    user_id: str
    project_id: Annotated[str, INDEX]
    description: str | None = None
    secret_hash: Annotated[str, SECRET]
    role_ids: tuple[str, ...]
    unrestricted: bool = False
    expires_at: datetime | None = None


class Credential(Row, frozen=True, kw_only=True):
    """A secret that is kept for a user, e.g. an EC2 key pair (type ec2)."""

    TABLE: ClassVar[str] = "credentials"

    id: Annotated[str, KEY]
    user_id: Annotated[str, INDEX]
    project_id: str | None = None
    type: str
    blob: Annotated[str, SECRET]


class Revocation(Row, frozen=True, kw_only=True):
    """A token that was given back before it expired, by its audit id."""

    TABLE: ClassVar[str] = "revoked_tokens"
    JOURNAL: ClassVar[bool] = False

    id: Annotated[str, KEY]
    expires_at: Annotated[datetime, INDEX]


ROWS: tuple[type[Row], ...] = (
    Epoch,
    Project,
    User,
    Group,
    Membership,
    Role,
    Implied,
    Assignment,
    Region,
    CatalogService,
    Endpoint,
    AppCredential,
    Credential,
    Revocation,
    TokenKey,
)

NOUNS: dict[type[Row], str] = {
    Project: "project",
    User: "user",
    Group: "group",
    Role: "role",
    Region: "region",
    CatalogService: "service",
    Endpoint: "endpoint",
    AppCredential: "Application Credential",
    Credential: "credential",
}
"""What Keystone calls a row in a message."""

_EPOCHS = table(Epoch)
_EPOCH = sa.select(_EPOCHS.c.number).where(_EPOCHS.c.id == EPOCH)


def epoch(tx: Tx) -> int:
    """How often something changed that may end or alter a token."""
    found = tx.values(_EPOCH)
    return int(found[0][0]) if found else 0


def advance(tx: Tx) -> None:
    """Have every process look at every token anew, from this transaction's commit on."""
    row = tx.first(Epoch, id=EPOCH)
    if row is None:
        tx.insert(Epoch(id=EPOCH, number=1))
    else:
        tx.change(row, number=row.number + 1)


def missing(noun: str, id: str) -> NotFound:
    return NotFound(f"Could not find {noun}: {id}.", id=id)


def get(tx: Tx, cls: type[R], id: str) -> R:
    """The row with this id. Raises NotFound in Keystone's words."""
    row = tx.first(cls, id=id)
    if row is None:
        raise missing(NOUNS[cls], id)
    return row


def get_domain(tx: Tx, id: str) -> Project:
    """Raises NotFound when there is no such domain."""
    row = tx.first(Project, id=id)
    if row is None or not row.is_domain:
        raise missing("domain", id)
    return row


def domain_by_name(tx: Tx, name: str) -> Project | None:
    return tx.first(Project, domain_id="", name=name)


def ancestors(tx: Tx, project: Project) -> list[Project]:
    """The projects above, nearest first, up to the domain."""
    found: list[Project] = []
    parent = project.parent_id
    while parent and len(found) < 100:
        row = tx.first(Project, id=parent)
        if row is None:
            break
        found.append(row)
        parent = row.parent_id
    return found


def descendants(tx: Tx, project_id: str) -> list[Project]:
    """The projects below, level by level."""
    found: list[Project] = []
    level = [project_id]
    while level:
        rows = tx.find(Project, parent_id=level, is_domain=False)
        found += rows
        level = [row.id for row in rows]
    return found


def groups_of(tx: Tx, user_id: str) -> list[str]:
    """Ids of the groups a user is in."""
    return [row.group_id for row in tx.find(Membership, user_id=user_id)]


def implications(tx: Tx) -> dict[str, list[str]]:
    """Role id to the ids of roles that it implies directly."""
    found: dict[str, list[str]] = {}
    for row in tx.find(Implied):
        found.setdefault(row.prior_id, []).append(row.implied_id)
    return found


def expand(role_ids: set[str], implied: dict[str, list[str]]) -> set[str]:
    """The roles and all they imply, directly or not."""
    found = set(role_ids)
    todo = list(role_ids)
    while todo:
        for id in implied.get(todo.pop(), ()):
            if id not in found:
                found.add(id)
                todo.append(id)
    return found


def effective_roles(tx: Tx, user_id: str, target: Project | None) -> list[Role]:
    """The roles a user has on a project, a domain or (None) the system: own, by groups, inherited, implied.

    Roles of a domain only stand for what they imply. Sorted by name.
    """
    actors = [user_id, *groups_of(tx, user_id)]
    above: set[str] = set()
    if target is not None and not target.is_domain:
        above = {target.domain_id} | {row.id for row in ancestors(tx, target)}
    here = SYSTEM if target is None else target.id
    rows = tx.find(Assignment, actor_id=actors, target_id=[here, *above])
    held = {row.role_id for row in rows if row.inherited == (row.target_id != here)}
    if not held:
        return []
    roles = tx.find(Role, id=list(expand(held, implications(tx))), domain_id="")
    return sorted(roles, key=lambda role: role.name)
