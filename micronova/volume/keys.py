"""Where keys of encrypted volumes are kept: by id, sealed with this cloud's own key, never in the database.

A file a key in a folder of the host that made it; what seals them is beside them, readable by their owner alone.
Other hosts ask the host that has it.
"""

import os
import re
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from micronova.clock import Clock
from micronova.errors import DriverError, NotFound

_NAME = re.compile(r"[0-9a-f-]{36}")


class KeyStore:
    """Keys by id in `folder`, which is made when the first one is."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    def make(self, nbytes: int) -> str:
        """A new key of so many bytes; returns its id. Raises DriverError when it can't be kept."""
        id = self._clock.new_id()
        self.put(id, self._clock.secret(nbytes))
        return id

    def put(self, id: str, key: bytes) -> None:
        """The key is kept under this id. Raises DriverError."""
        sealed = self._seal(make=True).encrypt(key)
        try:
            _write(self._folder / id, sealed)
        except OSError as err:
            raise DriverError(f"a volume's key can't be kept: {err.strerror}") from err

    def get(self, id: str) -> bytes:
        """The key. Raises NotFound when this host does not have it, DriverError when it can't be read."""
        if not _NAME.fullmatch(id):
            raise NotFound("There is no such key.")
        try:
            return self._seal().decrypt((self._folder / id).read_bytes())
        except FileNotFoundError as err:
            raise NotFound("There is no such key.") from err
        except (OSError, InvalidToken) as err:
            raise DriverError("a volume's key can't be read") from err

    def remove(self, id: str) -> None:
        """The key is gone: what it locked is lost for ever. Repeating changes nothing."""
        if _NAME.fullmatch(id):
            (self._folder / id).unlink(missing_ok=True)

    def _seal(self, *, make: bool = False) -> Fernet:
        file = self._folder / "seal"
        try:
            if make and not file.exists():
                self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                _write(file, Fernet.generate_key())
            return Fernet(file.read_bytes())
        except FileNotFoundError:
            raise
        except (OSError, ValueError) as err:
            raise DriverError("the key that seals volumes' keys can't be used") from err


def _write(file: Path, data: bytes) -> None:
    """A file that only its owner reads, complete or not there."""
    draft = file.with_name(file.name + ".new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())
    draft.rename(file)
