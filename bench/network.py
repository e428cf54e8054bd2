"""What networks cost: addresses, plugging, security groups on many ports: `python -m bench.network`, as root.

Works in a network namespace of its own, with real interfaces, a real packet filter and a real DHCP server. Address
allocation is the manager's on a SQLite file, with a driver that only remembers: a port with its address, its rows and
journal, per transaction.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from micronova import config
from micronova.bus.memory import MemoryBus
from micronova.clock import Clock, SystemClock
from micronova.command import run
from micronova.context import Context
from micronova.db import Database
from micronova.db.sqlite import SQLite
from micronova.http import Front
from micronova.manager import Runtime
from micronova.network.api import api
from micronova.network.contract import NicRequest
from micronova.network.db import ROWS
from micronova.network.driver import GroupSpec, Lease, NetworkDriver, NetworkSpec, PortSpec, RuleSpec, SubnetSpec
from micronova.network.drivers.fake import FakeNetworkDriver
from micronova.network.drivers.linux.driver import LinuxNetworkDriver
from micronova.network.drivers.served.namespace import in_namespace
from micronova.network.manager import NetworkManager
from micronova.network.policies import RULES
from micronova.network.strategies.flat_dhcp import FlatDHCPManager
from micronova.policy import Policy
from micronova.testing.client import Client
from micronova.testing.ground import make_tables

Result = tuple[str, float, str]

SIZES = (1, 100, 1000)
REPEATS = 5
ALLOCATIONS = 320
CALLERS = (1, 16)
USER = Context(request_id="bench", user_id="u", project_id="b" * 32, roles=("member", "reader"))
TRUSTING = (
    RuleSpec(direction="egress", ethertype="IPv4"),
    RuleSpec(direction="egress", ethertype="IPv6"),
    RuleSpec(direction="ingress", ethertype="IPv4", remote_group="default"),
    RuleSpec(direction="ingress", ethertype="IPv6", remote_group="default"),
)
SSH = RuleSpec(direction="ingress", ethertype="IPv4", protocol="tcp", port_min=22, port_max=22)
NETWORK = NetworkSpec(
    id="bench",
    mtu=1450,
    subnets=(SubnetSpec(id="bench-subnet", cidr="10.0.0.0/16", gateway="10.0.0.1"),),
    domain="bench.test",
)


def port(number: int, *rules: RuleSpec) -> PortSpec:
    """Port `number` of the network, in the group `default`."""
    ip = f"10.0.{number // 250 + 1}.{number % 250 + 1}"
    return PortSpec(
        id=f"port-{number}",
        network_id=NETWORK.id,
        device=f"bench{number}",
        mac=f"fa:16:3e:00:{number // 256:02x}:{number % 256:02x}",
        ips=(ip,),
        rules=(*TRUSTING, *rules),
        leases=(Lease(ip=ip, hostname=f"host-{number}"),),
    )


def members(count: int) -> GroupSpec:
    """The group with the first `count` ports."""
    return GroupSpec(id="default", addresses=tuple(port(number).ips[0] for number in range(count)))


class Driven:
    """The linux driver with a growing number of ports."""

    def __init__(self, driver: NetworkDriver, clock: Clock) -> None:
        self._driver = driver
        self._clock = clock
        self._there = 0

    async def grow(self, count: int) -> list[Result]:
        """There are `count` ports; what one more costs, and what changes of all of them cost."""
        specs = tuple(port(number) for number in range(count))
        begun = self._clock.monotonic()
        await self._driver.ensure_ports(specs[self._there :], (members(count),))
        made = (self._clock.monotonic() - begun) / max(1, count - self._there)
        self._there = count
        rules = await self._best([tuple(port(n, *more) for n in range(count)) for more in ((SSH,), ())])
        joined = await self._best_members([members(count + 1), members(count)])
        plugged = await self._best_plug(count)
        return [
            (f"linux, {count} ports: make them, each", made * 1e3, "ms"),
            (f"linux, {count} ports: new rule for all", rules * 1e3, "ms"),
            (f"linux, {count} ports: new rule for all, each", rules / count * 1e6, "µs"),
            (f"linux, {count} ports: a member more", joined * 1e3, "ms"),
            (f"linux, {count} ports: plug one more", plugged * 1e3, "ms"),
        ]

    async def _best(self, changes: list[tuple[PortSpec, ...]]) -> float:
        took = []
        for _ in range(REPEATS):
            for specs in changes:
                begun = self._clock.monotonic()
                await self._driver.ensure_ports(specs)
                took.append(self._clock.monotonic() - begun)
        return min(took)

    async def _best_members(self, groups: list[GroupSpec]) -> float:
        took = []
        for _ in range(REPEATS):
            for group in groups:
                begun = self._clock.monotonic()
                await self._driver.ensure_ports((), (group,))
                took.append(self._clock.monotonic() - begun)
        return min(took)

    async def _best_plug(self, count: int) -> float:
        spec, took = port(count), []
        for _ in range(REPEATS):
            begun = self._clock.monotonic()
            await self._driver.ensure_port(spec, (members(count + 1),))
            took.append(self._clock.monotonic() - begun)
            await self._driver.remove_port(spec.id)
        return min(took)


async def _linux(folder: Path, sizes: Sequence[int]) -> list[Result]:
    clock = SystemClock()
    driver = LinuxNetworkDriver(folder / "network", clock)
    try:
        await driver.init_host()
        await driver.ensure_network(NETWORK)
        driven = Driven(driver, clock)
        return [line for count in sizes for line in await driven.grow(count)]
    finally:
        await driver.erase()
        await driver.close()


@asynccontextmanager
async def _manager(folder: Path, clock: Clock) -> AsyncIterator[tuple[NetworkManager, str]]:
    """A network manager on a database file, and the id of a network that it has."""
    engine = SQLite(f"sqlite:///{folder / 'bench.db'}")
    make_tables(engine, ROWS)
    options = config.load(flags={"host": "host1", "simulate": True, "quota.ports": -1})
    runtime = Runtime(options, clock, MemoryBus(clock), Database(engine, clock))
    policy = Policy(RULES)
    strategies = (FlatDHCPManager(runtime, "host1"),)
    manager = NetworkManager(runtime, "host1", driver=FakeNetworkDriver(clock), policy=policy, strategies=strategies)

    async def authenticate(token: str) -> Context:
        return USER

    client = Client(Front([api(manager, options.options)], authenticate, policy, clock), "any")
    made = await client.request("POST", "/network/v2.0/networks", {"network": {"name": "bench"}})
    network_id = str(made.json["network"]["id"])
    subnet = {"network_id": network_id, "cidr": "10.0.0.0/16", "ip_version": 4}
    await client.request("POST", "/network/v2.0/subnets", {"subnet": subnet})
    await runtime.bus.start()
    try:
        yield manager, network_id
    finally:
        await runtime.bus.stop()
        runtime.db.close()


async def _allocate(manager: NetworkManager, network_id: str, callers: int, clock: Clock) -> float:
    """Addresses a second that so many callers at once are given."""
    requests = (NicRequest(network_id=network_id),)

    async def caller(number: int) -> None:
        for turn in range(ALLOCATIONS // callers):
            server = f"server-{callers}-{number}-{turn}"
            await manager.allocate_for_server(USER, server, "host1", server, requests, ("default",))

    begun = clock.monotonic()
    await asyncio.gather(*(caller(number) for number in range(callers)))
    return ALLOCATIONS / (clock.monotonic() - begun)


async def _plug(manager: NetworkManager, clock: Clock) -> float:
    """Milliseconds that the manager takes to plug a server beside all others, without the driver's own."""
    took = []
    for turn in range(REPEATS * 4):
        begun = clock.monotonic()
        await manager.plug_server(USER, f"server-1-0-{turn}")
        took.append(clock.monotonic() - begun)
    return min(took) * 1e3


async def _allocation(folder: Path) -> list[Result]:
    clock = SystemClock()
    async with _manager(folder, clock) as (manager, network_id):
        found = [
            (f"addresses a second, {callers} at once", await _allocate(manager, network_id, callers, clock), "/s")
            for callers in CALLERS
        ]
        await manager.here.settle(full=False)
        return [*found, ("manager: plug, without the driver", await _plug(manager, clock), "ms")]


@contextmanager
def _namespace() -> Iterator[Path]:
    path = Path("/run/netns") / f"bench-{SystemClock().new_id()[:8]}"
    asyncio.run(run(["ip", "netns", "add", path.name]))
    try:
        yield path
    finally:
        asyncio.run(run(["ip", "netns", "delete", path.name]))


def measure(*, quick: bool = False) -> list[Result]:
    """(what, how much, unit); without root only what needs no host. Takes about a minute, `quick` some seconds."""
    sizes = SIZES[:1] if quick else SIZES
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = asyncio.run(_allocation(folder))
        if os.geteuid() != 0:
            return found
        with _namespace() as path:
            return found + in_namespace(path, lambda: asyncio.run(_linux(folder, sizes)))


if __name__ == "__main__":
    for what, how_much, unit in measure():
        print(f"{what:<48}{how_much:>10.2f} {unit}")
