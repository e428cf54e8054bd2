"""The files that tell dnsmasq of leases and names: one of each kind per port, in folders that dnsmasq watches."""

import ipaddress
import os
import pwd
from collections.abc import Iterable
from pathlib import Path

from micronova.errors import DriverError, Rejected
from micronova.network.driver import PortSpec
from micronova.network.drivers.linux.names import check_id
from micronova.network.drivers.linux.records import replace_file

LEASE_TIME = "1h"


class LeaseFiles:
    """The files of one network's ports, in two folders of `folder`."""

    def __init__(self, folder: Path) -> None:
        self.hosts = folder / "hosts"
        self.names = folder / "names"
        self._folder = folder
        self._written: dict[str, tuple[bytes, bytes]] | None = None

    def there(self) -> bool:
        """Whether there are folders to write to."""
        return self.hosts.is_dir() and self.names.is_dir()

    def prepare(self) -> None:
        """The folders are there, and the server may read them."""
        self._folder.parent.mkdir(mode=0o755, exist_ok=True)
        for folder in (self._folder, self.hosts, self.names):
            if not folder.is_dir():
                folder.mkdir(mode=0o750)
                self._written = None
            os.chown(folder, -1, server_user().pw_gid)

    def settle(self, ports: Iterable[PortSpec]) -> bool:
        """There are files of these ports and no others. Whether any was there with other content, or one too many.

        Raises Rejected when a lease can't be.
        """
        wanted = {port.id: port for port in ports if port.leases}
        hosts, names = ({path.name for path in folder.iterdir()} for folder in (self.hosts, self.names))
        stale = [self.drop(name) for name in sorted((hosts | names) - set(wanted))]
        if self._written is not None:
            for id in set(self._written) - (hosts & names):
                del self._written[id]
        return any([*stale, self.put(wanted.values())])

    def put(self, ports: Iterable[PortSpec]) -> bool:
        """The files of these ports say what they lease. Whether one was there that said something else."""
        written = self._known()
        stale = False
        for port in ports:
            check_id(port.id)
            if not port.leases:
                stale = self.drop(port.id) or stale
                continue
            content = (_hosts(port).encode(), _names(port).encode())
            if written.get(port.id) == content:
                continue
            stale = stale or port.id in written
            self.write(self.names / port.id, content[1])
            self.write(self.hosts / port.id, content[0])
            written[port.id] = content
        return stale

    def drop(self, port_id: str) -> bool:
        """The port has no files. Whether it had any."""
        there = (self.hosts / port_id).exists() or (self.names / port_id).exists()
        for folder in (self.hosts, self.names):
            (folder / port_id).unlink(missing_ok=True)
        if self._written is not None:
            self._written.pop(port_id, None)
        return there

    def write(self, path: Path, content: bytes) -> None:
        """The server may read the file, and finds this in it."""
        replace_file(path, content, mode=0o640, group=server_user().pw_gid)

    def _known(self) -> dict[str, tuple[bytes, bytes]]:
        if self._written is None:
            names = sorted(path.name for path in self.hosts.iterdir())
            self._written = {name: (_read(self.hosts / name), _read(self.names / name)) for name in names}
        return self._written


def check(port: PortSpec) -> None:
    """Raises Rejected when one of the port's leases can't be."""
    try:
        _hosts(port)
    except ValueError as err:
        raise Rejected(f"port {port.id}: {err}") from err


def holds(path: Path, content: bytes) -> bool:
    """Whether this is what the file says."""
    return path.exists() and path.read_bytes() == content


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _hosts(port: PortSpec) -> str:
    lines = []
    for lease in port.leases:
        address = ipaddress.ip_address(lease.ip)
        ip = f"[{address}]" if address.version == 6 else str(address)
        lines.append(f"{word(port.mac)},{ip},{word(lease.hostname)},{LEASE_TIME}\n")
    return "".join(sorted(lines))


def _names(port: PortSpec) -> str:
    lines = [f"{ipaddress.ip_address(lease.ip)} {word(lease.hostname)}\n" for lease in port.leases]
    return "".join(sorted(lines))


def word(text: str) -> str:
    """The text, fit to stand in a line of a file. Raises Rejected when it isn't."""
    if not text or any(not (char.isascii() and (char.isalnum() or char in "-._:")) for char in text):
        raise Rejected(f"{text[:80]!r} can't be a name in DHCP")
    return text


def server_user() -> pwd.struct_passwd:
    """Whom the server runs as."""
    for name in ("dnsmasq", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise DriverError("neither user dnsmasq nor nobody exists: install the package dnsmasq-base")
