"""The floor of every answer: a bare ASGI application on the same server, in a process of its own.

/N is answered with N bytes. `python -m bench.canned` says its address on standard output and runs until it is ended.
"""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Self

import uvicorn
import uvloop

from bench.cloud import Process

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


async def answer(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """As many bytes as the path says, without looking at the request any further."""
    size = int(scope["path"][1:])
    headers = [(b"content-type", b"application/json"), (b"content-length", str(size).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": bytes(size)})


class Canned:
    """The process; gone after the block."""

    def __enter__(self) -> Self:
        self._child = subprocess.Popen([sys.executable, "-m", "bench.canned"], stdout=subprocess.PIPE, text=True)
        assert self._child.stdout is not None
        self.url = self._child.stdout.readline().strip()
        self.process = Process(self._child.pid)
        return self

    def __exit__(self, *_: object) -> None:
        self._child.terminate()
        self._child.communicate()


def main() -> None:
    bound = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{bound.getsockname()[1]}", flush=True)
    options = uvicorn.Config(answer, log_config=None, access_log=False, lifespan="off", ws="none", server_header=False)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(uvicorn.Server(options).serve(sockets=[bound]))


if __name__ == "__main__":
    main()
