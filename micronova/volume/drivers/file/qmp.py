"""One conversation with a storage daemon over its control socket (QMP), with time limits.

Connections are short: the socket serves one client at a time, and one that is kept would have to be watched.
"""

import asyncio
import contextlib
import logging
import pathlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from qemu.qmp import ExecuteError, QMPClient, QMPError

from micronova.errors import DriverError

_LOST = (QMPError, OSError, EOFError, asyncio.IncompleteReadError)
_ANSWER_WAIT = 30


class Talk:
    """A daemon that listens to us."""

    def __init__(self, client: QMPClient) -> None:
        self._client = client

    async def ask(self, name: str, arguments: Mapping[str, object] | None = None) -> Any:
        """What the daemon returns. Raises DriverError when it refuses, is silent for long, or is gone."""
        try:
            async with asyncio.timeout(_ANSWER_WAIT):
                return await self._client.execute(name, dict(arguments) if arguments else None)
        except ExecuteError as err:
            raise DriverError(f"the storage daemon refused {name}: {err}", command=name) from err
        except TimeoutError as err:
            raise DriverError(f"the storage daemon did not answer {name}", command=name) from err
        except _LOST as err:
            raise DriverError(f"the storage daemon went away during {name}", command=name) from err


@contextlib.asynccontextmanager
async def talk(socket: pathlib.Path, *, wait: float = 30) -> AsyncIterator[Talk]:
    """A conversation, ended with the block. Raises DriverError when nobody listens within `wait` seconds."""
    client = QMPClient("micronova-volume")
    client.logger.setLevel(logging.CRITICAL)  # it calls a daemon that is not there an error, and we a fact
    try:
        try:
            async with asyncio.timeout(wait):
                await client.connect(str(socket))
        except TimeoutError as err:
            raise DriverError(f"the storage daemon did not answer within {wait:g} s") from err
        except _LOST as err:
            raise DriverError("the storage daemon can't be reached") from err
        yield Talk(client)
    finally:
        # A client of a daemon that ended tells the end of the stream once more here.
        with contextlib.suppress(TimeoutError, *_LOST):
            async with asyncio.timeout(2):
                await client.disconnect()
