"""Whole hosts in one process: real managers on fake drivers, the compute API, and four people who ask it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import falcon.testing
import msgspec
from routing_tables import TABLES

from micronova.clock import SystemClock
from micronova.compute import api
from micronova.compute import db as rows
from micronova.compute.db import Flavor, KeyPair, Server
from micronova.compute.drivers.fake import FakeComputeDriver
from micronova.compute.manager import ComputeManager
from micronova.compute.policies import RULES
from micronova.context import Context, admin_context
from micronova.errors import Unauthorized
from micronova.http import Front
from micronova.image.changes import NewImage
from micronova.image.db import ROWS as IMAGE_ROWS
from micronova.image.manager import ImageManager
from micronova.image.policies import RULES as IMAGE_RULES
from micronova.image.stores.file import FileStore
from micronova.manager import Runtime
from micronova.network import resources
from micronova.network.attributes import for_create
from micronova.network.db import ROWS as NETWORK_ROWS
from micronova.network.db import Port
from micronova.network.drivers.fake import FakeNetworkDriver
from micronova.network.manager import NetworkManager
from micronova.network.policies import RULES as NETWORK_RULES
from micronova.network.strategies.flat_dhcp import FlatDHCPManager
from micronova.policy import Policy
from micronova.scheduler.db import ROWS as SCHEDULER_ROWS
from micronova.scheduler.db import Allocation
from micronova.scheduler.manager import SchedulerManager
from micronova.service import Service
from micronova.tasks import Task
from micronova.testing.ground import ground
from micronova.volume.db import ROWS as VOLUME_ROWS
from micronova.volume.db import Attachment, Volume
from micronova.volume.drivers.fake import FakeVolumeDriver
from micronova.volume.manager import VolumeManager
from micronova.volume.policies import RULES as VOLUME_RULES
from micronova.volume.volumes import NewVolume

CTX = admin_context(SystemClock())
MEMBER = Context(request_id="req-1", user_id="u1", project_id="p1", roles=("member", "reader"))
PEOPLE = {
    "admin": Context(
        request_id="",
        user_id="u-admin",
        project_id="p-admin",
        roles=("admin", "manager", "member", "reader"),
        is_admin=True,
    ),
    "member": MEMBER,
    "reader": Context(request_id="", user_id="u2", project_id="p1", roles=("reader",)),
    "other": Context(request_id="", user_id="u3", project_id="p2", roles=("member", "reader")),
}


PLANS: dict[Any, Any] = {}
COMPILED: dict[Any, Any] = {}


class Said(msgspec.Struct):
    """An answer."""

    status: int
    body: Any
    headers: dict[str, str]


class Host:
    """One host: its drivers live on when its service dies, as guests do."""

    def __init__(self, world: "ServerWorld", name: str, **size: Any) -> None:
        self.name = name
        self.world = world
        self.driver = FakeComputeDriver(world.clock, **size)
        self.net = FakeNetworkDriver(world.clock)
        self.disks = FakeVolumeDriver(name=name)
        self.backends = {"fake": self.disks}
        self.service: Service | None = None
        self.make()

    def make(self) -> None:
        """New managers, as a new process has them."""
        world = self.world
        # every process has a client of its own
        self.runtime = Runtime(world.runtime.config, world.clock, world.runtime.bus, world.db)
        self.scheduler = SchedulerManager(self.runtime, self.name)
        self.network = NetworkManager(
            self.runtime,
            self.name,
            driver=self.net,
            policy=world.policy,
            strategies=(FlatDHCPManager(self.runtime, self.name),),
        )
        self.image = ImageManager(self.runtime, self.name, driver=world.store, policy=world.policy)
        self.volume = VolumeManager(
            self.runtime, self.name, drivers=self.backends, image=self.image, policy=world.policy
        )
        self.compute = ComputeManager(
            self.runtime,
            self.name,
            driver=self.driver,
            network=self.network,
            image=self.image,
            scheduler=self.scheduler,
            policy=world.policy,
            volume=self.volume,
        )
        self.volume.on_grown = self.compute.record_grown
        self.volume.guests = self.compute

    async def start(self) -> None:
        self.make()
        managers = [self.scheduler, self.image, self.network, self.volume, self.compute]
        self.service = Service(self.runtime, managers, self.name)
        await self.service.start()

    async def stop(self) -> None:
        service, self.service = self.service, None
        if service is not None:
            await service.stop()


class ServerWorld:
    """Hosts, an image, a network, flavors, a key pair; the API runs beside them."""

    def __init__(self, folder: Path, **flags: Any) -> None:
        given = {"state": str(folder), "tasks__sweep_seconds": 0.2, **flags}
        self.runtime = ground(*rows.ROWS, *SCHEDULER_ROWS, *NETWORK_ROWS, *IMAGE_ROWS, *VOLUME_ROWS, **given)
        self.clock, self.db = self.runtime.clock, self.runtime.db
        # statements depend on rows and dialect alone: compiling them for every world would take most of a test
        self.db._plans, self.db._compiled = PLANS, COMPILED
        self.policy = Policy({**RULES, **NETWORK_RULES, **IMAGE_RULES, **VOLUME_RULES})
        self.store = FileStore(folder / "images")
        self.hosts: dict[str, Host] = {}
        self.api = Host(self, "api")
        self.compute = self.api.compute
        self.front = Front([api.api(self.compute)], _authenticate, self.policy, self.clock, tables=TABLES)
        self.image_id = ""
        self.network_id = ""

    async def open(self, *hosts: str, **size: Any) -> None:
        """Hosts that serve, and what a first server needs."""
        await self.runtime.bus.start()
        self.api.service = Service(self.api.runtime, [self.api.image], "api")
        await self.api.service.start()
        for name in hosts:
            self.hosts[name] = Host(self, name, **size)
            await self.hosts[name].start()
        await self._stock()

    async def close(self) -> None:
        for host in (self.api, *self.hosts.values()):
            await host.stop()
        await self.runtime.bus.stop()

    async def _stock(self) -> None:
        def stock(tx: Any) -> None:
            now = self.clock.now()
            for number, (name, ram, disk) in enumerate((("tiny", 128, 1), ("small", 512, 5)), 1):
                tx.insert(
                    Flavor(
                        id=f"f{number}",
                        flavorid=str(number),
                        name=name,
                        vcpus=number,
                        ram_mib=ram,
                        disk_gib=disk,
                        created_at=now,
                    )
                )
            tx.insert(
                KeyPair(id="k1", user_id="u1", name="key", public_key="ssh-rsa AAA", fingerprint="aa", created_at=now)
            )

        await self.db.write(stock, CTX, why="test")
        self.image_id = await self.new_image()
        self.network_id = await self.new_network("private", "10.60.0.0/24")

    async def new_image(self, properties: dict[str, str] | None = None, **more: Any) -> str:
        admin = PEOPLE["admin"]
        values = {"name": "tiny", "disk_format": "raw", "container_format": "bare", "visibility": "public", **more}
        image = await self.api.image.create(admin, NewImage(values=values, properties=properties or {}))
        await self.api.image.upload(admin, image.id, _bytes(b"x" * 512))
        return image.id

    async def new_network(self, name: str, cidr: str, who: Context = MEMBER) -> str:
        networks, subnets = self.api.network.networks, self.api.network.subnets
        asked = for_create(resources.NETWORK, {"name": name, "tenant_id": who.project_id})
        row = (await networks.create(PEOPLE["admin"], [asked])).rows[0]
        body = {"network_id": row.id, "cidr": cidr, "ip_version": 4, "tenant_id": who.project_id}
        await subnets.create(PEOPLE["admin"], [for_create(resources.SUBNET, body)])
        return row.id

    async def new_volume(self, *, who: Context = MEMBER, **more: Any) -> str:
        """A volume that is available; its id."""
        view = await self.api.volume.create(who, NewVolume(**{"size_gib": 1, **more}))
        await self.wait(lambda: self.volume(view.row.id), lambda row: row.status == "available")
        return view.row.id

    async def volume(self, id: str) -> Volume | None:
        return await self.db.read(lambda tx: tx.first(Volume, id=id))

    async def attachments(self, volume_id: str) -> list[Attachment]:
        return await self.db.read(lambda tx: tx.find(Attachment, volume_id=volume_id))

    async def until_volume(self, id: str, status: str) -> Volume:
        """Wait until the volume has this status."""
        found: Volume = await self.wait(lambda: self.volume(id), lambda row: row is not None and row.status == status)
        return found

    # -- asking

    async def ask(
        self, what: str, body: Any = None, *, who: str = "member", version: str = "2.96", query: str = ""
    ) -> Said:
        """`what` is method and path below /compute/v2.1, e.g. "GET /servers"."""
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

    def body(self, **more: Any) -> dict[str, Any]:
        """A body for POST /servers."""
        asked = {
            "name": "web1",
            "imageRef": self.image_id,
            "flavorRef": "1",
            "networks": [{"uuid": self.network_id}],
            **more,
        }
        return {"server": {name: value for name, value in asked.items() if value is not None}}

    async def boot(self, **more: Any) -> str:
        """A server that is ACTIVE; its id."""
        said = await self.ask("POST /servers", self.body(**more))
        assert 202 == said.status, said.body
        id: str = said.body["server"]["id"]
        await self.until(id, "ACTIVE")
        return id

    async def act(self, id: str, action: str, argument: Any = None, **how: Any) -> Said:
        return await self.ask(f"POST /servers/{id}/action", {action: argument}, **how)

    async def row(self, id: str) -> Server | None:
        return await self.db.read(lambda tx: tx.first(Server, id=id))

    async def tasks(self, id: str) -> list[Task]:
        return await self.db.read(lambda tx: tx.find(Task, resource=f"server:{id}", order=(("seq", True),)))

    async def until(self, id: str, status: str) -> dict[str, Any]:
        """Wait until the server has this status and nothing is being done to it; it as an administrator sees it."""
        shown: dict[str, Any] = {}
        for _ in range(600):
            said = await self.ask(f"GET /servers/{id}", who="admin")
            shown = (said.body or {}).get("server", {})
            if shown.get("status") == status and shown["OS-EXT-STS:task_state"] is None:
                return shown
            await asyncio.sleep(0.01)
        raise AssertionError(f"{id} is not {status}: {shown}")

    async def until_gone(self, id: str) -> None:
        """Wait until the server's row is gone."""
        await self.wait(lambda: self.row(id), lambda row: row is None)

    async def wait(self, ask: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
        """Wait until what `ask` answers is good."""
        found = None
        for _ in range(600):
            found = await ask()
            if good(found):
                return found
            await asyncio.sleep(0.01)
        raise AssertionError(f"in vain: {found}")

    async def leaks(self) -> list[str]:
        """What is there for servers that are not."""

        def look(tx: Any) -> list[str]:
            ids = {row.id for row in tx.find(Server)}
            hosted = {row.id for row in tx.find(Server) if row.host}
            held = {row.consumer_id for row in tx.find(Allocation)}
            found = [f"allocation of {consumer}" for consumer in sorted(held - hosted)]
            found += [f"input {row.id}" for row in tx.find(rows.ServerInput) if row.id not in ids]
            ports = tx.find(Port)
            found += [f"port {row.id}" for row in ports if row.device_id and row.device_id not in ids]
            return found

        found = await self.db.read(look)
        ids = {row.id for row in await self.db.read(lambda tx: tx.find(Server))}
        for host in self.hosts.values():
            found += [f"guest {guest.id} on {host.name}" for guest in await host.driver.list() if guest.id not in ids]
        return found


async def _bytes(data: bytes) -> AsyncIterator[bytes]:
    yield data


async def _authenticate(token: str) -> Context:
    if token not in PEOPLE:
        raise Unauthorized("Who are you?")
    return PEOPLE[token]
