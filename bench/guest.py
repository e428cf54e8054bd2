"""A guest's way to its own first word: by the QEMU driver, and by the bare QEMU command with the same kernel and
memory: `python -m bench.guest`. Needs root, QEMU and the guest image's packages; else nothing is measured.

Boots of both kinds alternate. A guest counts as up when its init says so on the serial port.
"""

import asyncio
import os
import shutil
import statistics
import tempfile
from pathlib import Path

from bench.cloud import Process, Result, until
from micronova.clock import SystemClock
from micronova.compute.driver import GuestSpec
from micronova.compute.drivers.qemu.driver import QemuDriver
from micronova.errors import DriverError
from micronova.guestimage import tiny
from micronova.guestimage.tiny import TinyImage

NEEDED = ("qemu-system-x86_64", "qemu-img", "apt-get", "dpkg-deb")
WORD = b"tiny: "
"""What the guest's init begins its first line with."""
RAM_MIB = 112


def missing() -> str:
    """Why no guest can be measured here, or ""."""
    if os.geteuid() != 0:
        return "needs root"
    lacking = [name for name in NEEDED if shutil.which(name) is None]
    return f"needs {', '.join(lacking)}" if lacking else ""


async def _ours(folder: Path, image: TinyImage) -> float:
    """Seconds from the driver's order to the guest's first word."""
    clock = SystemClock()
    driver = QemuDriver(folder, clock, accel="tcg")
    await driver.init_host()
    id = clock.new_id()
    kernel, initrd = image.kernel, image.initrd
    spec = GuestSpec(id=id, name="bench", vcpus=1, ram_mib=RAM_MIB, kernel=kernel, initrd=initrd, cmdline=image.cmdline)

    async def speaks() -> bool:
        return WORD in await driver.console(id, max_bytes=100_000)

    try:
        begun = clock.monotonic()
        await driver.ensure(spec)
        await until(speaks, every=0.01)
        return clock.monotonic() - begun
    finally:
        await driver.remove(id)
        await driver.close()


async def _bare(folder: Path, image: TinyImage) -> float:
    """Seconds from the QEMU command to the guest's first word."""
    clock = SystemClock()
    log = folder / f"{clock.new_id()}.log"
    words = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,tb-size=32", "-m", str(RAM_MIB), "-smp", "1"]
    words += ["-nodefaults", "-no-user-config", "-display", "none", "-serial", f"file:{log}"]
    words += ["-kernel", image.kernel, "-initrd", image.initrd, "-append", image.cmdline]

    async def speaks() -> bool:
        return log.exists() and WORD in log.read_bytes()

    begun = clock.monotonic()
    child = await asyncio.create_subprocess_exec(*words, "-device", "virtio-rng-pci")
    try:
        await until(speaks, every=0.01)
        return clock.monotonic() - begun
    finally:
        Process(child.pid).end()
        await child.wait()


async def _measure(folder: Path, *, quick: bool) -> list[Result]:
    image = await tiny.build(folder / "images")
    ours, bare = [], []
    for _ in range(1 if quick else 5):
        ours.append(await _ours(folder / "state", image))
        bare.append(await _bare(folder, image))
    over = statistics.median(own - floor for own, floor in zip(ours, bare, strict=True))
    return [
        ("guest boot by the driver", statistics.median(ours), "s"),
        ("guest boot: bare QEMU", statistics.median(bare), "s"),
        ("guest boot over bare QEMU", over, "s"),
    ]


def measure(*, quick: bool = False) -> list[Result]:
    """(what, how much, unit) of guest boots; nothing where `missing` or where the image's packages can't be had."""
    if missing():
        return []
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # QEMU runs as another user
        try:
            return asyncio.run(_measure(Path(folder), quick=quick))
        except DriverError:
            return []


if __name__ == "__main__":
    print(missing() or "\n".join(f"{what:<48}{how_much:>10.3f} {unit}" for what, how_much, unit in measure()))
