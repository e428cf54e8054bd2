"""What a hypervisor must be able to do on one host. Knows no database, project or other host."""

from typing import Protocol

import msgspec


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


class GuestSpec(msgspec.Struct, frozen=True, kw_only=True):
    """All a driver needs to make a guest real. Plain values only.

    Exactly one of `disk` and `kernel` boots the guest; `kernel` comes with `initrd` and `cmdline`, and then `disk`
    may be an additional data disk. `config_drive` holds files by path for an ISO 9660 disk labelled `config-2`.
    """

    id: str
    name: str
    vcpus: int
    ram_mib: int
    nics: tuple[Nic, ...] = ()
    disk: Disk | None = None
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str = ""
    config_drive: dict[str, bytes] | None = None
    serial_number: str = ""


class GuestFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What is true of a guest on this host now. `power`: "running", "paused", "shutdown", "crashed" or "absent"."""

    id: str
    power: str
    reason: str = ""


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What this host has to give, and how it runs guests (`accel`: "kvm", "tcg", "fake"; `reason` says why)."""

    hypervisor_type: str
    hypervisor_version: int
    vcpus: int
    ram_mib: int
    disk_gib: int
    cpu_model: str = ""
    accel: str = ""
    reason: str = ""


class ComputeDriver(Protocol):
    """Guests on this host. Each method is safe to repeat; every failure is DriverError (or NoSpace, Rejected)."""

    async def init_host(self) -> HostFacts:
        """Find out what this host can do and reconnect to guests that still run; starts and stops none.

        Raises DriverError in one sentence when this host can run no guests.
        """

    async def ensure(self, spec: GuestSpec, *, running: bool = True) -> GuestFacts:
        """Make guest `spec.id` exist as described, running or shut down; repeating changes nothing.

        A guest that already runs is left running with what it has. Completes, or leaves nothing behind.
        Raises NoSpace when the host's disk is full, Rejected when the specification can never run here.
        """

    async def remove(self, id: str) -> None:
        """Make guest `id` and all its files not exist. A missing guest is success."""

    async def stop(self, id: str, *, wait: float) -> None:
        """Shut the guest down: ask it, and after `wait` seconds switch it off. Its disks stay. Absent is success."""

    async def reboot(self, id: str, *, hard: bool) -> None:
        """Restart a running guest: ask it to (soft; falls back to reset when it does not answer), or reset it (hard).

        Raises DriverError when it is not running.
        """

    async def inspect(self, id: str) -> GuestFacts:
        """The guest's state now. A guest this host does not have is "absent", not an error."""

    async def list(self) -> list[GuestFacts]:
        """All guests this host has, running or not, in order of id."""

    async def console(self, id: str, *, max_bytes: int) -> bytes:
        """The last `max_bytes` of what the guest wrote on its first serial port; b"" for a guest that wrote nothing."""

    async def close(self) -> None:
        """Let go of connections. Guests keep running."""
