"""One QEMU's control socket (QMP): asked with time limits, connected again when it was lost.

A QMP socket serves one client at a time and lets a second one wait for ever; each guest has two, `mon0` for
the driver and `mon1` for a person or a tool.
"""

import asyncio
import contextlib
import os
import pathlib
import socket
from collections.abc import Mapping

from qemu.qmp import ExecuteError, QMPClient, QMPError

from micronova.errors import DriverError

OURS = "mon0"
_CONNECT_WAIT = 5
_POLL = 0.1
_PRESS_EVERY = 30
"""Polls between two presses of a guest's power button."""
_LOST = (QMPError, OSError, EOFError, asyncio.IncompleteReadError)


class Monitor:
    """The driver's connection to one guest's QEMU; made when first needed."""

    def __init__(self, run: pathlib.Path) -> None:
        self._run = run
        self._client: QMPClient | None = None
        self._connecting = asyncio.Lock()

    async def ask(
        self,
        name: str,
        arguments: Mapping[str, object] | None = None,
        *,
        wait: float = 5,
        handle: int | None = None,
    ) -> object:
        """What QEMU returns to one command; `handle` is a descriptor that QEMU gets a copy of with it.

        Raises DriverError when it refuses, does not answer within `wait` seconds, or is gone.
        """
        client = await self._connected(wait)
        try:
            async with asyncio.timeout(wait):
                if handle is not None:
                    _hand_over(client, handle)
                return await client.execute(name, dict(arguments) if arguments else None)
        except ExecuteError as err:
            raise DriverError(f"QEMU refused {name}: {err}", command=name) from err
        except TimeoutError as err:
            await self.close()
            raise DriverError(f"QEMU did not answer {name} within {wait:g} s", command=name) from err
        except _LOST as err:
            await self.close()
            raise DriverError(f"QEMU went away during {name}", command=name) from err

    async def status(self) -> str:
        """QEMU's run state, one of the words of its `query-status`. Raises DriverError."""
        answer = await self.ask("query-status")
        return str(answer["status"]) if isinstance(answer, dict) else "unknown"

    async def shut_down(self, *, wait: float) -> bool:
        """Whether the guest has shut itself down within `wait` seconds of its power button's being pressed.

        It is pressed again and again: a guest that is still booting does not notice the first time.
        """
        try:
            async with asyncio.timeout(wait):
                await self._press_until_off()
        except (TimeoutError, DriverError):
            return False
        return True

    async def reset(self, *, wait: float) -> None:
        """The guest starts from its firmware, whether it ran, stood still or had shut down. Raises DriverError."""
        await self.ask("system_reset")
        try:
            async with asyncio.timeout(wait):
                await self._continue_until_running()
        except TimeoutError as err:
            raise DriverError(f"the guest did not start again within {wait:g} s of its reset") from err

    async def _press_until_off(self) -> None:
        while True:
            await self.ask("system_powerdown")
            for _ in range(_PRESS_EVERY):
                await asyncio.sleep(_POLL)
                if await self.status() != "running":
                    return

    async def _continue_until_running(self) -> None:
        while (status := await self.status()) != "running":
            # The reset is done a moment after it is asked for; until then a guest that is off stays off.
            if status != "shutdown":
                await self.ask("cont")
            await asyncio.sleep(_POLL / 5)

    async def close(self) -> None:
        """The connection is gone; the guest is not."""
        client, self._client = self._client, None
        if client is not None:
            await _hang_up(client)

    async def _connected(self, wait: float) -> QMPClient:
        async with self._connecting:
            if self._client is None:
                self._client = await self._connect(min(wait, _CONNECT_WAIT))
            return self._client

    async def _connect(self, wait: float) -> QMPClient:
        client = QMPClient("micronova")
        try:
            # Through the folder's descriptor: a unix socket's path has room for 107 bytes only.
            folder = os.open(self._run, os.O_PATH | os.O_DIRECTORY)
        except OSError as err:
            raise DriverError("the guest has no monitor") from err
        try:
            async with asyncio.timeout(wait):
                await client.connect(f"/proc/self/fd/{folder}/{OURS}")
        except BaseException as err:
            # Also when cancelled: a connection left behind would keep every later one waiting.
            await _hang_up(client)
            if isinstance(err, TimeoutError):
                raise DriverError(f"QEMU's monitor did not answer within {wait:g} s") from err
            if isinstance(err, _LOST):
                raise DriverError("QEMU's monitor cannot be reached") from err
            raise
        finally:
            os.close(folder)
        return client


def _hand_over(client: QMPClient, handle: int) -> None:
    """QEMU has a copy of the descriptor, for the command that follows. Raises OSError.

    The library's own way works with asyncio's event loop only: other loops show a socket that can't send descriptors.
    """
    writer = client._writer
    if writer is None:
        raise EOFError
    ours = os.dup(writer.get_extra_info("socket").fileno())
    with socket.socket(fileno=ours) as line:
        socket.send_fds(line, [b" "], [handle])


async def _hang_up(client: QMPClient) -> None:
    """Disconnected: a client of a QEMU that ended tells the end of the stream once more here."""
    with contextlib.suppress(TimeoutError, *_LOST):
        async with asyncio.timeout(2):
            await client.disconnect()
