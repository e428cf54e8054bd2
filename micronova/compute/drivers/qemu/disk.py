"""Disks of QEMU guests: private overlays of read-only images. Formats are told, never guessed."""

import pathlib
import struct

import msgspec

from micronova import command
from micronova.compute.driver import Disk
from micronova.compute.drivers.qemu import folder as qemu_folder
from micronova.errors import DriverError, NoSpace, Rejected

GIB = 2**30
FORMATS = ("raw", "qcow2", "vmdk", "vdi", "vhdx", "vpc", "qed")
_QCOW2_MAGIC = b"QFI\xfb"
_WAIT = 120


class _ImageInfo(msgspec.Struct):
    virtual_size: int = msgspec.field(name="virtual-size")


async def create(disk: Disk, folder: pathlib.Path) -> None:
    """`folder` holds `root.qcow2`, an empty overlay of the image, and the image itself as `base`.

    Raises Rejected when the image is unusable or larger than the disk, NoSpace, DriverError.
    """
    _refuse_unknown(disk)
    try:
        qemu_folder.link(pathlib.Path(disk.path), folder / "base")
    except OSError as err:
        raise qemu_folder.refusal(err, "the guest's image cannot be used") from err
    size = await virtual_size(folder / "base", disk.format)
    wanted = disk.size_gib * GIB
    if wanted and wanted < size:
        raise Rejected(f"the image needs a disk of {-(-size // GIB)} GiB, not {disk.size_gib} GiB")
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", disk.format, "-b", "base"]
    await _qemu_img([*argv, str(folder / "root.qcow2"), str(wanted or size)])
    (folder / "root.qcow2").chmod(0o600)


async def grow(disk: Disk, folder: pathlib.Path) -> None:
    """The overlay in `folder` is at least as large as `disk` says; it never shrinks. The guest is off."""
    overlay = folder / "root.qcow2"
    wanted = disk.size_gib * GIB
    if wanted > await virtual_size(overlay, "qcow2"):
        await _qemu_img(["qemu-img", "resize", "-q", "-f", "qcow2", str(overlay), str(wanted)])


async def virtual_size(path: pathlib.Path, format: str) -> int:
    """Bytes the guest would see. Raises Rejected when the file is not of this format, DriverError."""
    try:
        if format == "raw":
            return -(-path.stat().st_size // 512) * 512
        if format == "qcow2":
            with path.open("rb") as file:
                head = file.read(32)
            if head[:4] != _QCOW2_MAGIC or len(head) < 32:
                raise Rejected("the image says it is qcow2, but is not")
            (size,) = struct.unpack_from(">Q", head, 24)
            return int(size)
        told = await command.run(["qemu-img", "info", "-f", format, "--output=json", str(path)], wait=_WAIT)
        return msgspec.json.decode(told, type=_ImageInfo).virtual_size
    except OSError as err:
        raise qemu_folder.refusal(err, "the guest's image cannot be read") from err
    except msgspec.MsgspecError as err:
        raise Rejected(f"the image says it is {format}, but its size cannot be read") from err


def _refuse_unknown(disk: Disk) -> None:
    if disk.format not in FORMATS:
        raise Rejected(f"disks of format {disk.format!r} cannot be used here")
    if disk.size_gib < 0:
        raise Rejected("a disk cannot be smaller than nothing")


async def _qemu_img(argv: list[str]) -> None:
    try:
        await command.run(argv, wait=_WAIT)
    except DriverError as err:
        if "No space left" in err.message or "quota exceeded" in err.message:
            raise NoSpace("no space left on this host's disk for the guest's disk") from err
        raise
