"""What a hypervisor must be able to do on one host. Knows no database, project or other host."""

import re
from typing import Protocol

import msgspec

from micronova.errors import Rejected
from micronova.volume.driver import Connection, IscsiConnection

MAX_VCPUS = 255
SPARE_SLOTS = 6
"""Slots that a guest has at its start for devices to be plugged in while it runs, besides those in use."""
MAX_SLOTS = 24
"""Slots, and so network cards and volumes, a guest can have: a PC's bus has 32 places, some of them taken."""
FROZEN_SECONDS = 30
"""How long a guest's file systems stay frozen at most."""
BUSES = ("virtio", "scsi")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Nic(msgspec.Struct, frozen=True, kw_only=True):
    """A network card. `device` is the host interface that the network driver made for the port (a tap)."""

    port_id: str
    mac: str
    device: str
    mtu: int = 1500


class Disk(msgspec.Struct, frozen=True, kw_only=True):
    """The root disk's source: a local image file the guest gets a private copy-on-write copy of."""

    path: str
    format: str
    size_gib: int


class VolumeDisk(msgspec.Struct, frozen=True, kw_only=True):
    """A volume as a disk of a guest, which knows it by its id as the serial number.

    `bus` is one of BUSES: a SCSI disk shows the whole serial, a virtio one its first 20 letters. `boot_index` 0 boots
    the guest, higher ones are tried after it, None never. `encrypted`: the volume is a LUKS container that `key`
    opens; the key and what `connection` holds of passwords are kept in memory only. `throttle` limits what the guest
    does, by QEMU's names ("iops-total", "bps-read", ...). `shared`: other guests write to it too.
    """

    volume_id: str
    connection: Connection
    bus: str = "virtio"
    boot_index: int | None = None
    encrypted: bool = False
    key: bytes = b""
    throttle: dict[str, int] = {}
    shared: bool = False

    def __repr__(self) -> str:
        return f"VolumeDisk({self.volume_id}, {self.connection!r}, {self.bus})"


class GuestSpec(msgspec.Struct, frozen=True, kw_only=True):
    """All a driver needs to make a guest real. Plain values only.

    `kernel` boots the guest if it is given, with `initrd` and `cmdline`, and then `disk` is a data disk; otherwise
    `disk` boots it, or one of the `volumes`. `config_drive` holds files by path for an ISO 9660 disk labelled
    `config-2`. `agent`: it may run QEMU's guest agent, and gets a channel for that.
    """

    id: str
    name: str
    vcpus: int
    ram_mib: int
    nics: tuple[Nic, ...] = ()
    disk: Disk | None = None
    volumes: tuple[VolumeDisk, ...] = ()
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str = ""
    config_drive: dict[str, bytes] | None = None
    serial_number: str = ""
    agent: bool = False


class GuestFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is true of a guest on this host now.

    `power` is "running", "paused", "shutdown", "crashed" or "absent". `volumes` are the ids of those it has, or will
    have when it starts; only `inspect` and `list` tell them.
    """

    id: str
    power: str
    reason: str = ""
    volumes: tuple[str, ...] = ()


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What this host has to give, and how it runs guests.

    `accel` is "kvm", "tcg" or "fake"; `reason` says why in one sentence.
    """

    hypervisor_type: str
    hypervisor_version: int
    vcpus: int
    ram_mib: int
    disk_gib: int
    cpu_model: str = ""
    accel: str = ""
    reason: str = ""


class VolumeUser(Protocol):
    """Volumes as disks of guests, put in and taken out while they run. Repeating a call changes nothing."""

    async def attach_volume(self, id: str, disk: VolumeDisk) -> None:
        """The guest has this disk: at once if it runs or stands still, and from its next start on.

        Raises Rejected when a running guest has no slot left, DriverError when there is no such guest, the volume
        can't be reached, or the host refuses; then the guest has nothing of it.
        """

    async def detach_volume(self, id: str, volume_id: str) -> None:
        """The guest has no disk of this volume, neither now nor after its next start, and all it wrote is written.

        A missing one is success. Raises DriverError when a running guest does not let go of it, Rejected when one
        that stands still can't.
        """

    async def extend_volume(self, id: str, volume_id: str, size_gib: int) -> None:
        """A running guest sees that the volume, which its back end has made larger, is of this size.

        A guest that is off, or has no such disk, needs nothing. Raises DriverError when the host refuses.
        """


class VolumeMover(Protocol):
    """Volumes that change their place under a running guest: `disk` is how the volume is reached in its new one.

    The way: `follow_volume` until it says that all is there, `hold_volume`, and then, when whoever decides where the
    volume lies has written it down, `switch_volume`; or `unfollow_volume`. Repeating a call changes nothing.

    `of` is the volume that the guest has, where `disk` is another one, which may be larger, that takes its place.
    """

    async def follow_volume(self, id: str, disk: VolumeDisk, of: str = "") -> bool:
        """The guest's volume is being copied to its new place; whether all that the guest wrote is there too by now.

        Once it is, all that the guest writes goes to both; true also for one that is there alone. Raises DriverError
        when the guest is off or has no such volume, the place can't be reached, or the copy failed.
        """

    async def hold_volume(self, id: str, disk: VolumeDisk, of: str = "") -> None:
        """Both places hold the same for good: what the guest writes to the volume waits until the next call.

        True also for one that is in its new place alone. Raises Rejected when it is not followed or not all is there.
        """

    async def switch_volume(self, id: str, disk: VolumeDisk, of: str = "") -> None:
        """The guest has the volume, which was held, in its new place alone, now and at its next start.

        Raises DriverError when there is no such guest or it was not held, Rejected when the guest goes on in its old
        place and nothing of what it writes reaches the new one.
        """

    async def unfollow_volume(self, id: str, volume_id: str) -> None:
        """The guest has what it had before `volume_id` was to be there, alone, and goes on.

        One that nothing follows is no matter.
        """


class FileSystems(Protocol):
    """A guest's file systems, by the agent that it may run (`GuestSpec.agent`)."""

    async def freeze(self, id: str) -> None:
        """The guest's file systems are whole on its disks, and it writes nothing to them until they are thawed.

        Nobody may leave them so: a driver thaws by itself what was frozen for longer than FROZEN_SECONDS, or before
        its host started. Raises Rejected when the guest does not run or has no agent that answers soon, DriverError
        when the agent could not do it; then nothing is frozen.
        """

    async def thaw(self, id: str) -> bool:
        """Nothing of the guest is frozen; returns whether it was frozen until now. Raises DriverError."""


class ComputeDriver(VolumeUser, VolumeMover, FileSystems, Protocol):
    """Guests on this host. Each method is safe to repeat; failures are DriverError, NoSpace, Rejected."""

    async def init_host(self) -> HostFacts:
        """Find out what this host can do and reconnect to guests that still run; starts and stops none.

        Raises DriverError in one sentence when this host can run no guests.
        """

    async def ensure(self, spec: GuestSpec, *, running: bool = True) -> GuestFacts:
        """Make guest `spec.id` exist as described, running or shut down; repeating changes nothing.

        A guest that already runs is left running with what it has; one that is shut down or crashed keeps its
        own disk and takes the new description. Its volumes are those of `spec`: they have to be reachable. A new
        guest is completed, or leaves nothing behind.
        Raises NoSpace when the host's disk is full, Rejected when the specification can never run here.
        """

    async def remove(self, id: str) -> None:
        """Make guest `id` and all its files not exist. A missing guest is success."""

    async def stop(self, id: str, *, wait: float) -> None:
        """Shut the guest down: ask it, and after `wait` seconds switch it off; 0 switches it off at once.

        Its disks stay. Absent or already shut down is success; a crashed guest is shut down afterwards.
        """

    async def reboot(self, id: str, *, hard: bool) -> None:
        """Restart a running guest: reset it (`hard`), or ask it to, and reset it when it does not answer.

        Raises DriverError when it is not running.
        """

    async def pause(self, id: str, *, paused: bool) -> None:
        """The guest stands still with its memory kept, or goes on; repeating changes nothing.

        Raises DriverError when it does not run.
        """

    async def attach_nic(self, id: str, nic: Nic) -> None:
        """The guest has this card: at once if it runs or stands still, and from its next start on.

        Repeating changes nothing. Raises Rejected when a running guest has no slot left, DriverError when there is no
        such guest or the host refuses.
        """

    async def detach_nic(self, id: str, port_id: str) -> None:
        """The guest has no card of this port, neither now nor after its next start. A missing one is success.

        Raises DriverError when a running guest does not let go of it, Rejected when one that stands still can't.
        """

    async def inspect(self, id: str) -> GuestFacts:
        """The guest's state now. A guest this host does not have is "absent", not an error."""

    async def list(self) -> list[GuestFacts]:
        """All guests this host has, running or not, in order of id."""

    async def console(self, id: str, *, max_bytes: int) -> bytes:
        """The last `max_bytes` of what the guest wrote on its first serial port; b"" if it wrote nothing."""

    async def close(self) -> None:
        """Let go of connections. Guests keep running."""


def is_plain_name(id: str) -> bool:
    """Whether `id` can name a guest, and a file, on every host."""
    return _PLAIN_NAME.fullmatch(id) is not None


def with_nic(spec: GuestSpec, nic: Nic) -> GuestSpec:
    """The description with this card: in the place of the port's older one, else as the last.

    Raises Rejected when it would be one too many.
    """
    if any(other.port_id == nic.port_id for other in spec.nics):
        nics = tuple(nic if other.port_id == nic.port_id else other for other in spec.nics)
    else:
        nics = (*spec.nics, nic)
    return _fitting(msgspec.structs.replace(spec, nics=nics))


def without_nic(spec: GuestSpec, port_id: str) -> GuestSpec:
    """The description without the port's card."""
    return msgspec.structs.replace(spec, nics=tuple(nic for nic in spec.nics if nic.port_id != port_id))


def with_volume(spec: GuestSpec, disk: VolumeDisk) -> GuestSpec:
    """The description with this disk: in the place of an older one of its volume, else as the last.

    Raises Rejected when it would be one too many.
    """
    if any(other.volume_id == disk.volume_id for other in spec.volumes):
        volumes = tuple(disk if other.volume_id == disk.volume_id else other for other in spec.volumes)
    else:
        volumes = (*spec.volumes, disk)
    return _fitting(msgspec.structs.replace(spec, volumes=volumes))


def with_volume_instead(spec: GuestSpec, disk: VolumeDisk, of: str) -> GuestSpec:
    """The description with this disk in the place of that of volume `of`, if it has one; "" means the disk's own.

    Raises Rejected when it would be one too many.
    """
    if not of or all(other.volume_id != of for other in spec.volumes):
        return with_volume(spec, disk)
    kept = without_volume(spec, disk.volume_id).volumes
    volumes = tuple(disk if other.volume_id == of else other for other in kept)
    return msgspec.structs.replace(spec, volumes=volumes)


def without_volume(spec: GuestSpec, volume_id: str) -> GuestSpec:
    """The description without the volume's disk."""
    return msgspec.structs.replace(spec, volumes=tuple(disk for disk in spec.volumes if disk.volume_id != volume_id))


def without_secrets(spec: GuestSpec) -> GuestSpec:
    """The description as it may be written to a file: it can't start a guest whose volumes need keys or passwords."""
    volumes = [
        msgspec.structs.replace(disk, connection=without_password(disk.connection), key=b"") for disk in spec.volumes
    ]
    return msgspec.structs.replace(spec, volumes=tuple(volumes))


def without_password(connection: Connection) -> Connection:
    """The connection as it may be written to a file."""
    if isinstance(connection, IscsiConnection):
        return msgspec.structs.replace(connection, password="")
    return connection


def slots_taken(spec: GuestSpec) -> int:
    """How many slots the guest's devices need: SCSI disks share the slot of their controller."""
    buses = [disk.bus for disk in spec.volumes]
    return len(spec.nics) + buses.count("virtio") + ("scsi" in buses)


def slots(spec: GuestSpec) -> int:
    """How many slots the guest has from its next start on."""
    return min(slots_taken(spec) + SPARE_SLOTS, MAX_SLOTS)


def _fitting(spec: GuestSpec) -> GuestSpec:
    if slots_taken(spec) > MAX_SLOTS:
        raise Rejected(f"a guest can have {MAX_SLOTS} network cards and volumes, not more", id=spec.id)
    return spec


def check_spec(spec: GuestSpec, *, ram_mib: int) -> None:
    """Nothing, for a specification a host with `ram_mib` of memory can run; every driver asks before it acts.

    Raises Rejected when it can never run there.
    """
    if not is_plain_name(spec.id):
        raise Rejected("a guest's id must be a plain name of at most 100 letters")
    if spec.disk is None and spec.kernel is None and all(disk.boot_index is None for disk in spec.volumes):
        raise Rejected("a guest needs a disk, a volume or a kernel to boot from", id=spec.id)
    for disk in spec.volumes:
        if disk.bus not in BUSES or not is_plain_name(disk.volume_id):
            raise Rejected(f"{disk!r} can't be a disk of a guest: the bus is one of {', '.join(BUSES)}", id=spec.id)
    if not 1 <= spec.vcpus <= MAX_VCPUS:
        raise Rejected(f"a guest has 1 to {MAX_VCPUS} CPUs, not {spec.vcpus}", id=spec.id)
    _fitting(spec)
    if not 1 <= spec.ram_mib <= ram_mib:
        raise Rejected(f"a guest of {spec.ram_mib} MiB does not fit this host's {ram_mib} MiB", id=spec.id)
