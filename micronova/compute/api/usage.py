"""What projects used, on the wire (os-simple-tenant-usage).

{"tenant_usage": {"tenant_id": "…", "start": "…", "stop": "…", "total_hours": 1.5, "total_vcpus_usage": 3.0,
                  "total_memory_mb_usage": 768.0, "total_local_gb_usage": 1.5, "server_usages": [{…}]}}
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from micronova.clock import Clock
from micronova.compute import inputs, usage
from micronova.compute.db import Server
from micronova.compute.usage import ProjectUsage, ServerUsage
from micronova.db import Database
from micronova.errors import BadRequest
from micronova.http import Request, Route
from micronova.microversion import Version

_RULE = "os_compute_api:os-simple-tenant-usage:"
PAGED: Version = (2, 40)
LOOK_BACK = timedelta(weeks=4)
FORMATS = (
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d",
)


class UsageApi:
    """The handlers."""

    def __init__(self, db: Database, clock: Clock, most: int) -> None:
        self._db = db
        self._clock = clock
        self._most = most

    async def list(self, request: Request) -> Any:
        inputs.known_query(request, "start", "end", "detailed", "limit", "marker")
        start, stop = self._period(request)
        rows, more = self._page(request, await self._servers(""))
        detailed = request.get("detailed") == "1"
        found = usage.of_projects(rows, start, stop, self._clock.now())
        body: dict[str, Any] = {"tenant_usages": [_show(one, start, stop, detailed=detailed) for one in found]}
        if more:
            path = "/v2.1/os-simple-tenant-usage"
            body["tenant_usages_links"] = inputs.next_link(request, path, rows[-1].id)
        return body

    async def show(self, request: Request) -> Any:
        inputs.known_query(request, "start", "end", "limit", "marker")
        project_id = request.path["id"]
        request.policy.require(request.ctx, f"{_RULE}show", {"project_id": project_id})
        start, stop = self._period(request)
        rows, more = self._page(request, await self._servers(project_id))
        found = usage.of_projects(rows, start, stop, self._clock.now())
        body: dict[str, Any] = {"tenant_usage": _show(found[0], start, stop, detailed=True) if found else {}}
        if more:
            path = f"/v2.1/os-simple-tenant-usage/{project_id}"
            body["tenant_usage_links"] = inputs.next_link(request, path, rows[-1].id)
        return body

    async def _servers(self, project_id: str) -> Sequence[Server]:
        of: dict[str, Any] = {"project_id": project_id} if project_id else {}
        order = (("created_at", True), ("id", True))
        return await self._db.read(lambda tx: tx.find(Server, order=order, **of))

    def _page(self, request: Request, rows: Sequence[Server]) -> tuple[Sequence[Server], bool]:
        if request.version < PAGED:
            return rows, False
        return inputs.page(rows, request, self._most, lambda row: row.id)

    def _period(self, request: Request) -> tuple[datetime, datetime]:
        now = self._clock.now()
        stop = _moment(request.get("end")) or now
        start = _moment(request.get("start")) or (now - LOOK_BACK)
        if stop < start:
            raise BadRequest("Invalid start time. The start time cannot occur after the end time.")
        return start, stop


def routes(db: Database, clock: Clock, most: int = 1000) -> list[Route]:
    """The routes of usage; `most` is the length of a page, in servers."""
    api, base = UsageApi(db, clock, most), "/v2.1/os-simple-tenant-usage"
    return [
        Route("GET", base, api.list, f"{_RULE}list"),
        Route("GET", f"{base}/{{id}}", api.show),
    ]


def _moment(text: str | None) -> datetime | None:
    """A time as clients write it, UTC. Raises BadRequest."""
    if not text:
        return None
    for form in FORMATS:
        try:
            return datetime.strptime(text.strip('"'), form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise BadRequest(f"Datetime is in invalid format: {text}")


def _show(found: ProjectUsage, start: datetime, stop: datetime, *, detailed: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "tenant_id": found.project_id,
        "start": inputs.bare(start),
        "stop": inputs.bare(stop),
        "total_hours": found.hours,
        "total_vcpus_usage": found.vcpu_hours,
        "total_memory_mb_usage": found.ram_mib_hours,
        "total_local_gb_usage": found.disk_gib_hours,
    }
    if detailed:
        shown["server_usages"] = [_show_server(one) for one in found.servers]
    return shown


def _show_server(used: ServerUsage) -> dict[str, Any]:
    server = used.server
    return {
        "instance_id": server.id,
        "name": server.name,
        "tenant_id": server.project_id,
        "flavor": server.flavor.name,
        "vcpus": server.vcpus,
        "memory_mb": server.ram_mib,
        "local_gb": server.flavor.disk_gib + server.flavor.ephemeral_gib,
        "hours": used.hours,
        "uptime": used.uptime_seconds,
        "started_at": inputs.bare(server.launched_at or server.created_at),
        "ended_at": inputs.bare(server.terminated_at),
        "state": server.vm_state,
    }
