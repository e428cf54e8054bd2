"""Rows of the compute room and the questions asked of them. No decisions.

A server's row holds what lists show; what only its host and the metadata service need is in its ServerInput, so that
a page of servers never loads a thousand user data.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, ClassVar

import msgspec
import sqlalchemy as sa

from micronova.db import INDEX, KEY, SECRET, SERIAL, UNIQUE, Not, Row, Tx, table
from micronova.errors import NotFound
from micronova.network.contract import NicRequest


class FlavorFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A flavor as it was when a server took it. `id` is the flavor's public id."""

    id: str
    name: str
    vcpus: int
    ram_mib: int
    disk_gib: int
    ephemeral_gib: int = 0
    swap_mib: int = 0
    extra_specs: dict[str, str] = {}


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """Why a server is in error: one sentence without secrets. `details` are for administrators."""

    code: int
    message: str
    created_at: datetime
    details: str = ""


class Server(Row, frozen=True, kw_only=True):
    """One virtual server.

    `vm_state`, `task_state`, `power_state` are Nova's (states.py). `host` is "" until one is chosen. `vcpus` and
    `ram_mib` repeat the flavor's, for the quota's sums. `image_id` is "" without an image. `power_wanted` is what the
    guest's owner asked for last, running or not: a host that restarts brings it back to that.
    """

    TABLE: ClassVar[str] = "servers"
    INDEXES: ClassVar[tuple[tuple[str, ...], ...]] = (("project_id", "created_at"),)

    seq: Annotated[int, SERIAL] = 0
    id: Annotated[str, KEY]
    project_id: str
    user_id: str
    name: str
    hostname: str
    description: str | None = None
    host: Annotated[str, INDEX] = ""
    zone: str = ""
    pinned_zone: str | None = None
    vm_state: str
    task_state: str | None = None
    power_state: int = 0
    power_wanted: bool = True
    progress: int = 0
    locked_by: str = ""
    locked_reason: str | None = None
    image_id: str = ""
    kernel_id: str = ""
    ramdisk_id: str = ""
    flavor_id: str
    flavor: FlavorFacts
    vcpus: int
    ram_mib: int
    key_name: str | None = None
    metadata: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    config_drive: bool = False
    access_ip_v4: str = ""
    access_ip_v6: str = ""
    disk_config: str = "MANUAL"
    reservation_id: str
    launch_index: int = 0
    root_device: str = "/dev/vda"
    fault: Fault | None = None
    created_at: Annotated[datetime, INDEX]
    updated_at: datetime
    launched_at: datetime | None = None
    terminated_at: datetime | None = None


class ServerLine(Row, frozen=True, kw_only=True):
    """The columns of a server that say whether what was shown of it is still true. `created_at` in microseconds."""

    TABLE: ClassVar[str] = Server.TABLE

    seq: Annotated[int, SERIAL]
    id: Annotated[str, KEY]
    name: str
    project_id: str
    host: str
    vm_state: str
    created_at: int


class HostedServer(Row, frozen=True, kw_only=True):
    """The columns of a server that are compared with its guest again and again. `launched_at` in microseconds."""

    TABLE: ClassVar[str] = Server.TABLE

    id: Annotated[str, KEY]
    host: str
    vm_state: str
    task_state: str | None
    power_state: int
    power_wanted: bool
    launched_at: int | None


class BootFiles(msgspec.Struct, frozen=True, kw_only=True):
    """The local files a guest was made of on its host: it keeps running on them when the image is gone.

    `path` is "" for one whose root disk is a volume. `agent`: its image says that it runs QEMU's guest agent;
    `quiesce`: and that its volumes must not be copied unless that holds it still.
    """

    path: str
    format: str
    kernel: str | None = None
    initrd: str | None = None
    cmdline: str = ""
    agent: bool = False
    quiesce: bool = False


class DiskPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A disk that a server was asked to have: an existing volume, or one to be made from `source_id`, or blank.

    `source` is "volume", "image", "snapshot" or "blank"; `volume_id` is "" until there is a volume. `boot_index` 0 is
    what the server boots from, None what it never would. `device` is "/dev/" and a name.
    """

    source: str
    source_id: str = ""
    volume_id: str = ""
    size_gib: int | None = None
    volume_type: str | None = None
    boot_index: int | None = None
    delete_on_termination: bool = False
    device: str = ""
    bus: str = ""
    tag: str | None = None


class ServerInput(Row, frozen=True, kw_only=True):
    """What a server is made from. `user_data` is base64 text as it came; `id` is the server's.

    `files` are those of its host's last start of the guest. `disks` are the volumes it began with, `disk_bus` is how
    it sees those that come later.
    """

    TABLE: ClassVar[str] = "server_inputs"

    id: Annotated[str, KEY]
    user_data: Annotated[str | None, SECRET] = None
    key_type: str = "ssh"
    public_key: str = ""
    nics: tuple[NicRequest, ...] = ()
    security_groups: tuple[str, ...] = ()
    hints: dict[str, Any] = {}
    disks: tuple[DiskPlan, ...] = ()
    disk_bus: str = "virtio"
    files: BootFiles | None = None


class Flavor(Row, frozen=True, kw_only=True):
    """A size of server. `access` are the projects that may use one that is not public."""

    TABLE: ClassVar[str] = "flavors"

    id: Annotated[str, KEY]
    flavorid: Annotated[str, UNIQUE]
    name: Annotated[str, UNIQUE]
    vcpus: int
    ram_mib: int
    disk_gib: int
    ephemeral_gib: int = 0
    swap_mib: int = 0
    rxtx_factor: float = 1.0
    is_public: bool = True
    disabled: bool = False
    description: str | None = None
    extra_specs: dict[str, str] = {}
    access: tuple[str, ...] = ()
    created_at: datetime
    updated_at: datetime | None = None


class KeyPair(Row, frozen=True, kw_only=True):
    """A user's public key. `type` is ssh or x509."""

    TABLE: ClassVar[str] = "key_pairs"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("user_id", "name"),)

    number: Annotated[int, SERIAL] = 0
    id: Annotated[str, KEY]
    user_id: str
    name: str
    type: str = "ssh"
    public_key: str
    fingerprint: str
    created_at: datetime


class ServerGroup(Row, frozen=True, kw_only=True):
    """Servers that shall be together or apart. `policy` is affinity, anti-affinity, or soft- and one of these."""

    TABLE: ClassVar[str] = "server_groups"

    id: Annotated[str, KEY]
    project_id: Annotated[str, INDEX]
    user_id: str
    name: str
    policy: str
    max_server_per_host: int | None = None
    members: tuple[str, ...] = ()
    created_at: datetime


class QuotaLimit(Row, frozen=True, kw_only=True):
    """A project's (with `user_id`: a user's in it) own limit of `resource`; project "" is the default of all."""

    TABLE: ClassVar[str] = "compute_quotas"
    TOGETHER: ClassVar[tuple[tuple[str, ...], ...]] = (("project_id", "user_id", "resource"),)

    id: Annotated[str, KEY]
    project_id: str
    user_id: str = ""
    resource: str
    limit: int


SERVERS = table(Server)
_OF_PROJECT = SERVERS.c.project_id == sa.bindparam("project_id", type_=sa.Text())
USED = sa.select(
    sa.func.count(),
    sa.func.coalesce(sa.func.sum(SERVERS.c.vcpus), 0),
    sa.func.coalesce(sa.func.sum(SERVERS.c.ram_mib), 0),
).where(_OF_PROJECT)


class Usage(msgspec.Struct, frozen=True):
    """What a project's servers hold."""

    instances: int
    cores: int
    ram: int


def usage(tx: Tx, project_id: str) -> Usage:
    """What the rows say that a project holds, those in error included."""
    count, cores, ram = tx.values(USED, project_id=project_id)[0]
    return Usage(int(count), int(cores), int(ram))


def get_server(tx: Tx, id: str) -> Server:
    """Raises NotFound in Nova's words."""
    server = tx.first(Server, id=id)
    if server is None:
        raise NotFound(f"Instance {id} could not be found.", id=id)
    return server


def get_input(tx: Tx, id: str) -> ServerInput:
    """What the owner gave server `id`; nothing at all when it has no record of it."""
    return tx.first(ServerInput, id=id) or ServerInput(id=id)


def user_data_of(tx: Tx, ids: Sequence[str]) -> dict[str, str]:
    """User data, base64, of those servers that have some."""
    found = tx.find(ServerInput, id=list(ids), user_data=Not(None))
    return {row.id: row.user_data for row in found if row.user_data is not None}


def servers_of_host(tx: Tx, host: str) -> list[Server]:
    """The servers that a host is responsible for."""
    return tx.find(Server, host=host)


def hosted_servers(tx: Tx, host: str) -> list[HostedServer]:
    """The same servers, a few of their columns."""
    return tx.find(HostedServer, host=host)


def group_of(hints: dict[str, Any]) -> str | None:
    """The server group that hints name: as a text, or as the first of a list."""
    hint = hints.get("group")
    if isinstance(hint, list):
        hint = hint[0] if hint else None
    return hint if isinstance(hint, str) else None


def forget_server(tx: Tx, server: Server) -> None:
    """Remove a server's rows, and its name from its group."""
    given = tx.first(ServerInput, id=server.id)
    if given is not None:
        tx.delete(given)
        group_id = group_of(given.hints)
        group = tx.first(ServerGroup, id=group_id) if group_id is not None else None
        if group is not None:
            tx.change(group, members=tuple(member for member in group.members if member != server.id))
    tx.delete(server)


ROWS: tuple[type[Row], ...] = (Server, ServerInput, Flavor, KeyPair, ServerGroup, QuotaLimit)
