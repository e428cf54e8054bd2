"""Image bytes in memory: keeps the contract; can be slow, be full, or refuse."""

import asyncio
from typing import Self

from micronova.clock import Clock
from micronova.config import Config
from micronova.errors import DriverError, NoSpace
from micronova.image.driver import check_name


class FakeStore:
    """Bytes by name. `room` is how many bytes it takes in all; `delay` seconds pass before each call's effect."""

    def __init__(self, *, room: int | None = None) -> None:
        self.committed: dict[str, bytes] = {}
        self.incoming: dict[str, bytearray] = {}
        self.room = room
        self.delay = 0.0
        self._refusals: list[tuple[str, DriverError]] = []

    @classmethod
    def configured(cls, config: Config, clock: Clock) -> Self:
        """A store without limits."""
        return cls()

    def refuse(self, operation: str, error: DriverError) -> None:
        """The next call of `operation` raises `error`."""
        self._refusals.append((operation, error))

    async def begin(self, name: str) -> None:
        await self._called("begin")
        check_name(name)
        self.incoming[name] = bytearray()

    async def append(self, name: str, data: bytes) -> None:
        await self._called("append")
        if name not in self.incoming:
            raise DriverError(f"nothing was begun as {name}")
        if self.room is not None and self._used() + len(data) > self.room:
            raise NoSpace(f"the store holds {self.room} bytes and is full")
        self.incoming[name] += data

    async def commit(self, name: str) -> None:
        await self._called("commit")
        if name in self.committed:
            return
        if name not in self.incoming:
            raise DriverError(f"nothing was begun as {name}")
        self.committed[name] = bytes(self.incoming.pop(name))

    async def read(self, name: str, offset: int, length: int) -> bytes:
        await self._called("read")
        check_name(name)
        if name not in self.committed:
            raise DriverError(f"there is nothing named {name}")
        return self.committed[name][offset : offset + length]

    async def remove(self, name: str) -> None:
        await self._called("remove")
        check_name(name)
        self.incoming.pop(name, None)
        self.committed.pop(name, None)

    async def unfinished(self) -> list[str]:
        await self._called("unfinished")
        return sorted(self.incoming)

    def path(self, name: str) -> str | None:
        check_name(name)
        return None

    def _used(self) -> int:
        return sum(map(len, self.committed.values())) + sum(map(len, self.incoming.values()))

    async def _called(self, operation: str) -> None:
        await asyncio.sleep(self.delay)
        for refusal in self._refusals:
            if refusal[0] == operation:
                self._refusals.remove(refusal)
                raise refusal[1]
