"""/v3/auth: tokens, and what their holder can enter.

POST /v3/auth/tokens {"auth": {"identity": {"methods": ["password"], "password": {"user": {…}}}, "scope": {…}}}
-> 201, X-Subject-Token, {"token": {"methods", "user", "audit_ids", "issued_at", "expires_at", "project", "roles", …}}
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from micronova.clock import iso_micro
from micronova.errors import NotFound, Unauthorized
from micronova.http import Answer, Request, Route, encode
from micronova.identity.catalog import Listing
from micronova.identity.manager import IdentityManager
from micronova.identity.part import Part
from micronova.identity.requests import AuthBody
from micronova.identity.sessions import Session
from micronova.identity.shows import Shown, collection, show_domain, show_project, show_reference, url
from micronova.identity.tokens import DOMAIN, PROJECT, SYSTEM, UNSCOPED

MOST_CATALOGS = 500
"""Catalogs that are kept as JSON."""
VARY = {"Vary": "X-Auth-Token"}
_FIELD = re.compile(r"[$%]\((\w+)\)s")


class AuthApi(Part):
    """Handlers of /v3/auth."""

    def __init__(self, manager: IdentityManager) -> None:
        super().__init__(manager)
        self._listing: Listing = ()
        self._catalogs: dict[tuple[str, str], msgspec.Raw] = {}

    def routes(self) -> Sequence[Route]:
        return (
            Route("POST", "/v3/auth/tokens", self.issue, public=True),
            Route("GET", "/v3/auth/tokens", self.validate),
            Route("DELETE", "/v3/auth/tokens", self.revoke),
            Route("GET", "/v3/auth/catalog", self.catalog, policy="identity:get_auth_catalog"),
            Route("GET", "/v3/auth/projects", self.projects, policy="identity:get_auth_projects"),
            Route("GET", "/v3/auth/domains", self.domains, policy="identity:get_auth_domains"),
            Route("GET", "/v3/auth/system", self.system, policy="identity:get_auth_system"),
        )

    async def issue(self, request: Request) -> Answer:
        body = await request.body(AuthBody)
        token, session = await self.manager.issue(body.auth)
        shown = await self._show(request, session)
        return Answer(status=201, body=shown, headers={"X-Subject-Token": token, **VARY})

    async def validate(self, request: Request) -> Answer:
        token, session = await self._subject(request)
        self.require(request, "identity:validate_token", user_id=session.user.id)
        shown = await self._show(request, session)
        return Answer(body=shown, headers={"X-Subject-Token": token, **VARY})

    async def revoke(self, request: Request) -> Answer:
        _, session = await self._subject(request)
        self.require(request, "identity:revoke_token", user_id=session.user.id)
        await self.manager.revoke(request.ctx, session)
        return Answer(status=204)

    async def _subject(self, request: Request) -> tuple[str, Session]:
        token = request.header("X-Subject-Token")
        if not token:
            raise NotFound("No token in the request")
        try:
            return token, await self.manager.session(token)
        except Unauthorized as err:
            raise NotFound("Failed to validate token") from err

    async def _show(self, request: Request, session: Session) -> dict[str, Shown]:
        shown = show_token(session)
        if session.claims.kind != UNSCOPED and request.get("nocatalog") is None:
            shown["catalog"] = await self._catalog(request, session)
        return {"token": shown}

    async def _catalog(self, request: Request, session: Session) -> msgspec.Raw:
        """The catalog as JSON: long, and hardly ever changed, so kept per address and project while it is the same."""
        listing = await self.manager.listing(session.epoch)
        if listing is not self._listing or len(self._catalogs) >= MOST_CATALOGS:
            self._listing = listing
            self._catalogs.clear()
        filled = any("(" in endpoint.url for _, endpoints in listing for endpoint in endpoints)
        key = (request.base_url, session.context.project_id if filled else "")
        if key not in self._catalogs:
            shown = show_catalog(request, listing, session.context.project_id)
            self._catalogs[key] = msgspec.Raw(encode(shown))
        return self._catalogs[key]

    async def catalog(self, request: Request) -> Shown:
        session = await self.manager.session(request.header("X-Auth-Token") or "")
        shown = collection(request, "catalog", [])
        if session.claims.kind != UNSCOPED:
            shown["catalog"] = await self._catalog(request, session)
        return shown

    async def projects(self, request: Request) -> Shown:
        rows = await self.manager.projects_of(request.ctx.user_id, usable=True)
        return collection(request, "projects", [show_project(request, row) for row in rows])

    async def domains(self, request: Request) -> Shown:
        rows = await self.manager.domains_of(request.ctx.user_id)
        return collection(request, "domains", [show_domain(request, row) for row in rows])

    async def system(self, request: Request) -> Shown:
        entered = await self.manager.enters_system(request.ctx.user_id)
        return collection(request, "system", [{"all": True}] if entered else [])


def show_token(session: Session) -> Shown:
    """What a token says, without the catalog."""
    claims, user, scope = session.claims, session.user, session.scope
    shown: Shown = {
        "methods": claims.methods,
        "user": {
            "domain": show_reference(session.user_domain),
            "id": user.id,
            "name": user.name,
            "password_expires_at": None,
        },
        "audit_ids": claims.audit_ids,
        "expires_at": iso_micro(claims.expires_at),
        "issued_at": iso_micro(claims.issued_at),
    }
    if claims.kind == PROJECT and scope is not None:
        shown["project"] = {"domain": show_reference(session.scope_domain), "id": scope.id, "name": scope.name}
        shown["is_domain"] = False
    elif claims.kind == DOMAIN and scope is not None:
        shown["domain"] = show_reference(scope)
    elif claims.kind == SYSTEM:
        shown["system"] = {"all": True}
    if claims.kind != UNSCOPED:
        shown["roles"] = [{"id": role.id, "name": role.name} for role in session.roles]
    credential = session.app_credential
    if credential is not None:
        restricted = not credential.unrestricted
        shown["application_credential"] = {"id": credential.id, "name": credential.name, "restricted": restricted}
    return shown


def show_catalog(request: Request, listing: Listing, project_id: str) -> list[Shown]:
    """Services with the endpoints that can be filled in for the project."""
    shown: list[Shown] = []
    for service, endpoints in listing:
        found = []
        for endpoint in endpoints:
            address = _fill(url(request, endpoint.url), project_id)
            if address is not None:
                found.append(
                    {
                        "id": endpoint.id,
                        "interface": endpoint.interface,
                        "region": endpoint.region_id,
                        "region_id": endpoint.region_id,
                        "url": address,
                    }
                )
        shown.append({"endpoints": found, "id": service.id, "type": service.type, "name": service.name or ""})
    return shown


def _fill(address: str, project_id: str) -> str | None:
    """Put the project into `$(project_id)s`; None when there is none to put, or something else is wanted."""
    if "(" not in address:
        return address
    values: dict[str, Any] = {"project_id": project_id, "tenant_id": project_id} if project_id else {}
    if any(name not in values for name in _FIELD.findall(address)):
        return None
    return _FIELD.sub(lambda found: values[found[1]], address)
