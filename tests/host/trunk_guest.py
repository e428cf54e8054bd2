"""What test_nested.py runs in a machine whose kernel has VLAN interfaces: a guest whose port carries others.

Prints a line "ok NAME" for each check that held.
"""

import asyncio
import tempfile
from pathlib import Path

import msgspec
from linux_guests import EGRESS, PING, network, plug, port
from netlab import Guest, Lab, connects

from micronova.clock import SystemClock
from micronova.network.driver import ParentSpec, PortSpec
from micronova.network.drivers.linux.driver import LinuxNetworkDriver

PARENT = port("a", 11)


def on_b(name: str, number: int) -> PortSpec:
    base = port(name, number, on="net-b", rules=(*EGRESS, PING))
    return msgspec.structs.replace(base, ips=(f"10.8.0.{number}",), leases=())


def carried(vlan: int) -> PortSpec:
    """A port that is carried, with a MAC of its own."""
    return msgspec.structs.replace(on_b("c", 13), parent=ParentSpec(port_id=PARENT.id, device=PARENT.device, vlan=vlan))


def tag(guest: Guest, vlan: int, spec: PortSpec) -> None:
    """The guest sends as this port under the tag."""
    guest.run("ip", "link", "delete", "tagged", check=False)
    guest.run("ip", "link", "add", "link", "eth0", "name", "tagged", "type", "vlan", "id", str(vlan))
    guest.run("ip", "link", "set", "tagged", "address", spec.mac, "up")
    guest.run("ip", "addr", "add", f"{spec.ips[0]}/24", "dev", "tagged")


async def tagged_frames_are_of_the_port_with_that_tag(lab: Lab, driver: LinuxNetworkDriver) -> None:
    guest = await plug(lab, driver, PARENT)
    other = await plug(lab, driver, on_b("n", 14), gateway="10.8.0.1")
    spec = carried(5)
    tag(guest, 5, spec)
    assert not guest.pings("10.8.0.14")

    await driver.ensure_port(spec)

    with other.listens(80), guest.listens(80):
        assert guest.reaches("10.8.0.14")
        assert guest.reaches("10.8.0.1")
        assert not connects(guest.path, "10.8.0.14", 80)  # the other's rules let nothing but pings in
        assert not connects(other.path, "10.8.0.13", 80)  # neither do its own
    assert guest.reaches("10.9.0.1")
    assert {PARENT.id, spec.id, "port-n"} == {facts.id for facts in await driver.list_ports()}
    print("ok tagged", flush=True)


async def what_is_not_its_own_is_dropped(lab: Lab, driver: LinuxNetworkDriver) -> None:
    guest = Guest(lab.path("port-a"), lab.folder / "none", PARENT.mac)
    guest.run("ip", "addr", "del", "10.8.0.13/24", "dev", "tagged")
    guest.run("ip", "addr", "add", "10.8.0.66/24", "dev", "tagged")
    assert not guest.pings("10.8.0.14")
    tag(guest, 6, carried(5))
    assert not guest.pings("10.8.0.14")
    print("ok dropped", flush=True)


async def a_tag_is_changed_and_taken_off(lab: Lab, driver: LinuxNetworkDriver) -> None:
    guest = Guest(lab.path("port-a"), lab.folder / "none", PARENT.mac)
    await driver.ensure_port(carried(6))
    assert guest.reaches("10.8.0.14")

    await driver.remove_port(carried(6).id)

    assert not guest.pings("10.8.0.14")
    assert guest.reaches("10.9.0.1")
    await driver.ensure_port(carried(6))
    await driver.remove_port(PARENT.id)
    await driver.remove_port(carried(6).id)
    await driver.remove_port("port-n")
    for id in ("net-a", "net-b"):
        await driver.remove_network(id)
    assert [] == await driver.list_ports()
    print("ok removed", flush=True)


async def check() -> None:
    with tempfile.TemporaryDirectory() as folder, Lab(Path(folder)).running() as lab:
        driver = LinuxNetworkDriver(Path(folder) / "network", SystemClock())
        await driver.init_host()
        try:
            await driver.ensure_network(network("net-a"))
            await driver.ensure_network(network("net-b", cidr="10.8.0.0/24", gateway="10.8.0.1"))
            await tagged_frames_are_of_the_port_with_that_tag(lab, driver)
            await what_is_not_its_own_is_dropped(lab, driver)
            await a_tag_is_changed_and_taken_off(lab, driver)
        finally:
            await driver.erase()


def main() -> None:
    asyncio.run(check())
