"""Files that others made are looked at before any tool opens them, whoever says that they were looked at before.

Whatever can lead a tool elsewhere is refused: a backing file, an external data file, a header that claims an absurd
disk, another format in disguise.
"""

import os
import pathlib
import stat

from micronova.errors import DriverError, Rejected
from micronova.image.formats import LARGEST_DISK, WHOLE_HEADER

FORMATS = ("raw", "qcow2")
_LOOKED_AT = 4
"""Pieces of a file that are looked at: a qcow2 header is in the first."""


def disk_size(path: pathlib.Path, format: str) -> int:
    """Bytes of the disk in the file. Raises OSError, DriverError when it is no file, Rejected when it is unsafe."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise DriverError("the data are no regular file")
        if format == "raw":
            # Opened as raw bytes, whatever they are: no header is interpreted.
            return facts.st_size
        if format not in FORMATS:
            raise Rejected(f"a file of format {format[:20]!r} can't be read here")
        pieces = [file.read(WHOLE_HEADER) for _ in range(_LOOKED_AT)]
    return _claimed([piece for piece in pieces if piece])


def _claimed(pieces: list[bytes]) -> int:
    # Slow to import, and not needed by most hosts' first minutes.
    from micronova.image.inspection import Inspection

    inspection = Inspection()
    for piece in pieces:
        inspection.feed(piece)
    found = inspection.finish()
    if found.unsafe:
        raise Rejected(f"the file is not safe to open: {found.unsafe}")
    if found.format != "qcow2" or found.virtual_size is None:
        raise Rejected(f"the file says it is qcow2, but its content is {found.format or 'unknown'}")
    if not 0 <= found.virtual_size <= LARGEST_DISK:
        raise Rejected("the file claims to hold an absurdly large disk")
    return found.virtual_size
