"""What an operator can choose about one pool of a Ceph cluster, and what it can do then."""

import contextlib
import pathlib
import re
from typing import Annotated

import msgspec
from msgspec import Meta

from micronova.volume.driver import Capabilities

CAPABILITIES = Capabilities(
    protocol="rbd",
    thin=True,
    fast_clone=True,
    snapshot_in_use=True,
    clone_in_use=True,
    extend_in_use=True,
    revert=True,
    multiattach=True,
    encryption=True,
    remote=True,
    shared=True,
    adopt=True,
)

_FSID = re.compile(r"^\s*fsid\s*=\s*([0-9a-fA-F-]+)", re.MULTILINE)


def _says(sentence: str) -> Meta:
    return Meta(description=sentence)


class RbdOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The keys of section `[plugin.NAME]` for the Ceph back end NAME."""

    pool: Annotated[str, _says("The pool that volumes lie in."), Meta(min_length=1)] = "volumes"
    data_pool: Annotated[str, _says("Erasure-coded pool for the volumes' data; empty means the pool itself.")] = ""
    user: Annotated[str, _says("Ceph user, without `client.` before it."), Meta(min_length=1)] = "cinder"
    conf: Annotated[str, _says("Ceph's configuration file, which names the monitors.")] = "/etc/ceph/ceph.conf"
    keyring: Annotated[str, _says("The user's keyring; empty means /etc/ceph/ceph.client.USER.keyring.")] = ""
    guest_user: Annotated[str, _says("Ceph user that guests use volumes as; empty means the same.")] = ""
    guest_keyring: Annotated[
        str, _says("That user's keyring, at this path on every host with guests; empty means as for the user.")
    ] = ""
    monitors: Annotated[
        tuple[str, ...], _says("Monitors that guests' hosts reach, each as HOST:PORT; empty means what Ceph tells.")
    ] = ()
    timeout: Annotated[
        int, _says("Seconds that the cluster has to answer before it counts as away."), Meta(ge=1, le=20)
    ] = 10
    reserve_mib: Annotated[int, _says("Free space of the pool below which nothing new is made."), Meta(ge=0)] = 1024
    depth: Annotated[
        int, _says("Copies of copies on one another before a copy gets data of its own."), Meta(ge=1, le=15)
    ] = 8
    cut_off: Annotated[
        bool, _says("Block clients that still use a volume when the last of its attachments is removed.")
    ] = True

    def keyring_of_user(self) -> str:
        """The keyring that we use."""
        return self.keyring or f"/etc/ceph/ceph.client.{self.user}.keyring"

    def guest(self) -> tuple[str, str]:
        """User and keyring of guests."""
        if not self.guest_user:
            return self.user, self.guest_keyring or self.keyring_of_user()
        return self.guest_user, self.guest_keyring or f"/etc/ceph/ceph.client.{self.guest_user}.keyring"


def cluster_name(conf: str) -> str:
    """The cluster's own id, where Ceph's configuration file tells it; else the file's path."""
    path = pathlib.Path(conf).resolve()
    with contextlib.suppress(OSError, UnicodeDecodeError):
        if found := _FSID.search(path.read_text()):
            return found.group(1).lower()
    return str(path)
