"""What is measured from outside: a simulated cloud in a process of its own, and a small client of it."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import msgspec

from micronova.clock import SystemClock

Result = tuple[str, float, str]

MICRONOVA = (sys.executable, "-m", "micronova")
PATIENCE = 120.0
"""Seconds after which something that was waited for counts as broken."""


class Reply(msgspec.Struct, frozen=True):
    """An answer. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.content)


class Process:
    """Another process, as /proc shows it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.clock = SystemClock()

    def cpu_seconds(self) -> float:
        """User and system time of all its threads that live, in steps of nanoseconds (proc(5), schedstat)."""
        tasks = Path(f"/proc/{self.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9

    def rss_mib(self) -> float:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    async def idle_percent(self, seconds: float) -> float:
        """CPU used while nobody asks for anything, as a share of one core."""
        begun, cpu = self.clock.monotonic(), self.cpu_seconds()
        await asyncio.sleep(seconds)
        return (self.cpu_seconds() - cpu) / (self.clock.monotonic() - begun) * 100

    def end(self) -> None:
        """It is gone; killed when it does not listen."""
        for number, tries in ((signal.SIGTERM, 300), (signal.SIGKILL, 100)):
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return
            for _ in range(tries):
                if not Path(f"/proc/{self.pid}").exists():
                    return
                self._pause(0.05)

    def _pause(self, seconds: float) -> None:
        subprocess.run(["sleep", str(seconds)], check=True)


class Cloud:
    """`micronova up` on a free port of the loopback, in `folder`; gone after the block.

    It is simulated, unless `real` tells by environment variables how it shall be.
    """

    def __init__(self, folder: Path, *, real: dict[str, str] | None = None) -> None:
        self.folder = folder
        self._real = real
        self.process = Process(0)
        self.url = ""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.end()

    def start(self) -> None:
        """It answers. Raises RuntimeError with what it said when it does not."""
        words = [*MICRONOVA, "up", "--no-demo", "--detach", "--state", str(self.folder), "--listen", "127.0.0.1:0"]
        if self._real is None:
            words.append("--simulate")
        around = {**os.environ, **(self._real or {})}
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=PATIENCE, env=around)
        if done.returncode != 0:
            raise RuntimeError(f"the cloud does not start: {done.stdout}{done.stderr}")
        self.process = Process(int((self.folder / "lock").read_text().split()[0]))
        self.url = next(word for word in done.stdout.split() if word.startswith("http://"))

    def login(self) -> dict[str, Any]:
        """The body that asks for the administrator's token."""
        user = {
            "name": "admin",
            "domain": {"name": "Default"},
            "password": (self.folder / "passwords" / "admin").read_text().strip(),
        }
        scope = {"project": {"name": "admin", "domain": {"name": "Default"}}}
        return {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}


class Client:
    """One connection that stays open, one request at a time."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname, parts.port
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self.token = ""

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._close()

    async def _open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=1 << 23)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def message(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> bytes:
        """A whole request, ready to be sent as often as it is wanted."""
        data = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
        sent = {"host": f"{self._host}:{self._port}", "content-length": str(len(data)), **(headers or {})}
        if body is not None:
            sent.setdefault("content-type", "application/json")
        if self.token:
            sent["x-auth-token"] = self.token
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + data

    async def send(self, message: bytes) -> Reply:
        """The answer to one request. A connection that the server closed because it was idle is opened again."""
        try:
            return await self._exchange(message)
        except (asyncio.IncompleteReadError, ConnectionError):
            self._close()
            await self._open()
            return await self._exchange(message)

    async def _exchange(self, message: bytes) -> Reply:
        assert self._reader is not None
        assert self._writer is not None
        self._writer.write(message)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        content = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return Reply(int(head[0].split()[1]), headers, content)

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """The answer of a request that succeeds. Raises RuntimeError for a refusal."""
        reply = await self.send(self.message(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()}))
        if reply.status >= 400:
            raise RuntimeError(f"{method} {path}: {reply.status} {reply.content[:300]!r}")
        return reply

    async def log_in(self, cloud: Cloud) -> None:
        reply = await self.ask("POST", "/identity/v3/auth/tokens", cloud.login())
        self.token = reply.headers["x-subject-token"]


class Template(msgspec.Struct, frozen=True):
    """What servers are made of: ids."""

    image: str
    flavor: str
    network: str


async def furnish(client: Client) -> Template:
    """The cloud has an image, a network and a flavor for servers."""
    image = {"name": "bench", "disk_format": "raw", "container_format": "bare"}
    image_id = (await client.ask("POST", "/image/v2/images", image)).json["id"]
    await client.ask("PUT", f"/image/v2/images/{image_id}/file", bytes(4096), content_type="application/octet-stream")
    network = (await client.ask("POST", "/network/v2.0/networks", {"network": {"name": "bench"}})).json["network"]
    subnet = {"network_id": network["id"], "ip_version": 4, "cidr": "10.64.0.0/16"}
    await client.ask("POST", "/network/v2.0/subnets", {"subnet": subnet})
    flavor = {"name": "bench", "vcpus": 1, "ram": 1, "disk": 0}
    made = (await client.ask("POST", "/compute/v2.1/flavors", {"flavor": flavor})).json["flavor"]
    return Template(image_id, made["id"], network["id"])


async def until(what: Callable[[], Awaitable[bool]], every: float = 0.05) -> None:
    """Wait until `what` is true. Raises RuntimeError when that takes too long."""
    for _ in range(int(PATIENCE / every)):
        if await what():
            return
        await asyncio.sleep(every)
    raise RuntimeError("what was waited for did not come")


def server(template: Template, name: str) -> dict[str, Any]:
    """The body that asks for a server."""
    wanted = {"name": name, "imageRef": template.image, "flavorRef": template.flavor}
    return {"server": {**wanted, "networks": [{"uuid": template.network}]}}


async def many(client: Client, template: Template, servers: int) -> None:
    """Ask for servers in one request."""
    body = server(template, "many")
    body["server"].update(min_count=servers, max_count=servers)
    await client.ask("POST", "/compute/v2.1/servers", body, openstack_api_version="compute 2.79")


async def active(client: Client) -> int:
    """How many servers are active."""
    return len((await client.ask("GET", "/compute/v2.1/servers?status=ACTIVE&limit=1000")).json["servers"])
