"""A server's disk becomes another volume while its guest runs: what the rows say of that, one truth at any moment.

    begin       the new volume is held for the server, and of no use to it yet: "reserved", then "attaching";
                the old one, which the server has still, is "detaching"
    exchange    the new attachment is the server's disk, and looks as the old one did; that is no disk any more
    take_back   or does not: its guest could not let go of the old volume, and is asked again
    withdraw    or there will be no exchange: the server keeps what it has
    end         the one that the server has not is detached

In between the guest copies (compute/swaps.py). Until `exchange` it starts from the old volume, from then on from the
new one. An attachment without a device is no disk of its server (servers.py).
"""

from typing import Any

from micronova.context import Context
from micronova.db import Tx
from micronova.errors import BadRequest, Conflict, WrongState
from micronova.volume import db, states
from micronova.volume.contract import Swap
from micronova.volume.db import Attachment, Volume
from micronova.volume.manager import VolumeManager

COPYING, EXCHANGED, DONE, OVER = "copying", "exchanged", "done", "over"
"""How far a swap is: the old volume is the disk; the new one is; the old one goes as well; there is no exchange."""


_NO_DISK = {"device": "", "tag": None, "boot_index": None, "delete_on_termination": False}


class Swaps:
    """Volumes that take the place of others, inside the transactions of the compute room."""

    def __init__(self, volumes: VolumeManager) -> None:
        self._volumes = volumes

    def begin(self, tx: Tx, ctx: Context, attachment_id: str, volume_id: str) -> Swap:
        """The volume is to take the place of an attachment's.

        Raises NotFound, BadRequest when it can't, or the attachment can't be let go of now, Conflict when other servers
        have what it is to take the place of.
        """
        old = db.get_attachment(tx, attachment_id)
        volume, new = db.get_volume(tx, old.volume_id), self._volumes.owned(tx, ctx, volume_id, "volume:get")
        _check_sizes(tx, volume, new)
        try:
            if volume.status != states.IN_USE or old.status != states.ATTACHED:
                raise states.not_in_use(volume.id, volume.status)
            states.check("reserve", "volume", new.id, new.status)
        except WrongState as err:
            raise BadRequest(f"Invalid input received: {err}", **err.facts) from err
        _check_kinds(tx, volume, new, old)
        row = tx.insert(
            Attachment(
                id=self._volumes.clock.new_id(),
                volume_id=new.id,
                project_id=new.project_id,
                user_id=ctx.user_id,
                server_id=old.server_id,
                status=states.RESERVED,
                replaces=old.id,
                created_at=tx.now,
            )
        )
        self._settle(tx, volume.id, new.id)
        return Swap(
            server_id=old.server_id or "",
            old_id=old.id,
            old_volume_id=volume.id,
            new_id=row.id,
            new_volume_id=new.id,
        )

    def stage(self, tx: Tx, swap: Swap) -> str:
        """How far the swap is."""
        old, new = tx.first(Attachment, id=swap.old_id), tx.first(Attachment, id=swap.new_id)
        if new is None:
            return OVER
        if new.replaces is not None:
            return COPYING if old is not None and old.status == states.ATTACHED else OVER
        if not new.device:
            return OVER
        return EXCHANGED if old is not None and old.detached_at is None else DONE

    def look(self, tx: Tx, swap: Swap) -> tuple[str, int | None]:
        """The device name, and the boot index, of the disk. Raises NotFound when it is gone."""
        row = tx.first(Attachment, id=swap.new_id)
        if row is None or not row.device:
            row = db.get_attachment(tx, swap.old_id)
        return row.device, row.boot_index

    def exchange(self, tx: Tx, swap: Swap) -> None:
        """The server's disk is the new volume. Safe to repeat. Raises WrongState when it shall not be any more."""
        stage = self.stage(tx, swap)
        if stage in (EXCHANGED, DONE):
            return
        old, new = tx.first(Attachment, id=swap.old_id), tx.first(Attachment, id=swap.new_id)
        if stage == OVER or old is None or new is None or new.connection is None:
            raise WrongState(f"Invalid volume: {swap.new_volume_id} does not take the place of another.")
        self._volumes.touch(tx, old, status=states.DETACHING, **_NO_DISK)
        # Disks are in the order in which they came.
        used = {"status": states.ATTACHED, "attached_at": tx.now, "replaces": None, "created_at": old.created_at}
        self._volumes.touch(tx, new, **used, **_looks(old))
        self._settle(tx, swap.old_volume_id, swap.new_volume_id)

    def take_back(self, tx: Tx, swap: Swap) -> None:
        """The server's disk is the old volume again, until another exchange. Safe to repeat."""
        old, new = tx.first(Attachment, id=swap.old_id), tx.first(Attachment, id=swap.new_id)
        if self.stage(tx, swap) == EXCHANGED and old is not None and new is not None:
            self._volumes.touch(tx, old, status=states.ATTACHED, **_looks(new))
            coming = {"status": states.ATTACHING, "attached_at": None, "replaces": old.id}
            self._volumes.touch(tx, new, **coming, **_NO_DISK)
            self._settle(tx, swap.old_volume_id, swap.new_volume_id)

    def withdraw(self, tx: Tx, swap: Swap) -> bool:
        """There will be no exchange; False when there was one. Safe to repeat."""
        if self.stage(tx, swap) in (EXCHANGED, DONE):
            return False
        new = tx.first(Attachment, id=swap.new_id)
        if new is not None and new.replaces is not None:
            self._volumes.touch(tx, new, replaces=None)
        self._settle(tx, swap.old_volume_id)
        return True

    def end(self, tx: Tx, ctx: Context, swap: Swap) -> None:
        """Have the attachment that the server has not detached: the guest has nothing of it. Safe to repeat."""
        stage = self.stage(tx, swap)
        row = tx.first(Attachment, id=swap.old_id if stage == EXCHANGED else swap.new_id)
        if row is not None and stage in (EXCHANGED, OVER) and row.detached_at is None:
            self._volumes.record_detach(tx, ctx, row)
        self._settle(tx, swap.old_volume_id)

    def _settle(self, tx: Tx, *ids: str) -> None:
        for id in ids:
            volume = tx.first(Volume, id=id)
            if volume is not None:
                self._volumes.settle_status(tx, volume)


def _looks(row: Attachment) -> dict[str, Any]:
    """What makes an attachment the disk that it is."""
    return {name: getattr(row, name) for name in _NO_DISK}


def _check_sizes(tx: Tx, old: Volume, new: Volume) -> None:
    """Raises BadRequest in the words of the Compute API for volumes that can't be compared."""
    if db.attachments_of(tx, new.id):
        raise BadRequest("Invalid volume: New volume must be detached in order to swap.", id=new.id)
    if new.size_gib < old.size_gib:
        raise BadRequest("Invalid volume: New volume must be the same size or larger.", id=new.id)


def _check_kinds(tx: Tx, old: Volume, new: Volume, used: Attachment) -> None:
    """Raises BadRequest for volumes that are not alike enough, Conflict for one that other servers have too."""
    if len(db.attachments_of(tx, old.id)) != 1:
        raise Conflict(
            "Swapping multi-attach volumes with more than one read/write attachment is not supported.", id=old.id
        )
    if old.project_id != new.project_id:
        raise BadRequest(f"Invalid volume: Volume {new.id} is another project's.", id=new.id)
    if (old.encryption_key_id is None) != (new.encryption_key_id is None):
        raise BadRequest("Invalid volume: Both volumes must be encrypted, or neither.", id=new.id)
    if new.read_only or used.mode == "ro":
        raise BadRequest("Invalid volume: Both volumes must be writable.", id=new.id)
    if not new.host:
        raise BadRequest(f"Invalid volume: Volume {new.id} lies nowhere.", id=new.id)
