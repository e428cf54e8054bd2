"""What an image's bytes really are, found by content while they stream in, before any tool opens them.

Three outcomes: *unsafe* bytes (they would make a tool read other files, or are absurd) are refused at upload; bytes
that are not what the image says are kept as data but never opened; all else may be opened as the format it is.
"""

import msgspec

from micronova.errors import Rejected

WHOLE_HEADER = 1 << 20
"""Bytes the first piece must have (unless the file is smaller): a VMDK's descriptor may take that many, and the
inspector judges it by what it sees first."""

LARGEST_DISK = 1 << 46
"""64 TiB: no guest disk is larger; a header that says so lies."""

PLAIN = frozenset(("raw", "iso", "gpt", "luks"))
"""Contents that are opened as raw bytes, whatever they are: no header of theirs is interpreted on this host."""

OPENED_AS = {"qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx"}
"""Disk formats with a header of their own, and what QEMU calls them."""

OPENED_RAW = ("raw", "iso", "ami", "aki", "ari")
CHECKED = ("qcow2", "vmdk", "qed", "vdi", "vhd", "vhdx")
"""Contents whose header leads a tool: each must pass its safety check."""


class Content(msgspec.Struct, frozen=True):
    """What was found. `format` names all that matched, joined by +; `unsafe` says why they are refused, or is ""."""

    format: str
    virtual_size: int | None
    unsafe: str = ""


def opened_as(disk_format: str | None, content: str) -> str:
    """The name by which QEMU is told to open an image that says `disk_format` and holds `content`.

    Raises Rejected when it must not be opened.
    """
    names = set(content.split("+"))
    if disk_format in OPENED_RAW and names <= PLAIN:
        return "raw"
    if disk_format in OPENED_AS and names == {disk_format}:
        return OPENED_AS[disk_format]
    if disk_format not in OPENED_RAW and disk_format not in OPENED_AS:
        raise Rejected(f"Image format {disk_format} can't be used for a disk.")
    raise Rejected(f"The image says it is {disk_format}, but its content is {content or 'unknown'}.")
