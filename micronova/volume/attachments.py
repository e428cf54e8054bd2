"""Attachments: who uses a volume now, and how it is reached. One row each, owned here; contract.py tells the way."""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, Error, NotFound, WrongState
from micronova.manager import remote, task
from micronova.tasks import Task
from micronova.volume import db, listing, states
from micronova.volume.base import VolumeBase, told
from micronova.volume.contract import AttachmentInfo, AttachRequest, Connector
from micronova.volume.db import Attachment, QosSpec, Volume, VolumeType
from micronova.volume.driver import ExportSpec
from micronova.volume.listing import Page, Query

LOG = logging.getLogger(__name__)
DAY = 24 * 3600
OPEN = (states.RESERVED, states.ATTACHING)


class Attachments(VolumeBase):
    """The part of the manager that has to do with attachments."""

    # -- the way of an attachment

    async def reserve(
        self, ctx: Context, asked: AttachRequest, *, rule: str = "volume:attachment_create"
    ) -> AttachmentInfo:
        """The volume is this server's to be: status "reserved". Raises NotFound, WrongState, BadRequest.

        Safe to repeat: a server that has reserved the volume already gets the same attachment.
        """

        def write(tx: Tx) -> AttachmentInfo:
            return self.info(tx, self.record_reservation(tx, ctx, asked, rule))

        return await self.db.write(write, ctx, why="reserved by request")

    def record_reservation(
        self, tx: Tx, ctx: Context, asked: AttachRequest, rule: str = "volume:attachment_create"
    ) -> Attachment:
        """Store a reservation, and the task that ends it when nobody goes on. Raises as `reserve` does."""
        volume = self.owned(tx, ctx, asked.volume_id, rule)
        for row in db.attachments_of(tx, volume.id):
            if row.server_id == asked.server_id and asked.server_id and row.status == states.RESERVED:
                return row
        self._check_free(tx, volume, asked)
        row = tx.insert(
            Attachment(
                id=self.clock.new_id(),
                volume_id=volume.id,
                project_id=volume.project_id,
                user_id=ctx.user_id,
                server_id=asked.server_id or None,
                status=states.RESERVED,
                device=asked.device,
                mode="ro" if asked.read_only or volume.read_only else "rw",
                tag=asked.tag,
                boot_index=asked.boot_index,
                delete_on_termination=asked.delete_on_termination,
                created_at=tx.now,
            )
        )
        self.settle_status(tx, volume)
        self.watch(tx, ctx, row)
        return row

    def _check_free(self, tx: Tx, volume: Volume, asked: AttachRequest) -> None:
        """Raises WrongState, BadRequest when the server can't have the volume."""
        shared = volume.multiattach
        states.check("reserve shared" if shared else "reserve", "volume", volume.id, volume.status)
        if not volume.host:
            raise WrongState(f"Invalid volume: Volume {volume.id} lies nowhere.", id=volume.id)
        mine = [row for row in db.attachments_of(tx, volume.id) if row.server_id == asked.server_id]
        if mine and asked.server_id:
            raise BadRequest(f"Volume {volume.id} is already attached to server {asked.server_id}.")

    def watch(self, tx: Tx, ctx: Context, row: Attachment) -> None:
        """Have the attachment looked at again when its time is up."""
        volume = db.get_volume(tx, row.volume_id)
        until = tx.now + timedelta(seconds=self.options.attach_seconds)
        watch = self.on(volume.host).expire.record(tx, ctx, row.id)
        tx.change(watch, run_at=until, deadline_at=until + timedelta(seconds=DAY))

    def _unwatch(self, tx: Tx, id: str) -> None:
        """The attachment came where it was going: it need not be looked at again."""
        for watch in tx.find(Task, resource=f"expiry:{id}", open=True):
            tx.change(watch, cancelled=True)

    async def connect(
        self, ctx: Context, id: str, connector: Connector, asked: dict[str, Any] | None = None
    ) -> AttachmentInfo:
        """The volume can be used as the attachment tells from now on: status "attaching", or "attached" if it was.

        Safe to repeat. `asked` is the connector as an API client gave it. Raises NotFound, WrongState, DriverError.
        """

        def begin(tx: Tx) -> tuple[Volume, Attachment]:
            row = self.owned_attachment(tx, ctx, id, "volume:attachment_update")
            if row.status == states.DETACHING or (row.host and row.host != connector.host and row.connection):
                raise WrongState(f"Invalid volume: Attachment {id} is {row.status} on another host.", id=id)
            status = states.ATTACHING if row.status in OPEN else row.status
            row = self.touch(tx, row, status=status, host=connector.host, asked=asked or row.asked)
            return self.settle_status(tx, db.get_volume(tx, row.volume_id)), row

        volume, _ = await self.db.write(begin, ctx, why="somebody connects")
        await self.on(volume.host).export(ctx, id, connector)
        return await self.db.read(lambda tx: self.info(tx, db.get_attachment(tx, id)))

    @remote(wait=60)
    async def export(self, ctx: Context, id: str, connector: Connector) -> None:
        """The attachment's volume is exported to the connector, and the row says how. Safe to repeat."""
        row, volume = await self.db.read(lambda tx: self._both(tx, id))
        driver = self.driver_of(volume)
        spec = ExportSpec(
            id=id,
            volume=volume.driver_name,
            local=connector.host == self.host,
            read_only=row.mode == "ro",
            ip=connector.ip,
            initiator=connector.initiator,
        )
        connection = await driver.ensure_export(spec)

        def store(tx: Tx) -> bool:
            now = tx.first(Attachment, id=id)
            if now is None or now.status == states.DETACHING:
                return False
            if now.connection != connection:
                self.touch(tx, now, connection=connection)
            return True

        if not await self.db.write(store, ctx, why="its back end exports it"):
            await driver.remove_export(id)
            raise NotFound(f"Volume attachment could not be found with filter: attachment_id = {id}.", id=id)

    def _both(self, tx: Tx, id: str) -> tuple[Attachment, Volume]:
        row = db.get_attachment(tx, id)
        return row, db.get_volume(tx, row.volume_id)

    async def complete(self, ctx: Context, id: str, *, device: str | None = None) -> None:
        """Whoever connected has the volume: "attached", the volume "in-use". Safe to repeat.

        Raises NotFound, WrongState when nobody connected.
        """

        def write(tx: Tx) -> None:
            row = self.owned_attachment(tx, ctx, id, "volume:attachment_complete")
            if row.status not in (states.ATTACHING, states.ATTACHED):
                raise WrongState(f"Invalid volume: Attachment {id} is {row.status}, it can't be completed.", id=id)
            self.mark_attached(tx, row, device)

        await self.db.write(write, ctx, why="attached")

    def mark_attached(self, tx: Tx, row: Attachment, device: str | None) -> Attachment:
        """The attachment is "attached", its volume in use."""
        row = self.touch(
            tx,
            row,
            status=states.ATTACHED,
            device=row.device if device is None else device,
            attached_at=row.attached_at or tx.now,
        )
        self._unwatch(tx, row.id)
        self.settle_status(tx, db.get_volume(tx, row.volume_id))
        return row

    async def begin_detach(self, ctx: Context, id: str) -> None:
        """The user of an attached volume is about to let go of it: "detaching". Raises NotFound, WrongState."""
        await self.db.write(lambda tx: self.record_detaching(tx, ctx, id), ctx, why="now detaching")

    def record_detaching(self, tx: Tx, ctx: Context, id: str) -> None:
        """Store that the user of an attached volume is about to let go of it. Raises as `begin_detach` does."""
        self._restate_attachment(
            tx, ctx, id, (states.ATTACHED, states.DETACHING, states.ERROR_DETACHING), states.DETACHING
        )

    async def roll_detaching(self, ctx: Context, id: str) -> None:
        """Its user kept it: "attached" again. Raises NotFound, WrongState."""

        def write(tx: Tx) -> None:
            self._restate_attachment(tx, ctx, id, (states.DETACHING, states.ATTACHED), states.ATTACHED)

        await self.db.write(write, ctx, why="now attached")

    def _restate_attachment(self, tx: Tx, ctx: Context, id: str, allowed: Sequence[str], status: str) -> None:
        row = self.owned_attachment(tx, ctx, id, "volume:attachment_update")
        if row.status not in allowed:
            raise WrongState(f"Invalid volume: Attachment {id} is {row.status}.", id=id)
        volume = db.get_volume(tx, row.volume_id)
        if status == states.DETACHING and (volume.status == states.RETYPING or db.replaced(tx, [id])):
            raise states.not_in_use(volume.id, volume.status)
        row = self.touch(tx, row, status=status)
        self.settle_status(tx, db.get_volume(tx, row.volume_id))
        self._unwatch(tx, id)
        if status == states.DETACHING:
            self.watch(tx, ctx, row)

    async def detach(self, ctx: Context, id: str, *, rule: str = "volume:attachment_delete") -> list[Attachment]:
        """The attachment goes, whatever state it is in, and its export with it; returns those that the volume has left.

        One that was never connected is gone at once. Raises NotFound, Forbidden.
        """

        def write(tx: Tx) -> list[Attachment]:
            row = self.owned_attachment(tx, ctx, id, rule)
            self.record_detach(tx, ctx, row)
            return [one for one in db.attachments_of(tx, row.volume_id) if one.id != id]

        return await self.db.write(write, ctx, why="detached by request")

    def record_detach(self, tx: Tx, ctx: Context, row: Attachment) -> None:
        """Have an attachment's export removed, then its row; one without an export goes at once."""
        volume = db.get_volume(tx, row.volume_id)
        self._unwatch(tx, row.id)
        if not row.host and row.connection is None:
            tx.delete(row)
            self.settle_status(tx, volume)
            return
        self.touch(tx, row, status=states.DETACHING, detached_at=tx.now)
        self.settle_status(tx, volume)
        self.on(volume.host).disconnect.record(tx, ctx, row.id)

    @task(deadline=DAY, resource="attachment", failed="settle_disconnect", retries=1000)
    async def disconnect(self, ctx: Context, id: str) -> None:
        """Remove the attachment's export from this host, then its row. Safe to repeat."""
        _, volume = await self.db.read(lambda tx: self._both(tx, id))
        await self.driver_of(volume).remove_export(id)

        def forget(tx: Tx) -> None:
            row = tx.first(Attachment, id=id)
            if row is not None:
                tx.delete(row)
                self.settle_status(tx, db.get_volume(tx, row.volume_id))

        await self.db.write(forget, ctx, why="its export is gone")

    async def settle_disconnect(self, ctx: Context, id: str, err: Error) -> None:
        """The export could not be removed: the attachment says so."""

        def write(tx: Tx) -> None:
            row = db.get_attachment(tx, id)
            self.touch(tx, row, status=states.ERROR_DETACHING)
            self.settle_status(tx, db.get_volume(tx, row.volume_id))

        await self.db.write(write, ctx, why=f"could not be detached: {told(err)}")

    @task(deadline=DAY, resource="expiry", retries=1000)
    async def expire(self, ctx: Context, id: str) -> None:
        """An attachment that somebody began and left is taken back; one that he completed stays."""

        def write(tx: Tx) -> None:
            row = tx.first(Attachment, id=id)
            if row is None:
                return
            if row.status in OPEN:
                LOG.warning("attachment %s: nobody completed it, it is taken back", id)
                self.record_detach(tx, ctx, row)
            elif row.status == states.DETACHING and row.connection is not None:
                LOG.warning("attachment %s: nobody finished detaching, it counts as attached", id)
                self.touch(tx, row, status=states.ATTACHED)
                self.settle_status(tx, db.get_volume(tx, row.volume_id))

        await self.db.write(write, ctx, why="its time is up")

    # -- looked at

    async def get_attachment(self, ctx: Context, id: str) -> Attachment:
        """One attachment. Raises NotFound."""
        return await self.db.read(lambda tx: self.owned_attachment(tx, ctx, id, "volume:attachment_get"))

    async def find_attachments(self, ctx: Context, query: Query) -> Page:
        """The attachments a query asks for."""
        return await self.db.read(lambda tx: listing.page(tx, ctx, Attachment, query, "Volume attachment"))

    def disks_of(self, tx: Tx, ids: Sequence[str]) -> dict[str, list[AttachmentInfo]]:
        """The disks of these servers, in order of boot, then age. One query."""
        rows = tx.find(Attachment, server_id=list(ids), order=(("created_at", True),)) if ids else []
        found: dict[str, list[AttachmentInfo]] = {}
        for row in sorted(rows, key=lambda row: (row.boot_index is None, row.boot_index or 0)):
            found.setdefault(row.server_id or "", []).append(self.info(tx, row))
        return found

    def info(self, tx: Tx, row: Attachment) -> AttachmentInfo:
        """An attachment as compute sees it."""
        volume = db.get_volume(tx, row.volume_id)
        return AttachmentInfo(
            id=row.id,
            volume_id=row.volume_id,
            server_id=row.server_id or "",
            status=row.status,
            host=row.host,
            device=row.device,
            tag=row.tag,
            boot_index=row.boot_index,
            delete_on_termination=row.delete_on_termination,
            read_only=row.mode == "ro",
            connection=row.connection,
            size_gib=volume.size_gib,
            encrypted=volume.encryption_key_id is not None,
            multiattach=volume.multiattach,
            attached_at=row.attached_at,
            qos=self.limits_of(tx, volume.type_id),
        )

    def limits_of(self, tx: Tx, type_id: str) -> dict[str, str]:
        """What the front end shall throttle of volumes of this type."""
        found = tx.first(VolumeType, id=type_id) if type_id else None
        qos = tx.first(QosSpec, id=found.qos_id) if found is not None and found.qos_id else None
        return dict(qos.specs) if qos is not None and qos.consumer in ("front-end", "both") else {}
