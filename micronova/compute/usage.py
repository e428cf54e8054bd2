"""What projects used over a time, from the servers there are (os-simple-tenant-usage). Pure.

A server that is gone is no longer told: this cloud keeps no accounts.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from micronova.compute.db import Server

HOUR = 3600.0


class ServerUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What one server used of the time asked about."""

    server: Server
    hours: float
    uptime_seconds: int


class ProjectUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What a project's servers used: hours, and hours times size."""

    project_id: str
    hours: float
    vcpu_hours: float
    ram_mib_hours: float
    disk_gib_hours: float
    servers: tuple[ServerUsage, ...]


def of_server(server: Server, start: datetime, stop: datetime, now: datetime) -> ServerUsage | None:
    """What a server used from `start` to `stop`; None when it did not exist then."""
    began, ended = server.launched_at or server.created_at, server.terminated_at or now
    if began > stop or ended < start:
        return None
    seconds = max(0.0, (min(ended, stop) - max(began, start)).total_seconds())
    return ServerUsage(
        server=server,
        hours=seconds / HOUR,
        uptime_seconds=max(0, int((min(ended, stop) - began).total_seconds())),
    )


def of_projects(servers: Iterable[Server], start: datetime, stop: datetime, now: datetime) -> list[ProjectUsage]:
    """What each project used, in order of project id; projects without servers then are left out."""
    by_project: dict[str, list[ServerUsage]] = {}
    for server in servers:
        used = of_server(server, start, stop, now)
        if used is not None:
            by_project.setdefault(server.project_id, []).append(used)
    return [_sum(project_id, used) for project_id, used in sorted(by_project.items())]


def _sum(project_id: str, used: Sequence[ServerUsage]) -> ProjectUsage:
    return ProjectUsage(
        project_id=project_id,
        hours=sum(one.hours for one in used),
        vcpu_hours=sum(one.hours * one.server.vcpus for one in used),
        ram_mib_hours=sum(one.hours * one.server.ram_mib for one in used),
        disk_gib_hours=sum(one.hours * _disk(one.server) for one in used),
        servers=tuple(used),
    )


def _disk(server: Server) -> int:
    return server.flavor.disk_gib + server.flavor.ephemeral_gib
