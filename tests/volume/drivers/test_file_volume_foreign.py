"""Files that would lead a tool elsewhere are refused before one opens them, whoever says that they were looked at."""

import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from micronova.clock import SystemClock
from micronova.errors import DriverError, Rejected
from micronova.testing.volume_ground import volume_spec
from micronova.volume.driver import FromFile
from micronova.volume.drivers import inspected
from micronova.volume.drivers.file.driver import FileVolumeDriver
from micronova.volume.drivers.file.options import FileOptions

GIB = 2**30
CLUSTER = 65536
VMDK = b'# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 2048 FLAT "/etc/shadow" 0\n'


def qcow2(*, size: int = GIB, backing: bytes = b"", features: int = 0, version: int = 3) -> bytes:
    """An image without data whose header says so (QEMU's docs/interop/qcow2.txt)."""
    entries = min(-(-size // (CLUSTER * CLUSTER // 8)), CLUSTER // 8)
    words = (
        b"QFI\xfb",
        version,
        512 if backing else 0,
        len(backing),
        16,
        size,
        0,
        entries,
        3 * CLUSTER,
        CLUSTER,
        1,
        0,
        0,
    )
    head = struct.pack(">4sIQIIQIIQQIIQ", *words) + struct.pack(">QQQII", features, 0, 0, 4, 104)
    head = (head.ljust(512, b"\0") + backing).ljust(CLUSTER, b"\0")
    tables = struct.pack(">Q", 2 * CLUSTER).ljust(CLUSTER, b"\0") + struct.pack(">4H", 1, 1, 1, 1).ljust(CLUSTER, b"\0")
    return head + tables + bytes(CLUSTER)


MALICIOUS = {
    "a backing file": qcow2(backing=b"/etc/shadow"),
    "a backing file by protocol": qcow2(backing=b'json:{"driver":"file","filename":"/etc/shadow"}'),
    "a backing file, version 2": qcow2(backing=b"/etc/shadow", version=2),
    "an external data file": qcow2(features=1 << 2),
    "an unknown feature": qcow2(features=1 << 60),
    "an absurd size": qcow2(size=1 << 62),
    "a VMDK descriptor": VMDK.ljust(CLUSTER, b"\0"),
    "nothing": b"",
    "only its magic": b"QFI\xfb",
    "plain bytes": bytes(CLUSTER),
}


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[FileVolumeDriver]:
    made = FileVolumeDriver(tmp_path / "pool", SystemClock(), FileOptions(shared=True))
    try:
        await made.init_host()
    except DriverError as err:
        pytest.skip(str(err))
    yield made
    await made.erase()


@pytest.mark.parametrize("what", MALICIOUS)
async def test_a_file_with_a_malicious_header_becomes_no_volume(
    driver: FileVolumeDriver, tmp_path: Path, what: str
) -> None:
    path = tmp_path / "image"
    path.write_bytes(MALICIOUS[what])

    with pytest.raises(Rejected):
        await driver.ensure(volume_spec(1, source=FromFile(str(path), "qcow2")))

    there = await driver.list()
    assert ((), [], []) == (there.volumes, driver._layers.names(), driver._layers.drafts())


@pytest.mark.parametrize("what", ["a backing file", "an external data file", "an absurd size"])
async def test_a_file_with_a_malicious_header_is_not_adopted(driver: FileVolumeDriver, what: str) -> None:
    path = driver._folder / "theirs"
    path.write_bytes(MALICIOUS[what])

    with pytest.raises(Rejected):
        await driver.rename("theirs", volume_spec(1).name)

    assert MALICIOUS[what] == path.read_bytes()
    assert () == (await driver.list()).volumes


def test_an_honest_image_shows_its_size(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(qcow2(size=3 * GIB))

    assert 3 * GIB == inspected.disk_size(path, "qcow2")


def test_what_is_said_to_be_raw_is_bytes_whatever_they_are(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(MALICIOUS["a backing file"])

    assert len(MALICIOUS["a backing file"]) == inspected.disk_size(path, "raw")


@pytest.mark.parametrize("format", ["vmdk", "vpc", "luks", ""])
def test_no_other_format_is_opened(tmp_path: Path, format: str) -> None:
    path = tmp_path / "image"
    path.write_bytes(VMDK)

    with pytest.raises(Rejected):
        inspected.disk_size(path, format)


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(DriverError):
        inspected.disk_size(Path("/dev/zero"), "raw")
