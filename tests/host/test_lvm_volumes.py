"""The LVM driver keeps the contract: with real thin pools in a machine of its own, and in every detail on files that
stand for logical volumes, killed between any two steps."""

import contextlib
import os
import pathlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import pytest
from lvm_files import POOL, FileGroup, Killed, own_address
from volume_user import use

from micronova.clock import SystemClock
from micronova.errors import DriverError, NoSpace, Rejected
from micronova.testing.volume_ground import MIB, WRITTEN, export_spec, snapshot_spec, volume_spec
from micronova.testing.volume_kit import VolumeDriverKit
from micronova.volume.driver import GIB, FromFile, FromSnapshot, FromVolume, VolumeDriver
from micronova.volume.drivers import process
from micronova.volume.drivers.lvm import daemon
from micronova.volume.drivers.lvm.driver import LvmVolumeDriver
from micronova.volume.drivers.lvm.group import Lv, VolumeGroup
from micronova.volume.drivers.lvm.holdings import HALF, OURS
from micronova.volume.drivers.lvm.options import LvmOptions

COMMANDS = ("lvm", "tgtd", "qemu-img", "setpriv", "setsid", "env", "sh")

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(any(shutil.which(name) is None for name in COMMANDS), reason=f"needs {', '.join(COMMANDS)}"),
]

ONE, EXPORT, SNAPSHOT = volume_spec(1).name, export_spec(1, 1), snapshot_spec(1, 1)


@pytest.fixture
def real_group(tmp_path: Path) -> Iterator[str]:
    """A volume group with a logical volume that only LVM's metadata know of."""
    name, disk = f"test-{SystemClock().new_id()[:8]}", tmp_path / "disk"
    disk.touch()
    os.truncate(disk, 64 * MIB)
    loop = subprocess.run(["losetup", "--find", "--show", str(disk)], capture_output=True, text=True, check=False)
    if loop.returncode:
        pytest.skip(f"needs a loop device: {loop.stderr}")
    device = loop.stdout.strip()
    try:
        for words in (
            f"pvcreate -q {device}",
            f"vgcreate -q {name} {device}",
            f"lvcreate -q -y --driverloaded n -an -Zn -Wn -L 8M -n v0-one --addtag micronova --addtag x.y=1 {name}",
        ):
            subprocess.run(["lvm", *words.split()], check=True, capture_output=True, timeout=60)
        yield name
        subprocess.run(["lvm", "vgremove", "-q", "-y", "--driverloaded", "n", name], check=True, timeout=60)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True, timeout=60)


async def test_what_this_hosts_lvm_reports_is_understood(real_group: str) -> None:
    (found,) = await VolumeGroup(real_group, "pool").look()

    assert Lv(name="v0-one", size=8 * MIB, tags=frozenset({"micronova", "x.y=1"}), kind="linear") == found
    with pytest.raises(DriverError, match="not found"):
        await VolumeGroup(f"{real_group}-not", "pool").look()


class Ground:
    """A driver on files, and the same one started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sockets = f"/run/micronova/test-{SystemClock().new_id()[:8]}"
        self.options = LvmOptions(sockets=self.sockets, address=own_address(), user="root")
        self.group = FileGroup(folder / "group")
        self.driver = self.new()

    def new(self) -> LvmVolumeDriver:
        return LvmVolumeDriver(self.folder / "state", SystemClock(), self.options, self.group)

    async def restart(self) -> LvmVolumeDriver:
        await self.driver.close()
        self.group.steps_left = 1 << 30
        self.driver = self.new()
        await self.driver.init_host()
        return self.driver

    async def erase(self) -> None:
        self.group.steps_left = 1 << 30
        await self.driver.erase()
        shutil.rmtree(self.sockets, ignore_errors=True)

    def data(self, name: str) -> Path:
        """Where a volume's or snapshot's data are."""
        return sorted(path for path in self.folder.glob(f"group/*-{name}"))[-1]


@pytest.fixture
async def ground(tmp_path: pathlib.Path) -> AsyncIterator[Ground]:
    made = Ground(tmp_path)
    await made.driver.init_host()
    try:
        yield made
    finally:
        await made.erase()


class TestLvmOnFiles(VolumeDriverKit):
    @pytest.fixture
    async def driver(self, ground: Ground) -> LvmVolumeDriver:
        self.ground = ground
        return ground.driver

    async def restarted(self, driver: VolumeDriver) -> VolumeDriver:
        return await self.ground.restart()

    async def fill(self, driver: VolumeDriver) -> None:
        self.ground.group.pool_now = msgspec.structs.replace(POOL, data_percent=100.0)

    async def write(self, driver: VolumeDriver, name: str, offset: int, data: bytes) -> None:
        with self.ground.data(name).open("r+b") as file:
            os.pwrite(file.fileno(), data, offset)

    async def read(
        self, driver: VolumeDriver, source: FromVolume | FromSnapshot, ranges: Sequence[tuple[int, int]]
    ) -> list[bytes]:
        with self.ground.data(source.name).open("rb") as file:
            return [os.pread(file.fileno(), length, offset) for offset, length in ranges]


# -- killed between any two steps


async def settled(ground: Ground) -> None:
    """One volume with a snapshot and something written since."""
    await ground.driver.ensure(volume_spec(1))
    mark(ground, ONE, WRITTEN[0])
    await ground.driver.ensure_snapshot(SNAPSHOT)
    mark(ground, ONE, WRITTEN[1])


def mark(ground: Ground, name: str, data: bytes) -> None:
    with ground.data(name).open("r+b") as file:
        os.pwrite(file.fileno(), data, MIB)


def marked(ground: Ground, name: str) -> bytes:
    with ground.data(name).open("rb") as file:
        return os.pread(file.fileno(), 6000, MIB).rstrip(b"\0")


async def copied_in(driver: LvmVolumeDriver, ground: Ground) -> None:
    image = ground.folder / "image"
    image.write_bytes(bytes(MIB) + WRITTEN[2])
    await driver.copy_in(ONE, str(image), "raw")


async def copied_out(driver: LvmVolumeDriver, ground: Ground) -> None:
    await driver.copy_out(FromVolume(ONE), str(ground.folder / "copy"), "raw")
    (ground.folder / "copy").unlink()


Order = Callable[[LvmVolumeDriver, Ground], Awaitable[object]]
ORDERS: dict[str, tuple[Order, bytes]] = {
    "ensure": (lambda driver, _: driver.ensure(volume_spec(2)), WRITTEN[1]),
    "clone": (lambda driver, _: driver.ensure(volume_spec(2, size_gib=2, source=FromVolume(ONE))), WRITTEN[1]),
    "extend": (lambda driver, _: driver.extend(ONE, 2), WRITTEN[1]),
    "export": (lambda driver, _: driver.ensure_export(EXPORT), WRITTEN[1]),
    "snapshot": (lambda driver, _: driver.ensure_snapshot(snapshot_spec(2, 1)), WRITTEN[1]),
    "revert": (lambda driver, _: driver.revert(SNAPSHOT), WRITTEN[0]),
    "rename": (lambda driver, _: driver.rename(ONE, volume_spec(3).name), WRITTEN[1]),
    "copy in": (copied_in, WRITTEN[2]),
    "copy out": (copied_out, WRITTEN[1]),
}


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("order", ORDERS)
async def test_killed_at_any_step_and_repeated_it_comes_right(tmp_path: Path, order: str, before: bool) -> None:
    call, expected = ORDERS[order]
    for steps in range(1, 12):
        ground = Ground(tmp_path / str(steps))
        ground.folder.mkdir()
        try:
            await ground.driver.init_host()
            await settled(ground)
            ground.group.steps_left, ground.group.before = steps, before
            killed = False
            try:
                await call(ground.driver, ground)
            except Killed:
                killed = True

            driver = await ground.restart()
            await call(driver, ground)

            there = await driver._devices.look()
            name = volume_spec(3).name if order == "rename" else ONE
            assert expected == marked(ground, name)
            assert WRITTEN[0] == marked(ground, SNAPSHOT.name)
            assert {} == there.leftovers
            assert {name} == {one.volume for one in there.snapshots.values()}
            assert (order == "export") == there.volume(name).active
            await driver.remove_export(EXPORT.id)
            assert not any(lv.active for lv in (await driver._devices.look()).volumes.values())
        finally:
            await ground.erase()
        if not killed:
            assert steps > 1
            return
    raise AssertionError("it has more steps than were tried")


# -- what only this driver shows


async def test_a_pool_without_metadata_takes_nothing_new(ground: Ground) -> None:
    await ground.driver.ensure(volume_spec(1))
    ground.group.pool_now = msgspec.structs.replace(POOL, metadata_percent=95.5)

    for call in (ground.driver.ensure(volume_spec(2)), ground.driver.ensure_snapshot(SNAPSHOT)):
        with pytest.raises(NoSpace, match="metadata"):
            await call

    stats = await ground.driver.stats()
    assert (POOL.size, 0) == (stats.total_bytes, stats.free_bytes)


async def test_a_device_left_suspended_works_again_after_a_restart(ground: Ground) -> None:
    await ground.driver.ensure(volume_spec(1))
    ground.group._write(msgspec.structs.replace(ground.group._read(f"v0-{ONE}"), suspended=True, active=True))

    driver = await ground.restart()

    assert not (await driver._devices.look()).volume(ONE).suspended


async def test_a_copy_whose_service_died_ends_when_it_starts_again(ground: Ground) -> None:
    await ground.driver.ensure(volume_spec(1))
    await ground.group.clone(f"v0-{ONE}", "h-1", [OURS, HALF], active=True)
    place = ground.driver._place
    await process.spawn(["sh", "-c", "sleep 600", ground.group.path("h-1")], place.sockets, (), place.logs / "copy")

    driver = await ground.restart()

    assert [] == process.words_in(place.sockets, ground.group.path(""))
    assert {} == (await driver._devices.look()).leftovers


async def test_a_pool_that_rests_is_woken_and_one_that_shows_others_data_is_refused(ground: Ground) -> None:
    ground.group.pool_now = msgspec.structs.replace(POOL, active=False)
    await ground.new().init_host()
    assert ["pool"] == ground.group.activated
    ground.group.pool_now = msgspec.structs.replace(POOL, zero=False)
    with pytest.raises(DriverError, match="hands out others' data"):
        await ground.new().init_host()


async def test_a_foreign_logical_volume_becomes_one_of_ours(ground: Ground) -> None:
    await ground.group.create("theirs", 4 * MIB, [], active=True)
    (ground.folder / "group" / "theirs").write_bytes(b"data" + bytes(4 * MIB - 4))

    for _ in range(2):
        facts = await ground.driver.rename("theirs", ONE)
        assert 1 == facts.size_gib

    assert GIB == ground.data(ONE).stat().st_size
    with ground.data(ONE).open("rb") as file:
        assert b"data" == os.pread(file.fileno(), 4, 0)
    with pytest.raises(DriverError):
        await ground.driver.rename("nothing", volume_spec(2).name)
    ground.group._write(
        msgspec.structs.replace(ground.group._read(f"v0-{ONE}"), name="used", tags=frozenset(), open=True)
    )
    with pytest.raises(Rejected, match="uses"):
        await ground.driver.rename("used", volume_spec(2).name)
    (ground.folder / "group" / "used.lv").unlink()


async def test_other_hosts_have_no_way_in_by_a_loopback_address(ground: Ground) -> None:
    await ground.driver.ensure(volume_spec(1))

    with pytest.raises(Rejected, match="loopback"):
        await ground.driver.ensure_export(msgspec.structs.replace(EXPORT, local=False, ip="192.0.2.7"))

    assert () == (await ground.driver.list()).exports


async def test_an_image_that_leads_elsewhere_is_refused_and_leaves_nothing(ground: Ground) -> None:
    image = ground.folder / "image"
    image.write_bytes(
        b"QFI\xfb" + (3).to_bytes(4, "big") + (104).to_bytes(8, "big") + (9).to_bytes(4, "big") + bytes(600)
    )

    with pytest.raises(Rejected):
        await ground.driver.ensure(volume_spec(1, source=FromFile(str(image), "qcow2")))

    assert {} == (await ground.driver._devices.look()).leftovers
    assert () == (await ground.driver.list()).volumes


async def test_an_export_shows_what_the_volume_has_and_is_made_again_after_a_reboot(ground: Ground) -> None:
    await settled(ground)
    connection = await ground.driver.ensure_export(EXPORT)
    await ground.driver.close()
    await daemon.end_others(ground.driver._place, set())
    shutil.rmtree(ground.sockets)
    await ground.group.deactivate(f"v0-{ONE}")

    driver = await ground.restart()

    assert connection == await driver.ensure_export(EXPORT)
    await use(connection, "write -P 9 0 1M", f"read -P {WRITTEN[1][0]} 1M 1")
    with contextlib.suppress(Rejected):
        await driver.revert(SNAPSHOT)
    await use(connection, "read -P 9 0 1M")
