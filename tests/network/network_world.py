"""A network room to test with: manager, fake driver, service, API and callers of several projects."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from routing_tables import TABLES

from micronova.clock import Clock
from micronova.context import Context
from micronova.errors import Unauthorized
from micronova.http import Front
from micronova.manager import Runtime
from micronova.network.api import api
from micronova.network.db import ROWS
from micronova.network.drivers.fake import FakeNetworkDriver
from micronova.network.manager import NetworkManager
from micronova.network.policies import RULES
from micronova.network.strategies.base import StrategyManager
from micronova.network.strategies.flat import FlatManager
from micronova.network.strategies.flat_dhcp import FlatDHCPManager
from micronova.network.strategies.vlan import VlanManager
from micronova.network.strategies.vxlan import VxlanManager
from micronova.policy import Policy
from micronova.service import Service
from micronova.tasks import Task
from micronova.testing.client import Client
from micronova.testing.ground import ground

POLICY = Policy(RULES)
ADMIN = Context(
    request_id="req-admin",
    user_id="root",
    project_id="a" * 32,
    roles=("admin", "manager", "member", "reader"),
    is_admin=True,
)
ALICE = Context(request_id="req-alice", user_id="alice", project_id="b" * 32, roles=("member", "reader"))
BOB = Context(request_id="req-bob", user_id="bob", project_id="c" * 32, roles=("member", "reader"))
READER = Context(request_id="req-reader", user_id="carol", project_id="b" * 32, roles=("reader",))
CALLERS = {"admin": ADMIN, "alice": ALICE, "bob": BOB, "reader": READER}


async def authenticate(token: str) -> Context:
    if token not in CALLERS:
        raise Unauthorized("The request you have made requires authentication.")
    return CALLERS[token]


Carriers = Callable[[Runtime, str], tuple[StrategyManager, ...]]
"""Makes the strategies of a host."""


def flat_dhcp(runtime: Runtime, host: str) -> tuple[StrategyManager, ...]:
    return (FlatDHCPManager(runtime, host),)


def vxlan(runtime: Runtime, host: str) -> tuple[StrategyManager, ...]:
    """Host h7 has the end of its tunnels at 192.0.2.7."""
    return (VxlanManager(runtime, host, address=f"192.0.2.{host[-1]}"),)


def spanning(runtime: Runtime, host: str) -> tuple[StrategyManager, ...]:
    """Tunnels, VLANs and wires that are somebody else's; who asks for no type gets tunnels."""
    return (*vxlan(runtime, host), VlanManager(runtime, host), FlatManager(runtime, host))


class Host:
    """One host: its driver, manager and service."""

    def __init__(self, runtime: Runtime, name: str, carriers: Carriers) -> None:
        self.driver = FakeNetworkDriver(runtime.clock)
        self.carriers = carriers
        self.runtime = runtime
        self.name = name
        self.begin()

    def begin(self) -> None:
        """A new life of the host's process; what the driver made is still there."""
        self.strategies = self.carriers(self.runtime, self.name)
        self.manager = NetworkManager(
            self.runtime, self.name, driver=self.driver, policy=POLICY, strategies=self.strategies
        )
        self.service = Service(self.runtime, [*self.strategies, self.manager], self.name)


class Room:
    """Hosts on one database, and the API."""

    def __init__(self, runtime: Runtime, names: tuple[str, ...], carriers: Carriers) -> None:
        self.runtime = runtime
        self.hosts = {name: Host(runtime, name, carriers) for name in names}
        self.manager = self.hosts[names[0]].manager
        self.driver = self.hosts[names[0]].driver
        front = Front([api(self.manager, runtime.config.options)], authenticate, POLICY, runtime.clock, tables=TABLES)
        self.client = Client(front, "alice")

    async def call(self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str) -> Any:
        """The answer's body; the status must be the usual one for the method."""
        reply = await self.client.request(method, f"/network/v2.0{path}", body, token=token, headers=headers)
        usual = {"GET": 200, "POST": 201, "PUT": 200, "DELETE": 204}[method]
        assert usual == reply.status, (method, path, reply.status, reply.content)
        return reply.json if reply.content else None

    async def refused(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str
    ) -> tuple[int, str]:
        """Status and type of the error."""
        reply = await self.client.request(method, f"/network/v2.0{path}", body, token=token, headers=headers)
        assert reply.status >= 400, (method, path, reply.status, reply.content)
        return reply.status, reply.json["NeutronError"]["type"]

    async def make(self, noun: str, token: str | None = None, **values: Any) -> dict[str, Any]:
        """A new resource."""
        plural = noun.replace("_", "-") + "s"
        made: dict[str, Any] = (await self.call("POST", f"/{plural}", {noun: values}, token=token))[noun]
        return made

    async def network(self, cidr: str = "10.0.0.0/24", token: str | None = None, **values: Any) -> tuple[str, str]:
        """Ids of a new network and its subnet."""
        network = await self.make("network", token, name="net", **values)
        subnet = await self.make("subnet", token, network_id=network["id"], cidr=cidr)
        return network["id"], subnet["id"]

    async def idle(self) -> None:
        """Wait until no task is open and none runs."""
        await eventually(self._idle)

    async def _idle(self) -> bool:
        open_tasks = await self.runtime.db.read(lambda tx: tx.count(Task, open=True))
        return not open_tasks and all(host.service.runner.idle for host in self.hosts.values())


async def eventually(condition: Callable[[], Any], rounds: int = 3000) -> None:
    """Wait until `condition` (a coroutine function) holds; fails after a bounded number of looks."""
    for _ in range(rounds):
        if await condition():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it never became true")


@asynccontextmanager
async def room(
    *names: str, serve: bool = True, clock: Clock | None = None, carriers: Carriers = flat_dhcp, **flags: Any
) -> AsyncIterator[Room]:
    """A room whose hosts are served; the first is the API's."""
    runtime = ground(*ROWS, clock=clock, **flags)
    made = Room(runtime, names or ("host1",), carriers)
    await runtime.bus.start()
    for host in made.hosts.values() if serve else ():
        await host.service.start()
    try:
        yield made
    finally:
        for host in made.hosts.values():
            await host.service.stop()
        await runtime.bus.stop()
        runtime.db.close()
