"""Server groups on the wire (os-server-groups).

    {"server_group": {"id": "…", "name": "web", "policy": "anti-affinity", "rules": {"max_server_per_host": 2},
                      "members": ["…"], "project_id": "…", "user_id": "…"}}

Until 2.63 `"policies": ["anti-affinity"], "metadata": {}` instead of policy and rules.
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from micronova.compute import inputs
from micronova.compute.inputs import Name
from micronova.compute.server_groups import GroupView, ServerGroups
from micronova.errors import BadRequest
from micronova.http import Answer, Request, Route
from micronova.microversion import Version

_RULE = "os_compute_api:os-server-groups:"
ONE_POLICY: Version = (2, 64)
"""From here on a group has one policy, with rules."""
SOFT: Version = (2, 15)
_Policy = Literal["affinity", "anti-affinity", "soft-affinity", "soft-anti-affinity"]


class _OldGroup(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    policies: Annotated[list[_Policy], Meta(min_length=1, max_length=1)]


class _OldCreate(msgspec.Struct, forbid_unknown_fields=True):
    server_group: _OldGroup


class _Rules(msgspec.Struct, forbid_unknown_fields=True):
    max_server_per_host: int | str | None = None


class _Group(msgspec.Struct, forbid_unknown_fields=True):
    name: Name
    policy: _Policy
    rules: _Rules | None = None


class _Create(msgspec.Struct, forbid_unknown_fields=True):
    server_group: _Group


class ServerGroupApi:
    """The handlers."""

    def __init__(self, groups: ServerGroups, most: int) -> None:
        self._groups = groups
        self._most = most

    async def list(self, request: Request) -> Any:
        inputs.known_query(request, "all_projects", "limit", "offset")
        everybody = request.get("all_projects") is not None and request.ctx.is_admin
        if everybody:
            request.policy.require(request.ctx, f"{_RULE}index:all_projects")
        views = await self._groups.list(request.ctx, all_projects=everybody)
        start = inputs.whole(request.get("offset") or "0", "offset")
        return {"server_groups": [show_group(request, view) for view in views[start:][: request.limit(self._most)]]}

    async def show(self, request: Request) -> Any:
        return {"server_group": show_group(request, await self._groups.get(request.ctx, request.path["id"]))}

    async def create(self, request: Request) -> Any:
        name, policy, most = await _read(request)
        view = await self._groups.create(request.ctx, name, policy, most)
        return {"server_group": show_group(request, view)}

    async def delete(self, request: Request) -> Any:
        await self._groups.delete(request.ctx, request.path["id"])
        return Answer(status=204)


def routes(groups: ServerGroups, most: int = 1000) -> list[Route]:
    """The routes of server groups; `most` is the length of a page."""
    api, base = ServerGroupApi(groups, most), "/v2.1/os-server-groups"
    return [
        Route("GET", base, api.list, f"{_RULE}index"),
        Route("POST", base, api.create, f"{_RULE}create"),
        Route("GET", f"{base}/{{id}}", api.show, f"{_RULE}show"),
        Route("DELETE", f"{base}/{{id}}", api.delete, f"{_RULE}delete"),
    ]


def show_group(request: Request, view: GroupView) -> dict[str, Any]:
    """A group with its facts."""
    row = view.row
    shown: dict[str, Any] = {"id": row.id, "name": row.name, "members": list(view.members)}
    if request.version >= (2, 13):
        shown |= {"project_id": row.project_id, "user_id": row.user_id}
    if request.version >= ONE_POLICY:
        most = row.max_server_per_host
        return {**shown, "policy": row.policy, "rules": {} if most is None else {"max_server_per_host": most}}
    return {**shown, "policies": [row.policy], "metadata": {}}


async def _read(request: Request) -> tuple[str, str, int | None]:
    """Name, policy and the most servers of one host, from the body of this microversion."""
    if request.version < ONE_POLICY:
        old = (await request.body(_OldCreate)).server_group
        if old.policies[0].startswith("soft-") and request.version < SOFT:
            raise BadRequest(f"Invalid input for field/attribute policies. Value: {old.policies}.")
        return old.name, old.policies[0], None
    said = (await request.body(_Create)).server_group
    if said.rules is None or said.rules.max_server_per_host is None:
        return said.name, said.policy, None
    if said.policy != "anti-affinity":
        raise BadRequest("Only anti-affinity policy supports rules.")
    return said.name, said.policy, inputs.whole(said.rules.max_server_per_host, "max_server_per_host", least=1)
