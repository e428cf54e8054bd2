"""What test_nested.py runs in a machine whose kernel has VLANs: two hosts, joined by a wire that carries them.

Prints a line "ok NAME" for each check that held.
"""

import asyncio
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from linux_guests import EGRESS, GATEWAY, PING, network, port
from netlab import Guest, Lab, sh, until
from netpair import Pair

from micronova.errors import DriverError
from micronova.network.driver import NetworkSpec, PortSpec, SegmentSpec
from micronova.network.drivers.served.names import Names, gateway_mac
from micronova.network.drivers.served.segments import HostWires

WIRES = HostWires(interfaces={"physnet1": "wire"})


def on_vlan(id: str, vlan: int, *elsewhere: PortSpec) -> NetworkSpec:
    base = network(id)
    told = tuple((one.ips[0], one.mac) for one in elsewhere)
    segment = SegmentSpec(network_type="vlan", physical_network="physnet1", id=vlan, neighbours=told)
    return msgspec.structs.replace(base, segment=segment)


async def guests_meet_in_their_vlan_only(pair: Pair) -> None:
    a, b, c = port("a", 11), port("b", 12, rules=(*EGRESS, PING)), port("c", 13, on="net-c")
    await pair.here.driver.ensure_network(on_vlan("net-a", 100, b))
    await pair.there.driver.ensure_network(on_vlan("net-a", 100, a))
    await pair.there.driver.ensure_network(on_vlan("net-c", 200))
    one = await pair.here.plug(a, gateway=GATEWAY)
    two = await pair.there.plug(b, gateway=GATEWAY)
    other = await pair.there.plug(c, gateway=GATEWAY)

    with two.listens(80), one.listens(80):
        assert one.reaches("10.9.0.12")
        assert not one.connects("10.9.0.12", 80)
        assert two.reaches("10.9.0.11", 80)
    assert not one.pings("10.9.0.13")
    assert not other.pings("10.9.0.11")
    tags, seen = tagged(pair, one)
    assert {100} <= tags <= {100, 200}, tags  # guests of the other VLAN look around, too
    assert bytes.fromhex(gateway_mac("net-a").replace(":", "")) not in seen
    print("ok meet", flush=True)


def tagged(pair: Pair, guest: Guest) -> tuple[set[int], bytes]:
    """The VLANs on the wire while the guest asks for its neighbour and its gateway, and all that was seen there."""
    told = b""
    tags: set[int] = set()
    with Guest(pair.there.path, pair.lab.folder / "none", "").packets("wire") as wire:
        wire.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA: the kernel takes tags off
        guest.run("ip", "neigh", "flush", "dev", "eth0")
        assert guest.reaches("10.9.0.12")
        assert guest.reaches(GATEWAY)
        wire.settimeout(0.5)
        try:
            while True:
                frame, extra, _, _ = wire.recvmsg(65535, 128)
                told += frame
                tags |= {int.from_bytes(data[16:18], "little") & 0xFFF for _, kind, data in extra if kind == 8}
        except TimeoutError:
            return tags - {0}, told


async def a_wire_that_is_cut_heals(pair: Pair) -> None:
    one = Guest(pair.lab.path("port-a"), pair.lab.folder / "none", "")
    with pair.cut():
        assert not one.pings("10.9.0.12")
    until(lambda: one.pings("10.9.0.12"))
    print("ok heal", flush=True)


async def removing_gives_the_interface_back(pair: Pair) -> None:
    for site, ports in ((pair.here, ("port-a",)), (pair.there, ("port-b", "port-c"))):
        for id in ports:
            await site.driver.remove_port(id)
        for id in await site.driver.list_networks():
            await site.driver.remove_network(id)
        names = Names("mn", site.state)
        links = site.run("ip", "-o", "link")
        assert names.interfaces not in links, links
        assert "master" not in site.run("ip", "-o", "link", "show", "wire")
    print("ok removed", flush=True)


async def a_vlan_in_use_is_told(pair: Pair) -> None:
    pair.here.run("ip", "link", "add", "link", "wire", "name", "theirs", "type", "vlan", "id", "300")
    with pytest.raises(DriverError, match="in use"):
        await pair.here.driver.ensure_network(on_vlan("net-x", 300))
    assert [] == await pair.here.driver.list_networks()
    print("ok in-use", flush=True)


async def check(*steps: Callable[[Pair], Awaitable[None]], addresses: bool) -> None:
    with tempfile.TemporaryDirectory() as folder, Lab(Path(folder)).running() as lab:
        async with Pair(lab, WIRES).running() as pair:
            for site in () if addresses else (pair.here, pair.there):
                site.run("ip", "addr", "flush", "dev", "wire")
            for step in steps:
                await step(pair)


def main() -> None:
    every = (guests_meet_in_their_vlan_only, a_wire_that_is_cut_heals, removing_gives_the_interface_back)
    told = subprocess.run(["ip", "link", "add", "link", "lo", "name", "x", "type", "vlan", "id", "5"], check=False)
    print("without VLAN interfaces:", told.returncode != 0, flush=True)
    asyncio.run(check(*every, addresses=False))
    for name in Path("/later").read_text().split():
        sh("insmod", f"/modules.d/{name}.ko")
    print("with VLAN interfaces", flush=True)
    asyncio.run(check(*every, a_vlan_in_use_is_told, addresses=True))
