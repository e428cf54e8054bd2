"""Quotas and limits on the wire (os-quota-sets, os-quota-class-sets, limits).

{"quota_set": {"id": "…project", "volumes": 10, "gigabytes": 1000, "snapshots": 10, …}}
{"limits": {"rate": [], "absolute": {"maxTotalVolumes": 10, "totalVolumesUsed": 2, …}}}
"""

from typing import Any

import msgspec

from micronova.errors import BadRequest
from micronova.http import Answer, Request, Route
from micronova.volume.api import inputs
from micronova.volume.api.inputs import both
from micronova.volume.manager import VolumeManager
from micronova.volume.quota_sets import Share

_RULE = "volume_extension:quotas:"
_CLASSES = "volume_extension:quota_classes:"
_Values = dict[str, Any]
_MAXIMA = (
    ("maxTotalVolumes", "volumes"),
    ("maxTotalSnapshots", "snapshots"),
    ("maxTotalVolumeGigabytes", "gigabytes"),
    ("maxTotalBackups", "backups"),
    ("maxTotalBackupGigabytes", "backup_gigabytes"),
)
_USED = (
    ("totalVolumesUsed", "volumes"),
    ("totalSnapshotsUsed", "snapshots"),
    ("totalGigabytesUsed", "gigabytes"),
    ("totalBackupsUsed", "backups"),
    ("totalBackupGigabytesUsed", "backup_gigabytes"),
)


class _Set(msgspec.Struct, forbid_unknown_fields=True):
    quota_set: _Values


class _ClassSet(msgspec.Struct, forbid_unknown_fields=True):
    quota_class_set: _Values


class QuotaApi:
    """The handlers."""

    def __init__(self, volume: VolumeManager) -> None:
        self._quotas = volume.quota_sets

    async def show(self, request: Request) -> Any:
        project_id = request.path["id"]
        request.policy.require(request.ctx, f"{_RULE}show", {"project_id": project_id})
        shares = await self._quotas.shares(request.ctx, project_id)
        if not inputs.query_flag(request, "usage"):
            return {"quota_set": {"id": project_id, **_limits(shares)}}
        usage = {name: {"limit": share.limit, "in_use": share.in_use, "reserved": 0} for name, share in shares.items()}
        return {"quota_set": {"id": project_id, **usage}}

    async def defaults(self, request: Request) -> Any:
        request.policy.require(request.ctx, f"{_RULE}show", {"project_id": request.path["id"]})
        return {"quota_set": {"id": request.path["id"], **_limits(await self._quotas.shares(request.ctx, ""))}}

    async def update(self, request: Request) -> Any:
        said = _numbers((await request.body(_Set)).quota_set)
        return {"quota_set": _limits(await self._quotas.update(request.ctx, request.path["id"], said))}

    async def delete(self, request: Request) -> Any:
        await self._quotas.reset(request.ctx, request.path["id"])
        return Answer(status=200)

    async def show_class(self, request: Request) -> Any:
        shares = await self._quotas.shares(request.ctx, "")
        return {"quota_class_set": {"id": request.path["name"], **_limits(shares)}}

    async def update_class(self, request: Request) -> Any:
        said = _numbers((await request.body(_ClassSet)).quota_class_set)
        if request.path["name"] == "default":
            shares = await self._quotas.update(request.ctx, "", said)
        else:
            shares = await self._quotas.shares(request.ctx, "")
        return {"quota_class_set": _limits(shares)}

    async def limits(self, request: Request) -> Any:
        project_id = request.ctx.project_id
        asked = request.get("project_id") or request.get("tenant_id")
        if asked and asked != project_id and request.version >= (3, 39):
            request.policy.require(request.ctx, "limits_extension:used_limits")
            project_id = asked
        shares = await self._quotas.shares(request.ctx, project_id)
        absolute = {name: shares[resource].limit for name, resource in _MAXIMA}
        absolute |= {name: shares[resource].in_use for name, resource in _USED}
        return {"limits": {"rate": [], "absolute": absolute}}


def routes(volume: VolumeManager) -> list[Route]:
    """The routes of quotas and limits."""
    api, one, of_class = QuotaApi(volume), "/os-quota-sets/{id}", "/os-quota-class-sets/{name}"
    return [
        *both("GET", one, api.show),
        *both("PUT", one, api.update, f"{_RULE}update"),
        *both("DELETE", one, api.delete, f"{_RULE}delete"),
        *both("GET", f"{one}/defaults", api.defaults),
        *both("GET", of_class, api.show_class, f"{_CLASSES}get"),
        *both("PUT", of_class, api.update_class, f"{_CLASSES}update"),
        *both("GET", "/limits", api.limits, "volume:limits"),
    ]


def _limits(shares: dict[str, Share]) -> dict[str, int]:
    return {name: share.limit for name, share in shares.items()}


def _numbers(said: _Values) -> dict[str, int]:
    limits = {}
    for name, value in said.items():
        if name in ("tenant_id", "id", "class_name"):
            continue
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise BadRequest(f"Invalid input for field/attribute {name}. Value: {value}. It must be a number.")
        limits[name] = inputs.whole(value, name, least=-1)
    if not limits:
        raise BadRequest("Invalid input for field/attribute quota_set. {} does not have enough properties")
    return limits
