"""iSCSI exports of the LVM driver with real users: passwords, deaths, growth. Files stand in for logical volumes."""

import contextlib
import os
import pathlib
import shutil
import signal
from collections.abc import AsyncIterator

import msgspec
import pytest
from lvm_files import own_address
from qemu_bench import REAL_GUESTS, QemuBench, boot_of, shown, volume_id
from test_qemu_volumes import WATCH_DISKS
from volume_user import opened, use

from micronova import command
from micronova.clock import SystemClock
from micronova.compute.driver import VolumeDisk
from micronova.compute.drivers.qemu import volumes as qemu_volumes
from micronova.errors import DriverError
from micronova.testing.compute_kit import ONE as GUEST
from micronova.testing.volume_ground import export_spec, volume_spec
from micronova.volume.driver import GIB, IscsiConnection
from micronova.volume.drivers import process
from micronova.volume.drivers.locks import Locks
from micronova.volume.drivers.lvm import host
from micronova.volume.drivers.lvm.daemon import ExportRecord
from micronova.volume.drivers.lvm.exports import Exports
from micronova.volume.drivers.lvm.options import LvmOptions
from micronova.volume.drivers.shelf import Shelf
from micronova.volume.drivers.watch import Watch

NEEDED = ("tgtd", "qemu-io", "setpriv", "setsid")
ISCSI = pathlib.Path("/usr/lib/x86_64-linux-gnu/qemu/block-iscsi.so")

pytestmark = [
    *REAL_GUESTS,
    pytest.mark.skipif(any(shutil.which(name) is None for name in NEEDED), reason=f"needs {', '.join(NEEDED)}"),
    pytest.mark.skipif(not ISCSI.exists(), reason="needs QEMU's iSCSI, which is in qemu-block-extra"),
]

ONE, EXPORT = volume_spec(1).name, export_spec(1, 1)


class Files:
    """Files where logical volumes would be."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self.resting: list[str] = []

    async def open(self, volume: str) -> tuple[str, int]:
        path = self._folder / volume
        if not path.exists():
            raise DriverError(f"there is no volume {volume}")
        return str(path), path.stat().st_size

    async def rest(self, volume: str) -> None:
        self.resting.append(volume)

    def data(self, volume: str, offset: int, length: int) -> bytes:
        with (self._folder / volume).open("rb") as file:
            return os.pread(file.fileno(), length, offset)

    def write(self, volume: str, data: bytes) -> None:
        with (self._folder / volume).open("r+b") as file:
            file.write(data)

    def make(self, volume: str, size: int = GIB) -> None:
        path = self._folder / volume
        path.touch()
        os.truncate(path, size)


class Served:
    """The exports of one back end, as its driver has them."""

    def __init__(self, folder: pathlib.Path, options: LvmOptions, files: Files) -> None:
        self.place = host.place(folder, options)
        self._locks = Locks()
        self.watch = Watch(self.place.sockets, self.again)
        shelf = Shelf(folder / "exports", ExportRecord)
        self.exports = Exports(shelf, self.place, options, files, self.watch, SystemClock())
        host.prepare(folder, self.place)
        shelf.prepare()

    async def again(self, volume: str) -> None:
        async with self._locks.held(volume):
            await self.exports.serve(volume)

    async def export(self, number: int, *, read_only: bool = False) -> IscsiConnection:
        spec = export_spec(number, 1, read_only=read_only)
        await self.exports.reserve(spec)
        return (await self.exports.serve(ONE))[spec.id]

    async def pid(self, id: str) -> int | None:
        record = await self.exports.find(id)
        return process.find(record.word, self.place.sockets) if record is not None else None


@pytest.fixture
def options(tmp_path: pathlib.Path) -> LvmOptions:
    sockets = pathlib.Path("/run/micronova") / f"test-{SystemClock().new_id()[:8]}"
    return LvmOptions(address=own_address(), sockets=str(sockets))


@pytest.fixture
def files(tmp_path: pathlib.Path) -> Files:
    made = Files(tmp_path)
    made.make(ONE)
    return made


@pytest.fixture
async def served(tmp_path: pathlib.Path, options: LvmOptions, files: Files) -> AsyncIterator[Served]:
    made = Served(tmp_path / "state", options, files)
    try:
        yield made
    finally:
        await made.watch.close()
        await made.exports.erase()
        shutil.rmtree(options.sockets)


async def test_a_volume_is_used_with_its_password_only(served: Served) -> None:
    connection = await served.export(1)

    await use(connection, "write -P 1 0 1M", "flush", "read -P 1 0 1M", "read -P 0 1M 1M")

    strangers = [
        msgspec.structs.replace(connection, password="0" * 32),
        msgspec.structs.replace(connection, user="another"),
        msgspec.structs.replace(connection, iqn=f"{connection.iqn}0"),
    ]
    for stranger in strangers:
        with pytest.raises(DriverError):
            await use(stranger, "read 0 1M")
    assert connection.password not in arguments()
    assert connection.password not in repr(await served.exports.find(EXPORT.id))


def arguments() -> str:
    """Those of every process of this host."""
    told = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            told.append(path.read_bytes().decode(errors="replace"))
    return "\n".join(told)


async def test_a_daemon_has_no_rights_and_its_secrets_are_roots(served: Served, tmp_path: pathlib.Path) -> None:
    await served.export(1)

    status = pathlib.Path(f"/proc/{await served.pid(EXPORT.id)}/status").read_text()

    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {"0000000000000000"} == {facts[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")}
    assert "1" == facts["NoNewPrivs"]
    folders = (served.place.sockets, served.place.logs, tmp_path / "state")
    assert {0o700} == {folder.stat().st_mode & 0o777 for folder in folders}


async def test_a_removed_export_is_cut_off_and_the_others_are_not(served: Served, files: Files) -> None:
    first, second = await served.export(1), await served.export(2)

    async with opened(first) as user:
        await user.tell("write -P 1 0 1M")
        record = await served.exports.find(export_spec(2, 1).id)
        assert record is not None
        await served.exports.remove(record)
        assert [] == files.resting
        await user.tell("read -P 1 0 1M")

    with pytest.raises(DriverError):
        await use(second, "read 0 1M")
    record = await served.exports.find(EXPORT.id)
    assert record is not None
    await served.exports.remove(record)
    assert [ONE] == files.resting
    assert [] == process.words_in(served.place.sockets, "portal=")
    assert [] == list(served.place.sockets.iterdir())


async def test_two_users_see_each_others_writes_and_a_reader_writes_nothing(served: Served, files: Files) -> None:
    writer, reader = await served.export(1), await served.export(2, read_only=True)

    async with opened(writer) as one, opened(reader) as other:
        await one.tell("write -P 7 0 1M")
        await other.tell("read -P 7 0 1M")

    with pytest.raises((DriverError, AssertionError)):
        await use(msgspec.structs.replace(reader, read_only=False), "write -P 8 0 1M")
    assert bytes([7]) * 4096 == files.data(ONE, 0, 4096)


async def test_a_daemon_that_dies_comes_again_and_nothing_is_lost(served: Served) -> None:
    connection = await served.export(1)
    async with opened(connection) as user:
        for number in range(1, 40):
            if number == 20:
                pid = await served.pid(EXPORT.id)
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
            await user.tell(f"write -P {number} {number * 64}k 64k")
        for number in range(1, 40):
            await user.tell(f"read -P {number} {number * 64}k 64k")

    assert await served.pid(EXPORT.id) not in (None, pid)


async def test_a_volume_that_has_grown_is_seen_by_who_uses_it(served: Served, files: Files) -> None:
    connection = await served.export(1)
    async with opened(connection) as user:
        await user.tell("write -P 1 0 1M")

        files.make(ONE, 2 * GIB)
        await served.exports.serve(ONE)

        await user.tell("read -P 1 0 1M")
        await user.tell("truncate 2G")
        assert "2 GiB" in await user.tell("length")
        await user.tell("write -P 2 2047M 1M")


async def test_a_restart_finds_living_daemons_and_ends_those_of_nobody(
    served: Served, tmp_path: pathlib.Path, options: LvmOptions, files: Files
) -> None:
    connection = await served.export(1)
    await served.export(2)
    pid = await served.pid(EXPORT.id)
    await served.watch.close()
    (tmp_path / "state" / "exports" / f"{export_spec(2, 1).id}.json").unlink()

    later = Served(tmp_path / "state", options, files)
    wanted = await later.exports.recover()
    served = await later.exports.serve(ONE)

    assert {ONE} == wanted
    assert {EXPORT.id: connection} == served
    assert pid == await later.pid(EXPORT.id)
    assert 1 == len(process.words_in(later.place.sockets, "portal="))
    await later.watch.close()


async def test_a_daemon_that_was_never_finished_is_made_anew(served: Served) -> None:
    connection = await served.export(1)
    record = await served.exports.find(EXPORT.id)
    assert record is not None
    await served.watch.close()
    await process.end(record.word, served.place.sockets, by=signal.SIGKILL)
    log = served.place.logs / "half.log"
    await process.spawn(["tgtd", "-f", "-C", "0", "--iscsi", record.word], served.place.sockets, (), log)

    assert {EXPORT.id: connection} == await served.exports.serve(ONE)

    await use(connection, "read -P 0 0 1M")


async def test_what_a_daemon_is_short_of_is_told(served: Served, tmp_path: pathlib.Path) -> None:
    await served.exports.reserve(export_spec(3, 3))

    with pytest.raises(DriverError, match="no volume"):
        await served.exports.serve(volume_spec(3).name)
    (tmp_path / volume_spec(3).name).mkdir()
    with pytest.raises(DriverError, match="did not start"):
        await served.exports.serve(volume_spec(3).name)

    assert [] == process.words_in(served.place.sockets, "portal=")


@pytest.mark.timeout(400)
async def test_a_guest_keeps_its_volume_when_the_daemon_dies_and_sees_it_grow(
    bench: QemuBench, served: Served, files: Files
) -> None:
    await command.run(["ip", "link", "set", "lo", "up"])
    connection = await served.export(1)
    files.write(ONE, b"from the host...")
    disk = VolumeDisk(volume_id=volume_id(1), connection=connection, throttle={"iops-total": 2000})
    await bench.driver.ensure(boot_of(bench, WATCH_DISKS))

    await bench.driver.attach_volume(GUEST, disk)
    console = await shown(bench, f"wrote: {volume_id(1)[:20]}")
    pid = await served.pid(EXPORT.id)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    files.make(ONE, 2 * GIB)
    await served.again(ONE)
    await bench.driver.extend_volume(GUEST, disk.volume_id, 2)
    await shown(bench, f"{volume_id(1)[:20]} is {2 * GIB // 512} sectors.")
    told = arguments()
    await bench.driver.detach_volume(GUEST, disk.volume_id)

    assert "holds: from the host...." in console
    assert b"written by guest" == files.data(ONE, 1024, 16)
    assert {} == await qemu_volumes.nodes(bench.driver._monitor(bench.folder(GUEST)), disk.volume_id)
    assert connection.password not in told
    assert connection.password.encode() not in (bench.folder(GUEST).path / "spec.json").read_bytes()
