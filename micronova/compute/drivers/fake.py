"""A hypervisor that pretends: guests are entries in memory, with the power states and failures of real ones.

Keeps the contract of ComputeDriver without a host. Delays, refusals and power faults are set from outside,
so that a demonstration, a test or the simulator can play a slow or broken host. Guests live as long as the
object: a service that starts again with the same driver finds them as it left them. Given a file, they outlive the
process too, as real guests would.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Self

import msgspec

from micronova.clock import Clock
from micronova.compute.driver import (
    GuestFacts,
    GuestSpec,
    HostFacts,
    Nic,
    VolumeDisk,
    check_spec,
    slots,
    slots_taken,
    with_nic,
    with_volume,
    with_volume_instead,
    without_nic,
    without_secrets,
    without_volume,
)
from micronova.config import Config
from micronova.errors import DriverError, NoSpace, Rejected
from micronova.volume.driver import Connection

ON = ("running", "paused")
CHANGES = (
    *("ensure", "remove", "stop", "reboot", "pause", "attach_nic", "detach_nic"),
    *("attach_volume", "detach_volume", "extend_volume"),
    *("follow_volume", "hold_volume", "switch_volume", "unfollow_volume", "freeze", "thaw"),
)


class FakeGuest(msgspec.Struct, frozen=True, kw_only=True):
    """One pretended guest: what was asked for, its power state, and what it wrote on its serial port.

    `slots` is how many cards and volumes it can have until it starts again; `sizes` are those in GiB that it was told
    volumes have grown to. `followed` are volumes on their way to a new place, `held` those that wait there.
    """

    spec: GuestSpec
    power: str
    reason: str = ""
    boots: int = 0
    slots: int = 0
    sizes: dict[str, int] = {}
    followed: dict[str, VolumeDisk] = {}
    held: frozenset[str] = frozenset()
    frozen: bool = False
    console: bytes = b""


class FakeRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """An error an operation will raise, `times` more times."""

    error: DriverError
    times: int


class FakeComputeDriver:
    """A ComputeDriver in memory. Capacity, delays and faults are its owner's to choose."""

    def __init__(
        self,
        clock: Clock,
        *,
        vcpus: int = 64,
        ram_mib: int = 262_144,
        disk_gib: int = 4096,
        delay: float = 0.0,
        memory: Path | None = None,
    ) -> None:
        """A host of this size on which every change of a guest takes `delay` seconds; `memory` outlives the process."""
        self._clock = clock
        self._host = HostFacts(
            hypervisor_type="fake",
            hypervisor_version=1_000_000,
            vcpus=vcpus,
            ram_mib=ram_mib,
            disk_gib=disk_gib,
            cpu_model="pretended",
            accel="fake",
            reason="guests are pretended in memory",
        )
        self._memory = memory
        self._guests = {} if memory is None else recall(memory)
        self._delay = delay
        self._delays: dict[str, float] = {}
        self._refusals: dict[str, FakeRefusal] = {}
        self.mirror: Callable[[Connection, Connection], None] = _no_data
        """Told of a volume's old and new place when both shall hold the same: for who pretends data as well."""

    @classmethod
    def configured(cls, config: Config, clock: Clock) -> Self:
        """The driver as the configuration wants it."""
        return cls(clock, memory=config.state / "fake-guests.jsonl")

    def slow(self, seconds: float, *, operation: str | None = None) -> None:
        """From now on `operation` (a method's name; None: every change) takes `seconds`."""
        if operation is None:
            self._delay, self._delays = seconds, {}
        else:
            self._delays[operation] = seconds

    def refuse(
        self,
        reason: str,
        *,
        times: int = 1,
        operation: str = "ensure",
        error: type[DriverError] = DriverError,
    ) -> None:
        """The next `times` calls of `operation` raise `error(reason)` and change nothing; 0 times: none."""
        if times > 0:
            self._refusals[operation] = FakeRefusal(error=error(reason), times=times)
        else:
            self._refusals.pop(operation, None)

    def crash(self, id: str, reason: str = "power fault") -> None:
        """Guest `id` is crashed, if it was running or paused."""
        guest = self._guests.get(id)
        if guest is not None and guest.power in ON:
            self._change(guest, power="crashed", reason=reason)

    def disks(self, id: str) -> tuple[VolumeDisk, ...]:
        """The volumes of guest `id`, as it reaches them."""
        guest = self._guests.get(id)
        return guest.spec.volumes if guest is not None else ()

    def held(self, id: str) -> frozenset[str]:
        """The volumes that guest `id` may not write to now."""
        guest = self._guests.get(id)
        return guest.held if guest is not None else frozenset()

    def lose(self, id: str) -> None:
        """Guest `id` is gone from this host without anybody having asked for it."""
        self._forget(id)

    async def init_host(self) -> HostFacts:
        await self._pretend("init_host")
        for guest in [guest for guest in self._guests.values() if guest.frozen]:
            self._keep(msgspec.structs.replace(guest, frozen=False))
        return self._host

    async def ensure(self, spec: GuestSpec, *, running: bool = True) -> GuestFacts:
        check_spec(spec, ram_mib=self._host.ram_mib)
        await self._pretend("ensure")
        guest = self._guests.get(spec.id)
        if guest is None or guest.power not in ON:
            self._admit_disk(spec)
            old = FakeGuest(spec=spec, power="shutdown") if guest is None else guest
            guest = msgspec.structs.replace(old, spec=spec)
            self._keep(_booted(guest) if running else guest)
        return self._facts(spec.id)

    async def remove(self, id: str) -> None:
        await self._pretend("remove")
        self._forget(id)

    async def stop(self, id: str, *, wait: float) -> None:
        await self._pretend("stop")
        guest = self._guests.get(id)
        if guest is not None:
            self._change(guest, power="shutdown", reason="")

    async def reboot(self, id: str, *, hard: bool) -> None:
        await self._pretend("reboot")
        guest = self._guests.get(id)
        if guest is None or guest.power not in ON:
            raise DriverError("the guest is not running, so it cannot be rebooted", id=id)
        self._keep(_booted(guest))

    async def pause(self, id: str, *, paused: bool) -> None:
        await self._pretend("pause")
        guest = self._guests.get(id)
        if guest is None or guest.power not in ON:
            raise DriverError("the guest does not run, so it cannot be paused or go on", id=id)
        self._change(guest, power="paused" if paused else "running", reason="")

    async def attach_nic(self, id: str, nic: Nic) -> None:
        await self._pretend("attach_nic")
        guest = self._guests.get(id)
        if guest is None:
            raise DriverError("there is no such guest", id=id)
        self._plug(guest, with_nic(guest.spec, nic))

    async def detach_nic(self, id: str, port_id: str) -> None:
        await self._pretend("detach_nic")
        guest = self._guests.get(id)
        if guest is not None:
            self._keep(msgspec.structs.replace(guest, spec=without_nic(guest.spec, port_id)))

    async def attach_volume(self, id: str, disk: VolumeDisk) -> None:
        await self._pretend("attach_volume")
        guest = self._guests.get(id)
        if guest is None:
            raise DriverError("there is no such guest", id=id)
        self._plug(guest, with_volume(guest.spec, disk))

    async def detach_volume(self, id: str, volume_id: str) -> None:
        await self._pretend("detach_volume")
        guest = self._guests.get(id)
        if guest is None or all(disk.volume_id != volume_id for disk in guest.spec.volumes):
            return
        if guest.power == "paused":
            raise Rejected("the guest stands still and can't let go of its volume", id=id)
        self._keep(msgspec.structs.replace(guest, spec=without_volume(guest.spec, volume_id)))

    async def extend_volume(self, id: str, volume_id: str, size_gib: int) -> None:
        await self._pretend("extend_volume")
        guest = self._guests.get(id)
        if guest is not None and guest.power in ON:
            self._keep(msgspec.structs.replace(guest, sizes={**guest.sizes, volume_id: size_gib}))

    async def follow_volume(self, id: str, disk: VolumeDisk, of: str = "") -> bool:
        await self._pretend("follow_volume")
        guest = self._running(id)
        if disk in guest.spec.volumes or guest.followed.get(disk.volume_id) == disk:
            return True
        if all(other.volume_id != (of or disk.volume_id) for other in guest.spec.volumes):
            raise DriverError("the guest has no such volume", volume=of or disk.volume_id)
        held = guest.held - {disk.volume_id}
        self._keep(msgspec.structs.replace(guest, followed={**guest.followed, disk.volume_id: disk}, held=held))
        return False

    async def hold_volume(self, id: str, disk: VolumeDisk, of: str = "") -> None:
        await self._pretend("hold_volume")
        guest = self._running(id)
        if disk in guest.spec.volumes:
            return
        if guest.followed.get(disk.volume_id) != disk:
            raise Rejected("the volume is not in its new place yet", id=id)
        if disk.volume_id not in guest.held:
            old = next(other for other in guest.spec.volumes if other.volume_id == (of or disk.volume_id))
            self.mirror(old.connection, disk.connection)
        self._keep(msgspec.structs.replace(guest, held=guest.held | {disk.volume_id}))

    async def switch_volume(self, id: str, disk: VolumeDisk, of: str = "") -> None:
        await self._pretend("switch_volume")
        guest = self._guests.get(id)
        if guest is None:
            raise DriverError("there is no such guest", id=id)
        if disk not in guest.spec.volumes and guest.power in ON and disk.volume_id not in guest.held:
            raise DriverError("the volume was not held", id=id)
        spec = with_volume_instead(guest.spec, disk, of)
        self._keep(_unfollowed(msgspec.structs.replace(guest, spec=spec), disk.volume_id))

    async def unfollow_volume(self, id: str, volume_id: str) -> None:
        await self._pretend("unfollow_volume")
        guest = self._guests.get(id)
        if guest is not None:
            self._keep(_unfollowed(guest, volume_id))

    async def freeze(self, id: str) -> None:
        await self._pretend("freeze")
        guest = self._running(id)
        if not guest.spec.agent or guest.power == "paused":
            raise Rejected("the guest has no agent that answers", id=id)
        self._keep(msgspec.structs.replace(guest, frozen=True))

    async def thaw(self, id: str) -> bool:
        await self._pretend("thaw")
        guest = self._guests.get(id)
        if guest is None or not guest.frozen:
            return False
        self._keep(msgspec.structs.replace(guest, frozen=False))
        return True

    async def inspect(self, id: str) -> GuestFacts:
        await self._pretend("inspect")
        return self._facts(id)

    async def list(self) -> list[GuestFacts]:
        await self._pretend("list")
        return [self._facts(id) for id in sorted(self._guests)]

    async def console(self, id: str, *, max_bytes: int) -> bytes:
        await self._pretend("console")
        guest = self._guests.get(id)
        return guest.console[-max_bytes:] if guest is not None and max_bytes > 0 else b""

    async def close(self) -> None:
        """Guests stay, for the next service that uses this object."""

    async def _pretend(self, operation: str) -> None:
        changes = operation in CHANGES
        seconds = self._delays.get(operation, self._delay if changes else 0.0)
        if seconds > 0:
            await asyncio.sleep(seconds)
        refusal = self._refusals.get(operation)
        if refusal is None:
            return
        if refusal.times > 1:
            self._refusals[operation] = msgspec.structs.replace(refusal, times=refusal.times - 1)
        else:
            del self._refusals[operation]
        raise type(refusal.error)(refusal.error.message)

    def _running(self, id: str) -> FakeGuest:
        guest = self._guests.get(id)
        if guest is None or guest.power not in ON:
            raise Rejected("the guest does not run", id=id)
        return guest

    def _plug(self, guest: FakeGuest, spec: GuestSpec) -> None:
        if guest.power in ON and slots_taken(spec) > max(guest.slots, slots_taken(guest.spec)):
            raise Rejected("the guest has no slot left for another device", id=spec.id)
        self._keep(msgspec.structs.replace(guest, spec=spec))

    def _admit_disk(self, spec: GuestSpec) -> None:
        others = (guest.spec.disk for id, guest in self._guests.items() if id != spec.id)
        used = sum(disk.size_gib for disk in others if disk is not None)
        wanted = spec.disk.size_gib if spec.disk is not None else 0
        if used + wanted > self._host.disk_gib:
            free = self._host.disk_gib - used
            raise NoSpace(f"no space for a disk of {wanted} GiB: {free} GiB are free", id=spec.id)

    def _change(self, guest: FakeGuest, *, power: str, reason: str) -> None:
        guest = msgspec.structs.replace(guest, power=power, reason=reason)
        self._keep(guest if power in ON else _off(guest))

    def _keep(self, guest: FakeGuest) -> None:
        self._guests[guest.spec.id] = guest
        self._write(guest.spec.id, guest)

    def _forget(self, id: str) -> None:
        if self._guests.pop(id, None) is not None:
            self._write(id, None)

    def _write(self, id: str, guest: FakeGuest | None) -> None:
        if self._memory is not None:
            if guest is not None:
                guest = msgspec.structs.replace(guest, spec=without_secrets(guest.spec), followed={}, held=frozenset())
            with open(self._memory, "ab") as out:
                out.write(msgspec.json.encode((id, guest)) + b"\n")

    def _facts(self, id: str) -> GuestFacts:
        guest = self._guests.get(id)
        if guest is None:
            return GuestFacts(id=id, power="absent")
        volumes = tuple(disk.volume_id for disk in guest.spec.volumes)
        return GuestFacts(id=id, power=guest.power, reason=guest.reason, volumes=volumes)


def _no_data(old: Connection, new: Connection) -> None:
    """Nobody asks for the data of volumes."""


def _unfollowed(guest: FakeGuest, volume_id: str) -> FakeGuest:
    """The guest without a new place for the volume."""
    followed = {other: disk for other, disk in guest.followed.items() if other != volume_id}
    return msgspec.structs.replace(guest, followed=followed, held=guest.held - {volume_id})


def _off(guest: FakeGuest) -> FakeGuest:
    """The guest without what ends with its machine."""
    return msgspec.structs.replace(guest, followed={}, held=frozenset(), frozen=False)


def _booted(guest: FakeGuest) -> FakeGuest:
    """The guest after one more start: running, with the boot's lines at the end of its console."""
    spec = guest.spec
    lines = [
        f"fake: start {guest.boots + 1} with {spec.vcpus} CPU(s) and {spec.ram_mib} MiB",
        *(f"fake: eth{index} is {nic.mac} on {nic.device}" for index, nic in enumerate(spec.nics)),
        "fake: ready",
        "",
        f"{spec.name} login: ",
    ]
    text = "\n".join(lines).encode()
    console = (guest.console + b"\n" if guest.console else b"") + text
    return msgspec.structs.replace(
        guest, power="running", reason="", boots=guest.boots + 1, console=console, slots=slots(spec)
    )


def recall(memory: Path) -> dict[str, FakeGuest]:
    """The guests in a file of (id, guest or null) lines, the last of an id counting; the file holds only them after."""
    guests: dict[str, FakeGuest] = {}
    if not memory.exists():
        return guests
    for line in memory.read_bytes().splitlines():
        try:
            id, guest = msgspec.json.decode(line, type=tuple[str, FakeGuest | None])
        except msgspec.DecodeError:
            continue  # the line that a crash cut short
        guests.pop(id, None)
        if guest is not None:
            guests[id] = guest
    draft = memory.with_suffix(".new")
    draft.write_bytes(b"".join(msgspec.json.encode((id, guest)) + b"\n" for id, guest in guests.items()))
    draft.replace(memory)
    return guests
