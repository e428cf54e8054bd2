"""QEMU's guest agent, asked by the socket of a guest's channel (QEMU Guest Agent Protocol Reference).

The channel is there whether or not a program in the guest listens: each talk begins with a word that only the agent
can answer, with a time limit, and what earlier talks left in the channel is passed over.
"""

import asyncio
import contextlib
import os
import pathlib
from collections.abc import AsyncIterator

import msgspec

from micronova.errors import DriverError, Rejected

SOCKET = "agent"
CHANNEL = "org.qemu.guest_agent.0"
"""The name by which the agent finds its channel in the guest."""
_ANSWERING = 3
"""Seconds an agent has to answer; one that listens needs a tenth of one."""
_FREEZING = 15
"""Seconds to write all that a guest's file systems have in mind."""
_MARK = b"\xff"
"""Begins an answer to `guest-sync-delimited`, and occurs nowhere else."""
_LONGEST = 2**16


class Agent:
    """A talk with one guest's agent."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def begin(self, number: int) -> None:
        """The agent listens. Raises Rejected when none answers."""
        words = {"execute": "guest-sync-delimited", "arguments": {"id": number}}
        try:
            async with asyncio.timeout(_ANSWERING):
                # Ends what an earlier talk may have left half said.
                self._writer.write(_MARK + msgspec.json.encode(words) + b"\n")
                await self._writer.drain()
                while True:
                    await self._reader.readuntil(_MARK)
                    if (await self._answer()).get("return") == number:
                        return
        except TimeoutError as err:
            raise Rejected("the guest has no agent that answers") from err

    async def ask(self, name: str, *, wait: float = _ANSWERING) -> object:
        """What the agent returns to one command. Raises DriverError when it refuses or does not answer in time."""
        try:
            async with asyncio.timeout(wait):
                self._writer.write(msgspec.json.encode({"execute": name}) + b"\n")
                await self._writer.drain()
                said = await self._answer()
        except TimeoutError as err:
            raise DriverError(f"the guest's agent did not answer {name} within {wait:g} s") from err
        if "return" not in said:
            told = said.get("error")
            text = told.get("desc", "") if isinstance(told, dict) else ""
            raise DriverError(f"the guest's agent refused {name}: {str(text)[:200]}")
        return said["return"]

    async def _answer(self) -> dict[str, object]:
        line = await self._reader.readuntil(b"\n")
        try:
            return msgspec.json.decode(line.strip(_MARK), type=dict[str, object])
        except msgspec.DecodeError:
            return {}


@contextlib.asynccontextmanager
async def talk(run: pathlib.Path, number: int) -> AsyncIterator[Agent]:
    """A talk with the agent of the guest whose QEMU keeps its sockets in `run`; `number` is this talk's own.

    Raises Rejected when no agent answers, DriverError.
    """
    writer = None
    try:
        # Through the folder's descriptor: a unix socket's path has room for 107 bytes only.
        folder = os.open(run, os.O_PATH | os.O_DIRECTORY)
        try:
            async with asyncio.timeout(_ANSWERING):
                path = f"/proc/self/fd/{folder}/{SOCKET}"
                reader, writer = await asyncio.open_unix_connection(path, limit=_LONGEST)
        finally:
            os.close(folder)
        agent = Agent(reader, writer)
        await agent.begin(number)
        yield agent
    except TimeoutError as err:
        raise Rejected("the guest's channel to its agent is taken") from err
    except (OSError, EOFError, asyncio.LimitOverrunError) as err:
        raise Rejected("the guest has no agent that can be reached") from err
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def freeze(run: pathlib.Path, number: int) -> None:
    """The guest's file systems are frozen, or, when this fails, not. Raises Rejected, DriverError."""
    async with talk(run, number) as agent:
        try:
            count = await agent.ask("guest-fsfreeze-freeze", wait=_FREEZING)
        except DriverError:
            with contextlib.suppress(DriverError):
                await agent.ask("guest-fsfreeze-thaw")
            raise
        if not count:
            raise DriverError("the guest's agent found no file system to freeze")


async def thaw(run: pathlib.Path, number: int) -> bool:
    """No file system of the guest is frozen; whether one was until now. Raises Rejected, DriverError."""
    async with talk(run, number) as agent:
        held = await agent.ask("guest-fsfreeze-status") == "frozen"
        await agent.ask("guest-fsfreeze-thaw", wait=_FREEZING)
        return held
