"""What a guest is told of itself in the form of Amazon's instance metadata: a tree of small texts. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Union

from micronova.clock import iso
from micronova.compute.metadata import Subject, user_data_of
from micronova.network.contract import NicInfo

VERSIONS = (
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2021-03-23",
    "latest",
)
"""The versions whose names are answered, all with the same tree (EC2 user guide, "Instance metadata categories")."""

Tree = Mapping[str, Union[bytes, "Tree"]]


def tree(subject: Subject) -> Tree:
    """All a guest may read below a version."""
    found: dict[str, bytes | Tree] = {
        "dynamic": {"instance-identity": {"document": _document(subject)}},
        "meta-data": meta_data(subject),
    }
    user_data = user_data_of(subject.given)
    if user_data is not None:
        found["user-data"] = user_data
    return found


def meta_data(subject: Subject) -> dict[str, bytes | Tree]:
    """The tree `meta-data`."""
    server, nics = subject.server, subject.nics
    local, public = first_ip(nics, 4), _floating(nics)
    told: dict[str, bytes | Tree] = {
        "ami-id": _text(_short_id("ami", server.image_id)),
        "ami-launch-index": _text(str(server.launch_index)),
        "ami-manifest-path": b"none",
        "block-device-mapping": _block_devices(subject),
        "hostname": _text(server.hostname),
        "instance-action": b"none",
        "instance-id": _text(instance_id(subject)),
        "instance-type": _text(server.flavor.name),
        "local-hostname": _text(server.hostname),
        "local-ipv4": _text(local),
        "network": {"interfaces": {"macs": {nic.mac: _interface(subject, at, nic) for at, nic in enumerate(nics)}}},
        "placement": {"availability-zone": _text(server.zone), "region": b"nova"},
        "public-hostname": _text(server.hostname),
        "public-ipv4": _text(public),
        "reservation-id": _text(server.reservation_id),
        "security-groups": _text("\n".join(subject.security_groups)),
    }
    if nics:
        told["mac"] = _text(nics[0].mac)
    if server.kernel_id:
        told["kernel-id"] = _text(_short_id("aki", server.kernel_id))
    if server.ramdisk_id:
        told["ramdisk-id"] = _text(_short_id("ari", server.ramdisk_id))
    if server.key_name and subject.given.public_key:
        told["public-keys"] = {"0": {"openssh-key": _text(subject.given.public_key)}}
    return told


def _block_devices(subject: Subject) -> dict[str, bytes | Tree]:
    root = subject.server.root_device
    volumes = {f"ebs{place}": _text(disk.device) for place, disk in enumerate(subject.disks)}
    return {"ami": _text(root[5:]), "root": _text(root), **volumes}


def instance_id(subject: Subject) -> str:
    """`i-0000002a`: the server's number in the form of Amazon's ids."""
    return f"i-{subject.server.seq:08x}"


def look_up(subject: Subject, path: tuple[str, ...]) -> bytes | None:
    """The text at a path below a version, or the listing of a folder; None where there is nothing."""
    here: bytes | Tree = tree(subject)
    for name in path:
        if isinstance(here, bytes) or name not in here:
            return None
        here = here[name]
    if isinstance(here, bytes):
        return here
    if path == ("meta-data", "public-keys"):
        return _text(f"0={subject.server.key_name}")
    return _text("\n".join(_entry(name, value) for name, value in sorted(here.items())))


def _entry(name: str, value: bytes | Tree) -> str:
    return name if isinstance(value, bytes) else f"{name}/"


def _interface(subject: Subject, place: int, nic: NicInfo) -> dict[str, bytes | Tree]:
    fours = [ip for _, ip, version in nic.fixed_ips if version == 4]
    sixes = [ip for _, ip, version in nic.fixed_ips if version == 6]
    told: dict[str, bytes | Tree] = {
        "device-number": _text(str(place)),
        "interface-id": _text(_short_id("eni", nic.port_id)),
        "local-hostname": _text(subject.server.hostname),
        "local-ipv4s": _text("\n".join(fours)),
        "mac": _text(nic.mac),
        "owner-id": _text(subject.server.project_id),
        "security-groups": _text("\n".join(subject.security_groups)),
        "vpc-id": _text(_short_id("vpc", nic.network_id)),
    }
    if nic.fixed_ips:
        told["subnet-id"] = _text(_short_id("subnet", nic.fixed_ips[0][0]))
    if sixes:
        told["ipv6s"] = _text("\n".join(sixes))
    if nic.floating_ips:
        told["public-ipv4s"] = _text("\n".join(nic.floating_ips))
        told["ipv4-associations"] = {ip: _text("\n".join(fours[:1])) for ip in nic.floating_ips}
    return told


def _document(subject: Subject) -> bytes:
    server = subject.server
    told = {
        "accountId": server.project_id,
        "architecture": "x86_64",
        "availabilityZone": server.zone,
        "imageId": _short_id("ami", server.image_id),
        "instanceId": instance_id(subject),
        "instanceType": server.flavor.name,
        "pendingTime": iso(server.created_at),
        "privateIp": first_ip(subject.nics, 4),
        "region": "nova",
        "version": "2017-09-30",
    }
    return json.dumps(told, sort_keys=True).encode()


def first_ip(nics: Sequence[NicInfo], version: int) -> str:
    """The first address of a version, "" without any."""
    return next((ip for nic in nics for _, ip, found in nic.fixed_ips if found == version), "")


def _floating(nics: Sequence[NicInfo]) -> str:
    return next((ip for nic in nics for ip in nic.floating_ips), "")


def _short_id(kind: str, id: str) -> str:
    """A UUID in the form of Amazon's ids: `ami-` and its first eight digits."""
    return f"{kind}-{(id.replace('-', '') or '0' * 8)[:8]}"


def _text(value: str) -> bytes:
    return value.encode()
