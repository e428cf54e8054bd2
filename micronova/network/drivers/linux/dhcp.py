"""DHCP and DNS of one network: a dnsmasq in the network's service namespace, on interface `gw`.

It outlives us. It is ours when the command line of the process names our configuration file and the process lives in
the network's namespace; a process number alone proves nothing. Leases follow the specification: what dnsmasq has
leased and the specification no longer has is released, else dnsmasq would keep the address from its next owner.
"""

import asyncio
import grp
import ipaddress
import logging
import os
import pwd
import select
import shutil
import signal
from pathlib import Path

from micronova.command import run
from micronova.errors import DriverError, Rejected
from micronova.network.driver import Lease, NetworkSpec, SubnetSpec
from micronova.network.drivers.linux import namespace
from micronova.network.drivers.linux.links import refused
from micronova.network.drivers.linux.records import replace_file
from micronova.network.drivers.linux.rules import METADATA

LOG = logging.getLogger(__name__)
LEASE_TIME = "1h"
STOP_MILLISECONDS = 3000
RESOLVERS = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))


class Dnsmasq:
    """The server of one network. `folder` holds its files, `namespace` is where it runs."""

    def __init__(self, folder: Path, namespace: Path) -> None:
        self._folder = folder
        self._namespace = namespace
        self._marker = f"--conf-file={folder}/dnsmasq.conf"
        self._served: NetworkSpec | None = None

    async def ensure(self, spec: NetworkSpec) -> None:
        """A server runs that serves exactly what the specification says; other leases make no gap in service.

        Raises DriverError when it can't be started.
        """
        if not any(subnet.dhcp for subnet in spec.subnets):
            await self.remove()
            return
        changed = self._served != spec
        self._served = None  # until we are through: a call that ends half way is no reason to trust the files
        configuration = self._configuration(spec).encode()
        with refused("writing the DHCP configuration"):
            self._make_folder()
            if not self._holds("dnsmasq.conf", configuration):
                await self.stop()  # first, so that whoever dies here leaves no server with the old one
                self._write("dnsmasq.conf", configuration)
            self._write("hosts", _hosts(spec).encode())
            self._write("names", _names(spec).encode())
        pid = self._pid()
        if pid is None:
            await self._start(spec)
        elif changed:
            _signal(pid, signal.SIGHUP)
        await self._release(spec.leases)
        self._served = spec

    async def remove(self) -> None:
        """No server and no file of it is left."""
        await self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def stop(self) -> None:
        """No server of this network runs."""
        await asyncio.to_thread(_end_each, self._marker)

    def _make_folder(self) -> None:
        self._folder.parent.mkdir(mode=0o755, exist_ok=True)
        if not self._folder.is_dir():
            self._folder.mkdir(mode=0o750)
        os.chown(self._folder, -1, _server_user().pw_gid)

    def _holds(self, name: str, content: bytes) -> bool:
        path = self._folder / name
        return path.exists() and path.read_bytes() == content

    def _write(self, name: str, content: bytes) -> None:
        if not self._holds(name, content):
            replace_file(self._folder / name, content, mode=0o640)
            os.chown(self._folder / name, -1, _server_user().pw_gid)

    async def _start(self, spec: NetworkSpec) -> None:
        if (self._folder / "pid").exists():
            LOG.warning("network %s: its DHCP server is gone, starting it again", spec.id)
        await self.stop()
        with refused("pruning DHCP leases"):
            self._prune(spec.leases)
        await run(namespace.inside(self._namespace, ["dnsmasq", self._marker]))

    def _prune(self, leases: tuple[Lease, ...]) -> None:
        path = self._folder / "leases"
        if not path.exists():
            return
        wanted = _pairs(leases)
        kept = [line for line in path.read_text().splitlines() if _pair(line) in (None, *wanted)]
        path.write_text("".join(f"{line}\n" for line in kept))

    async def _release(self, leases: tuple[Lease, ...]) -> None:
        """Whatever is leased and not in `leases` is given back."""
        path = self._folder / "leases"
        with refused("reading DHCP leases"):
            lines = path.read_text().splitlines() if path.exists() else []
        wanted = _pairs(leases)
        for line in lines:
            pair = _pair(line)
            if pair is None or pair in wanted or ":" in pair[1]:
                continue
            client = line.split()[4]
            argv = ["dhcp_release", "gw", pair[1], pair[0], *([client] if client != "*" else [])]
            await run(namespace.inside(self._namespace, argv))

    def _pid(self) -> int | None:
        try:
            pid = int((self._folder / "pid").read_text())
        except (OSError, ValueError):
            return None
        ours = self._marker.encode() in _command_line(pid)
        return pid if ours and namespace.same(self._namespace, pid) else None

    def _configuration(self, spec: NetworkSpec) -> str:
        user = _server_user()
        lines = [
            "bind-interfaces",
            "interface=gw",
            "except-interface=lo",
            "no-hosts",
            "no-ping",
            "dhcp-authoritative",
            "quiet-dhcp",
            "quiet-dhcp6",
            "quiet-ra",
            "dhcp-lease-max=65536",
            f"user={user.pw_name}",
            f"group={grp.getgrgid(user.pw_gid).gr_name}",
            f"addn-hosts={self._folder}/names",
            f"dhcp-hostsfile={self._folder}/hosts",
            f"dhcp-leasefile={self._folder}/leases",
            f"pid-file={self._folder}/pid",
            f"dhcp-option-force=option:mtu,{spec.mtu}",
            *_resolver(spec),
        ]
        for number, subnet in enumerate(spec.subnets):
            lines += _subnet(f"subnet{number}", subnet)
        return "".join(f"{line}\n" for line in lines)


async def end_all(folder: Path) -> None:
    """No server with a configuration anywhere in `folder` runs, and the folder is gone."""
    await asyncio.to_thread(_end_each, f"--conf-file={folder}/")
    shutil.rmtree(folder, ignore_errors=True)


def _resolver(spec: NetworkSpec) -> list[str]:
    lines = [f"domain={_word(spec.domain)}", f"local=/{_word(spec.domain)}/"] if spec.domain else []
    found = next((path for path in RESOLVERS if path.exists()), None)
    return [*lines, f"resolv-file={found}" if found else "no-resolv"]


def _subnet(tag: str, subnet: SubnetSpec) -> list[str]:
    if not subnet.dhcp:
        return []
    net = ipaddress.ip_network(subnet.cidr)
    if isinstance(net, ipaddress.IPv6Network):
        return [f"dhcp-range=set:{tag},{net.network_address},static,{net.prefixlen},{LEASE_TIME}", "enable-ra"]
    servers = [str(ipaddress.ip_address(server)) for server in subnet.dns]
    servers = servers or ([subnet.gateway] if subnet.gateway else [])
    routes = [f"{ipaddress.ip_network(to)},{ipaddress.ip_address(via)}" for to, via in subnet.routes]
    routes.append(f"{METADATA}/32,{subnet.gateway or '0.0.0.0'}")
    lines = [f"dhcp-range=set:{tag},{net.network_address},static,{net.netmask},{LEASE_TIME}"]
    if subnet.gateway:
        routes.append(f"0.0.0.0/0,{subnet.gateway}")
        lines.append(f"dhcp-option=tag:{tag},option:router,{subnet.gateway}")
    else:
        # No address of ours lies in this range: dnsmasq must be told that the wire carries it.
        lines.append(f"shared-network=gw,{net.network_address}")
        lines.append(f"dhcp-option=tag:{tag},option:router")
    lines.append(f"dhcp-option=tag:{tag},option:dns-server{''.join(f',{server}' for server in servers)}")
    lines.append(f"dhcp-option=tag:{tag},option:classless-static-route,{','.join(routes)}")
    return lines


def _hosts(spec: NetworkSpec) -> str:
    lines = []
    for lease in spec.leases:
        address = ipaddress.ip_address(lease.ip)
        ip = f"[{address}]" if address.version == 6 else str(address)
        lines.append(f"{_word(lease.mac)},{ip},{_word(lease.hostname)},{LEASE_TIME}\n")
    return "".join(sorted(lines))


def _names(spec: NetworkSpec) -> str:
    lines = []
    for lease in spec.leases:
        full = f"{_word(lease.hostname)}.{_word(spec.domain)} " if spec.domain else ""
        lines.append(f"{ipaddress.ip_address(lease.ip)} {full}{_word(lease.hostname)}\n")
    return "".join(sorted(lines))


def _word(text: str) -> str:
    """The text, fit to stand in a line of a file. Raises Rejected when it isn't."""
    if not text or any(not (char.isascii() and (char.isalnum() or char in "-._:")) for char in text):
        raise Rejected(f"{text[:80]!r} can't be a name in DHCP")
    return text


def _pairs(leases: tuple[Lease, ...]) -> set[tuple[str, str]]:
    return {(lease.mac.lower(), str(ipaddress.ip_address(lease.ip))) for lease in leases}


def _pair(line: str) -> tuple[str, str] | None:
    """MAC and address of a line of dnsmasq's lease file: expiry, MAC, address, name, client id."""
    words = line.split()
    return (words[1].lower(), words[2]) if len(words) == 5 else None


def _server_user() -> pwd.struct_passwd:
    for name in ("dnsmasq", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise DriverError("neither user dnsmasq nor nobody exists: install the package dnsmasq-base")


def _command_line(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _end_each(marker: str) -> None:
    """Every process with an argument that starts with `marker` has ended."""
    start = marker.encode()
    for name in os.listdir("/proc"):
        if name.isdigit() and any(word.startswith(start) for word in _command_line(int(name))):
            _end(int(name))


def _end(pid: int) -> None:
    """The process has ended: asked to, and after a while made to."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        ended = select.poll()
        ended.register(fd, select.POLLIN)
        for number in (signal.SIGTERM, signal.SIGKILL):
            signal.pidfd_send_signal(fd, number)
            if ended.poll(STOP_MILLISECONDS):
                return
    except ProcessLookupError:
        return
    finally:
        os.close(fd)
    raise DriverError(f"process {pid} did not end")
