"""Images and their changes as clients write them, and what a change makes of an image. Pure.

    {"name": "x", "disk_format": "raw", "anything": "else"}     a new image

Changes are JSON patches of two drafts:

    [{"op": "replace", "path": "/name", "value": "x"}]      application/openstack-images-v2.1-json-patch
    [{"replace": "/name", "value": "x"}]                    application/openstack-images-v2.0-json-patch
"""

import re
from typing import Any

import msgspec

from micronova.errors import BadRequest, Conflict, Forbidden
from micronova.image import fields, states
from micronova.image.db import Image

DRAFTS = {
    "application/openstack-images-v2.0-json-patch": 4,
    "application/openstack-images-v2.1-json-patch": 10,
}
OPERATIONS = ("add", "remove", "replace")
LOCATIONS = "locations"
MOST_CHANGES = 1000
_DEPTHS = {"add": 2, "remove": 2, "replace": 1}


class Change(msgspec.Struct, frozen=True):
    """One operation on one field or property. `fresh`: an addition must not meet what is there already."""

    op: str
    name: str
    value: Any = None
    fresh: bool = False


class NewImage(msgspec.Struct, frozen=True):
    """An image to be: the fields that were given, and the custom properties."""

    values: dict[str, Any] = {}
    properties: dict[str, str] = {}


def creation(body: Any) -> NewImage:
    """The image of a create request. Raises BadRequest, Forbidden for what users may not set, TooLarge."""
    if not isinstance(body, dict):
        raise fields.wrong("an image must be a JSON object")
    for name in ("direct_url", "self", "file", "schema", "stores"):
        if name in body:
            raise Forbidden(f"Attribute '{name}' is read-only.")
    for name, value in body.items():
        if name not in fields.READ_ONLY:
            fields.check(name, value)
    for name in body:
        fields.refuse_reserved(name, fields.READ_ONLY)
    if LOCATIONS in body:
        raise Forbidden(f"Attribute '{LOCATIONS}' is reserved.")
    values = {name: value for name, value in body.items() if name in fields.BASE}
    properties = {name: value for name, value in body.items() if name not in fields.BASE}
    values["tags"] = fields.unique(body.get("tags", ()))
    fields.check_counts(values["tags"], properties)
    return NewImage(values, properties)


def parse(body: Any, content_type: str) -> list[Change]:
    """The changes of a request. Raises BadRequest with status 415 for another type, BadRequest, Forbidden."""
    draft = DRAFTS.get(content_type.partition(";")[0].strip().lower())
    if draft is None:
        raise BadRequest(f"Image PATCH expects Content-Type one of: {', '.join(sorted(DRAFTS))}", status=415)
    if not isinstance(body, list):
        raise BadRequest("Request body must be a JSON array of operation objects.")
    if len(body) > MOST_CHANGES:
        raise BadRequest(f"A request may hold at most {MOST_CHANGES} operations.")
    return [_change(raw, draft) for raw in body]


def _change(raw: Any, draft: int) -> Change:
    if not isinstance(raw, dict):
        raise BadRequest("Operations must be JSON objects.")
    op, pointer = _operation(raw) if draft == 10 else _old_operation(raw)
    if not isinstance(pointer, str):
        raise BadRequest("The path of an operation must be a string.")
    path = _path(pointer)
    depth = _DEPTHS[op] if path[0] == LOCATIONS else 1
    if len(path) != depth:
        raise BadRequest(f"Invalid JSON pointer for this resource: '/{'/'.join(path)}'")
    name = path[0]
    if op != "remove" and "value" not in raw:
        raise BadRequest(f'Operation "{op}" requires a member named "value".')
    fields.refuse_reserved(name, fields.READ_ONLY | {"id"})
    if op == "remove":
        return Change(op, name)
    if name != LOCATIONS:
        fields.check(name, raw["value"])
    return Change(op, name, raw["value"], fresh=op == "add" and draft == 4)


def _operation(raw: dict[str, Any]) -> tuple[str, Any]:
    op = raw.get("op")
    if op is None:
        raise BadRequest("Unable to find `op` in JSON Schema change. It must be one of the following: " + _ALL)
    if op not in OPERATIONS:
        raise BadRequest(f"Invalid operation: `{str(op)[:50]}`. It must be one of the following: {_ALL}")
    if "path" not in raw:
        raise BadRequest("Unable to find 'path' in JSON Schema change")
    return op, raw["path"]


_ALL = "add, remove, replace."


def _old_operation(raw: dict[str, Any]) -> tuple[str, Any]:
    named = [op for op in OPERATIONS if op in raw]
    if len(named) != 1:
        quantity = "only" if named else "exactly"
        raise BadRequest(f'Operation objects must contain {quantity} one member named "add", "remove", or "replace".')
    return named[0], raw[named[0]]


def _path(pointer: str) -> list[str]:
    """The parts of a JSON pointer (RFC 6901)."""
    shown = f"Pointer `{pointer[:300]}`"
    if not pointer.startswith("/"):
        raise BadRequest(f'{shown} does not start with "/".')
    if re.search(r"/\s*/", pointer[1:]):
        raise BadRequest(f'{shown} contains adjacent "/".')
    if len(pointer) > 1 and pointer.endswith("/"):
        raise BadRequest(f'{shown} end with "/".')
    if not pointer[1:].strip():
        raise BadRequest(f"{shown} does not contains valid token.")
    if re.search("~(?![01])", pointer):
        raise BadRequest(f'{shown} contains "~" not part of a recognized escape sequence.')
    return [part.replace("~1", "/").replace("~0", "~").strip() for part in pointer[1:].split("/")]


def apply(image: Image, changes: list[Change], *, is_admin: bool) -> dict[str, Any]:
    """The fields of `image` that the changes give new values, with those values; all or none.

    Raises Conflict for a property that is not there (or there already), Forbidden for what may not be changed.
    """
    new: dict[str, Any] = {}
    properties = dict(image.properties)
    for change in changes:
        if change.name == LOCATIONS:
            verb = {"add": "add", "remove": "remove", "replace": "update"}[change.op]
            raise Forbidden(f"It's not allowed to {verb} locations if locations are invisible.")
        if change.name in fields.BASE:
            new[change.name] = _field(image, change, is_admin=is_admin)
        else:
            _property(properties, change)
    if properties != image.properties:
        new["properties"] = properties
    fields.check_counts(new.get("tags", image.tags), properties)
    return new


def _field(image: Image, change: Change, *, is_admin: bool) -> Any:
    name = change.name
    if change.op == "remove":
        raise Forbidden(f"Property {name} may not be removed.")
    if name == "owner" and not is_admin:
        raise Forbidden("Owner can't be updated by non admin.")
    if change.fresh:
        raise Conflict(f"Property {name} already present.")
    if name in ("disk_format", "container_format") and image.status != states.QUEUED:
        raise Forbidden(f"Attribute {name} can be only replaced for a queued image.")
    return fields.unique(change.value) if name == "tags" else change.value


def _property(properties: dict[str, str], change: Change) -> None:
    there = change.name in properties
    if change.op != "add" and not there:
        raise Conflict(f"Property {change.name} does not exist.")
    if change.fresh and there:
        raise Conflict(f"Property {change.name} already present.")
    if change.op == "remove":
        del properties[change.name]
    else:
        properties[change.name] = change.value
