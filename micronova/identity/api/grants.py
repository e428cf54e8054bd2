"""Roles given: below projects, domains and the system, inherited ones below OS-INHERIT, and /v3/role_assignments.

{"role": {"id"}, "user": {"id"}, "scope": {"project": {"id"}}, "links": {"assignment": "…"}}
"""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from micronova.errors import BadRequest
from micronova.http import Answer, Request, Route
from micronova.identity.assignments import Actor, Entry, Filter, Grant, Names, Place
from micronova.identity.db import SYSTEM
from micronova.identity.part import Part
from micronova.identity.shows import Shown, collection, flag, link, show_reference, show_role

INHERITED = "OS-INHERIT:inherited_to"
_PLACES: tuple[tuple[Place, str, str], ...] = (
    ("project", "/projects/{project_id}", "project_id"),
    ("domain", "/domains/{domain_id}", "domain_id"),
    ("system", "/system", ""),
)
_ACTORS: tuple[tuple[Actor, str, str], ...] = (
    ("user", "/users/{user_id}", "user_id"),
    ("group", "/groups/{group_id}", "group_id"),
)


class Where(msgspec.Struct, frozen=True):
    """The kind of grant that a path is about, and how its ids are called in the path."""

    actor: Actor
    actor_key: str
    target: Place
    target_key: str
    inherited: bool

    def grant(self, request: Request) -> Grant:
        target_id = request.path[self.target_key] if self.target_key else SYSTEM
        return Grant(self.actor, request.path[self.actor_key], self.target, target_id, self.inherited)


class GrantsApi(Part):
    """Handlers of grants and of the list of assignments."""

    def routes(self) -> Sequence[Route]:
        found = [
            Route("GET", "/v3/role_assignments", self.assignments, policy="identity:list_role_assignments"),
        ]
        for target, target_path, target_key in _PLACES:
            for actor, actor_path, actor_key in _ACTORS:
                path = f"{target_path}{actor_path}/roles"
                where = Where(actor, actor_key, target, target_key, inherited=False)
                found += self._of("/v3" + path, "", where)
                if target != "system":
                    below = msgspec.structs.replace(where, inherited=True)
                    found += self._of("/v3/OS-INHERIT" + path, "/inherited_to_projects", below)
        return found

    def _of(self, path: str, tail: str, where: Where) -> list[Route]:
        def bound(
            handler: Callable[[Request, Where], Awaitable[Any]],
        ) -> Callable[[Request], Awaitable[Any]]:
            return partial(_call, handler, where)

        one = path + "/{role_id}" + tail
        return [
            Route("GET", path + tail, bound(self.granted), policy="identity:list_grants"),
            Route("GET", one, bound(self.check), policy="identity:check_grant"),
            Route("HEAD", one, bound(self.check), policy="identity:check_grant"),
            Route("PUT", one, bound(self.grant), policy="identity:create_grant"),
            Route("DELETE", one, bound(self.revoke), policy="identity:revoke_grant"),
        ]

    async def granted(self, request: Request, where: Where) -> Shown:
        roles = await self.manager.granted(where.grant(request))
        return collection(request, "roles", [show_role(request, role) for role in roles])

    async def check(self, request: Request, where: Where) -> Answer:
        await self.manager.check_grant(where.grant(request), request.path["role_id"])
        return Answer(status=204)

    async def grant(self, request: Request, where: Where) -> Answer:
        await self.manager.grant(request.ctx, where.grant(request), request.path["role_id"])
        return Answer(status=204)

    async def revoke(self, request: Request, where: Where) -> Answer:
        await self.manager.revoke_grant(request.ctx, where.grant(request), request.path["role_id"])
        return Answer(status=204)

    async def assignments(self, request: Request) -> Shown:
        asked = _filter(request)
        entries = await self.manager.assignments(asked)
        names = await self.manager.names(entries) if flag(request, "include_names") else None
        return collection(request, "role_assignments", [show_entry(request, entry, names) for entry in entries])


async def _call(handler: Callable[[Request, Where], Awaitable[Any]], where: Where, request: Request) -> Any:
    return await handler(request, where)


def _filter(request: Request) -> Filter:
    """What the query asks for. Raises BadRequest for what can't be asked together, as Keystone does."""
    inherited = request.get(f"scope.{INHERITED}")
    asked = Filter(
        user_id=request.get("user.id"),
        group_id=request.get("group.id"),
        role_id=request.get("role.id"),
        project_id=request.get("scope.project.id"),
        domain_id=request.get("scope.domain.id"),
        system=request.get("scope.system") is not None,
        inherited=None if inherited is None else inherited == "projects",
        effective=bool(flag(request, "effective")),
        below=bool(flag(request, "include_subtree")),
    )
    wrong = (
        (asked.domain_id and asked.project_id, "Specify a domain or project, not both"),
        (asked.domain_id and asked.system, "Specify system or domain, not both"),
        (asked.project_id and asked.system, "Specify system or project, not both"),
        (asked.user_id and asked.group_id, "Specify a user or group, not both"),
        (
            asked.effective and asked.group_id,
            "Combining effective and group filter will always result in an empty list.",
        ),
        (
            asked.effective and asked.inherited and asked.domain_id,
            "Combining effective, domain and inherited filters will always result in an empty list.",
        ),
        (
            asked.below and not asked.project_id,
            "scope.project.id must be specified if include_subtree is also specified",
        ),
    )
    for is_wrong, sentence in wrong:
        if is_wrong:
            raise BadRequest(sentence)
    return asked


# -- showing


def show_entry(request: Request, entry: Entry, names: Names | None) -> Shown:
    """One assignment, with the names of everything when `names` are given."""
    scope: Shown = {"system": {"all": True}}
    if entry.target != SYSTEM:
        scope = {entry.target: _target(entry, names)}
    if entry.inherited:
        scope[INHERITED] = "projects"
    links = {"assignment": _assignment_link(request, entry)}
    if entry.group_id:
        links["membership"] = link(request, "groups", entry.group_id, "users", entry.actor_id)
    return {"role": _role(entry, names), entry.actor: _actor(entry, names), "scope": scope, "links": links}


def _role(entry: Entry, names: Names | None) -> Shown:
    shown: Shown = {"id": entry.role_id}
    if names is not None:
        role = names.roles[entry.role_id]
        shown["name"] = role.name
        if role.domain_id:
            shown["domain"] = show_reference(names.projects.get(role.domain_id))
    return shown


def _actor(entry: Entry, names: Names | None) -> Shown:
    shown: Shown = {"id": entry.actor_id}
    if names is not None:
        row = names.users[entry.actor_id] if entry.actor == "user" else names.groups[entry.actor_id]
        shown |= {"name": row.name, "domain": show_reference(names.projects.get(row.domain_id))}
    return shown


def _target(entry: Entry, names: Names | None) -> Shown:
    shown: Shown = {"id": entry.target_id}
    if names is not None:
        row = names.projects[entry.target_id]
        shown["name"] = row.name
        if entry.target == "project":
            shown["domain"] = show_reference(names.projects.get(row.domain_id))
    return shown


def _assignment_link(request: Request, entry: Entry) -> str:
    """Where the grant is that the assignment comes from."""
    parts = ["OS-INHERIT"] if entry.inherited else []
    if entry.target == SYSTEM:
        parts.append("system")
    else:
        parts += [f"{entry.origin or entry.target}s", entry.from_id or entry.target_id]
    parts += ["groups", entry.group_id] if entry.group_id else [f"{entry.actor}s", entry.actor_id]
    parts += ["roles", entry.role_id]
    if entry.inherited:
        parts.append("inherited_to_projects")
    return link(request, *parts)
