"""The Open vSwitch driver on a host whose system runs Open vSwitch: it is used, and left as it was."""

import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from linux_guests import network, plug, port
from netlab import Guest, Lab, enter, sh, until
from ovs_lab import daemons, need_ovs
from test_ovs_vlan import on_vlan

from micronova.clock import SystemClock
from micronova.network.drivers.ovs.driver import OvsNetworkDriver
from micronova.network.drivers.served.segments import HostWires

pytestmark = pytest.mark.host
SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


class SystemSwitch:
    """An Open vSwitch that somebody else started, with a bridge `office`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def start(self) -> None:
        sh("ovsdb-tool", "create", str(self.folder / "conf.db"), SCHEMA)
        self._daemon("ovsdb-server", str(self.folder / "conf.db"), f"--remote=punix:{self.folder / 'db.sock'}")
        self.vsctl("--no-wait", "init")
        self.vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:userspace-tso-enable=true")
        self._daemon("ovs-vswitchd", f"unix:{self.folder / 'db.sock'}")
        self.vsctl("add-br", "office", "--", "set", "Bridge", "office", "datapath_type=netdev")

    def vsctl(self, *words: str) -> str:
        return sh("ovs-vsctl", f"--db=unix:{self.folder / 'db.sock'}", "--timeout=10", *words)

    def stop(self) -> None:
        for path in self.folder.glob("*.pid"):
            os.kill(int(path.read_text()), signal.SIGKILL)

    def _daemon(self, name: str, *words: str) -> None:
        argv = (
            name,
            *words,
            f"--pidfile={self.folder / f'{name}.pid'}",
            "--detach",
            "-vconsole:off",
            "-vsyslog:off",
            "--log-file=/dev/null",
        )
        sh("env", f"OVS_RUNDIR={self.folder}", *argv)


@pytest.fixture
def system(lab: Lab) -> Iterator[SystemSwitch]:
    need_ovs()
    folder = lab.folder / "sys"
    folder.mkdir()
    system = SystemSwitch(folder)
    try:
        system.start()
        yield system
    finally:
        system.stop()


@pytest.fixture
async def driver(lab: Lab, system: SystemSwitch) -> AsyncIterator[OvsNetworkDriver]:
    wires = HostWires(interfaces={"physnet1": "office"})
    driver = OvsNetworkDriver(lab.folder / "network", SystemClock(), wires=wires, system=system.folder)
    try:
        await driver.init_host()
        yield driver
    finally:
        await driver.erase()
        await driver.close()


def machine(lab: Lab, system: SystemSwitch, vlan: int) -> Guest:
    """A machine on a port of the office's bridge."""
    machine = lab.guest(f"machine{vlan}", device=f"m{vlan}", mac=f"fa:16:3e:00:09:{vlan % 100:02x}")
    sh("ip", "link", "set", f"m{vlan}", "up")
    system.vsctl("add-port", "office", f"m{vlan}", f"tag={vlan}")
    machine.set_address("10.9.0.50/24")
    return machine


async def test_a_network_meets_machines_of_its_vlan_by_the_systems_bridge(
    lab: Lab, system: SystemSwitch, driver: OvsNetworkDriver
) -> None:
    await driver.ensure_network(on_vlan(network(), 101))
    a = await plug(lab, driver, port("a", 11))
    same = machine(lab, system, 101)
    other = machine(lab, system, 102)

    with same.listens(80), other.listens(81):
        until(lambda: a.connects("10.9.0.50", 80))
        assert not a.connects("10.9.0.50", 81)
        assert same.reaches("10.9.0.11")
        assert not other.pings("10.9.0.11")
    assert {} == daemons()


async def test_the_systems_switch_is_left_as_it_was(system: SystemSwitch, driver: OvsNetworkDriver) -> None:
    await driver.ensure_network(on_vlan(network(), 101))
    joined = system.vsctl("list-ports", "office").split()

    await driver.remove_network("net-a")
    parted = system.vsctl("list-ports", "office").split()
    await driver.ensure_network(on_vlan(network(), 102))
    await driver.erase()

    assert 1 == len(joined)
    assert [] == parted
    assert "office" == system.vsctl("list-br").strip()
    assert [] == system.vsctl("list-ports", "office").split()
    assert "" == system.vsctl("--bare", "--columns=_uuid", "list", "QoS").strip()


async def test_a_switch_that_carries_no_tcp_is_told_in_one_sentence(
    system: SystemSwitch, driver: OvsNetworkDriver, caplog: pytest.LogCaptureFixture
) -> None:
    told = [record for record in caplog.records if "checksums" in record.getMessage()]
    system.vsctl("--no-wait", "remove", "Open_vSwitch", ".", "other_config", "userspace-tso-enable")
    system.vsctl("del-br", next(name for name in system.vsctl("list-br").split() if name != "office"))

    await driver.init_host()

    assert [] == told
    assert 1 == len([record for record in caplog.records if "userspace-tso-enable=true" in record.getMessage()])


async def test_a_switch_of_another_namespace_is_not_the_systems(lab: Lab, system: SystemSwitch) -> None:
    """Its daemons see none of this one's interfaces."""
    path = lab.add_namespace("elsewhere")
    elsewhere = OvsNetworkDriver(lab.folder / "elsewhere", SystemClock(), system=system.folder)

    try:
        with enter(path):
            await elsewhere.init_host()
            mine = daemons()

        assert 2 == len(mine)
        assert "office" == system.vsctl("list-br").strip()
    finally:
        await elsewhere.erase()
        await elsewhere.close()
