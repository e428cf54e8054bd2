"""The volume manager: volumes, from request to removal, on the back ends of many hosts. Its parts do the work.

volumes.py      requests to rows            building.py   rows to volumes, and the end
snapshots.py    taken, kept, gone back to   attachments.py, legacy.py   who uses a volume now
changes.py      size, type, marks           copies.py     to images, to other back ends
backups.py, backup_records.py   kept elsewhere
cut_short.py    given up with it            groups.py     many together
transfers.py    to another project          managed.py    taken over, let go
hosts.py        this host's back ends and their rows in agreement
repair.py       one of them examined and mended
"""

from collections.abc import Mapping
from typing import Any

from micronova.context import Context
from micronova.db import Database, Tx
from micronova.db.journal import Entry
from micronova.errors import Conflict, NotFound
from micronova.image.manager import ImageManager
from micronova.manager import Runtime, periodic
from micronova.policy import Policy
from micronova.tasks import Task
from micronova.volume import story
from micronova.volume.backup_records import BackupRecords
from micronova.volume.backup_store import BackupStore
from micronova.volume.cut_short import CutShort
from micronova.volume.db import Message, Placement, Volume
from micronova.volume.driver import VolumeDriver
from micronova.volume.group_types import GroupTypes
from micronova.volume.keys import KeyManager
from micronova.volume.legacy import LegacyAttachments
from micronova.volume.messages import Messages
from micronova.volume.qos import QosSpecs
from micronova.volume.quota_sets import QuotaSets
from micronova.volume.repair import Repairs
from micronova.volume.transfers import Transfers


class VolumeManager(Repairs, BackupRecords, CutShort, LegacyAttachments, Transfers):
    """Volumes, snapshots, attachments, backups and groups, and what of them is real on this host."""

    def __init__(
        self,
        runtime: Runtime,
        host: str | None = None,
        db_driver: Database | None = None,
        *,
        drivers: Mapping[str, VolumeDriver],
        image: ImageManager,
        policy: Policy,
        backup_store: BackupStore | None = None,
        keys: KeyManager | None = None,
    ) -> None:
        super().__init__(
            runtime, host, db_driver, drivers=drivers, image=image, policy=policy, backup_store=backup_store
        )
        if keys is not None:
            self.keys = keys
        self.qos = QosSpecs(self.db, self.clock)
        self.quota_sets = QuotaSets(self.db, self.clock, self.quota)
        self.group_types = GroupTypes(self.db, self.clock)
        self.messages = Messages(self.db)

    # -- told to administrators

    def count_by_status(self, tx: Tx) -> dict[str, int]:
        """Volumes of the whole cloud by the status that clients see."""
        counts: dict[str, int] = {}
        for volume in tx.find(Volume):
            counts[volume.status] = counts.get(volume.status, 0) + 1
        return counts

    def ids_by_name(self, tx: Tx, name: str) -> list[str]:
        """Ids of volumes called `name`, those that are gone included: these behind, the latest last."""
        alive = [volume.id for volume in tx.find(Volume, name=name, order=(("id", True),))]
        removed = tx.find(Entry, table_name=Volume.TABLE, op="delete", order=(("seq", True),))
        return [*alive, *(entry.row_id for entry in removed if entry.before.get("name") == name)]

    async def explain(self, ctx: Context, name_or_id: str) -> dict[str, Any]:
        """Why a volume lies where it does, or nowhere: choices, failures, tasks; `lines` tell it to a person.

        Raises NotFound when there was never such a volume, Conflict when several have the name.
        """

        def read(tx: Tx) -> dict[str, Any]:
            id = self._named(tx, name_or_id)
            volume = tx.first(Volume, id=id)
            placed = tx.find(Placement, volume_id=id, order=(("created_at", True),))
            told = tx.find(Message, resource_id=id, order=(("created_at", True),))
            tasks = tx.find(Task, resource=f"volume:{id}", order=(("seq", True),))
            if volume is None and not tasks:
                raise NotFound(f"There is no volume {name_or_id}, and there was none.", id=name_or_id)
            lines = [story.of_volume(volume, id), *(line for row in placed for line in story.of_placement(row))]
            return {
                "id": id,
                "volume": None if volume is None else {"name": volume.name, "status": volume.status},
                "placements": [{"pool": row.pool_id, "message": row.message, **row.facts} for row in placed],
                "tasks": [{"id": t.id, "method": t.method, "state": t.state, "error": t.error} for t in tasks],
                "lines": [*lines, *story.of_rest(told, tasks)],
            }

        return await self.db.read(read)

    def _named(self, tx: Tx, name_or_id: str) -> str:
        """The id of the volume called so, or what was given. Raises Conflict when several have the name."""
        having = tx.find(Volume, name=name_or_id) if tx.first(Volume, id=name_or_id) is None else []
        if len(having) > 1:
            ids = ", ".join(row.id for row in having)
            raise Conflict(f"{name_or_id} means several volumes, name one: {ids}")
        return having[0].id if having else name_or_id

    @periodic(every=3600)
    async def trim_messages(self, ctx: Context) -> None:
        """Messages are forgotten when their time is up."""
        await self.messages.trim(ctx)

    async def zones(self, ctx: Context) -> dict[str, bool]:
        """Availability zones, and whether something in each works. Raises NotFound when there are none."""

        def look(tx: Tx) -> dict[str, bool]:
            found: dict[str, bool] = {}
            for view in self.views(tx):
                found[view.row.zone] = found.get(view.row.zone, False) or (view.up and view.enabled)
            if not found:
                raise NotFound("There are no availability zones.")
            return found

        return await self.db.read(look)
