"""A cloud that is identity only: admin and demo, no sockets, cheap passwords."""

import sqlite3
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from routing_tables import TABLES

from micronova.clock import SystemClock
from micronova.context import admin_context
from micronova.db import Tx
from micronova.http import Front
from micronova.identity import db
from micronova.identity.api import api
from micronova.identity.db import ROWS
from micronova.identity.manager import IdentityManager
from micronova.identity.passwords import Cost, Passwords
from micronova.identity.policies import RULES
from micronova.policy import Policy
from micronova.testing.client import Client, Reply
from micronova.testing.ground import ground

POLICY = Policy(RULES)
CHEAP = Cost(passes=1, memory_kib=8)
SERVICES = (("identity", "keystone", "/identity"), ("compute", "nova", "/compute/v2.1"))


class MovableClock(SystemClock):
    """The real time and `ahead` of it."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


class Cloud(Client):
    """The client of an administrator, and short cuts for what most tests begin with.

    Made and started once; tests begin with a copy of its database as it was then (`restore`).
    """

    def __init__(self, folder: Path) -> None:
        self.clock = MovableClock()
        self.runtime = ground(*ROWS, clock=self.clock, state=str(folder))
        self.manager = self.another()
        front = Front([api(self.manager)], self.manager.authenticate, self.manager.policy, self.clock, tables=TABLES)
        super().__init__(front)
        self.ctx = admin_context(self.clock)
        self.demo = ""
        self._kept = sqlite3.connect(":memory:")

    async def start(self) -> None:
        """Make the first users and log them in."""
        await self.manager.bootstrap(self.ctx, "secret", "demo-secret", SERVICES)
        self.token = token_of(await self.login("admin", "secret", in_project("admin")))
        self.demo = token_of(await self.login("demo", "demo-secret", in_project("demo")))
        self._connection().backup(self._kept)

    async def restore(self) -> None:
        """Bring database and clock back to where they were after the start; what is remembered of tokens is void."""
        epoch = await self.runtime.db.read(db.epoch)
        self._kept.backup(self._connection())
        self.clock.ahead = timedelta()

        def advance(tx: Tx) -> None:
            tx.change(tx.get(db.Epoch, db.EPOCH), number=epoch + 1)

        await self.runtime.db.write(advance, self.ctx, why="restored")

    def _connection(self) -> sqlite3.Connection:
        found: sqlite3.Connection = self.runtime.db.engine.connect(write=True).cursor().connection  # type: ignore
        return found

    def another(self) -> IdentityManager:
        """A manager of the same cloud with a memory of its own, like one in another process."""
        passwords = Passwords(self.clock, CHEAP, threads=0)
        return IdentityManager(self.runtime, policy=POLICY, passwords=passwords)

    async def login(self, name: str, password: str, scope: Any = None) -> Reply:
        """POST /v3/auth/tokens with a password."""
        user = {"name": name, "domain": {"id": "default"}, "password": password}
        return await self.prove({"methods": ["password"], "password": {"user": user}}, scope)

    async def prove(self, identity: dict[str, Any], scope: Any = None) -> Reply:
        auth: dict[str, Any] = {"identity": identity}
        if scope is not None:
            auth["scope"] = scope
        return await self.post("/identity/v3/auth/tokens", {"auth": auth}, token="")

    async def make(self, noun: str, plural: str = "", **fields: Any) -> Any:
        """Create a resource as the administrator; returns it."""
        answer = await self.post(f"/identity/v3/{plural or noun + 's'}", {noun: fields})
        assert 201 == answer.status, answer.content
        return answer.json[noun]

    async def role_id(self, name: str) -> str:
        found = (await self.get("/identity/v3/roles", name=name)).json["roles"]
        return str(found[0]["id"])

    async def project_id(self, name: str) -> str:
        found = (await self.get("/identity/v3/projects", name=name)).json["projects"]
        return str(found[0]["id"])


def in_project(name: str) -> dict[str, Any]:
    return {"project": {"name": name, "domain": {"id": "default"}}}


def token_of(answer: Reply) -> str:
    assert 201 == answer.status, answer.content
    return answer.headers["x-subject-token"]
