"""JSON Schema documents that tell clients what images and members look like. Built once from the same lists that
check what clients send."""

from typing import Any

from micronova.image.fields import CONTAINER_FORMATS, DISK_FORMATS, LONGEST, UUID, VISIBILITIES
from micronova.image.members import STATUSES

IMAGE_STATUSES = (
    "queued",
    "saving",
    "active",
    "killed",
    "deleted",
    "uploading",
    "importing",
    "pending_delete",
    "deactivated",
)
_ID = f"^{UUID.pattern}$"
_LINK = {"rel": "describedby", "href": "{schema}"}


def _string(description: str, **more: Any) -> dict[str, Any]:
    return {"type": "string", "description": description, **more}


def _nullable(description: str, **more: Any) -> dict[str, Any]:
    return {"type": ["null", "string"], "description": description, **more}


def _told(kind: Any, description: str, **more: Any) -> dict[str, Any]:
    """A field that only the cloud sets."""
    return {"type": kind, "description": description, "readOnly": True, **more}


IMAGE_PROPERTIES: dict[str, Any] = {
    "id": _string("The image's UUID", pattern=_ID),
    "name": _nullable("What people call the image", maxLength=LONGEST),
    "status": _told("string", "Where the image is in its life", enum=list(IMAGE_STATUSES)),
    "visibility": _string("Who sees the image", enum=list(VISIBILITIES)),
    "protected": {"type": "boolean", "description": "Whether the image can't be deleted"},
    "os_hidden": {"type": "boolean", "description": "Whether lists leave the image out unless asked for it"},
    "checksum": _told(["null", "string"], "MD5 of the bytes, in hex", maxLength=32),
    "os_hash_algo": _told(["null", "string"], "What os_hash_value was computed with", maxLength=64),
    "os_hash_value": _told(["null", "string"], "Secure hash of the bytes, in hex", maxLength=128),
    "owner": _nullable("The project the image belongs to", maxLength=LONGEST),
    "size": _told(["null", "integer"], "Bytes of the image's file"),
    "virtual_size": _told(["null", "integer"], "Bytes of the disk a guest would see"),
    "container_format": _nullable("What is wrapped around the disk", enum=[None, *CONTAINER_FORMATS]),
    "disk_format": _nullable("How the disk is encoded", enum=[None, *DISK_FORMATS]),
    "created_at": _told("string", "When the image was registered"),
    "updated_at": _told("string", "When the image was last changed"),
    "tags": {
        "type": "array",
        "description": "Words to find the image by",
        "items": {"type": "string", "maxLength": LONGEST},
    },
    "direct_url": _told("string", "Where the store keeps the bytes, if it tells"),
    "min_ram": {"type": "integer", "description": "Memory in MB that a guest needs at least"},
    "min_disk": {"type": "integer", "description": "Disk space in GB that a guest needs at least"},
    "self": _told("string", "Path of the image"),
    "file": _told("string", "Path of the image's bytes"),
    "schema": _told("string", "Path of this document"),
    "stores": _told("string", "Names of the stores that have the bytes"),
    "locations": {
        "type": "array",
        "description": "Where the bytes can be had elsewhere; not offered by this cloud",
        "items": {
            "type": "object",
            "properties": {"url": {"type": "string", "maxLength": LONGEST}, "metadata": {"type": "object"}},
            "required": ["url", "metadata"],
        },
    },
}

MEMBER_PROPERTIES: dict[str, Any] = {
    "member_id": _string("The project the image is shared with"),
    "image_id": _string("The image's UUID", pattern=_ID),
    "created_at": _string("When the image was shared"),
    "updated_at": _string("When the membership was last changed"),
    "status": _string("What the project made of the offer", enum=list(STATUSES)),
    "schema": {"type": "string", "readOnly": True},
}

IMAGE: dict[str, Any] = {
    "name": "image",
    "properties": IMAGE_PROPERTIES,
    "additionalProperties": {"type": "string"},
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        _LINK,
    ],
}

MEMBER: dict[str, Any] = {"name": "member", "properties": MEMBER_PROPERTIES, "additionalProperties": False}


def _collection(name: str, item: dict[str, Any], *, paged: bool) -> dict[str, Any]:
    properties: dict[str, Any] = {name: {"type": "array", "items": item}, "schema": {"type": "string"}}
    links = [_LINK]
    if paged:
        properties |= {"first": {"type": "string"}, "next": {"type": "string"}}
        links = [{"rel": "first", "href": "{first}"}, {"rel": "next", "href": "{next}"}, _LINK]
    return {"name": name, "properties": properties, "links": links}


DOCUMENTS: dict[str, dict[str, Any]] = {
    "image": IMAGE,
    "images": _collection("images", IMAGE, paged=True),
    "member": MEMBER,
    "members": _collection("members", MEMBER, paged=False),
}
