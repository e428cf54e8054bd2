"""Volumes that change their back end while a server uses them: its guest copies them, and writes to both meanwhile.

    move (copies.py)  an empty volume is made in the new place; the guest follows, until all is there
    the guest's host  holds what the guest would write, says `moved`, lets go of the old place, says `left`
                      or can't let go, and says `stayed`: the old place holds all that was written
    move              what was in the old place goes, if the guest has left it

Where the volume lies is what its row says, at any moment: until `moved` the old place holds all that was written, from
then on the new one does. Whoever connects meanwhile, as a guest that starts again, gets what the row says.
"""

import asyncio
import contextlib
import logging
from functools import partial

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import DriverError, NotFound, Rejected, Unavailable, WrongState
from micronova.manager import remote
from micronova.tasks import Task
from micronova.volume import db, states
from micronova.volume.building import UNFINISHED, Building
from micronova.volume.changes import Changes
from micronova.volume.contract import AttachmentInfo, Connector, Guests, Moving, Way
from micronova.volume.db import Attachment, Volume, VolumeType
from micronova.volume.driver import Connection, ExportSpec, VolumeSpec
from micronova.volume.types import is_multiattach

LOG = logging.getLogger(__name__)
MIGRATING, COMPLETING, DONE, GIVEN_UP = "migrating", "completing", "success", "error"
"""What a moving volume says of its migration (Block Storage API reference, `migration_status`)."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
_PATIENCE = 150
"""Longest pauses for which a guest's host may be out of reach."""
_ASKED = 5
"""How often a guest is asked to let go of the old place, before it is left there."""


class Moves(Changes, Building):
    """The part of the manager that moves volumes in use."""

    def check_movable(self, tx: Tx, volume: Volume) -> None:
        """Return when the volume could move as it is. Raises WrongState."""
        attachments = db.attachments_of(tx, volume.id)
        if volume.status not in (states.AVAILABLE, states.IN_USE) or db.snapshots_of(tx, volume.id):
            raise WrongState(
                "Invalid volume: Only a volume that is available or in-use and has no snapshots can move.", id=volume.id
            )
        if volume.status == states.IN_USE and (len(attachments) != 1 or _user(attachments) is None):
            raise WrongState("Invalid volume: Only a volume that one server uses can move meanwhile.", id=volume.id)
        if volume.group_id is not None or tx.count(Volume, source_volume_id=volume.id, status=UNFINISHED):
            raise WrongState("Invalid volume: A volume of a group, or one being copied, can't move.", id=volume.id)

    @property
    def _guests(self) -> Guests:
        if self.guests is None:
            raise Rejected("nobody here knows of guests that could follow the volume")
        return self.guests

    # -- followed, by the host that has the volume

    async def follow(self, ctx: Context, volume: Volume, way: Way) -> None:
        """The volume lies in its new place, says its row, and its guest uses nothing else. Safe to repeat.

        Raises Rejected when nobody uses the volume any more or its guest does not run, DriverError.
        """
        encryption = await self._encryption(volume)
        spec = VolumeSpec(name=way.name, size_gib=volume.size_gib, encryption=encryption)
        if volume.driver_name != way.name:
            await self.drivers[way.backend].ensure(spec)
        pause, asked, missed = _FIRST_PAUSE, 0, 0
        while (move := await self.db.read(lambda tx: self._stage(tx, volume.id, way))) is not None:
            try:
                asked += await self._go_on(ctx, move)
                missed = 0
            except Unavailable:
                missed += 1
            if missed > _PATIENCE or asked > _ASKED:
                raise DriverError("the guest did not let go of the volume's old place", id=volume.id)
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * 1.5)

    async def _go_on(self, ctx: Context, move: Moving) -> bool:
        """The guest follows; one that has all of the volume in the new place is asked to let go of the old one.

        Returns whether it was asked just now.
        """
        if not await self.lies(ctx, move) and not await self._guests.follow_move(ctx, move):
            return False
        ask = partial(self._guests.record_switch, ctx=ctx, move=move)
        return await self.db.write(ask, ctx, why="all of the volume is in its new place")

    def _stage(self, tx: Tx, id: str, way: Way) -> Moving | None:
        """What is under way; None when it is done.

        Raises Rejected when nobody uses the volume in its old place any more.
        """
        volume, user = db.get_volume(tx, id), _user(db.attachments_of(tx, id))
        if volume.driver_name == way.name:
            if user is None or volume.migration_status != COMPLETING:
                return None
        elif user is None:
            raise Rejected("nobody uses the volume any more", id=id)
        return Moving(
            attachment_id=user.id,
            volume_id=id,
            server_id=user.server_id or "",
            host=user.host,
            way=way,
        )

    async def stop_following(self, ctx: Context, id: str, way: Way) -> None:
        """The volume stays where its row says, and a guest that can be reached follows no more. Safe to repeat."""

        def give_up(tx: Tx) -> Moving | None:
            volume = db.get_volume(tx, id)
            if volume.driver_name == way.name:
                return None
            if volume.status == states.RETYPING:
                self.touch(tx, volume, migration_status=GIVEN_UP)
            with contextlib.suppress(Rejected):
                return self._stage(tx, id, way)
            return None

        move = await self.db.write(give_up, ctx, why="it stays where it was")
        if move is None or self.guests is None:
            return
        try:
            await self.guests.unfollow_move(ctx, move)
        except (DriverError, Unavailable, NotFound) as err:
            # It is cut off from the new place soon, and stays with the old one then.
            LOG.warning("volume %s: its guest could not be told that it stays: %s", id, err)

    # -- for the host of the guest

    async def connect_elsewhere(self, ctx: Context, move: Moving, connector: Connector) -> AttachmentInfo:
        """How the volume is reached in its new place, by whom it shall have there. Safe to repeat.

        Raises NotFound, WrongState when it is not moving there, DriverError.
        """

        def look(tx: Tx) -> tuple[AttachmentInfo, str]:
            row = db.get_attachment(tx, move.attachment_id)
            volume = db.get_volume(tx, row.volume_id)
            _check_moving(volume, move)
            info = msgspec.structs.replace(self.info(tx, row), qos=self.limits_of(tx, move.way.type_id))
            return info, volume.host

        info, host = await self.db.read(look)
        place = (move.way.backend, move.way.name)
        connection = await self.on(host).export_place(ctx, move.attachment_id, place, connector)
        return msgspec.structs.replace(info, connection=connection)

    @remote(wait=60)
    async def export_place(
        self, ctx: Context, attachment_id: str, place: tuple[str, str], connector: Connector
    ) -> Connection:
        """A place of a moving volume, (back end, name there) of this host, is exported to it. Safe to repeat."""

        def look(tx: Tx) -> tuple[Volume, Attachment]:
            row = db.get_attachment(tx, attachment_id)
            return db.get_volume(tx, row.volume_id), row

        volume, row = await self.db.read(look)
        backend, name = place
        target = self.drivers.get(backend)
        if target is None or volume.host != self.host:
            raise DriverError(f"this host has no back end {backend}", id=volume.id)
        spec = ExportSpec(
            id=row.id,
            volume=name,
            local=connector.host == self.host,
            read_only=row.mode == "ro",
            ip=connector.ip,
            initiator=connector.initiator,
        )
        return await target.ensure_export(spec)

    async def moved(self, ctx: Context, move: Moving, connection: Connection) -> None:
        """The volume lies in its new place from now on: both hold the same. Safe to repeat.

        Raises NotFound, WrongState when it shall not move there any more.
        """

        def write(tx: Tx) -> None:
            row = db.get_attachment(tx, move.attachment_id)
            volume = db.get_volume(tx, row.volume_id)
            if volume.driver_name == move.way.name:
                return
            _check_moving(volume, move)
            if row.status != states.ATTACHED:
                raise WrongState(f"Invalid volume: Attachment {row.id} is {row.status}.", id=row.id)
            self.lay(tx, volume, move.way, COMPLETING)
            self.touch(tx, row, connection=connection)

        await self.db.write(write, ctx, why="its guest has all of it there")

    def lay(self, tx: Tx, volume: Volume, way: Way, told: str) -> None:
        """The volume lies at the end of the way, and says this of its migration."""
        kind = {"type_id": way.type_id, "multiattach": is_multiattach(tx.first(VolumeType, id=way.type_id))}
        self.touch(tx, volume, backend=way.backend, driver_name=way.name, migration_status=told, **kind)

    async def stayed(self, ctx: Context, move: Moving, connector: Connector) -> None:
        """The guest could not let go of the old place: the volume lies there again, and moves still. Safe to repeat.

        Raises NotFound, DriverError, HostUnreachable.
        """
        way, home = move.way, await self.db.read(lambda tx: db.get_volume(tx, move.volume_id).host)
        place = (way.old_backend, way.old_name)
        connection = await self.on(home).export_place(ctx, move.attachment_id, place, connector)

        def write(tx: Tx) -> None:
            row = db.get_attachment(tx, move.attachment_id)
            volume = db.get_volume(tx, row.volume_id)
            if volume.driver_name == way.name and volume.migration_status == COMPLETING:
                self.lay(tx, volume, back(way), MIGRATING)
                self.touch(tx, row, connection=connection)

        await self.db.write(write, ctx, why="its guest has it in the old place still")

    async def lies(self, ctx: Context, move: Moving) -> bool:
        """Whether the volume's row says that it lies in the new place. Raises NotFound."""

        def look(tx: Tx) -> bool:
            return db.get_volume(tx, move.volume_id).driver_name == move.way.name

        return await self.db.read(look)

    async def left(self, ctx: Context, move: Moving) -> None:
        """The guest has let go of the old place. Safe to repeat."""

        def write(tx: Tx) -> None:
            volume = tx.first(Volume, id=move.volume_id)
            if volume is not None and volume.migration_status == COMPLETING:
                self.touch(tx, volume, migration_status=DONE)

        await self.db.write(write, ctx, why="its guest let go of the old place")


def back(way: Way) -> Way:
    """The same way from its end to its beginning."""
    return Way(
        backend=way.old_backend,
        type_id=way.old_type_id,
        name=way.old_name,
        old_backend=way.backend,
        old_type_id=way.type_id,
        old_name=way.name,
    )


def way_of(task: Task) -> Way | None:
    """The way of a task that moves a volume; None for one that was recorded before ways were told."""
    told = task.arguments[1]
    return msgspec.convert(told, Way) if isinstance(told, dict) else None


def _check_moving(volume: Volume, move: Moving) -> None:
    moving = volume.status == states.RETYPING and volume.migration_status in (MIGRATING, COMPLETING)
    if not moving:
        raise WrongState(f"Invalid volume: Volume {volume.id} is not moving to {move.way.backend}.", id=volume.id)


def _user(attachments: list[Attachment]) -> Attachment | None:
    """The attachment of the server that uses the volume now."""
    for row in attachments:
        if row.status == states.ATTACHED and row.server_id and row.host and row.device:
            return row
    return None
