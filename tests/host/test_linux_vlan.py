"""VLAN networks of the Linux network driver: refused in one sentence here, or shown in a machine that has VLANs."""

from pathlib import Path

import msgspec
import pytest
from linux_guests import network
from nested import Machine
from netlab import NEEDED, Lab, sh, steady

from micronova.clock import SystemClock
from micronova.errors import DriverError, Rejected
from micronova.network.driver import NetworkSpec, SegmentSpec
from micronova.network.drivers.linux.driver import LinuxNetworkDriver
from micronova.network.drivers.served.driver import COMMANDS
from micronova.network.drivers.served.segments import HostWires

pytestmark = pytest.mark.host
MODULES = (
    *("bridge", "br_netfilter", "veth", "tun"),
    *("nf_tables", "nft_meta_bridge", "nft_ct", "nft_chain_nat", "nft_nat", "nft_masq"),
)


def on_vlan(number: int | None) -> NetworkSpec:
    segment = SegmentSpec(network_type="vlan", physical_network="physnet1", id=number)
    return msgspec.structs.replace(network(), segment=segment)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_vlans_carry_networks_with_and_without_vlan_interfaces(tmp_path: Path) -> None:
    script = Path(__file__).with_name("vlan_guest.py")

    told = Machine(tmp_path).runs(script, modules=MODULES, later=("8021q",), commands=(*COMMANDS, *NEEDED))

    assert "without VLAN interfaces: True" in told, told
    assert ["meet", "heal", "removed"] * 2 + ["in-use"] == [
        line.split()[1] for line in told.splitlines() if line.startswith("ok ")
    ], told
    assert "ENDED 0" in told, told


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
