"""The attach actions from before there were attachments in the API, said in terms of attachments.

os-reserve and os-unreserve claim a volume without saying for whom; os-attach and os-detach say who uses it;
os-begin_detaching and os-roll_detaching announce; os-initialize_connection and os-terminate_connection export.
"""

from typing import Any

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, NotFound, WrongState
from micronova.volume import db, states
from micronova.volume.attachments import OPEN, Attachments
from micronova.volume.contract import Connector
from micronova.volume.db import Attachment, Volume

_RULES = "volume_extension:volume_actions:"


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """Who uses a volume: a server, or a host by name; at `device`."""

    server_id: str | None = None
    host_name: str | None = None
    device: str = ""
    mode: str | None = None


class LegacyAttachments(Attachments):
    """The part of the manager that speaks the old way of attaching."""

    async def claim(self, ctx: Context, id: str) -> None:
        """The volume is somebody's to be: "attaching". Raises NotFound, WrongState."""

        def write(tx: Tx) -> None:
            volume = self.owned(tx, ctx, id, f"{_RULES}reserve")
            states.check("reserve shared" if volume.multiattach else "reserve", "volume", id, volume.status)
            self._begin(tx, ctx, volume)

        await self.db.write(write, ctx, why="reserved by request")

    async def unclaim(self, ctx: Context, id: str) -> None:
        """Nobody is about to have the volume. Raises NotFound, WrongState."""

        def write(tx: Tx) -> None:
            volume = self.owned(tx, ctx, id, f"{_RULES}unreserve")
            states.check("unreserve", "volume", id, volume.status)
            for row in db.attachments_of(tx, id):
                if row.status in OPEN:
                    self.record_detach(tx, ctx, row)
            self._settle_forced(tx, id)

        await self.db.write(write, ctx, why="unreserved by request")

    def _begin(self, tx: Tx, ctx: Context, volume: Volume) -> Attachment:
        row = tx.insert(
            Attachment(
                id=self.clock.new_id(),
                volume_id=volume.id,
                project_id=volume.project_id,
                user_id=ctx.user_id,
                status=states.ATTACHING,
                mode="ro" if volume.read_only else "rw",
                created_at=tx.now,
            )
        )
        self.settle_status(tx, volume)
        self.watch(tx, ctx, row)
        return row

    async def attach_to(self, ctx: Context, id: str, use: Use) -> None:
        """The volume is in use by whom is said. Raises NotFound, WrongState, BadRequest."""

        def write(tx: Tx) -> None:
            volume = self.owned(tx, ctx, id, f"{_RULES}attach")
            if not (volume.multiattach and volume.status == states.IN_USE):
                states.check("attach", "volume", id, volume.status)
            if volume.read_only and use.mode == "rw":
                raise BadRequest(f"Invalid attaching mode 'rw' for volume {id}.")
            rows = [row for row in db.attachments_of(tx, id) if row.status in OPEN]
            row = rows[0] if rows else self._begin(tx, ctx, volume)
            row = self.touch(
                tx,
                row,
                server_id=use.server_id or row.server_id,
                host=row.host or use.host_name or "",
                mode=use.mode or ("ro" if volume.read_only else "rw"),
            )
            self.mark_attached(tx, row, use.device)
            self._settle_forced(tx, id)

        await self.db.write(write, ctx, why="attached by request")

    async def detach_from(self, ctx: Context, id: str, attachment_id: str | None, *, force: bool = False) -> None:
        """The volume's attachment, its only one where none is named, goes. Raises NotFound, WrongState, BadRequest."""
        rule = "volume_extension:volume_admin_actions:force_detach" if force else f"{_RULES}detach"

        def write(tx: Tx) -> None:
            volume = self.owned(tx, ctx, id, rule)
            rows = db.attachments_of(tx, id)
            if attachment_id is not None:
                rows = [row for row in rows if row.id == attachment_id]
                if not rows:
                    raise NotFound(
                        f"Volume attachment could not be found with filter: attachment_id = {attachment_id}."
                    )
            elif len(rows) > 1 and not force:
                raise BadRequest("Detach volume failed: More than one attachment, but no attachment_id provided.")
            for row in rows:
                self.record_detach(tx, ctx, row)
            if not rows and volume.status in (states.IN_USE, states.ATTACHING, states.DETACHING):
                self.touch(tx, volume, status=states.AVAILABLE)
            self._settle_forced(tx, id)

        await self.db.write(write, ctx, why="detached by request")

    async def announce_detach(self, ctx: Context, id: str) -> None:
        """The volume's user is about to let go: "detaching". Raises NotFound, WrongState."""
        await self._turn(ctx, id, "begin detaching", "begin_detaching", (states.ATTACHED, states.DETACHING))

    async def roll_back_detach(self, ctx: Context, id: str) -> None:
        """The volume's user kept it: "in-use". Raises NotFound, WrongState."""
        await self._turn(ctx, id, "roll detaching", "roll_detaching", (states.DETACHING, states.ATTACHED))

    async def _turn(self, ctx: Context, id: str, action: str, rule: str, way: tuple[str, str]) -> None:
        def write(tx: Tx) -> None:
            volume = self.owned(tx, ctx, id, _RULES + rule)
            states.check(action, "volume", id, volume.status)
            for row in db.attachments_of(tx, id):
                if row.status == way[0]:
                    self.touch(tx, row, status=way[1])
            self._settle_forced(tx, id)

        await self.db.write(write, ctx, why=action)

    async def initialize(self, ctx: Context, id: str, connector: Connector, asked: dict[str, Any]) -> Attachment:
        """The volume is exported to the connector; returns the attachment that says how. Raises as `connect` does."""

        def pick(tx: Tx) -> Attachment:
            volume = self.owned(tx, ctx, id, f"{_RULES}initialize_connection")
            rows = db.attachments_of(tx, id)
            mine = [row for row in rows if row.host in ("", connector.host) and row.status != states.DETACHING]
            if mine:
                return mine[0]
            if volume.status not in (states.AVAILABLE, states.ATTACHING) and not volume.multiattach:
                raise WrongState(f"Invalid volume: Volume {id} is {volume.status}.", id=id)
            return self._begin(tx, ctx, volume)

        row = await self.db.write(pick, ctx, why="somebody connects")
        await self.connect(ctx, row.id, connector, asked)
        return await self.db.read(lambda tx: db.get_attachment(tx, row.id))

    async def terminate(self, ctx: Context, id: str, connector: Connector) -> None:
        """The volume is no longer exported to the connector. Raises NotFound."""

        def write(tx: Tx) -> None:
            self.owned(tx, ctx, id, f"{_RULES}terminate_connection")
            for row in db.attachments_of(tx, id):
                if row.connection is not None and row.host == connector.host:
                    self.record_detach(tx, ctx, row)

        await self.db.write(write, ctx, why="disconnected by request")

    def _settle_forced(self, tx: Tx, id: str) -> None:
        self.settle_status(tx, db.get_volume(tx, id))
