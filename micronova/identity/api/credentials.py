"""Application credentials and EC2 keys below /v3/users/{id}, and /v3/credentials.

{"application_credential": {"id", "name", "secret" (once), "roles", "project_id", "expires_at", "unrestricted", …}}
{"credential": {"id", "type", "blob", "user_id", "project_id", "links"}}
"""

from collections.abc import Sequence
from functools import partial

import msgspec

from micronova.errors import NotFound
from micronova.http import Answer, Request, Route
from micronova.identity.credentials import EC2, ec2_id, ec2_keys, forbid_restricted
from micronova.identity.db import Credential
from micronova.identity.part import Part
from micronova.identity.requests import AppCredentialBody, CredentialBody, resource, update
from micronova.identity.sessions import Session
from micronova.identity.shows import Shown, collection, link, show_app_credential, show_credential, texts


class Ec2Body(msgspec.Struct):
    tenant_id: str


class CredentialsApi(Part):
    """Handlers of credentials of both kinds."""

    def routes(self) -> Sequence[Route]:
        user = "/v3/users/{user_id}"
        apps, ec2, stored = user + "/application_credentials", user + "/credentials/OS-EC2", "/v3/credentials"
        return (
            Route("GET", apps, self.list_apps),
            Route("POST", apps, self.create_app),
            Route("GET", apps + "/{credential_id}", self.show_app),
            Route("DELETE", apps + "/{credential_id}", self.delete_app),
            Route("GET", ec2, self.list_ec2),
            Route("POST", ec2, self.create_ec2),
            Route("GET", ec2 + "/{access}", self.show_ec2),
            Route("DELETE", ec2 + "/{access}", self.delete_ec2),
            Route("GET", stored, self.list_stored),
            Route("POST", stored, self.create_stored),
            Route("GET", stored + "/{credential_id}", self.show_stored),
            Route("PATCH", stored + "/{credential_id}", self.update_stored),
            Route("DELETE", stored + "/{credential_id}", self.delete_stored),
        )

    async def _session(self, request: Request) -> Session:
        return await self.manager.session(request.header("X-Auth-Token") or "")

    def _for_user(self, request: Request, rule: str) -> str:
        """The user in the path, if the caller passes the rule for it."""
        user_id = request.path["user_id"]
        self.require(request, f"identity:{rule}", user_id=user_id)
        return user_id

    # -- application credentials

    async def list_apps(self, request: Request) -> Shown:
        user_id = self._for_user(request, "list_application_credentials")
        found = await self.manager.app_credentials(user_id, texts(request, "name"))
        shown = [show_app_credential(request, row, roles) for row, roles in found]
        return collection(request, "application_credentials", shown)

    async def create_app(self, request: Request) -> Answer:
        self._for_user(request, "create_application_credential")
        body, _ = await resource(request, "application_credential", AppCredentialBody)
        session = await self._session(request)
        row, roles, secret = await self.manager.create_app_credential(request.ctx, session, body)
        shown = {**show_app_credential(request, row, roles), "secret": secret}
        return Answer(status=201, body={"application_credential": shown})

    async def show_app(self, request: Request) -> Shown:
        user_id = self._for_user(request, "get_application_credential")
        row, roles = await self.manager.app_credential(user_id, request.path["credential_id"])
        return {"application_credential": show_app_credential(request, row, roles)}

    async def delete_app(self, request: Request) -> Answer:
        user_id = self._for_user(request, "delete_application_credential")
        session = await self._session(request)
        await self.manager.delete_app_credential(request.ctx, session, user_id, request.path["credential_id"])
        return Answer(status=204)

    # -- EC2 keys

    async def list_ec2(self, request: Request) -> Shown:
        user_id = self._for_user(request, "ec2_list_credentials")
        rows = await self.manager.rows(Credential, {"user_id": user_id, "type": EC2}, order="id")
        return collection(request, "credentials", [show_ec2(request, row) for row in rows])

    async def create_ec2(self, request: Request) -> Answer:
        user_id = self._for_user(request, "ec2_create_credential")
        forbid_restricted(await self._session(request))
        body = await request.body(Ec2Body)
        row, _, _ = await self.manager.create_ec2(request.ctx, user_id, body.tenant_id)
        return Answer(status=201, body={"credential": show_ec2(request, row)})

    async def _ec2(self, request: Request, rule: str) -> Credential:
        user_id, access = self._for_user(request, rule), request.path["access"]
        rows = await self.manager.rows(Credential, {"id": ec2_id(access), "user_id": user_id}, order="id")
        if not rows:
            raise NotFound(f"Could not find credential: {access}.")
        return rows[0]

    async def show_ec2(self, request: Request) -> Shown:
        return {"credential": show_ec2(request, await self._ec2(request, "ec2_get_credential"))}

    async def delete_ec2(self, request: Request) -> Answer:
        row = await self._ec2(request, "ec2_delete_credential")
        await self.manager.delete_credential(request.ctx, row.id)
        return Answer(status=204)

    # -- stored credentials

    async def _stored(self, request: Request, rule: str) -> Credential:
        load = partial(self.manager.show, Credential, request.path["credential_id"])
        return await self.reach(request, f"identity:{rule}", load, lambda row: {"user_id": row.user_id})

    async def list_stored(self, request: Request) -> Shown:
        rows = await self.manager.rows(Credential, texts(request, "user_id", "type"), order="id")
        mine = [row for row in rows if self._may_see(request, row)]
        return collection(request, "credentials", [show_credential(request, row) for row in mine])

    def _may_see(self, request: Request, row: Credential) -> bool:
        return self.policy.allows(request.ctx, "identity:get_credential", {"user_id": row.user_id})

    async def create_stored(self, request: Request) -> Answer:
        body, _ = await resource(request, "credential", CredentialBody)
        self.require(request, "identity:create_credential", user_id=body.user_id or "")
        if body.type == EC2:
            forbid_restricted(await self._session(request))
        row = await self.manager.create_credential(request.ctx, body)
        return Answer(status=201, body={"credential": show_credential(request, row)})

    async def show_stored(self, request: Request) -> Shown:
        return {"credential": show_credential(request, await self._stored(request, "get_credential"))}

    async def update_stored(self, request: Request) -> Shown:
        row = await self._stored(request, "update_credential")
        body, _ = await update(request, "credential", CredentialBody, row.id)
        if body.user_id:
            self.require(request, "identity:update_credential", user_id=body.user_id)
        row = await self.manager.update_credential(request.ctx, row.id, body)
        return {"credential": show_credential(request, row)}

    async def delete_stored(self, request: Request) -> Answer:
        row = await self._stored(request, "delete_credential")
        await self.manager.delete_credential(request.ctx, row.id)
        return Answer(status=204)


def show_ec2(request: Request, row: Credential) -> Shown:
    access, secret = ec2_keys(row)
    return {
        "access": access,
        "secret": secret,
        "user_id": row.user_id,
        "tenant_id": row.project_id,
        "trust_id": None,
        "links": {"self": link(request, "users", row.user_id, "credentials", "OS-EC2", access)},
    }
