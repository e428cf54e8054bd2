"""/v3/users and /v3/groups.

{"user": {"id", "name", "domain_id", "enabled", "default_project_id", "options", "password_expires_at", "links"}}
"""

from collections.abc import Sequence
from functools import partial

from micronova.http import Answer, Request, Route
from micronova.identity.db import Group, User
from micronova.identity.part import Part
from micronova.identity.requests import GroupBody, PasswordChangeBody, UserBody, resource, update
from micronova.identity.shows import Shown, collection, flags, pages, show_group, show_project, show_user, texts


class UsersApi(Part):
    """Handlers of users and groups."""

    def routes(self) -> Sequence[Route]:
        user, group = "/v3/users/{user_id}", "/v3/groups/{group_id}"
        member = group + "/users/{user_id}"
        return (
            Route("GET", "/v3/users", self.list_users),
            Route("POST", "/v3/users", self.create_user),
            Route("GET", user, self.show_user),
            Route("PATCH", user, self.update_user),
            Route("DELETE", user, self.delete_user),
            Route("POST", user + "/password", self.change_password, public=True),
            Route("GET", user + "/projects", self.projects_of_user),
            Route("GET", user + "/groups", self.groups_of_user),
            Route("GET", "/v3/groups", self.list_groups),
            Route("POST", "/v3/groups", self.create_group),
            Route("GET", group, self.show_group),
            Route("PATCH", group, self.update_group),
            Route("DELETE", group, self.delete_group),
            Route("GET", group + "/users", self.members),
            Route("GET", member, self.check_member),
            Route("HEAD", member, self.check_member),
            Route("PUT", member, self.add_member),
            Route("DELETE", member, self.remove_member),
        )

    # -- users

    async def _user(self, request: Request, rule: str) -> User:
        load = partial(self.manager.show, User, request.path["user_id"])
        target = {"user_id": request.path["user_id"]}
        return await self.reach(request, f"identity:{rule}", load, lambda row: {**target, "domain_id": row.domain_id})

    async def list_users(self, request: Request) -> Shown:
        where = {
            **texts(request, "name", "domain_id"),
            **flags(request, "enabled"),
            **self.domain_only(request, "identity:list_users"),
        }
        return await pages(request, "users", partial(self.manager.rows, User, where), show_user, self.most)

    async def create_user(self, request: Request) -> Answer:
        body, extra = await resource(request, "user", UserBody)
        self.require_home(request, "identity:create_user", body.domain_id or "")
        row = await self.manager.create_user(request.ctx, body, extra)
        return Answer(status=201, body={"user": show_user(request, row)})

    async def show_user(self, request: Request) -> Shown:
        return {"user": show_user(request, await self._user(request, "get_user"))}

    async def update_user(self, request: Request) -> Shown:
        row = await self._user(request, "update_user")
        body, extra = await update(request, "user", UserBody, row.id)
        return {"user": show_user(request, await self.manager.update_user(request.ctx, row.id, body, extra))}

    async def delete_user(self, request: Request) -> Answer:
        row = await self._user(request, "delete_user")
        await self.manager.delete_user(request.ctx, row.id)
        return Answer(status=204)

    async def change_password(self, request: Request) -> Answer:
        body = await request.body(PasswordChangeBody)
        await self.manager.change_password(request.ctx, request.path["user_id"], body.user)
        return Answer(status=204)

    async def projects_of_user(self, request: Request) -> Shown:
        row = await self._user(request, "list_user_projects")
        projects = await self.manager.projects_of(row.id, usable=False)
        wanted = {**texts(request, "name", "domain_id"), **flags(request, "enabled")}
        shown = [
            show_project(request, project)
            for project in projects
            if all(getattr(project, name) == value for name, value in wanted.items())
        ]
        return collection(request, "projects", shown)

    async def groups_of_user(self, request: Request) -> Shown:
        row = await self._user(request, "list_groups_for_user")
        name = request.get("name")
        groups = await self.manager.groups_of_user(row.id)
        return collection(request, "groups", [show_group(request, g) for g in groups if name in (None, g.name)])

    # -- groups

    async def _group(self, request: Request, rule: str) -> Group:
        load = partial(self.manager.show, Group, request.path["group_id"])
        return await self.reach(request, f"identity:{rule}", load, lambda row: {"domain_id": row.domain_id})

    async def list_groups(self, request: Request) -> Shown:
        where = {**texts(request, "name", "domain_id"), **self.domain_only(request, "identity:list_groups")}
        return await pages(request, "groups", partial(self.manager.rows, Group, where), show_group, self.most)

    async def create_group(self, request: Request) -> Answer:
        body, extra = await resource(request, "group", GroupBody)
        self.require_home(request, "identity:create_group", body.domain_id or "")
        row = await self.manager.create_group(request.ctx, body, extra)
        return Answer(status=201, body={"group": show_group(request, row)})

    async def show_group(self, request: Request) -> Shown:
        return {"group": show_group(request, await self._group(request, "get_group"))}

    async def update_group(self, request: Request) -> Shown:
        row = await self._group(request, "update_group")
        body, extra = await update(request, "group", GroupBody, row.id)
        return {"group": show_group(request, await self.manager.update_group(request.ctx, row.id, body, extra))}

    async def delete_group(self, request: Request) -> Answer:
        row = await self._group(request, "delete_group")
        await self.manager.delete_group(request.ctx, row.id)
        return Answer(status=204)

    async def members(self, request: Request) -> Shown:
        row = await self._group(request, "list_users_in_group")
        users = await self.manager.members(row.id)
        return collection(request, "users", [show_user(request, user) for user in users])

    async def check_member(self, request: Request) -> Answer:
        row = await self._group(request, "check_user_in_group")
        await self.manager.check_member(row.id, request.path["user_id"])
        return Answer(status=204)

    async def add_member(self, request: Request) -> Answer:
        row = await self._group(request, "add_user_to_group")
        await self.manager.add_member(request.ctx, row.id, request.path["user_id"])
        return Answer(status=204)

    async def remove_member(self, request: Request) -> Answer:
        row = await self._group(request, "remove_user_from_group")
        await self.manager.remove_member(request.ctx, row.id, request.path["user_id"])
        return Answer(status=204)
