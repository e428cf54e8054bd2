"""What an image's fields and custom properties may hold: the checks that create and change share. Pure.

The sentences are Glance's where clients look for them (API reference "Image API v2", "Images").
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from micronova.errors import BadRequest, Forbidden, TooLarge

BASE = frozenset(
    (
        "checksum",
        "container_format",
        "created_at",
        "disk_format",
        "id",
        "min_disk",
        "min_ram",
        "name",
        "os_hash_algo",
        "os_hash_value",
        "os_hidden",
        "owner",
        "protected",
        "size",
        "status",
        "tags",
        "updated_at",
        "virtual_size",
        "visibility",
    )
)
"""Fields every image has; any other name is a custom property."""

SETTABLE = BASE - {"checksum", "created_at", "os_hash_algo", "os_hash_value", "size", "status", "updated_at"}
SETTABLE -= {"virtual_size"}
READ_ONLY = (BASE - SETTABLE) | {"direct_url", "self", "file", "schema", "stores"}
RESERVED = frozenset(("location", "deleted", "deleted_at"))
RESERVED_PREFIX = "os_glance"

DISK_FORMATS = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop")
CONTAINER_FORMATS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
VISIBILITIES = ("community", "public", "private", "shared")
UUID = re.compile(r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")

LONGEST = 255
LONGEST_VALUE = 65_535
MOST = 128
LARGEST = 2**31 - 1

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_WORSE_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""In a value, tabs and line ends are fine."""


def wrong(reason: str) -> BadRequest:
    """The refusal of a value."""
    return BadRequest(f"Provided object does not match schema 'image': {reason}")


def check(name: str, value: Any) -> None:
    """Return when a field or custom property may hold `value`. Raises BadRequest with the reason."""
    checker = _CHECKS.get(name)
    if checker is not None:
        checker(name, value)
        return
    if len(name) > LONGEST:
        raise BadRequest(f"Custom property should not be greater than {LONGEST} characters.")
    _text(name, value, LONGEST_VALUE, _WORSE_CONTROL)
    if not name or _CONTROL.search(name):
        raise wrong(f"{_brief(name)} can't be the name of a property")


def refuse_reserved(name: str, read_only: Iterable[str]) -> None:
    """Return when a user may set this name. Raises Forbidden."""
    if name in read_only:
        raise Forbidden(f"Attribute '{name}' is read-only.")
    if name in RESERVED or name.startswith(RESERVED_PREFIX):
        raise Forbidden(f"Attribute '{name}' is reserved.")


def check_counts(tags: Iterable[str], properties: Mapping[str, str]) -> None:
    """Return when an image may have so many. Raises TooLarge."""
    for noun, count in (("tags", len(tuple(tags))), ("properties", len(properties))):
        if count > MOST:
            raise TooLarge(
                f"The limit has been exceeded on the number of allowed image {noun}. "
                f"Attempted: {count}, Maximum: {MOST}"
            )


def unique(values: Iterable[str]) -> tuple[str, ...]:
    """The values without repetitions, in their order."""
    return tuple(dict.fromkeys(values))


# -- by field


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _text(name: str, value: Any, most: int = LONGEST, never: re.Pattern[str] = _CONTROL) -> None:
    if not isinstance(value, str):
        raise wrong(f"{_brief(value)} is not of type 'string' (property '{name[:LONGEST]}')")
    if len(value) > most:
        raise wrong(f"{_brief(value)} is too long (property '{name[:LONGEST]}', at most {most} characters)")
    if never.search(value):
        raise wrong(f"{_brief(value)} has control characters (property '{name[:LONGEST]}')")


def _text_or_null(name: str, value: Any) -> None:
    if value is not None:
        _text(name, value)


def _flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise wrong(f"{_brief(value)} is not of type 'boolean' (property '{name}')")


def _count(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong(f"{_brief(value)} is not of type 'integer' (property '{name}')")
    if value < 0:
        raise BadRequest(f"Invalid value '{_brief(value)}' for parameter '{name}': Cannot be a negative value")
    if value > LARGEST:
        raise BadRequest(f"Invalid value '{_brief(value)}' for parameter '{name}': Cannot be above {LARGEST}")


def _id(name: str, value: Any) -> None:
    _text(name, value)
    if not UUID.fullmatch(value):
        raise wrong(f"{_brief(value)} is not a UUID (property '{name}')")


def _tags(name: str, value: Any) -> None:
    if not isinstance(value, list):
        raise wrong(f"{_brief(value)} is not of type 'array' (property '{name}')")
    for tag in value:
        _text("tags", tag)


def _one_of(allowed: tuple[Any, ...]) -> Callable[[str, Any], None]:
    def check_one(name: str, value: Any) -> None:
        if not isinstance(value, str | None) or value not in allowed:
            raise wrong(f"{_brief(value)} is not one of {list(allowed)!r} (property '{name}')")

    return check_one


_CHECKS: Mapping[str, Callable[[str, Any], None]] = {
    "id": _id,
    "name": _text_or_null,
    "owner": _text_or_null,
    "visibility": _one_of(VISIBILITIES),
    "protected": _flag,
    "os_hidden": _flag,
    "disk_format": _one_of((None, *DISK_FORMATS)),
    "container_format": _one_of((None, *CONTAINER_FORMATS)),
    "min_disk": _count,
    "min_ram": _count,
    "tags": _tags,
}
