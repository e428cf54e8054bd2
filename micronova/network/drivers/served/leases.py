"""The files that tell dnsmasq of leases, names and options: one of a kind per port, in folders that it watches.

Who has options has a tag, too, told in a file of a fourth kind, which is read at the start only: dnsmasq 2.90 crashes
when it is told to read again a lease that sets a tag, so that the tag can't stand there.
"""

import ipaddress
import os
import pwd
import re
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path

import msgspec

from micronova.errors import DriverError, Rejected
from micronova.network.driver import DHCP_OPTION, PortSpec
from micronova.network.drivers.served.names import check_id
from micronova.network.drivers.served.records import replace_file

LEASE_TIME = "1h"
_IPV6 = re.compile(rb"\[([0-9a-f:.]+)\]")


class Stale(IntEnum):
    """What a running server must do to know what the files say: nothing, read them again, start again."""

    NOT = 0
    READ = 1
    START = 2


class LeaseFiles:
    """The files of one network's ports, in four folders of `folder`. Only ports with options have options and tags."""

    def __init__(self, folder: Path) -> None:
        self.hosts = folder / "hosts"
        self.names = folder / "names"
        self.options = folder / "options"
        self.tags = folder / "tags"
        self._folder = folder
        self._written: dict[str, Files] | None = None
        self._freed: set[str] = set()

    def there(self) -> bool:
        """Whether there are folders to write to."""
        return all(folder.is_dir() for folder in self._kinds())

    def prepare(self) -> None:
        """The folders are there, and the server may read them."""
        self._folder.parent.mkdir(mode=0o755, exist_ok=True)
        for folder in (self._folder, *self._kinds()):
            if not folder.is_dir():
                folder.mkdir(mode=0o750)
                self._written = None
            os.chown(folder, -1, server_user().pw_gid)

    def settle(self, ports: Iterable[PortSpec]) -> Stale:
        """There are files of these ports and no others. What was there with other content, or too much, is stale.

        Raises Rejected when a lease can't be.
        """
        wanted = {port.id: port for port in ports if _is_served(port)}
        there = [{path.name for path in folder.iterdir()} for folder in self._kinds()]
        stale = [self.drop(name) for name in sorted(set[str]().union(*there) - set(wanted))]
        if self._written is not None:
            for id, files in list(self._written.items()):
                if [id in names for names in there] != [True, True, bool(files.options), bool(files.tag)]:
                    del self._written[id]
        return max([*stale, self.put(wanted.values())])

    def put(self, ports: Iterable[PortSpec]) -> Stale:
        """The files of these ports say what they lease. One that was there and said something else is stale."""
        written = self._known()
        stale = Stale.NOT
        for port in ports:
            check_id(port.id)
            if not _is_served(port):
                stale = max(stale, self.drop(port.id))
                continue
            content = Files(*(text(port).encode() for text in (_hosts, _names, _options, _tagged)))
            old = written.get(port.id, NOTHING)
            if old == content:
                continue
            if old.tag != content.tag:
                stale = Stale.START
            elif old is not NOTHING:
                stale = max(stale, Stale.READ)
            self._freed |= _ipv6_of(old.hosts) - _ipv6_of(content.hosts)
            self._write_all(port.id, content)
            written[port.id] = content
        return stale

    def drop(self, port_id: str) -> Stale:
        """The port has no files. Stale is what it had."""
        there = [(folder / port_id).exists() for folder in self._kinds()]
        for folder in self._kinds():
            (folder / port_id).unlink(missing_ok=True)
        if self._written is not None:
            self._freed |= _ipv6_of(self._written.pop(port_id, NOTHING).hosts)
        return Stale.START if there[-1] else Stale.READ if any(there) else Stale.NOT

    def leased(self) -> set[str]:
        """The IPv6 addresses that ports lease."""
        return set[str]().union(*(_ipv6_of(files.hosts) for files in self._known().values()))

    def take_freed(self) -> set[str]:
        """The IPv6 addresses that a port leased and gave up since this was asked last; another may have them now."""
        freed, self._freed = self._freed, set()
        return freed

    def write(self, path: Path, content: bytes) -> None:
        """The server may read the file, and finds this in it."""
        replace_file(path, content, mode=0o640, group=server_user().pw_gid)

    def _write_all(self, port_id: str, files: "Files") -> None:
        """Options before the lease: who gets the one gets the other."""
        for folder, content in ((self.tags, files.tag), (self.options, files.options)):
            if content:
                self.write(folder / port_id, content)
            else:
                (folder / port_id).unlink(missing_ok=True)
        self.write(self.names / port_id, files.names)
        self.write(self.hosts / port_id, files.hosts)

    def _kinds(self) -> tuple[Path, ...]:
        return self.hosts, self.names, self.options, self.tags

    def _known(self) -> dict[str, "Files"]:
        if self._written is None:
            names = sorted(path.name for path in self.hosts.iterdir())
            self._written = {name: Files(*(_read(folder / name) for folder in self._kinds())) for name in names}
        return self._written


class Files(msgspec.Struct, frozen=True):
    """What the files of one port say; no file of options and no tag are empty ones."""

    hosts: bytes
    names: bytes
    options: bytes
    tag: bytes


NOTHING = Files(b"", b"", b"", b"")


def check(port: PortSpec) -> None:
    """Raises Rejected when one of the port's leases or options can't be."""
    try:
        _hosts(port)
        _options(port)
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


def _options(port: PortSpec) -> str:
    """The port's options, each for who has the port's tag: what stands with a tag goes before what the subnet says."""
    lines = []
    for option in port.dhcp_options:
        tags, _, name = option.name.rpartition(",")
        if not DHCP_OPTION.fullmatch(option.name) or not option.value.isprintable():
            raise Rejected(f"{option.name[:80]!r} can't be an option of DHCP")
        kind = name if name.isdigit() else f"option:{name}"
        line = [f"tag:{_tag(port)}", *([tags] if tags else []), kind if option.ip_version == 4 else f"option6:{name}"]
        lines.append(",".join([*line, *([option.value] if option.value.strip() else [])]) + "\n")
    return "".join(lines)


def _tagged(port: PortSpec) -> str:
    return f"dhcp-mac=set:{_tag(port)},{word(port.mac)}\n" if port.dhcp_options else ""


def _tag(port: PortSpec) -> str:
    return f"port-{word(port.id)}"


def _is_served(port: PortSpec) -> bool:
    """Who makes its own addresses may still ask for options."""
    return bool(port.leases or port.dhcp_options)


def _ipv6_of(hosts: bytes) -> set[str]:
    return {found.decode() for found in _IPV6.findall(hosts)}


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
