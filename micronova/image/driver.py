"""What a store of image bytes must be able to do on one host. Knows no database, project or other host.

Bytes are written once under a name nobody used before, and never changed. A name is one word of letters, digits
and dashes (the manager gives out UUIDs).
"""

import re
from typing import Protocol

from micronova.errors import Rejected

_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")


class ImageStore(Protocol):
    """Keeps bytes by name on this host."""

    async def begin(self, name: str) -> None:
        """Take in bytes under `name`, from the start; what was taken in before and not committed is gone.

        Raises Rejected when the name is no plain word, NoSpace, DriverError.
        """

    async def append(self, name: str, data: bytes) -> None:
        """Add bytes behind those taken in. Raises NoSpace when the store is full, DriverError without a `begin`."""

    async def commit(self, name: str) -> None:
        """Make the bytes taken in readable under `name`, and safe from a power cut. Repeating changes nothing.

        Raises NoSpace, DriverError when there are none.
        """

    async def read(self, name: str, offset: int, length: int) -> bytes:
        """Committed bytes from `offset`: `length` of them, fewer only at the end.

        Raises DriverError when there are none by this name.
        """

    async def remove(self, name: str) -> None:
        """Forget all bytes under `name`, committed or not. Repeating changes nothing. Raises DriverError."""

    async def unfinished(self) -> list[str]:
        """Names that were begun and neither committed nor removed, sorted. Raises DriverError."""

    def path(self, name: str) -> str | None:
        """The local read-only file with the committed bytes; None when there is none or the store has no files."""


def check_name(name: str) -> None:
    """Return when `name` may be used. Raises Rejected when not."""
    if not _PLAIN_NAME.fullmatch(name):
        raise Rejected(f"{name[:50]!r} can't be the name of an image's bytes")
