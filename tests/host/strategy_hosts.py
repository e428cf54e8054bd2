"""Two hosts as network namespaces, one cloud's network managers on them, real drivers, and guests as namespaces."""

import contextlib
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from netlab import Guest, Lab, enter, sh
from netpair import HERE, THERE, Site
from network.network_world import ADMIN as ROOT
from network.network_world import ALICE, POLICY
from ovs_lab import need_ovs

from micronova.clock import SystemClock
from micronova.context import admin_context
from micronova.manager import Runtime
from micronova.network.attributes import for_create, for_update
from micronova.network.contract import NicInfo, NicRequest
from micronova.network.db import ROWS, Subnet
from micronova.network.drivers.linux.driver import LinuxNetworkDriver
from micronova.network.drivers.ovs.driver import OvsNetworkDriver
from micronova.network.drivers.served.names import Names
from micronova.network.drivers.served.namespace import in_namespace
from micronova.network.drivers.served.segments import HostWires
from micronova.network.manager import NetworkManager
from micronova.network.resources import NETWORK, PORT, ROUTER, SECURITY_GROUP, SECURITY_GROUP_RULE, SUBNET
from micronova.network.router_interfaces import Asked
from micronova.network.specs import device_name
from micronova.network.strategies.base import StrategyManager
from micronova.network.strategies.flat import FlatManager
from micronova.network.strategies.flat_dhcp import FlatDHCPManager
from micronova.network.strategies.vlan import VlanManager
from micronova.network.strategies.vxlan import VxlanManager
from micronova.service import Service
from micronova.tasks import Task
from micronova.testing.ground import ground

ADMIN = msgspec.structs.replace(ROOT, project_id=ALICE.project_id)
LAN = "br-lan"
PHYSICAL = "physnet1"
WIRE_MTU = "1600"
CIDR, GATEWAY = "10.9.0.0/24", "10.9.0.1"
WIRES = HostWires(interfaces={PHYSICAL: "wire"}, bridges={PHYSICAL: LAN})
DRIVERS: dict[str, Any] = {"linux": LinuxNetworkDriver, "ovs": OvsNetworkDriver}
CARRIERS: dict[str, Callable[[Runtime, str, str], StrategyManager]] = {
    "flat": lambda runtime, host, address: FlatManager(runtime, host),
    "flat_dhcp": lambda runtime, host, address: FlatDHCPManager(runtime, host),
    "vlan": lambda runtime, host, address: VlanManager(runtime, host),
    "vxlan": lambda runtime, host, address: VxlanManager(runtime, host, address=address),
}
OPTIONS = {
    "network__bridges": [f"{PHYSICAL}:{LAN}"],
    "network__interfaces": [f"{PHYSICAL}:wire"],
    "network__vlan_ranges": [f"{PHYSICAL}:101:199"],
    "tasks__retry_seconds": 0.2,
    "tasks__sweep_seconds": 0.2,
}


class Node:
    """One host and its service, which begins anew as often as it is started."""

    def __init__(self, runtime: Runtime, name: str, site: Site, strategy: str, driver: str) -> None:
        self.name = name
        self.site = site
        self._runtime = runtime
        self._strategy = strategy
        self._driver = DRIVERS[driver]
        self._service: Service | None = None

    async def start(self) -> None:
        """The host's service runs, as a new process would: it knows nothing but rows and what the host has."""
        driver = self._driver(self.site.state, SystemClock(), wires=WIRES)
        self.site.driver = driver
        await self.site.start()
        carrier = CARRIERS[self._strategy](self._runtime, self.name, self.site.address)
        self.manager = NetworkManager(self._runtime, self.name, driver=driver, policy=POLICY, strategies=(carrier,))
        self._service = Service(self._runtime, [carrier, self.manager], self.name)
        await self._service.start()

    async def stop(self) -> None:
        """The service is gone; what it made stays."""
        if self._service is not None:
            await self._service.stop()
            self._service = None

    async def end(self) -> None:
        """Nothing of this cloud is left on the host."""
        await self.stop()
        await self.site.driver.erase()

    async def tick(self) -> None:
        """One periodic look."""
        await self.manager.reconcile(admin_context(self._runtime.clock))

    @property
    def idle(self) -> bool:
        return self._service is None or self._service.runner.idle

    def dnsmasq(self, network_id: str) -> list[int]:
        """The processes that serve DHCP to the network here."""
        space = Names("mn", self.site.state).namespace(network_id)
        pids = [int(word) for word in sh("ip", "netns", "pids", space, check=False).split()]
        return [pid for pid in pids if _command(pid) == "dnsmasq"]


class Strategies:
    """A cloud of two hosts with one strategy and one driver."""

    def __init__(self, lab: Lab, strategy: str, driver: str) -> None:
        self.strategy = strategy
        self._lab = lab
        self._runtime = ground(*ROWS, **OPTIONS)
        here, there = Site(lab, lab.path("host"), HERE, WIRES), Site(lab, lab.add_namespace("host2"), THERE, WIRES)
        self.h1 = Node(self._runtime, "h1", here, strategy, driver)
        self.h2 = Node(self._runtime, "h2", there, strategy, driver)
        self.nodes = (self.h1, self.h2)
        self.spans = strategy != "flat_dhcp"
        self.served = strategy != "flat"
        self.beside = self.h2 if self.spans else self.h1
        """Where a guest is that one of the first host meets."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator["Strategies"]:
        self._wire()
        try:
            await self._runtime.bus.start()
            for node in self.nodes:
                await node.start()
            yield self
        finally:
            for node in self.nodes:
                await node.end()
            await self._runtime.bus.stop()
            self._runtime.db.close()

    def _wire(self) -> None:
        """Each host has a cable to a switch, on the operator's bridge where networks are flat."""
        self._hub = self._lab.add_namespace("hub").name
        sh("ip", "-n", self._hub, "link", "add", "hub", "type", "bridge")
        sh("ip", "-n", self._hub, "link", "set", "hub", "mtu", WIRE_MTU, "up")
        for node in self.nodes:
            site = node.site
            site.run("ip", "link", "add", "wire", "type", "veth", "peer", "name", node.name, "netns", self._hub)
            sh("ip", "-n", self._hub, "link", "set", node.name, "mtu", WIRE_MTU, "master", "hub", "up")
            site.run("ip", "addr", "add", f"{site.address}/24", "dev", "wire")
            site.run("ip", "link", "set", "wire", "mtu", WIRE_MTU, "up")
            if self.strategy == "flat":
                site.run("ip", "link", "add", LAN, "type", "bridge")
                site.run("ip", "link", "set", "wire", "master", LAN)
                site.run("ip", "link", "set", LAN, "up")

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """The first host's cable is out of the switch meanwhile: nothing that hosts do to their end joins them."""
        sh("ip", "-n", self._hub, "link", "set", self.h1.name, "down")
        try:
            yield
        finally:
            sh("ip", "-n", self._hub, "link", "set", self.h1.name, "up")

    async def network(self, cidr: str = CIDR) -> str:
        """A network with a subnet, of the strategy's type."""
        manager = self.h1.manager
        given: dict[str, Any] = {"name": "net"}
        if self.strategy == "flat":
            given |= {"provider:network_type": "flat", "provider:physical_network": PHYSICAL}
        network = (await manager.networks.create(ADMIN, [for_create(NETWORK, given)])).rows[0]
        subnet = {"network_id": network.id, "cidr": cidr, "gateway_ip": gateway_of(cidr)}
        await manager.subnets.create(ADMIN, [for_create(SUBNET, subnet)])
        return str(network.id)

    async def ssh_only(self) -> str:
        """The name of a group that lets in nothing but TCP to port 22."""
        manager = self.h1.manager
        group = (await manager.security_groups.create(ALICE, [for_create(SECURITY_GROUP, {"name": "ssh"})])).rows[0]
        rule = {"security_group_id": group.id, "direction": "ingress", "protocol": "tcp"}
        rule |= {"port_range_min": 22, "port_range_max": 22}
        await manager.security_group_rules.create(ALICE, [for_create(SECURITY_GROUP_RULE, rule)])
        return "ssh"

    async def boot(self, node: Node, network_id: str, name: str, *groups: str, dhcp: bool = False) -> "Booted":
        """A server's guest on the host, its port plugged by the manager there."""
        manager = node.manager
        requests = await manager.check_requests(ALICE, (NicRequest(network_id=network_id),), groups)
        [nic] = await manager.allocate_for_server(ALICE, name, node.name, name, requests, groups)
        with enter(node.site.path):
            guest = self._lab.guest(name, device=device_name(nic.port_id), mac=nic.mac)
        [plugged] = await manager.plug_server(ALICE, name)
        guest.run("ip", "link", "set", "eth0", "mtu", str(plugged.mtu))
        booted = Booted(nic, guest)
        if not dhcp:
            guest.set_address(f"{booted.ip}/24", None if self.strategy == "flat" else gateway_of(booted.ip))
        return booted

    async def join(self, *network_ids: str) -> None:
        """A router joins these networks."""
        manager = self.h1.manager
        router = (await manager.routers.create(ADMIN, [for_create(ROUTER, {})])).rows[0]
        subnets = await self._runtime.db.read(lambda tx: tx.find(Subnet, network_id=list(network_ids)))
        for subnet in subnets:
            await manager.add_router_interface(ADMIN, router.id, Asked(subnet_id=subnet.id))

    async def share(self, booted: "Booted", ip: str) -> None:
        """The guest may use this address too, and does."""
        values = for_update(PORT, {"allowed_address_pairs": [{"ip_address": ip}]})
        await self.h1.manager.ports.update(ADMIN, booted.port_id, values)
        booted.guest.run("ip", "addr", "add", f"{ip}/24", "dev", "eth0")

    async def idle(self) -> bool:
        """Whether nothing is left to do."""
        left = await self._runtime.db.read(lambda tx: tx.count(Task, open=True))
        return not left and all(node.idle for node in self.nodes)


class Booted:
    """A guest and its interface."""

    def __init__(self, nic: NicInfo, guest: Guest) -> None:
        self.guest = guest
        self.port_id = nic.port_id
        self.ip = nic.fixed_ips[0][1]


class Talk:
    """A TCP connection between two guests."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._ends = (client, server)

    def goes_on(self, wait: float = 20) -> bool:
        """Whether bytes still arrive, both ways."""
        for sender, receiver in (self._ends, self._ends[::-1]):
            receiver.settimeout(wait)
            try:
                sender.sendall(b"still there?")
                if receiver.recv(100) != b"still there?":
                    return False
            except OSError:
                return False
        return True


@contextlib.contextmanager
def talk(client: Booted, server: Booted, port: int) -> Iterator[Talk]:
    """A connection from one guest to the other, open meanwhile."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(server.guest.listens(port))
        listener.settimeout(10)
        reach = (server.ip, port)
        near = stack.enter_context(in_namespace(client.guest.path, lambda: socket.create_connection(reach, timeout=10)))
        far, _ = listener.accept()
        yield Talk(near, stack.enter_context(far))


def gateway_of(address: str) -> str:
    """The first address of the network of 256 that it is in."""
    return address.rsplit(".", 1)[0] + ".1"


def need(strategy: str, driver: str) -> None:
    """Skip where this machine can't run the two together."""
    if driver == "ovs":
        need_ovs()
    if (strategy, driver) == ("vlan", "linux"):
        made = subprocess.run(["ip", "link", "add", "link", "lo", "name", "v1", "type", "vlan", "id", "1"], check=False)
        if made.returncode != 0:
            pytest.skip("this kernel has no VLAN interfaces: nested, they are in test_nested.py")
        sh("ip", "link", "delete", "v1")


def is_alive(pid: int) -> bool:
    """Whether the process runs, and is not only waited for."""
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
