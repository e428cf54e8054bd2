"""Quotas and limits on the wire (os-quota-sets, os-quota-class-sets, limits).

{"quota_set": {"id": "…project", "instances": 10, "cores": 20, "ram": 51200, …}}
{"quota_set": {"id": "…", "instances": {"limit": 10, "in_use": 2, "reserved": 0}, …}}     /detail
{"limits": {"rate": [], "absolute": {"maxTotalInstances": 10, "totalInstancesUsed": 2, …}}}
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from micronova.compute import inputs
from micronova.compute.quota_sets import QuotaSets, Share, resources_at
from micronova.errors import BadRequest
from micronova.http import Answer, Request, Route
from micronova.microversion import Version

_SETS = "os_compute_api:os-quota-sets:"
_CLASSES = "os_compute_api:os-quota-class-sets:"
_LIMITS = "os_compute_api:limits"
_Values = dict[str, int | str | bool]


class _Update(msgspec.Struct, forbid_unknown_fields=True):
    quota_set: _Values


class _UpdateClass(msgspec.Struct, forbid_unknown_fields=True):
    quota_class_set: _Values


class QuotaApi:
    """The handlers."""

    def __init__(self, quotas: QuotaSets) -> None:
        self._quotas = quotas

    async def show(self, request: Request) -> Any:
        shares = await self._shares(request, "show")
        limits = {name: share.limit for name, share in shares.items()}
        return {"quota_set": {"id": request.path["id"], **_only(limits, request.version)}}

    async def detail(self, request: Request) -> Any:
        shares = await self._shares(request, "detail")
        shown = {name: {"limit": share.limit, "in_use": share.in_use, "reserved": 0} for name, share in shares.items()}
        return {"quota_set": {"id": request.path["id"], **_only(shown, request.version)}}

    async def _shares(self, request: Request, rule: str) -> dict[str, Share]:
        inputs.known_query(request, "user_id")
        project_id = request.path["id"]
        request.policy.require(request.ctx, f"{_SETS}{rule}", {"project_id": project_id})
        return await self._quotas.shares(request.ctx, project_id, request.get("user_id") or "")

    async def defaults(self, request: Request) -> Any:
        request.policy.require(request.ctx, f"{_SETS}defaults", {"project_id": request.path["id"]})
        await self._quotas.check_project(request.ctx, request.path["id"])
        limits = await self._quotas.defaults(request.ctx)
        return {"quota_set": {"id": request.path["id"], **_only(limits, request.version)}}

    async def update(self, request: Request) -> Any:
        inputs.known_query(request, "user_id")
        said = (await request.body(_Update)).quota_set
        force = inputs.flag(_word(said.pop("force", False)), "force")
        shares = await self._quotas.update(
            request.ctx,
            request.path["id"],
            _limits(said, resources_at(request.version)),
            user_id=request.get("user_id") or "",
            force=force,
        )
        return {"quota_set": _only({name: share.limit for name, share in shares.items()}, request.version)}

    async def delete(self, request: Request) -> Any:
        inputs.known_query(request, "user_id")
        await self._quotas.reset(request.ctx, request.path["id"], request.get("user_id") or "")
        return Answer(status=202)

    async def show_class(self, request: Request) -> Any:
        limits = await self._quotas.defaults(request.ctx)
        shown = _only(limits, request.version, classes=True)
        return {"quota_class_set": {"id": request.path["name"], **shown}}

    async def update_class(self, request: Request) -> Any:
        known = resources_at(request.version, classes=True)
        limits = _limits((await request.body(_UpdateClass)).quota_class_set, known)
        if request.path["name"] == "default":
            await self._quotas.update(request.ctx, "", limits)
        current = await self._quotas.defaults(request.ctx)
        return {"quota_class_set": _only(current, request.version, classes=True)}

    async def limits(self, request: Request) -> Any:
        inputs.known_query(request, "tenant_id")
        project_id = request.get("tenant_id") or request.ctx.project_id
        if project_id != request.ctx.project_id:
            request.policy.require(request.ctx, f"{_LIMITS}:other_project", {"project_id": project_id})
        shares = await self._quotas.shares(request.ctx, project_id)
        return {"limits": {"rate": [], "absolute": _absolute(shares, request.version)}}


def routes(quotas: QuotaSets) -> list[Route]:
    """The routes of quotas and limits."""
    api, one, of_class = QuotaApi(quotas), "/v2.1/os-quota-sets/{id}", "/v2.1/os-quota-class-sets/{name}"
    return [
        Route("GET", one, api.show),
        Route("PUT", one, api.update, f"{_SETS}update"),
        Route("DELETE", one, api.delete, f"{_SETS}delete"),
        Route("GET", f"{one}/defaults", api.defaults),
        Route("GET", f"{one}/detail", api.detail),
        Route("GET", of_class, api.show_class, f"{_CLASSES}show"),
        Route("PUT", of_class, api.update_class, f"{_CLASSES}update"),
        Route("GET", "/v2.1/limits", api.limits, _LIMITS),
    ]


def _only(values: Mapping[str, Any], version: Version, *, classes: bool = False) -> dict[str, Any]:
    return {name: values[name] for name in resources_at(version, classes=classes)}


def _limits(said: _Values, known: tuple[str, ...]) -> dict[str, int]:
    limits = {}
    for name, value in said.items():
        if name not in known:
            raise BadRequest(f"Additional properties are not allowed ('{name}' was unexpected)")
        if isinstance(value, bool):
            raise BadRequest(f"Invalid input for field/attribute {name}. Value: {value}. It must be a number.")
        limits[name] = inputs.whole(value, name, least=-1)
    return limits


def _word(value: int | str | bool) -> bool | str:
    return value if isinstance(value, bool | str) else str(value)


_MAXIMA: tuple[tuple[str, str, Version], ...] = (
    ("maxTotalInstances", "instances", (9, 9)),
    ("maxTotalCores", "cores", (9, 9)),
    ("maxTotalRAMSize", "ram", (9, 9)),
    ("maxTotalKeypairs", "key_pairs", (9, 9)),
    ("maxServerMeta", "metadata_items", (9, 9)),
    ("maxServerGroups", "server_groups", (9, 9)),
    ("maxServerGroupMembers", "server_group_members", (9, 9)),
    ("maxImageMeta", "metadata_items", (2, 39)),
    ("maxPersonality", "injected_files", (2, 57)),
    ("maxPersonalitySize", "injected_file_content_bytes", (2, 57)),
    ("maxTotalFloatingIps", "floating_ips", (2, 36)),
    ("maxSecurityGroups", "security_groups", (2, 36)),
    ("maxSecurityGroupRules", "security_group_rules", (2, 36)),
)
"""(name in the answer, resource, microversion from which it is no longer told)."""
_USED: tuple[tuple[str, str, Version], ...] = (
    ("totalInstancesUsed", "instances", (9, 9)),
    ("totalCoresUsed", "cores", (9, 9)),
    ("totalRAMUsed", "ram", (9, 9)),
    ("totalServerGroupsUsed", "server_groups", (9, 9)),
    ("totalFloatingIpsUsed", "floating_ips", (2, 36)),
    ("totalSecurityGroupsUsed", "security_groups", (2, 36)),
)


def _absolute(shares: Mapping[str, Share], version: Version) -> dict[str, int]:
    shown = {name: shares[resource].limit for name, resource, until in _MAXIMA if version < until}
    return shown | {name: shares[resource].in_use for name, resource, until in _USED if version < until}
