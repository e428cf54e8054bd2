"""What an LVM back end needs of its host, and where on it its files are.

FOLDER/               root's alone
  exports/            records, with passwords
  logs/               what iSCSI daemons complained about
"""

import hashlib
import os
import pathlib
import shutil

from micronova.errors import DriverError
from micronova.volume.drivers.lvm.daemon import BINARY, Place
from micronova.volume.drivers.lvm.holdings import Holdings
from micronova.volume.drivers.lvm.options import LvmOptions

PROGRAMS = {
    "lvm": "lvm2",
    BINARY: "tgt",
    "qemu-img": "qemu-utils",
    "setpriv": "util-linux",
    "setsid": "util-linux",
    "env": "coreutils",
}
_LONGEST_SOCKET = 107
"""Bytes of a unix socket's path (unix(7))."""
_NAME = 24 + len(".0")
_OURS_ALONE = 0o700
_BROKEN = ("failed", "metadata_read_only")
"""What a thin pool is when nothing works in it (lvs(8), lv_health_status)."""


def check() -> None:
    """Return when this host has the programs and lets us use them. Raises DriverError."""
    if os.geteuid() != 0:
        raise DriverError("logical volumes need root")
    for name, package in PROGRAMS.items():
        if shutil.which(name) is None:
            raise DriverError(f"{name} is missing on this host: install the package {package}")


def place(folder: pathlib.Path, options: LvmOptions) -> Place:
    """Where daemons live; nothing is touched."""
    short = hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:12]
    sockets = pathlib.Path(options.sockets) if options.sockets else pathlib.Path("/run/micronova") / f"lvm-{short}"
    return Place(sockets=sockets, logs=folder / "logs")


def prepare(folder: pathlib.Path, place: Place) -> None:
    """All folders are there. Raises OSError, DriverError when one can't be used."""
    place.sockets.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    for path in (folder, place.logs, place.sockets):
        path.mkdir(parents=True, exist_ok=True, mode=_OURS_ALONE)
        if path.is_symlink() or path.stat().st_uid != os.geteuid():
            raise DriverError(f"the folder {path} belongs to somebody else")
        path.chmod(_OURS_ALONE)
    if len(os.fsencode(place.sockets)) + 1 + _NAME > _LONGEST_SOCKET:
        raise DriverError(f"the folder of sockets {place.sockets} has too long a path: choose another")


def check_pool(there: Holdings, options: LvmOptions) -> None:
    """Return when volumes can be made in the pool. Raises DriverError."""
    name = f"{options.volume_group}/{options.thin_pool}"
    if there.pool is None:
        raise DriverError(f"there is no thin pool {name}: lvcreate --type thin-pool makes one")
    if there.pool.health in _BROKEN:
        raise DriverError(f"the thin pool {name} is {there.pool.health}: lvconvert --repair may help")
    if not there.pool.zero:
        # A block that a volume gets would show what its last owner wrote around what is written now.
        raise DriverError(f"the thin pool {name} hands out others' data: lvchange --zero y {name} makes it zero them")
