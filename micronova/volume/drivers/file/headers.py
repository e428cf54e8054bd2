"""What the header of one of our own qcow2 files says, read without a tool (QEMU's docs/interop/qcow2.txt)."""

import os
import pathlib
import struct

import msgspec

from micronova.errors import DriverError

_MAGIC = b"QFI\xfb"
_FIXED = struct.Struct(">4sIQIIQIIQ")


class Header(msgspec.Struct, frozen=True):
    """`backing` is the name of the file below, "" for none; `blank`: nothing was ever written to this file itself."""

    size: int
    backing: str
    blank: bool


def read(path: pathlib.Path) -> Header:
    """The file's header. Raises OSError, DriverError when it is none."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        head = os.pread(handle, _FIXED.size, 0)
        if len(head) < _FIXED.size or head[:4] != _MAGIC:
            raise DriverError("a file of this back end is damaged: it is no qcow2 file")
        _, _, name_at, name_length, _, size, _, table_entries, table_at = _FIXED.unpack(head)
        name = os.pread(handle, min(name_length, 1023), name_at) if name_at else b""
        table = os.pread(handle, table_entries * 8, table_at)
    finally:
        os.close(handle)
    return Header(size, name.decode(errors="replace"), not any(table))
