"""Volumes in real guests, as the guests see them, over connections of different kinds and after interruptions."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator

import msgspec
import pytest
from qemu_bench import REAL_GUESTS, QemuBench, boot_of, shown, volume_id

from micronova import command
from micronova.compute.driver import VolumeDisk
from micronova.compute.drivers.qemu import volumes as qemu_volumes
from micronova.errors import DriverError, Rejected
from micronova.testing.compute_kit import ONE
from micronova.volume.driver import GIB, FileConnection, NbdConnection

pytestmark = REAL_GUESTS

WATCH_DISKS = """#!/bin/sh
while :; do
    for disk in /sys/block/[sv]d*; do
        serial=$(cat $disk/serial 2>/dev/null || tail -c +5 $disk/device/vpd_pg80 2>/dev/null)
        case "$serial" in 0000000*) ;; *) continue ;; esac
        now="$serial is $(cat $disk/size) sectors"
        case "$seen" in *"$now"*) continue ;; esac
        seen="$seen $now"
        echo "disk: $now."
        dev=/dev/$(basename $disk)
        echo "holds: $(dd if=$dev bs=16 count=1 2>/dev/null)."
        echo "written by guest" | dd of=$dev bs=512 seek=2 conv=notrunc,fsync 2>/dev/null && echo "wrote: $serial."
    done
    sleep 1
done
"""
SAYS = b"booted from a volume\r\n"
BOOT_SECTOR = bytes.fromhex("fc31c08ed8be167cac84c07406baf803eeebf5f4ebfd") + SAYS
"""Writes what follows it to the first serial port, and halts."""


@contextlib.asynccontextmanager
async def exported(path: pathlib.Path, place: pathlib.Path) -> AsyncIterator[NbdConnection]:
    """The raw file is served by NBD at a unix socket."""
    socket = place / f"{path.stem}.nbd"
    argv = [
        "qemu-nbd",
        "--persistent",
        "--shared=4",
        "--format=raw",
        f"--socket={socket}",
        "--export-name=v",
        str(path),
    ]
    server = await asyncio.create_subprocess_exec(*argv)
    try:
        for _ in range(300):
            if socket.exists():
                break
            await asyncio.sleep(0.1)
        socket.chmod(0o666)
        yield NbdConnection(export="v", path=str(socket))
    finally:
        server.kill()
        await server.wait()
        socket.unlink(missing_ok=True)


def path_of(disk: VolumeDisk) -> pathlib.Path:
    assert isinstance(disk.connection, FileConnection)
    return pathlib.Path(disk.connection.path)


async def test_a_guest_reads_and_writes_a_volume_over_nbd_until_it_is_taken(bench: QemuBench) -> None:
    disk = await bench.volume(1)
    path = path_of(disk)
    with path.open("r+b") as file:
        file.write(b"from the host...")
    await bench.driver.ensure(boot_of(bench, WATCH_DISKS))
    async with exported(path, bench.state) as connection:
        throttled = msgspec.structs.replace(disk, connection=connection, throttle={"iops-total": 2000})

        await bench.driver.attach_volume(ONE, throttled)
        console = await shown(bench, f"wrote: {volume_id(1)[:20]}")
        await bench.driver.detach_volume(ONE, disk.volume_id)

    assert f"{volume_id(1)[:20]} is {GIB // 512} sectors." in console
    assert "holds: from the host...." in console
    assert b"written by guest" == path.read_bytes()[1024:1040]
    assert {} == await qemu_volumes.nodes(bench.driver._monitor(bench.folder(ONE)), disk.volume_id)


async def test_a_scsi_volume_grows_while_the_guest_runs(bench: QemuBench) -> None:
    disk = msgspec.structs.replace(await bench.volume(2), bus="scsi")
    spec = msgspec.structs.replace(boot_of(bench, WATCH_DISKS), volumes=(disk,))
    await bench.driver.ensure(spec)
    await shown(bench, f"{volume_id(2)} is {GIB // 512} sectors.")

    with path_of(disk).open("ab") as file:
        file.truncate(2 * GIB)
    await bench.driver.extend_volume(ONE, disk.volume_id, 2)

    monitor = bench.driver._monitor(bench.folder(ONE))
    assert {2 * GIB} == set((await qemu_volumes.nodes(monitor, disk.volume_id)).values())


async def test_a_guest_sees_that_its_virtio_volume_has_grown(bench: QemuBench) -> None:
    disk = await bench.volume(3)
    await bench.driver.ensure(msgspec.structs.replace(boot_of(bench, WATCH_DISKS), volumes=(disk,)))
    await shown(bench, f"{volume_id(3)[:20]} is {GIB // 512} sectors.")

    with path_of(disk).open("ab") as file:
        file.truncate(2 * GIB)
    await bench.driver.extend_volume(ONE, disk.volume_id, 2)

    assert await shown(bench, f"{volume_id(3)[:20]} is {2 * GIB // 512} sectors.")


async def test_an_encrypted_volume_is_opened_by_its_key_which_is_in_no_file(bench: QemuBench) -> None:
    disk = await bench.volume(4)
    path, key = path_of(disk).with_suffix(".luks"), b"a key that nobody may read"
    secret = path.with_suffix(".secret")
    secret.write_bytes(key)
    options = "key-secret=s,iter-time=10"
    argv = [
        "qemu-img",
        "create",
        "--object",
        f"secret,id=s,file={secret}",
        "-f",
        "luks",
        "-o",
        options,
        str(path),
        "16M",
    ]
    await command.run(argv)
    secret.unlink()
    path.chmod(0o666)
    connection = FileConnection(path=str(path))
    locked = msgspec.structs.replace(disk, connection=connection, encrypted=True)
    await bench.driver.ensure(boot_of(bench, WATCH_DISKS))

    with pytest.raises(DriverError, match="its key was not given"):
        await bench.driver.attach_volume(ONE, locked)
    await bench.driver.attach_volume(ONE, msgspec.structs.replace(locked, key=key))
    console = await shown(bench, f"wrote: {volume_id(4)[:20]}")
    await bench.driver.detach_volume(ONE, disk.volume_id)

    assert f"{volume_id(4)[:20]} is {16 * 2**20 // 512} sectors." in console
    assert b"written by guest" not in path.read_bytes()
    files = [file for file in bench.folder(ONE).path.rglob("*") if file.is_file()]
    assert not [file.name for file in files if file.name != "root.qcow2" and key in file.read_bytes()]


async def test_a_guest_boots_from_a_volume(bench: QemuBench) -> None:
    disk = msgspec.structs.replace(await bench.volume(5), boot_index=0)
    with path_of(disk).open("r+b") as file:
        file.write(BOOT_SECTOR.ljust(510, b"\0") + b"\x55\xaa")
    spec = msgspec.structs.replace(bench.spec(ONE), kernel=None, initrd=None, disk=None, volumes=(disk,))

    await bench.driver.ensure(spec)

    assert await shown(bench, SAYS.decode().strip())


async def test_a_volume_that_cannot_be_reached_leaves_nothing(bench: QemuBench) -> None:
    disk = await bench.volume(6)
    nowhere = msgspec.structs.replace(disk, connection=NbdConnection(export="v", path="/nowhere/socket"))
    await bench.driver.ensure(bench.spec(ONE))

    with pytest.raises(DriverError):
        await bench.driver.attach_volume(ONE, nowhere)

    assert [] == await bench.volumes(ONE)
    assert {} == await qemu_volumes.nodes(bench.driver._monitor(bench.folder(ONE)), disk.volume_id)
    await bench.driver.attach_volume(ONE, disk)


async def test_a_guest_whose_volume_is_gone_does_not_start_and_stays_off(bench: QemuBench) -> None:
    disk = await bench.volume(7)
    spec = msgspec.structs.replace(bench.spec(ONE), volumes=(disk,))
    await bench.driver.ensure(spec, running=False)
    path_of(disk).rename(path_of(disk).with_suffix(".away"))

    with pytest.raises(DriverError, match="can't be used"):
        await bench.driver.ensure(spec)
    off = (await bench.driver.inspect(ONE)).power
    path_of(disk).with_suffix(".away").rename(path_of(disk))

    assert "shutdown" == off
    assert "running" == (await bench.driver.ensure(spec)).power


async def test_a_guest_has_only_so_many_slots_for_volumes(bench: QemuBench) -> None:
    await bench.driver.ensure(bench.spec(ONE))
    disks = [await bench.volume(number) for number in range(1, 9)]

    ended = [await _tried(bench, disk) for disk in disks]

    assert 6 == ended.count("")
    assert 2 == sum("no slot left" in told for told in ended)


async def _tried(bench: QemuBench, disk: VolumeDisk) -> str:
    try:
        await bench.driver.attach_volume(ONE, disk)
    except Rejected as err:
        return err.message
    return ""
