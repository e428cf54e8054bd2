"""Linux kernels as QEMU boots them fastest: the uncompressed ELF inside a bzImage, if it has a PVH entry.

Decides where in a bzImage the kernel proper is (Linux x86 boot protocol, "payload_offset"), how it is packed,
and whether the result can be entered directly (Xen note 18, PHYS32_ENTRY). Unpacking it in the guest would
cost every boot about a second where processors are emulated.
"""

import mmap
import os
import pathlib
import struct

from micronova import command
from micronova.errors import DriverError

ELF_MAGIC = b"\x7fELF"
_BOOT_MAGIC_AT, _BOOT_MAGIC = 0x202, b"HdrS"
_UNPACKERS = {
    b"\x02\x21\x4c\x18": "lz4",
    b"\x1f\x8b\x08\x00": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zX": "xz",
}
_PT_NOTE = 4
_PHYS32_ENTRY = 18
_NOT_PACKED_WELL = (0, 1, 2)
"""Exit codes to bear: after the payload comes its length, of which unpackers complain when all is done."""


def is_elf(kernel: pathlib.Path) -> bool:
    """Whether the file is an ELF file, by content."""
    with kernel.open("rb") as file:
        return file.read(4) == ELF_MAGIC


async def extract(bzimage: pathlib.Path, to: pathlib.Path) -> bool:
    """Whether `to` now holds the kernel inside `bzimage` as an ELF that QEMU can enter directly.

    False, and no file, when the kernel is packed in an unknown way or has no such entry, when the program
    that unpacks it is missing, or when there is no space for it; it then still boots as a bzImage.
    """
    try:
        place = _payload(bzimage)
    except (OSError, ValueError, struct.error):
        return False
    if place is None:
        return False
    offset, length, unpacker = place
    part = to.with_name(f"{to.name}.part{os.getpid()}")
    script = 'tail -c +"$1" "$2" | head -c "$3" | "$4" -d -c > "$5"'
    argv = ["sh", "-c", script, "sh", str(offset + 1), str(bzimage), str(length), unpacker, str(part)]
    try:
        await command.run(argv, wait=60, ok=_NOT_PACKED_WELL)
        if not enters_directly(part):
            return False
        os.replace(part, to)
    except (DriverError, OSError, ValueError, struct.error):
        return False
    finally:
        part.unlink(missing_ok=True)
    return True


def _payload(bzimage: pathlib.Path) -> tuple[int, int, str] | None:
    with bzimage.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
        if image[_BOOT_MAGIC_AT : _BOOT_MAGIC_AT + 4] != _BOOT_MAGIC:
            return None
        setup_sectors = image[0x1F1] or 4
        offset, length = struct.unpack_from("<II", image, 0x248)
        start = (setup_sectors + 1) * 512 + offset
        unpacker = _UNPACKERS.get(image[start : start + 4])
    return None if unpacker is None else (start, length, unpacker)


def enters_directly(kernel: pathlib.Path) -> bool:
    """Whether an ELF kernel carries the note that names its 32-bit entry point (PVH).

    Raises ValueError or struct.error when the file is cut short.
    """
    if not is_elf(kernel):
        return False
    with kernel.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
        if image[4] != 2:
            return False
        (table,) = struct.unpack_from("<Q", image, 0x20)
        size, count = struct.unpack_from("<HH", image, 0x36)
        for index in range(count):
            kind, _flags, offset, _virtual, _physical, length = struct.unpack_from(
                "<IIQQQQ", image, table + index * size
            )
            if kind == _PT_NOTE and _has_entry_note(image[offset : offset + length]):
                return True
    return False


def _has_entry_note(notes: bytes) -> bool:
    at = 0
    while at + 12 <= len(notes):
        name_size, desc_size, kind = struct.unpack_from("<III", notes, at)
        name = notes[at + 12 : at + 12 + name_size]
        if kind == _PHYS32_ENTRY and name == b"Xen\0":
            return True
        at += 12 + (name_size + 3 & ~3) + (desc_size + 3 & ~3)
    return False
