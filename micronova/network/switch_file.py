"""The switches file: which switches are between the hosts, how to reach them, and which of their ports is whose.

[switch.rack1]
driver = "ios"                                # an entry point in micronova.drivers.switch
address = "192.0.2.10"
user = "micronova"
password_file = "rack1.password"              # paths are relative to this file's folder
fingerprint = "SHA256:…"
uplinks = ["GigabitEthernet1/0/48"]
hosts.node1 = ["GigabitEthernet1/0/1"]
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from micronova.errors import ConfigError

PORT = r"^[A-Za-z][A-Za-z0-9 ./:_-]{0,63}$"
"""A port's name as switches spell it; nothing that could end a command and begin another."""
Port = Annotated[str, Meta(pattern=PORT)]
Seconds = Annotated[float, Meta(gt=0)]


class SwitchSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One switch. Secrets are only named here, by file: nothing that prints this can tell them.

    `hosts` are the ports each host hangs on, none for one that is behind the uplinks; `uplinks`, to other switches,
    carry every VLAN of these hosts, and those of all hosts where none is named. `physical_network` "" serves every
    physical network. Of `fingerprint` (SHA256:…) and `known_hosts` (a file) at least one is needed unless
    `check_host_key` is false. `legacy_algorithms` also allows SHA-1 and CBC, all that old switches know.
    """

    driver: str
    address: str = ""
    port: Annotated[int, Meta(ge=1, le=65535)] = 22
    user: str = ""
    password_file: str = ""
    key_file: str = ""
    enable_password_file: str = ""
    known_hosts: str = ""
    fingerprint: Annotated[str, Meta(pattern=r"^(SHA256:[A-Za-z0-9+/=]{43,44})?$")] = ""
    check_host_key: bool = True
    legacy_algorithms: bool = False
    connect_seconds: Seconds = 20.0
    command_seconds: Seconds = 20.0
    save: bool = True
    save_seconds: Seconds = 120.0
    physical_network: str = ""
    uplinks: tuple[Port, ...] = ()
    hosts: dict[str, tuple[Port, ...]] = {}

    @property
    def ports(self) -> tuple[str, ...]:
        """Every port of this switch that we may change: those of hosts, in order of host, and the uplinks."""
        return (*(port for host in sorted(self.hosts) for port in self.hosts[host]), *self.uplinks)


class SwitchFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    switch: dict[Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")], SwitchSettings]


def read(file: Path) -> dict[str, SwitchSettings]:
    """The switches in a file, by name.

    Raises ConfigError in one sentence naming the file and the key that is unknown, ill-typed, or a port that is given
    twice.
    """
    try:
        tree = tomllib.loads(file.read_text())
    except OSError as err:
        raise ConfigError(f"network.switches_file: {file} can't be read: {err.strerror}") from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise ConfigError(f"network.switches_file: {file} is not TOML: {err}") from err
    switches = _convert(file, tree)
    for name, settings in switches.items():
        _ports_once(file, name, settings.ports)
    return switches


def _convert(file: Path, tree: Mapping[str, Any]) -> dict[str, SwitchSettings]:
    """Section by section: msgspec's path would say `[...]` for the name of the switch that is wrong."""
    sections = tree.get("switch", {})
    if isinstance(sections, dict):
        for name, section in sections.items():
            try:
                msgspec.convert(section, SwitchSettings, strict=True)
            except msgspec.ValidationError as err:
                raise ConfigError(f"network.switches_file: {file}: switch.{name}{_plain(str(err))}") from err
    try:
        return msgspec.convert(tree, SwitchFile, strict=True).switch
    except msgspec.ValidationError as err:
        raise ConfigError(f"network.switches_file: {file}{_plain(str(err))}") from err


def _ports_once(file: Path, name: str, ports: tuple[str, ...]) -> None:
    seen: set[str] = set()
    for port in ports:
        if port in seen:
            raise ConfigError(f"network.switches_file: {file}: switch.{name}: port {port} is given twice")
        seen.add(port)


def _plain(text: str) -> str:
    """msgspec's message with the path first: `.hosts.node1: expected array, got str`."""
    found = re.match(r"(.*?) - at `(?:key in )?\$(.*)`$", text)
    sentence, path = (found[1], found[2]) if found else (text, "")
    unknown = re.match(r"Object contains unknown field `(.*)`", sentence)
    if unknown:
        return f"{path}.{unknown[1]}: there is no such key"
    missing = re.match(r"Object missing required field `(.*)`", sentence)
    if missing:
        return f"{path}.{missing[1]}: is missing"
    return f"{path}: {sentence[:1].lower()}{sentence[1:].replace('`', '')}"
