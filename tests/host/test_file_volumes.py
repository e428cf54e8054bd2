"""Volumes in files with real users: daemons, sockets, TLS, writes going on while they are changed, deaths."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator

import msgspec
import pytest
import volume_certificates
from volume_user import KIB, MIB, Writes, opened, use, words

from micronova import command
from micronova.clock import SystemClock
from micronova.errors import DriverError, NoSpace, Rejected
from micronova.testing.volume_ground import export_spec, snapshot_spec, volume_spec
from micronova.volume.driver import GIB, Encryption, FromFile, FromSnapshot, FromVolume
from micronova.volume.drivers import luks, process
from micronova.volume.drivers.file.driver import FileVolumeDriver
from micronova.volume.drivers.file.options import FileOptions

NEEDED = ("qemu-img", "qemu-io", "qemu-storage-daemon", "setpriv", "setsid", "mount")

pytestmark = [
    pytest.mark.host,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(any(shutil.which(name) is None for name in NEEDED), reason=f"needs {', '.join(NEEDED)}"),
]

ONE, EXPORT = volume_spec(1).name, export_spec(1, 1)


@pytest.fixture
async def driver(tmp_path: pathlib.Path) -> AsyncIterator[FileVolumeDriver]:
    made = FileVolumeDriver(tmp_path / "pool", SystemClock())
    await made.init_host()
    try:
        yield made
    finally:
        await made.erase()


def daemon_of(driver: FileVolumeDriver, volume: str) -> int | None:
    return process.find(f"chardev=volume-{volume},mode=control", driver._layers.folder)


async def chain_of(driver: FileVolumeDriver, volume: str) -> tuple[str, ...]:
    return driver._layers.chain(driver._records.volume(volume).layer)


async def copied(driver: FileVolumeDriver, source: FromVolume | FromSnapshot, path: pathlib.Path) -> bytes:
    """The first MiBs of a source."""
    await driver.copy_out(source, str(path), "raw")
    with path.open("rb") as file:
        data = file.read(64 * MIB)
    path.unlink()
    return data


async def test_what_is_written_is_there_at_the_next_attachment(driver: FileVolumeDriver) -> None:
    await driver.ensure(volume_spec(1))

    for turn in (1, 2, 3):
        connection = await driver.ensure_export(export_spec(turn, 1))
        checks = [f"read -P {old} {old}M 1M" for old in range(1, turn)]
        await use(connection, *checks, f"write -P {turn} {turn}M 1M", "read -P 0 900M 1M")
        await driver.remove_export(export_spec(turn, 1).id)

    assert daemon_of(driver, ONE) is None
    with pytest.raises(DriverError):
        await use(connection, "read 0 1M")


async def test_a_daemon_has_no_rights_and_no_way_in_for_others(driver: FileVolumeDriver) -> None:
    await driver.ensure(volume_spec(1))
    connection = await driver.ensure_export(EXPORT)

    status = pathlib.Path(f"/proc/{daemon_of(driver, ONE)}/status").read_text()

    facts = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert "0" not in facts["Uid"].split()
    assert {"0000000000000000"} == {facts[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")}
    assert ("1", "") == (facts["NoNewPrivs"], facts["Groups"].strip())
    sockets = pathlib.Path(connection.path).parent
    assert 0o711 == sockets.stat().st_mode & 0o777
    modes = {path.suffix: path.stat().st_mode & 0o777 for path in sockets.iterdir()}
    assert {".ctl": 0o600, ".nbd": 0o660} == modes
    stranger = ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups", "qemu-io", "-c", "read 0 1M"]
    with pytest.raises(DriverError, match="Permission denied"):
        await command.run([*stranger, *words(connection)])


async def test_a_snapshot_in_use_has_what_was_acknowledged_and_nothing_later(
    driver: FileVolumeDriver, tmp_path: pathlib.Path
) -> None:
    await driver.ensure(volume_spec(1))
    connection = await driver.ensure_export(EXPORT)

    async with opened(connection) as user:
        async with Writes(user).under_way() as writes:
            before = writes.done
            await driver.ensure_snapshot(snapshot_spec(1, 1))
            after = writes.done
        done = writes.done

    data = await copied(driver, FromSnapshot(snapshot_spec(1, 1).name, ONE), tmp_path / "copy")
    blocks = [data[number * 64 * KIB : (number + 1) * 64 * KIB] for number in range(1, 1000)]
    whole = [block == bytes([number % 250 + 1]) * 64 * KIB for number, block in enumerate(blocks, 1)]
    there = [*whole, False].index(False)
    # The write that was under way may be in it, whole or in part; beyond it there is nothing.
    assert before <= there <= after + 1
    assert all(block == bytes(64 * KIB) for block in blocks[there + 1 :])
    await use(connection, *(f"read -P {number % 250 + 1} {number * 64}k 64k" for number in range(1, done + 1)))


@pytest.mark.parametrize("killed", [False, True])
async def test_layers_of_removed_snapshots_are_merged_while_the_volume_is_in_use(
    driver: FileVolumeDriver, killed: bool
) -> None:
    await driver.ensure(volume_spec(1))
    connection = await driver.ensure_export(EXPORT)
    async with opened(connection) as user:
        for number in (1, 2, 3, 4, 5):
            await user.tell(f"write -P {number} {number}M 1M")
            await driver.ensure_snapshot(snapshot_spec(number, 1))
        await user.tell("write -P 9 0 64k")

        await user.tell("flush")
        if killed:
            os.kill(daemon_of(driver, ONE) or 0, signal.SIGKILL)
            await user.tell("read -P 9 0 64k")

        lengths = [len(await chain_of(driver, ONE))]
        for number in (2, 4, 5, 1, 3):
            await driver.remove_snapshot(snapshot_spec(number, 1))
            lengths.append(len(await chain_of(driver, ONE)))

        await user.tell("write -P 8 64k 64k")
        seen = [f"read -P {number} {number}M 1M" for number in (1, 2, 3, 4, 5)]
        for order in (*seen, "read -P 9 0 64k", "read -P 8 64k 64k"):
            await user.tell(order)
    assert [6, 5, 4, 3, 3, 2] == lengths
    assert 2 == len(driver._layers.names())

    await driver.remove_export(EXPORT.id)
    await use(await driver.ensure_export(EXPORT), *seen, "read -P 9 0 64k", "read -P 8 64k 64k")


async def test_an_idle_volume_is_one_file_again_when_its_snapshots_are_gone(driver: FileVolumeDriver) -> None:
    await driver.ensure(volume_spec(1))
    for number in (1, 2, 3):
        await use(await driver.ensure_export(EXPORT), f"write -P {number} {number}M 1M")
        await driver.remove_export(EXPORT.id)
        await driver.ensure_snapshot(snapshot_spec(number, 1))
    await driver.extend(ONE, 3)

    for number in (2, 1, 3):
        await driver.remove_snapshot(snapshot_spec(number, 1))

    assert 1 == len(driver._layers.names())
    await use(await driver.ensure_export(EXPORT), *(f"read -P {n} {n}M 1M" for n in (1, 2, 3)), "read -P 0 2G 1M")


async def test_copies_of_a_volume_in_use_go_their_own_ways(driver: FileVolumeDriver) -> None:
    await driver.ensure(volume_spec(1))
    first = await driver.ensure_export(EXPORT)
    async with opened(first) as user:
        await user.tell("write -P 1 0 1M")
        for number in (2, 3):
            await driver.ensure(volume_spec(number, source=FromVolume(ONE)))
        await user.tell("write -P 7 0 1M")
        second = await driver.ensure_export(export_spec(2, 2))
        await use(second, "read -P 1 0 1M", "write -P 2 0 1M", "read -P 2 0 1M")
        await user.tell("read -P 7 0 1M")
    third = await driver.ensure_export(export_spec(3, 3))
    await use(third, "read -P 1 0 1M")

    for number in (1, 2, 3):
        await driver.remove_export(export_spec(number, number).id)
        await driver.remove(volume_spec(number).name)

    assert [] == driver._layers.names()


async def test_a_volume_grows_under_its_user(driver: FileVolumeDriver) -> None:
    await driver.ensure(volume_spec(1))
    connection = await driver.ensure_export(EXPORT)
    async with opened(connection) as user:
        await user.tell("write -P 5 1023M 1M")

        await driver.extend(ONE, 2)

        await user.tell("read -P 5 1023M 1M")
        await use(connection, "read -P 5 1023M 1M", "read -P 0 1024M 1M", "write -P 6 2047M 1M")
        await user.tell("write -P 4 0 1M")
    await use(connection, "read -P 4 0 1M", "read -P 6 2047M 1M")


@pytest.mark.parametrize("layers", [1, 3])
async def test_a_killed_daemon_is_started_again_under_writes_and_nothing_is_lost(
    driver: FileVolumeDriver, layers: int
) -> None:
    await driver.ensure(volume_spec(1))
    connection = await driver.ensure_export(EXPORT)
    for number in range(1, layers):
        await driver.ensure_snapshot(snapshot_spec(number, 1))
    async with opened(connection) as user:
        for number in range(1, 100):
            if number in (30, 60):
                if layers > 1:
                    await user.tell("flush")  # a raw file needs no such thing
                pid = daemon_of(driver, ONE)
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
            await user.tell(f"write -P {number} {number * 64}k 64k")
        for number in range(1, 100):
            await user.tell(f"read -P {number} {number * 64}k 64k")

    assert layers == len(await chain_of(driver, ONE))


async def test_daemons_outlive_the_service_and_are_known_again(
    driver: FileVolumeDriver, tmp_path: pathlib.Path
) -> None:
    for number in (1, 2):
        await driver.ensure(volume_spec(number))
    connection = await driver.ensure_export(EXPORT)
    await driver.ensure_export(export_spec(2, 2))
    pid, orphan = (daemon_of(driver, volume_spec(number).name) for number in (1, 2))
    await driver.close()
    driver._records.exports.drop(export_spec(2, 2).id)

    later = FileVolumeDriver(tmp_path / "pool", SystemClock())
    await later.init_host()

    try:
        assert pid == daemon_of(later, ONE)
        assert connection == await later.ensure_export(EXPORT)
        assert orphan is not None
        assert daemon_of(later, volume_spec(2).name) is None
        await later.close()
        os.kill(pid or 0, signal.SIGKILL)
        await later.init_host()
        await use(connection, "read -P 0 0 1M", patience=60)
    finally:
        await later.close()


async def test_a_service_that_died_between_its_record_and_the_daemon_is_completed(
    driver: FileVolumeDriver, tmp_path: pathlib.Path
) -> None:
    await driver.ensure(volume_spec(1))
    connection = await driver.ensure_export(EXPORT)
    async with opened(connection) as user:
        await user.tell("write -P 1 0 1M")
        await driver.close()
        record = driver._records.volume(ONE)
        top = await driver._layers.on_top(record.layer, record.total)
        driver._records.volumes.put(ONE, msgspec.structs.replace(record, layer=top))
        await user.tell("write -P 2 1M 1M")

        later = FileVolumeDriver(tmp_path / "pool", SystemClock())
        await later.init_host()

        try:
            await later.ensure_snapshot(snapshot_spec(1, 1))
            await user.tell("write -P 3 0 1M")
            data = await copied(later, FromSnapshot(snapshot_spec(1, 1).name, ONE), tmp_path / "copy")
        finally:
            await later.close()
    assert [bytes([1]) * MIB, bytes([2]) * MIB] == [data[:MIB], data[MIB : 2 * MIB]]


async def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    await command.run(["mount", "-t", "tmpfs", "-o", "size=3m,mode=755", "tmpfs", str(folder)])
    driver = FileVolumeDriver(folder, SystemClock(), FileOptions(reserve_mib=0))
    image = tmp_path / "image"
    image.write_bytes(b"data" * MIB)
    try:
        await driver.init_host()
        await driver.ensure(volume_spec(1))
        before = sorted(path for path in folder.rglob("*") if path.is_file())

        with pytest.raises(NoSpace):
            await driver.ensure(volume_spec(2, source=FromFile(str(image), "raw")))
        with pytest.raises(NoSpace):
            await driver.copy_in(ONE, str(image), "raw")
        (folder / "filler").write_bytes(bytes(2 * MIB))
        with contextlib.suppress(OSError):
            (folder / "filler2").write_bytes(bytes(2 * MIB))
        for call in (
            driver.ensure(volume_spec(3)),
            driver.ensure(volume_spec(3, source=FromVolume(ONE))),
            driver.ensure_snapshot(snapshot_spec(1, 1)),
        ):
            with pytest.raises(NoSpace):
                await call

        for name in ("filler", "filler2"):
            (folder / name).unlink()
        assert before == sorted(path for path in folder.rglob("*") if path.is_file())
        assert [ONE] == [one.name for one in (await driver.list()).volumes]
    finally:
        await driver.erase()
        await command.run(["umount", str(folder)])


@pytest.mark.slow
async def test_a_luks_volume_opens_with_its_key_only_and_the_key_is_nowhere(
    driver: FileVolumeDriver, tmp_path: pathlib.Path
) -> None:
    key = Encryption(key=b"\x07secret!" * 4)
    image = tmp_path / "image"
    image.write_bytes(b"\5" * MIB)
    await driver.ensure(msgspec.structs.replace(volume_spec(1, source=FromFile(str(image), "raw")), encryption=key))
    await driver.ensure(msgspec.structs.replace(volume_spec(2), encryption=key))
    await driver.ensure(msgspec.structs.replace(volume_spec(3, source=FromVolume(ONE)), encryption=key))
    await driver.ensure(volume_spec(4, source=FromFile(str(image), "raw")))
    await driver.ensure(msgspec.structs.replace(volume_spec(5, source=FromVolume(volume_spec(4).name)), encryption=key))

    for number in (1, 3, 5):
        connection = await driver.ensure_export(export_spec(number, number))
        image_words = (
            f"driver=luks,key-secret=k,file.driver=nbd,file.server.type=unix,file.server.path={connection.path}"
        )
        told = await command.run(
            [
                *("qemu-io", "--object", "secret,id=k,file=/dev/stdin", "-c", "length", "-c", "read -P 5 0 1M"),
                *("--image-opts", f"{image_words},file.export={connection.export}"),
            ],
            stdin=luks.passphrase(key),
        )
        assert b"failed" not in told
        assert b"1 GiB" in told
        assert b"failed" in await command.run(["qemu-io", "-c", "read -P 5 0 1M", *words(connection)], ok=(0, 1))
    assert b"\5" * 4096 not in await copied(driver, FromVolume(volume_spec(3).name), tmp_path / "copy")

    digits = luks.passphrase(key)
    assert [] == [str(path) for path in driver._folder.rglob("*") if path.is_file() and holds(path, digits, key.key)]
    assert all(5 > volume.size_gib for volume in (await driver.list()).volumes)


def holds(path: pathlib.Path, *secrets: bytes) -> bool:
    with path.open("rb") as file:
        data = file.read(8 * MIB)
    return any(secret in data for secret in secrets)


@pytest.fixture
async def reached(tmp_path: pathlib.Path) -> AsyncIterator[FileVolumeDriver]:
    """A driver that other hosts reach with keys of their own."""
    tls = tmp_path / "tls"
    tls.mkdir()
    (tls / "keys.psk").write_text("".join(f"{name}:{SystemClock().secret(32).hex()}\n" for name in ("host2", "host3")))
    options = FileOptions(tls="psk", tls_folder=str(tls), first_port=20900)
    made = FileVolumeDriver(tmp_path / "pool", SystemClock(), options)
    await made.init_host()
    try:
        yield made
    finally:
        await made.erase()


async def test_another_host_reaches_a_volume_with_its_own_key_only(reached: FileVolumeDriver) -> None:
    await reached.ensure(volume_spec(1))
    away = msgspec.structs.replace(EXPORT, local=False, ip="127.0.0.1", initiator="host2")
    here = export_spec(2, 1)

    remote, local = await reached.ensure_export(away), await reached.ensure_export(here)

    await use(remote, "write -P 1 0 1M")
    await use(local, "read -P 1 0 1M", "write -P 2 1M 1M")
    await use(remote, "read -P 2 1M 1M")
    assert remote == await reached.ensure_export(away)
    others = [msgspec.structs.replace(remote, tls_name="host3"), msgspec.structs.replace(remote, export=here.id)]
    for other in others:
        with pytest.raises(DriverError):
            await use(other, "read 0 1M")
    plain = ["qemu-io", "-f", "raw", "-c", "read 0 1M", f"nbd://{remote.host}:{remote.port}/{remote.export}"]
    with pytest.raises(DriverError):
        await command.run(plain)
    with pytest.raises(Rejected):
        await reached.ensure_export(msgspec.structs.replace(away, id="another", initiator="nobody"))
    assert 2 == len((await reached.list()).exports)


async def test_a_way_to_another_host_survives_deaths_and_growth(reached: FileVolumeDriver) -> None:
    await reached.ensure(volume_spec(1))
    away = msgspec.structs.replace(EXPORT, local=False, ip="127.0.0.1", initiator="host2")
    remote = await reached.ensure_export(away)
    async with opened(remote) as user:
        await user.tell("write -P 1 0 1M")
        await user.tell("flush")
        for word in (f"chardev=volume-{ONE},mode=control", f"chardev=front-{EXPORT.id},mode=control"):
            pid = process.find(word, reached._layers.folder)
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            await user.tell("read -P 1 0 1M")
            await user.tell("write -P 1 0 1M")

        await reached.extend(ONE, 2)

        await user.tell("read -P 1 0 1M")
        await use(remote, "read -P 1 0 1M", "write -P 2 2047M 1M")
    await reached.remove_export(EXPORT.id)

    assert [] == process.words_in(reached._layers.folder, "chardev=")
    assert [] == list((reached._folder / "fronts").iterdir())


async def test_another_host_reaches_a_volume_with_a_certificate(tmp_path: pathlib.Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
        volume_certificates.fill(folder, "127.0.0.1")
    options = FileOptions(tls="x509", tls_folder=str(ours), first_port=20950)
    driver = FileVolumeDriver(tmp_path / "pool", SystemClock(), options)
    await driver.init_host()
    try:
        await driver.ensure(volume_spec(1))

        away = await driver.ensure_export(msgspec.structs.replace(EXPORT, local=False, ip="127.0.0.1"))

        await use(away, "write -P 1 0 1M", "read -P 1 0 1M")
        for stranger in (msgspec.structs.replace(away, tls=str(theirs)), msgspec.structs.replace(away, tls_name="x.y")):
            with pytest.raises(DriverError):
                await use(stranger, "read 0 1M")
    finally:
        await driver.erase()


@pytest.fixture
def sharing(tmp_path: pathlib.Path) -> AsyncIterator[pathlib.Path]:
    """A file system that shares blocks between files."""
    maker = next((name for name in ("mkfs.btrfs", "mkfs.xfs") if shutil.which(name)), None)
    if maker is None:
        pytest.skip("needs mkfs.btrfs or mkfs.xfs")
    disk, folder = tmp_path / "disk", tmp_path / "mounted"
    disk.touch()
    os.truncate(disk, 512 * MIB)
    folder.mkdir()
    subprocess.run([maker, "-q", str(disk)], check=True, capture_output=True, timeout=60)
    if subprocess.run(["mount", "-o", "loop", str(disk), str(folder)], check=False, timeout=60).returncode:
        pytest.skip("this kernel can't mount it")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=60)


async def test_where_files_share_blocks_every_volume_and_snapshot_is_a_raw_file(sharing: pathlib.Path) -> None:
    driver = FileVolumeDriver(sharing / "pool", SystemClock(), FileOptions(reserve_mib=1))
    await driver.init_host()
    try:
        await driver.ensure(volume_spec(1))
        connection = await driver.ensure_export(EXPORT)
        async with opened(connection) as user:
            await user.tell("write -P 1 0 100M")
            await driver.ensure_snapshot(snapshot_spec(1, 1))
            await user.tell("write -P 2 0 1M")
            for number in range(2, 12):
                await driver.ensure(volume_spec(number, size_gib=2, source=FromVolume(ONE)))
            source = FromSnapshot(snapshot_spec(1, 1).name, ONE)
            await driver.ensure(volume_spec(20, source=source))
            await user.tell("write -P 3 0 1M")

        await use(
            await driver.ensure_export(export_spec(2, 2)), "read -P 2 0 1M", "read -P 1 1M 99M", "read -P 0 1G 1M"
        )
        await use(await driver.ensure_export(export_spec(20, 20)), "read -P 1 0 100M")
        await driver.remove_export(EXPORT.id)
        await driver.revert(snapshot_spec(1, 1))
        await use(await driver.ensure_export(EXPORT), "read -P 1 0 100M")
        assert {".raw"} == {pathlib.Path(name).suffix for name in driver._layers.names()}
        assert GIB > (await driver.stats()).total_bytes
    finally:
        await driver.erase()
