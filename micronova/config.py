"""The configuration: TOML file < environment < flags; every value knows where it came from.

The environment names an option `MICRONOVA_SECTION_KEY`, e.g. MICRONOVA_NETWORK_MTU=1450 or MICRONOVA_HOST=n1. Sections
that are not ours belong to plug-ins, which read them with `section()`.
"""

import re
import socket
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from micronova.errors import ConfigError
from micronova.options import Options

S = TypeVar("S", bound=msgspec.Struct)
PREFIX = "MICRONOVA_"
PLUGIN = "plugin"
SECRET_KEYS = ("password", "secret", "key", "token")


class Config:
    """The options in force, with the origin of each."""

    def __init__(self, options: Options, origins: Mapping[str, str], plugins: Mapping[str, Any]) -> None:
        self.options = options
        self.origins = dict(origins)
        self.plugins = dict(plugins)

    @property
    def host(self) -> str:
        return self.options.host or socket.gethostname()

    @property
    def state(self) -> Path:
        return Path(self.options.state).absolute()

    def section(self, name: str, kind: type[S]) -> S:
        """The options of a plug-in, section `[plugin.NAME]`. Raises ConfigError naming the key that is wrong."""
        try:
            return msgspec.convert(self.plugins.get(name, {}), kind, strict=True)
        except msgspec.ValidationError as err:
            raise ConfigError(f"configuration: [{PLUGIN}.{name}]: {_plain(str(err))}") from err

    def lines(self) -> Iterator[tuple[str, Any, str]]:
        """(option, value, origin) of every option; secrets are hidden."""
        for name, value in flat(msgspec.to_builtins(self.options)):
            hidden = value and any(word in name.rsplit(".", 1)[-1] for word in SECRET_KEYS) and isinstance(value, str)
            yield name, "***" if hidden else value, self.origins.get(name, "default")


def load(
    file: Path | None = None, environment: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> Config:
    """Read the configuration. `flags` are dotted names with values, e.g. {"api.listen": "127.0.0.1:0"}.

    Raises ConfigError in one sentence naming the file (or variable, or flag) and the key that is unknown or ill-typed.
    """
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    plugins: dict[str, Any] = {}
    if file is not None:
        tree = _read(file)
        plugins = tree.pop(PLUGIN, {})
        _check(tree, str(file))
        for name, value in (*flat(tree), *((name, {}) for name in _bare(tree) if _is_entry(name))):
            merged[name], origins[name] = value, str(file)
    for name, value, variable in _from_environment(environment or {}):
        merged[name], origins[name] = value, f"environment {variable}"
    for name, value in (flags or {}).items():
        merged[name], origins[name] = value, f"flag for {name}"
    return Config(_convert(merged, origins), origins, plugins)


def flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Nested tables as dotted names."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _bare(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted names of tables that say nothing."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _bare(value, f"{prefix}{key}.") if value else (f"{prefix}{key}",)


def _is_entry(section: str) -> bool:
    """Whether a section is one of as many as there are, like a back end: then it counts without a key in it too."""
    kind: Any = Options
    for part in section.split("."):
        entry = get_origin(kind) is dict
        kind = get_args(kind)[1] if entry else get_type_hints(kind)[part]
    return entry


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except OSError as err:
        raise ConfigError(f"configuration: {file} can't be read: {err.strerror}") from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise ConfigError(f"configuration: {file} is not TOML: {err}") from err


def _check(tree: Mapping[str, Any], origin: str) -> None:
    try:
        msgspec.convert(tree, Options, strict=True)
    except msgspec.ValidationError as err:
        raise ConfigError(f"configuration: {origin}: {_plain(str(err))}") from err


def _convert(merged: Mapping[str, Any], origins: Mapping[str, str]) -> Options:
    tree: dict[str, Any] = {}
    for name, value in merged.items():
        *sections, key = name.split(".")
        place = tree
        for section in sections:
            place = place.setdefault(section, {})
        place[key] = value
        try:
            msgspec.convert(_nest(name, value), Options, strict=not isinstance(value, str))
        except msgspec.ValidationError as err:
            raise ConfigError(f"configuration: {origins[name]}: {_plain(str(err))}") from err
    return msgspec.convert(tree, Options, strict=False)


def _nest(name: str, value: Any) -> dict[str, Any]:
    for part in reversed(name.split(".")):
        value = {part: value}
    return value  # type: ignore[no-any-return]


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[str, Any, str]]:
    known = {PREFIX + name.replace(".", "_").upper(): name for name, _ in flat(msgspec.to_builtins(Options()))}
    for variable, text in sorted(environment.items()):
        if not variable.startswith(PREFIX):
            continue
        if variable not in known:
            raise ConfigError(f"configuration: environment variable {variable} names no option")
        name = known[variable]
        yield name, (text.split(",") if text else []) if name in _lists() else text, variable


def _lists() -> frozenset[str]:
    return frozenset(name for name, value in flat(msgspec.to_builtins(Options())) if isinstance(value, list | tuple))


def _plain(text: str) -> str:
    """msgspec's message with the path first and in our words: `network.mtu: expected int, got str`."""
    found = re.match(r"(.*?) - at `\$\.?(.*)`$", text)
    sentence, path = (found[1], found[2]) if found else (text, "")
    unknown = re.match(r"Object contains unknown field `(.*)`", sentence)
    if unknown:
        return f"unknown option {'.'.join(filter(None, (path, unknown[1])))}"
    sentence = sentence[:1].lower() + sentence[1:].replace("`", "")
    return f"{path}: {sentence}" if path else sentence
