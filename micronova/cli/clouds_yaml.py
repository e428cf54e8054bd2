"""clouds.yaml: how clients find a cloud. Other clouds in the user's own file are never touched, comments included."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from micronova.errors import ConfigError


def entry(auth_url: str, user: str, password: str, project: str, region: str) -> dict[str, Any]:
    """One cloud as clients read it (openstacksdk documentation, "Configuring OpenStack SDK Applications")."""
    return {
        "auth": {
            "auth_url": auth_url,
            "username": user,
            "password": password,
            "project_name": project,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        },
        "region_name": region,
        "identity_api_version": "3",
        "interface": "public",
    }


def user_file() -> Path:
    """The file clients read when nothing else names one."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return home / "openstack" / "clouds.yaml"


def put(file: Path, clouds: dict[str, dict[str, Any]]) -> None:
    """Make `file` hold these clouds besides the others in it.

    Raises ConfigError when it is not YAML of that form, or can't be written.
    """
    text = "\n".join(("clouds:", *_lines(clouds, "  "), ""))
    if not file.exists():
        _write(file, text)
        return
    if file.read_bytes() == text.encode():
        return
    document = _read(file)
    if document.get("clouds") is None:
        document["clouds"] = {}
    known = document["clouds"]
    if not hasattr(known, "update"):
        raise ConfigError(f"{file}: `clouds` is not a table; it was left as it is")
    if all(known.get(name) == cloud for name, cloud in clouds.items()):
        return
    known.update(clouds)
    _write(file, document)


def remove(file: Path, clouds: dict[str, str]) -> None:
    """Take out these clouds (name -> password) where they are still ours: a password is of one cloud alone.

    Raises ConfigError when the file is not YAML of that form, or can't be written.
    """
    if not file.exists():
        return
    document = _read(file)
    known = document.get("clouds") or {}
    ours = [name for name, password in clouds.items() if _password(known, name) == password]
    for name in ours:
        del known[name]
    if ours and not known and len(document) == 1:
        file.unlink()
    elif ours:
        _write(file, document)


def _password(known: Any, name: str) -> Any:
    for key in (name, "auth", "password"):
        known = known.get(key) if isinstance(known, dict) else None
    return known


def read(file: Path) -> dict[str, Any]:
    """The clouds in `file` by name, as plain values; none when it is missing."""
    return dict(_read(file, plain=True).get("clouds") or {})


def _yaml(*, plain: bool = False) -> Any:
    from ruamel.yaml import YAML

    if plain:
        return YAML(typ="safe", pure=True)
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096
    return yaml


def _read(file: Path, *, plain: bool = False) -> Any:
    """The file's YAML; unless `plain`, with all that is needed to write it again as it was."""
    from ruamel.yaml.error import YAMLError

    if not file.exists():
        return {}
    try:
        document = _yaml(plain=plain).load(file.read_text())
    except (YAMLError, UnicodeDecodeError) as err:
        raise ConfigError(f"{file} is not YAML; it was left as it is") from err
    except OSError as err:
        raise ConfigError(f"{file} can't be read: {err.strerror}") from err
    if document is None:
        return {}
    if not hasattr(document, "setdefault"):
        raise ConfigError(f"{file} is not a table; it was left as it is")
    return document


def _lines(table: dict[str, Any], indent: str) -> Iterator[str]:
    """A table of tables and texts as YAML. Written out here because the YAML library costs a start 50 ms."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield f"{indent}{name}:"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{indent}{name}: {json.dumps(value)}"


def _write(file: Path, document: Any) -> None:
    """Make the file hold `document`: YAML, or its text. Where it is a link, what it leads to is the file."""
    file = file.resolve()
    draft = file.with_name(file.name + ".new")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.touch(mode=0o600)
        with open(draft, "w") as out:
            if isinstance(document, str):
                out.write(document)
            else:
                _yaml().dump(document, out)
        draft.replace(file)
    except OSError as err:
        raise ConfigError(f"{file} can't be written: {err.strerror}") from err
