"""The keys that tokens are sealed with: rows, so that every API process opens what any other sealed.

The newest seals, older ones still open. Whoever has the database can make tokens, as they could make users.
"""

import base64
from collections.abc import Sequence
from typing import Annotated, ClassVar

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from micronova.clock import Clock
from micronova.db import KEY, SECRET, SERIAL, Row, Tx
from micronova.errors import Unavailable

KEEP = 3
"""Keys to keep: the newest seals, older ones open what they sealed."""


class TokenKey(Row, frozen=True, kw_only=True):
    """One key; the highest number seals."""

    TABLE: ClassVar[str] = "token_keys"

    number: Annotated[int, SERIAL] = 0
    id: Annotated[str, KEY]
    secret: Annotated[str, SECRET]


class Keys:
    """The keys of one process as it last read them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._fernet: MultiFernet | None = None
        self.epoch = -1
        """The identity epoch at which they were read."""

    def use(self, rows: Sequence[TokenKey], epoch: int) -> None:
        """Seal with the first and open with all of `rows`, newest first."""
        self._fernet = MultiFernet([Fernet(row.secret.encode()) for row in rows]) if rows else None
        self.epoch = epoch

    def seal(self, data: bytes) -> str:
        """`data` as text that only holders of the keys can read or make. Raises Unavailable when there are none."""
        if self._fernet is None:
            raise Unavailable("There are no token keys yet: the cloud has not been started.")
        at = int(self._clock.now().timestamp())
        return self._fernet.encrypt_at_time(data, at).rstrip(b"=").decode()

    def open(self, text: str) -> bytes | None:
        """What was sealed, None when it was not by us."""
        if self._fernet is None:
            return None
        try:
            return self._fernet.decrypt(text.encode() + b"=" * (-len(text) % 4))
        except InvalidToken:
            return None


def newest_first(tx: Tx) -> list[TokenKey]:
    """The keys that count."""
    return tx.find(TokenKey, order=(("number", False),), limit=KEEP)


def add(tx: Tx, clock: Clock) -> TokenKey:
    """Seal with a new key from now on; those beyond KEEP are removed, and with them what they sealed."""
    secret = base64.urlsafe_b64encode(clock.secret(32)).decode()
    made = tx.insert(TokenKey(id=clock.new_id(), secret=secret))
    for old in tx.find(TokenKey, order=(("number", False),))[KEEP:]:
        tx.delete(old)
    return made
