"""From flags to a configuration, and the record of it that later commands on the same state folder start from."""

import os
from pathlib import Path
from typing import Any

import msgspec

from micronova import config
from micronova.config import Config
from micronova.errors import ConfigError

RECORD = "config.json"
DEFAULT_STATE = "state"
FLAGS = {
    "state": "state",
    "listen": "api.listen",
    "simulate": "simulate",
    "bus": "bus.url",
    "db": "database.url",
}
"""Command-line flags by the option they set."""


class Record(msgspec.Struct, frozen=True):
    """What is remembered of a start."""

    options: dict[str, Any]
    origins: dict[str, str]
    plugins: dict[str, Any]


def from_flags(given: dict[str, Any]) -> Config:
    """The configuration of a start: file < environment < flags."""
    flags = {option: given[flag] for flag, option in FLAGS.items() if given.get(flag) not in (None, False)}
    loaded = config.load(given.get("file"), os.environ, flags)
    check_listen(loaded.options.api.listen)
    return loaded


def check_listen(listen: str) -> tuple[str, int]:
    """Host and port of HOST:PORT. Raises ConfigError when it is not one."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"configuration: api.listen: {listen!r} is not HOST:PORT")
    return host, int(port)


def state_of(state: str | None) -> Path:
    """The state folder a command means: its flag, the environment, or `state` here."""
    return Path(state or os.environ.get("MICRONOVA_STATE") or DEFAULT_STATE).absolute()


def record(settings: Config) -> None:
    """Remember the options in force, so that `status`, `down` and the like need only the folder."""
    draft = settings.state / (RECORD + ".new")
    draft.touch(mode=0o600)
    draft.write_bytes(
        msgspec.json.encode(Record(msgspec.to_builtins(settings.options), settings.origins, settings.plugins))
    )
    draft.replace(settings.state / RECORD)


def recorded(state: str | None) -> Config:
    """The options that the folder's last start had. Raises ConfigError when there is no cloud in it."""
    folder = state_of(state)
    try:
        kept = msgspec.json.decode((folder / RECORD).read_bytes(), type=Record)
    except OSError as err:
        hint = f"`micronova up --state {folder}` makes one, --state DIR names one elsewhere"
        raise ConfigError(f"there is no cloud in {folder}; {hint}") from err
    except msgspec.DecodeError as err:
        raise ConfigError(f"{folder / RECORD} is damaged: {err}") from err
    flags = dict(config.flat(kept.options))
    flags["state"] = str(folder)
    loaded = config.load(flags=flags)
    return Config(loaded.options, kept.origins, kept.plugins)
