"""What tests of switches share: settings and secrets for a switch on loopback, and simulators in their own process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
from simulator_words import ENABLE, PASSWORD, USER

from micronova.clock import SystemClock
from micronova.network.drivers.cisco.driver import CliSwitch
from micronova.network.drivers.cisco.table import CommandTable
from micronova.network.switch_file import SwitchSettings

HERE = Path(__file__).parent
STOP_SECONDS = 20


def secrets(folder: Path) -> None:
    """Files with the secrets of the switches here."""
    for name, text in (("login.secret", PASSWORD), ("enable.secret", ENABLE)):
        file = folder / name
        file.write_text(text + "\n")
        file.chmod(0o600)


def settings(port: int, **others: Any) -> SwitchSettings:
    """A switch on loopback, its host key unchecked unless told otherwise."""
    defaults: dict[str, Any] = {
        "driver": "any",
        "address": "127.0.0.1",
        "port": port,
        "user": USER,
        "password_file": "login.secret",
        "enable_password_file": "enable.secret",
        "check_host_key": False,
        "connect_seconds": 30.0,
        "command_seconds": 30.0,
    }
    return msgspec.convert(defaults | others, SwitchSettings)


def switch(table: CommandTable, folder: Path, given: SwitchSettings) -> CliSwitch:
    """The driver of a switch whose secrets are in a folder."""
    secrets(folder)
    return table.configured("rack1", given, folder, SystemClock())


class Simulator:
    """A switch of fake-switches in a process of its own."""

    def __init__(self, model: str) -> None:
        words = [sys.executable, "-W", "ignore", str(HERE / "simulator.py"), model]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port: int = self._answer()["port"]

    def state(self) -> dict[str, Any]:
        """What the simulator itself has, past its command line."""
        return self._ask("state")

    def reset(self) -> None:
        """The switch is as new."""
        self._ask("reset")

    def stop(self) -> None:
        """The process is gone."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _ask(self, question: str) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(f"{question}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found
