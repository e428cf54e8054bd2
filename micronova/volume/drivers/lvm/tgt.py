"""tgtd's control socket: what `tgtadm` speaks, spoken by ourselves.

`tgtadm` takes a CHAP password among its arguments, where every user of the host can read it. Here it goes through a
socket that only root may use, to a process that keeps it in memory.

A request is one packed struct in the host's byte order and then words "key=value,…" with a NUL; an answer is an error
number, its length with this header, and text (tgt, usr/tgtadm.h and usr/mgmt.c; the same since 2012).
"""

import asyncio
import enum
import pathlib
import struct
from typing import NamedTuple

from micronova.errors import DriverError

_REQUEST = struct.Struct("=ii64sIiQQ6I")
_ANSWER = struct.Struct("=II")
_DRIVER = b"iscsi"
_LONGEST = 8192
"""Bytes of words that tgtd reads."""
_ALL = -1
_WAIT = 30


class _Op(enum.IntEnum):
    NEW, DELETE, SHOW, BIND, UNBIND, UPDATE = range(6)


class _Mode(enum.IntEnum):
    SYSTEM, TARGET, UNIT = range(3)
    ACCOUNT = 7


class Target(NamedTuple):
    """The one target of a daemon. `lun` is its disk's number, `path` the device or file behind it."""

    iqn: str
    user: str
    password: str
    path: str
    lun: int
    read_only: bool


_NUMBER = 1
_LET_IN = "ACL information:"


class Control:
    """A daemon's control socket at `path`."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path

    async def answers(self) -> bool:
        """Whether a daemon listens there."""
        try:
            await self._ask(_Mode.SYSTEM, _Op.SHOW)
        except DriverError:
            return False
        return True

    async def offer(self, target: Target) -> None:
        """The daemon offers the target, to whoever has its password. Raises DriverError.

        Nobody is let in before the password is set: that is the last step, and tells `offers` that all were done.
        """
        await self._ask(_Mode.TARGET, _Op.NEW, f"targetname={target.iqn}")
        await self._ask(_Mode.ACCOUNT, _Op.NEW, f"user={target.user},password={target.password}")
        await self._ask(_Mode.ACCOUNT, _Op.BIND, f"user={target.user}")
        # Past the host's cache: what was acknowledged is in a snapshot taken beside us, and outlives the daemon.
        words = f"path={target.path},bstype=rdwr,bsoflags=direct"
        await self._ask(_Mode.UNIT, _Op.NEW, words, lun=target.lun)
        words = f"readonly={int(target.read_only)},thin_provisioning=1"
        await self._ask(_Mode.UNIT, _Op.UPDATE, words, lun=target.lun)
        await self._ask(_Mode.TARGET, _Op.BIND, "initiator-address=ALL")

    async def offers(self, iqn: str) -> bool:
        """Whether the daemon lives and lets users of this target in."""
        try:
            told = await self._ask(_Mode.TARGET, _Op.SHOW, number=_ALL)
        except DriverError:
            return False
        lines = [line.strip() for line in told.splitlines() if line.strip()]
        return f"Target {_NUMBER}: {iqn}" in lines and lines[-2:] == [_LET_IN, "ALL"]

    async def _ask(self, mode: _Mode, op: _Op, words: str = "", *, number: int = _NUMBER, lun: int = 0) -> str:
        data = words.encode() + b"\0" if words else b""
        if len(data) > _LONGEST:
            raise DriverError("tgtd can't be told so much at once")
        request = _REQUEST.pack(mode, op, _DRIVER, _REQUEST.size + len(data), number, 0, lun, 0, 0, 0, 0, 0, 0)
        try:
            async with asyncio.timeout(_WAIT):
                error, text = await self._talk(request + data)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, struct.error) as err:
            raise DriverError(f"tgtd does not answer: {type(err).__name__}") from err
        if error:
            raise DriverError(f"tgtd refused to {op.name.lower()} its {mode.name.lower()}: error {error}")
        return text

    async def _talk(self, message: bytes) -> tuple[int, str]:
        reader, writer = await asyncio.open_unix_connection(str(self._path))
        try:
            writer.write(message)
            await writer.drain()
            error, length = _ANSWER.unpack(await reader.readexactly(_ANSWER.size))
            text = await reader.readexactly(max(0, length - _ANSWER.size))
        finally:
            writer.close()
        return error, text.rstrip(b"\0").decode(errors="replace")
