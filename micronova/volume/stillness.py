"""Volumes whose guests hold still for the moment in which a snapshot is taken: their file systems are whole in it.

Guests that have an agent for it are asked; one that does not answer is told of, and its data are as after a power cut.
However the moment ends, guests go on: here when it is over, on their own hosts when nobody lets them. A guest has one
moment at a time: the end of one would be the end of another.
"""

import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from functools import cached_property

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import DriverError, Error, WrongState
from micronova.volume import db, states
from micronova.volume.base import VolumeBase
from micronova.volume.contract import Guests
from micronova.volume.db import Attachment, Snapshot, Volume
from micronova.volume.drivers.locks import Locks

LOG = logging.getLogger(__name__)
KEY = "quiesced"
"""What a snapshot's metadata tell of guests with an agent: "yes" or "no"."""


class Moment:
    """What is known, afterwards, of the moment in which a volume's guests were to hold still."""

    def __init__(self) -> None:
        self.wanted = False
        self.required = False
        self.still = True

    def metadata(self) -> dict[str, str]:
        """What a snapshot of this moment tells of it; nothing of guests that have no agent."""
        return {KEY: "yes" if self.still else "no"} if self.wanted else {}


class Stillness(VolumeBase):
    """The part of the manager that has guests hold still."""

    @cached_property
    def _held(self) -> Locks:
        return Locks()

    @contextlib.asynccontextmanager
    async def stilled(self, ctx: Context, *volumes: Volume, taking: Sequence[str]) -> AsyncIterator[Moment]:
        """Guests that use the volumes hold still, those that can, while the block lasts and takes these snapshots.

        What an earlier block that failed may have taken counts as taken in it: guests must have held still then too.
        Raises WrongState when one can't whose image requires it, or did not to the end.
        """
        moment, asked, failed = Moment(), list[Attachment](), False
        users = await self.db.read(lambda tx: _users(tx, [volume.id for volume in volumes])) if self.guests else []
        async with self._held.held(*(row.server_id or "" for row in users)):
            try:
                if self.guests is not None:
                    await self._freeze(ctx, self.guests, users, moment, asked)
                    await self._note(ctx, moment, taking)
                yield moment
            except DriverError:
                failed = True
                raise
            finally:
                for row in asked:
                    moment.still &= await self._thaw(ctx, row)
                if failed and not moment.still:
                    await self._note(ctx, moment, taking)
        if moment.required and not moment.still:
            raise WrongState("The file systems of a server did not stay frozen, which its image requires.")

    async def _freeze(
        self, ctx: Context, guests: Guests, users: Sequence[Attachment], moment: Moment, asked: list[Attachment]
    ) -> None:
        for row in users:
            asked.append(row)
            found = await guests.freeze_guest(ctx, row.server_id or "", row.host)
            if not found.frozen:
                asked.remove(row)
            moment.wanted |= found.wanted
            moment.required |= found.required
            moment.still &= found.frozen or not found.wanted
            if found.wanted and not found.frozen:
                LOG.warning("volume %s: server %s did not hold still: %s", row.volume_id, row.server_id, found.reason)
            if found.required and not found.frozen:
                raise WrongState(
                    f"The file systems of server {row.server_id} could not be frozen, which its image requires: "
                    f"{found.reason}",
                    id=row.volume_id,
                )

    async def _note(self, ctx: Context, moment: Moment, taking: Sequence[str]) -> None:
        """The snapshots, which may be taken from now on, tell how still guests are; "no" of an earlier try stays."""

        def write(tx: Tx) -> bool:
            rows = tx.find(Snapshot, id=list(taking), status=states.CREATING)
            still = moment.still and all(row.metadata.get(KEY) != "no" for row in rows)
            for row in rows:
                self.touch(tx, row, metadata={**row.metadata, KEY: "yes" if still else "no"})
            return still

        if moment.wanted and taking:
            moment.still = await self.db.write(write, ctx, why="its guests hold still, or don't")

    async def _thaw(self, ctx: Context, row: Attachment) -> bool:
        """The guest goes on; whether it held still until now."""
        if self.guests is None:
            return False
        try:
            return await self.guests.thaw_guest(ctx, row.server_id or "", row.host)
        except Error as err:
            LOG.error("server %s was frozen and could not be thawed, its host will: %s", row.server_id, err)
            return False


def _users(tx: Tx, ids: Sequence[str]) -> list[Attachment]:
    """An attachment of each server that uses one of the volumes."""
    rows = [row for id in ids for row in db.attachments_of(tx, id)]
    used = [row for row in rows if row.status == states.ATTACHED and row.host and row.device]
    return list({row.server_id: row for row in used if row.server_id}.values())
