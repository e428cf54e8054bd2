"""Exports of volumes: what is written down of them, and their daemons made to agree with it."""

import contextlib
import logging
from typing import Protocol

import msgspec

from micronova.clock import Clock
from micronova.errors import DriverError
from micronova.volume.driver import ExportSpec, IscsiConnection
from micronova.volume.drivers.lvm import daemon
from micronova.volume.drivers.lvm.daemon import ExportDaemon, ExportRecord, Place
from micronova.volume.drivers.lvm.options import LvmOptions
from micronova.volume.drivers.shelf import Shelf
from micronova.volume.drivers.steps import in_thread
from micronova.volume.drivers.watch import Watch

LOG = logging.getLogger(__name__)
_PASSWORD_BYTES = 16


class Devices(Protocol):
    """Where volumes can be read and written on this host."""

    async def open(self, volume: str) -> tuple[str, int]:
        """The path of the volume's device and its size in bytes; repeating is safe. Raises DriverError."""

    async def rest(self, volume: str) -> None:
        """Nobody uses the volume's device any more. One without a device is no matter. Raises DriverError."""


class Exports:
    """The exports of one back end. Whoever calls holds the volume's lock, unless it says otherwise."""

    def __init__(
        self,
        shelf: Shelf[ExportRecord],
        place: Place,
        options: LvmOptions,
        devices: Devices,
        watch: Watch,
        clock: Clock,
    ) -> None:
        self._shelf = shelf
        self._place = place
        self._options = options
        self._devices = devices
        self._watch = watch
        self._clock = clock

    async def all(self) -> dict[str, ExportRecord]:
        """What is written down, by export, of all volumes; no lock is needed. Raises DriverError."""
        return await in_thread(self._shelf.all)

    async def find(self, id: str) -> ExportRecord | None:
        """What is written down of an export; no lock is needed. Raises DriverError."""
        return await in_thread(self._shelf.find, id)

    async def of(self, volume: str) -> dict[str, ExportRecord]:
        """The volume's exports. Raises DriverError."""
        return {id: one for id, one in (await self.all()).items() if one.spec.volume == volume}

    async def reserve(self, spec: ExportSpec) -> ExportRecord:
        """Where and with what password the volume will be reached; written down. Raises DriverError without ports."""
        taken = {one.port for one in (await self.all()).values()}
        record = ExportRecord(
            spec=spec,
            address=self._options.address,
            port=await in_thread(self._free_port, taken),
            # An iSCSI name has no underscores and no capitals (RFC 3720, 3.2.6.2).
            iqn=f"{self._options.iqn}:{spec.id.lower().replace('_', '-')}",
            password=self._clock.secret(_PASSWORD_BYTES).hex(),
        )
        await in_thread(self._shelf.put, spec.id, record)
        return record

    def _free_port(self, taken: set[int]) -> int:
        first = self._options.first_port
        for port in range(first, first + self._options.ports):
            if port not in taken and daemon.free(self._options.address, port):
                return port
        raise DriverError("no port is free for another export")

    async def serve(self, volume: str) -> dict[str, IscsiConnection]:
        """All that is written down of the volume's exports is served, with its size of now. Raises DriverError.

        A living daemon that shows that already is left alone.
        """
        records = await self.of(volume)
        if not records:
            return {}
        path, size = await self._devices.open(volume)
        for id, record in records.items():
            served = ExportDaemon(self._place, record)
            if record.size != size or not await served.alive():
                self._watch.stop(record.word)
                await served.start(path)
                await in_thread(self._shelf.put, id, msgspec.structs.replace(record, size=size))
            await self._watch.begin(record.word, volume)
        return {id: record.connection() for id, record in records.items()}

    async def remove(self, record: ExportRecord) -> None:
        """The export is not served any more and not written down. Raises DriverError."""
        self._watch.stop(record.word)
        await ExportDaemon(self._place, record).clear()
        if set(await self.of(record.spec.volume)) <= {record.spec.id}:
            await self._devices.rest(record.spec.volume)
        await in_thread(self._shelf.drop, record.spec.id)

    async def recover(self) -> set[str]:
        """Daemons that nothing is written down of are ended; returns the volumes that have to be served. No lock."""
        records = await self.all()
        await daemon.end_others(self._place, {one.word for one in records.values()})
        return {one.spec.volume for one in records.values()}

    async def erase(self) -> None:
        """No export is left. Raises DriverError."""
        for record in (await self.all()).values():
            with contextlib.suppress(DriverError):
                await self.remove(record)
        await daemon.end_others(self._place, set())
