"""The metadata service: HTTP that guests ask for what concerns them, on a socket of each network.

Who asks is known by the network whose socket was used and by the sender's address, which the network's filters keep
a guest from forging. Headers count for nothing. Whoever is not known gets 404.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from micronova.clock import Clock
from micronova.compute import metadata
from micronova.compute.metadata import Subject
from micronova.compute.metadata import ec2 as metadata_ec2
from micronova.compute.metadata.subjects import Room, Subjects
from micronova.errors import Error

LOG = logging.getLogger(__name__)

FindSubject = Callable[[str, str], Awaitable[Subject | None]]
"""(network id, address) to the guest there."""
Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_TOKEN_SECONDS = 21600
"""The longest life of a session token (EC2 user guide, "Use IMDSv2")."""
_TTL, _TOKEN = "x-aws-ec2-metadata-token-ttl-seconds", "x-aws-ec2-metadata-token"
_TEXT, _JSON = "text/plain; charset=utf-8", "application/json"


class Reply(msgspec.Struct, frozen=True):
    """What the guest gets."""

    status: int
    body: bytes = b""
    content_type: str = _TEXT
    headers: tuple[tuple[str, str], ...] = ()


NOTHING = Reply(404, b"404 Not Found: nothing here for you.\n")


class Tokens:
    """Session tokens (IMDSv2): signed, for one guest, until they expire. Nothing is kept."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._key = clock.secret(32)

    def issue(self, server_id: str, seconds: int) -> str:
        """A token for a guest."""
        until = int(self._clock.now().timestamp()) + seconds
        return f"{until:x}.{self._sign(server_id, until)}"

    def holds(self, server_id: str, token: str) -> bool:
        """Whether the token was issued to this guest and has not expired."""
        digits, _, signature = token.partition(".")
        try:
            until = int(digits, 16)
        except ValueError:
            return False
        genuine = hmac.compare_digest(signature.encode(), self._sign(server_id, until).encode())
        return genuine and until > self._clock.now().timestamp()

    def _sign(self, server_id: str, until: int) -> str:
        return hmac.new(self._key, f"{server_id}:{until}".encode(), hashlib.sha256).hexdigest()


def metadata_app(network_id: str, find: FindSubject, tokens: Tokens) -> App:
    """The ASGI application for the guests of one network."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        reply = await _reply(scope, partial(find, network_id), tokens)
        headers = [("content-type", reply.content_type), ("content-length", str(len(reply.body))), *reply.headers]
        raw = [(name.encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": raw})
        body = b"" if scope["method"] == "HEAD" else reply.body
        await send({"type": "http.response.body", "body": body})

    return app


async def _reply(scope: Scope, find: Callable[[str], Awaitable[Subject | None]], tokens: Tokens) -> Reply:
    ip = _peer(scope)
    try:
        subject = await find(ip) if ip else None
        return NOTHING if subject is None else answer(subject, scope, tokens)
    except Error as err:
        LOG.warning("metadata for %s failed: %s", ip, err)
    return Reply(500, b"500 Internal Server Error\n")


def _peer(scope: Scope) -> str:
    """The sender's address in its canonical form, "" when there is none."""
    client = scope.get("client")
    if not client:
        return ""
    with suppress(ValueError):
        address = ipaddress.ip_address(str(client[0]).partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)
        return str(mapped or address)
    return ""


def answer(subject: Subject, scope: Scope, tokens: Tokens) -> Reply:
    """What the guest is told on this request. Pure but for the tokens."""
    path = tuple(part for part in str(scope["path"]).split("/") if part)
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    if scope["method"] == "PUT":
        return _token(subject, path, headers, tokens)
    if scope["method"] not in ("GET", "HEAD"):
        return Reply(405, b"405 Method Not Allowed\n", headers=(("allow", "GET, HEAD, PUT"),))
    if _TOKEN in headers and not tokens.holds(subject.server.id, headers[_TOKEN]):
        return Reply(401, b"401 Unauthorized: the token is not valid.\n")
    return _read(subject, path)


def _token(subject: Subject, path: tuple[str, ...], headers: Mapping[str, str], tokens: Tokens) -> Reply:
    if path[1:] != ("api", "token") or path[0] not in metadata_ec2.VERSIONS:
        return Reply(405, b"405 Method Not Allowed\n", headers=(("allow", "GET, HEAD"),))
    asked = headers.get(_TTL, "")
    if not asked.isascii() or not asked.isdigit() or not 1 <= int(asked[:9]) <= MAX_TOKEN_SECONDS:
        return Reply(400, f"400 Bad Request: header {_TTL} must be from 1 to {MAX_TOKEN_SECONDS}.\n".encode())
    if "x-forwarded-for" in headers:
        return Reply(403, b"403 Forbidden: a token is for the guest itself.\n")
    token = tokens.issue(subject.server.id, int(asked))
    return Reply(200, token.encode(), headers=((_TTL, asked),))


def _read(subject: Subject, path: tuple[str, ...]) -> Reply:
    if not path:
        return _listing((*metadata_ec2.VERSIONS,))
    if path[0] == "openstack":
        return _openstack(subject, path[1:])
    if path[0] not in metadata_ec2.VERSIONS:
        return NOTHING
    found = metadata_ec2.look_up(subject, path[1:])
    return NOTHING if found is None else Reply(200, found)


def _openstack(subject: Subject, path: tuple[str, ...]) -> Reply:
    if not path:
        return _listing(metadata.VERSIONS)
    if path[0] not in metadata.VERSIONS or len(path) > 2:
        return NOTHING
    files = metadata.openstack_files(subject, path[0])
    if len(path) == 1:
        return _listing(tuple(sorted(files)))
    if path[1] not in files:
        return NOTHING
    kind = _JSON if path[1].endswith(".json") else "application/octet-stream"
    return Reply(200, files[path[1]], kind if path[1] != "password" else _TEXT)


def _listing(names: Sequence[str]) -> Reply:
    return Reply(200, "\n".join(names).encode())


class MetadataService:
    """The sockets on which guests are answered, one per network of this host."""

    def __init__(self, room: Room) -> None:
        self._find = Subjects(room.db, room.clock, room.network, room.disks_of).find
        self._tokens = Tokens(room.clock)
        self._doors: dict[str, _Door] = {}

    @property
    def networks(self) -> tuple[str, ...]:
        """The networks that are served, in order."""
        return tuple(sorted(self._doors))

    async def add(self, network_id: str, sock: socket.socket) -> None:
        """Guests of the network are answered on the listening socket, which is ours from now on.

        A socket that the network had before is closed.
        """
        await self.remove(network_id)
        door = _Door(metadata_app(network_id, self._find, self._tokens))
        self._doors[network_id] = door
        await door.open(sock)

    async def remove(self, network_id: str) -> None:
        """Nobody of the network is answered; its socket is closed. Repeating changes nothing."""
        door = self._doors.pop(network_id, None)
        if door is not None:
            await door.close()

    async def close(self) -> None:
        """All sockets are closed. Repeating changes nothing."""
        for network_id in self.networks:
            await self.remove(network_id)


class _Door:
    """One listening socket with uvicorn's protocol behind it.

    Not its server: that wakes ten times a second, and there may be many networks.
    """

    def __init__(self, app: App) -> None:
        self._config = uvicorn.Config(
            app,
            lifespan="off",
            http="httptools",
            ws="none",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            limit_concurrency=200,
            timeout_keep_alive=10,
        )
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    async def open(self, sock: socket.socket) -> None:
        """Connections are taken."""
        self._config.load()
        make = partial(HttpToolsProtocol, config=self._config, server_state=self._state, app_state={})
        sock.setblocking(False)
        self._server = await asyncio.get_running_loop().create_server(make, sock=sock)

    async def close(self) -> None:
        """The socket and its connections are closed; what was being answered may finish."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=2)
        for connection in list(self._state.connections):
            connection.transport.abort()
