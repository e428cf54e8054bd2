"""A cloud's compute API without servers' routes, in memory, and four people who ask it."""

import json
from typing import Any

import falcon.testing
import msgspec
from routing_tables import TABLES

from micronova import heartbeat
from micronova.clock import SystemClock
from micronova.compute import db
from micronova.compute.api import hosts as api_hosts
from micronova.compute.api.versions import MICROVERSIONS
from micronova.compute.db import FlavorFacts, Server
from micronova.compute.policies import RULES
from micronova.context import Context, admin_context
from micronova.errors import Error, Unauthorized
from micronova.http import Api, Front
from micronova.policy import Policy
from micronova.scheduler.db import ROWS as SCHEDULER_ROWS
from micronova.scheduler.manager import HostReport, SchedulerManager
from micronova.testing.ground import ground

CTX = admin_context(SystemClock())
PEOPLE = {
    "admin": Context(
        request_id="",
        user_id="u-admin",
        project_id="p-admin",
        roles=("admin", "manager", "member", "reader"),
        is_admin=True,
    ),
    "member": Context(request_id="", user_id="u1", project_id="p1", roles=("member", "reader")),
    "reader": Context(request_id="", user_id="u2", project_id="p1", roles=("reader",)),
    "other": Context(request_id="", user_id="u3", project_id="p2", roles=("member", "reader")),
}
PROJECTS = ("p-admin", "p1", "p2")


class Said(msgspec.Struct):
    """An answer."""

    status: int
    body: Any
    headers: dict[str, str]


def _render(status: int, error: Error) -> tuple[str, bytes]:
    return "application/json", json.dumps({"error": {"code": status, "message": error.message}}).encode()


async def _authenticate(token: str) -> Context:
    if token not in PEOPLE:
        raise Unauthorized("Who are you?")
    return PEOPLE[token]


async def _project_exists(ctx: Context, project_id: str) -> bool:
    return project_id in PROJECTS


class World:
    """The API, what stands behind it, and somebody to ask it."""

    def __init__(self, **flags: Any) -> None:
        self.runtime = ground(*db.ROWS, *SCHEDULER_ROWS, **flags)
        self.clock = self.runtime.clock
        self.db = self.runtime.db
        self.scheduler = SchedulerManager(self.runtime)
        routes = api_hosts.routes(self.scheduler, _project_exists)
        api = Api(name="compute", prefix="/compute", routes=routes, render=_render, microversions=MICROVERSIONS)
        self.front = Front([api], _authenticate, Policy(RULES), self.clock, tables=TABLES)

    async def ask(
        self, what: str, body: Any = None, *, who: str = "admin", version: str = "2.96", query: str = ""
    ) -> Said:
        """`what` is method and path below /compute/v2.1, e.g. "GET /flavors"."""
        method, _, path = what.partition(" ")
        headers = {"OpenStack-API-Version": f"compute {version}"}
        if who:
            headers["X-Auth-Token"] = who
        async with falcon.testing.ASGIConductor(self.front.app) as conductor:
            result = await conductor.simulate_request(
                method, f"/compute/v2.1{path}", headers=headers, query_string=query, json=body
            )
        found = json.loads(result.text) if result.text else None
        return Said(result.status_code, found, {k.lower(): v for k, v in result.headers.items()})

    async def host(self, name: str = "h1", **more: Any) -> None:
        """A host that serves."""
        facts = {"hypervisor_type": "QEMU", "hypervisor_version": 7002000, "vcpus": 4, "ram_mib": 4096, "disk_gib": 100}
        await self.scheduler.report(CTX, HostReport(host=name, cpu_model="max", **{**facts, **more}))
        for topic, binary in (("compute", "nova-compute"), ("scheduler", "nova-scheduler"), ("image", "glance-api")):
            said = heartbeat.Announcement(topic, name, binary, "nova", "1")
            await self.db.write(lambda tx, said=said: heartbeat.report(tx, self.clock, said), CTX, why="alive")

    async def server(self, host: str = "h1", project_id: str = "p1", **more: Any) -> Server:
        """A server's row, as if it ran."""
        now = self.clock.now()
        facts: dict[str, Any] = {
            "id": self.clock.new_id(),
            "user_id": "u1",
            "name": "web1",
            "hostname": "web1",
            "zone": "nova",
            "vm_state": "active",
            "flavor_id": "1",
            "flavor": FlavorFacts(id="1", name="m1.tiny", vcpus=1, ram_mib=128, disk_gib=1),
            "vcpus": 1,
            "ram_mib": 128,
            "reservation_id": "r-1",
            "created_at": now,
            "updated_at": now,
            "launched_at": now,
        }
        row = Server(project_id=project_id, host=host, **{**facts, **more})
        return await self.db.write(lambda tx: tx.insert(row), CTX, why="test")
