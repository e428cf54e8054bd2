"""What an operator can choose about one LVM back end, and what it can do then."""

import ipaddress
import re
from typing import Annotated

import msgspec
from msgspec import Meta

from micronova.errors import ConfigError
from micronova.volume.driver import Capabilities

_LVM_NAME = re.compile(r"[A-Za-z0-9_+.][A-Za-z0-9_+.-]{0,60}")
_IQN = re.compile(r"iqn\.[0-9]{4}-[0-9]{2}\.[a-z0-9.-]{1,100}(:[a-z0-9.:-]{1,80})?")


def _says(sentence: str) -> Meta:
    return Meta(description=sentence)


class LvmOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of section `[plugin.NAME]` for the LVM back end NAME."""

    volume_group: Annotated[str, _says("Volume group with the thin pool; the operator makes both.")] = "micronova"
    thin_pool: Annotated[str, _says("Thin pool that volumes are made in; it must zero what it hands out.")] = "pool"
    reserve_mib: Annotated[int, _says("Free space of the pool below which nothing new is made."), Meta(ge=0)] = 1024
    metadata_percent: Annotated[
        int, _says("Share of the pool's metadata beyond which nothing new is made."), Meta(ge=1, le=100)
    ] = 90
    address: Annotated[
        str, _says("Address of this host that volumes are served at; other hosts reach one that is not loopback.")
    ] = "127.0.0.1"
    first_port: Annotated[int, _says("First port that volumes are served at."), Meta(ge=1024, le=65000)] = 13260
    ports: Annotated[int, _says("How many ports from there may be used: one an export."), Meta(ge=1, le=10000)] = 1000
    user: Annotated[str, _says("Who reads images that become volumes; empty means the first known one.")] = ""
    iqn: Annotated[str, _says("How iSCSI names of volumes begin.")] = "iqn.2026-01.internal.micronova"
    sockets: Annotated[str, _says("Folder of the daemons' control sockets; empty means one in /run.")] = ""


def check(options: LvmOptions) -> None:
    """Return when the options make sense. Raises ConfigError."""
    for name in (options.volume_group, options.thin_pool):
        if not _LVM_NAME.fullmatch(name):
            raise ConfigError(f"{name[:50]!r} can't be the name of a volume group or thin pool")
    if not _IQN.fullmatch(options.iqn):
        raise ConfigError(f"{options.iqn[:50]!r} can't be the beginning of iSCSI names")
    try:
        unknown = ipaddress.ip_address(options.address).is_unspecified
    except ValueError as err:
        raise ConfigError(f"{options.address[:50]!r} is no address to serve volumes at") from err
    if unknown:
        raise ConfigError("volumes are served at one address that others can be told, not at all of them")


def capabilities(options: LvmOptions) -> Capabilities:
    """What such a back end can do. Raises ConfigError."""
    check(options)
    return Capabilities(
        protocol="iscsi",
        thin=True,
        fast_clone=True,
        snapshot_in_use=True,
        clone_in_use=True,
        extend_in_use=True,
        revert=True,
        multiattach=True,
        remote=not ipaddress.ip_address(options.address).is_loopback,
        adopt=True,
    )
