"""/v3/roles, what they imply, and /v3/role_inferences.

{"role": {"id", "name", "domain_id", "description", "options", "links"}}
{"role_inference": {"prior_role": {"id", "name", "links"}, "implies": {"id", "name", "links"}}}
"""

from collections.abc import Sequence
from functools import partial

from micronova.http import Answer, Request, Route
from micronova.identity.db import Role
from micronova.identity.part import Part
from micronova.identity.requests import RoleBody, resource, update
from micronova.identity.shows import Shown, pages, self_link, show_role, show_role_briefly, texts


class RolesApi(Part):
    """Handlers of roles and inference rules."""

    def routes(self) -> Sequence[Route]:
        one = "/v3/roles/{role_id}"
        rule = one + "/implies/{implied_id}"
        return (
            Route("GET", "/v3/roles", self.list_roles, policy="identity:list_roles"),
            Route("POST", "/v3/roles", self.create_role, policy="identity:create_role"),
            Route("GET", one, self.show_role, policy="identity:get_role"),
            Route("PATCH", one, self.update_role, policy="identity:update_role"),
            Route("DELETE", one, self.delete_role, policy="identity:delete_role"),
            Route("GET", one + "/implies", self.implied, policy="identity:list_implied_roles"),
            Route("GET", rule, self.show_rule, policy="identity:get_implied_role"),
            Route("HEAD", rule, self.check_rule, policy="identity:check_implied_role"),
            Route("PUT", rule, self.create_rule, policy="identity:create_implied_role"),
            Route("DELETE", rule, self.delete_rule, policy="identity:delete_implied_role"),
            Route("GET", "/v3/role_inferences", self.rules, policy="identity:list_role_inference_rules"),
        )

    async def list_roles(self, request: Request) -> Shown:
        where = {"domain_id": "", **texts(request, "name", "domain_id")}
        return await pages(request, "roles", partial(self.manager.rows, Role, where), show_role, self.most)

    async def create_role(self, request: Request) -> Answer:
        body, extra = await resource(request, "role", RoleBody)
        row = await self.manager.create_role(request.ctx, body, extra)
        return Answer(status=201, body={"role": show_role(request, row)})

    async def show_role(self, request: Request) -> Shown:
        return {"role": show_role(request, await self.manager.show(Role, request.path["role_id"]))}

    async def update_role(self, request: Request) -> Shown:
        id = request.path["role_id"]
        body, extra = await update(request, "role", RoleBody, id)
        return {"role": show_role(request, await self.manager.update_role(request.ctx, id, body, extra))}

    async def delete_role(self, request: Request) -> Answer:
        await self.manager.delete_role(request.ctx, request.path["role_id"])
        return Answer(status=204)

    # -- inference rules

    async def implied(self, request: Request) -> Shown:
        id = request.path["role_id"]
        ((prior, implied),) = await self.manager.inferences(id)
        rule = {
            "prior_role": show_role_briefly(request, prior),
            "implies": [show_role_briefly(request, role) for role in implied],
        }
        return {"role_inference": rule, "links": self_link(request, "roles", id, "implies")}

    async def show_rule(self, request: Request) -> Shown:
        prior, implied = await self.manager.inference(request.path["role_id"], request.path["implied_id"])
        return show_rule(request, prior, implied)

    async def check_rule(self, request: Request) -> Answer:
        await self.manager.inference(request.path["role_id"], request.path["implied_id"])
        return Answer(status=204)

    async def create_rule(self, request: Request) -> Answer:
        prior_id, implied_id = request.path["role_id"], request.path["implied_id"]
        prior, implied = await self.manager.imply(request.ctx, prior_id, implied_id)
        return Answer(status=201, body=show_rule(request, prior, implied))

    async def delete_rule(self, request: Request) -> Answer:
        await self.manager.unimply(request.ctx, request.path["role_id"], request.path["implied_id"])
        return Answer(status=204)

    async def rules(self, request: Request) -> Shown:
        shown = [
            {
                "prior_role": show_role_briefly(request, prior),
                "implies": [show_role_briefly(request, role) for role in implied],
            }
            for prior, implied in await self.manager.inferences()
        ]
        return {"role_inferences": shown}


def show_rule(request: Request, prior: Role, implied: Role) -> Shown:
    rule = {"prior_role": show_role_briefly(request, prior), "implies": show_role_briefly(request, implied)}
    return {"role_inference": rule, "links": self_link(request, "roles", prior.id, "implies", implied.id)}
