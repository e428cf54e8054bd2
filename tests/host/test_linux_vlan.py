"""VLAN networks of the Linux network driver: what is refused. Where a kernel has VLANs: test_nested.py."""

from pathlib import Path

import msgspec
import pytest
from linux_guests import network
from netlab import Lab, sh, steady

from micronova.clock import SystemClock
from micronova.errors import DriverError, Rejected
from micronova.network.driver import NetworkSpec, SegmentSpec
from micronova.network.drivers.linux.driver import LinuxNetworkDriver
from micronova.network.drivers.served.segments import HostWires

pytestmark = pytest.mark.host


def on_vlan(number: int | None) -> NetworkSpec:
    segment = SegmentSpec(network_type="vlan", physical_network="physnet1", id=number)
    return msgspec.structs.replace(network(), segment=segment)


@pytest.mark.parametrize("number", [None, 0, 4095])
async def test_a_vlan_that_can_not_be_is_rejected(lab: Lab, tmp_path: Path, number: int | None) -> None:
    driver = LinuxNetworkDriver(tmp_path, SystemClock(), wires=HostWires(interfaces={"physnet1": "uplink"}))

    with pytest.raises(Rejected):
        await driver.ensure_network(on_vlan(number))

    await driver.erase()


@pytest.mark.parametrize(
    ("interface", "said"), [({}, "no interface for physical network physnet1"), ({"physnet1": "none0"}, "not there")]
)
async def test_a_missing_interface_is_told_and_nothing_is_left(
    lab: Lab, tmp_path: Path, interface: dict[str, str], said: str
) -> None:
    driver = LinuxNetworkDriver(tmp_path, SystemClock(), wires=HostWires(interfaces=interface))
    await driver.init_host()
    before = (steady(sh("ip", "-o", "link")), sh("nft", "list", "ruleset"))

    with pytest.raises(DriverError, match=said):
        await driver.ensure_network(on_vlan(5))

    assert before == (steady(sh("ip", "-o", "link")), sh("nft", "list", "ruleset"))
    await driver.erase()


async def test_a_kernel_without_vlans_says_so_and_nothing_is_left(lab: Lab, tmp_path: Path) -> None:
    sh("ip", "link", "add", "cable", "type", "veth", "peer", "name", "far")
    sh("ip", "link", "add", "probe", "type", "bridge", "vlan_filtering", "1", check=False)
    sh("ip", "link", "add", "link", "cable", "name", "probe", "type", "vlan", "id", "9", check=False)
    if "probe" in sh("ip", "link"):
        pytest.skip("this kernel has VLANs")
    driver = LinuxNetworkDriver(tmp_path, SystemClock(), wires=HostWires(interfaces={"physnet1": "cable"}))
    await driver.init_host()
    before = steady(sh("ip", "-br", "link", "show", "type", "bridge"))

    with pytest.raises(DriverError, match="load the module 8021q"):
        await driver.ensure_network(on_vlan(5))

    assert before == steady(sh("ip", "-br", "link", "show", "type", "bridge"))
    assert [] == await driver.list_networks()
    await driver.erase()
