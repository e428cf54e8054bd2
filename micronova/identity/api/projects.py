"""/v3/projects, their tags, and /v3/domains.

{"project": {"id", "name", "domain_id", "parent_id", "is_domain", "description", "enabled", "tags", "options", "links"}}
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from micronova.errors import BadRequest, NotFound
from micronova.http import Answer, Request, Route
from micronova.identity.base import Page
from micronova.identity.db import Project
from micronova.identity.part import Part
from micronova.identity.requests import DomainBody, ProjectBody, Tag, Tags, resource, update
from micronova.identity.shows import Shown, flag, flags, link, pages, show_domain, show_project, texts


class TagsBody(msgspec.Struct):
    tags: Tags


def target_of(row: Project) -> dict[str, str]:
    """What a policy may ask of a project."""
    return {"domain_id": row.domain_id or row.id, "project_id": row.id}


class ProjectsApi(Part):
    """Handlers of projects and domains."""

    def routes(self) -> Sequence[Route]:
        one, tags, domain = "/v3/projects/{project_id}", "/v3/projects/{project_id}/tags", "/v3/domains/{domain_id}"
        return (
            Route("GET", "/v3/projects", self.list_projects),
            Route("POST", "/v3/projects", self.create_project),
            Route("GET", one, self.show_project),
            Route("PATCH", one, self.update_project),
            Route("DELETE", one, self.delete_project),
            Route("GET", tags, self.list_tags),
            Route("PUT", tags, self.put_tags),
            Route("DELETE", tags, self.clear_tags),
            Route("GET", tags + "/{tag}", self.check_tag),
            Route("PUT", tags + "/{tag}", self.add_tag),
            Route("DELETE", tags + "/{tag}", self.remove_tag),
            Route("GET", "/v3/domains", self.list_domains),
            Route("POST", "/v3/domains", self.create_domain, policy="identity:create_domain"),
            Route("GET", domain, self.show_domain),
            Route("PATCH", domain, self.update_domain, policy="identity:update_domain"),
            Route("DELETE", domain, self.delete_domain, policy="identity:delete_domain"),
        )

    # -- projects

    async def _reach(self, request: Request, rule: str) -> Project:
        load = partial(self.manager.show, Project, request.path["project_id"])
        return await self.reach(request, f"identity:{rule}", load, target_of)

    async def list_projects(self, request: Request) -> Shown:
        where = {
            **texts(request, "name", "domain_id", "parent_id"),
            **flags(request, "enabled"),
            "is_domain": flag(request, "is_domain", False),
            **self.domain_only(request, "identity:list_projects"),
        }
        wanted = _tag_filter(request)

        async def fetch(page: Page) -> list[Project]:
            if not any(wanted.values()):
                return await self.manager.rows(Project, where, page)
            rows = await self.manager.rows(Project, where, Page(None, page.marker))
            return [row for row in rows if _tagged(row, wanted)][: page.limit]

        return await pages(request, "projects", fetch, show_project, self.most)

    async def create_project(self, request: Request) -> Answer:
        body, extra = await resource(request, "project", ProjectBody)
        self.require_home(request, "identity:create_project", body.domain_id or "")
        row = await self.manager.create_project(request.ctx, body, extra)
        return Answer(status=201, body={"project": show_project(request, row)})

    async def show_project(self, request: Request) -> Shown:
        row = await self._reach(request, "get_project")
        shown = show_project(request, row)
        asked = {name for name in _TREES if request.get(name) is not None}
        if asked:
            above, below = await self.manager.family(row.id)
            shown |= {name.split("_")[0]: _TREES[name](request, row, above, below) for name in sorted(asked)}
        return {"project": shown}

    async def update_project(self, request: Request) -> Shown:
        row = await self._reach(request, "update_project")
        body, extra = await update(request, "project", ProjectBody, row.id)
        row = await self.manager.update_project(request.ctx, row.id, body, extra)
        return {"project": show_project(request, row)}

    async def delete_project(self, request: Request) -> Answer:
        row = await self._reach(request, "delete_project")
        await self.manager.delete_project(request.ctx, row.id)
        return Answer(status=204)

    # -- tags

    async def list_tags(self, request: Request) -> Shown:
        row = await self._reach(request, "list_project_tags")
        return {"tags": row.tags, "links": {"next": None, "self": _tags_link(request, row), "previous": None}}

    async def put_tags(self, request: Request) -> Shown:
        row = await self._reach(request, "update_project_tags")
        body = await request.body(TagsBody)
        row = await self.manager.set_tags(request.ctx, row.id, body.tags, None)
        return {"tags": row.tags, "links": {"next": None, "self": _tags_link(request, row), "previous": None}}

    async def clear_tags(self, request: Request) -> Answer:
        row = await self._reach(request, "delete_project_tags")
        await self.manager.set_tags(request.ctx, row.id, (), None)
        return Answer(status=204)

    async def check_tag(self, request: Request) -> Answer:
        row = await self._reach(request, "get_project_tag")
        _known_tag(row, request.path["tag"])
        return Answer(status=204)

    async def add_tag(self, request: Request) -> Answer:
        row = await self._reach(request, "update_project_tags")
        try:
            tag = msgspec.convert(request.path["tag"], Tag)
        except msgspec.ValidationError as err:
            raise BadRequest(f"Invalid project tag: {err}") from err
        await self.manager.set_tags(request.ctx, row.id, (tag,), ())
        return Answer(status=201, headers={"Location": f"{_tags_link(request, row)}/{tag}"})

    async def remove_tag(self, request: Request) -> Answer:
        row = await self._reach(request, "delete_project_tags")
        _known_tag(row, request.path["tag"])
        await self.manager.set_tags(request.ctx, row.id, (), (request.path["tag"],))
        return Answer(status=204)

    # -- domains

    async def list_domains(self, request: Request) -> Shown:
        where = {**texts(request, "name"), **flags(request, "enabled"), "is_domain": True}
        only = self.domain_only(request, "identity:list_domains")
        if only:
            where["id"] = only["domain_id"]
        fetch = partial(self.manager.rows, Project, where)
        return await pages(request, "domains", fetch, show_domain, self.most)

    async def create_domain(self, request: Request) -> Answer:
        body, extra = await resource(request, "domain", DomainBody)
        row = await self.manager.create_domain(request.ctx, body, extra)
        return Answer(status=201, body={"domain": show_domain(request, row)})

    async def show_domain(self, request: Request) -> Shown:
        load = partial(self.manager.domain, request.path["domain_id"])
        row = await self.reach(request, "identity:get_domain", load, lambda found: {"domain_id": found.id})
        return {"domain": show_domain(request, row)}

    async def update_domain(self, request: Request) -> Shown:
        id = request.path["domain_id"]
        body, extra = await update(request, "domain", DomainBody, id)
        return {"domain": show_domain(request, await self.manager.update_domain(request.ctx, id, body, extra))}

    async def delete_domain(self, request: Request) -> Answer:
        await self.manager.delete_domain(request.ctx, request.path["domain_id"])
        return Answer(status=204)


# -- tags and trees


def _tags_link(request: Request, row: Project) -> str:
    return link(request, "projects", row.id, "tags")


def _known_tag(row: Project, tag: str) -> None:
    if tag not in row.tags:
        raise NotFound(f"Could not find project tag: {tag}.")


def _tag_filter(request: Request) -> dict[str, set[str]]:
    names = ("tags", "tags-any", "not-tags", "not-tags-any")
    return {name: set(filter(None, (request.get(name) or "").split(","))) for name in names}


def _tagged(row: Project, wanted: dict[str, set[str]]) -> bool:
    tags = set(row.tags)
    return (
        wanted["tags"] <= tags
        and (not wanted["tags-any"] or bool(wanted["tags-any"] & tags))
        and (not wanted["not-tags"] or not wanted["not-tags"] <= tags)
        and not wanted["not-tags-any"] & tags
    )


def _subtree_ids(id: str, below: list[Project]) -> Shown | None:
    return {row.id: _subtree_ids(row.id, below) for row in below if row.parent_id == id} or None


def _parents_ids(above: list[Project]) -> Shown | None:
    return {above[0].id: _parents_ids(above[1:])} if above else None


_Tree = Callable[[Request, Project, list[Project], list[Project]], Any]
_TREES: Mapping[str, _Tree] = {
    "parents_as_list": lambda request, row, above, below: [{"project": show_project(request, p)} for p in above],
    "subtree_as_list": lambda request, row, above, below: [{"project": show_project(request, p)} for p in below],
    "parents_as_ids": lambda request, row, above, below: _parents_ids(above),
    "subtree_as_ids": lambda request, row, above, below: _subtree_ids(row.id, below),
}
"""What `GET /v3/projects/{id}?NAME` adds, shown as `parents` and `subtree`."""
