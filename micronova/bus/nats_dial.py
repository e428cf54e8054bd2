"""How a connection to a NATS broker is made: options, credentials, TLS, and what a refusal means."""

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import msgspec

from micronova.errors import ConfigError, Error, Unavailable
from micronova.options import BusOptions

if TYPE_CHECKING:
    from nats.aio.client import Client

SECRET = ("password", "token")
HANG_UP_WAIT = 0.5


class NatsOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach the brokers and how much to hold for them."""

    urls: tuple[str, ...] = ("nats://127.0.0.1:4222",)
    """Brokers to try, in this order; `tls://` insists on TLS. May hold user:password@."""
    prefix: str = "micronova"
    """First word of every subject: clouds that share a broker must differ in it."""
    credentials: str = ""
    """Path of a .creds file (JWT and seed); needs the package nkeys."""
    user: str = ""
    password: str = ""
    token: str = ""
    tls_ca: str = ""
    """Path of the authority's certificate; given this, or `tls_cert`, TLS is insisted on."""
    tls_cert: str = ""
    tls_key: str = ""
    tls_hostname: str = ""
    """The name the broker's certificate must hold, when it isn't the one in the URL."""
    connect_wait: float = 10.0
    """Seconds `start` waits for a broker, and the longest one attempt may take."""
    concurrency: int = 1000
    """Messages one listener handles at once; more wait."""
    pending_messages: int = 1 << 20
    """Messages that may wait for one listener; more are lost and counted."""
    pending_bytes: int = 256 << 20

    def __repr__(self) -> str:
        shown = (f"{name}={_shown(name, getattr(self, name))}" for name in self.__struct_fields__)
        return f"NatsOptions({', '.join(shown)})"

    @property
    def insists_on_tls(self) -> bool:
        """Whether a broker without TLS is refused."""
        return bool(self.tls_ca or self.tls_cert) or any(url.startswith("tls://") for url in self.urls)


def options_of(bus: BusOptions) -> NatsOptions:
    """The options of the configuration's section `bus`; `bus.url` may name several brokers, separated by commas."""
    return NatsOptions(
        urls=tuple(bus.url.split(",")),
        prefix=bus.prefix,
        credentials=bus.credentials,
        user=bus.user,
        password=bus.password,
        tls_ca=bus.tls_ca,
        tls_cert=bus.tls_cert,
        tls_key=bus.tls_key,
    )


class Callbacks(msgspec.Struct, frozen=True):
    """Whom a connection tells what happens to it."""

    error: Callable[[Exception], Awaitable[None]]
    closed: Callable[["Client"], Awaitable[None]]


async def dial(options: NatsOptions, callbacks: Callbacks) -> "Client":
    """A connection to the first broker that takes us; it never reconnects by itself.

    Raises ConfigError when none took us and one refused for good, Unavailable when none could be reached.
    """
    refusals: list[Error] = []
    for url in options.urls:
        try:
            return await _Attempt(options, callbacks, url).connect()
        except (ConfigError, Unavailable) as err:
            refusals.append(err)
    if not refusals:
        raise ConfigError("No URL of a NATS broker is configured.")
    raise next((refusal for refusal in refusals if isinstance(refusal, ConfigError)), refusals[0])


async def hang_up(client: "Client") -> None:
    """`client` is closed, whatever state it was in."""
    # After a failed TLS handshake the library awaits the end of a stream that no one ends any more.
    try:
        async with asyncio.timeout(HANG_UP_WAIT):
            await client.close()
    except TimeoutError:
        return


class _Attempt:
    """One try at one broker."""

    def __init__(self, options: NatsOptions, callbacks: Callbacks, url: str) -> None:
        try:
            import nats.aio.client
            import nats.errors
        except ImportError as err:
            raise ConfigError("The NATS bus needs the package nats-py: install micronova[nats].") from err
        self._options = options
        self._callbacks = callbacks
        self._where = urlsplit(url if "://" in url else f"nats://{url}")
        self._known = nats.errors.Error
        self._client = nats.aio.client.Client()
        self._last: Exception | None = None
        # A broker that swallows packets must leave time for the next one.
        self._wait = options.connect_wait / len(options.urls)

    @property
    def _name(self) -> str:
        """The broker without credentials."""
        return f"{self._where.scheme}://{self._address}"

    @property
    def _address(self) -> str:
        return self._where.netloc.rpartition("@")[2]

    async def connect(self) -> "Client":
        """The connection. Raises ConfigError when refused for good, Unavailable when nobody answers."""
        connected = False
        tls = self._tls_context()
        if self._options.credentials and not os.access(self._options.credentials, os.R_OK):
            raise ConfigError("The NATS credentials file can't be read.")
        try:
            async with asyncio.timeout(self._wait):
                await self._connect(tls)
            self._require_tls()
            connected = True
        except (OSError, self._known) as err:
            raise self._refusal(err) from err
        except ImportError as err:
            raise ConfigError("A NATS credentials file needs the package nkeys.") from err
        finally:
            if not connected:
                await hang_up(self._client)
        return self._client

    async def _connect(self, tls: ssl.SSLContext | None) -> None:
        options = self._options
        user, password, token = self._login()

        async def closed() -> None:
            await self._callbacks.closed(self._client)

        async def error(err: Exception) -> None:
            self._last = err
            await self._callbacks.error(err)

        await self._client.connect(
            servers=[f"nats://{self._address}"],
            error_cb=error,
            closed_cb=closed,
            name=options.prefix,
            # It closes for good on most errors a broker can send; so coming back is ours, in one place.
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            connect_timeout=max(1, round(self._wait)),
            # A broker that vanished without a word is noticed within half a minute.
            ping_interval=10,
            max_outstanding_pings=2,
            # Without a limit a sender could hang on a connection that was lost under it.
            flush_timeout=10,
            drain_timeout=10,
            tls=tls,
            tls_hostname=options.tls_hostname or None,
            # Asked for only once the broker has told whether it has TLS: see _secret.
            user=self._secret(user) if user else None,
            password=self._secret(password) if user else None,
            token=self._secret(token) if token else None,
            user_credentials=options.credentials or None,
        )

    def _login(self) -> tuple[str, str, str]:
        """User, password, token: those of the URL before those of the options."""
        if self._where.username is None:
            return self._options.user, self._options.password, self._options.token
        if self._where.password is None:
            return "", "", unquote(self._where.username)
        return unquote(self._where.username), unquote(self._where.password), ""

    def _secret(self, text: str) -> Callable[[], str]:
        """Gives `text` away, but not over a connection that should be encrypted and is not."""

        def give() -> str:
            self._require_tls()
            return text

        return give

    def _require_tls(self) -> None:
        # The library has no public word for it; without the check anyone on the way could talk us out of TLS.
        if self._options.insists_on_tls and not self._client._server_info.get("tls_required"):
            raise ConfigError(f"The NATS broker {self._name} offers no TLS, but it is configured.")

    def _tls_context(self) -> ssl.SSLContext | None:
        options = self._options
        if not options.insists_on_tls:
            return None
        try:
            context = ssl.create_default_context(cafile=options.tls_ca or None)
            if options.tls_cert:
                context.load_cert_chain(options.tls_cert, options.tls_key or None)
        except OSError as err:
            reason = err.strerror or str(err)
            raise ConfigError(f"The TLS files for the NATS bus can't be used: {reason}.") from err
        return context

    def _refusal(self, err: Exception) -> Error:
        """What `err` means to us, in one sentence without secrets."""
        text = str(err)
        if isinstance(err, ssl.SSLCertVerificationError):
            return ConfigError(
                f"The certificate of the NATS broker {self._name} is not to be trusted: {err.verify_message}."
            )
        if isinstance(err, ssl.SSLError):
            return ConfigError(f"TLS with the NATS broker {self._name} failed: {err.reason}.")
        if "authorization" in text.lower():
            return ConfigError(f"The NATS broker {self._name} refused our credentials.")
        if isinstance(err, TimeoutError):
            return Unavailable(f"The NATS broker {self._name} did not answer in time.")
        cause = self._last if isinstance(self._last, OSError) else err
        reason = getattr(cause, "strerror", None) or str(cause)
        return Unavailable(f"The NATS broker {self._name} can't be reached: {reason}.")


def _shown(name: str, value: object) -> str:
    if name in SECRET:
        return "'***'" if value else "''"
    if name == "urls":
        return repr(tuple(str(url).rpartition("@")[2] for url in value)) if isinstance(value, tuple) else "?"
    return repr(value)
