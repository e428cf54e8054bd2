"""What bytes are, by content, and which of them may be opened."""

import struct

import pytest
from image_world import qcow2, vmdk

from micronova.errors import Rejected
from micronova.image.formats import Content, opened_as
from micronova.image.inspection import Inspection

MIB = 1 << 20


def look(data: bytes) -> Content:
    inspection = Inspection()
    for start in range(0, len(data), MIB):
        inspection.feed(data[start : start + MIB])
    return inspection.finish()


def iso() -> bytes:
    head = b"\0" * 32768 + b"\x01CD001\x01" + b"\0" * 73 + struct.pack("<L", 50) + b"\0" * 44 + struct.pack("<H", 2048)
    return head.ljust(MIB, b"\0")


def test_zeros_are_raw_and_as_large_as_they_are() -> None:
    assert Content("raw", MIB) == look(bytes(MIB))
    assert Content("raw", 0) == look(b"")
    assert Content("raw", 3) == look(b"abc")


def test_a_plain_qcow2_tells_its_virtual_size() -> None:
    assert Content("qcow2", 1 << 30) == look(qcow2())
    assert Content("qcow2", 1 << 30) == look(qcow2(version=2))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (qcow2(backing=104), "backing file"),
        (qcow2(features=1 << 2), "data_file"),
        (qcow2(features=1 << 40), "Unknown QCOW2 features"),
        (qcow2(version=1), "Unsupported qcow2 version"),
        (qcow2(virtual_size=2**63), "claims a disk of"),
        (qcow2(virtual_size=2**64 - 1), "claims a disk of"),
        (b"QED\0" + bytes(4096), "not allowed"),
        (vmdk(extent='RW 2048 FLAT "/etc/shadow" 0'), "Invalid extent filenames"),
        (vmdk(kind="monolithicFlat"), "Unsupported subformat"),
        (vmdk(extent="something else"), "Invalid VMDK descriptor"),
        (vmdk(extent=""), "No extents found"),
        (vmdk(at=5), ""),
        (b'# Disk DescriptorFile\ncreateType="monolithicFlat"\nRW 1 FLAT "/etc/shadow" 0\n' * 4, "vmdk"),
    ],
)
def test_what_leads_a_tool_astray_is_unsafe(data: bytes, reason: str) -> None:
    found = look(data)

    assert found.unsafe
    assert reason in found.unsafe
    assert found.virtual_size is None


def test_a_harmless_vmdk_is_known() -> None:
    assert Content("vmdk", 2048 * 512) == look(vmdk())


def test_a_descriptor_hidden_behind_text_confuses_nobody() -> None:
    found = look(b'createType="x"\n'.ljust(600, b" ") + bytes(range(256)) * 8)

    assert found.unsafe or found.format == "unknown"
    with pytest.raises(Rejected):
        opened_as("raw", found.format if not found.unsafe else "vmdk")


def test_boot_sectors_are_plain_bytes_whatever_their_tables_hold() -> None:
    sector = bytes(510) + b"\x55\xaa" + bytes(4096)

    found = look(sector)

    assert Content("gpt", len(sector)) == found
    assert "raw" == opened_as("aki", found.format)


def test_a_disc_is_opened_as_raw_bytes() -> None:
    found = look(iso())

    assert Content("iso", MIB) == found
    assert "raw" == opened_as("iso", found.format)
    assert "raw" == opened_as("raw", found.format)


def test_two_headers_in_one_file_are_opened_by_nobody() -> None:
    both = qcow2(length=32768) + iso()[32768:]

    found = look(both)

    assert "iso+qcow2" == found.format
    for disk_format in ("iso", "qcow2", "raw"):
        with pytest.raises(Rejected):
            opened_as(disk_format, found.format)


@pytest.mark.parametrize(
    ("disk_format", "content", "told"),
    [("raw", "raw", "raw"), ("qcow2", "qcow2", "qcow2"), ("vhd", "vhd", "vpc"), ("ari", "raw", "raw")],
)
def test_matching_content_is_opened_as_what_it_is(disk_format: str, content: str, told: str) -> None:
    assert told == opened_as(disk_format, content)


@pytest.mark.parametrize(
    ("disk_format", "content"),
    [
        ("qcow2", "raw"),
        ("raw", "qcow2"),
        ("vmdk", "qcow2"),
        ("ploop", "raw"),
        (None, "raw"),
        ("raw", ""),
        ("raw", "unknown"),
    ],
)
def test_content_that_does_not_match_is_not_opened(disk_format: str | None, content: str) -> None:
    with pytest.raises(Rejected):
        opened_as(disk_format, content)
