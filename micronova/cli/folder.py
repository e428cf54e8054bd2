"""The state folder: whose it is, which process runs on it, and the secrets made for it."""

import base64
import contextlib
import fcntl
import os
import shutil
from pathlib import Path
from typing import IO

from micronova.clock import SystemClock
from micronova.errors import ConfigError

LOCK = "lock"
PASSWORDS = "passwords"


class StateFolder:
    """One cloud's folder on this host. At most one process serves it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: IO[str] | None = None

    def make(self) -> None:
        """Make the folder, for its owner only. Raises ConfigError when that can't be done."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not any(self.path.iterdir()):
                self.path.chmod(0o711)
            probe = self.path / ".probe"
            probe.write_text("")
            probe.unlink()
        except OSError as err:
            raise ConfigError(f"the state folder {self.path} can't be used: {err.strerror}") from err

    def acquire(self) -> None:
        """Be the process of this folder. Raises ConfigError when another one is."""
        lock = open(self.path / LOCK, "a+")  # noqa: SIM115 - held as long as the process lives
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise ConfigError(
                f"a cloud already runs on {self.path} (process {self.pid()}); "
                f"`micronova status --state {self.path}` shows it, `micronova down --state {self.path}` stops it"
            ) from None
        lock.seek(0)
        lock.truncate()
        lock.write(str(os.getpid()))
        lock.flush()
        self._lock = lock

    def release(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def pid(self) -> int | None:
        """The process that serves this folder now, None when there is none."""
        try:
            with open(self.path / LOCK) as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(lock.read() or 0) or None
        except (OSError, ValueError):
            return None
        return None

    def password(self, name: str) -> str:
        """The password made for user `name` when the folder was new; the same ever after."""
        file = self.path / PASSWORDS / name
        with contextlib.suppress(OSError):
            return file.read_text().strip()
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = base64.urlsafe_b64encode(SystemClock().secret(18)).decode()
        draft = file.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(made)
        draft.replace(file)
        return made

    def erase(self) -> None:
        """Remove the folder with all it holds; a missing one is success."""
        shutil.rmtree(self.path, ignore_errors=True)
