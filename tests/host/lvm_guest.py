"""What test_nested.py runs in a machine whose kernel has thin pools: the conformance kit, and what only LVM shows.

Prints a line "ok NAME" for each test that passed, "skipped NAME" or "failed NAME" for the others.
"""

import asyncio
import concurrent.futures.thread
import os
import subprocess
import time
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import _pytest.outcomes
import msgspec
import pytest

from micronova.clock import SystemClock
from micronova.errors import NoSpace
from micronova.testing.volume_ground import MIB, WRITTEN, snapshot_spec, volume_spec
from micronova.testing.volume_kit import VolumeDriverKit
from micronova.volume.driver import FromSnapshot, FromVolume, VolumeDriver
from micronova.volume.drivers.lvm.driver import LvmVolumeDriver
from micronova.volume.drivers.lvm.options import LvmOptions

GROUP, POOL_MIB, RESERVE_MIB = "vg", 32, 16
BLOCK = 65536
PLACE = Path("/pool")
NEEDED_LATER = (concurrent.futures.thread,)
"""What is imported when it is first needed, and could not be then."""
EVERYDAY = (
    "test_a_block_shows_nothing_of_its_last_owner",
    "test_a_pool_that_fills_up_takes_nothing_new_until_there_is_space",
    "test_a_snapshot_in_use_only_where_that_is_offered",
)
"""What only a real thin pool shows. The rest is about what the driver does with one, and runs on files each time; all
of it runs here where there is a file /whole."""
_CONFIGURED = """
activation { udev_sync=0 udev_rules=0 monitoring=0 reserved_memory=0 reserved_stack=0 }
global { thin_check_executable="" use_lvmpolld=0 event_activation=0 }
devices { obtain_device_list_from_udev=0 use_devicesfile=0 filter=["a|^/dev/loop0$|","r|.*|"]
  md_component_detection=0 multipath_component_detection=0 sysfs_scan=0 }
backup { backup=0 archive=0 }
"""


def sh(line: str) -> str:
    done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{line}: {done.stdout}{done.stderr}"
    return done.stdout


def prepare() -> None:
    for path in (PLACE, Path("/etc/lvm"), Path("/run/lock/lvm"), Path("/run/lvm")):
        path.mkdir(parents=True)
    Path("/etc/lvm/lvm.conf").write_text(_CONFIGURED)
    os.symlink("/proc/self/fd", "/dev/fd")
    sh(f"mount -t tmpfs none {PLACE}")
    sh(f"truncate -s {POOL_MIB + 40}M {PLACE}/disk && losetup /dev/loop0 {PLACE}/disk")
    sh(f"lvm pvcreate -q /dev/loop0 && lvm vgcreate -q {GROUP} /dev/loop0")
    sh(f"lvm lvcreate -yq --type thin-pool -L {POOL_MIB}M --poolmetadatasize 4M --zero y -c {BLOCK}b -n pool {GROUP}")


OPTIONS = LvmOptions(volume_group=GROUP, thin_pool="pool", reserve_mib=RESERVE_MIB)


def made() -> LvmVolumeDriver:
    return LvmVolumeDriver(PLACE / "state", SystemClock(), OPTIONS)


def device(name: str) -> str:
    """The device of a volume or snapshot; it has one from now on."""
    found = sorted(Path(f"/dev/{GROUP}").glob(f"*-{name}"))
    if not found:
        (lv,) = [line for line in sh(f"lvm lvs --noheadings -o lv_name {GROUP}").split() if line.endswith(name)]
        sh(f"lvm lvchange -ay -K {GROUP}/{lv}")
        found = [Path(f"/dev/{GROUP}/{lv}")]
    return str(found[-1])


class TestLvm(VolumeDriverKit):
    """The kit on thin volumes. Their devices are read and written directly: a file of 1 GiB takes its time here."""

    driver: LvmVolumeDriver

    async def restarted(self, driver: VolumeDriver) -> VolumeDriver:
        await driver.close()
        type(self).driver = made()
        await self.driver.init_host()
        return self.driver

    async def fill(self, driver: VolumeDriver) -> None:
        assert isinstance(driver, LvmVolumeDriver)
        driver.options = msgspec.structs.replace(OPTIONS, reserve_mib=1 << 20)

    async def write(self, driver: VolumeDriver, name: str, offset: int, data: bytes) -> None:
        handle = os.open(device(name), os.O_WRONLY)
        os.pwrite(handle, data, offset)
        os.fsync(handle)
        os.close(handle)

    async def read(
        self, driver: VolumeDriver, source: FromVolume | FromSnapshot, ranges: Sequence[tuple[int, int]]
    ) -> list[bytes]:
        handle = os.open(device(source.name), os.O_RDONLY)
        try:
            return [os.pread(handle, length, offset) for offset, length in ranges]
        finally:
            os.close(handle)

    async def test_a_block_shows_nothing_of_its_last_owner(self, driver: VolumeDriver) -> None:
        await driver.ensure(volume_spec(1))
        await self.write(driver, volume_spec(1).name, 0, b"theirs!!" * (15 * MIB // 8))
        await driver.remove(volume_spec(1).name)
        await driver.ensure(volume_spec(2))

        # More blocks than nobody had before: the pool gives out those first.
        blocks, ours = 320, b"ours" * 1024
        self.touch(volume_spec(2).name, blocks, ours)

        (found,) = await self.read(driver, FromVolume(volume_spec(2).name), ((0, blocks * BLOCK),))
        assert (bytes(8192) + ours + bytes(BLOCK - 8192 - len(ours))) * blocks == found

    def touch(self, name: str, blocks: int, data: bytes) -> None:
        """Write a little into each of so many blocks."""
        handle = os.open(device(name), os.O_WRONLY)
        for number in range(blocks):
            os.pwrite(handle, data, number * BLOCK + 8192)
        os.fsync(handle)
        os.close(handle)

    async def test_a_pool_that_fills_up_takes_nothing_new_until_there_is_space(self, driver: VolumeDriver) -> None:
        for number in (1, 2):
            await driver.ensure(volume_spec(number))
            await self.mark(driver, number, WRITTEN[0])
        await self.write(driver, volume_spec(2).name, 0, b"full" * ((POOL_MIB - RESERVE_MIB + 4) * MIB // 4))

        with pytest.raises(NoSpace):
            await driver.ensure_snapshot(snapshot_spec(1, 1))

        stats = await driver.stats()
        assert (POOL_MIB * MIB, True) == (stats.total_bytes, stats.free_bytes < RESERVE_MIB * MIB)
        await driver.remove(volume_spec(2).name)
        await driver.ensure(volume_spec(3))
        assert WRITTEN[0] == await self.marked(driver, 1, len(WRITTEN[0]))


async def kit() -> None:
    TestLvm.driver = made()
    await TestLvm.driver.init_host()
    for name, call in calls():
        began = time.monotonic()
        try:
            await call()
            print(f"ok {name} {time.monotonic() - began:.1f}", flush=True)
        except _pytest.outcomes.Skipped as err:
            print(f"skipped {name}: {err}", flush=True)
        except BaseException:
            print(f"failed {name}\n{traceback.format_exc()}", flush=True)
        await cleaned()
    await TestLvm.driver.erase()


async def cleaned() -> None:
    """Nothing is left for the next test. Each command of LVM takes its time here: one where one will do."""
    TestLvm.driver.options = OPTIONS
    if any(PLACE.glob("state/exports/*")) or not (PLACE / "state").exists():
        await TestLvm.driver.erase()
        await TestLvm.driver.init_host()
    else:
        sh(f"lvm lvremove -fq --select lv_tags={{micronova}} {GROUP}")


def calls() -> Iterator[tuple[str, Callable[[], Awaitable[None]]]]:
    folder = PLACE / "files"
    folder.mkdir()
    whole = Path("/whole").exists()
    for name in sorted(name for name in dir(TestLvm) if name in EVERYDAY or (whole and name.startswith("test_"))):
        marks = getattr(getattr(TestLvm, name), "pytestmark", ())
        given = [value for mark in marks if mark.name == "parametrize" for value in mark.args[1]] or [None]

        async def call(name: str = name, given: Sequence[str | None] = given) -> None:
            for value in given:
                kit = TestLvm()
                kit.folder, kit.files = folder, 0
                await getattr(kit, name)(TestLvm.driver, *([] if value is None else [value]))

        yield name, call


def main() -> None:
    prepare()
    asyncio.run(kit())
