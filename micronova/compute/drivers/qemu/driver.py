"""Virtual machines on this host with QEMU. A guest is a folder and, while it runs, a process that outlives us.

Everything a guest needs to start again is in its folder, and whether it runs is asked of the process itself: this
driver remembers nothing that a restart could lose. QEMU stays when its guest shuts down (`-no-shutdown`), so a
process that is gone without our having ended it has crashed.
"""

import asyncio
import contextlib
import logging
import os
import pathlib
import shutil
from collections.abc import AsyncIterator
from typing import Self

import msgspec

from micronova import command
from micronova.clock import Clock
from micronova.compute.driver import GuestFacts, GuestSpec, HostFacts, Nic, VolumeDisk, check_spec, is_plain_name
from micronova.compute.drivers.qemu import accel as qemu_accel
from micronova.compute.drivers.qemu import building as qemu_building
from micronova.compute.drivers.qemu import cards as qemu_cards
from micronova.compute.drivers.qemu import command as qemu_command
from micronova.compute.drivers.qemu import folder as qemu_folder
from micronova.compute.drivers.qemu import freezing as qemu_freezing
from micronova.compute.drivers.qemu import host as qemu_host
from micronova.compute.drivers.qemu import moves as qemu_moves
from micronova.compute.drivers.qemu import privilege as qemu_privilege
from micronova.compute.drivers.qemu import process as qemu_process
from micronova.compute.drivers.qemu import tap as qemu_tap
from micronova.compute.drivers.qemu import volumes as qemu_volumes
from micronova.compute.drivers.qemu.accel import Accel
from micronova.compute.drivers.qemu.folder import GuestFolder
from micronova.compute.drivers.qemu.kernel import KernelCache
from micronova.compute.drivers.qemu.monitor import Monitor
from micronova.compute.drivers.qemu.privilege import Privilege
from micronova.config import Config
from micronova.errors import DriverError, Rejected

LOG = logging.getLogger(__name__)

BINARY = "qemu-system-x86_64"
CONSOLE_KEPT = 256 * 1024
"""Bytes of console output a guest may leave on this host; trimmed to this when it has grown to four times of it."""
_QUIT_WAIT = 5
_ON = ("running", "paused")
_POWERS = {
    "running": "running",
    "shutdown": "shutdown",
    "guest-panicked": "crashed",
    "internal-error": "crashed",
}
"""What QEMU's run states mean; every other one (paused, io-error, prelaunch, ...) is a guest that stands still."""


class QemuDriver:
    """A ComputeDriver with QEMU guests below the folder `state`."""

    def __init__(
        self,
        state: pathlib.Path,
        clock: Clock,
        *,
        accel: str = "auto",
        machine: str = "q35",
        user: str | None = None,
        reboot_wait: float = 60,
    ) -> None:
        """Nothing is touched before `init_host`.

        `user` is who QEMU runs as (None: the first that this host has of a few); `reboot_wait` the seconds a
        guest has to shut down in a soft reboot before it is reset.
        """
        self._state = state
        self._guests = state / "guests"
        self._kernels = KernelCache(state / "kernels")
        self._clock = clock
        self._wanted_accel = accel
        self._machine = machine
        self._user = user
        self._reboot_wait = reboot_wait
        self._binary = BINARY
        self._accel = Accel(name="tcg", reason="not probed yet")
        self._privilege = Privilege()
        self._monitors: dict[str, Monitor] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    @classmethod
    def configured(cls, config: Config, clock: Clock) -> Self:
        """The driver as the configuration wants it."""
        return cls(config.state / "compute", clock, accel=config.options.compute.accel)

    # Facts about this host

    async def init_host(self) -> HostFacts:
        self._binary = qemu_host.program(BINARY, "qemu-system-x86")
        qemu_host.program("qemu-img", "qemu-utils")
        try:
            self._guests.mkdir(parents=True, exist_ok=True, mode=0o755)
            for path in qemu_folder.leftovers(self._guests):
                shutil.rmtree(path, ignore_errors=True)
        except OSError as err:
            raise qemu_folder.refusal(err, "the folder of this host's guests cannot be used") from err
        version = qemu_host.version(await command.run([self._binary, "--version"]))
        self._privilege = qemu_privilege.choose(self._user)
        self._accel = await qemu_accel.choose(
            self._wanted_accel,
            self._binary,
            self._privilege,
            memory=self._state / "accel.json",
            key=f"{os.uname().release} {version} {self._privilege.uid}",
        )
        if self._accel.needs_root:
            self._privilege = Privilege(reason="only root may use /dev/kvm here")
        if self._privilege.reason:
            LOG.warning("QEMU gets no user of its own: %s", self._privilege.reason)
        await asyncio.gather(*(self._reconnect(self._folder(id)) for id in qemu_folder.ids(self._guests)))
        self._kernels.prune()
        return qemu_host.facts(self._state, version, self._accel)

    async def _reconnect(self, folder: GuestFolder) -> None:
        """A running guest's monitor is connected; a mark that says it should be off is gone."""
        if qemu_process.find(folder, thorough=True) is None:
            return
        folder.stopped.unlink(missing_ok=True)
        try:
            await self._monitor(folder).status()
            await qemu_freezing.thaw_left(folder, self._clock, after=0)
        except DriverError as err:
            LOG.warning("guest %s runs, but: %s", folder.id, err)

    # Guests, one change at a time each

    async def ensure(self, spec: GuestSpec, *, running: bool = True) -> GuestFacts:
        check_spec(spec, ram_mib=qemu_host.ram_mib())
        folder = self._folder(spec.id)
        async with self._changing(spec.id):
            fresh = not folder.exists()
            if fresh:
                await qemu_building.build(folder, spec, self._kernels, self._privilege)
            else:
                facts = await self._facts(folder, thorough=True)
                if facts.power in _ON:
                    return facts
                await self._switch_off(folder)
                await qemu_building.describe(folder, spec, self._kernels, self._privilege)
            if running:
                await self._start(folder, spec, fresh=fresh)
            return await self._facts(folder)

    async def remove(self, id: str) -> None:
        folder = self._folder(id)
        async with self._changing(id):
            await self._erase(folder)

    async def stop(self, id: str, *, wait: float) -> None:
        folder = self._folder(id)
        async with self._changing(id):
            if not folder.exists():
                return
            if wait > 0 and (await self._facts(folder)).power == "running":
                await self._monitor(folder).shut_down(wait=wait)
            await self._switch_off(folder)

    async def reboot(self, id: str, *, hard: bool) -> None:
        folder = self._folder(id)
        async with self._changing(id):
            power = (await self._facts(folder)).power
            if power not in _ON:
                raise DriverError("the guest is not running, so it cannot be rebooted", id=id)
            if not hard and power == "running":
                await self._monitor(folder).shut_down(wait=self._reboot_wait)
            try:
                await self._monitor(folder).reset(wait=_QUIT_WAIT)
            except DriverError as err:
                LOG.warning("guest %s is started again, because its QEMU does not obey: %s", id, err)
                await self._switch_off(folder)
                await self._start(folder, folder.read_spec(), fresh=False)

    async def pause(self, id: str, *, paused: bool) -> None:
        folder = self._folder(id)
        async with self._changing(id):
            if (await self._facts(folder)).power not in _ON:
                raise DriverError("the guest does not run, so it cannot be paused or go on", id=id)
            await self._monitor(folder).ask("stop" if paused else "cont")

    async def attach_nic(self, id: str, nic: Nic) -> None:
        folder = self._folder(id)
        async with self._changing(id):
            await qemu_cards.attach(folder, await self._monitor_if_on(folder), nic)

    async def detach_nic(self, id: str, port_id: str) -> None:
        folder = self._folder(id)
        async with self._changing(id):
            if folder.exists():
                await qemu_cards.detach(folder, await self._monitor_if_on(folder), port_id)

    async def attach_volume(self, id: str, disk: VolumeDisk) -> None:
        folder = self._folder(id)
        async with self._changing(id):
            await qemu_volumes.attach(folder, await self._monitor_if_on(folder), disk)

    async def detach_volume(self, id: str, volume_id: str) -> None:
        folder = self._folder(id)
        async with self._changing(id):
            if folder.exists():
                await qemu_volumes.detach(folder, await self._monitor_if_on(folder), volume_id)

    async def extend_volume(self, id: str, volume_id: str, size_gib: int) -> None:
        folder = self._folder(id)
        async with self._changing(id):
            monitor = await self._monitor_if_on(folder)
            if monitor is not None:
                await qemu_volumes.extend(monitor, volume_id, size_gib)

    async def follow_volume(self, id: str, disk: VolumeDisk, of: str = "") -> bool:
        async with self._running(id) as folder:
            return await qemu_moves.follow(self._monitor(folder), disk, of)

    async def hold_volume(self, id: str, disk: VolumeDisk, of: str = "") -> None:
        async with self._running(id) as folder:
            await qemu_moves.hold(self._monitor(folder), disk)

    async def switch_volume(self, id: str, disk: VolumeDisk, of: str = "") -> None:
        folder = self._folder(id)
        async with self._changing(id):
            await qemu_moves.switch(folder, await self._monitor_if_on(folder), disk, of)

    async def unfollow_volume(self, id: str, volume_id: str) -> None:
        folder = self._folder(id)
        async with self._changing(id):
            monitor = await self._monitor_if_on(folder)
            if monitor is not None:
                await qemu_moves.unfollow(monitor, volume_id)

    async def freeze(self, id: str) -> None:
        async with self._running(id) as folder:
            await qemu_freezing.freeze(folder, self._clock)

    async def thaw(self, id: str) -> bool:
        folder = self._folder(id)
        async with self._changing(id):
            if await self._monitor_if_on(folder) is None:
                return False
            return await qemu_freezing.thaw(folder, self._clock)

    async def inspect(self, id: str) -> GuestFacts:
        return await self._settled(self._folder(id))

    async def list(self) -> list[GuestFacts]:
        found = []
        for id in qemu_folder.ids(self._guests):
            folder = self._folder(id)
            folder.trim_console(above=4 * CONSOLE_KEPT, keep=CONSOLE_KEPT)
            found.append(await self._settled(folder))
            if found[-1].power in _ON:
                await qemu_freezing.thaw_left(folder, self._clock)
        return [facts for facts in found if facts.power != "absent"]

    async def console(self, id: str, *, max_bytes: int) -> bytes:
        return self._folder(id).console_tail(max_bytes)

    async def close(self) -> None:
        for monitor in list(self._monitors.values()):
            await monitor.close()
        self._monitors.clear()

    # What is true of a guest

    async def _facts(self, folder: GuestFolder, *, thorough: bool = False) -> GuestFacts:
        if not folder.exists():
            return GuestFacts(id=folder.id, power="absent")
        if qemu_process.find(folder, thorough=thorough) is None:
            return self._facts_without_process(folder)
        try:
            status = await self._monitor(folder).status()
        except DriverError as err:
            if qemu_process.find(folder) is None:
                return self._facts_without_process(folder)
            return GuestFacts(id=folder.id, power="running", reason=err.message)
        power = _POWERS.get(status, "paused")
        reason = "" if status in ("running", "shutdown", "paused") else f"QEMU says {status}"
        return GuestFacts(id=folder.id, power=power, reason=reason)

    def _facts_without_process(self, folder: GuestFolder) -> GuestFacts:
        if not folder.exists():
            return GuestFacts(id=folder.id, power="absent")
        if folder.stopped.exists():
            return GuestFacts(id=folder.id, power="shutdown")
        return GuestFacts(id=folder.id, power="crashed", reason="its QEMU has ended without being asked to")

    async def _settled(self, folder: GuestFolder) -> GuestFacts:
        """The facts; a guest that has shut itself down gives its memory back, unless something changes it now."""
        facts = await self._facts(folder)
        facts = msgspec.structs.replace(facts, volumes=folder.volumes())
        lock = self._locks.get(folder.id)
        if facts.power == "shutdown" and (lock is None or not lock.locked()):
            async with self._changing(folder.id):
                if (await self._facts(folder)).power == "shutdown":
                    await self._switch_off(folder)
        return facts

    # Steps

    async def _start(self, folder: GuestFolder, spec: GuestSpec, *, fresh: bool) -> None:
        """The guest runs. When that fails a `fresh` one is gone and an older one is off."""
        try:
            privilege = self._privilege_for(folder)
            with qemu_tap.opened(spec.nics) as taps:
                argv = qemu_command.arguments(
                    spec,
                    machine=self._machine,
                    taps=taps,
                    config_drive=(folder.path / "config.iso").exists(),
                )
                await qemu_process.start(
                    [*privilege.command(), self._binary, *argv[:2], *self._accel.arguments(), *argv[2:]],
                    folder,
                    inherit=taps,
                    monitor=self._monitor(folder),
                )
            if spec.volumes:
                await qemu_volumes.plug_all(self._monitor(folder), spec.volumes)
                await self._monitor(folder).reset(wait=_QUIT_WAIT)
            folder.frozen.unlink(missing_ok=True)
            # Only now: whoever looks meanwhile must see a guest that is off, not one that has crashed.
            folder.stopped.unlink(missing_ok=True)
        except BaseException:
            await (self._erase(folder) if fresh else self._switch_off(folder))
            raise

    def _privilege_for(self, folder: GuestFolder) -> Privilege:
        """QEMU's user; ourselves for a guest whose files that user may not read."""
        names = [name for name in ("kernel", "initrd", "base") if (folder.path / name).exists()]
        hidden = [name for name in names if not qemu_privilege.may_read(folder.path / name, self._privilege)]
        if not hidden:
            return self._privilege
        LOG.warning("guest %s: QEMU keeps our rights, because no other user may read its %s", folder.id, hidden)
        return Privilege(reason=f"no other user may read its {', '.join(hidden)}")

    async def _erase(self, folder: GuestFolder) -> None:
        """No process, connection or file of the guest is left. Raises DriverError when the host refuses."""
        await self._forget_monitor(folder)
        if not await qemu_process.end(folder):
            raise DriverError("the guest's QEMU does not end", id=folder.id)
        folder.erase()

    async def _switch_off(self, folder: GuestFolder) -> None:
        """No process; the guest is marked as meant to be off. Its files stay."""
        try:
            folder.stopped.touch()
        except OSError as err:
            raise qemu_folder.refusal(err, "the guest could not be marked as shut down") from err
        if qemu_process.find(folder, thorough=True) is not None:
            with contextlib.suppress(DriverError):
                await self._monitor(folder).ask("quit", wait=_QUIT_WAIT)
                await qemu_process.gone(folder, wait=_QUIT_WAIT)
        await self._forget_monitor(folder)
        if not await qemu_process.end(folder):
            raise DriverError("the guest's QEMU does not end", id=folder.id)

    # Connections and order

    def _folder(self, id: str) -> GuestFolder:
        if not is_plain_name(id):
            raise Rejected("a guest's id must be a plain name")
        return GuestFolder(self._guests, id)

    def _monitor(self, folder: GuestFolder) -> Monitor:
        return self._monitors.setdefault(folder.id, Monitor(folder.run))

    async def _monitor_if_on(self, folder: GuestFolder) -> Monitor | None:
        return self._monitor(folder) if (await self._facts(folder)).power in _ON else None

    @contextlib.asynccontextmanager
    async def _running(self, id: str) -> AsyncIterator[GuestFolder]:
        """A guest that runs, and nothing else changes it. Raises Rejected when it is off or not there."""
        folder = self._folder(id)
        async with self._changing(id):
            if await self._monitor_if_on(folder) is None:
                raise Rejected("the guest does not run", id=id)
            yield folder

    async def _forget_monitor(self, folder: GuestFolder) -> None:
        monitor = self._monitors.pop(folder.id, None)
        if monitor is not None:
            await monitor.close()

    @contextlib.asynccontextmanager
    async def _changing(self, id: str) -> AsyncIterator[None]:
        """One change of a guest at a time."""
        lock = self._locks.setdefault(id, asyncio.Lock())
        try:
            async with lock:
                yield
        finally:
            if not lock.locked() and not self._folder(id).exists():
                self._locks.pop(id, None)
