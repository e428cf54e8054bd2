"""Volumes whose guests hold still for the moment in which a snapshot is taken: their file systems are whole in it.

Guests that have an agent for it are asked; one that does not answer is told of, and its data are as after a power cut.
However the moment ends, guests go on: here when it is over, on their own hosts when nobody lets them.
"""

import contextlib
import logging
from collections.abc import AsyncIterator, Sequence

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import Error, WrongState
from micronova.volume import db, states
from micronova.volume.base import VolumeBase
from micronova.volume.contract import Guests
from micronova.volume.db import Attachment, Volume

LOG = logging.getLogger(__name__)
KEY = "quiesced"
"""What a snapshot's metadata tell of guests with an agent: "yes" or "no"."""


class Moment:
    """What is known, afterwards, of the moment in which a volume's guests were to hold still."""

    def __init__(self) -> None:
        self.wanted = False
        self.still = True

    def metadata(self) -> dict[str, str]:
        """What a snapshot of this moment tells of it; nothing of guests that have no agent."""
        return {KEY: "yes" if self.still else "no"} if self.wanted else {}


class Stillness(VolumeBase):
    """The part of the manager that has guests hold still."""

    @contextlib.asynccontextmanager
    async def stilled(self, ctx: Context, *volumes: Volume) -> AsyncIterator[Moment]:
        """Guests that use the volumes hold still, those that can, while the block lasts.

        Raises WrongState when one can't whose image requires it.
        """
        moment, asked = Moment(), list[Attachment]()
        try:
            if self.guests is not None:
                await self._freeze(ctx, self.guests, [volume.id for volume in volumes], moment, asked)
            yield moment
        finally:
            for row in asked:
                moment.still &= await self._thaw(ctx, row)

    async def _freeze(
        self, ctx: Context, guests: Guests, ids: Sequence[str], moment: Moment, asked: list[Attachment]
    ) -> None:
        for row in await self.db.read(lambda tx: _users(tx, ids)):
            asked.append(row)
            found = await guests.freeze_guest(ctx, row.server_id or "", row.host)
            if not found.frozen:
                asked.remove(row)
            moment.wanted |= found.wanted
            moment.still &= found.frozen or not found.wanted
            if found.wanted and not found.frozen:
                LOG.warning("volume %s: server %s did not hold still: %s", row.volume_id, row.server_id, found.reason)
            if found.required and not found.frozen:
                raise WrongState(
                    f"The file systems of server {row.server_id} could not be frozen, which its image requires: "
                    f"{found.reason}",
                    id=row.volume_id,
                )

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
