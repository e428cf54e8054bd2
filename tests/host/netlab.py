"""A host, guests and the outside world as network namespaces, for tests of network drivers with real packets.

The test's own thread moves into the host's namespace for as long as the test runs, so a driver made in the test works
there; the machine's own interfaces, routes and tables are out of its reach.
"""

import contextlib
import ctypes
import errno
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from micronova.clock import SystemClock
from micronova.network.drivers.served.names import Names
from micronova.network.drivers.served.namespace import in_namespace

NEEDED = ("ip", "nft", "nsenter", "dnsmasq", "dhcp_release", "busybox")
OUTSIDE = "198.51.100.2"
UPLINK = "198.51.100.1"
PATIENT, BRIEF = 10.0, 0.6
"""Seconds: what must come may take long on a busy machine, what must not come is waited for briefly."""
_CARRIES = re.compile(
    r"NO-CARRIER,|,LOWER_UP|,M-DOWN| state \S+| linkdown|\b(UP|DOWN|UNKNOWN|LOWERLAYERDOWN) +(?=[0-9a-f]{2}:)"
)
ETH_P_ALL = 0x0003
CLONE_NEWNET = 0x40000000
UDHCPC_SCRIPT = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
set -- $staticroutes
while [ $# -ge 2 ]; do
  if [ "$2" = 0.0.0.0 ]; then ip route replace "$1" dev "$interface"; else ip route replace "$1" via "$2"; fi
  shift 2
done
env > "$LEASE_FILE"
"""


def need_tools() -> None:
    """Skip the test where real networks can't be made."""
    missing = [name for name in NEEDED if not shutil.which(name)]
    if os.geteuid() != 0:
        pytest.skip("needs root: makes network namespaces")
    if missing:
        pytest.skip(f"needs the commands {', '.join(missing)}")


def sh(*argv: str, check: bool = True, wait: float = 20) -> str:
    """What the command prints."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=wait, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(argv)}: {done.stderr or done.stdout}")
    return done.stdout


def steady(told: str) -> str:
    """What `ip` told of interfaces and routes, without who carries just now: that the kernel finds in its own time."""
    return _CARRIES.sub("", told)


def until(what: object, wait: float = 20) -> None:
    """`what()` became true in time."""
    end = time.monotonic() + wait
    while time.monotonic() < end:
        if what():  # type: ignore[operator]
            return
        time.sleep(0.02)
    raise AssertionError("did not come true in time")


class Lab:
    """One host with an uplink to the outside, and its guests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tag = SystemClock().new_id()[:8]
        self.host = f"lab-{self.tag}-host"
        self.outside = self.path("outside")
        self._namespaces: list[str] = []

    def path(self, name: str) -> Path:
        return Path("/run/netns") / f"lab-{self.tag}-{name}"

    @contextlib.contextmanager
    def running(self) -> Iterator["Lab"]:
        try:
            for name in ("host", "outside"):
                self.add_namespace(name)
            here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            try:
                _setns(self.path("host"))
                self._make_uplink()
                yield self
            finally:
                _setns_fd(here)
                os.close(here)
        finally:
            for name in self._namespaces:
                sh("ip", "netns", "delete", name, check=False)

    def add_namespace(self, name: str) -> Path:
        path = self.path(name)
        sh("ip", "netns", "add", path.name)
        self._namespaces.append(path.name)
        sh("ip", "-n", path.name, "link", "set", "lo", "up")
        return path

    def _make_uplink(self) -> None:
        sh("ip", "link", "add", "uplink", "type", "veth", "peer", "name", "eth0", "netns", self.outside.name)
        sh("ip", "addr", "add", f"{UPLINK}/24", "dev", "uplink")
        sh("ip", "link", "set", "uplink", "up")
        sh("ip", "route", "add", "default", "via", OUTSIDE)
        sh("ip", "-n", self.outside.name, "addr", "add", f"{OUTSIDE}/24", "dev", "eth0")
        sh("ip", "-n", self.outside.name, "link", "set", "eth0", "up")

    def processes(self, command: str) -> list[int]:
        """Processes of that name in the namespace that this lab's driver made for `net-a`."""
        found = []
        namespace = Names("mn", self.folder / "network").namespace("net-a")
        for word in sh("ip", "netns", "pids", namespace, check=False).split():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{word}/comm").read_text().strip() == command:
                    found.append(int(word))
        return found

    def guest(self, name: str, *, device: str, mac: str) -> "Guest":
        """A guest whose network card is the other end of `device`; make it before its port."""
        path = self.add_namespace(name)
        high = f"fe:{mac[3:]}"  # as a tap's: a bridge takes the lowest MAC of its ports for its own
        sh("ip", "link", "add", device, "address", high, "type", "veth", "peer", "name", "eth0", "netns", path.name)
        sh("ip", "-n", path.name, "link", "set", "eth0", "address", mac, "up")
        return Guest(path, self.folder / f"{name}.lease", mac)


class Guest:
    """A guest as a namespace with one interface, eth0."""

    def __init__(self, path: Path, lease: Path, mac: str) -> None:
        self.path = path
        self.mac = mac
        self._lease = lease

    def run(self, *argv: str, check: bool = True, wait: float = 20) -> str:
        return sh("nsenter", f"--net={self.path}", "--", *argv, check=check, wait=wait)

    def set_address(self, cidr: str, gateway: str | None = None) -> None:
        """Configure by hand, as a guest that ignores DHCP."""
        self.run("ip", "addr", "add", cidr, "dev", "eth0")
        if gateway:
            self.run("ip", "route", "replace", "default", "via", gateway)

    def dhcp(self, *, tries: int = 10) -> dict[str, str]:
        """What DHCP gave, applied to eth0; {} when nobody answered."""
        script = self._lease.with_suffix(".sh")
        script.write_text(UDHCPC_SCRIPT)
        script.chmod(0o755)
        self._lease.unlink(missing_ok=True)
        self.run(
            "env",
            f"LEASE_FILE={self._lease}",
            *("busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", str(tries), "-T", "1", "-A", "1"),
            *("-O", "121", "-O", "26", "-O", "domain", "-s", str(script)),
            check=False,
            wait=tries * 2 + 20,
        )
        if not self._lease.exists():
            return {}
        return dict(line.split("=", 1) for line in self._lease.read_text().splitlines() if "=" in line)

    def reaches(self, address: str, port: int | None = None) -> bool:
        """Whether `address` answers, or that port of it does: for what must be so, however busy the machine is."""
        if port is not None:
            return self.connects(address, port, wait=PATIENT)
        end = time.monotonic() + PATIENT
        while time.monotonic() < end:
            if self.pings(address):
                return True
        return False

    def pings(self, address: str) -> bool:
        """Whether `address` answers at once: for what must not be so, or not yet."""
        return " 0% packet loss" in self.run("busybox", "ping", "-c", "1", "-W", "1", address, check=False)

    def listens(self, port: int, address: str = "0.0.0.0") -> socket.socket:
        """A listening socket of the guest; close it."""

        def work() -> socket.socket:
            return socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)

        return in_namespace(self.path, work)

    def connects(self, address: str, port: int, *, wait: float = BRIEF) -> bool:
        """Whether a TCP connection comes about in time."""
        return connects(self.path, address, port, wait=wait)

    def packets(self, interface: str = "eth0") -> socket.socket:
        """A raw socket on the interface; close it."""
        return in_namespace(self.path, lambda: _raw(interface))


def reaches(namespace: Path, address: str, port: int) -> bool:
    """Whether a TCP connection from the namespace comes about, however busy the machine is."""
    return connects(namespace, address, port, wait=PATIENT)


def connects(namespace: Path, address: str, port: int, *, wait: float = BRIEF) -> bool:
    """Whether a TCP connection from the namespace comes about in time."""

    def work() -> bool:
        end = time.monotonic() + wait
        while (left := end - time.monotonic()) > 0:
            try:
                socket.create_connection((address, port), timeout=left).close()
            except OSError as err:
                if err.errno != errno.EHOSTUNREACH:
                    return False
                time.sleep(0.05)  # the kernel still holds against it that nobody answered before
            else:
                return True
        return False

    return in_namespace(namespace, work)


def arrives(receiver: socket.socket, marker: bytes, *, wait: float = 0.4) -> bool:
    """Whether a frame that holds `marker` comes in time."""
    end = time.monotonic() + wait
    while (left := end - time.monotonic()) > 0:
        receiver.settimeout(left)
        try:
            if marker in receiver.recv(65535):
                return True
        except TimeoutError:
            return False
    return False


def _raw(interface: str) -> socket.socket:
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    raw.bind((interface, ETH_P_ALL))
    return raw


@contextlib.contextmanager
def enter(path: Path) -> Iterator[None]:
    """This thread, and what it starts, is in the network namespace at `path` meanwhile."""
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _setns(path)
        yield
    finally:
        _setns_fd(here)
        os.close(here)


def _setns(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        _setns_fd(fd)
    finally:
        os.close(fd)


def _setns_fd(fd: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
