"""What a Ceph back end needs of its host."""

import os
import shutil

from micronova.errors import DriverError
from micronova.volume.drivers.rbd.options import RbdOptions

_PROGRAMS = {
    "rbd": "ceph-common",
    "rados": "ceph-common",
    "ceph": "ceph-common",
    "qemu-img": "qemu-utils",
    "qemu-io": "qemu-utils",
}


def check(options: RbdOptions) -> None:
    """Return when this host has the programs, and can read the keyring. Raises DriverError."""
    for name, package in _PROGRAMS.items():
        if shutil.which(name) is None:
            raise DriverError(f"{name} is missing on this host: install the package {package}")
    for what, path in (("configuration", options.conf), ("keyring", options.keyring_of_user())):
        if not os.access(path, os.R_OK):
            raise DriverError(f"Ceph's {what} {path} can't be read on this host")
    if os.stat(options.keyring_of_user()).st_mode & 0o007:
        raise DriverError(f"Ceph's keyring {options.keyring_of_user()} is open to everybody on this host: chmod it")
