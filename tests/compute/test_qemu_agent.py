"""How the driver talks with a guest's agent: against a socket at which a small agent, or a strange one, answers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec
import pytest

from micronova.compute.drivers.qemu import agent
from micronova.errors import DriverError, Rejected

MARK = b"\xff"


class SmallAgent:
    """Speaks the protocol as QEMU's agent does; `strange` answers a command otherwise."""

    def __init__(self) -> None:
        self.state = "thawed"
        self.asked: list[str] = []
        self.strange: dict[str, bytes] = {}

    def answer(self, line: bytes) -> bytes:
        said = msgspec.json.decode(line.rpartition(MARK)[2])
        name = said["execute"]
        self.asked.append(name)
        if name in self.strange:
            return self.strange[name]
        match name:
            case "guest-sync-delimited":
                return MARK + b'{"return": %d}\n' % said["arguments"]["id"]
            case "guest-fsfreeze-status":
                return b'{"return": "%s"}\n' % self.state.encode()
            case "guest-fsfreeze-freeze":
                self.state = "frozen"
            case "guest-fsfreeze-thaw":
                self.state = "thawed"
        return b'{"return": 2}\n'

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                writer.write(self.answer(line))
        writer.close()


@contextlib.asynccontextmanager
async def served(run: Path, talk: Callable[..., Awaitable[None]]) -> AsyncIterator[None]:
    server = await asyncio.start_unix_server(talk, run / agent.SOCKET)
    try:
        yield
    finally:
        server.close()


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[SmallAgent]:
    small = SmallAgent()
    async with served(tmp_path, small.talk):
        yield small


async def test_a_guest_is_frozen_and_thawed(small: SmallAgent, tmp_path: Path) -> None:
    await agent.freeze(tmp_path, 7)
    frozen = small.state
    held = await agent.thaw(tmp_path, 8), await agent.thaw(tmp_path, 9)

    assert ("frozen", "thawed", (True, False)) == (frozen, small.state, held)


async def test_what_earlier_talks_left_in_the_channel_is_passed_over(small: SmallAgent, tmp_path: Path) -> None:
    left = b'{"return": 1}\n' + MARK + b'{"return": 6}\n' + b"half an ans" + MARK
    small.strange["guest-sync-delimited"] = left + b'{"return": 7}\n'

    await agent.freeze(tmp_path, 7)

    assert "frozen" == small.state


async def test_a_freeze_that_fails_is_undone(small: SmallAgent, tmp_path: Path) -> None:
    small.strange["guest-fsfreeze-freeze"] = b'{"error": {"class": "GenericError", "desc": "no such thing"}}\n'

    with pytest.raises(DriverError, match="refused guest-fsfreeze-freeze: no such thing"):
        await agent.freeze(tmp_path, 7)

    assert "guest-fsfreeze-thaw" == small.asked[-1]


async def test_a_guest_without_file_systems_is_not_frozen(small: SmallAgent, tmp_path: Path) -> None:
    small.strange["guest-fsfreeze-freeze"] = b'{"return": 0}\n'

    with pytest.raises(DriverError, match="no file system"):
        await agent.freeze(tmp_path, 7)


async def test_a_channel_at_which_nobody_answers_is_given_up_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent, "_ANSWERING", 0.1)

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(b"x" * 4096)
                await writer.drain()

    with pytest.raises(Rejected):
        await agent.freeze(tmp_path, 7)
    for talk in (deaf, gone, endless):
        async with served(tmp_path, talk):
            with pytest.raises(Rejected):
                await agent.freeze(tmp_path, 7)
        (tmp_path / agent.SOCKET).unlink(missing_ok=True)
