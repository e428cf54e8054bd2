"""A client of the HTTP front without sockets: for tests of rooms and plug-ins.

client = Client(Front([api(manager)], manager.authenticate, policy, clock))
answer = await client.get("/identity/v3/users", token=token, name="admin")
assert 200 == answer.status
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import falcon.testing
import msgspec

from micronova.http import Front

HOST = "cloud.test"
ADDRESS = f"http://{HOST}"
"""What links in answers begin with."""


class Reply(msgspec.Struct, frozen=True):
    """An answer as it came over the wire. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        """The decoded body. Raises msgspec.DecodeError when it is not JSON."""
        return msgspec.json.decode(self.content)


class Client:
    """Sends requests to a front; `token` is what they carry unless they name another ("" for none)."""

    def __init__(self, front: Front, token: str = "") -> None:
        self._conductor = falcon.testing.ASGIConductor(front.app)
        self.token = token

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """One request. `body` bytes go out as they are, all else as JSON; `path` may have a query string."""
        path, _, query = path.partition("?")
        sent = {"Accept": "application/json", **(headers or {})}
        token = self.token if token is None else token
        if token:
            sent["X-Auth-Token"] = token
        raw = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        if raw is not None and not isinstance(body, bytes):
            sent.setdefault("Content-Type", "application/json")
        result = await self._conductor.simulate_request(
            method, path, headers=sent, body=raw, query_string=query, host=HOST
        )
        return Reply(result.status_code, {k.lower(): v for k, v in result.headers.items()}, result.content)

    async def get(self, path: str, *, token: str | None = None, **query: Any) -> Reply:
        """GET with query parameters; a list repeats its parameter."""
        text = urlencode(query, doseq=True)
        return await self.request("GET", f"{path}?{text}" if text else path, token=token)

    async def head(self, path: str, *, token: str | None = None) -> Reply:
        return await self.request("HEAD", path, token=token)

    async def post(self, path: str, body: Any = None, *, token: str | None = None) -> Reply:
        return await self.request("POST", path, body, token=token)

    async def put(self, path: str, body: Any = None, *, token: str | None = None) -> Reply:
        return await self.request("PUT", path, body, token=token)

    async def patch(self, path: str, body: Any = None, *, token: str | None = None) -> Reply:
        return await self.request("PATCH", path, body, token=token)

    async def delete(self, path: str, *, token: str | None = None) -> Reply:
        return await self.request("DELETE", path, token=token)
