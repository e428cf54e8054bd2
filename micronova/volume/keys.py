"""Where keys of encrypted volumes are kept, by id, out of the database: what a key manager must do.

A key is a secret: it is never logged or journaled, in no argument, and on no disk unless it is sealed.
"""

import re
from typing import Protocol

from micronova.errors import Rejected

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class KeyManager(Protocol):
    """Keeps keys. Failures are DriverError, Rejected (repeating can't help)."""

    async def put(self, id: str, key: bytes) -> None:
        """The key is kept under this id, safe from a power cut. Repeating changes nothing.

        Raises Rejected when another key has the id, or the id is none.
        """

    async def get(self, id: str) -> bytes:
        """The key. Raises NotFound only when it is certain that there is none, DriverError when that can't be told."""

    async def remove(self, id: str) -> None:
        """The key is gone: what it locked is lost for ever. Repeating changes nothing."""

    async def close(self) -> None:
        """Let go of connections. Keys stay."""


def check_id(id: str) -> None:
    """Return when `id` can name a key. Raises Rejected."""
    if not _ID.fullmatch(id):
        raise Rejected("this is not the id of a key")
