"""A cloud of image managers only, and a client of its API without sockets."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Iterable
from typing import Any
from urllib.parse import urlsplit

from routing_tables import TABLES

from micronova.context import Context
from micronova.errors import Unauthorized
from micronova.http import Front
from micronova.image.api import api
from micronova.image.db import ROWS
from micronova.image.manager import ImageManager
from micronova.image.policies import RULES
from micronova.image.stores.fake import FakeStore
from micronova.manager import Runtime
from micronova.policy import Policy
from micronova.service import Service
from micronova.testing.ground import ground

PATCH = "application/openstack-images-v2.1-json-patch"
OLD_PATCH = "application/openstack-images-v2.0-json-patch"
MEMBER = ("member", "reader")
BARE = {"disk_format": "raw", "container_format": "bare"}


def caller(name: str, roles: tuple[str, ...] = MEMBER) -> Context:
    return Context(
        request_id="req-1", user_id=f"u-{name}", project_id=f"p-{name}", roles=roles, is_admin="admin" in roles
    )


CALLERS = {
    "admin": caller("admin", ("admin", "manager", "member", "reader")),
    "ann": caller("ann"),
    "bob": caller("bob"),
    "reader": Context(request_id="req-1", user_id="u-r", project_id="p-ann", roles=("reader",)),
}
ANN, BOB, ADMIN = CALLERS["ann"], CALLERS["bob"], CALLERS["admin"]


class Reply:
    """An answer: status, headers in lower case, body."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """Asks the application as one caller. A body given as list is sent in its pieces, without a length."""

    def __init__(self, front: Front, token: str = "ann") -> None:
        self._app = front.app
        self.token = token

    async def get(self, path: str, **more: Any) -> Reply:
        return await self.call("GET", path, **more)

    async def post(self, path: str, **more: Any) -> Reply:
        return await self.call("POST", path, **more)

    async def put(self, path: str, **more: Any) -> Reply:
        return await self.call("PUT", path, **more)

    async def delete(self, path: str, **more: Any) -> Reply:
        return await self.call("DELETE", path, **more)

    async def patch(self, path: str, changes: Any, kind: str = PATCH, token: str | None = None) -> Reply:
        return await self.call("PATCH", path, json=changes, headers={"content-type": kind}, token=token)

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes | list[bytes] | None = None,
        headers: dict[str, str] | None = None,
        token: str | None = None,
        lost: bool = False,
    ) -> Reply:
        """`lost`: the connection breaks when the body was sent."""
        sent = encode(json) if json is not None else body if body is not None else b""
        told = {"host": "cloud", "x-auth-token": self.token if token is None else token, **(headers or {})}
        if not isinstance(sent, list):
            told.setdefault("content-length", str(len(sent)))
        parts = urlsplit(path)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": _decoded(parts.path),
            "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(),
            "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in told.items()],
            "server": ("cloud", 80),
            "client": ("127.0.0.1", 1),
        }
        return await self._run(scope, sent if isinstance(sent, list) else [sent], lost)

    async def _run(self, scope: dict[str, Any], pieces: list[bytes], lost: bool) -> Reply:
        events = [
            {"type": "http.request", "body": piece, "more_body": lost or i + 1 < len(pieces)}
            for i, piece in enumerate(pieces or [b""])
        ]
        if lost:
            events.append({"type": "http.disconnect"})
        sent: list[dict[str, Any]] = []
        done = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if events:
                return events.pop(0) if len(events) > 1 or not lost else events[0]
            await done.wait()
            return {"type": "http.disconnect"}

        async def send(event: dict[str, Any]) -> None:
            sent.append(event)

        await self._app(scope, receive, send)
        done.set()
        start = next(event for event in sent if event["type"] == "http.response.start")
        body = b"".join(event.get("body", b"") for event in sent if event["type"] == "http.response.body")
        headers = {name.decode().lower(): value.decode() for name, value in start["headers"]}
        return Reply(start["status"], headers, body)


def encode(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


def _decoded(path: str) -> str:
    from urllib.parse import unquote

    return unquote(path)


async def authenticate(token: str) -> Context:
    if token not in CALLERS:
        raise Unauthorized("The request you have made requires authentication.")
    return CALLERS[token]


class World:
    """One host with an image manager, its service and its API."""

    def __init__(self, runtime: Runtime, store: FakeStore) -> None:
        self.runtime = runtime
        self.policy = Policy(RULES)
        self.store = store
        self.images = ImageManager(runtime, driver=store, policy=self.policy)
        self.service = Service(runtime, [self.images])
        routes = api(self.images, runtime.config.options)
        self.front = Front([routes], authenticate, self.policy, runtime.clock, tables=TABLES)
        self.client = Client(self.front)

    def another(self, host: str, store: FakeStore) -> ImageManager:
        """An image manager of another host of the same cloud."""
        return ImageManager(self.runtime, host, driver=store, policy=self.policy)

    async def image(self, token: str = "ann", data: bytes | None = None, **fields: Any) -> str:
        """The id of a new image, with bytes if `data` is given."""
        made = await self.client.post("/image/v2/images", json={**BARE, **fields}, token=token)
        assert made.status == 201, made.text
        id: str = made.json()["id"]
        if data is not None:
            sent = await self.upload(id, data, token)
            assert sent.status == 204, sent.text
        return id

    async def upload(self, id: str, data: bytes | list[bytes], token: str = "ann", **more: Any) -> Reply:
        headers = {"content-type": "application/octet-stream"}
        return await self.client.put(f"/image/v2/images/{id}/file", body=data, token=token, headers=headers, **more)

    async def shown(self, id: str, token: str = "admin") -> dict[str, Any]:
        found: dict[str, Any] = (await self.client.get(f"/image/v2/images/{id}", token=token)).json()
        return found

    async def names(self, query: str = "", token: str = "ann") -> list[str]:
        reply = await self.client.get("/image/v2/images" + query, token=token)
        assert reply.status == 200, reply.text
        return [image["name"] for image in reply.json()["images"]]

    async def emptied(self) -> bool:
        """Whether the store comes to hold nothing, within a while."""
        for _ in range(500):
            if not self.store.committed and not self.store.incoming:
                return True
            await asyncio.sleep(0.01)
        return False


def make_world(tmp_path: Any, store: FakeStore | None = None, **options: Any) -> World:
    return World(ground(*ROWS, state=str(tmp_path), **options), store or FakeStore())


async def stream(pieces: Iterable[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


# -- images by content


def qcow2(
    *, backing: int = 0, features: int = 0, virtual_size: int = 1 << 30, version: int = 3, length: int = 4096
) -> bytes:
    """A header as the specification has it (QEMU docs/interop/qcow2.txt), and nothing behind it."""
    head = struct.pack(">4sIQIIQ", b"QFI\xfb", version, backing, 8 if backing else 0, 16, virtual_size)
    head = head.ljust(72, b"\0") + struct.pack(">QQQII", features, 0, 0, 4, 104)
    return head.ljust(length, b"\0")


def vmdk(extent: str = 'RW 2048 SPARSE "disk.vmdk"', kind: str = "monolithicSparse", at: int = 1) -> bytes:
    """A hosted sparse extent with its descriptor (VMware "Virtual Disk Format 5.0")."""
    head = struct.pack("<4sIIQQQQIQQ", b"KDMV", 1, 3, 2048, 128, at, 20, 512, 0, 0)
    text = f'# Disk DescriptorFile\nversion=1\nCID=1\ncreateType="{kind}"\n{extent}\nddb.adapterType = "ide"\n'
    return head.ljust(512, b"\0") + text.encode().ljust(20 * 512, b"\0") + b"\0" * 4096
