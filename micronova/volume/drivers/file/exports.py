"""Exports: brings what is served into agreement with what is written down; nothing else starts or ends a daemon.

The records are made before anything serves and go after nothing does any more. So after a crash in between, serving
what is written down, and only that, completes what was begun.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Collection

from micronova.errors import DriverError
from micronova.volume.driver import ExportSpec, NbdConnection
from micronova.volume.drivers import process
from micronova.volume.drivers.file import fronts
from micronova.volume.drivers.file.daemon import Place, VolumeDaemon
from micronova.volume.drivers.file.fronts import Fronts
from micronova.volume.drivers.file.layers import Layers
from micronova.volume.drivers.file.records import ExportRecord, Records
from micronova.volume.drivers.steps import in_thread
from micronova.volume.drivers.watch import Watch

LOG = logging.getLogger(__name__)
_DAEMON, _FRONT, _MODE = "chardev=volume-", "chardev=front-", ",mode=control"


class Exports:
    """All exports of one back end. Whoever calls holds the volume's lock."""

    def __init__(self, place: Place, records: Records, layers: Layers, ways: Fronts, watch: Watch) -> None:
        self._place = place
        self._records = records
        self._layers = layers
        self._fronts = ways
        self._watch = watch

    def daemon(self, volume: str) -> VolumeDaemon:
        """The daemon of the volume, alive or not."""
        return VolumeDaemon(self._place, volume)

    def connection(self, record: ExportRecord) -> NbdConnection:
        """How the export is reached."""
        spec = record.spec
        if not spec.local:
            return self._fronts.connection(record)
        path = str(self._place.socket(spec.volume, "nbd"))
        return NbdConnection(export=spec.id, path=path, read_only=spec.read_only)

    async def record(self, spec: ExportSpec) -> ExportRecord:
        """What is to be written down for a new export. Raises Rejected, DriverError."""
        if spec.local:
            return ExportRecord(spec=spec)
        taken = {one.port for one in (await in_thread(self._records.exports.all)).values()}
        return await self._fronts.reserve(spec, taken)

    async def serve(self, volume: str) -> None:
        """What is written down of the volume is served, to this host and others. Raises DriverError."""
        await self.agree(volume)
        for id, one in (await in_thread(self._records.exports_of, volume)).items():
            if not one.spec.local:
                if not await self._fronts.alive(id):
                    await self._start_front(one)
                await self._watch.begin(fronts.word(id), volume)

    async def agree(self, volume: str) -> None:
        """The volume's daemon serves what is written down, from its newest layer, and nothing else.

        Ways to other hosts are not looked at. Raises DriverError.
        """
        exports = await in_thread(self._records.exports_of, volume)
        daemon = self.daemon(volume)
        if not exports:
            self._watch.stop(daemon.word)
            await daemon.clear()
            return
        layer = (await in_thread(self._records.volume, volume)).layer
        specs = [one.spec for one in exports.values()]
        if not await self._adjusted(volume, layer, specs):
            self._watch.stop(daemon.word)
            await daemon.start(await in_thread(self._layers.chain, layer), specs)
        await self._watch.begin(daemon.word, volume)

    async def _start_front(self, record: ExportRecord) -> None:
        self._watch.stop(fronts.word(record.spec.id))
        await self._fronts.start(record, self._place.socket(record.spec.volume, "nbd"))
        await self._watch.begin(fronts.word(record.spec.id), record.spec.volume)

    async def _adjusted(self, volume: str, layer: str, specs: list[ExportSpec]) -> bool:
        """Whether a living daemon serves these exports now; it is changed for that, not started."""
        daemon = self.daemon(volume)
        try:
            served = await daemon.exported()
        except DriverError:
            return False
        tops = set(served.values())
        if len(tops) != 1:
            return False
        top = tops.pop()
        if top != layer:
            # Somebody died after writing down that writes go to a new, empty layer and before they did.
            if await in_thread(self._layers.parent, layer) != top:
                return False
            await daemon.put_on_top(layer, top)
        for spec in specs:
            if spec.id not in served:
                await daemon.add_export(spec, layer)
        for id in served.keys() - {spec.id for spec in specs}:
            await daemon.drop_export(id)
        return True

    async def remove(self, record: ExportRecord) -> None:
        """The export is not served any more and not written down. Raises DriverError."""
        spec = record.spec
        if not spec.local:
            self._watch.stop(fronts.word(spec.id))
            await self._fronts.clear(spec.id)
        daemon = self.daemon(spec.volume)
        others = [id for id in await in_thread(self._records.exports_of, spec.volume) if id != spec.id]
        if not others:
            self._watch.stop(daemon.word)
            await daemon.clear()
        elif await daemon.alive() and spec.id in await daemon.exported():
            await daemon.drop_export(spec.id)
        await in_thread(self._records.exports.drop, spec.id)

    async def grow(self, volume: str, layer: str, size: int) -> None:
        """The served layer has `size`; users are cut off for a moment, come again, and see it. Raises DriverError."""
        await self.agree(volume)
        exports = await in_thread(self._records.exports_of, volume)
        await self.daemon(volume).grow(layer, size, [one.spec for one in exports.values()])
        for one in exports.values():
            if not one.spec.local:
                await self._start_front(one)

    @contextlib.asynccontextmanager
    async def held(self, volumes: Collection[str]) -> AsyncIterator[None]:
        """Nothing is written to any of these volumes while the block lasts; their users wait, and miss nothing.

        What a user had acknowledged before is done, what it had not it asks again afterwards. Raises DriverError.
        """
        try:
            await asyncio.gather(*(self.daemon(volume).cut_off() for volume in volumes))
            yield
        finally:
            await asyncio.gather(*(self._resume(volume) for volume in volumes))

    async def _resume(self, volume: str) -> None:
        """The volume's living daemon serves again what is written down. One that can't is started anew."""
        layer = (await in_thread(self._records.volume, volume)).layer
        try:
            served = await self.daemon(volume).exported()
            for id, one in (await in_thread(self._records.exports_of, volume)).items():
                if id not in served:
                    await self.daemon(volume).add_export(one.spec, layer)
        except DriverError:
            await self.serve(volume)

    async def recover(self) -> set[str]:
        """Daemons that nothing is written down of are ended; returns the volumes that have to be served."""
        exports = await in_thread(self._records.exports.all)
        wanted = {one.spec.volume for one in exports.values()}
        for word in await in_thread(process.words_in, self._place.layers, _FRONT):
            if word.removeprefix(_FRONT).removesuffix(_MODE) not in exports:
                await process.end(word, self._place.layers)
        for word in await in_thread(process.words_in, self._place.layers, _DAEMON):
            if word.removeprefix(_DAEMON).removesuffix(_MODE) not in wanted:
                await process.end(word, self._place.layers)
        return wanted

    async def erase(self) -> None:
        """No daemon lives. Raises DriverError."""
        for beginning in (_FRONT, _DAEMON):
            for word in await in_thread(process.words_in, self._place.layers, beginning):
                await process.end(word, self._place.layers)
