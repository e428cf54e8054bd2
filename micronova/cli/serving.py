"""One process's life: bind, start, answer, stop in order. Used by `up` (everything) and `serve` (some topics)."""

import asyncio
import contextlib
import errno
import gc
import signal
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from micronova.cli import settings
from micronova.errors import ConfigError


class Server(uvicorn.Server):
    """uvicorn without its own signal handling: our process stops services in order first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(listen: str) -> socket.socket:
    """A socket on HOST:PORT. Raises ConfigError in one sentence when that can't be had."""
    host, port = settings.check_listen(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(256)
    except OSError as err:
        bound.close()
        if err.errno == errno.EADDRINUSE:
            raise ConfigError(f"{listen} is taken by another program; choose another address with --listen") from err
        raise ConfigError(f"can't listen on {listen}: {err.strerror or err}") from err
    except OverflowError as err:
        bound.close()
        raise ConfigError(f"can't listen on {listen}: {err}") from err
    return bound


def url_of(bound: socket.socket) -> str:
    """http://HOST:PORT of a bound socket, with the real port."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{port}"


class Http:
    """The application on one socket."""

    def __init__(self, app: Any, bound: socket.socket) -> None:
        options = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            proxy_headers=False,  # api.public_url says how clients see us
            timeout_graceful_shutdown=2,
            server_header=False,
        )
        self._server = Server(options)
        self._bound = bound
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Answer from now on."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._bound]), name="http")
        while not self._server.started and not self._task.done():  # noqa: ASYNC110 - uvicorn offers no event
            await asyncio.sleep(0.001)

    async def stop(self) -> None:
        """Answer what was asked, then no more."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task


async def until_signal() -> None:
    """The start is over: wait for Ctrl-C or SIGTERM; a second one is left to Python's default."""
    # What is here now lives as long as the process: no collection need ever walk it. Not collected first, which would
    # keep the first request waiting for a tenth of the whole start.
    gc.freeze()
    gc.enable()
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, told.set)
    try:
        await told.wait()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def run(main: Any) -> None:
    """Run a coroutine on uvloop where there is one. Garbage is collected once the start is over (until_signal)."""
    gc.disable()
    try:
        import uvloop
    except ImportError:
        asyncio.run(main)
    else:
        uvloop.run(main)
