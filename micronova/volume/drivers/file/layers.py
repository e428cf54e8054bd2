"""The files that volumes are made of.

A layer is one file, raw or qcow2. The newest layer of a volume is written to; every other one is never changed again,
and any number of qcow2 layers may stand on it. So a snapshot or a copy takes no time that grows with its size: where
the file system can share blocks between files it is a file of its own, elsewhere an empty qcow2 layer on the layer that
both have in common. Which layer stands on which is in the qcow2 files' own headers, which QEMU changes in one write.
Only this driver makes these files: what comes from outside is copied into a new raw layer, never stood upon.
"""

import os
import pathlib

from micronova import command
from micronova.clock import Clock
from micronova.errors import DriverError, Rejected
from micronova.volume.drivers.account import Account
from micronova.volume.drivers.file import headers, reflink
from micronova.volume.drivers.shelf import sync
from micronova.volume.drivers.steps import in_thread, space_told

DEEPEST = 100
"""Layers on one another: QEMU opens them all."""
_TOOL_WAIT = 6 * 3600
"""Seconds for a tool that moves all data of a volume; who waits less gives up earlier."""


class Layers:
    """The layers in one folder. A layer's name is its file's; the ending says its format."""

    def __init__(self, folder: pathlib.Path, clock: Clock, account: Account | None = None) -> None:
        """They belong to `account`."""
        self.folder = folder
        self.account = account or Account()
        self.shares_blocks = False
        self._clock = clock

    def path(self, name: str) -> pathlib.Path:
        return self.folder / name

    def parent(self, name: str) -> str:
        """The layer this one stands on; "" for none. Raises OSError, DriverError."""
        return headers.read(self.path(name)).backing if name.endswith(".qcow2") else ""

    def chain(self, name: str) -> tuple[str, ...]:
        """The layer and all below it, from the top. Raises OSError, DriverError."""
        found = [name]
        while parent := self.parent(found[-1]):
            found.append(parent)
            if len(found) > 2 * DEEPEST:
                raise DriverError("the layers of a volume stand on one another in a ring")
        return tuple(found)

    def blank(self, name: str) -> bool:
        """Whether the layer only shows what it stands on. Raises OSError, DriverError."""
        if not name.endswith(".qcow2"):
            return False
        header = headers.read(self.path(name))
        return bool(header.backing) and header.blank

    def standing_on(self) -> dict[str, list[str]]:
        """For each layer that others stand on: those. Raises OSError, DriverError."""
        found: dict[str, list[str]] = {}
        for name in self.names():
            if parent := self.parent(name):
                found.setdefault(parent, []).append(name)
        return found

    def names(self) -> list[str]:
        """Every layer that is whole. Raises OSError."""
        return sorted(path.name for path in self.folder.iterdir() if not path.name.startswith("."))

    def allocated(self, name: str) -> int:
        """Bytes the file takes on the disk; 0 for a missing one."""
        try:
            return self.path(name).stat().st_blocks * 512
        except FileNotFoundError:
            return 0

    def size(self, name: str) -> int:
        """Bytes of the disk it shows. Raises OSError, DriverError."""
        path = self.path(name)
        return headers.read(path).size if name.endswith(".qcow2") else path.stat().st_size

    def delete(self, name: str) -> None:
        """There is no such layer. Raises OSError."""
        self.path(name).unlink(missing_ok=True)

    def drafts(self) -> list[pathlib.Path]:
        """Files that were being made; of a dead process's making, unless somebody makes them now."""
        return [path for path in self.folder.iterdir() if path.name.startswith(".")]

    # -- new layers: made beside, then put in their place in one step

    def draft(self, format: str) -> pathlib.Path:
        """A path for a file to be made and then kept."""
        return self.folder / f".{self._clock.new_id().replace('-', '')[:16]}.{format}"

    def keep(self, draft: pathlib.Path) -> str:
        """The finished draft is a layer, safe from a power cut; returns its name. Raises OSError."""
        self.account.give(draft)
        handle = os.open(draft, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        name = draft.name.removeprefix(".")
        draft.rename(self.folder / name)
        sync(self.folder)
        return name

    def discard(self, draft: pathlib.Path) -> None:
        """Neither the draft nor what it was kept as is there: nobody was told the name yet. Raises OSError."""
        draft.unlink(missing_ok=True)
        (self.folder / draft.name.removeprefix(".")).unlink(missing_ok=True)

    def new_raw(self, size: int) -> str:
        """A new layer of zeros that takes no space. Raises OSError."""
        draft = self.draft("raw")
        try:
            with draft.open("xb") as file:
                file.truncate(size)
            return self.keep(draft)
        except OSError:
            self.discard(draft)
            raise

    def sharing(self, name: str, size: int) -> str:
        """A new raw layer that shares the blocks of a raw one and has `size`. Raises OSError, DriverError."""
        draft = self.draft("raw")
        try:
            if not reflink.clone(self.path(name), draft):
                raise DriverError("the file system no longer shares blocks between files")
            os.truncate(draft, size)
            return self.keep(draft)
        except OSError:
            self.discard(draft)
            raise

    async def on_top(self, name: str, size: int) -> str:
        """A new empty layer that stands on `name` and has `size`. Raises NoSpace, Rejected, DriverError."""
        if len(await in_thread(self.chain, name)) >= DEEPEST:
            raise Rejected(f"a volume can't have more than {DEEPEST} snapshots and copies of copies here")
        format = name.rpartition(".")[2]
        return await self._created(["-b", name, "-F", format, "-u"], size)

    async def new_qcow2(self, size: int) -> str:
        """A new qcow2 layer of zeros. Raises NoSpace, DriverError."""
        return await self._created([], size)

    async def _created(self, words: list[str], size: int) -> str:
        draft = self.draft("qcow2")
        try:
            with space_told():
                await command.run(["qemu-img", "create", "-q", "-f", "qcow2", *words, str(draft), str(size)])
            return await in_thread(self.keep, draft)
        except BaseException:
            self.discard(draft)
            raise

    # -- layers changed while nobody uses them

    async def grow(self, name: str, size: int) -> None:
        """The layer shows at least `size` bytes; what is new reads as zeros. Raises NoSpace, DriverError."""
        if await in_thread(self.size, name) >= size:
            return
        if name.endswith(".raw"):
            await in_thread(os.truncate, self.path(name), size)
            return
        with space_told():
            await command.run(["qemu-img", "resize", "-q", "-f", "qcow2", str(self.path(name)), str(size)])

    async def move_onto(self, name: str, parent: str) -> None:
        """The layer shows what it did, and stands on `parent`, a layer below its own. Raises NoSpace, DriverError."""
        format = parent.rpartition(".")[2]
        words = ["qemu-img", "rebase", "-q", "-f", "qcow2", "-F", format, "-b", parent, str(self.path(name))]
        with space_told():
            await command.run(words, wait=_TOOL_WAIT)

    async def merge_down(self, name: str) -> None:
        """The layer below shows what this one does, which is then of no use. Raises NoSpace, DriverError."""
        with space_told():
            words = ["qemu-img", "commit", "-q", "-f", "qcow2", "-d", str(self.path(name))]
            await command.run(words, wait=_TOOL_WAIT)
