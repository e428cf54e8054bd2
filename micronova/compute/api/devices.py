"""The disks a new server is to have, as POST /servers says it in two ways.

"block_device_mapping_v2": [{"source_type": "image", "uuid": "…", "destination_type": "volume", "boot_index": 0,
                             "volume_size": 10, "delete_on_termination": true, "volume_type": "ssd", "tag": "root"}]
"block_device_mapping": [{"device_name": "vda", "volume_id": "…", "delete_on_termination": false}]
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from micronova.compute import disks, inputs
from micronova.compute.db import DiskPlan
from micronova.compute.inputs import Tag, unexpected
from micronova.errors import BadRequest
from micronova.microversion import Version

Flag = bool | str
Short = Annotated[str, Meta(max_length=255)]
DeviceName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A[a-zA-Z0-9._/-]*\Z")]
Index = Annotated[str, Meta(pattern=r"\A-?[0-9]+\Z")]
_TYPES = ("", "disk", "lun")
_TAGS_AGAIN: Version = (2, 42)
_ROOT = disks.ROOT_DEVICE


class DeviceIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One entry of `block_device_mapping_v2`."""

    source_type: Literal["volume", "image", "snapshot", "blank"] | None = None
    destination_type: Literal["local", "volume"] | None = None
    uuid: Annotated[str, Meta(min_length=1, max_length=255, pattern=r"\A[a-zA-Z0-9._-]*\Z")] | None = None
    image_id: str | None = None
    volume_id: str | None = None
    snapshot_id: str | None = None
    boot_index: int | Index | None = None
    volume_size: int | str | None = None
    delete_on_termination: Flag = False
    device_name: DeviceName | None = None
    guest_format: Short | None = None
    device_type: Short | None = None
    disk_bus: Short | None = None
    no_device: Any = None
    virtual_name: Short | None = None
    connection_info: str | None = None
    tag: Tag | None = None
    volume_type: Short | None = None


class OldDeviceIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One entry of `block_device_mapping`."""

    device_name: DeviceName | None = None
    volume_id: str | None = None
    snapshot_id: str | None = None
    volume_size: int | str | None = None
    delete_on_termination: Flag = False
    no_device: Any = None
    virtual_name: Short | None = None
    connection_info: str | None = None


class Devices(msgspec.Struct, frozen=True):
    """What a server boots from and has: `image_ref` is "" where its root disk is one of `disks`."""

    image_ref: str
    disks: tuple[DiskPlan, ...] = ()


def read_devices(old: Sequence[OldDeviceIn], new: Sequence[DeviceIn], image_ref: str, version: Version) -> Devices:
    """What a body asks for. Raises BadRequest in Nova's words for what can't be."""
    if old and new:
        raise BadRequest("Using different block_device_mapping syntaxes is not allowed in the same request.")
    if old:
        plans = [_old(said, image_ref) for said in old if not said.no_device]
        return _booting(plans, image_ref)
    kept = [said for said in new if not said.no_device]
    local = [said for said in kept if _is_local_image(said, image_ref)]
    plans = [_new(said, version) for said in kept if said not in local]
    if not plans:
        return Devices(image_ref)
    return _booting(plans, image_ref if local else "")


def _booting(plans: list[DiskPlan], image_ref: str) -> Devices:
    """Raises BadRequest when there is not exactly one order to boot in."""
    indexes = sorted(plan.boot_index for plan in plans if plan.boot_index is not None)
    if image_ref:
        indexes = sorted((0, *indexes))
    if not indexes or indexes != list(range(len(indexes))):
        raise _invalid("Boot sequence for the instance and image/block device mapping combination is not valid.")
    if image_ref:
        for plan in plans:
            if plan.device in (_ROOT, disks.device_name("sda")):
                raise BadRequest(f"The volume cannot be assigned the same device name as the root device {_ROOT[5:]}")
    return Devices(image_ref, tuple(plans))


def _is_local_image(said: DeviceIn, image_ref: str) -> bool:
    """Whether this entry only says again that the server boots from a copy of `imageRef`. Raises BadRequest."""
    if said.source_type != "image" or said.destination_type == "volume":
        return False
    if not said.uuid:
        raise _invalid("Missing device UUID.")
    if not image_ref or _index(said) != 0:
        raise _invalid("Mapping image to local is not supported.")
    if said.uuid != image_ref:
        raise _invalid("the boot device is not the image of imageRef.")
    if said.volume_type is not None:
        raise _invalid("Specifying a volume_type with destination_type=local is not supported.")
    return True


def _new(said: DeviceIn, version: Version) -> DiskPlan:
    _check_version(said, version)
    if said.source_type is None:
        raise _invalid("Some required fields are missing")
    source = said.source_type
    given = said.uuid or ""
    if source == "blank" and given:
        raise _invalid("Invalid device UUID.")
    if source != "blank" and not given:
        raise _invalid("Missing device UUID.")
    if said.destination_type == "local" or (source == "blank" and said.destination_type is None):
        if said.volume_type is not None:
            raise _invalid("Specifying a volume_type with destination_type=local is not supported.")
        raise _invalid("this cloud has no swap and no ephemeral disks.")
    if source == "volume" and said.volume_type is not None:
        raise _invalid("Specifying volume type to existing volume is not supported.")
    size_gib = _size(said.volume_size)
    if source == "image" and not size_gib:
        raise _invalid("Images with destination_type 'volume' need to have a non-zero size specified")
    if source == "blank" and not size_gib:
        raise _invalid("Blank volumes (source: 'blank', dest: 'volume') need to have non-zero size")
    return DiskPlan(
        source=source,
        source_id=given,
        volume_id=given if source == "volume" else "",
        size_gib=None if source == "volume" else size_gib,
        volume_type=said.volume_type or None,
        boot_index=_index(said),
        delete_on_termination=inputs.flag(said.delete_on_termination, "delete_on_termination"),
        device=disks.device_name(said.device_name) if said.device_name else "",
        bus=_bus(said),
        tag=said.tag,
    )


def _check_version(said: DeviceIn, version: Version) -> None:
    if said.tag is not None and version != (2, 32) and version < _TAGS_AGAIN:
        raise unexpected("block_device_mapping_v2", "tag")
    if said.volume_type is not None and version < (2, 67):
        raise unexpected("block_device_mapping_v2", "volume_type")


def _old(said: OldDeviceIn, image_ref: str) -> DiskPlan:
    if said.virtual_name is not None and not (said.volume_id or said.snapshot_id):
        raise _invalid("this cloud has no swap and no ephemeral disks.")
    source = "snapshot" if said.snapshot_id else "volume"
    given = said.snapshot_id or said.volume_id
    if not given:
        raise _invalid("Unrecognized legacy format.")
    device = disks.device_name(said.device_name) if said.device_name else ""
    return DiskPlan(
        source=source,
        source_id=given,
        volume_id=given if source == "volume" else "",
        size_gib=_size(said.volume_size) if source == "snapshot" else None,
        boot_index=0 if device == _ROOT and not image_ref else None,
        delete_on_termination=inputs.flag(said.delete_on_termination, "delete_on_termination"),
        device=device,
    )


def _index(said: DeviceIn) -> int | None:
    index = None if said.boot_index is None else int(said.boot_index)
    return None if index is None or index < 0 else index


def _size(text: int | str | None) -> int | None:
    return None if text in (None, "") else inputs.whole(text, "volume_size") or None


def _bus(said: DeviceIn) -> str:
    if (said.device_type or "") not in _TYPES:
        raise _invalid(f"a disk of type {said.device_type} is not supported.")
    bus = said.disk_bus or ""
    if not bus:
        return disks.SCSI if said.device_type == "lun" else ""
    if bus not in disks.KNOWN_BUSES:
        raise _invalid(f"The provided disk bus {bus} is not valid.")
    if bus not in disks.BUSES:
        raise _invalid(f"a disk bus is one of {', '.join(disks.BUSES)} in this cloud, not {bus}.")
    return bus


def _invalid(details: str) -> BadRequest:
    return BadRequest(f"Block Device Mapping is Invalid: {details}")
