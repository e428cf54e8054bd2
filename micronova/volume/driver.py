"""What a volume back end must be able to do on one host. Knows no database, project or other host.

Volumes, snapshots and exports have names: one word of letters, digits, dashes, dots, underscores (the manager gives out
ids). Each name is used for one thing and never again for another. Every method is safe to repeat, and after a crash
in the middle of one, repeating it (or its opposite) brings back order: what is half made is made anew or removed.

Three narrow protocols make up a driver: `BlockDriver`, `SnapshotDriver`, `CopyDriver`. Some are `GroupDriver` too.
"""

import re
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import msgspec

from micronova.errors import Rejected

GIB = 2**30
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a back end can do. The manager asks this before it accepts a request; a driver need not do more.

    `protocol` is how volumes are reached: "file", "nbd", "iscsi", "rbd". `shared`: any host reaches the data without
    this one, and this driver on any host may do the work. `remote`: other hosts can attach through this one.
    """

    protocol: str
    vendor: str = "micronova"
    thin: bool = False
    """Space is taken when it is written, so that more can be promised than there is."""
    fast_clone: bool = False
    """A copy of a volume or snapshot takes no time that grows with its size."""
    snapshot_in_use: bool = False
    """A snapshot can be taken while the volume is exported; it is as after a power cut."""
    clone_in_use: bool = False
    extend_in_use: bool = False
    """An exported volume can grow; whoever uses the export sees the new size after asking for it."""
    revert: bool = False
    """A volume can go back to its latest snapshot in place."""
    multiattach: bool = False
    """One volume can have several writable exports at once."""
    encryption: bool = False
    """Volumes can be LUKS containers that only their user opens."""
    remote: bool = False
    shared: bool = False
    adopt: bool = False
    """Volumes made by others can be taken over by name."""
    group_snapshot: bool = False
    """Snapshots of several volumes can be taken at one instant, also while they are exported (`GroupDriver`)."""


# -- what is asked for


class Encryption(msgspec.Struct, frozen=True, kw_only=True):
    """How a volume is encrypted. The key is a secret: it is never logged, journaled, or given in arguments."""

    key: bytes
    provider: str = "luks"
    cipher: str = "aes-xts-plain64"
    key_size: int = 256

    def __repr__(self) -> str:
        return f"Encryption({self.provider}, {self.cipher}, {self.key_size})"


class FromVolume(msgspec.Struct, frozen=True, tag="volume"):
    """The data of volume `name` as it is now."""

    name: str


class FromSnapshot(msgspec.Struct, frozen=True, tag="snapshot"):
    """The data of snapshot `name` of volume `volume`."""

    name: str
    volume: str


class FromFile(msgspec.Struct, frozen=True, tag="file"):
    """The data of a local file, "raw" or "qcow2", which the caller has inspected: no backing file, no surprises."""

    path: str
    format: str


Source = FromVolume | FromSnapshot | FromFile


class VolumeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A volume to be. Without a `source` it reads as zeros, as does what lies behind the source's end."""

    name: str
    size_gib: int
    source: Source | None = None
    encryption: Encryption | None = None


class SnapshotSpec(msgspec.Struct, frozen=True):
    """A snapshot of one volume of the same back end."""

    name: str
    volume: str


class ExportSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One way to use a volume. `local`: by a program on this host; else by one at `ip`, known as `initiator`.

    Several exports of a volume exist at once where several may use it (or while a guest moves).
    """

    id: str
    volume: str
    local: bool = True
    read_only: bool = False
    ip: str = ""
    initiator: str = ""


# -- what is found


class VolumeFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A volume as it is. `allocated_bytes` is what it takes of the pool by itself, as far as that is known."""

    name: str
    size_gib: int
    allocated_bytes: int = 0


class SnapshotFacts(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    volume: str
    size_gib: int


class ExportFacts(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    volume: str


class Inventory(msgspec.Struct, frozen=True, kw_only=True):
    """All that a back end has on this host, complete or not, each part in order of name."""

    volumes: tuple[VolumeFacts, ...] = ()
    snapshots: tuple[SnapshotFacts, ...] = ()
    exports: tuple[ExportFacts, ...] = ()


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """The back end's space: the pool's whole size, what is free in it, and what our volumes take of it."""

    total_bytes: int
    free_bytes: int
    allocated_bytes: int


# -- how a volume is reached: what the compute driver gets


class FileConnection(msgspec.Struct, frozen=True, kw_only=True, tag="file"):
    """A file or block device on the user's host. `format` is "raw" or "qcow2"."""

    path: str
    format: str = "raw"
    read_only: bool = False


class NbdConnection(msgspec.Struct, frozen=True, kw_only=True, tag="nbd"):
    """An NBD export: at unix socket `path`, or at `host`:`port`. The data behind it are raw.

    `tls` names credentials that the user's host has (a folder of QEMU's `tls-creds-psk` or `tls-creds-x509`);
    `tls_kind` is "", "psk" or "x509", `tls_name` the identity to present (PSK) or to expect (X.509).
    """

    export: str
    path: str = ""
    host: str = ""
    port: int = 0
    tls_kind: str = ""
    tls: str = ""
    tls_name: str = ""
    read_only: bool = False


class IscsiConnection(msgspec.Struct, frozen=True, kw_only=True, tag="iscsi"):
    """An iSCSI LUN, consumed by QEMU itself. `portal` is HOST:PORT; the CHAP password is a secret."""

    portal: str
    iqn: str
    lun: int = 1
    user: str = ""
    password: str = ""
    read_only: bool = False

    def __repr__(self) -> str:
        return f"IscsiConnection({self.portal}, {self.iqn}, {self.lun})"


class RbdConnection(msgspec.Struct, frozen=True, kw_only=True, tag="rbd"):
    """A Ceph image, consumed by QEMU itself. `keyring` names a file that the user's host has."""

    pool: str
    image: str
    monitors: tuple[str, ...]
    user: str = ""
    keyring: str = ""
    read_only: bool = False


Connection = FileConnection | NbdConnection | IscsiConnection | RbdConnection


# -- the protocols


class BlockDriver(Protocol):
    """Volumes of one back end on this host. Failures are DriverError, NoSpace, Rejected (repeating can't help)."""

    capabilities: Capabilities
    place: str
    """Where volumes lie: the same words for back ends that would find each other's, other words for all others."""

    async def init_host(self) -> None:
        """Find out what there is, clean up what a crash left half made, and serve the exports that existed again.

        Raises DriverError in one sentence when this back end can't work here.
        """

    async def ensure(self, spec: VolumeSpec) -> VolumeFacts:
        """Make volume `spec.name` exist with the source's data; one that is complete stays as it is.

        The source may change or go away afterwards; the volume keeps its data. One that fails leaves nothing behind.
        Raises NoSpace when the pool is full, Rejected when the source is larger or the spec can never be made here,
        DriverError when the source is missing or the host refuses.
        """

    async def remove(self, name: str) -> None:
        """Make volume `name` not exist; its space is free and its data are nobody's. A missing one is success.

        Raises Rejected while it has snapshots or exports.
        """

    async def extend(self, name: str, size_gib: int) -> VolumeFacts:
        """Make the volume at least this large; its data stay, what is new reads as zeros.

        Raises NoSpace, Rejected when it is exported and `extend_in_use` is not offered, DriverError when missing.
        """

    async def ensure_export(self, spec: ExportSpec) -> Connection:
        """Make the volume usable as described; repeating gives the same connection.

        Raises Rejected when this way is not offered (remote, or a second writer without `multiattach`),
        DriverError when the volume is missing.
        """

    async def remove_export(self, id: str) -> None:
        """Make export `id` not exist: whoever still uses it is cut off. A missing one is success."""

    async def list(self) -> Inventory:
        """All that this back end has on this host."""

    async def stats(self) -> Stats:
        """The back end's space now."""

    async def close(self) -> None:
        """Let go of connections. Volumes and exports keep working."""

    async def erase(self) -> None:
        """Remove everything this driver made on this host. Repeating changes nothing."""


class SnapshotDriver(Protocol):
    """Snapshots of volumes of this back end."""

    async def ensure_snapshot(self, spec: SnapshotSpec) -> SnapshotFacts:
        """Keep the volume's data as they are now under the snapshot's name; one that is complete stays as it is.

        All data that the volume had acknowledged are in it, and none that came later. Raises NoSpace, Rejected when
        the volume is exported and `snapshot_in_use` is not offered, DriverError when the volume is missing.
        """

    async def remove_snapshot(self, spec: SnapshotSpec) -> None:
        """Make the snapshot not exist; the volume, other snapshots and copies keep their data. Missing is success."""

    async def revert(self, spec: SnapshotSpec) -> VolumeFacts:
        """Give the volume the data and the size of this snapshot, its latest; the snapshot stays.

        Raises Rejected when it is exported, has later snapshots, or `revert` is not offered, DriverError when missing.
        """


class CopyDriver(Protocol):
    """Bytes between volumes and local files: images, backups, other back ends."""

    async def copy_out(self, source: FromVolume | FromSnapshot, path: str, format: str) -> None:
        """Write the data to a new local file at `path`, sparse where they are zeros, as "raw" or "qcow2".

        An exported volume's data are copied as after a power cut where `snapshot_in_use` is offered. Raises NoSpace,
        Rejected for an exported volume elsewhere, DriverError when the source is missing.
        """

    async def copy_in(self, name: str, path: str, format: str) -> None:
        """Replace all data of an existing volume by those of a local file; what lies behind its end reads as zeros.

        Given up half way, the volume's data are undefined until it is repeated. Raises Rejected when the file is
        larger than the volume or the volume is exported, NoSpace, DriverError when missing.
        """

    async def rename(self, name: str, new_name: str) -> VolumeFacts:
        """Volume `name`, made by us or by others, is now `new_name`. Repeating changes nothing.

        Raises Rejected when it is exported or `adopt` is not offered, DriverError when neither exists or both do.
        """


class VolumeDriver(BlockDriver, SnapshotDriver, CopyDriver, Protocol):
    """All of a back end."""


@runtime_checkable
class GroupDriver(Protocol):
    """Many volumes of this back end as one. A driver that offers `group_snapshot` keeps this contract too."""

    async def ensure_group_snapshot(self, specs: Sequence[SnapshotSpec]) -> Sequence[SnapshotFacts]:
        """Keep the data of all these volumes, each once, as they are at one instant; returns facts in the same order.

        No write that came after that instant is in any of them, and every write acknowledged before it is. When all are
        complete they stay as they are. If only some are, an earlier call was given up: they are taken anew with the
        others. One that fails leaves none. Raises as `ensure_snapshot` does.
        """


# -- checks that every driver asks for before it acts


def check_name(name: str) -> None:
    """Return when `name` can name something on every back end. Raises Rejected when not."""
    if not _PLAIN_NAME.fullmatch(name):
        raise Rejected(f"{name[:50]!r} can't be the name of a volume")


def check_spec(spec: VolumeSpec, capabilities: Capabilities) -> None:
    """Return when the spec could be made on some pool. Raises Rejected when not."""
    check_name(spec.name)
    if spec.size_gib < 1:
        raise Rejected(f"a volume has at least 1 GiB, not {spec.size_gib}", name=spec.name)
    if isinstance(spec.source, FromFile) and spec.source.format not in ("raw", "qcow2"):
        raise Rejected(f"a volume can't be made from a file of format {spec.source.format}", name=spec.name)
    if spec.encryption is not None and not capabilities.encryption:
        raise Rejected("this back end can't encrypt", name=spec.name)


def gib(size_bytes: int) -> int:
    """Whole GiB that hold so many bytes."""
    return -(-size_bytes // GIB)
