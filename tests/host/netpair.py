"""Two hosts on one wire as network namespaces, each with a Linux network driver, for networks that span them."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
from netlab import Guest, Lab, enter, sh

from micronova.clock import SystemClock
from micronova.network.driver import NetworkSpec, PortSpec, SegmentSpec, TunnelPeer
from micronova.network.drivers.linux.driver import LinuxNetworkDriver
from micronova.network.drivers.served.segments import NO_WIRES, HostWires

WIRE = "192.0.2.0/24"
HERE, THERE = "192.0.2.1", "192.0.2.2"


class Site:
    """One of the hosts: its namespace, its address on the wire, its driver."""

    def __init__(self, lab: Lab, path: Path, address: str, wires: HostWires) -> None:
        self.lab = lab
        self.path = path
        self.address = address
        self.state = lab.folder / f"network-{path.name}"
        self.driver = LinuxNetworkDriver(self.state, SystemClock(), wires=wires)

    def run(self, *argv: str, check: bool = True) -> str:
        """What the command prints on this host."""
        with enter(self.path):
            return sh(*argv, check=check)

    async def start(self) -> None:
        """The driver's thread is in this host's namespace from now on."""
        with enter(self.path):
            await self.driver.init_host()

    async def boot(self, spec: PortSpec) -> Guest:
        """A guest with its port here, without an address yet."""
        with enter(self.path):
            guest = self.lab.guest(spec.id, device=spec.device, mac=spec.mac)
        await self.driver.ensure_port(spec)
        return guest

    async def plug(self, spec: PortSpec, *, gateway: str | None) -> Guest:
        """A guest with its port here, its IPv4 addresses set by hand."""
        guest = await self.boot(spec)
        for ip in (one for one in spec.ips if ":" not in one):
            guest.set_address(f"{ip}/24", gateway)
        return guest


class Pair:
    """Two hosts, joined by a veth."""

    def __init__(self, lab: Lab, wires: HostWires = NO_WIRES) -> None:
        self.lab = lab
        self.here = Site(lab, lab.path("host"), HERE, wires)
        self.there = Site(lab, lab.add_namespace("host2"), THERE, wires)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Pair"]:
        wire = ("ip", "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", self.there.path.name)
        self.here.run(*wire)
        for site in (self.here, self.there):
            site.run("ip", "addr", "add", f"{site.address}/24", "dev", "wire")
            site.run("ip", "link", "set", "wire", "mtu", "1600", "up")
        try:
            for site in (self.here, self.there):
                await site.start()
            yield self
        finally:
            for site in (self.here, self.there):
                await site.driver.erase()

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """The wire is down meanwhile."""
        self.here.run("ip", "link", "set", "wire", "down")
        try:
            yield
        finally:
            self.here.run("ip", "link", "set", "wire", "up")

    async def ensure(self, *specs: NetworkSpec, ports: dict[Site, list[PortSpec]]) -> None:
        """The networks are on both hosts, which know of each other's ports."""
        for site, other in ((self.here, self.there), (self.there, self.here)):
            for number, spec in enumerate(specs, 1001):
                segment = tunnel(site, other, number, [one for one in ports[other] if one.network_id == spec.id])
                await site.driver.ensure_network(msgspec.structs.replace(spec, segment=segment))


def tunnel(site: Site, other: Site, vni: int, elsewhere: list[PortSpec]) -> SegmentSpec:
    """VXLAN `vni` from `site` to `other`, which has the ports `elsewhere`."""
    return SegmentSpec(
        network_type="vxlan",
        id=vni,
        local=site.address,
        peers=(TunnelPeer(address=other.address, macs=tuple(one.mac for one in elsewhere)),),
        neighbours=tuple((ip, one.mac) for one in elsewhere for ip in one.ips),
    )
