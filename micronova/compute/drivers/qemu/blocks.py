"""QEMU's block graph for a volume: below the disk a guest sees a throttle, a LUKS container, a format, a connection.

Node names have 31 letters at most, so a volume's are made from the first 18 of its id's digits, and from how it is
reached: where a volume changes its place under a running guest, both places have nodes for a while.
"""

import base64
import hashlib
import pathlib
import stat
from typing import Any

import msgspec

from micronova.compute.driver import VolumeDisk, without_password
from micronova.errors import DriverError
from micronova.volume.driver import (
    FileConnection,
    IscsiConnection,
    NbdConnection,
    RbdConnection,
)

RECONNECT = 60
"""Seconds for which a guest's reads and writes wait for an export that went away, before they fail."""
_DIGITS, _PLACE_DIGITS = 18, 5
Words = dict[str, Any]


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """What makes a volume usable: objects (secrets, credentials, limits) and nodes, each after what it stands on."""

    objects: tuple[Words, ...]
    nodes: tuple[Words, ...]

    def top(self) -> str:
        """The node that the disk is made of."""
        return str(self.nodes[-1]["node-name"])

    def base(self) -> str:
        """The node that reaches the volume."""
        return str(self.nodes[0]["node-name"])


def disk_name(volume_id: str) -> str:
    """What QEMU calls the disk of a volume."""
    return f"disk-{volume_id}"


def prefix(volume_id: str) -> str:
    """How the names of all nodes and objects of the volume begin, wherever it lies."""
    return f"vol-{volume_id.replace('-', '')[:_DIGITS]}"


def stem(disk: VolumeDisk) -> str:
    """How the names of the nodes and objects begin that reach the volume as `disk` says."""
    place = msgspec.json.encode(without_password(disk.connection))
    return f"{prefix(disk.volume_id)}-{hashlib.sha256(place).hexdigest()[:_PLACE_DIGITS]}"


def graph(disk: VolumeDisk) -> Graph:
    """The volume's objects and nodes. Raises DriverError when a file, keyring or key is missing."""
    name = stem(disk)
    objects, node = _connected(disk, name)
    nodes = [{**node, "node-name": f"{name}-p", "read-only": disk.connection.read_only, "discard": "unmap"}]
    if isinstance(disk.connection, FileConnection):
        nodes.append({"driver": disk.connection.format, "file": f"{name}-p", "node-name": f"{name}-f"})
    if disk.encrypted:
        if not disk.key:
            raise DriverError("the volume is encrypted and its key was not given", volume=disk.volume_id)
        objects.append(_secret(f"{name}-key", disk.key))
        below = nodes[-1]["node-name"]
        nodes.append({"driver": "luks", "file": below, "key-secret": f"{name}-key", "node-name": f"{name}-c"})
    if disk.throttle:
        objects.append({"qom-type": "throttle-group", "id": f"{name}-t", "limits": dict(disk.throttle)})
        below = nodes[-1]["node-name"]
        nodes.append({"driver": "throttle", "throttle-group": f"{name}-t", "file": below, "node-name": f"{name}-q"})
    for upper in nodes[1:]:
        upper |= {"read-only": disk.connection.read_only, "discard": "unmap"}
    return Graph(objects=tuple(objects), nodes=tuple(nodes))


def device(disk: VolumeDisk, bus: str, node: str) -> Words:
    """The disk that the guest sees, on a slot or on the SCSI controller, as `device_add` wants it."""
    driver = "virtio-blk-pci" if disk.bus == "virtio" else "scsi-hd"
    words: Words = {"driver": driver, "id": disk_name(disk.volume_id), "drive": node, "bus": bus}
    words |= {"serial": disk.volume_id, "share-rw": disk.shared}
    if disk.bus == "scsi":
        words["device_id"] = disk.volume_id[:20]
    if disk.boot_index is not None:
        words["bootindex"] = disk.boot_index + 1
    return words


def _connected(disk: VolumeDisk, name: str) -> tuple[list[Words], Words]:
    """Objects and the lowest node, which reaches the volume."""
    match disk.connection:
        case FileConnection() as there:
            return [], {"driver": _kind_of(there.path), "filename": there.path}
        case NbdConnection() as there:
            return _nbd(there, name)
        case IscsiConnection() as there:
            return _iscsi(there, name)
        case RbdConnection() as there:
            objects, node = _rbd(there, name)
            # The client's cache knows nothing of other writers.
            return objects, {**node, "cache": {"direct": True}} if disk.shared else node


def _kind_of(path: str) -> str:
    try:
        mode = pathlib.Path(path).stat().st_mode
    except OSError as err:
        raise DriverError(f"the volume's file {path} can't be used: {err.strerror}") from err
    return "host_device" if stat.S_ISBLK(mode) else "file"


def _nbd(there: NbdConnection, name: str) -> tuple[list[Words], Words]:
    server: Words = {"type": "unix", "path": there.path}
    if not there.path:
        server = {"type": "inet", "host": there.host, "port": str(there.port)}
    node = {"driver": "nbd", "server": server, "export": there.export, "reconnect-delay": RECONNECT}
    if not there.tls_kind:
        return [], node
    made: Words = {"id": f"{name}-tls", "dir": there.tls, "endpoint": "client"}
    if there.tls_kind == "psk":
        made |= {"qom-type": "tls-creds-psk", "username": there.tls_name}
        return [made], {**node, "tls-creds": f"{name}-tls"}
    made |= {"qom-type": "tls-creds-x509", "verify-peer": True}
    return [made], {**node, "tls-creds": f"{name}-tls", "tls-hostname": there.tls_name}


def _iscsi(there: IscsiConnection, name: str) -> tuple[list[Words], Words]:
    node: Words = {"driver": "iscsi", "transport": "tcp", "portal": there.portal, "target": there.iqn, "lun": there.lun}
    if not there.user:
        return [], node
    secret = _secret(f"{name}-chap", there.password.encode())
    return [secret], {**node, "user": there.user, "password-secret": f"{name}-chap"}


def _rbd(there: RbdConnection, name: str) -> tuple[list[Words], Words]:
    node: Words = {"driver": "rbd", "pool": there.pool, "image": there.image}
    hosts = [monitor.rpartition(":") for monitor in there.monitors]
    if hosts:
        node["server"] = [
            {"host": host.strip("[]") or port, "port": port if host else "6789"} for host, _, port in hosts
        ]
    if not there.user:
        return [], node
    secret = _secret(f"{name}-ceph", _ceph_key(there.keyring))
    return [secret], {**node, "user": there.user, "key-secret": f"{name}-ceph"}


def _ceph_key(keyring: str) -> bytes:
    """The key in a keyring; QEMU brings it into the base64 again that Ceph writes it in."""
    try:
        lines = pathlib.Path(keyring).read_text().splitlines()
    except OSError as err:
        raise DriverError(f"Ceph's keyring {keyring} can't be read: {err.strerror}") from err
    for line in lines:
        word, _, value = line.partition("=")
        if word.strip() == "key" and value:
            try:
                return base64.b64decode(value)
            except ValueError as err:
                raise DriverError(f"Ceph's keyring {keyring} holds no key") from err
    raise DriverError(f"Ceph's keyring {keyring} holds no key")


def _secret(id: str, data: bytes) -> Words:
    return {"qom-type": "secret", "id": id, "data": base64.b64encode(data).decode(), "format": "base64"}
