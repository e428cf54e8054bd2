"""Time, ids and randomness: the only place that knows them, so that a test or the simulator can decide them."""

import random
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

import uuid_utils


class Clock(Protocol):
    """What managers may know of time and chance."""

    def now(self) -> datetime:
        """This moment, aware, UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""

    def new_id(self) -> str:
        """A fresh UUID (RFC 9562, version 4) with dashes."""

    def secret(self, nbytes: int) -> bytes:
        """Unguessable bytes."""

    def randbelow(self, limit: int) -> int:
        """A number from 0 to `limit` - 1, fit for spreading, not for secrets."""


class SystemClock:
    """The machine's own time and entropy."""

    def __init__(self) -> None:
        self._random = random.Random()

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def new_id(self) -> str:
        return str(uuid_utils.uuid4())

    def secret(self, nbytes: int) -> bytes:
        return secrets.token_bytes(nbytes)

    def randbelow(self, limit: int) -> int:
        return self._random.randrange(limit)


def after(clock: Clock, seconds: float) -> datetime:
    """The moment `seconds` from now."""
    return clock.now() + timedelta(seconds=seconds)


def iso(moment: datetime | None) -> str | None:
    """`2026-01-31T12:00:00Z`: how Nova, Neutron and Glance write a moment."""
    return None if moment is None else moment.isoformat(timespec="seconds")[:19] + "Z"


def iso_micro(moment: datetime | None) -> str | None:
    """`2026-01-31T12:00:00.000000Z`: how Keystone writes a moment."""
    return None if moment is None else moment.isoformat(timespec="microseconds")[:26] + "Z"


def process_cpu_seconds() -> float:
    """CPU seconds this process has used, for measurements."""
    return time.process_time()


class SeededClock:
    """Time that somebody else moves, and chance that follows from a seed: the same seed, the same life.

    `elapsed` tells the seconds since the beginning, 2026-01-01T00:00:00Z.
    """

    BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)

    def __init__(self, seed: int, elapsed: Callable[[], float]) -> None:
        self._elapsed = elapsed
        self._random = random.Random(seed)

    def now(self) -> datetime:
        return self.BEGINNING + timedelta(seconds=self._elapsed())

    def monotonic(self) -> float:
        return self._elapsed()

    def new_id(self) -> str:
        return str(uuid_utils.UUID(bytes=self._random.randbytes(16), version=4))

    def secret(self, nbytes: int) -> bytes:
        return self._random.randbytes(nbytes)

    def randbelow(self, limit: int) -> int:
        return self._random.randrange(limit)
