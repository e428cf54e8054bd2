"""Keys of encrypted volumes in Vault (or OpenBao), in its versioned key-value engine: a secret a key.

Its HTTP API is documented as "KV secrets engine - version 2": `data` holds versions, `metadata` all of a secret. A
write with `cas` 0 succeeds only where there is no secret yet.
"""

import asyncio
import base64
import binascii
import http.client
import ssl
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import quote, urlsplit

import msgspec
from msgspec import Meta

from micronova.clock import Clock
from micronova.config import Config
from micronova.errors import ConfigError, DriverError, NotFound, Rejected
from micronova.volume.drivers.steps import in_thread
from micronova.volume.keys import check_id

SECTION = "vault"
_FIELD = "key"
_WAIT = 10
_TRIES = 3
_PAUSE = 0.2
_LONGEST_ANSWER = 1 << 20


def _says(sentence: str) -> Meta:
    return Meta(description=sentence)


class VaultOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of section `[plugin.vault]`."""

    url: Annotated[str, _says("Where Vault answers, e.g. https://vault.example.org:8200.")] = ""
    mount: Annotated[str, _says("Where its key-value engine (version 2) is mounted.")] = "secret"
    path: Annotated[str, _says("What names of our secrets begin with.")] = "micronova/volumes"
    namespace: Annotated[str, _says("Vault's namespace; empty means its root.")] = ""
    token: Annotated[str, _says("Token that may create, read and delete our secrets.")] = ""
    token_file: Annotated[str, _says("File with the token, read for each request: an agent may renew it.")] = ""
    ca_file: Annotated[str, _says("Certificates that Vault's is checked by; empty means the system's.")] = ""


class VaultKeyManager:
    """A KeyManager in a Vault. Nobody is asked before the first key is needed."""

    def __init__(self, options: VaultOptions) -> None:
        self._options = options

    @classmethod
    def configured(cls, config: Config, clock: Clock) -> Self:
        """As the configuration wants it. Raises ConfigError when something is missing."""
        options = config.section(SECTION, VaultOptions)
        if urlsplit(options.url).scheme not in ("http", "https") or not urlsplit(options.url).hostname:
            raise ConfigError(f"configuration: [plugin.{SECTION}]: url is missing, or none")
        if not options.token and not options.token_file:
            raise ConfigError(f"configuration: [plugin.{SECTION}]: token or token_file is missing")
        return cls(options)

    async def put(self, id: str, key: bytes) -> None:
        check_id(id)
        secret = {"options": {"cas": 0}, "data": {_FIELD: base64.b64encode(key).decode()}}
        status, _ = await self._ask("POST", f"data/{self._path(id)}", secret)
        if status == 400:
            # There is one already, or Vault can have none here.
            try:
                kept = await self.get(id)
            except NotFound as err:
                raise _refusal(status) from err
            if kept != key:
                raise Rejected("there is another key of this id")
        elif status not in (200, 204):
            raise _refusal(status)

    async def get(self, id: str) -> bytes:
        check_id(id)
        status, answer = await self._ask("GET", f"data/{self._path(id)}")
        if status == 404:
            raise NotFound("There is no such key.")
        if status != 200:
            raise _refusal(status)
        try:
            return base64.b64decode(answer["data"]["data"][_FIELD], validate=True)
        except (KeyError, TypeError, binascii.Error) as err:
            raise DriverError("what Vault has under a volume's key is no key") from err

    async def remove(self, id: str) -> None:
        check_id(id)
        status, _ = await self._ask("DELETE", f"metadata/{self._path(id)}")
        if status not in (200, 204, 404):
            raise _refusal(status)

    async def close(self) -> None:
        """There is nothing to let go of."""

    # -- inside

    def _path(self, id: str) -> str:
        return quote("/".join(filter(None, (self._options.path.strip("/"), id))))

    async def _ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and JSON; what Vault can't do for the moment is asked again. Raises DriverError."""
        for left in reversed(range(_TRIES)):
            try:
                status, answer = await in_thread(self._request, method, path, body)
                if status < 500 and status != 429:
                    return status, answer
                failure = _refusal(status)
            except DriverError as err:
                if isinstance(err, Rejected):
                    raise
                failure = err
            if left:
                await asyncio.sleep(_PAUSE)
        raise failure

    def _request(self, method: str, path: str, body: object) -> tuple[int, Any]:
        url = urlsplit(self._options.url)
        place = f"{url.path.rstrip('/')}/v1/{quote(self._options.mount.strip('/'))}/{path}"
        content = msgspec.json.encode(body) if body is not None else None
        line = self._connection(url.scheme, url.hostname or "", url.port)
        try:
            line.request(method, place, content, self._headers())
            answer = line.getresponse()
            text = answer.read(_LONGEST_ANSWER)
            return answer.status, msgspec.json.decode(text) if text else None
        except ssl.SSLCertVerificationError as err:
            raise Rejected("Vault's certificate is not one that is trusted here") from err
        except (OSError, http.client.HTTPException) as err:
            raise DriverError("Vault can't be reached") from err
        except msgspec.DecodeError as err:
            raise DriverError("Vault's answer can't be read") from err
        finally:
            line.close()

    def _connection(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=_WAIT)
        try:
            context = ssl.create_default_context(cafile=self._options.ca_file or None)
        except OSError as err:
            raise Rejected("the certificates that Vault's is checked by can't be read") from err
        return http.client.HTTPSConnection(host, port, timeout=_WAIT, context=context)

    def _headers(self) -> dict[str, str]:
        token = self._options.token
        if self._options.token_file:
            try:
                token = Path(self._options.token_file).read_text().strip()
            except (OSError, UnicodeDecodeError) as err:
                raise DriverError("the token for Vault can't be read") from err
        found = {"X-Vault-Token": token, "X-Vault-Request": "true", "Content-Type": "application/json"}
        return {**found, "X-Vault-Namespace": self._options.namespace} if self._options.namespace else found


def _refusal(status: int) -> DriverError:
    """What Vault's refusal is to us ("HTTP status codes" of its API)."""
    if status == 403:
        return Rejected("Vault refuses the token that this cloud has")
    if status == 503:
        return DriverError("Vault is sealed or away for maintenance")
    return DriverError(f"Vault answered {status}")
