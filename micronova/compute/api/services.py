"""Services on the wire (os-services), availability zones and hosts as old clients list them (os-hosts).

{"services": [{"id": "…", "binary": "nova-compute", "host": "h1", "zone": "nova", "status": "enabled",
               "state": "up", "updated_at": "…", "disabled_reason": null, "forced_down": false}]}
"""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from micronova.compute import inputs
from micronova.compute.hosts import INTERNAL, Hosts, ServiceChange, ServiceView, zone_is_available
from micronova.compute.inputs import HostName
from micronova.errors import BadRequest, NotFound
from micronova.http import Answer, Request, Route
from micronova.microversion import Version

_RULE = "os_compute_api:os-services:"
UUIDS: Version = (2, 53)
_Reason = Annotated[str, Meta(min_length=1, max_length=255)]


class _OldUpdate(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    host: HostName
    binary: Annotated[str, Meta(min_length=1, max_length=255)]
    disabled_reason: _Reason | None = None
    forced_down: bool | str | None = None


class _Update(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    status: Literal["enabled", "disabled"] | None = None
    disabled_reason: _Reason | None = None
    forced_down: bool | str | None = None


class ServiceApi:
    """The handlers."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    async def list(self, request: Request) -> Any:
        inputs.known_query(request, "host", "binary")
        views = await self._hosts.services(request.ctx, request.get("host"), request.get("binary"))
        return {"services": [show_service(request, view) for view in views]}

    async def update(self, request: Request) -> Any:
        if request.version < UUIDS:
            return await self._update_named(request)
        said = await request.body(_Update)
        if not inputs.is_uuid(request.path["id"]):
            raise BadRequest(f"Invalid uuid {request.path['id']}")
        change = _change(said)
        return {
            "service": show_service(request, await self._hosts.change_service(request.ctx, request.path["id"], change))
        }

    async def _update_named(self, request: Request) -> Any:
        """Until 2.52 the last part of the path says what to do, the body says to which service."""
        action = request.path["id"]
        if action not in ("enable", "disable", "disable-log-reason", "force-down") or (
            action == "force-down" and request.version < (2, 11)
        ):
            raise NotFound("Unknown action")
        said = await request.body(_OldUpdate)
        change, shown = _old_change(action, said)
        await self._hosts.change_service_of(request.ctx, said.host, said.binary, change)
        return {"service": {"host": said.host, "binary": said.binary, **shown}}

    async def delete(self, request: Request) -> Any:
        id = request.path["id"]
        if request.version >= UUIDS and not inputs.is_uuid(id):
            raise BadRequest(f"Invalid uuid {id}")
        if request.version < UUIDS and not id.isdigit():
            raise BadRequest(f"The service id {id} is not a number.")
        await self._hosts.delete_service(request.ctx, id)
        return Answer(status=204)

    async def zones(self, request: Request) -> Any:
        return {"availabilityZoneInfo": _zones(await self._hosts.services(request.ctx), detail=False)}

    async def zones_detail(self, request: Request) -> Any:
        return {"availabilityZoneInfo": _zones(await self._hosts.services(request.ctx), detail=True)}

    async def hosts(self, request: Request) -> Any:
        zone = request.get("zone")
        views = await self._hosts.services(request.ctx)
        return {
            "hosts": [
                {"host_name": view.row.host, "service": view.row.topic, "zone": view.zone}
                for view in views
                if zone in (None, "", view.zone)
            ]
        }

    async def host(self, request: Request) -> Any:
        name = request.path["name"]
        found = [one for one in await self._hosts.hypervisors(request.ctx) if one.view.row.host == name]
        if not found:
            raise NotFound(f"Compute host {name} could not be found.", id=name)
        view, host = found[0].view, found[0].view.row
        used = (view.vcpus_used, view.ram_used_mib, view.disk_used_gib)
        shown = [
            _resource(name, "(total)", (host.vcpus, host.ram_mib, host.disk_gib)),
            _resource(name, "(used_now)", used),
        ]
        projects = sorted({server.project_id for server in found[0].servers})
        for project in projects:
            of = [server for server in found[0].servers if server.project_id == project]
            sums = (sum(s.vcpus for s in of), sum(s.ram_mib for s in of), sum(s.flavor.disk_gib for s in of))
            shown.append(_resource(name, project, sums))
        return {"host": shown}


def routes(hosts: Hosts) -> list[Route]:
    """The routes of services, zones and hosts."""
    api, one = ServiceApi(hosts), "/v2.1/os-services/{id}"
    zones = "os_compute_api:os-availability-zone:"
    return [
        Route("GET", "/v2.1/os-services", api.list, f"{_RULE}list"),
        Route("PUT", one, api.update, f"{_RULE}update"),
        Route("DELETE", one, api.delete, f"{_RULE}delete"),
        Route("GET", "/v2.1/os-availability-zone", api.zones, f"{zones}list"),
        Route("GET", "/v2.1/os-availability-zone/detail", api.zones_detail, f"{zones}detail"),
        Route("GET", "/v2.1/os-hosts", api.hosts, "os_compute_api:os-hosts:list", until=(2, 42)),
        Route("GET", "/v2.1/os-hosts/{name}", api.host, "os_compute_api:os-hosts:show", until=(2, 42)),
    ]


def show_service(request: Request, view: ServiceView) -> dict[str, Any]:
    """A service with its facts."""
    row = view.row
    shown = {
        "id": row.id if request.version >= UUIDS else inputs.number_of(row.id),
        "binary": row.binary,
        "host": row.host,
        "zone": view.zone,
        "status": "disabled" if row.disabled else "enabled",
        "state": "up" if view.up else "down",
        "updated_at": inputs.bare(row.seen_at),
        "disabled_reason": row.disabled_reason,
    }
    if request.version >= (2, 11):
        shown["forced_down"] = row.forced_down
    return shown


def _change(said: _Update) -> ServiceChange:
    if said.status is None and said.forced_down is None:
        if said.disabled_reason is not None:
            raise BadRequest("Specifying disabled_reason requires that status is 'disabled'.")
        raise BadRequest("No updates were requested. Fields 'status' or 'forced_down' should be specified.")
    if said.disabled_reason is not None and said.status != "disabled":
        raise BadRequest("Specifying disabled_reason requires that status is 'disabled'.")
    return ServiceChange(
        disabled=None if said.status is None else said.status == "disabled",
        reason=said.disabled_reason,
        forced_down=None if said.forced_down is None else inputs.flag(said.forced_down, "forced_down"),
    )


def _old_change(action: str, said: _OldUpdate) -> tuple[ServiceChange, dict[str, Any]]:
    """What to change, and what the answer says besides host and binary."""
    if action == "enable":
        return ServiceChange(disabled=False), {"status": "enabled"}
    if action == "disable":
        return ServiceChange(disabled=True), {"status": "disabled"}
    if action == "disable-log-reason":
        if said.disabled_reason is None:
            raise BadRequest("Missing disabled reason field")
        shown = {"status": "disabled", "disabled_reason": said.disabled_reason}
        return ServiceChange(disabled=True, reason=said.disabled_reason), shown
    if said.forced_down is None:
        raise BadRequest("Missing forced_down field")
    down = inputs.flag(said.forced_down, "forced_down")
    return ServiceChange(forced_down=down), {"forced_down": down}


def _zones(views: list[ServiceView], *, detail: bool) -> list[dict[str, Any]]:
    by_zone: dict[str, list[ServiceView]] = {}
    for view in views:
        if detail or view.zone != INTERNAL:
            by_zone.setdefault(view.zone, []).append(view)
    return [
        {
            "zoneName": zone,
            "zoneState": {"available": zone_is_available(of)},
            "hosts": _zone_hosts(of) if detail else None,
        }
        for zone, of in sorted(by_zone.items())
    ]


def _zone_hosts(views: list[ServiceView]) -> dict[str, dict[str, Any]]:
    hosts: dict[str, dict[str, Any]] = {}
    for view in views:
        hosts.setdefault(view.row.host, {})[view.row.binary] = {
            "available": view.up,
            "active": not view.row.disabled,
            "updated_at": inputs.bare(view.row.seen_at),
        }
    return hosts


def _resource(host: str, project: str, has: tuple[int, int, int]) -> dict[str, Any]:
    cpu, memory_mb, disk_gb = has
    facts = {"host": host, "project": project, "cpu": cpu, "memory_mb": memory_mb, "disk_gb": disk_gb}
    return {"resource": facts}
