"""Backups in a bucket of a store that speaks S3: an object a piece, PREFIX/BACKUP/PIECE.

A piece is smaller than the smallest part of a multi-part upload, so each is one request that is done or not; a few go
at once, and no more than those are ever in memory. The library blocks: it works in threads of its own.
"""

import asyncio
import base64
import contextlib
import hashlib
import logging
import pathlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

import msgspec
from msgspec import Meta

from micronova.clock import Clock
from micronova.config import Config
from micronova.errors import ConfigError, DriverError, NoSpace, Rejected
from micronova.volume.backup_store import AT_ONCE, check_piece
from micronova.volume.drivers.steps import whole

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

R = TypeVar("R")
SECTION = "s3"
_DELETED_AT_ONCE = 1000
"""Keys in one request (Amazon S3 API reference, DeleteObjects)."""
_CONNECT_WAIT, _ANSWER_WAIT = 10, 30
_PATIENCE = 5
"""Seconds for which one that gives up waits for a request that is under way."""
_FULL = frozenset(("QuotaExceeded", "InsufficientStorage", "XMinioStorageFull", "507"))
_STRANGER = frozenset(
    ("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken", "401", "403")
)


def _says(sentence: str) -> Meta:
    return Meta(description=sentence)


class S3Options(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of section `[plugin.s3]`."""

    endpoint: Annotated[str, _says("URL of the store, e.g. https://s3.example.org:9000.")] = ""
    bucket: Annotated[str, _says("Bucket that backups are kept in; it must be there.")] = ""
    prefix: Annotated[str, _says("What names of objects begin with, so that clouds can share a bucket.")] = "micronova"
    region: Annotated[str, _says("Region that requests are signed for.")] = "us-east-1"
    access_key: Annotated[str, _says("Access key id.")] = ""
    secret_key: Annotated[str, _says("Secret access key.")] = ""
    secret_key_file: Annotated[str, _says("File with the secret access key, instead of secret_key.")] = ""
    ca_file: Annotated[str, _says("Certificates that the store's is checked by; empty means the system's.")] = ""
    tries: Annotated[int, _says("How often a request is tried before it has failed."), Meta(ge=1, le=20)] = 4


class S3BackupStore:
    """The store that `options` name. Nobody is asked before the first backup."""

    name = "cinder.backup.drivers.micronova.S3BackupStore"
    shared = True

    def __init__(self, options: S3Options, secret_key: str) -> None:
        self._options = options
        self._secret_key = secret_key
        self._client: Any = None
        self._making = threading.Lock()
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="backup-s3")

    @classmethod
    def configured(cls, config: Config, clock: Clock) -> Self:
        """The store that the configuration names. Raises ConfigError when something is missing."""
        options = config.section(SECTION, S3Options)
        for key in ("endpoint", "bucket", "access_key"):
            if not getattr(options, key):
                raise ConfigError(f"configuration: [plugin.{SECTION}]: {key} is missing")
        secret_key = options.secret_key
        if not secret_key and options.secret_key_file:
            try:
                secret_key = pathlib.Path(options.secret_key_file).read_text().strip()
            except (OSError, UnicodeDecodeError) as err:
                raise ConfigError(f"configuration: [plugin.{SECTION}]: secret_key_file can't be read: {err}") from err
        if not secret_key:
            raise ConfigError(f"configuration: [plugin.{SECTION}]: secret_key or secret_key_file is missing")
        return cls(options, secret_key)

    async def put(self, backup: str, piece: str, data: bytes) -> None:
        key = self._key(backup, piece)
        await self._done(lambda client: client.put_object(Bucket=self._options.bucket, Key=key, Body=data))

    async def get(self, backup: str, piece: str) -> bytes:
        key = self._key(backup, piece)
        return await self._done(lambda client: self._get(client, key))

    async def remove(self, backup: str) -> None:
        beginning = self._key(backup, "")
        await self._done(lambda client: self._remove(client, beginning))

    async def backups(self) -> list[str]:
        return await self._done(self._backups)

    # -- in a thread

    async def _done(self, step: Callable[[Any], R]) -> R:
        """What the step returns. A caller that is cancelled goes when the step is done: nothing comes after."""
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._ask, step)
        return await whole(work, patience=_PATIENCE)

    def _ask(self, step: Callable[[Any], R]) -> R:
        with _told(self._options.bucket):
            with self._making:
                if self._client is None:
                    self._client = _client(self._options, self._secret_key)
            return step(self._client)

    def _get(self, client: Any, key: str) -> bytes:
        """The library repeats requests, but not the reading of an answer that breaks off."""
        from botocore.exceptions import BotoCoreError

        for left in reversed(range(self._options.tries)):
            try:
                with contextlib.closing(client.get_object(Bucket=self._options.bucket, Key=key)["Body"]) as body:
                    return bytes(body.read())
            except BotoCoreError:
                if not left:
                    raise
        raise AssertionError("there is at least one try")

    def _remove(self, client: Any, beginning: str) -> None:
        bucket = self._options.bucket
        for page in client.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=beginning, PaginationConfig={"PageSize": _DELETED_AT_ONCE}
        ):
            keys = [{"Key": one["Key"]} for one in page.get("Contents", ())]
            if keys:
                answer = client.delete_objects(Bucket=bucket, Delete={"Objects": keys, "Quiet": True})
                if answer.get("Errors"):
                    raise DriverError("The backup store kept what it was told to remove.")

    def _backups(self, client: Any) -> list[str]:
        beginning = f"{self._options.prefix}/" if self._options.prefix else ""
        pages = client.get_paginator("list_objects_v2").paginate(
            Bucket=self._options.bucket, Prefix=beginning, Delimiter="/"
        )
        found = [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", ())]
        return sorted(one.removeprefix(beginning).rstrip("/") for one in found)

    def _key(self, backup: str, piece: str) -> str:
        check_piece(backup)
        if piece:
            check_piece(piece)
        return "/".join(filter(None, (self._options.prefix, backup))) + f"/{piece}"


def _client(options: S3Options, secret_key: str) -> Any:
    """A client of the store; safe to use from several threads. Raises Rejected without its library."""
    try:
        import botocore.config
        import botocore.session
    except ImportError as err:
        raise Rejected("The backup store's library is not installed: install micronova[s3].") from err

    # It tells headers and what it signs at level DEBUG.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    client = botocore.session.get_session().create_client(
        "s3",
        endpoint_url=options.endpoint,
        region_name=options.region,
        aws_access_key_id=options.access_key,
        aws_secret_access_key=secret_key,
        verify=options.ca_file or None,
        config=botocore.config.Config(
            connect_timeout=_CONNECT_WAIT,
            read_timeout=_ANSWER_WAIT,
            max_pool_connections=AT_ONCE,
            retries={"total_max_attempts": options.tries, "mode": "standard"},
            # Stores of others know paths, not names of hosts, and none of Amazon's newer checksums. Ours are checked.
            s3={"addressing_style": "path"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
    client.meta.events.register("before-call.s3.DeleteObjects", _add_md5)
    return client


def _add_md5(params: dict[str, Any], **rest: Any) -> None:
    """Older stores want this checksum of the one request that must have any."""
    digest = hashlib.md5(params["body"], usedforsecurity=False).digest()
    params["headers"]["Content-MD5"] = base64.b64encode(digest).decode()


@contextlib.contextmanager
def _told(bucket: str) -> Iterator[None]:
    """The library's errors as ours, in words that users may read."""
    try:
        from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError, SSLError
    except ImportError as err:
        raise Rejected("The backup store's library is not installed: install micronova[s3].") from err
    try:
        yield
    except ClientError as err:
        raise _refusal(err, bucket) from err
    except SSLError as err:
        raise Rejected("The backup store's certificate is not one that is trusted here.") from err
    except (ConnectionError, HTTPClientError) as err:
        raise DriverError("The backup store can't be reached.") from err
    except (BotoCoreError, OSError) as err:
        raise DriverError("The backup store's answer can't be used.") from err


def _refusal(err: "ClientError", bucket: str) -> DriverError:
    """What the store's refusal is to us."""
    code = str(err.response.get("Error", {}).get("Code", ""))
    status = err.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "NoSuchBucket":
        return Rejected(f"The backup store has no bucket {bucket}.")
    if code in ("NoSuchKey", "404"):
        return DriverError("The backup store lost a piece of the backup.")
    if code in _STRANGER or status in (401, 403):
        return Rejected("The backup store refuses the access key that this cloud has.")
    if code in _FULL or status == 507:
        return NoSpace("The backup store is full.")
    if status >= 500 or code in ("SlowDown", "RequestTimeout"):
        return DriverError(f"The backup store does not work now: it answered {status} {code}.")
    return DriverError(f"The backup store refused a request: {status} {code}.")
