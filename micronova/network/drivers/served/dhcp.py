"""DHCP, DNS and router advertisements of one network: a dnsmasq in its service namespace, on interface `gw`.

Each port has a file of its own in the folders that dnsmasq watches: what comes is served at once, without a signal and
without a look at other ports. What goes or changes takes a signal, on which all is read again. Whether a port has
options of its own is read at the start only: when that changes, the server is started again, which takes a moment in
which nobody is answered, and who asks asks again.

It outlives us. It is ours when the command line of the process names our configuration file and the process lives in
the network's namespace; a process number alone proves nothing. Leases follow the specification: what dnsmasq has
leased and the specification no longer has is released, else dnsmasq would keep the address from its next owner. It
writes down what it leased after it told the guest: before its file is believed, it is asked something, since what it
does comes one after the other.
"""

import asyncio
import contextlib
import grp
import ipaddress
import logging
import os
import shutil
import signal
import socket
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

from micronova.command import run
from micronova.network.driver import NetworkSpec, PortSpec, SubnetSpec
from micronova.network.drivers.served import namespace, processes
from micronova.network.drivers.served.leases import LEASE_TIME, LeaseFiles, Stale, holds, server_user, word
from micronova.network.drivers.served.links import refused
from micronova.network.drivers.served.tables import METADATA

LOG = logging.getLogger(__name__)
ADVERTISED_EVERY, ADVERTISED_FOR = 60, 1800  # seconds; who asks is answered at once
IPV6_MODES = {"slaac": "ra-only", "dhcpv6-stateless": "ra-stateless", "dhcpv6-stateful": "static"}
NO_BINDING = 3  # RFC 8415 section 21.13: the server gave the lease up by itself meanwhile
QUESTIONS, ANSWER_SECONDS = 5, 1.0
VERSION_QUERY = struct.pack("!6H", 0x6D6E, 0, 1, 0, 0, 0) + b"\x07version\x04bind\x00" + struct.pack("!2H", 16, 3)
RESOLVERS = (Path("/run/systemd/resolve/resolv.conf"), Path("/etc/resolv.conf"))

Pair = tuple[str, str]
"""A MAC and the address it leases."""


class Dnsmasq:
    """The server of one network. `folder` holds its files, `namespace` is where it runs."""

    def __init__(self, folder: Path, namespace: Path) -> None:
        self._folder = folder
        self._namespace = namespace
        self._marker = f"--conf-file={folder}/dnsmasq.conf"
        self._files = LeaseFiles(folder)

    async def ensure(self, spec: NetworkSpec, ports: Sequence[PortSpec]) -> None:
        """A server runs that serves the network, and just the leases of these ports; other ones make no gap.

        Raises DriverError when it can't be started.
        """
        if not any(_is_served(subnet) for subnet in spec.subnets):
            await self.remove()
            return
        configuration = self._configuration(spec).encode()
        with refused("writing the DHCP configuration"):
            self._files.prepare()
            if not holds(self._folder / "dnsmasq.conf", configuration):
                await self.stop()  # first, so that whoever dies here leaves no server with the old one
                self._files.write(self._folder / "dnsmasq.conf", configuration)
            stale = await asyncio.to_thread(self._files.settle, ports)
        if stale is Stale.START:
            await self.stop()
        if self._pid() is None:
            await self._start(spec, ports)
        elif stale:
            await self._reload(_pairs(ports), everyone=True)

    async def serve(self, ports: Sequence[PortSpec]) -> None:
        """The leases of these ports are served, in place of those they had; nothing when there is no server."""
        if not self._files.there():
            return
        with refused("writing leases"):
            stale = await asyncio.to_thread(self._files.put, ports)
        await self._follow(stale)
        if stale:
            await self._reload(_pairs(ports), macs={port.mac.lower() for port in ports})

    async def forget(self, port: PortSpec) -> None:
        """The port's leases are served no more, and given back."""
        if not self._files.there():
            return
        with refused("removing leases"):
            stale = self._files.drop(port.id)
        await self._follow(stale)
        if stale:
            await self._reload(set(), macs={port.mac.lower()})

    async def remove(self) -> None:
        """No server and no file of it is left."""
        await self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def stop(self) -> None:
        """No server of this network runs."""
        await asyncio.to_thread(_end_each, self._marker)

    async def _follow(self, stale: Stale) -> None:
        """A running server is a new one where only a new one knows what the files say."""
        if stale is Stale.START and self._pid() is not None:
            await self.stop()
            await self._run()

    async def _start(self, spec: NetworkSpec, ports: Sequence[PortSpec]) -> None:
        if (self._folder / "pid").exists():
            LOG.warning("network %s: its DHCP server is gone, starting it again", spec.id)
        await self.stop()
        with refused("pruning DHCP leases"):
            self._prune(_pairs(ports))
        await self._run()

    async def _run(self) -> None:
        await run(namespace.inside(self._namespace, ["dnsmasq", self._marker]))

    def _prune(self, wanted: set[Pair]) -> None:
        path = self._folder / "leases"
        if not path.exists():
            return
        leased = {address for _, address in wanted}
        lines = [(line, _pair(line)) for line in path.read_text().splitlines()]
        kept = [
            line for line, pair in lines if pair is None or pair in wanted or (":" in pair[1] and pair[1] in leased)
        ]
        path.write_text("".join(f"{line}\n" for line in kept))

    async def _reload(self, wanted: set[Pair], *, macs: set[str] | None = None, everyone: bool = False) -> None:
        """The server read its files again; what these MACs (or everyone) lease beyond what is wanted is given back."""
        pid = self._pid()
        if pid is None:
            return
        _signal(pid, signal.SIGHUP)
        await self._caught_up()
        path = self._folder / "leases"
        with refused("reading DHCP leases"):
            lines = path.read_text().splitlines() if path.exists() else []
        for line in lines:
            pair = _pair(line)
            if pair is None or pair in wanted or ":" in pair[1] or not (everyone or pair[0] in (macs or ())):
                continue
            client = line.split()[4]
            argv = ["dhcp_release", "gw", pair[1], pair[0], *([client] if client != "*" else [])]
            await run(namespace.inside(self._namespace, argv))
        await self._release_ipv6(lines)

    async def _release_ipv6(self, lines: list[str]) -> None:
        """IPv6 leases tell no MAC: what no port leases is given back, and what a port gave up though another has it."""
        freed, leased = self._files.take_freed(), self._files.leased()
        server = next((line.split()[1] for line in lines if line.startswith("duid ")), "")
        for line in lines:
            pair = _pair(line)
            if not server or pair is None or ":" not in pair[1] or (pair[1] in leased and pair[1] not in freed):
                continue
            association, client = line.split()[1].lstrip("Tt"), line.split()[4]
            argv = ["dhcp_release6", "-n", "gw", "-a", pair[1], "-i", association, "-c", client, "-s", server]
            await run(namespace.inside(self._namespace, argv), ok=(0, NO_BINDING))

    async def _caught_up(self) -> None:
        """What the server was doing when this was called is done, and in its files."""
        answered = await asyncio.to_thread(namespace.in_namespace, self._namespace, _server_answers)
        if not answered:
            LOG.warning("%s: the DHCP server does not answer; a lease may stay until it expires", self._folder.name)

    def _pid(self) -> int | None:
        try:
            pid = int((self._folder / "pid").read_text())
        except (OSError, ValueError):
            return None
        ours = self._marker.encode() in _command_line(pid)
        return pid if ours and namespace.same(self._namespace, pid) else None

    def _configuration(self, spec: NetworkSpec) -> str:
        user = server_user()
        lines = [
            "bind-interfaces",
            "interface=gw",
            "no-hosts",
            "no-ping",
            "dhcp-authoritative",
            "quiet-dhcp",
            "quiet-dhcp6",
            "quiet-ra",
            "dhcp-lease-max=65536",
            f"user={user.pw_name}",
            f"group={grp.getgrgid(user.pw_gid).gr_name}",
            "expand-hosts",
            f"hostsdir={self._files.names}",
            f"dhcp-hostsdir={self._files.hosts}",
            f"dhcp-optsdir={self._files.options}",
            f"conf-dir={self._files.tags}",
            f"dhcp-leasefile={self._folder}/leases",
            f"pid-file={self._folder}/pid",
            f"dhcp-option-force=option:mtu,{spec.mtu}",
            *_resolver(spec),
        ]
        if any(_is_served(subnet) and ":" in subnet.cidr for subnet in spec.subnets):
            lines += ["enable-ra", f"ra-param=gw,high,{ADVERTISED_EVERY},{ADVERTISED_FOR}"]
        for number, subnet in enumerate(spec.subnets):
            if _is_served(subnet):
                lines += _subnet(f"subnet{number}", subnet)
        return "".join(f"{line}\n" for line in lines)


async def end_all(folder: Path) -> None:
    """No server with a configuration anywhere in `folder` runs, and the folder is gone."""
    await asyncio.to_thread(_end_each, f"--conf-file={folder}/")
    shutil.rmtree(folder, ignore_errors=True)


def _resolver(spec: NetworkSpec) -> list[str]:
    lines = [f"domain={word(spec.domain)}", f"local=/{word(spec.domain)}/"] if spec.domain else []
    found = next((path for path in RESOLVERS if path.exists()), None)
    return [*lines, f"resolv-file={found}" if found else "no-resolv"]


def _is_served(subnet: SubnetSpec) -> bool:
    """Without an address of ours in an IPv6 range there is nothing to advertise it from."""
    if ":" in subnet.cidr:
        return subnet.ipv6_mode is not None and subnet.gateway is not None
    return subnet.dhcp


def _subnet(tag: str, subnet: SubnetSpec) -> list[str]:
    net = ipaddress.ip_network(subnet.cidr)
    servers = [str(address) for address in map(ipaddress.ip_address, subnet.dns) if address.version == net.version]
    if isinstance(net, ipaddress.IPv6Network):
        mode = IPV6_MODES[str(subnet.ipv6_mode)]
        lines = [f"dhcp-range=set:{tag},{net.network_address},{mode},{net.prefixlen},{LEASE_TIME}"]
        listed = ",".join(f"[{server}]" for server in servers)
        return [*lines, *([f"dhcp-option=tag:{tag},option6:dns-server,{listed}"] if listed else [])]
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


def _pairs(ports: Iterable[PortSpec]) -> set[Pair]:
    return {(port.mac.lower(), str(ipaddress.ip_address(lease.ip))) for port in ports for lease in port.leases}


def _pair(line: str) -> Pair | None:
    """MAC and address of a line of dnsmasq's lease file: expiry, MAC, address, name, client id."""
    words = line.split()
    return (words[1].lower(), words[2]) if len(words) == 5 else None


def _server_answers() -> bool:
    """Whether the server of this namespace says something to a question (RFC 1035) that needs nobody else."""
    for _ in range(QUESTIONS):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
            wire.settimeout(ANSWER_SECONDS)
            with contextlib.suppress(OSError):
                wire.connect(("127.0.0.1", 53))
                wire.send(VERSION_QUERY)
                return bool(wire.recv(512))
    return False


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
            processes.end(int(name))
