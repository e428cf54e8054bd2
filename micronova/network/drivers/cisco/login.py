"""How a switch is reached: address, whose login, which host key to believe. Secrets are read when they are used."""

from pathlib import Path

import msgspec

from micronova.errors import ConfigError, DriverError
from micronova.network.switch_file import SwitchSettings

READABLE_BY_ALL = 0o004


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """A switch's address and the files that open it; None for what isn't used."""

    name: str
    address: str
    port: int
    user: str
    password_file: Path | None
    key_file: Path | None
    enable_password_file: Path | None
    known_hosts: Path | None
    fingerprint: str
    check_host_key: bool
    legacy_algorithms: bool
    connect_seconds: float
    command_seconds: float
    save_seconds: float

    @classmethod
    def configured(cls, name: str, settings: SwitchSettings, folder: Path) -> "Login":
        """The login that a section of the switches file describes.

        Raises ConfigError naming the key that is missing, or a file that isn't there or is open to everybody.
        """
        _need(settings, "address", "user")
        if not (settings.password_file or settings.key_file):
            raise ConfigError("password_file or key_file: one of them is needed")
        if settings.check_host_key and not (settings.known_hosts or settings.fingerprint):
            raise ConfigError("known_hosts or fingerprint: one is needed, or check_host_key = false")
        return cls(
            name=name,
            address=settings.address,
            port=settings.port,
            user=settings.user,
            password_file=_file(folder, "password_file", settings.password_file, secret=True),
            key_file=_file(folder, "key_file", settings.key_file, secret=True),
            enable_password_file=_file(folder, "enable_password_file", settings.enable_password_file, secret=True),
            known_hosts=_file(folder, "known_hosts", settings.known_hosts),
            fingerprint=settings.fingerprint.rstrip("="),
            check_host_key=settings.check_host_key,
            legacy_algorithms=settings.legacy_algorithms,
            connect_seconds=settings.connect_seconds,
            command_seconds=settings.command_seconds,
            save_seconds=settings.save_seconds,
        )

    def secret(self, file: Path) -> str:
        """The first line of a file. Raises DriverError when it can't be read or is empty."""
        try:
            lines = file.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as err:
            raise DriverError(f"switch {self.name}: {file.name} can't be read") from err
        if not lines or not lines[0]:
            raise DriverError(f"switch {self.name}: {file.name} is empty")
        return lines[0]


def _need(settings: SwitchSettings, *keys: str) -> None:
    for key in keys:
        if not getattr(settings, key):
            raise ConfigError(f"{key}: is missing")


def _file(folder: Path, key: str, name: str, *, secret: bool = False) -> Path | None:
    if not name:
        return None
    file = folder / Path(name).expanduser()
    try:
        mode = file.stat().st_mode
        file.read_bytes()
    except OSError as err:
        raise ConfigError(f"{key}: {file} can't be read: {err.strerror}") from err
    if secret and mode & READABLE_BY_ALL:
        raise ConfigError(f"{key}: {file} can be read by everybody on this machine")
    return file
