"""Sessions: what a token says and whether it still counts, decided within one consistent view of the database."""

from typing import NoReturn

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, Unauthorized
from micronova.identity import db
from micronova.identity.db import AppCredential, Project, Revocation, Role, User
from micronova.identity.requests import AppCredentialProof, DomainRef, ProjectRef, Scope, UserRef
from micronova.identity.tokens import DOMAIN, PROJECT, SYSTEM, UNSCOPED, Claims

REMEMBERED = 5_000
"""Standings that are remembered by a process."""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A token that counts, and all it says. `scope` is a project, a domain, or None for the system and nowhere."""

    epoch: int
    claims: Claims
    user: User
    user_domain: Project
    scope: Project | None
    scope_domain: Project | None
    roles: tuple[Role, ...]
    app_credential: AppCredential | None
    context: Context


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """How a user stood in a scope at one identity epoch: both are enabled, and these are the roles."""

    epoch: int
    user: User
    user_domain: Project
    scope: Project | None
    scope_domain: Project | None
    roles: tuple[Role, ...]


class Memory:
    """Standings by user, kind and id of the scope. Each counts for its own epoch only, so threads may race here."""

    def __init__(self) -> None:
        self.epoch = -1
        self.standings: dict[tuple[str, str, str], Standing] = {}

    def keep(self, epoch: int, key: tuple[str, str, str], found: Standing) -> None:
        """Remember one standing; those of an earlier epoch are forgotten."""
        if epoch != self.epoch or len(self.standings) >= REMEMBERED:
            self.standings.clear()
            self.epoch = epoch
        self.standings[key] = found


def refuse() -> NoReturn:
    """Keystone says the same whatever was wrong."""
    raise Unauthorized("The request you have made requires authentication.")


def expecting(attribute: str, target: str) -> BadRequest:
    return BadRequest(
        f"Expecting to find {attribute} in {target}. The server could not comply with the request since it is either "
        "malformed or otherwise incorrect. The client is assumed to be in error."
    )


def check_user_ref(ref: UserRef) -> None:
    """Raises BadRequest when it can't name a user."""
    if ref.id is None and ref.name is None:
        raise BadRequest("Invalid input for field identity/password/user: id or name must be present.")
    if ref.id is None and (ref.domain is None or (ref.domain.id is None and ref.domain.name is None)):
        raise expecting("domain", "user")


def look(tx: Tx, claims: Claims, memory: Memory | None = None) -> Session:
    """What a token with these claims says now. Raises Unauthorized when it does not count."""
    if tx.first(Revocation, id=claims.audit_ids[0]) is not None:
        refuse()
    return session(tx, claims, standing(tx, claims.user_id, claims.kind, claims.scope_id, memory))


def session(tx: Tx, claims: Claims, place: Standing) -> Session:
    """The claims put together with what is so now. Raises Unauthorized when they are of an earlier time."""
    scope_epoch = place.scope.token_epoch if place.scope else 0
    if place.user.token_epoch != claims.user_epoch or scope_epoch != claims.scope_epoch:
        refuse()
    roles, app_credential = place.roles, None
    if claims.app_credential_id:
        app_credential = tx.first(AppCredential, id=claims.app_credential_id)
        roles = _limited(tx, roles, app_credential)
    return Session(
        epoch=place.epoch,
        claims=claims,
        user=place.user,
        user_domain=place.user_domain,
        scope=place.scope,
        scope_domain=place.scope_domain,
        roles=roles,
        app_credential=app_credential,
        context=_context(claims, place.user, place.scope, roles),
    )


def standing(tx: Tx, user_id: str, kind: str, scope_id: str, memory: Memory | None = None) -> Standing:
    """How a user stands in a scope. Raises Unauthorized when it has no role there, or something is disabled."""
    epoch = db.epoch(tx)
    key = (user_id, kind, scope_id)
    known = memory.standings.get(key) if memory is not None else None
    if known is not None and known.epoch == epoch:
        return known
    user = tx.first(User, id=user_id)
    if user is None or not user.enabled:
        refuse()
    user_domain = _enabled(tx, user.domain_id)
    scope = scope_domain = None
    if kind in (PROJECT, DOMAIN):
        scope = scope_domain = _enabled(tx, scope_id)
        if not scope.is_domain:
            scope_domain = _enabled(tx, scope.domain_id)
    roles = tuple(db.effective_roles(tx, user.id, scope)) if kind != UNSCOPED else ()
    if kind != UNSCOPED and not roles:
        refuse()
    found = Standing(
        epoch=epoch, user=user, user_domain=user_domain, scope=scope, scope_domain=scope_domain, roles=roles
    )
    if memory is not None:
        memory.keep(epoch, key, found)
    return found


def begin(tx: Tx, plain: Claims, wanted: Scope | str | None, memory: Memory | None = None) -> Session:
    """A session of the user in the scope that was asked for. Raises Unauthorized when there is none."""
    if plain.app_credential_id:
        if wanted not in (None, "unscoped"):
            refuse()
        credential = tx.first(AppCredential, id=plain.app_credential_id)
        if credential is None:
            refuse()
        return _scoped(tx, plain, PROJECT, credential.project_id, memory)
    match wanted:
        case None:
            return _by_default(tx, plain, memory)
        case Scope(project=ProjectRef() as ref):
            return _scoped(tx, plain, PROJECT, _project_id(tx, ref), memory)
        case Scope(domain=DomainRef() as ref):
            domain = find_domain(tx, ref, "scope/domain")
            return _scoped(tx, plain, DOMAIN, domain.id if domain else "", memory)
        case Scope(system=system) if system is not None:
            if not system.all:
                raise expecting("all", "system")
            return _scoped(tx, plain, SYSTEM, "", memory)
        case Scope(unscoped=None):
            raise expecting("project, domain or system", "scope")
        case str() if wanted != "unscoped":
            raise BadRequest("Invalid input for field scope: it is an object or 'unscoped'.")
    return _scoped(tx, plain, UNSCOPED, "", memory)


def _by_default(tx: Tx, plain: Claims, memory: Memory | None) -> Session:
    """In the user's default project where that works, else nowhere."""
    plainly = _scoped(tx, plain, UNSCOPED, "", memory)
    if not plainly.user.default_project_id:
        return plainly
    try:
        return _scoped(tx, plain, PROJECT, plainly.user.default_project_id, memory)
    except Unauthorized:
        return plainly


def _scoped(tx: Tx, plain: Claims, kind: str, scope_id: str, memory: Memory | None) -> Session:
    place = standing(tx, plain.user_id, kind, scope_id, memory)
    scope = place.scope
    if scope is None:
        return session(tx, msgspec.structs.replace(plain, kind=kind), place)
    if (kind == DOMAIN) != scope.is_domain:
        refuse()
    claims = msgspec.structs.replace(plain, kind=kind, scope_id=scope.id, scope_epoch=scope.token_epoch)
    return session(tx, claims, place)


def _enabled(tx: Tx, project_id: str) -> Project:
    row = tx.first(Project, id=project_id)
    if row is None or not row.enabled:
        refuse()
    return row


def _limited(tx: Tx, roles: tuple[Role, ...], credential: AppCredential | None) -> tuple[Role, ...]:
    """The roles of an application credential, as long as its user has them all."""
    held = {role.id for role in roles}
    if credential is None or not set(credential.role_ids) <= held:
        refuse()
    allowed = db.expand(set(credential.role_ids), db.implications(tx))
    return tuple(role for role in roles if role.id in allowed)


def _context(claims: Claims, user: User, scope: Project | None, roles: tuple[Role, ...]) -> Context:
    names = tuple(sorted({role.name.lower() for role in roles}))
    project = scope if claims.kind == PROJECT else None
    return Context(
        request_id="",
        user_id=user.id,
        user_name=user.name,
        user_domain_id=user.domain_id,
        project_id=project.id if project else "",
        project_name=project.name if project else "",
        project_domain_id=project.domain_id if project else "",
        domain_id=claims.scope_id if claims.kind == DOMAIN else "",
        system_scope=claims.kind == SYSTEM,
        roles=names,
        is_admin="admin" in names,
    )


# -- finding who is meant


def find_domain(tx: Tx, ref: DomainRef, where: str) -> Project | None:
    """The domain by id or name. Raises BadRequest when neither is given."""
    if ref.id is not None:
        return tx.first(Project, id=ref.id, is_domain=True)
    if ref.name is not None:
        return db.domain_by_name(tx, ref.name)
    raise BadRequest(f"Invalid input for field {where}: id or name must be present.")


def find_user(tx: Tx, ref: UserRef) -> User | None:
    """The user by id, or by name and domain."""
    if ref.id is not None:
        return tx.first(User, id=ref.id)
    domain = find_domain(tx, ref.domain or DomainRef(), "identity/password/user/domain")
    return None if domain is None else tx.first(User, domain_id=domain.id, name=ref.name)


def _project_id(tx: Tx, ref: ProjectRef) -> str:
    """The id of the project that is meant, "" when there is none of that name."""
    if ref.id is not None:
        return ref.id
    if ref.name is None:
        raise BadRequest("Invalid input for field scope/project: id or name must be present.")
    if ref.domain is None:
        raise expecting("domain", "project")
    domain = find_domain(tx, ref.domain, "scope/project/domain")
    project = tx.first(Project, domain_id=domain.id, name=ref.name) if domain else None
    return project.id if project else ""


def find_app_credential(tx: Tx, proof: AppCredentialProof) -> tuple[AppCredential, User] | None:
    """The application credential by id, or by name and user, with its user."""
    if proof.id is not None:
        credential = tx.first(AppCredential, id=proof.id)
    else:
        owner = find_user(tx, proof.user or UserRef())
        credential = tx.first(AppCredential, user_id=owner.id, name=proof.name) if owner else None
    user = tx.first(User, id=credential.user_id) if credential else None
    return (credential, user) if credential and user else None
