"""A volume room to test with: hosts with pretended back ends, images, the API, and callers of several projects."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from routing_tables import TABLES

from micronova.context import Context
from micronova.errors import Unauthorized
from micronova.http import Front
from micronova.image.changes import NewImage
from micronova.image.db import ROWS as IMAGE_ROWS
from micronova.image.manager import ImageManager
from micronova.image.policies import RULES as IMAGE_RULES
from micronova.image.stores.file import FileStore
from micronova.manager import Runtime
from micronova.policy import Policy
from micronova.service import Service
from micronova.tasks import Task
from micronova.testing.client import Client, Reply
from micronova.testing.ground import ground
from micronova.volume.api import api
from micronova.volume.contract import AttachmentInfo, AttachRequest, Connector
from micronova.volume.db import ROWS, Attachment, Snapshot, Volume
from micronova.volume.drivers.fake import FakeVolumeDriver
from micronova.volume.manager import VolumeManager
from micronova.volume.policies import RULES
from micronova.volume.volumes import NewVolume

POLICY = Policy({**RULES, **IMAGE_RULES})
ALL = ("admin", "manager", "member", "reader")
ADMIN = Context(request_id="req-admin", user_id="a1" * 16, project_id="a" * 32, roles=ALL, is_admin=True)
ALICE = Context(request_id="req-alice", user_id="b1" * 16, project_id="b" * 32, roles=("member", "reader"))
BOB = Context(request_id="req-bob", user_id="c1" * 16, project_id="c" * 32, roles=("member", "reader"))
READER = Context(request_id="req-reader", user_id="d1" * 16, project_id="b" * 32, roles=("reader",))
CALLERS = {"admin": ADMIN, "alice": ALICE, "bob": BOB, "reader": READER}
NOWHERE = "11111111-1111-4111-8111-111111111111"
SERVER = "22222222-2222-4222-8222-222222222222"
HERE = Connector(host="h1", ip="192.0.2.1")


async def authenticate(token: str) -> Context:
    if token not in CALLERS:
        raise Unauthorized("The request you have made requires authentication.")
    return CALLERS[token]


class Host:
    """One host: what its back ends hold outlives its service."""

    def __init__(self, world: "World", name: str, drivers: dict[str, FakeVolumeDriver]) -> None:
        self.world = world
        self.name = name
        self.drivers = drivers
        self.service: Service | None = None
        self.make()

    def make(self) -> None:
        """New managers, as a new process has them."""
        world = self.world
        self.runtime = Runtime(world.runtime.config, world.runtime.clock, world.runtime.bus, world.db)
        self.image = ImageManager(self.runtime, self.name, driver=world.store, policy=POLICY)
        self.volume = VolumeManager(self.runtime, self.name, drivers=self.drivers, image=self.image, policy=POLICY)

    async def start(self) -> None:
        self.make()
        self.service = Service(self.runtime, [self.image, self.volume], self.name)
        await self.service.start()

    async def stop(self) -> None:
        service, self.service = self.service, None
        if service is not None:
            await service.stop()


class World:
    """Hosts, and the API beside them."""

    def __init__(self, folder: Path, backends: tuple[str, ...] = ("file",), **flags: Any) -> None:
        given = {f"volume__backends__{name}__driver": "fake" for name in backends}
        given |= {"state": str(folder), "tasks__retry_seconds": 0.01, "tasks__sweep_seconds": 0.2, **flags}
        self.runtime = ground(*ROWS, *IMAGE_ROWS, **given)
        self.db = self.runtime.db
        self.store = FileStore(folder / "images")
        self.backends = backends
        self.hosts: dict[str, Host] = {}
        self.folder = folder

    async def open(self, *names: str) -> None:
        await self.runtime.bus.start()
        for name in names:
            drivers = {backend: FakeVolumeDriver(name=backend) for backend in self.backends}
            self.hosts[name] = Host(self, name, drivers)
            await self.hosts[name].start()
        first = self.hosts[names[0]]
        self.volumes = first.volume
        self.driver = first.drivers[self.backends[0]]

    async def close(self) -> None:
        for host in self.hosts.values():
            await host.stop()
        await self.runtime.bus.stop()

    async def restart(self, name: str = "h1") -> None:
        await self.hosts[name].stop()
        await self.hosts[name].start()
        self.volumes = self.hosts[name].volume

    # -- asking

    @cached_property
    def client(self) -> Client:
        """The API; made when it is asked, for its many routes take a while."""
        made = api(self.volumes, self.runtime.config.options)
        return Client(Front([made], authenticate, POLICY, self.runtime.clock, tables=TABLES), "alice")

    async def ask(
        self, what: str, body: Any = None, *, who: str = "alice", version: str = "3.70", status: int | None = None
    ) -> Any:
        """`what` is method and path below /volume/v3; returns the body after checking the status."""
        reply = await self.reply(what, body, who=who, version=version)
        wanted = status or (202 if what.startswith(("POST", "DELETE")) else 200)
        assert reply.status == wanted, (what, reply.status, reply.content)
        return reply.json if reply.content else None

    async def reply(self, what: str, body: Any = None, *, who: str = "alice", version: str = "3.70") -> Reply:
        method, _, path = what.partition(" ")
        headers = {"OpenStack-API-Version": f"volume {version}"}
        return await self.client.request(method, f"/volume/v3{path}", body, token=who, headers=headers)

    # -- made

    async def volume(self, who: Context = ALICE, **fields: Any) -> Volume:
        """A volume that is available."""
        asked = NewVolume(**{"size_gib": 1, "name": "v", **fields})
        made = (await self.volumes.create(who, asked)).row
        return await self.until(made.id, "available")

    async def image(self, data: bytes = b"\x01" * 4096, **fields: Any) -> str:
        values = {"name": "i", "disk_format": "raw", "container_format": "bare", "visibility": "public", **fields}
        image = await next(iter(self.hosts.values())).image.create(ADMIN, NewImage(values, {"os_distro": "none"}))
        await next(iter(self.hosts.values())).image.upload(ADMIN, image.id, pieces(data))
        return image.id

    async def attached(self, volume: Volume, server: str = SERVER, connector: Connector = HERE) -> AttachmentInfo:
        """An attachment all the way."""
        info = await self.volumes.reserve(ALICE, AttachRequest(volume_id=volume.id, server_id=server))
        info = await self.volumes.connect(ALICE, info.id, connector)
        await self.volumes.complete(ALICE, info.id, device="/dev/vdb")
        return info

    # -- waiting

    async def until(self, id: str, status: str) -> Volume:
        """The volume when it has this status."""
        return await self.when(lambda: self.row(id), lambda row: row is not None and row.status == status)

    async def gone(self, id: str) -> None:
        await self.when(lambda: self.row(id), lambda row: row is None)

    async def idle(self) -> None:
        """Nothing that may run now is left to be done."""
        now = self.runtime.clock.now()
        await self.when(
            lambda: self.db.read(lambda tx: tx.find(Task, open=True)),
            lambda rows: all(row.run_at > now and not row.cancelled for row in rows),
        )

    async def when(self, look: Callable[[], Awaitable[Any]], good: Callable[[Any], bool]) -> Any:
        for _ in range(2000):
            found = await look()
            if good(found):
                return found
            await asyncio.sleep(0.005)
        raise AssertionError(f"it did not come about: {found}")

    # -- rows

    async def row(self, id: str) -> Volume | None:
        return await self.db.read(lambda tx: tx.first(Volume, id=id))

    async def snapshot_row(self, id: str) -> Snapshot | None:
        return await self.db.read(lambda tx: tx.first(Snapshot, id=id))

    async def attachment_row(self, id: str) -> Attachment | None:
        return await self.db.read(lambda tx: tx.first(Attachment, id=id))

    async def rows(self, cls: Any, **where: Any) -> list[Any]:
        return await self.db.read(lambda tx: tx.find(cls, **where))


async def pieces(data: bytes) -> AsyncIterator[bytes]:
    yield data
