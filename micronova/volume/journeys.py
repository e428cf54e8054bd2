"""Volumes that nobody uses, on their way to a back end of another host.

    fetch (new host)   the old host lends the volume for reading; its data become a volume of a new name; both are read
                       once more and compared; then, in one transaction, the row says that it lies here
    leave (old host)   what was there is removed, when that host is there

Where the volume lies is what its row says, at any moment, and what it says is whole. Whoever dies meanwhile, the work
goes on when he is back, or is given up: then the volume stays where it was.
"""

import logging

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import DriverError, Error, Rejected, WrongState
from micronova.manager import remote, task
from micronova.network import tunnels
from micronova.tasks import Task
from micronova.volume import db, states
from micronova.volume.base import told
from micronova.volume.choice import Choice
from micronova.volume.contract import Connector
from micronova.volume.db import Volume, VolumeType
from micronova.volume.driver import Connection, ExportSpec, FromFile, VolumeSpec
from micronova.volume.drivers.reading import Reader, ToolReader
from micronova.volume.moves import DONE, GIVEN_UP, MIGRATING, Moves
from micronova.volume.types import is_multiattach

LOG = logging.getLogger(__name__)
LONG, WEEK = 6 * 3600, 7 * 24 * 3600
FETCH, LEAVE, MOVE = "fetch", "leave", "move"


class Journeys(Moves):
    """The part of the manager that moves idle volumes between hosts."""

    reader: Reader = ToolReader()

    def can_travel(self, tx: Tx, volume: Volume) -> bool:
        """Whether other hosts could fetch the volume as it is."""
        can = self.capabilities(tx, volume)
        used = volume.status != states.AVAILABLE or db.attachments_of(tx, volume.id)
        return not used and (can.remote or can.shared)

    def is_called_off(self, tx: Tx, volume: Volume) -> bool:
        """Whether the volume shall not move any more, or later, by another task: what was copied may be old by then."""
        moves = tx.count(Task, resource=f"volume:{volume.id}", method=(FETCH, MOVE), open=True, cancelled=False)
        return volume.status != states.RETYPING or moves > 1 or bool(db.attachments_of(tx, volume.id))

    def record_journey(self, tx: Tx, ctx: Context, volume: Volume, chosen: Choice, type_id: str) -> None:
        """Have the volume fetched by the chosen host. Raises WrongState when it can't be."""
        self.check_movable(tx, volume)
        self.refuse_encrypted(volume, "A move to another host")
        if not self.can_travel(tx, volume):
            raise WrongState("Invalid volume: Only an available volume can move to another host.", id=volume.id)
        self.touch(tx, volume, status=states.RETYPING, previous_status=volume.status, migration_status=MIGRATING)
        name = self.clock.new_id()
        self.on(chosen.host).fetch.record(tx, ctx, volume.id, chosen.host, chosen.backend, type_id, name)

    # -- the new host

    @task(deadline=LONG, resource="volume", failed="settle_fetch", retries=20)
    async def fetch(self, ctx: Context, id: str, host: str, backend: str, type_id: str, name: str) -> None:
        """Bring the volume's data to this host's back end, as `name`, and have the row say so. Safe to repeat."""
        volume = await self.db.read(lambda tx: db.get_volume(tx, id))
        if volume.driver_name == name:
            return
        target = self.drivers.get(backend)
        if target is None:
            raise Rejected(f"this host has no back end {backend}", id=id)
        if volume.status != states.RETYPING:
            raise Rejected("somebody said meanwhile that the volume does not move", id=id)
        source = await self.on(volume.host).lend(ctx, id, _lent(name), self._reading())
        await target.remove_export(_checked(name))
        async with self.copy_file(f"fetch-{id}") as path:
            await self.reader.bring(source, str(path))
            await target.remove(name)
            data = FromFile(str(path), "raw")
            await target.ensure(VolumeSpec(name=name, size_gib=volume.size_gib, source=data))
        copy = await target.ensure_export(ExportSpec(id=_checked(name), volume=name, read_only=True))
        await self.reader.check_same(source, copy)
        await target.remove_export(_checked(name))
        await self.db.write(lambda tx: self._arrive(tx, ctx, id, backend, type_id, name), ctx, why="its data are here")

    def _reading(self) -> Connector:
        ip = tunnels.own_address(self.config.options.network.tunnel_address)
        return Connector(host=self.host, ip=ip, initiator=self.host)

    def _arrive(self, tx: Tx, ctx: Context, id: str, backend: str, type_id: str, name: str) -> None:
        """The row says that the volume lies here; what is in the old place goes."""
        before = db.get_volume(tx, id)
        if self.is_called_off(tx, before):
            raise Rejected("somebody said meanwhile that the volume does not move", id=id)
        place = {"host": self.host, "backend": backend, "driver_name": name}
        kind = {"type_id": type_id, "multiattach": is_multiattach(tx.first(VolumeType, id=type_id))}
        zone = self.config.options.service.zone
        self.touch(tx, before, status=states.AVAILABLE, migration_status=DONE, zone=zone, **place, **kind)
        self.on(before.host).leave.record(tx, ctx, id, before.backend, before.driver_name, _lent(name))

    async def settle_fetch(
        self, ctx: Context, id: str, host: str, backend: str, type_id: str, name: str, err: Error
    ) -> None:
        """The volume lies where its row says; what was begun elsewhere is removed when that host is there."""
        LOG.warning("volume %s could not move to host %s: %s", id, host, err)

        def write(tx: Tx) -> None:
            volume = db.get_volume(tx, id)
            self.on(host).leave.record(tx, ctx, id, backend, name, _checked(name))
            if volume.driver_name == name:
                return
            self.on(volume.host).take_back.record(tx, ctx, id, _lent(name))
            if volume.status != states.RETYPING:
                return
            self.touch(tx, volume, status=self.rest_status(tx, volume), migration_status=GIVEN_UP)
            self.tell(tx, ctx, ("VOLUME", id, volume.project_id), "010_001", f"migrate volume:{told(err)}")

        await self.db.write(write, ctx, why=f"could not move: {told(err)}")

    # -- the old host

    @remote(wait=60)
    async def lend(self, ctx: Context, id: str, export: str, reader: Connector) -> Connection:
        """The moving volume can be read by another host. Safe to repeat. Raises WrongState, DriverError."""
        volume = await self.db.read(lambda tx: db.get_volume(tx, id))
        if volume.status != states.RETYPING:
            raise WrongState(f"Invalid volume: Volume {id} is not moving.", id=id)
        spec = ExportSpec(
            id=export,
            volume=volume.driver_name,
            local=reader.host == self.host,
            read_only=True,
            ip=reader.ip,
            initiator=reader.initiator,
        )
        return await self.driver_of(volume).ensure_export(spec)

    @task(deadline=LONG, resource="volume", retries=1000)
    async def take_back(self, ctx: Context, id: str, export: str) -> None:
        """The volume, which stays here, is lent to nobody. Safe to repeat."""
        volume = await self.db.read(lambda tx: db.get_volume(tx, id))
        await self.driver_of(volume).remove_export(export)

    @task(deadline=WEEK, resource="leaving", retries=100_000)
    async def leave(self, ctx: Context, id: str, backend: str, name: str, export: str) -> None:
        """Nothing of the volume is on this host's back end as `name`, unless its row says so. Safe to repeat."""
        driver = self.drivers.get(backend)
        if driver is None:
            raise DriverError(f"this host has no back end {backend}", id=id)
        await driver.remove_export(export)
        volume = await self.db.read(lambda tx: tx.first(Volume, id=id))
        if volume is None or volume.driver_name != name:
            await driver.remove(name)

    async def abandon(self, ctx: Context, volume: Volume, host: str, backend: str, name: str) -> None:
        """A journey that was cut short leaves nothing there, and the volume is lent to nobody. Safe to repeat."""
        await self.driver_of(volume).remove_export(_lent(name))

        def write(tx: Tx) -> None:
            self.on(host).leave.record(tx, ctx, volume.id, backend, name, _checked(name))

        await self.db.write(write, ctx, why="it is being removed")


def _lent(name: str) -> str:
    """The export by which the old place is read."""
    return f"{name}-out"


def _checked(name: str) -> str:
    """The export by which the new place is compared."""
    return f"{name}-in"
