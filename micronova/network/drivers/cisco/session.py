"""A dialogue with a switch's command line: a line, its echo, the answer, the next prompt, within a time limit."""

import asyncio
import logging
import re
from collections.abc import Sequence

from micronova.errors import DriverError, Rejected
from micronova.network.drivers.cisco.login import Login
from micronova.network.drivers.cisco.ssh import Shell, Unanswered
from micronova.network.drivers.cisco.table import CommandTable
from micronova.network.switch import LoginRefused

LOG = logging.getLogger(__name__)
PROMPT = re.compile(r"(?:^|\n)[ \t]*(?P<name>[\w.:/@~-]{1,64})(?P<mode>\([^()\n]*\))?(?P<end>[>#])[ \t]*\Z")
PROMPT_OR_PASSWORD = re.compile(rf"(?P<password>[Pp]assword:[ \t]*\Z)|{PROMPT.pattern}")
CONTROLS = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()][0-9A-Za-z]|\x1b[=>78cDEHM]|[\x00\x07\x0f]")
KEPT_OF_NAME = 16
"""Switches cut long names in the prompts of configuration modes."""
DEEPEST = 5
LONGEST_SENTENCE = 300
LONGEST_ANSWER = 4_194_304
TAIL = 64


class Refused(DriverError):
    """The switch said no to a line: whoever said it looks whether that matters. `hopeless` when no is for ever."""

    @property
    def hopeless(self) -> bool:
        return bool(self.facts.get("hopeless"))


class Session:
    """One login on one switch, in privileged mode, that no pager interrupts."""

    def __init__(self, table: CommandTable, login: Login, shell: Shell) -> None:
        self._table = table
        self._login = login
        self._shell = shell
        self._name = ""
        self._mode = ""

    @classmethod
    async def begin(cls, table: CommandTable, login: Login) -> "Session":
        """A session that is ready for commands. Raises DriverError when the switch doesn't come that far."""
        shell = await Shell.open(login)
        session = cls(table, login, shell)
        try:
            await session._greet()
        except BaseException:
            shell.abort()
            raise
        return session

    async def end(self) -> None:
        """The session is gone, configuration mode with it."""
        await self._shell.close()

    async def ask(self, command: str, seconds: float | None = None) -> str:
        """The answer to a command, without echo and prompt.

        Raises Refused with the switch's own sentence; Unanswered when it says nothing in time, after which the
        session is of no use; ConnectionLost.
        """
        text = await self._say(command, seconds or self._login.command_seconds)
        self._listen_for_refusal(text)
        return text

    async def tell(self, blocks: Sequence[Sequence[str]]) -> None:
        """Say blocks of configuration, each from the top.

        Raises as `ask`, naming the line; those before it are in force.
        """
        await self._configure()
        for block in blocks:
            for line in block:
                await self._one(line)
            await self._up("(config)")

    async def leave(self) -> None:
        """Back where commands are asked, whatever was refused before."""
        await self._up("")

    # -- inside

    async def _greet(self) -> None:
        seconds = self._login.connect_seconds
        found = await self._until(PROMPT, seconds)
        self._name = found["name"][:KEPT_OF_NAME]
        if found["end"] == ">":
            await self._enable(seconds)
        for command in self._table.prepare:
            await self._say(command, seconds)

    async def _enable(self, seconds: float) -> None:
        """The secret is said only where it was asked for: elsewhere it would be shown and logged as a command."""
        file = self._login.enable_password_file or self._login.password_file
        self._shell.write(f"{self._table.enable}\n")
        after_echo = rf"(?s){re.escape(self._table.enable)}[ \t]*(?=\n).*?(?:{PROMPT_OR_PASSWORD.pattern})"
        found = await self._until(re.compile(after_echo), seconds)
        if found["password"]:
            self._shell.write(f"{self._login.secret(file) if file else ''}\n")
            found = await self._until(PROMPT_OR_PASSWORD, seconds)
        if found["end"] != "#":
            raise LoginRefused(f"switch {self._login.name} refused {self._login.user} the privileged mode")

    async def _configure(self) -> None:
        await self.ask(self._table.configure)
        if not self._mode:
            raise DriverError(f"switch {self._login.name} did not enter configuration")

    async def _one(self, line: str) -> None:
        try:
            await self.ask(line)
        except Refused as err:
            raise Refused(f"{err.message} (to: {line})", hopeless=err.hopeless) from err

    async def _up(self, mode: str) -> None:
        """Leave one mode after the other. Leaving is what puts a VLAN in force, so it may be refused too."""
        refused: Refused | None = None
        for _ in range(DEEPEST):
            if self._mode in ("", mode):
                break
            try:
                await self.ask(self._table.leave)
            except Refused as err:
                refused = err
        if self._mode not in ("", mode):
            raise DriverError(f"switch {self._login.name} stays in {self._mode}")
        if refused and mode:
            raise refused

    async def _say(self, command: str, seconds: float) -> str:
        """The answer begins after the echo: a prompt before it belongs to what was said earlier."""
        self._shell.write(f"{command}\n")
        prompt = re.compile(
            rf"(?s){re.escape(command)}[ \t]*(?P<answer>\n.*?|){re.escape(self._name)}"
            r"[^\s()>#]*(?P<mode>\([^()\n]*\))?(?P<end>[>#])[ \t]*\Z"
        )
        found = await self._until(prompt, seconds, about=command)
        self._mode = found["mode"] or ""
        return found["answer"].strip("\n")

    async def _until(self, pattern: re.Pattern[str], seconds: float, about: str = "") -> re.Match[str]:
        heard = ""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    heard += await self._shell.read()
                    found = pattern.search(_plain(heard)) if _may_end(heard) else None
                    if found:
                        return found
                    if len(heard) > LONGEST_ANSWER:
                        raise Unanswered(f"switch {self._login.name} does not stop talking")
        except TimeoutError as err:
            what = f" {about!r}" if about else ""
            raise Unanswered(f"switch {self._login.name} did not answer{what} within {seconds:g} s") from err

    def _listen_for_refusal(self, text: str) -> None:
        sentence = " ".join(line.strip() for line in text.splitlines() if self._says_no(line.strip()))
        if sentence:
            hopeless = any(re.search(pattern, sentence) for pattern in self._table.hopeless)
            sentence = sentence[:LONGEST_SENTENCE]
            raise Refused(f"switch {self._login.name}: {sentence}", hopeless=hopeless)

    def _says_no(self, line: str) -> bool:
        return any(re.match(pattern, line) for pattern in self._table.refusals)


def settled(err: Refused) -> DriverError:
    """A refusal in the words of the contract."""
    return Rejected(err.message) if err.hopeless else DriverError(err.message)


def _may_end(heard: str) -> bool:
    """Looking through everything at each packet of a long answer would take the square of its length."""
    return _plain(heard[-TAIL:]).rstrip(" \t")[-1:] in ("", ">", "#", ":", "\n")


def _plain(text: str) -> str:
    """Without what moves cursors, with `\\n` as the only end of a line."""
    text = CONTROLS.sub("", text).replace("\r\n", "\n")
    while "\b" in text:
        text = re.sub(r"[^\b\n]?\b", "", text, count=1)
    return re.sub(r"\n\r|\r", "\n", text)
