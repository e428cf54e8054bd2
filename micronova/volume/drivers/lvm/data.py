"""Bytes between files and devices, by QEMU's tools, around the host's cache: nothing of a volume's data stays there.

A tool works in a folder of ours, by which it is known again: one whose service died goes on until it is ended.
"""

import os
import pathlib
import signal
import stat
from collections.abc import Callable, Sequence

from micronova import command
from micronova.volume.drivers import process
from micronova.volume.drivers.account import Account
from micronova.volume.drivers.steps import in_thread, space_told

_TOOL_WAIT = 6 * 3600


class Copying:
    """Copies from and to devices whose paths begin with `devices`; tools work in `folder`."""

    def __init__(self, folder: pathlib.Path, devices: str, account: Account) -> None:
        """The tool that reads foreign files runs as `account` where that may read them."""
        self._folder = folder
        self._devices = devices
        self._account = account

    async def fill(self, device: str, path: str, format: str) -> None:
        """The device, which reads as zeros, begins with the disk in an inspected file. Raises NoSpace, DriverError."""
        account = self._account if await in_thread(_readable, path) else Account()
        # The device is that user's as long as it is there. LVM makes it anew each time, and root's again.
        await in_thread(account.give, pathlib.Path(device).resolve())
        # The file arrives open: the tool's user need not be let through the folders above it.
        shell = ["sh", "-c", 'exec "$@" <"$0"', os.path.abspath(path), *account.command()]
        words = ["-n", "--target-is-zero", "-t", "none", "-f", format, "-O", "raw", "/dev/fd/0", device]
        await self._convert(words, shell)

    async def hand_out(self, device: str, path: str, format: str) -> None:
        """The new file at `path` holds what the device has, sparse. Raises NoSpace, DriverError."""
        target = os.path.abspath(path)
        try:
            await self._convert(["-T", "none", "-t", "writeback", "-f", "raw", "-O", format, device, target])
        except BaseException:
            pathlib.Path(target).unlink(missing_ok=True)
            raise

    async def _convert(self, words: Sequence[str], before: Sequence[str] = ()) -> None:
        place = ["env", "-C", str(self._folder)]
        with space_told():
            await command.run([*place, *before, "qemu-img", "convert", "-q", *words], wait=_TOOL_WAIT)

    async def end(self, *, unless: Callable[[str], bool]) -> None:
        """No tool works on a device but those that `unless` wants to go on. Raises DriverError."""
        for device in await in_thread(process.words_in, self._folder, self._devices):
            if not unless(device.removeprefix(self._devices)):
                await process.end(device, self._folder, by=signal.SIGKILL)


def _readable(path: str) -> bool:
    """Whether everybody may read the file."""
    return bool(os.stat(path).st_mode & stat.S_IROTH)
