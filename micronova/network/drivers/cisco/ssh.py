"""The way to a switch: an SSH connection with a shell, every error of the library turned into ours."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from micronova.errors import ConfigError, DriverError
from micronova.network.drivers.cisco.login import Login
from micronova.network.switch import LoginRefused

try:
    import asyncssh
except ImportError as missing:
    raise ConfigError("switches over SSH need asyncssh: install micronova[switches]") from missing

LOG = logging.getLogger(__name__)
LEGACY = {
    "kex_algs": "+diffie-hellman-group-exchange-sha1,diffie-hellman-group14-sha1,diffie-hellman-group1-sha1",
    "encryption_algs": "+aes256-cbc,aes128-cbc,3des-cbc",
    "mac_algs": "+hmac-sha1",
    "server_host_key_algs": "+ssh-rsa",
}
WIDTH, HEIGHT = 511, 1000
CHUNK = 65_536
GOODBYE_SECONDS = 2.0


class Unanswered(DriverError):
    """The switch isn't there or says nothing: no change is at fault, others would fare the same."""


class ConnectionLost(Unanswered):
    """The connection ended in the midst of something: who talked reads again, and says what is left."""


class Shell:
    """The shell of a switch: text goes in, text comes out."""

    def __init__(self, login: Login, connection: asyncssh.SSHClientConnection, process: Any) -> None:
        self._login = login
        self._connection = connection
        self._process = process

    @classmethod
    async def open(cls, login: Login) -> "Shell":
        """A shell on the switch. Raises DriverError when it can't be reached, believed or logged in to in time."""
        connection: asyncssh.SSHClientConnection | None = None
        with _told(login, Unanswered):
            async with asyncio.timeout(login.connect_seconds):
                try:
                    connection = await asyncssh.connect(login.address, login.port, **_options(login))
                    process = await connection.create_process(
                        term_type="vt100", term_size=(WIDTH, HEIGHT), encoding="utf-8", errors="replace"
                    )
                except BaseException:
                    if connection is not None:
                        connection.abort()
                    raise
        return cls(login, connection, process)

    async def read(self) -> str:
        """What the switch said next. Raises ConnectionLost when it will say nothing more."""
        with _told(self._login, ConnectionLost):
            text = await self._process.stdout.read(CHUNK)
        if not text:
            raise ConnectionLost(f"switch {self._login.name} closed the connection")
        return str(text)

    def write(self, text: str) -> None:
        """Say something. Raises ConnectionLost when nobody listens any more."""
        with _told(self._login, ConnectionLost):
            self._process.stdin.write(text)

    def abort(self) -> None:
        """The connection is gone, whatever it was doing."""
        self._connection.abort()

    async def close(self) -> None:
        """The connection is gone, with a goodbye when the switch takes it: it has few places for logins."""
        try:
            async with asyncio.timeout(GOODBYE_SECONDS):
                self._connection.close()
                await self._connection.wait_closed()
        except TimeoutError:
            LOG.debug("switch %s takes no goodbye", self._login.name)
        finally:
            self._connection.abort()


class _Believing(asyncssh.SSHClient):
    """Believes one host key, by its fingerprint."""

    def __init__(self, fingerprint: str) -> None:
        self._fingerprint = fingerprint

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        return key.get_fingerprint() == self._fingerprint


def _options(login: Login) -> dict[str, Any]:
    """Nothing of the user who runs us is used: no agent, no configuration, no keys but the one that is named."""
    options: dict[str, Any] = {
        "username": login.user,
        "client_keys": [str(login.key_file)] if login.key_file else [],
        "password": login.secret(login.password_file) if login.password_file else None,
        "known_hosts": str(login.known_hosts) if login.known_hosts else ([], [], []),
        "agent_path": None,
        "config": None,
        "login_timeout": login.connect_seconds,
    }
    if not login.check_host_key:
        options["known_hosts"] = None
    if login.fingerprint:
        options["client_factory"] = lambda: _Believing(login.fingerprint)
    if login.legacy_algorithms:
        options.update(LEGACY)
    return options


@contextmanager
def _told(login: Login, kind: type[Unanswered]) -> Iterator[None]:
    """Errors of SSH and sockets become one sentence of ours. What the library says can't hold the password."""
    where = f"switch {login.name}"
    try:
        yield
    except asyncssh.PermissionDenied as err:
        raise LoginRefused(f"{where} refused the login of {login.user}") from err
    except asyncssh.HostKeyNotVerifiable as err:
        raise Unanswered(f"{where}: its host key is not the one that is known") from err
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as err:
        raise DriverError(f"{where}: key_file is no key that can be used") from err
    except ValueError as err:
        raise Unanswered(f"{where}: known_hosts is no such file") from err
    except TimeoutError as err:
        raise kind(f"{where} did not let us in within {login.connect_seconds:g} s") from err
    except asyncssh.Error as err:
        raise kind(f"{where}: {err.reason}") from err
    except OSError as err:
        raise kind(f"{where} can't be reached: {err.strerror or err}") from err
