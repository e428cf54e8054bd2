"""Application credentials, and secrets that are kept for users (type ec2 among them)."""

import hashlib
from typing import Any

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, Conflict, Forbidden
from micronova.identity import db
from micronova.identity.base import IdentityBase
from micronova.identity.db import AppCredential, Credential, Project, Role, User
from micronova.identity.requests import AppCredentialBody, CredentialBody, RoleRef, given, need
from micronova.identity.sessions import Session, expecting

EC2 = "ec2"


class Credentials(IdentityBase):
    """Application credentials and stored credentials."""

    async def create_app_credential(
        self, ctx: Context, session: Session, body: AppCredentialBody
    ) -> tuple[AppCredential, list[Role], str]:
        """A new application credential for the project of the caller's token; returns its secret, once.

        Raises Forbidden for one made by a restricted one, BadRequest for a role the caller does not have there.
        """
        project = session.scope
        if project is None or project.is_domain:
            raise expecting("a project scope", "the token")
        forbid_restricted(session)
        if body.access_rules:
            raise BadRequest("Invalid application credential: access rules are not supported by this cloud.")
        if body.expires_at is not None and body.expires_at.tzinfo is None:
            body.expires_at = body.expires_at.replace(tzinfo=self.now().tzinfo)
        if body.expires_at is not None and body.expires_at <= self.now():
            raise BadRequest("Invalid application credential: expires_at is in the past.")
        roles = [_held(session, ref) for ref in body.roles] if body.roles else list(session.roles)
        roles.sort(key=lambda role: role.name)
        secret, hashed = (body.secret, "") if body.secret else self.passwords.new_secret()
        row = AppCredential(
            id=self.new_id(),
            name=body.name,
            user_id=session.user.id,
            project_id=project.id,
            description=body.description,
            secret_hash=hashed or await self.passwords.hash(secret),
            role_ids=tuple(role.id for role in roles),
            unrestricted=bool(body.unrestricted),
            expires_at=body.expires_at,
        )

        def record(tx: Tx) -> AppCredential:
            if tx.first(AppCredential, user_id=row.user_id, name=row.name) is not None:
                raise Conflict(
                    "Conflict occurred attempting to store application_credential - Duplicate entry found with "
                    f"name {row.name}."
                )
            return tx.insert(row)

        return await self.db.write(record, ctx, why="created by its user"), roles, secret

    async def app_credentials(self, user_id: str, where: dict[str, Any]) -> list[tuple[AppCredential, list[Role]]]:
        """Application credentials of a user with their roles, by name."""

        def look(tx: Tx) -> list[tuple[AppCredential, list[Role]]]:
            db.get(tx, User, user_id)
            rows = tx.find(AppCredential, user_id=user_id, order=(("name", True),), **where)
            return [(row, _roles(tx, row)) for row in rows]

        return await self.db.read(look)

    async def app_credential(self, user_id: str, id: str) -> tuple[AppCredential, list[Role]]:
        """One application credential with its roles. Raises NotFound when the user has no such one."""

        def look(tx: Tx) -> tuple[AppCredential, list[Role]]:
            row = _own_app_credential(tx, user_id, id)
            return row, _roles(tx, row)

        return await self.db.read(look)

    async def delete_app_credential(self, ctx: Context, session: Session, user_id: str, id: str) -> None:
        """Remove an application credential; its tokens end at once."""
        forbid_restricted(session)

        def record(tx: Tx) -> None:
            tx.delete(_own_app_credential(tx, user_id, id))
            db.advance(tx)

        await self.db.write(record, ctx, why="deleted by request")

    # -- stored credentials

    async def create_credential(self, ctx: Context, body: CredentialBody, id: str = "") -> Credential:
        """Keep a secret for a user. One of type ec2 gets the id that its access key hashes to."""
        for field in ("type", "blob", "user_id"):
            need(getattr(body, field), field, "credential")
        fields = given(body, "type", "blob", "user_id", "project_id")
        row = Credential(id=id or self._credential_id(body), **fields)
        if row.type == EC2 and not row.project_id:
            raise expecting("project_id", "credential")

        def record(tx: Tx) -> Credential:
            if tx.first(Credential, id=row.id) is not None:
                raise Conflict(f"Conflict occurred attempting to store credential - Duplicate entry {row.id}.")
            return tx.insert(row)

        return await self.db.write(record, ctx, why="created by request")

    def _credential_id(self, body: CredentialBody) -> str:
        return self.new_id() if body.type != EC2 else ec2_id(_access(str(body.blob)))

    async def update_credential(self, ctx: Context, id: str, body: CredentialBody) -> Credential:
        """Change what the request carries."""

        def record(tx: Tx) -> Credential:
            row = db.get(tx, Credential, id)
            return tx.change(row, **given(body, "type", "blob", "user_id", "project_id"))

        return await self.db.write(record, ctx, why="changed by request")

    async def delete_credential(self, ctx: Context, id: str) -> None:
        """Forget a stored credential."""
        await self.db.write(lambda tx: tx.delete(db.get(tx, Credential, id)), ctx, why="deleted by request")

    async def create_ec2(self, ctx: Context, user_id: str, project_id: str) -> tuple[Credential, str, str]:
        """A new pair of EC2 keys of a user for a project: its row, access key and secret key."""

        def look(tx: Tx) -> None:
            db.get(tx, User, user_id)
            db.get(tx, Project, project_id)

        await self.db.read(look)
        access, secret = self.new_id(), self.new_id()
        blob = msgspec.json.encode({"access": access, "secret": secret}).decode()
        body = CredentialBody(type=EC2, blob=blob, user_id=user_id, project_id=project_id)
        return await self.create_credential(ctx, body), access, secret


def forbid_restricted(session: Session) -> None:
    """Raises Forbidden when the token came from an application credential that must not manage others."""
    if session.app_credential is not None and not session.app_credential.unrestricted:
        raise Forbidden(
            "Using method 'application_credential' is not allowed for managing additional application credentials."
        )


def ec2_id(access: str) -> str:
    """The id of an EC2 credential, by its access key."""
    return hashlib.sha256(access.encode()).hexdigest()


def ec2_keys(row: Credential) -> tuple[str, str]:
    """Access and secret key of an EC2 credential."""
    found = msgspec.json.decode(row.blob)
    return str(found.get("access")), str(found.get("secret"))


def _access(blob: str) -> str:
    try:
        found = msgspec.json.decode(blob)
    except msgspec.DecodeError as err:
        raise BadRequest("Invalid blob in credential") from err
    if not isinstance(found, dict) or not isinstance(found.get("access"), str):
        raise expecting("access", "credential")
    return str(found["access"])


def _held(session: Session, ref: RoleRef) -> Role:
    """The caller's role that is meant. Raises BadRequest when the caller does not have it."""
    for role in session.roles:
        if ref.id in (None, role.id) and ref.name in (None, role.name) and (ref.id or ref.name):
            return role
    raise BadRequest(
        f"Invalid application credential: Could not find role assignment with role: {ref.id or ref.name}, "
        f"user or group: {session.user.id}, project, domain, or system: {session.claims.scope_id}."
    )


def _roles(tx: Tx, row: AppCredential) -> list[Role]:
    return tx.find(Role, id=list(row.role_ids), order=(("name", True),))


def _own_app_credential(tx: Tx, user_id: str, id: str) -> AppCredential:
    row = tx.first(AppCredential, id=id, user_id=user_id)
    if row is None:
        raise db.missing("Application Credential", id)
    return row
