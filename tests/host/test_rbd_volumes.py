"""Volumes in a real Ceph cluster of one monitor and one OSD, which is made once for this file and dies often."""

import asyncio
import itertools
import pathlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

import ceph_lab
import msgspec
import pytest
from ceph_lab import CephLab
from qemu_bench import REAL_GUESTS, QemuBench, boot_of, shown
from rbd_bench import WATCH_DISK, bounded, driver_at, dumped, io, until_done, until_full, until_there, whole_blocks
from volume_user import MIB, Writes, opened, use

from micronova import command
from micronova.compute.driver import VolumeDisk
from micronova.compute.drivers.qemu import process as qemu_process
from micronova.errors import DriverError, NoSpace, Rejected
from micronova.guestimage import tiny
from micronova.testing.compute_kit import ONE as SERVER
from micronova.testing.volume_ground import export_spec, snapshot_spec, volume_spec
from micronova.testing.volume_kit import VolumeDriverKit
from micronova.volume.driver import GIB, Encryption, FromFile, FromSnapshot, FromVolume, RbdConnection, VolumeDriver
from micronova.volume.drivers import luks
from micronova.volume.drivers.rbd.driver import RbdVolumeDriver
from micronova.volume.drivers.rbd.options import RbdOptions
from micronova.volume.drivers.reading import ToolReader
from micronova.volume.drivers.steps import in_thread

pytestmark = [
    pytest.mark.host,
    pytest.mark.timeout(400),
    pytest.mark.skipif(bool(ceph_lab.missing()), reason=ceph_lab.missing() or "-"),
]
ONE, EXPORT = volume_spec(1).name, export_spec(1, 1)


@pytest.fixture(scope="module")
def lab(place: pathlib.Path) -> Iterator[CephLab]:
    made = CephLab(place / "ceph")
    try:
        made.begin()
        yield made
    finally:
        made.end()


@pytest.fixture(autouse=True)
def _in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands don't ask the monitors for a configuration that they don't have: a sixth less to do."""
    monkeypatch.setenv("CEPH_ARGS", "--no-mon-config")


@pytest.fixture(scope="module")
def options(lab: CephLab) -> RbdOptions:
    words = {"conf": str(lab.conf), "keyring": str(lab.keyring), "monitors": lab.monitors}
    return RbdOptions(pool=ceph_lab.POOL, user=ceph_lab.USER, **words)


@pytest.fixture
async def driver(tmp_path: pathlib.Path, options: RbdOptions) -> AsyncIterator[RbdVolumeDriver]:
    made = driver_at(tmp_path / "host", options)
    await in_thread(made._prepare)  # the rest of its beginning is a test's own, for it takes a while
    try:
        yield made
    finally:
        await made.erase()


@pytest.fixture
def hasty(driver: RbdVolumeDriver, options: RbdOptions) -> RbdVolumeDriver:
    """The same back end for one who does not wait."""
    return driver_at(driver._folder, msgspec.structs.replace(options, timeout=2))


class TestTheContract(VolumeDriverKit):
    turns = 2  # a call's first turns only start a command; what a dead one leaves has tests of its own

    async def restarted(self, driver: VolumeDriver) -> VolumeDriver:
        assert isinstance(driver, RbdVolumeDriver)
        await driver.close()
        later = driver_at(driver._folder, driver.options)
        await later.init_host()
        return later

    async def write(self, driver: VolumeDriver, name: str, offset: int, data: bytes) -> None:
        path = pathlib.Path(self.new_path())
        path.write_bytes(data)
        await io(driver, FromVolume(name), f"write -s {path} {offset} {len(data)}")

    async def read(
        self, driver: VolumeDriver, source: FromVolume | FromSnapshot, ranges: Sequence[tuple[int, int]]
    ) -> list[bytes]:
        found = dumped(await io(driver, source, *(f"read -v {offset} {length}" for offset, length in ranges)))
        ends = list(itertools.accumulate(length for _, length in ranges))
        return [found[end - length : end] for end, (_, length) in zip(ends, ranges, strict=True)]

    async def fill(self, driver: VolumeDriver) -> None:
        assert isinstance(driver, RbdVolumeDriver)
        driver.options = msgspec.structs.replace(driver.options, reserve_mib=1 << 40)
        await driver.stats()


# -- data


async def test_a_snapshot_in_use_has_what_was_acknowledged_and_nothing_later(
    driver: RbdVolumeDriver, tmp_path: pathlib.Path
) -> None:
    await driver.ensure(volume_spec(1))
    connection = await driver.ensure_export(EXPORT)

    async with opened(connection) as user:
        async with Writes(user).under_way() as writes:
            before = writes.done
            await driver.ensure_snapshot(snapshot_spec(1, 1))
            after = writes.done
        done = writes.done
        await driver.ensure(volume_spec(2, size_gib=2, source=FromVolume(ONE)))
        copy, read = tmp_path / "now", tmp_path / "read"
        await driver.copy_out(FromVolume(ONE), str(copy), "raw")
        await user.tell("flush")
        await ToolReader().bring(connection, str(read))

    kept = tmp_path / "kept"
    await driver.copy_out(FromSnapshot(snapshot_spec(1, 1).name, ONE), str(kept), "raw")
    there = whole_blocks(kept)
    assert before <= there <= after + 1
    assert (done, done) == (whole_blocks(copy), whole_blocks(read))
    await driver.remove_export(EXPORT.id)
    await driver.revert(snapshot_spec(1, 1))
    await driver.extend(ONE, 2)
    ends = (f"read -P {there % 250 + 1} {there * 64}k 64k", "read -P 0 100M 1M", f"read -P 0 {2 * GIB - MIB} 1M")
    await use(await driver.ensure_export(EXPORT), *ends)
    copied = f"read -P {done % 250 + 1} {done * 64}k 64k"
    await use(await driver.ensure_export(export_spec(2, 2)), copied, f"read -P 0 {2 * GIB - MIB} 1M")


async def test_copies_of_copies_get_data_of_their_own_and_files_go_in_and_out(
    driver: RbdVolumeDriver, tmp_path: pathlib.Path
) -> None:
    shallow = driver_at(driver._folder, msgspec.structs.replace(driver.options, depth=1))
    raw, image, back = tmp_path / "raw", tmp_path / "image", tmp_path / "back"
    raw.write_bytes(b"\7" * MIB + bytes(MIB) + b"\x08" * 1000)
    await command.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", str(raw), str(image)])
    await shallow.ensure(volume_spec(1, source=FromFile(str(image), "qcow2")))
    for number in (2, 3):
        await shallow.ensure(volume_spec(number, source=FromVolume(volume_spec(number - 1).name)))

    standing = [(await shallow._images.get(volume_spec(number).name)).parent for number in (1, 2, 3)]
    small = tmp_path / "small"
    small.write_bytes(b"\x09" * 5000)
    await shallow.copy_in(volume_spec(2).name, str(small), "raw")
    await shallow.copy_out(FromVolume(volume_spec(3).name), str(back), "qcow2")

    assert [False, True, False] == [bool(parent) for parent in standing]
    await io(shallow, FromVolume(volume_spec(2).name), "read -P 0 8k 3M", "read -P 9 0 5000")
    told = await command.run(["qemu-io", "-f", "qcow2", "-c", "read -P 7 0 1M", "-c", "read -P 8 2M 1000", str(back)])
    assert b"failed" not in told
    with pytest.raises(Rejected):
        await shallow.ensure(volume_spec(4, source=FromFile(str(raw), "qcow2")))


async def test_a_luks_volume_opens_with_its_key_only_and_copies_have_the_same(
    driver: RbdVolumeDriver, tmp_path: pathlib.Path
) -> None:
    key = Encryption(key=b"\x07secret!" * 4)
    plain = tmp_path / "plain"
    plain.write_bytes(b"\5" * MIB)
    await driver.ensure(msgspec.structs.replace(volume_spec(1, source=FromFile(str(plain), "raw")), encryption=key))
    copy = msgspec.structs.replace(volume_spec(2, size_gib=2, source=FromVolume(ONE)), encryption=key)
    await driver.ensure(copy)
    await driver.extend(ONE, 3)

    there = {volume.name: volume.size_gib for volume in (await driver.list()).volumes}

    assert {ONE: 3, volume_spec(2).name: 2} == there
    for name, length in ((ONE, b"3 GiB"), (volume_spec(2).name, b"2 GiB")):
        options = driver.options
        image = f"driver=luks,key-secret=k,file.driver=rbd,file.pool={options.pool},file.image={name}"
        image += f",file.user={options.user},file.conf={tmp_path / 'conf'}"
        (tmp_path / "conf").write_text(f"{pathlib.Path(options.conf).read_text()}keyring = {options.keyring}\n")
        argv = ["qemu-io", "--object", "secret,id=k,file=/dev/stdin", "-c", "length", "-c", "read -P 5 0 1M"]
        told = await command.run([*argv, "--image-opts", image], stdin=luks.passphrase(key))
        assert b"failed" not in told
        assert length in told
        assert b"\5" * 4096 not in dumped(await io(driver, FromVolume(name), "read -v 1970k 100k"))
    assert [] == list((driver._folder / "copies").iterdir())


async def test_who_still_uses_a_volume_is_cut_off_and_the_volume_can_go(driver: RbdVolumeDriver) -> None:
    await driver.ensure(volume_spec(1))
    connection = await driver.ensure_export(EXPORT)
    async with opened(connection) as user:
        await user.tell("write -P 1 0 1M")

        await driver.remove_export(EXPORT.id)

        with pytest.raises(AssertionError):
            await user.tell("write -P 2 0 1M")
        await driver.remove(ONE)

    assert () == (await driver.list()).volumes


# -- others, and what the dead leave


async def test_hosts_share_a_pool_and_leave_alone_what_is_not_theirs(
    driver: RbdVolumeDriver, tmp_path: pathlib.Path, lab: CephLab
) -> None:
    other = driver_at(tmp_path / "other", driver.options, host="two")
    await other.init_host()
    await driver.ensure(volume_spec(1))
    await other.ensure(volume_spec(2))
    lab.rbd("create", "--size", "1500M", "theirs")
    try:
        await driver.init_host()
        mine = await driver.list()
        facts = await other.rename("theirs", volume_spec(3).name)
        await driver.erase()

        assert [ONE, "theirs"] == [volume.name for volume in mine.volumes]
        assert 2 == facts.size_gib
        found = await other.list()
        assert [volume_spec(2).name, volume_spec(3).name] == [volume.name for volume in found.volumes]
    finally:
        await other.erase()
    assert "" == lab.rbd("ls").strip()


async def test_what_died_half_way_is_made_anew_or_completed(driver: RbdVolumeDriver, lab: CephLab) -> None:
    half, copy, old, new = (volume_spec(number).name for number in (1, 2, 3, 4))
    await driver.ensure(volume_spec(1))
    lab.rados("rm", f"rbd_id.{half}")
    await driver.ensure(volume_spec(3))
    await io(driver, FromVolume(old), "write -P 3 0 1M")
    await driver._notes.begin(copy)
    lab.rbd("create", "--size", "1G", copy)
    lab.rbd("snap", "create", f"{old}@{driver._mark}left")
    lab.rados("get", f"rbd_id.{old}", str(lab.folder / "id"))
    lab.rados("put", f"rbd_id.{new}", str(lab.folder / "id"))

    await driver.ensure(volume_spec(1))
    await driver.rename(old, new)
    lab.rados("put", f"rbd_id.{old}", str(lab.folder / "id"))
    await driver.rename(old, new)
    later = driver_at(driver._folder, driver.options)
    await later.init_host()

    assert [half, new] == [volume.name for volume in (await later.list()).volumes]
    await io(later, FromVolume(half), "read -P 0 0 1M")
    await io(later, FromVolume(new), "read -P 3 0 1M")
    assert "" == lab.rbd("snap", "ls", new).strip()


# -- a cluster that is away


@pytest.mark.parametrize("kind", ["mon", "osd"])
async def test_a_cluster_that_hangs_is_told_soon_and_all_converges_when_it_is_back(
    driver: RbdVolumeDriver, hasty: RbdVolumeDriver, lab: CephLab, tmp_path: pathlib.Path, kind: str
) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"\6" * MIB)
    await driver.ensure(volume_spec(1))
    calls: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: hasty.ensure(volume_spec(2, source=FromVolume(ONE))),
        lambda: hasty.ensure(volume_spec(3, source=FromFile(str(image), "raw"))),
        lambda: hasty.ensure_snapshot(snapshot_spec(1, 1)),
        lambda: hasty.ensure_export(EXPORT),
        hasty.list,
    )
    calls = calls if kind == "osd" else calls[2:]
    lab.pause(kind)
    try:
        told = await asyncio.gather(*(bounded(call()) for call in calls))
        copied = await bounded(hasty.copy_out(FromVolume(ONE), str(tmp_path / "out"), "raw"))
        if kind == "mon":
            told.append(await bounded(hasty.stats()))
    finally:
        lab.resume(kind)

    assert {"the Ceph cluster did not answer within 2 s"} == set(told)
    assert "did not answer" in copied
    assert not (tmp_path / "out").exists()
    for call in calls:
        async with asyncio.timeout(100):
            await until_done(call)
    there = await driver.list()
    assert (len(calls) - 2, 1, 1) == (len(there.volumes), len(there.snapshots), len(there.exports))
    if kind == "osd":
        await io(driver, FromVolume(volume_spec(3).name), "read -P 6 0 1M")


async def test_daemons_killed_under_writes_lose_nothing_and_a_copy_that_was_under_way_is_made_anew(
    driver: RbdVolumeDriver, hasty: RbdVolumeDriver, lab: CephLab, tmp_path: pathlib.Path
) -> None:
    image = tmp_path / "image"
    image.write_bytes(b"\4" * 96 * MIB)
    await driver.ensure(volume_spec(1))
    connection = await driver.ensure_export(EXPORT)
    source = FromFile(str(image), "raw")

    async with opened(connection) as user:
        for number in (1, 2, 3):
            await user.tell(f"write -P {number} {number}M 1M")
        making = asyncio.ensure_future(hasty.ensure(volume_spec(2, source=source)))
        async with asyncio.timeout(100):
            await until_there(driver, volume_spec(2).name)
        lab.kill("osd")
        writing = asyncio.ensure_future(user.tell("write -P 4 4M 1M"))
        refused = await bounded(making)
        await asyncio.to_thread(lab.start, "osd")
        await writing
        lab.kill("mon")
        away = await bounded(hasty.list())
        await user.tell("write -P 5 5M 1M")
        await asyncio.to_thread(lab.start, "mon")
        for number in (1, 2, 3, 4, 5):
            await user.tell(f"read -P {number} {number}M 1M")

    async with asyncio.timeout(100):
        await until_done(lambda: driver.ensure(volume_spec(2, source=source)))
    assert ("did not answer" in refused, "did not answer" in away) == (True, True)
    await use(await driver.ensure_export(export_spec(2, 2)), "read -P 4 0 96M", "read -P 0 96M 100M")
    assert 2 == len((await driver.list()).volumes)


async def test_a_full_cluster_says_so(hasty: RbdVolumeDriver, driver: RbdVolumeDriver, lab: CephLab) -> None:
    await driver.ensure(volume_spec(1))
    lab.ceph("osd set-nearfull-ratio 0.0001", "osd set-backfillfull-ratio 0.0002", "osd set-full-ratio 0.0003")
    try:
        async with asyncio.timeout(100):
            await until_full(hasty, full=True)

        with pytest.raises(NoSpace):
            await hasty.ensure(volume_spec(2))
        await hasty.remove(ONE)
    finally:
        lab.ceph("osd set-full-ratio 0.95", "osd set-backfillfull-ratio 0.9", "osd set-nearfull-ratio 0.85")
        async with asyncio.timeout(100):
            await until_full(driver, full=False)
    assert () == (await driver.list()).volumes


@pytest.mark.parametrize("wrong", ["pool", "user", "keyring", "open keyring"])
async def test_what_an_operator_got_wrong_is_told(
    options: RbdOptions, tmp_path: pathlib.Path, lab: CephLab, wrong: str
) -> None:
    ring = tmp_path / "ring"
    ring.write_text(lab.keyring.read_text().replace("cinder", "nobody"))
    ring.chmod(0o644 if wrong == "open keyring" else 0o600)
    changes, words = {
        "pool": ({"pool": "nothing"}, "has no pool nothing"),
        "user": ({"user": "nobody", "keyring": str(ring)}, "does not let nobody"),
        "keyring": ({"keyring": str(tmp_path / "nothing")}, "can't be read"),
        "open keyring": ({"keyring": str(ring)}, "open to everybody"),
    }[wrong]
    driver = driver_at(tmp_path / "copies", msgspec.structs.replace(options, **changes))

    with pytest.raises(DriverError, match=words):
        await driver.init_host()


# -- a guest


class TestAGuest:
    pytestmark = REAL_GUESTS

    async def test_uses_a_volume_that_grows_and_is_kept_and_its_key_is_nowhere(
        self, driver: RbdVolumeDriver, place: pathlib.Path, image: tiny.TinyImage
    ) -> None:
        await driver.ensure(volume_spec(1))
        connection = await driver.ensure_export(EXPORT)
        assert isinstance(connection, RbdConnection)
        bench = QemuBench(place / "rbd-guests", image)
        await bench.driver.init_host()
        try:
            await bench.driver.ensure(boot_of(bench, WATCH_DISK))
            nowhere = msgspec.structs.replace(connection, monitors=(f"127.0.0.1:{ceph_lab.free_port()}",))
            with pytest.raises(DriverError, match="no monitor"):
                await bench.driver.attach_volume(SERVER, VolumeDisk(volume_id=ONE, connection=nowhere))
            await bench.driver.attach_volume(SERVER, VolumeDisk(volume_id=ONE, connection=connection))
            await shown(bench, "wrote.")
            await driver.ensure_snapshot(snapshot_spec(1, 1))
            await driver.extend(ONE, 2)
            await bench.driver.extend_volume(SERVER, ONE, 2)
            await shown(bench, f"disk: {2 * GIB // 512} sectors.")
            pid = qemu_process.find(bench.folder(SERVER))
            words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
            files = [
                path.read_bytes()
                for path in bench.folder(SERVER).path.iterdir()
                if path.suffix != ".qcow2" and path.is_file()
            ]
            await bench.driver.detach_volume(SERVER, ONE)
            watchers = await driver._images.block_clients(ONE)
        finally:
            await bench.erase()

        key = pathlib.Path(connection.keyring).read_text().partition("key = ")[2].split()[0].encode()
        assert [] == [one for one in (words, *files) if key in one]
        assert 0 == watchers
        for source in (FromVolume(ONE), FromSnapshot(snapshot_spec(1, 1).name, ONE)):
            assert b"written by guest" == dumped(await io(driver, source, "read -v 1024 16"))
