"""Trunk ports of the Linux network driver: refused where they can't be. Where the kernel can: test_nested.py."""

import subprocess

import msgspec
import pytest
from linux_guests import network, plug, port
from netlab import Lab, sh

from micronova.errors import DriverError, Rejected
from micronova.network.driver import ParentSpec, PortSpec
from micronova.network.drivers.linux.driver import LinuxNetworkDriver

pytestmark = pytest.mark.host


def kernel_has_vlans() -> bool:
    """Whether VLAN interfaces can be made."""
    sh("ip", "link", "add", "probe0", "type", "veth", "peer", "name", "probe1")
    argv = ("ip", "link", "add", "link", "probe0", "name", "probe0.5", "type", "vlan", "id", "5")
    done = subprocess.run(argv, capture_output=True, timeout=20, check=False)
    sh("ip", "link", "delete", "probe0")
    return done.returncode == 0


def carried(parent: PortSpec, vlan: int = 5) -> PortSpec:
    base = msgspec.structs.replace(port("c", 13, on="net-b"), ips=("10.8.0.13",), leases=())
    return msgspec.structs.replace(base, parent=ParentSpec(port_id=parent.id, device=parent.device, vlan=vlan))


async def test_a_kernel_without_vlans_says_so_and_keeps_no_trace(lab: Lab, driver: LinuxNetworkDriver) -> None:
    if kernel_has_vlans():
        pytest.skip("this kernel has VLAN interfaces")
    await driver.ensure_network(network("net-a"))
    await driver.ensure_network(network("net-b", cidr="10.8.0.0/24", gateway="10.8.0.1"))
    parent = port("a", 11)
    await plug(lab, driver, parent)

    with pytest.raises(DriverError, match="8021q"):
        await driver.ensure_port(carried(parent))

    assert [parent.id] == [facts.id for facts in await driver.list_ports()]
    await driver.remove_network("net-b")
    assert ["net-a"] == await driver.list_networks()


async def test_a_port_is_not_carried_by_nothing_and_under_no_tag(lab: Lab, driver: LinuxNetworkDriver) -> None:
    await driver.ensure_network(network("net-a"))
    await driver.ensure_network(network("net-b", cidr="10.8.0.0/24", gateway="10.8.0.1"))
    missing = port("a", 11)

    with pytest.raises(DriverError, match="not there"):
        await driver.ensure_port(carried(missing))
    with pytest.raises(Rejected, match="VLAN"):
        await driver.ensure_port(carried(missing, 4095))

    assert [] == await driver.list_ports()
