"""Files that others made or will read: looked at before any tool opens them (inspected.py), then copied, never stood
upon.
"""

import os
import pathlib
import stat

from micronova import command
from micronova.volume.drivers.account import Account
from micronova.volume.drivers.file import reflink
from micronova.volume.drivers.steps import in_thread, space_told

_TOOL_WAIT = 6 * 3600


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
