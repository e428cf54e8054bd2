"""Services, pools, capabilities, hosts, zones, extensions and messages on the wire.

{"services": [{"binary": "cinder-volume", "host": "h1@file", "zone": "nova", "status": "enabled", "state": "up", …}]}
{"pools": [{"name": "h1@file#file", "capabilities": {"total_capacity_gb": 100.0, "free_capacity_gb": 90.0, …}}]}
"""

from typing import Any

import msgspec

from micronova import __version__
from micronova.errors import BadRequest, NotFound
from micronova.heartbeat import ServiceRow
from micronova.http import Answer, Request, Route
from micronova.volume import pools
from micronova.volume.api import inputs
from micronova.volume.api.inputs import Filters, both
from micronova.volume.db import Message
from micronova.volume.manager import VolumeManager
from micronova.volume.pools import PoolView

_SERVICES = "volume_extension:services:"
BINARIES = ("cinder-scheduler", "cinder-volume", "cinder-backup")
EXTENSIONS: tuple[tuple[str, str], ...] = (
    ("OS-SCH-HNT", "SchedulerHints"),
    ("backups", "Backups"),
    ("capabilities", "Capabilities"),
    ("encryption", "VolumeEncryptionMetadata"),
    ("os-admin-actions", "AdminActions"),
    ("os-availability-zone", "AvailabilityZones"),
    ("os-extended-snapshot-attributes", "ExtendedSnapshotAttributes"),
    ("os-hosts", "Hosts"),
    ("os-quota-class-sets", "QuotaClasses"),
    ("os-quota-sets", "Quotas"),
    ("os-services", "Services"),
    ("os-snapshot-actions", "SnapshotActions"),
    ("os-snapshot-manage", "SnapshotManage"),
    ("os-types-extra-specs", "TypesExtraSpecs"),
    ("os-types-manage", "TypesManage"),
    ("os-used-limits", "UsedLimits"),
    ("os-vol-host-attr", "VolumeHostAttribute"),
    ("os-vol-image-meta", "VolumeImageMetadata"),
    ("os-vol-mig-status-attr", "VolumeMigStatusAttribute"),
    ("os-vol-tenant-attr", "VolumeTenantAttribute"),
    ("os-volume-actions", "VolumeActions"),
    ("os-volume-encryption-metadata", "VolumeEncryptionMetadata"),
    ("os-volume-manage", "VolumeManage"),
    ("os-volume-transfer", "VolumeTransfer"),
    ("os-volume-type-access", "VolumeTypeAccess"),
    ("os-volume-unmanage", "VolumeUnmanage"),
    ("qos-specs", "Qos_specs_manage"),
    ("scheduler-stats", "Scheduler_stats"),
)
"""(alias, name) of the parts that Cinder once called extensions and that this cloud has."""


class _Service(msgspec.Struct, kw_only=True):
    host: str = ""
    binary: str = ""
    service: str = ""
    disabled_reason: str | None = None
    cluster: str | None = None


class HostApi:
    """The handlers."""

    def __init__(self, volume: VolumeManager, most: int) -> None:
        self._volume = volume
        self._messages = Filters(
            columns={
                "resource_type": "resource_type", "resource_uuid": "resource_id", "event_id": "event_id",
                "message_level": "level", "request_id": "request_id", "id": "id",
            },
            sort={"id": "id", "created_at": "created_at", "event_id": "event_id", "message_level": "level"},
            most=most,
        )  # fmt: skip

    # -- services

    async def services(self, request: Request) -> Any:
        host, binary = request.get("host"), request.get("binary")
        views = await self._volume.all_pools(request.ctx)
        shown = []
        for row, up, frozen in await self._volume.services(request.ctx):
            for one in _services(request, (row, up, frozen), views):
                named = host in (None, "", one["host"], one["host"].partition("@")[0])
                if named and binary in (None, "", one["binary"]):
                    shown.append(one)
        return {"services": shown}

    async def change_service(self, request: Request) -> Any:
        action = request.path["action"]
        said = await request.body(_Service)
        if action in ("freeze", "thaw"):
            request.policy.require(request.ctx, f"volume:{action}_host")
            if not said.host:
                raise BadRequest("Missing required element 'host' in request body.")
            await self._volume.freeze(request.ctx, said.host, frozen=action == "freeze")
            return Answer(status=200)
        if action not in ("enable", "disable", "disable-log-reason"):
            raise NotFound("Unknown action")
        binary = said.binary or said.service
        if not said.host or not binary:
            raise BadRequest("Missing required element 'host' or 'binary' in request body.")
        if action == "disable-log-reason" and not (said.disabled_reason or "").strip():
            raise BadRequest("Missing required element 'disabled_reason' in request body.")
        if binary not in BINARIES:
            raise NotFound(f"Service {binary} could not be found on host {said.host}.")
        disabled = action != "enable"
        reason = said.disabled_reason if action == "disable-log-reason" else None
        await self._volume.change_service(request.ctx, said.host, disabled=disabled, reason=reason)
        shown = {
            "host": said.host,
            "service": said.service,
            "binary": binary,
            "disabled": disabled,
            "status": "disabled" if disabled else "enabled",
        }
        return shown if action == "disable" else {**shown, "disabled_reason": reason}

    # -- pools

    async def pools(self, request: Request) -> Any:
        views = await self._volume.all_pools(request.ctx)
        name, backend = request.get("name"), request.get("backend_name")
        shown = [
            self._pool(request, view)
            for view in views
            if name in (None, view.row.id) and backend in (None, view.row.backend_name)
        ]
        return {"pools": shown}

    def _pool(self, request: Request, view: PoolView) -> dict[str, Any]:
        if not inputs.query_flag(request, "detail"):
            return {"name": view.row.id}
        told = inputs.bare(view.row.reported_at)
        return {"name": view.row.id, "capabilities": {**pools.facts(view), "timestamp": told, "updated": told}}

    async def capabilities(self, request: Request) -> Any:
        asked = request.path["host"]
        for view in await self._volume.all_pools(request.ctx):
            if asked in (view.row.id, view.row.id.partition("#")[0]):
                return _capabilities(view)
        raise NotFound(f"Service {asked} could not be found.")

    # -- hosts and zones

    async def hosts(self, request: Request) -> Any:
        views = await self._volume.all_pools(request.ctx)
        found = await self._volume.services(request.ctx)
        return {"hosts": [_host(one) for service in found for one in _services(request, service, views)]}

    async def host(self, request: Request) -> Any:
        name, _, backend = request.path["name"].partition("@")
        for row, _, volumes, snapshots in await self._volume.usage_of_hosts(request.ctx):
            if row.host == name:
                mine = [volume for volume in volumes if not backend or volume.backend == backend]
                ids = {volume.id for volume in mine}
                taken = [snapshot for snapshot in snapshots if snapshot.volume_id in ids]
                shown = [_resource(request.path["name"], "(total)", mine, taken)]
                for project in sorted({volume.project_id for volume in mine}):
                    of = [volume for volume in mine if volume.project_id == project]
                    theirs = [snapshot for snapshot in taken if snapshot.project_id == project]
                    shown.append(_resource(request.path["name"], project, of, theirs))
                return {"host": shown}
        raise NotFound(f"Host '{request.path['name']}' could not be found.")

    async def zones(self, request: Request) -> Any:
        found = await self._volume.zones(request.ctx)
        return {
            "availabilityZoneInfo": [
                {"zoneName": zone, "zoneState": {"available": works}} for zone, works in sorted(found.items())
            ]
        }

    # -- extensions

    async def extensions(self, request: Request) -> Any:
        return {"extensions": [_extension(alias, name) for alias, name in EXTENSIONS]}

    async def extension(self, request: Request) -> Any:
        for alias, name in EXTENSIONS:
            if alias == request.path["alias"]:
                return {"extension": _extension(alias, name)}
        raise NotFound("The resource could not be found.")

    # -- messages

    async def messages(self, request: Request) -> Any:
        page = await self._volume.messages.find(request.ctx, inputs.query(request, self._messages))
        body: dict[str, Any] = {"messages": [_message(request, row) for row in page.rows]}
        return body | (inputs.next_link(request, "messages", "/messages", page.rows) if page.more else {})

    async def message(self, request: Request) -> Any:
        return {"message": _message(request, await self._volume.messages.get(request.ctx, request.path["id"]))}

    async def delete_message(self, request: Request) -> Any:
        await self._volume.messages.delete(request.ctx, request.path["id"])
        return Answer(status=204)


def routes(volume: VolumeManager, most: int) -> list[Route]:
    """The routes of what is about the cloud rather than about volumes."""
    api = HostApi(volume, most)
    return [
        *both("GET", "/os-services", api.services, f"{_SERVICES}index"),
        *both("PUT", "/os-services/{action}", api.change_service, f"{_SERVICES}update"),
        *both("GET", "/scheduler-stats/get_pools", api.pools, "scheduler_extension:scheduler_stats:get_pools"),
        *both("GET", "/capabilities/{host}", api.capabilities, "volume_extension:capabilities"),
        *both("GET", "/os-hosts", api.hosts, "volume_extension:hosts"),
        *both("GET", "/os-hosts/{name}", api.host, "volume_extension:hosts"),
        *both("GET", "/os-availability-zone", api.zones, "volume:availability_zone_list"),
        *both("GET", "/extensions", api.extensions, "volume:extensions"),
        *both("GET", "/extensions/{alias}", api.extension, "volume:extensions"),
        *both("GET", "/messages", api.messages, "message:get_all", since=(3, 3)),
        *both("GET", "/messages/{id}", api.message, since=(3, 3)),
        *both("DELETE", "/messages/{id}", api.delete_message, since=(3, 3)),
    ]


def _services(request: Request, found: tuple[ServiceRow, bool, bool], views: list[PoolView]) -> list[dict[str, Any]]:
    """One service of ours is three of Cinder's: it chooses places, keeps volumes (once a back end), keeps backups."""
    row, up, frozen = found
    base: dict[str, Any] = {
        "zone": row.zone,
        "status": "disabled" if row.disabled else "enabled",
        "state": "up" if up else "down",
        "updated_at": inputs.bare(row.seen_at),
        "disabled_reason": row.disabled_reason,
    }
    if request.version >= (3, 7):
        base["cluster"] = None
    shown = [{"binary": "cinder-scheduler", "host": row.host, **base}]
    for view in views:
        if view.row.host == row.host:
            more = {"replication_status": "disabled", "active_backend_id": None, "frozen": frozen}
            if request.version >= (3, 49):
                more["backend_state"] = "up" if view.row.working else "down"
            shown.append({"binary": "cinder-volume", "host": f"{row.host}@{view.row.backend}", **base, **more})
    return [*shown, {"binary": "cinder-backup", "host": row.host, **base}]


def _host(service: dict[str, Any]) -> dict[str, Any]:
    """A service as old clients list it."""
    return {
        "host_name": service["host"],
        "service": service["binary"],
        "service-state": service["status"],
        "service-status": "available" if service["state"] == "up" else "unavailable",
        "zone": service["zone"],
        "last-update": service["updated_at"],
    }


def _capabilities(view: PoolView) -> dict[str, Any]:
    can = view.row.capabilities
    words = {"thin_provisioning": can.thin, "multiattach": can.multiattach, "online_extend": can.extend_in_use}
    properties = {
        name: {
            "title": name.replace("_", " ").capitalize(),
            "description": "This back end can do it." if value else "This back end can not do it.",
            "type": "boolean",
        }
        for name, value in words.items()
    }
    return {
        "namespace": f"OS::Storage::Capabilities::{view.row.id.partition('#')[0]}",
        "vendor_name": can.vendor,
        "volume_backend_name": view.row.backend_name,
        "pool_name": view.row.backend,
        "driver_version": __version__,
        "storage_protocol": can.protocol,
        "display_name": view.row.backend_name,
        "description": f"Volumes over {can.protocol}.",
        "visibility": "public",
        "replication_targets": [],
        "properties": properties,
    }


def _resource(host: str, project: str, volumes: list[Any], snapshots: list[Any]) -> dict[str, Any]:
    return {
        "resource": {
            "host": host,
            "project": project,
            "volume_count": str(len(volumes)),
            "total_volume_gb": str(sum(volume.size_gib for volume in volumes)),
            "snapshot_count": str(len(snapshots)),
            "total_snapshot_gb": str(sum(snapshot.size_gib for snapshot in snapshots)),
        }
    }


def _extension(alias: str, name: str) -> dict[str, Any]:
    return {
        "alias": alias,
        "name": name,
        "description": f"{name} support.",
        "updated": "2013-01-01T00:00:00+00:00",
        "links": [],
    }


def _message(request: Request, row: Message) -> dict[str, Any]:
    return {
        "id": row.id,
        "request_id": row.request_id,
        "event_id": row.event_id,
        "user_message": row.text,
        "message_level": row.level,
        "resource_type": row.resource_type,
        "resource_uuid": row.resource_id,
        "created_at": inputs.bare(row.created_at),
        "guaranteed_until": inputs.bare(row.expires_at),
        "links": inputs.links(request, f"/messages/{row.id}"),
    }
