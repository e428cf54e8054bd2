"""The body of POST /servers, from each microversion's words to one request.

{"server": {"name": "web1", "imageRef": "…", "flavorRef": "1", "networks": [{"uuid": "…"}], "key_name": "mykey",
            "user_data": "base64", "metadata": {}, "security_groups": [{"name": "default"}], "min_count": 1}}
"""

import binascii
import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from micronova.compute import inputs
from micronova.compute.api.devices import DeviceIn, OldDeviceIn, read_devices
from micronova.compute.create import NewServer
from micronova.compute.inputs import HostName, Name, Tag, Text, unexpected
from micronova.errors import BadRequest
from micronova.microversion import Version
from micronova.network.contract import NicRequest

MAX_USER_DATA = 65535
MAX_TAGS = 50
_KEY = r"\A[a-zA-Z0-9-_:. ]+\Z"
_UUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_LABEL = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]")

MetadataKey = Annotated[str, Meta(min_length=1, max_length=255, pattern=_KEY)]
MetadataValue = Annotated[str, Meta(max_length=255)]
Metadata = dict[MetadataKey, MetadataValue]
DiskConfig = Literal["AUTO", "MANUAL"]
Flag = bool | str
Number = int | str


class NetworkIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One entry of `networks`."""

    uuid: str | UnsetType = UNSET
    port: str | None = None
    fixed_ip: str | None = None
    tag: Tag | None = None


class GroupIn(msgspec.Struct, forbid_unknown_fields=True):
    """One entry of `security_groups`."""

    name: Name | None = None


class ServerIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The `server` of the body."""

    name: Name
    flavorRef: str | int
    imageRef: str | None = ""
    adminPass: str | None = None
    metadata: Metadata = {}
    networks: Literal["auto", "none"] | list[NetworkIn] | UnsetType = UNSET
    disk_config: DiskConfig = msgspec.field(name="OS-DCF:diskConfig", default="MANUAL")
    accessIPv4: str = ""
    accessIPv6: str = ""
    personality: list[Any] | UnsetType = UNSET
    availability_zone: Name | None = None
    block_device_mapping: list[OldDeviceIn] = []
    block_device_mapping_v2: list[DeviceIn] = []
    config_drive: Flag | None = None
    key_name: Name | None = None
    min_count: Number = 1
    max_count: Number | UnsetType = UNSET
    return_reservation_id: Flag = False
    security_groups: list[GroupIn] | UnsetType = UNSET
    user_data: str | None = None
    description: Text | UnsetType | None = UNSET
    tags: list[Tag] | UnsetType = UNSET
    trusted_image_certificates: list[str] | UnsetType | None = UNSET
    host: HostName | UnsetType = UNSET
    hypervisor_hostname: HostName | UnsetType = UNSET
    hostname: str | UnsetType = UNSET


class CreateIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The body."""

    server: ServerIn
    hints: dict[str, Any] = msgspec.field(name="os:scheduler_hints", default={})
    old_hints: dict[str, Any] = msgspec.field(name="OS-SCH-HNT:scheduler_hints", default={})


SINCE: Mapping[str, Version] = {
    "description": (2, 19),
    "tags": (2, 52),
    "trusted_image_certificates": (2, 63),
    "host": (2, 74),
    "hypervisor_hostname": (2, 74),
    "hostname": (2, 90),
}
"""Fields that came with a microversion."""


def refuse_unknown(body: msgspec.Struct, version: Version, since: Mapping[str, Version], what: str) -> None:
    """Raises BadRequest for a field that this microversion does not have yet."""
    for name, first in since.items():
        if version < first and getattr(body, name) is not UNSET:
            raise unexpected(what, name)


def read_create(body: CreateIn, version: Version) -> NewServer:
    """What a body asks for. Raises BadRequest for what this microversion, or this cloud, does not have."""
    said = body.server
    refuse_unknown(said, version, SINCE, "server")
    if said.personality is not UNSET and (version >= (2, 57) or said.personality):
        raise unexpected("server", "personality")
    if said.trusted_image_certificates is not UNSET and said.trusted_image_certificates:
        raise BadRequest("This cloud does not check image certificates.")
    if said.tags is not UNSET and len(said.tags) > MAX_TAGS:
        raise BadRequest(f"The number of tags exceeded the per-server limit {MAX_TAGS}")
    image_ref = _image(said)
    devices = read_devices(said.block_device_mapping, said.block_device_mapping_v2, image_ref, version)
    least, most = _counts(said)
    zone, forced_host = read_zone(said.availability_zone)
    wanted_host = _wanted_host(said, forced_host)
    return NewServer(
        name=said.name,
        flavor_ref=str(said.flavorRef),
        image_ref=devices.image_ref,
        disks=devices.disks,
        shared_disks=version >= (2, 60),
        nics=_nics(said.networks, version),
        security_groups=_groups(said),
        key_name=said.key_name,
        user_data=check_user_data(said.user_data),
        metadata=said.metadata,
        config_drive=inputs.flag(said.config_drive, "config_drive") if said.config_drive not in (None, "") else False,
        zone=zone,
        forced_host=forced_host,
        wanted_host=wanted_host,
        disk_config=said.disk_config,
        access_ip_v4=check_ip(said.accessIPv4, 4, "accessIPv4"),
        access_ip_v6=check_ip(said.accessIPv6, 6, "accessIPv6"),
        description=said.name if version < (2, 19) else (said.description or None) if said.description else None,
        hostname=check_hostname(said.hostname, version),
        tags=tuple(said.tags) if said.tags is not UNSET else (),
        least=least,
        most=most,
        hints=body.hints or body.old_hints,
    )


def _counts(said: ServerIn) -> tuple[int, int]:
    """The fewest and the most servers that are wanted. Raises BadRequest."""
    least = inputs.whole(said.min_count, "min_count", least=1)
    most = least if said.max_count is UNSET else inputs.whole(said.max_count, "max_count", least=1)
    if least > most:
        raise BadRequest("min_count must be <= max_count")
    return least, most


def _wanted_host(said: ServerIn, forced_host: str) -> str:
    hosts = [host for host in (said.host, said.hypervisor_hostname) if host is not UNSET]
    if hosts and forced_host:
        raise BadRequest(
            "One mechanism with host and/or hypervisor_hostname and another mechanism with zone:host:node are "
            "mutually exclusive."
        )
    return hosts[0] if hosts else ""


def read_zone(text: str | None) -> tuple[str | None, str]:
    """Zone and host of `zone`, `zone:host` or `zone:host:node`. Raises BadRequest for more parts."""
    if text is None:
        return None, ""
    parts = text.split(":")
    if len(parts) > 3:
        raise BadRequest("Invalid input received: Unable to parse availability_zone")
    host = parts[1] if len(parts) > 1 else ""
    if not host and len(parts) == 3:
        host = parts[2]
    return parts[0] or None, host


def _nics(networks: Any, version: Version) -> tuple[NicRequest, ...] | None:
    if networks is UNSET:
        if version >= (2, 37):
            raise BadRequest("Invalid input for field/attribute server. 'networks' is a required property")
        return None
    if isinstance(networks, str):
        if version < (2, 37):
            raise BadRequest(
                f"Invalid input for field/attribute networks. Value: {networks}. It is not of type 'array'"
            )
        return (NicRequest(auto=True),) if networks == "auto" else ()
    if not networks and version < (2, 37):
        return None
    ports = [one.port for one in networks if one.port]
    if len(ports) != len(set(ports)):
        twice = next(port for port in ports if ports.count(port) > 1)
        raise BadRequest(f"Port ID '{twice}' was specified twice: you cannot attach a port multiple times.")
    return tuple(_nic(one, version) for one in networks)


def _nic(said: NetworkIn, version: Version) -> NicRequest:
    if said.tag is not None and version < (2, 32):
        raise unexpected("networks", "tag")
    if said.fixed_ip is not None:
        check_ip(said.fixed_ip, 0, "fixed_ip")
    if said.port:
        check_uuid(said.port, "port")
        if said.fixed_ip is not None:
            raise BadRequest(
                f"Specified Fixed IP '{said.fixed_ip}' cannot be used with port '{said.port}': "
                "the two cannot be specified together."
            )
        return NicRequest(port_id=said.port, tag=said.tag)
    if said.uuid is UNSET:
        raise BadRequest("Bad network format: missing 'uuid'")
    if not _UUID.fullmatch(said.uuid):
        raise BadRequest(f"Bad networks format: network uuid is not in proper format ({said.uuid})")
    return NicRequest(network_id=said.uuid, fixed_ip=said.fixed_ip, tag=said.tag)


def _groups(said: ServerIn) -> tuple[str, ...]:
    if said.security_groups is UNSET:
        return ()
    return tuple(dict.fromkeys(group.name for group in said.security_groups if group.name))


def _image(said: ServerIn) -> str:
    image = said.imageRef or ""
    return check_uuid(image, "imageRef", "Invalid imageRef provided.") if image else ""


def check_user_data(text: str | None) -> str | None:
    """The text, if it is base64 of a fair size. Raises BadRequest otherwise."""
    if text is None:
        return None
    if len(text) > MAX_USER_DATA:
        raise BadRequest(f"Invalid input for field/attribute user_data. It is longer than {MAX_USER_DATA} letters")
    try:
        binascii.a2b_base64(text.encode("ascii"), strict_mode=False)
        plain = re.sub(r"\s", "", text)
        binascii.a2b_base64(plain, strict_mode=True)
    except (UnicodeEncodeError, ValueError) as err:
        raise BadRequest("Invalid input for field/attribute user_data. It is not base64") from err
    return text


def check_hostname(text: str | UnsetType, version: Version) -> str | None:
    """The host name, if it is one; with a domain from 2.94 on. Raises BadRequest otherwise."""
    if text is UNSET:
        return None
    valid = bool(_LABEL.fullmatch(text)) and 2 <= len(text) <= 63
    if version >= (2, 94):
        valid = bool(re.fullmatch(r"[a-zA-Z0-9._-]{1,255}", text))
    if not valid:
        raise BadRequest(f"Invalid input for field/attribute hostname. Value: {text}. It is not a host name")
    return text


def check_ip(text: str, version: int, field: str) -> str:
    """The address as RFC 5952 writes it, if it is one of the version (0: either); "" is fine but where 0.

    Raises BadRequest otherwise.
    """
    if text == "" and version:
        return text
    try:
        address = ipaddress.ip_address(text)
    except ValueError as err:
        raise BadRequest(f"Invalid input for field/attribute {field}. Value: {text}. It is not an address") from err
    if version and address.version != version:
        raise BadRequest(f"Invalid input for field/attribute {field}. Value: {text}. It is not an IPv{version} address")
    return str(address)


def check_uuid(text: str, field: str, message: str = "") -> str:
    """The id, if it is a UUID. Raises BadRequest otherwise."""
    if not _UUID.fullmatch(text):
        raise BadRequest(message or f"Invalid input for field/attribute {field}. Value: {text}. It is not a 'uuid'")
    return text
