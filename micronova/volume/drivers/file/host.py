"""What a file back end needs of its host, and where on it its files are.

FOLDER/               passed through by the data's user, listed by root only
  layers/             the data; storage daemons work in here
  volumes/ snapshots/ exports/    records
  fronts/             credentials of ways to other hosts, one each
  logs/               what storage daemons complained about
"""

import hashlib
import os
import pathlib
import shutil
import tempfile

from micronova.errors import ConfigError, DriverError
from micronova.volume.drivers.account import GUESTS, choose
from micronova.volume.drivers.file.daemon import Place
from micronova.volume.drivers.file.fronts import KINDS
from micronova.volume.drivers.file.options import FileOptions

PROGRAMS = {"qemu-img": "qemu-utils", "setsid": "util-linux", "env": "coreutils"}
_SERVING = {"qemu-storage-daemon": "qemu-system-common or qemu-utils", "setpriv": "util-linux"}
_LONGEST_SOCKET = 107
"""Bytes of a unix socket's path (unix(7))."""
_ENTERED = 0o711


def check(options: FileOptions) -> None:
    """Return when this host has the programs and the options make sense. Raises DriverError, ConfigError."""
    if options.format not in ("raw", "qcow2"):
        raise ConfigError(f"a file back end's format is raw or qcow2, not {options.format!r}")
    if options.tls not in KINDS:
        raise ConfigError(f"a file back end's tls is psk, x509 or empty, not {options.tls!r}")
    needed = PROGRAMS if options.shared else {**PROGRAMS, **_SERVING}
    for name, package in needed.items():
        if shutil.which(name) is None:
            raise DriverError(f"{name} is missing on this host: install the package {package}")


def place(folder: pathlib.Path, options: FileOptions) -> Place:
    """Where daemons live, and as whom; nothing is touched."""
    return Place(
        layers=folder / "layers",
        sockets=pathlib.Path(options.sockets) if options.sockets else _runtime() / _short(folder),
        logs=folder / "logs",
        account=choose(options.user),
        guests=choose(options.guest_user, GUESTS),
    )


def prepare(folder: pathlib.Path, place: Place, options: FileOptions) -> None:
    """All folders are there. Raises OSError, DriverError when one can't be used."""
    if options.mounted and (not folder.is_dir() or folder.stat().st_dev == pathlib.Path("/").stat().st_dev):
        raise DriverError(f"nothing is mounted at {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(_ENTERED)
    for name, mode in {"layers": _ENTERED, "fronts": _ENTERED, "logs": 0o700}.items():
        (folder / name).mkdir(exist_ok=True)
        (folder / name).chmod(mode)
    if options.shared:
        return
    _own(place.sockets)
    if len(os.fsencode(place.socket("x", "front"))) > _LONGEST_SOCKET:
        raise DriverError(f"the folder of sockets {place.sockets} has too long a path: choose another")


def _runtime() -> pathlib.Path:
    """Where this user's sockets may be; short, and passed through by other users where it is root's."""
    if os.geteuid() == 0:
        return pathlib.Path("/run/micronova")
    given = os.environ.get("XDG_RUNTIME_DIR")
    return pathlib.Path(given) / "micronova" if given else pathlib.Path(tempfile.gettempdir()) / f"mn-{os.geteuid()}"


def _short(folder: pathlib.Path) -> str:
    return hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:12]


def _own(sockets: pathlib.Path) -> None:
    """The folder is ours alone to change. Raises OSError, DriverError when somebody else made it."""
    for path in (sockets.parent, sockets):
        path.mkdir(parents=True, exist_ok=True, mode=_ENTERED)
    if sockets.is_symlink() or sockets.stat().st_uid != os.geteuid():
        raise DriverError(f"the folder of sockets {sockets} belongs to somebody else")
    sockets.chmod(_ENTERED)
