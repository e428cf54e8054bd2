"""A few OpenStack calls over HTTP, as any client would make them: what the demo, `audit` and `repair` use."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec

from micronova.errors import Error, Unavailable

WAIT = 30
COMPUTE = {"OpenStack-API-Version": "compute 2.90"}


class Client:
    """One user's session with a cloud."""

    def __init__(self, cloud: dict[str, Any]) -> None:
        self._auth = cloud["auth"]
        self.base = str(self._auth["auth_url"]).removesuffix("/identity/v3")
        self._token = ""

    async def log_in(self) -> None:
        """Get a token for the cloud's own project. Raises Error with the cloud's sentence."""
        auth = self._auth
        user = {"name": auth["username"], "domain": {"name": auth["user_domain_name"]}, "password": auth["password"]}
        scope = {"project": {"name": auth["project_name"], "domain": {"name": auth["project_domain_name"]}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        self._token = (await self._send("POST", "/identity/v3/auth/tokens", msgspec.json.encode(body)))[0][
            "X-Subject-Token"
        ]

    async def get(self, path: str) -> Any:
        """The JSON at a path."""
        return (await self._send("GET", path))[1]

    async def post(self, path: str, body: Any) -> Any:
        return (await self._send("POST", path, msgspec.json.encode(body)))[1]

    async def delete(self, path: str) -> None:
        await self._send("DELETE", path)

    async def upload(self, path: str, file: Path) -> None:
        """PUT a file's bytes."""
        await self._send("PUT", path, file)

    async def first(self, path: str, key: str, name: str) -> dict[str, Any] | None:
        """The first entry of a list called `name`, None when there is none."""
        found = await self.get(path)
        return next((entry for entry in found[key] if entry["name"] == name), None)

    async def _send(self, method: str, path: str, body: bytes | Path | None = None) -> tuple[Any, Any]:
        return await asyncio.to_thread(self._blocking, method, path, body)

    def _blocking(self, method: str, path: str, body: bytes | Path | None) -> tuple[Any, Any]:
        headers = {"X-Auth-Token": self._token, **COMPUTE} if self._token else {}
        headers["Content-Type"] = "application/octet-stream" if isinstance(body, Path) else "application/json"
        opened = body.open("rb") if isinstance(body, Path) else None
        if isinstance(body, Path):
            headers["Content-Length"] = str(body.stat().st_size)
        data: Any = opened or body
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=WAIT if opened is None else 600) as answer:
                raw = answer.read()
                is_json = "json" in answer.headers.get("Content-Type", "")
                return answer.headers, msgspec.json.decode(raw) if raw and is_json else raw
        except urllib.error.HTTPError as err:
            said = err.read().decode(errors="replace")
            raise Error(f"{method} {path}: {err.code} {said[:300]}", status=err.code, body=said) from err
        except OSError as err:
            raise Unavailable(f"{self.base} does not answer: {err}") from err
        finally:
            if opened is not None:
                opened.close()


async def until(client: Client, path: str, every: float, wait: float) -> AsyncIterator[dict[str, Any]]:
    """What a path shows, again and again, for at most `wait` seconds."""
    for _ in range(int(wait / every)):
        yield await client.get(path)
        await asyncio.sleep(every)
