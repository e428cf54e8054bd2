"""Files that others made or will read: looked at before any tool opens them, then copied, never stood upon.

Whatever can lead a tool elsewhere is refused: a backing file, an external data file, a header that claims an absurd
disk, another format in disguise. The look is our own; the caller's is not relied on.
"""

import os
import pathlib
import stat

from micronova import command
from micronova.errors import DriverError, Rejected
from micronova.image.formats import LARGEST_DISK, WHOLE_HEADER
from micronova.volume.drivers.file import reflink
from micronova.volume.drivers.file.account import Account
from micronova.volume.drivers.file.steps import in_thread, space_told

FORMATS = ("raw", "qcow2")
_LOOKED_AT = 4
"""Pieces of a file that are looked at: a qcow2 header is in the first."""
_TOOL_WAIT = 6 * 3600


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


async def take_in(path: pathlib.Path, format: str, target: pathlib.Path, size: int, account: Account) -> None:
    """The new file `target` of `size` bytes begins with the disk in the file `path`, as raw bytes, sparse.

    Raises NoSpace, DriverError.

    Bytes are shared where the file system can. The tool that reads the foreign file runs as `account` where that may
    read it; `target` belongs to it.
    """
    if format == "raw" and await in_thread(reflink.clone, path, target):
        await in_thread(os.truncate, target, size)
        return
    await in_thread(_place, target, size, account)
    readable = await in_thread(lambda: bool(path.stat().st_mode & stat.S_IROTH))
    words = ["qemu-img", "convert", "-q", "-n", "--target-is-zero", "-f", format, "-O", "raw", "/dev/fd/0", target.name]
    # The file arrives open: the tool's user need not be let through the folders above it, nor above the target.
    shell = ["env", "-C", str(target.parent), "sh", "-c", 'exec "$@" <"$0"', str(path)]
    if not readable:
        account = Account()
    with space_told():
        await command.run([*shell, *account.command(), *words], wait=_TOOL_WAIT)


def _place(target: pathlib.Path, size: int, account: Account) -> None:
    with target.open("xb") as file:
        file.truncate(size)
    account.give(target)


async def hand_out(layer: pathlib.Path, target: pathlib.Path, format: str) -> None:
    """The new file `target` holds what one of our own layers shows. Raises NoSpace, DriverError."""
    source = layer.name.rpartition(".")[2]
    words = ["qemu-img", "convert", "-q", "-f", source, "-O", format, str(layer), os.path.abspath(target)]
    try:
        with space_told():
            await command.run(words, wait=_TOOL_WAIT)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
