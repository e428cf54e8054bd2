"""The volume manager: volumes, from request to removal, on the back ends of many hosts. Its parts do the work.

volumes.py      requests to rows            building.py   rows to volumes, and the end
snapshots.py    taken, kept, gone back to   attachments.py, legacy.py   who uses a volume now
changes.py      size, type, marks           copies.py     to images, to other back ends
backups.py      kept elsewhere              groups.py     many together
transfers.py    to another project          managed.py    taken over, let go
hosts.py        this host's back ends and their rows in agreement
"""

from collections.abc import Mapping

from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import NotFound
from micronova.image.manager import ImageManager
from micronova.manager import Runtime, periodic
from micronova.policy import Policy
from micronova.volume import db, states
from micronova.volume.backup_store import BackupStore
from micronova.volume.backups import Backups
from micronova.volume.contract import BootVolume, NewBootVolume
from micronova.volume.db import Placement
from micronova.volume.driver import VolumeDriver
from micronova.volume.group_types import GroupTypes
from micronova.volume.groups import Groups
from micronova.volume.hosts import Hosts
from micronova.volume.legacy import LegacyAttachments
from micronova.volume.managed import Managed
from micronova.volume.messages import Messages
from micronova.volume.qos import QosSpecs
from micronova.volume.quota_sets import QuotaSets
from micronova.volume.transfers import Transfers
from micronova.volume.volumes import NewVolume


class VolumeManager(Backups, Groups, LegacyAttachments, Hosts, Transfers, Managed):
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
    ) -> None:
        super().__init__(
            runtime, host, db_driver, drivers=drivers, image=image, policy=policy, backup_store=backup_store
        )
        self.qos = QosSpecs(self.db, self.clock)
        self.quota_sets = QuotaSets(self.db, self.clock, self.quota)
        self.group_types = GroupTypes(self.db, self.clock)
        self.messages = Messages(self.db)

    # -- for compute

    async def for_boot(self, ctx: Context, id: str) -> BootVolume:
        """What is known of a volume that a server is to have. Raises NotFound, Forbidden."""

        def look(tx: Tx) -> BootVolume:
            row = self.owned(tx, ctx, id, "volume:get")
            return BootVolume(
                id=row.id,
                project_id=row.project_id,
                status=row.status,
                size_gib=row.size_gib,
                bootable=row.bootable,
                multiattach=row.multiattach,
                zone=row.zone,
                image_metadata=row.image_metadata or {},
            )

        return await self.db.read(look)

    async def create_for_server(self, ctx: Context, asked: NewBootVolume) -> str:
        """Record a volume for a server and have it made; returns its id. Raises as `create` does."""
        view = await self.create(
            ctx,
            NewVolume(
                name=asked.name,
                size_gib=asked.size_gib,
                image_id=asked.image_id,
                snapshot_id=asked.snapshot_id,
                source_volume_id=asked.source_volume_id,
                type_ref=asked.volume_type,
                zone=asked.zone,
            ),
        )
        return view.row.id

    async def free_server(self, ctx: Context, server_id: str) -> None:
        """The server is gone: its attachments go whatever state they are in, and the volumes that end with it.

        Safe to repeat. Volumes that can't be removed yet are removed when their exports are gone.
        """

        def write(tx: Tx) -> None:
            for info in self.disks_of(tx, [server_id]).get(server_id, []):
                row = db.get_attachment(tx, info.id)
                if info.delete_on_termination:
                    volume = db.get_volume(tx, info.volume_id)
                    others = [one for one in db.attachments_of(tx, volume.id) if one.id != row.id]
                    if not others and not db.snapshots_of(tx, volume.id):
                        self.touch(tx, volume, status=states.DELETING, previous_status=volume.status)
                        self.on(volume.host).scrap.record(tx, ctx, volume.id)
                        continue
                self.record_detach(tx, ctx, row)

        await self.db.write(write, ctx, why="its server is gone")

    # -- told to administrators

    async def placements(self, ctx: Context, id: str) -> list[Placement]:
        """Why the volume lies where it does, newest first. Raises NotFound."""

        def look(tx: Tx) -> list[Placement]:
            self.owned(tx, ctx, id, "volume:get")
            return tx.find(Placement, volume_id=id, order=(("created_at", False),))

        return await self.db.read(look)

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
