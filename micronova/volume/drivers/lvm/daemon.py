"""The daemon of one export: a tgtd with one port, one target, one password.

One for each export and not one for all: what happens to one volume's daemon happens to no other volume, cutting a user
off is ending a process, and a volume that has grown is shown by starting its daemon again. An initiator that loses its
daemon connects again by itself (QEMU's does) and repeats what was not acknowledged.
"""

import asyncio
import errno
import hashlib
import ipaddress
import pathlib
import signal

import msgspec

from micronova.errors import DriverError
from micronova.volume.driver import ExportSpec, IscsiConnection
from micronova.volume.drivers import process
from micronova.volume.drivers.lvm.tgt import Control, Target
from micronova.volume.drivers.steps import in_thread

BINARY = "tgtd"
LUN = 1
_NO_RIGHTS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
"""It stays root, who owns the devices, but may do nothing that needs more than that."""
_PORTAL = "portal="
_TRIES = 1500
_POLL = 0.02
_GONE = 10


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """Where daemons live: `sockets` is their working directory, `logs` has what they complained about."""

    sockets: pathlib.Path
    logs: pathlib.Path


class ExportRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What is written down of an export. `size` is the volume's when its daemon was started last."""

    spec: ExportSpec
    address: str
    port: int
    iqn: str
    password: str
    size: int = 0

    def __repr__(self) -> str:
        return f"ExportRecord({self.spec.id}, {self.portal})"

    @property
    def portal(self) -> str:
        """HOST:PORT."""
        host = f"[{self.address}]" if ipaddress.ip_address(self.address).version == 6 else self.address
        return f"{host}:{self.port}"

    @property
    def word(self) -> str:
        """What its daemon is known by among this host's processes."""
        return f"{_PORTAL}{self.portal}"

    def connection(self) -> IscsiConnection:
        """What its user must know."""
        return IscsiConnection(
            portal=self.portal,
            iqn=self.iqn,
            lun=LUN,
            user=self.spec.id,
            password=self.password,
            read_only=self.spec.read_only,
        )


class ExportDaemon:
    """The daemon of one export; this object remembers nothing about it."""

    def __init__(self, place: Place, record: ExportRecord) -> None:
        self._place = place
        self._record = record
        # Names may be long, and a socket's path must be short.
        self._socket = place.sockets / hashlib.sha256(record.spec.id.encode()).hexdigest()[:24]
        self._log = place.logs / f"{record.spec.id}.log"
        self._control = Control(self._socket.with_suffix(".0"))

    async def alive(self) -> bool:
        """Whether it lives and lets its user in."""
        return await self._control.offers(self._record.iqn)

    async def start(self, path: str) -> None:
        """It offers the device or file at `path`; one that lived before is ended. Raises DriverError."""
        await self.end()
        record = self._record
        # tgtd adds its control port's number to the socket's path.
        names = ["env", f"TGT_IPC_SOCKET={self._socket}"]
        words = [BINARY, "-f", "-C", "0", "--iscsi", record.word]
        await process.spawn([*names, *_NO_RIGHTS, *words], self._place.sockets, (), self._log)
        user, read_only = record.spec.id, record.spec.read_only
        target = Target(record.iqn, user, record.password, path, LUN, read_only)
        try:
            await self._answering()
            await self._control.offer(target)
        except DriverError as err:
            await self.end()
            raise DriverError(f"the volume's iSCSI daemon did not start: {process.said(self._log)}") from err

    async def _answering(self) -> None:
        misses = 0
        for _ in range(_TRIES):
            if await self._control.answers():
                return
            # A process that is just becoming another program has no arguments for a moment.
            there = await in_thread(process.find, self._record.word, self._place.sockets) is not None
            misses = 0 if there else misses + 1
            if misses > _GONE:
                break
            await asyncio.sleep(_POLL)
        raise DriverError("tgtd does not answer")

    async def end(self) -> None:
        """It does not live any more. Raises DriverError."""
        # It obeys no other signal while it has a target. Nothing is lost: it acknowledges what the disk has.
        await process.end(self._record.word, self._place.sockets, by=signal.SIGKILL)

    async def clear(self) -> None:
        """Neither the daemon nor anything of it is left. Raises DriverError."""
        await self.end()
        await in_thread(self._unlink)

    def _unlink(self) -> None:
        for path in (self._socket.with_suffix(".0"), self._socket.with_suffix(".0.lock"), self._log):
            path.unlink(missing_ok=True)


async def end_others(place: Place, words: set[str]) -> None:
    """No daemon lives here but those known by `words`. Raises DriverError."""
    for word in await in_thread(process.words_in, place.sockets, _PORTAL):
        if word not in words:
            await process.end(word, place.sockets, by=signal.SIGKILL)


def free(address: str, port: int) -> bool:
    """Whether nobody listens there. Raises DriverError when this host has no such address."""
    try:
        process.listen_at(address, port).close()
    except OSError as err:
        if err.errno == errno.EADDRNOTAVAIL:
            raise DriverError(f"this host has no address {address} to serve volumes at") from err
        return False
    return True
