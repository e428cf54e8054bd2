"""Where a QEMU guest's files are on this host, and what a power cut can do to them: nothing.

    guests/ID/            root's; QEMU runs in it and names all its files relative to it
      spec.json           the description the guest was last started with (without the config drive's content)
      root.qcow2          its private disk; `base` is the image below it
      kernel, initrd      what it boots from, if it does not boot from its disk
      config.iso          its config drive
      frozen              there while the guest's file systems may be frozen
      stopped             there when the guest is meant to be off: the difference between shutdown and crashed
      qemu.log            what QEMU itself complained about at its last start
      pid                 the process id of its QEMU, checked against the process whenever it is used
      run/                QEMU's own: mon0 and mon1 (QMP), serial and agent (sockets), console.log

A guest's folder is made beside its final place and renamed, so that it is whole or absent.
"""

import contextlib
import errno
import os
import pathlib
import shutil

import msgspec

from micronova.compute.driver import GuestSpec, without_secrets
from micronova.errors import DriverError, NoSpace

_FULL = (errno.ENOSPC, errno.EDQUOT)


class GuestFolder:
    """The names of one guest's files; asking for a name touches nothing."""

    def __init__(self, guests: pathlib.Path, id: str) -> None:
        self.id = id
        self.path = guests / id
        self.staging = guests / f".{id}.new"

    @property
    def run(self) -> pathlib.Path:
        return self.path / "run"

    @property
    def stopped(self) -> pathlib.Path:
        return self.path / "stopped"

    @property
    def frozen(self) -> pathlib.Path:
        return self.path / "frozen"

    @property
    def console_log(self) -> pathlib.Path:
        return self.run / "console.log"

    @property
    def qemu_log(self) -> pathlib.Path:
        return self.path / "qemu.log"

    @property
    def pid_file(self) -> pathlib.Path:
        return self.path / "pid"

    def write_pid(self, pid: int) -> None:
        """The pid file names this process. Raises OSError."""
        if self.pid_file.exists() and self.pid_file.read_text() == str(pid):
            return
        draft = self.path / ".pid.part"
        draft.write_text(str(pid))
        draft.replace(self.pid_file)

    def exists(self) -> bool:
        """Whether the guest is on this host, in whatever state."""
        return self.path.is_dir()

    def read_spec(self) -> GuestSpec:
        """The description it was last given, without the config drive's content.

        Raises DriverError when it is lost.
        """
        try:
            return msgspec.json.decode((self.path / "spec.json").read_bytes(), type=GuestSpec)
        except (OSError, msgspec.MsgspecError) as err:
            raise DriverError("the guest's description on this host cannot be read", id=self.id) from err

    def volumes(self) -> tuple[str, ...]:
        """The ids of the volumes in the description; none where that is lost."""
        with contextlib.suppress(DriverError):
            return tuple(disk.volume_id for disk in self.read_spec().volumes)
        return ()

    def erase(self) -> None:
        """Neither the folder nor a half-made one exists. Raises DriverError when the host refuses."""
        for path in (self.staging, self.path):
            # Renamed first: a folder half removed when the power fails must not look like a guest.
            doomed = path.with_name(f".{self.id}.gone")
            try:
                with contextlib.suppress(FileNotFoundError):
                    shutil.rmtree(doomed)
                with contextlib.suppress(FileNotFoundError):
                    os.rename(path, doomed)
                    shutil.rmtree(doomed)
            except OSError as err:
                raise refusal(err, "the guest's files could not be removed") from err

    def console_tail(self, max_bytes: int) -> bytes:
        """The last `max_bytes` of the console log; b"" when there is none."""
        try:
            handle = os.open(self.console_log, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return b""
        except OSError as err:
            raise refusal(err, "the guest's console cannot be read") from err
        with os.fdopen(handle, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - max_bytes))
            return file.read(max(0, max_bytes))

    def trim_console(self, *, above: int, keep: int) -> None:
        """A console log larger than `above` bytes holds its last `keep` bytes only.

        QEMU appends, so it goes on after the new end; what it writes in this very moment may be lost.
        """
        try:
            if self.console_log.lstat().st_size <= above:
                return
            tail = self.console_tail(keep)
            handle = os.open(self.console_log, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
            with os.fdopen(handle, "wb") as file:
                file.truncate(0)
                file.write(tail)
        except FileNotFoundError:
            return
        except OSError as err:
            raise refusal(err, "the guest's console log could not be shortened") from err


def ids(guests: pathlib.Path) -> list[str]:
    """The guests this host has, in order of id."""
    try:
        return sorted(path.name for path in guests.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return []


def leftovers(guests: pathlib.Path) -> list[pathlib.Path]:
    """What a killed `ensure` or `remove` left half done."""
    try:
        return [path for path in guests.iterdir() if path.name.startswith(".")]
    except FileNotFoundError:
        return []


def write(path: pathlib.Path, content: bytes, *, mode: int = 0o600) -> None:
    """The file holds `content`, on the disk and as a whole. Raises OSError when the host refuses."""
    part = path.with_name(f".{path.name}.part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def write_spec(folder: pathlib.Path, spec: GuestSpec) -> None:
    """`folder` holds the description, without secrets and the config drive's content. Raises OSError."""
    plain = msgspec.structs.replace(without_secrets(spec), config_drive=None)
    write(folder / "spec.json", msgspec.json.encode(plain))


def remember(folder: GuestFolder, spec: GuestSpec) -> None:
    """The guest has the description at its next start. Raises DriverError when the host refuses."""
    try:
        write_spec(folder.path, spec)
    except OSError as err:
        raise refusal(err, "the guest's description could not be written") from err


def link(source: pathlib.Path, target: pathlib.Path) -> None:
    """`target` is the same file as `source`; within one file system it outlives the removal of `source`.

    Raises OSError when `source` is missing.
    """
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    source = source.resolve(strict=True)
    try:
        os.link(source, part)
    except OSError as err:
        if err.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
            raise
        os.symlink(source, part)
    # rename() of two names of one file does nothing, and would leave the first.
    target.unlink(missing_ok=True)
    os.rename(part, target)


def refusal(err: OSError, message: str) -> DriverError:
    """The error to raise for what the operating system refused: NoSpace when the disk is full."""
    if err.errno in _FULL:
        return NoSpace(f"{message}: no space left on this host's disk")
    return DriverError(f"{message}: {err.strerror}")
