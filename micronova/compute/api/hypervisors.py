"""Hosts that run servers, on the wire (os-hypervisors).

    {"hypervisor": {"id": "…", "hypervisor_hostname": "h1", "state": "up", "status": "enabled", "host_ip": "…",
                    "hypervisor_type": "QEMU", "hypervisor_version": 7002000, "uptime": null,
                    "service": {"id": "…", "host": "h1", "disabled_reason": null}, "servers": []}}

Until 2.87 also what the host has and what is taken of it.
"""

import json
from collections.abc import Sequence
from typing import Any

from micronova.compute import inputs
from micronova.compute.hosts import Hosts, Hypervisor
from micronova.errors import BadRequest, Error
from micronova.http import Request, Route
from micronova.microversion import Version

_RULE = "os_compute_api:os-hypervisors:"
UUIDS: Version = (2, 53)
"""From here on hosts go by UUID, and lists may come with servers."""
NO_USAGE: Version = (2, 88)
"""From here on what is taken of a host is Placement's to tell."""


class HypervisorApi:
    """The handlers."""

    def __init__(self, hosts: Hosts, most: int) -> None:
        self._hosts = hosts
        self._most = most

    async def list(self, request: Request) -> Any:
        return await self._page(request, "/v2.1/os-hypervisors", show_short)

    async def detail(self, request: Request) -> Any:
        return await self._page(request, "/v2.1/os-hypervisors/detail", show_hypervisor)

    async def _page(self, request: Request, path: str, show: Any) -> Any:
        known = ("limit", "marker", "hypervisor_hostname_pattern", "with_servers")
        inputs.known_query(request, *known, strict=UUIDS)
        rows, more = await self._chosen(request)
        body: dict[str, Any] = {"hypervisors": [{**show(request, row), **_servers(request, row)} for row in rows]}
        if more:
            body["hypervisors_links"] = inputs.next_link(request, path, id_of(request, rows[-1]))
        return body

    async def _chosen(self, request: Request) -> tuple[Sequence[Hypervisor], bool]:
        pattern = request.get("hypervisor_hostname_pattern") if request.version >= UUIDS else None
        if pattern is not None:
            if request.get("limit") is not None or request.get("marker") is not None:
                raise BadRequest("Paging over hypervisors with the hypervisor_hostname_pattern query is not supported.")
            return await self._hosts.matching(request.ctx, pattern), False
        rows = await self._hosts.hypervisors(request.ctx)
        if request.version < (2, 33):
            return rows, False
        return inputs.page(rows, request, self._most, lambda row: id_of(request, row))

    async def show(self, request: Request) -> Any:
        inputs.known_query(request, "with_servers", strict=UUIDS)
        row = await self._one(request)
        return {"hypervisor": {**show_hypervisor(request, row), **_servers(request, row)}}

    async def uptime(self, request: Request) -> Any:
        row = await self._one(request)
        raise Error(f"Host {row.view.row.host} does not tell its uptime.", status=501)

    async def statistics(self, request: Request) -> Any:
        return {"hypervisor_statistics": show_statistics(await self._hosts.hypervisors(request.ctx))}

    async def search(self, request: Request) -> Any:
        rows = await self._hosts.matching(request.ctx, request.path["id"])
        return {"hypervisors": [show_short(request, row) for row in rows]}

    async def servers(self, request: Request) -> Any:
        rows = await self._hosts.matching(request.ctx, request.path["id"])
        shown = []
        for row in rows:
            servers = {"servers": _show_servers(row)} if row.servers else {}
            shown.append({**show_short(request, row), **servers})
        return {"hypervisors": shown}

    async def _one(self, request: Request) -> Hypervisor:
        id = request.path["id"]
        if request.version >= UUIDS and not inputs.is_uuid(id):
            raise BadRequest(f"Invalid uuid {id}")
        return await self._hosts.hypervisor(request.ctx, id)


def routes(hosts: Hosts, most: int = 1000) -> list[Route]:
    """The routes of hypervisors; `most` is the length of a page."""
    api, base = HypervisorApi(hosts, most), "/v2.1/os-hypervisors"
    return [
        Route("GET", base, api.list, f"{_RULE}list"),
        Route("GET", f"{base}/detail", api.detail, f"{_RULE}list-detail"),
        Route("GET", f"{base}/statistics", api.statistics, f"{_RULE}statistics", until=(2, 87)),
        Route("GET", f"{base}/{{id}}", api.show, f"{_RULE}show"),
        Route("GET", f"{base}/{{id}}/uptime", api.uptime, f"{_RULE}uptime", until=(2, 87)),
        Route("GET", f"{base}/{{id}}/search", api.search, f"{_RULE}search", until=(2, 52)),
        Route("GET", f"{base}/{{id}}/servers", api.servers, f"{_RULE}servers", until=(2, 52)),
    ]


def id_of(request: Request, row: Hypervisor) -> str:
    """The host's id as a marker."""
    return row.view.row.id if request.version >= UUIDS else str(row.view.row.number)


def show_short(request: Request, row: Hypervisor) -> dict[str, Any]:
    """A host in a short list."""
    view = row.view
    return {
        "id": view.row.id if request.version >= UUIDS else view.row.number,
        "hypervisor_hostname": view.row.hostname,
        "state": "up" if view.up else "down",
        "status": "enabled" if view.enabled else "disabled",
    }


def show_hypervisor(request: Request, row: Hypervisor) -> dict[str, Any]:
    """A host with its facts, and what is taken of it where the microversion tells."""
    host, service = row.view.row, row.view.service
    service_id = service.id if service else host.id
    shown = {
        **show_short(request, row),
        "host_ip": host.address,
        "hypervisor_type": host.hypervisor_type,
        "hypervisor_version": host.hypervisor_version,
        "service": {
            "host": host.host,
            "id": service_id if request.version >= UUIDS else inputs.number_of(service_id),
            "disabled_reason": service.disabled_reason if service else None,
        },
    }
    if request.version >= NO_USAGE:
        return {**shown, "uptime": None}
    cpu: dict[str, Any] = {"model": host.cpu_model, "topology": {"sockets": 1, "cores": host.vcpus, "threads": 1}}
    return {
        **shown,
        **_usage(row),
        "current_workload": row.busy,
        "cpu_info": cpu if request.version >= (2, 28) else json.dumps(cpu),
    }


def show_statistics(rows: Sequence[Hypervisor]) -> dict[str, Any]:
    """All hosts together."""
    total: dict[str, Any] = {"count": len(rows), "current_workload": sum(row.busy for row in rows)}
    names = _SUMMED
    usages = [_usage(row) for row in rows]
    return {**total, **{name: sum(usage[name] for usage in usages) for name in names}}


_SUMMED = (
    "vcpus",
    "vcpus_used",
    "memory_mb",
    "memory_mb_used",
    "free_ram_mb",
    "local_gb",
    "local_gb_used",
    "free_disk_gb",
    "disk_available_least",
    "running_vms",
)


def _usage(row: Hypervisor) -> dict[str, int]:
    view, host = row.view, row.view.row
    ram_used = view.ram_used_mib + host.reserved_ram_mib
    return {
        "vcpus": host.vcpus,
        "vcpus_used": view.vcpus_used,
        "memory_mb": host.ram_mib,
        "memory_mb_used": ram_used,
        "free_ram_mb": host.ram_mib - ram_used,
        "local_gb": host.disk_gib,
        "local_gb_used": view.disk_used_gib,
        "free_disk_gb": host.disk_gib - view.disk_used_gib,
        "disk_available_least": max(0, host.disk_gib - view.disk_used_gib),
        "running_vms": len(row.servers),
    }


def _servers(request: Request, row: Hypervisor) -> dict[str, Any]:
    if request.version < UUIDS or not inputs.query_flag(request, "with_servers"):
        return {}
    if not row.servers and request.version < (2, 75):
        return {}
    return {"servers": _show_servers(row)}


def _show_servers(row: Hypervisor) -> list[dict[str, str]]:
    return [{"uuid": server.id, "name": server.name} for server in row.servers]
