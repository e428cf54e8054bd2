"""Looks at an image's bytes while they stream in. Imported with the first upload: its library is slow to import."""

import struct
from collections.abc import Iterable
from typing import IO, cast

from oslo_utils.imageutils import format_inspector as inspector

from micronova.image.formats import CHECKED, LARGEST_DISK, PLAIN, Content

FAULTS = (
    inspector.ImageFormatError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)
"""What the inspector raises for bytes it did not expect."""


class Inspection:
    """Looks at bytes as they come, in order, the first piece of at least WHOLE_HEADER bytes."""

    def __init__(self) -> None:
        self._piece = _Piece()
        self._wrapper = inspector.InspectWrapper(cast(IO[bytes], self._piece))
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Look at the next bytes."""
        self._piece.data = data
        self._size += len(data)
        self._wrapper.read(len(data))

    def finish(self) -> Content:
        """What the bytes are, now that all have been seen."""
        self._wrapper.close()
        try:
            found = sorted(self._wrapper.formats or [], key=str)
            names = [str(one) for one in found]
            unsafe = next(filter(None, (_danger(one) for one in found if str(one) in CHECKED)), "")
            sizes = [int(one.virtual_size) for one in found if str(one) in CHECKED]
        except FAULTS:
            return Content("unknown", None)
        if any(not 0 <= size <= LARGEST_DISK for size in sizes):
            unsafe = unsafe or f"its header claims a disk of {max(sizes)} bytes"
        if set(names) <= PLAIN:
            return Content("+".join(names), self._size)
        return Content("+".join(names), sizes[0] if len(names) == 1 and not unsafe else None, unsafe)


class _Piece:
    """A file-like object that holds just the bytes to look at next."""

    data = b""

    def read(self, size: int) -> bytes:
        return self.data


def _danger(one: inspector.FileInspector) -> str:
    """Why a content with a header must not be opened, or ""."""
    try:
        one.safety_check()
    except inspector.SafetyCheckFailed as err:
        return _sentence(str(one), err.failures.values())
    except FAULTS:
        return f"its {one} header is damaged"
    return ""


def _sentence(name: str, failures: Iterable[object]) -> str:
    return f"{name}: " + "; ".join(sorted(str(failure) for failure in failures))
