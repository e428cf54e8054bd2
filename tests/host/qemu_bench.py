"""A host with real QEMU guests below one folder, for tests of the driver."""

import asyncio
import json
import os
import pathlib
import shutil
import signal

import msgspec
import pytest

from micronova import command
from micronova.clock import SystemClock
from micronova.compute.driver import Disk, GuestSpec, Nic, VolumeDisk
from micronova.compute.drivers.qemu import process as qemu_process
from micronova.compute.drivers.qemu import slots as qemu_slots
from micronova.compute.drivers.qemu.driver import QemuDriver
from micronova.compute.drivers.qemu.folder import GuestFolder
from micronova.guestimage import tiny
from micronova.testing.compute_kit import ONE
from micronova.volume.driver import GIB, FileConnection

NEEDED = ("qemu-system-x86_64", "qemu-img", "setpriv", "mount", "ip", "apt-get", "dpkg-deb")

REAL_GUESTS = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(any(shutil.which(name) is None for name in NEEDED), reason=f"needs {', '.join(NEEDED)}"),
]


def volume_id(number: int) -> str:
    return f"{number:08d}-0000-4000-8000-00000000000{number}"


class QemuBench:
    """A host of its own below one folder; guests boot `tiny`."""

    def __init__(self, folder: pathlib.Path, image: tiny.TinyImage) -> None:
        self.state = folder
        self.guests = folder / "guests"
        self.driver = self._new_driver()
        self._image = image

    def spec(self, id: str) -> GuestSpec:
        return GuestSpec(
            id=id,
            name="web",
            vcpus=1,
            ram_mib=112,
            kernel=self._image.kernel,
            initrd=self._image.initrd,
            cmdline=self._image.cmdline,
            disk=Disk(path=self._image.disk, format="raw", size_gib=1),
        )

    def folder(self, id: str) -> GuestFolder:
        return GuestFolder(self.guests, id)

    async def nic(self, number: int) -> Nic:
        device = f"mnt{number}"
        if not pathlib.Path(f"/proc/thread-self/net/dev_snmp6/{device}").exists():
            await command.run(["ip", "tuntap", "add", "dev", device, "mode", "tap"])
            await command.run(["ip", "link", "set", device, "up"])
        return Nic(port_id=f"port-{number}", mac=f"fa:16:3e:00:01:{number:02x}", device=device)

    async def cards(self, id: str) -> list[str]:
        folder = self.folder(id)
        if qemu_process.find(folder) is None:
            return [nic.port_id for nic in folder.read_spec().nics]
        names = await qemu_slots.devices(self.driver._monitor(folder))
        return sorted(name.removeprefix("nic-") for name in names if name.startswith("nic-"))

    async def volume(self, number: int) -> VolumeDisk:
        path = self.state / "volumes" / f"{number}.raw"
        path.parent.mkdir(exist_ok=True)
        with path.open("ab") as file:
            file.truncate(GIB)
        path.chmod(0o666)
        return VolumeDisk(volume_id=volume_id(number), connection=FileConnection(path=str(path)))

    async def volumes(self, id: str) -> list[str]:
        folder = self.folder(id)
        if qemu_process.find(folder) is None:
            return [disk.volume_id for disk in folder.read_spec().volumes]
        names = await qemu_slots.devices(self.driver._monitor(folder))
        return sorted(name.removeprefix("disk-") for name in names if name.startswith("disk-") and "-4" in name)

    async def crash(self, id: str) -> None:
        assert await qemu_process.end(self.folder(id), by=signal.SIGKILL)

    async def fill_disk(self) -> None:
        await command.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", str(self.guests)])

    async def free_disk(self) -> None:
        await command.run(["umount", str(self.guests)])

    async def reopen(self) -> None:
        await self.driver.close()
        self.driver = self._new_driver()

    def traces(self, id: str) -> list[str]:
        files = [str(path) for path in self.guests.rglob("*") if id in str(path)]
        pid = qemu_process.find(self.folder(id), thorough=True)
        return sorted(files) + ([f"process {pid}"] if pid else [])

    async def erase(self) -> None:
        while os.path.ismount(self.guests):
            await self.free_disk()
        for guest in await self.driver.list():
            await self.driver.remove(guest.id)
        await self.driver.close()

    def _new_driver(self) -> QemuDriver:
        return QemuDriver(self.state, SystemClock(), accel="tcg", reboot_wait=30)


def boot_of(bench: QemuBench, user_data: str) -> GuestSpec:
    meta_data = {"hostname": "web1.example", "public_keys": {"mine": "ssh-ed25519 AAAA me"}}
    files = {
        "openstack/latest/meta_data.json": json.dumps(meta_data).encode(),
        "openstack/latest/user_data": user_data.encode(),
    }
    return msgspec.structs.replace(bench.spec(ONE), config_drive=files)


async def shown(bench: QemuBench, text: str) -> str:
    """The guest's console once it shows `text`."""
    for _ in range(900):
        console = (await bench.driver.console(ONE, max_bytes=100_000)).decode(errors="replace")
        if text in console:
            return console
        await asyncio.sleep(0.1)
    raise AssertionError(f"the guest did not show {text!r}: {console}")
