"""Key pairs: a user's public keys, for servers to let in."""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from micronova.clock import Clock
from micronova.compute.db import KeyPair
from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import Duplicate, NotFound, QuotaExceeded

if TYPE_CHECKING:
    from micronova.compute.keys import NewKey

UNLIMITED = -1


class CreateKeyPair(msgspec.Struct, frozen=True, kw_only=True):
    """A key pair to be. Without a public key one is made."""

    user_id: str
    name: str
    type: str = "ssh"
    public_key: str | None = None


class MadeKeyPair(msgspec.Struct, frozen=True):
    """A key pair, and its private half when it was made here: shown once, kept nowhere."""

    row: KeyPair
    private_key: str | None = None


def get_keypair(tx: Tx, user_id: str, name: str) -> KeyPair:
    """A user's key pair. Raises NotFound."""
    found = tx.first(KeyPair, user_id=user_id, name=name)
    if found is None:
        raise NotFound(f"Keypair {name} not found for user {user_id}", name=name)
    return found


class KeyPairs:
    """Key pairs, from creation to removal. Servers keep a copy of theirs."""

    def __init__(self, db: Database, clock: Clock, most: int) -> None:
        """`most` is how many a user may have, -1 for any number."""
        self._db = db
        self._clock = clock
        self._most = most

    async def get(self, ctx: Context, user_id: str, name: str) -> KeyPair:
        """A user's key pair. Raises NotFound."""
        return await self._db.read(partial(get_keypair, user_id=user_id, name=name))

    async def list(self, ctx: Context, user_id: str) -> list[KeyPair]:
        """A user's key pairs in the order they were made."""
        return await self._db.read(lambda tx: tx.find(KeyPair, order=(("number", True),), user_id=user_id))

    async def create(self, ctx: Context, request: CreateKeyPair) -> MadeKeyPair:
        """The user has the key pair.

        Raises BadRequest when the public key is none, Duplicate when the name is taken, QuotaExceeded.
        """
        made = await self._made(request)

        def record(tx: Tx) -> KeyPair:
            if tx.first(KeyPair, user_id=request.user_id, name=request.name) is not None:
                raise Duplicate(f"Key pair '{request.name}' already exists.")
            if self._most != UNLIMITED and tx.count(KeyPair, user_id=request.user_id) >= self._most:
                raise QuotaExceeded(f"Quota exceeded, too many key pairs: {self._most} are allowed.")
            return tx.insert(
                KeyPair(
                    id=self._clock.new_id(),
                    user_id=request.user_id,
                    name=request.name,
                    type=request.type,
                    public_key=made.public_key,
                    fingerprint=made.fingerprint,
                    created_at=tx.now,
                )
            )

        row = await self._db.write(record, ctx, why="created by request")
        return MadeKeyPair(row, made.private_key or None)

    async def _made(self, request: CreateKeyPair) -> "NewKey":
        from micronova.compute import keys  # with the first key pair: certificates are slow to import

        if request.public_key is not None:
            check = keys.ssh_fingerprint if request.type == "ssh" else keys.x509_fingerprint
            return keys.NewKey("", request.public_key, check(request.public_key))
        if request.type == "ssh":
            return await asyncio.to_thread(keys.generate_ssh)
        return await asyncio.to_thread(keys.generate_x509, request.user_id, self._clock.now())

    async def delete(self, ctx: Context, user_id: str, name: str) -> None:
        """The key pair is gone; servers that have the key keep it. Raises NotFound."""
        await self._db.write(lambda tx: tx.delete(get_keypair(tx, user_id, name)), ctx, why="deleted by request")
