"""Passwords: argon2id in threads, as many at once as the machine has cores. Nothing is told by the time it takes.

OWASP's second choice of cost (Password Storage Cheat Sheet, "Argon2id"): 19 MiB, 2 passes, 1 lane; about 23 ms.
"""

import asyncio
import base64
import hashlib
import hmac
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from micronova.clock import Clock

T = TypeVar("T")

LONGEST = 4096
"""Characters a password may have."""
FAST = "sha256$"


class Cost(msgspec.Struct, frozen=True):
    """What one hash costs: passes over the memory, and its size."""

    passes: int = 2
    memory_kib: int = 19 * 1024


class Passwords:
    """Hashes and verifies. With `threads` 0 in the calling thread: deterministic, for simulation and tests."""

    def __init__(self, clock: Clock, cost: Cost | None = None, *, threads: int | None = None) -> None:
        cost = cost or Cost()
        self._clock = clock
        self._hasher = PasswordHasher(cost.passes, cost.memory_kib, 1, hash_len=32, salt_len=16)
        self._decoy = f"$argon2id$v=19$m={cost.memory_kib},t={cost.passes},p=1${'A' * 22}${'A' * 43}"
        threads = (os.cpu_count() or 1) if threads is None else threads
        self._pool = ThreadPoolExecutor(threads, "password") if threads else None

    async def hash(self, password: str) -> str:
        """What to store of a password."""
        salt = self._clock.secret(16)
        return await self._run(lambda: self._hasher.hash(password, salt=salt))

    async def verify(self, stored: str, password: str) -> bool:
        """Whether `password` is the one stored; for "" (nobody has it) False after the same time as any wrong one."""
        if stored.startswith(FAST):
            if hmac.compare_digest(stored, _fast(password)):
                return True
            stored = ""
        password = password[: LONGEST + 1]
        right = await self._run(lambda: self._verify(stored or self._decoy, password))
        return right and bool(stored)

    def close(self) -> None:
        """End the threads. Repeating changes nothing."""
        if self._pool is not None:
            self._pool.shutdown(wait=False)

    def new_secret(self) -> tuple[str, str]:
        """A random secret of 256 bits and what to store of it: guessing needs no slowing down there."""
        secret = base64.urlsafe_b64encode(self._clock.secret(32)).rstrip(b"=").decode()
        return secret, _fast(secret)

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._pool is None:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


def _fast(secret: str) -> str:
    return FAST + hashlib.sha256(secret.encode()).hexdigest()
