"""Keys of encrypted volumes in files of the host that has the volumes, each sealed; other hosts ask that host.

What seals them is a key of the operator's, from a file that can be elsewhere (a mounted secret, a systemd credential).
Without one it is made, beside them, readable by its owner alone: then whoever has the whole disk has the keys.
"""

import os
import threading
from pathlib import Path
from typing import Annotated, Self

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from msgspec import Meta

from micronova.clock import Clock
from micronova.config import Config
from micronova.errors import ConfigError, DriverError, NotFound, Rejected
from micronova.volume.drivers.steps import in_thread
from micronova.volume.keys import check_id

SECTION = "local_keys"
_SEAL = "seal"


class LocalKeyOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of section `[plugin.local_keys]`."""

    master_key_file: Annotated[
        str,
        Meta(
            description="File with the keys that seal volumes' keys: 32 bytes in URL-safe base64 each, one a line, the "
            "newest first, the others for what they sealed; empty means one beside the sealed keys, made when needed."
        ),
    ] = ""


class LocalKeyManager:
    """A KeyManager in `folder`, which is made when the first key is."""

    def __init__(self, folder: Path, master_key_file: Path | None = None) -> None:
        self._folder = folder
        self._master = master_key_file
        self._writing = threading.Lock()

    @classmethod
    def configured(cls, config: Config, clock: Clock) -> Self:
        """As the configuration wants it. Raises ConfigError when the master key can't be used."""
        file = config.section(SECTION, LocalKeyOptions).master_key_file
        made = cls(config.state / "volume-keys", Path(file) if file else None)
        if file:
            try:
                made._opened_seal()
            except DriverError as err:
                raise ConfigError(f"configuration: [plugin.{SECTION}]: master_key_file: {err}") from err
        return made

    async def put(self, id: str, key: bytes) -> None:
        check_id(id)
        await in_thread(self._put, id, key)

    async def get(self, id: str) -> bytes:
        check_id(id)
        return await in_thread(self._get, id)

    async def remove(self, id: str) -> None:
        check_id(id)
        await in_thread(self._remove, id)

    async def close(self) -> None:
        """There is nothing to let go of."""

    # -- in a thread

    def _put(self, id: str, key: bytes) -> None:
        with self._writing:
            try:
                kept = self._get(id)
            except NotFound:
                self._make_seal()
                self._seal(id, key)
            else:
                if kept != key:
                    raise Rejected("there is another key of this id")

    def _seal(self, id: str, key: bytes) -> None:
        try:
            _write(self._folder / id, self._opened_seal().encrypt(key))
        except OSError as err:
            raise DriverError(f"a volume's key can't be kept: {err.strerror}") from err

    def _get(self, id: str) -> bytes:
        try:
            sealed = (self._folder / id).read_bytes()
        except FileNotFoundError as err:
            raise NotFound("There is no such key.") from err
        except OSError as err:
            raise DriverError(f"a volume's key can't be read: {err.strerror}") from err
        try:
            return self._opened_seal().decrypt(sealed)
        except InvalidToken as err:
            raise DriverError("a volume's key is damaged, or was sealed with another master key") from err

    def _remove(self, id: str) -> None:
        try:
            (self._folder / id).unlink(missing_ok=True)
        except OSError as err:
            raise DriverError(f"a volume's key can't be removed: {err.strerror}") from err

    def _opened_seal(self) -> MultiFernet:
        try:
            lines = (self._master or self._folder / _SEAL).read_bytes().split()
            return MultiFernet([Fernet(line) for line in lines])
        except OSError as err:
            raise DriverError(f"the key that seals volumes' keys can't be read: {err.strerror}") from err
        except ValueError as err:
            raise DriverError("the key that seals volumes' keys is none") from err

    def _make_seal(self) -> None:
        """There is something to seal with; never a new one where old keys would then be lost."""
        if self._master is not None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            there = {path.name for path in self._folder.iterdir() if path.suffix != ".new"}
            if not there:
                _write(self._folder / _SEAL, Fernet.generate_key())
        except OSError as err:
            raise DriverError(f"volumes' keys can't be kept: {err.strerror}") from err


def _write(file: Path, data: bytes) -> None:
    """A file that only its owner reads, complete or not there, also after a power cut. Raises OSError."""
    draft = file.with_name(file.name + ".new")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "wb") as opened:
        opened.write(data)
        opened.flush()
        os.fsync(opened.fileno())
    draft.rename(file)
    folder = os.open(file.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
