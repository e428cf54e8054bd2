"""What the compute room asks of the volume room, in plain values. An attachment is one row of the volume room.

The way of an attachment, for a server on compute host H:

    reserve(ctx, AttachRequest)              -> AttachmentInfo    status "reserved"; the volume is nobody else's
    connect(ctx, attachment_id, Connector)   -> AttachmentInfo    "attaching", with the connection; safe to repeat
    complete(ctx, attachment_id)                                  "attached"; the volume is "in-use"
    begin_detach(ctx, attachment_id)                              "detaching"; the guest still has it
    roll_detaching(ctx, attachment_id)                            the guest kept it: "attached" again
    detach(ctx, attachment_id)                                    export and row go; safe to repeat, in any state

A reservation nobody connects, and a connection nobody completes, is taken back after the configured time. What compute
has to remember of a server's disk beside that (device name, boot order, delete on termination) is on the row too.
"""

from datetime import datetime
from typing import Protocol

import msgspec

from micronova.context import Context
from micronova.db import Tx
from micronova.volume.driver import Connection


class Connector(msgspec.Struct, frozen=True, kw_only=True):
    """Who will use a volume: the compute host by its name in this cloud, its address, its iSCSI name."""

    host: str
    ip: str = ""
    initiator: str = ""


class AttachRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A disk of a server to be. `boot_index` 0 is the disk it boots from, None none it ever would."""

    volume_id: str
    server_id: str
    device: str = ""
    tag: str | None = None
    boot_index: int | None = None
    delete_on_termination: bool = False
    read_only: bool = False


class AttachmentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A server's disk as the volume room knows it. `serial` is what the guest sees: the volume's id.

    `connection` is None until connected. `encrypted`: what the connection reaches is a LUKS container; its key is had
    from `VolumeManager.encryption_key`, and what opens the container is that key in hexadecimal digits.
    """

    id: str
    volume_id: str
    server_id: str
    status: str
    host: str = ""
    device: str = ""
    tag: str | None = None
    boot_index: int | None = None
    delete_on_termination: bool = False
    read_only: bool = False
    connection: Connection | None = None
    size_gib: int = 0
    encrypted: bool = False
    multiattach: bool = False
    attached_at: datetime | None = None
    qos: dict[str, str] = {}
    """What the front end shall throttle, e.g. {"total_iops_sec": "500"}."""

    @property
    def serial(self) -> str:
        return self.volume_id


class BootVolume(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a volume that a server is to have: to be checked before the server is accepted."""

    id: str
    project_id: str
    status: str
    size_gib: int
    bootable: bool
    multiattach: bool
    zone: str
    image_metadata: dict[str, str] = {}
    migration_status: str | None = None


class NewBootVolume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume to be made for a server: blank, or from one of an image, a snapshot, a volume."""

    name: str
    size_gib: int | None = None
    image_id: str | None = None
    snapshot_id: str | None = None
    source_volume_id: str | None = None
    volume_type: str | None = None
    zone: str | None = None


class Grown(msgspec.Struct, frozen=True, kw_only=True):
    """An attached volume has become larger; the guest of `server_id` on `host` shall see it."""

    attachment_id: str
    volume_id: str
    server_id: str
    host: str
    size_gib: int


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """A move between two back ends of a host: the volume's back end, type and name there, after and before.

    The names differ, so that what is removed at the end is never the volume, wherever the back ends keep it.
    """

    backend: str
    type_id: str
    name: str
    old_backend: str
    old_type_id: str
    old_name: str


class Moving(msgspec.Struct, frozen=True, kw_only=True):
    """An attached volume that is to lie on another back end of its host; the guest of `server_id` on `host` has it."""

    attachment_id: str
    volume_id: str
    server_id: str
    host: str
    way: Way


class Swap(msgspec.Struct, frozen=True, kw_only=True):
    """A server's disk that is to be another volume: the attachments, which have the same look, and their volumes."""

    server_id: str
    old_id: str
    old_volume_id: str
    new_id: str
    new_volume_id: str


class Stillness(msgspec.Struct, frozen=True, kw_only=True):
    """How still a guest is. `wanted`: it should have an agent that freezes it; `required`: or nothing is kept of it."""

    frozen: bool = False
    wanted: bool = False
    required: bool = False
    reason: str = ""


class Guests(Protocol):
    """What the volume room asks of the room whose servers use volumes: the wiring makes them known to each other."""

    async def follow_move(self, ctx: Context, move: Moving) -> bool:
        """The running guest copies its volume to the new place; whether all is there, and goes to both from now on.

        Safe to repeat. Raises DriverError when it can't, Unavailable when its host is not there now.
        """

    def record_switch(self, tx: Tx, ctx: Context, move: Moving) -> bool:
        """Have the guest hold the volume, say `moved`, use the new place alone, say `left`; False when it is at it."""

    async def unfollow_move(self, ctx: Context, move: Moving) -> None:
        """The guest has the volume where it had it. Safe to repeat. Raises DriverError, Unavailable."""

    async def freeze_guest(self, ctx: Context, server_id: str, host: str) -> Stillness:
        """The guest's file systems are whole on its disks and stand still, for a short while, if it can do that."""

    async def thaw_guest(self, ctx: Context, server_id: str, host: str) -> bool:
        """The guest's file systems go on; returns whether they stood still until now. Safe to repeat."""
