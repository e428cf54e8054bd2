"""What every part of the volume manager stands on: its collaborators, whose volume it is, where it lies."""

import logging
import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from micronova.context import Context
from micronova.db import Database, Tx
from micronova.errors import DriverError, Error, NotFound, WrongState
from micronova.image.manager import ImageManager
from micronova.manager import Manager, Runtime
from micronova.policy import Policy
from micronova.volume import choice, db, pools, states
from micronova.volume.backup_store import STORE
from micronova.volume.contract import Guests
from micronova.volume.db import Attachment, Message, Placement, Pool, Snapshot, Volume, VolumeType
from micronova.volume.driver import Capabilities, VolumeDriver
from micronova.volume.drivers.keys_local import LocalKeyManager
from micronova.volume.keys import KeyManager
from micronova.volume.pools import TOPIC, PoolView
from micronova.volume.scratch import CopyFile
from micronova.volume.types import Types

LOG = logging.getLogger(__name__)
MESSAGE_DAYS = 30
R = TypeVar("R", Volume, Snapshot, Attachment)


class VolumeBase(Manager):
    """Volumes on back ends: what the manager's parts share."""

    topic = TOPIC
    guests: Guests | None = None
    """Those who use volumes; the wiring sets it for compute."""

    def __init__(
        self,
        runtime: Runtime,
        host: str | None = None,
        db_driver: Database | None = None,
        *,
        drivers: Mapping[str, VolumeDriver],
        image: ImageManager,
        policy: Policy,
    ) -> None:
        super().__init__(runtime, host, db_driver)
        self.drivers = dict(drivers)
        self.image = image
        self.policy = policy
        self.options = runtime.config.options.volume
        self.quota = runtime.config.options.quota
        self.types = Types(self.db, self.clock, self.options.default_type)
        self.keys: KeyManager = LocalKeyManager(self.config.state / "volume-keys")

    # -- who may

    def require(self, ctx: Context, rule: str, project_id: str, user_id: str = "") -> None:
        """Raises Forbidden unless the caller passes the rule for what belongs to the project."""
        self.policy.require(ctx, rule, {"project_id": project_id, "user_id": user_id})

    def owned(self, tx: Tx, ctx: Context, id: str, rule: str) -> Volume:
        """Volume `id`, if the caller may see it and passes `rule` for it.

        Raises NotFound for a missing one and another project's, Forbidden by the rule.
        """
        return self._owned(ctx, db.get_volume(tx, id), rule, f"Volume {id} could not be found.")

    def _owned(self, ctx: Context, row: R, rule: str, missing: str) -> R:
        if not ctx.is_admin and row.project_id != ctx.project_id:
            raise NotFound(missing, id=row.id)
        self.require(ctx, rule, row.project_id, row.user_id)
        return row

    def owned_snapshot(self, tx: Tx, ctx: Context, id: str, rule: str) -> Snapshot:
        """Snapshot `id`, as `owned` does it for volumes."""
        return self._owned(ctx, db.get_snapshot(tx, id), rule, f"Snapshot {id} could not be found.")

    def owned_attachment(self, tx: Tx, ctx: Context, id: str, rule: str) -> Attachment:
        """Attachment `id`, as `owned` does it for volumes."""
        missing = f"Volume attachment could not be found with filter: attachment_id = {id}."
        return self._owned(ctx, db.get_attachment(tx, id), rule, missing)

    # -- where

    def driver_of(self, volume: Volume) -> VolumeDriver:
        """The driver of the volume's back end on this host. Raises DriverError when there is no such back end."""
        driver = self.drivers.get(volume.backend)
        if driver is None or volume.host != self.host:
            raise DriverError(f"this host has no back end {volume.backend}", id=volume.id)
        return driver

    def views(self, tx: Tx) -> list[PoolView]:
        """All pools of the cloud."""
        return pools.views(tx, self.runtime.config.options.service.down_seconds)

    def capabilities(self, tx: Tx, volume: Volume) -> Capabilities:
        """What the volume's back end can do, as it told last; nothing special when it never did."""
        row = tx.first(Pool, id=pools.name_of(volume.host, volume.backend))
        return row.capabilities if row is not None else Capabilities(protocol="none")

    def place(self, tx: Tx, volume_id: str, wanted: choice.Wanted) -> choice.Choice:
        """Choose a pool for a volume, and store why."""
        made = choice.choose(wanted, pools.candidates(self.views(tx)))
        tx.insert(
            Placement(
                id=self.clock.new_id(),
                volume_id=volume_id,
                pool_id=made.pool,
                message=made.message,
                facts=made.facts,
                created_at=tx.now,
            )
        )
        return made

    def specs_of(self, found: VolumeType | None) -> dict[str, str]:
        """What a volume of this type asks of its pool."""
        return dict(found.extra_specs) if found is not None else {}

    @property
    def copies(self) -> Path:
        """The folder of files that live as long as a copy is under way."""
        return self.config.state / "volume-copies" / quote(self.host, safe="")

    def copy_file(self, name: str) -> "CopyFile":
        """A place for a copy; nothing is there when it is entered, and nothing when it is left."""
        return CopyFile(self.copies / name)

    def clear_copies(self) -> None:
        """Copies that a crash left are gone."""
        shutil.rmtree(self.copies, ignore_errors=True)

    def refuse_encrypted(self, volume: Volume, what: str) -> None:
        """Raises WrongState for a volume whose bytes nobody but its user can read."""
        if volume.encryption_key_id is not None:
            raise WrongState(f"Invalid volume: {what} is not offered for encrypted volumes.", id=volume.id)

    # -- rows

    def touch(self, tx: Tx, row: R, **fields: Any) -> R:
        """Store a change that the owner sees as an update."""
        return tx.change(row, updated_at=tx.now, **fields)

    def settle_status(self, tx: Tx, volume: Volume) -> Volume:
        """Give a volume that is only attached or not the status that its attachments make."""
        if volume.status not in states.FOLLOWS_ATTACHMENTS:
            return volume
        status = self.rest_status(tx, volume)
        return volume if status == volume.status else self.touch(tx, volume, status=status)

    def rest_status(self, tx: Tx, volume: Volume) -> str:
        """What the volume's status is when nothing is being done with it."""
        rows = db.attachments_of(tx, volume.id)
        leaving = db.replaced(tx, [row.id for row in rows if row.status == states.ATTACHED])
        return states.of_attachments(states.of_attachment(row.status, leaving=row.id in leaving) for row in rows)

    def snapshot_settled(self, tx: Tx, snapshot: Snapshot) -> None:
        """A snapshot was taken, has failed or is gone; groups.py says what that means for its group snapshot."""

    def tell(self, tx: Tx, ctx: Context, resource: tuple[str, str, str], action: str, text: str) -> None:
        """Leave a message for the users of a project about a resource: (type, id, project)."""
        kind, id, project_id = resource
        tx.insert(
            Message(
                id=self.clock.new_id(),
                project_id=project_id,
                request_id=ctx.request_id,
                event_id=f"VOLUME_{kind}_{action}",
                resource_type=kind,
                resource_id=id,
                text=text,
                created_at=tx.now,
                expires_at=tx.now + timedelta(days=MESSAGE_DAYS),
            )
        )


def told(err: Error) -> str:
    """What users may know of a failure: one sentence without paths. What a backup store says is meant for them."""
    if isinstance(err, DriverError) and STORE not in err.facts:
        return "The back end could not do it."
    return str(err) or "It failed."
