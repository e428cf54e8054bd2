"""What the kernel below the tests may not have, in one machine that has it: VLANs, trunks, thin pools."""

import shutil

import pytest
from nested import Machine
from netlab import NEEDED
from test_lvm_volumes import COMMANDS as LVM_COMMANDS

from micronova.network.drivers.served.driver import COMMANDS

pytestmark = [pytest.mark.host, pytest.mark.slow, pytest.mark.timeout(1000)]
MODULES = (
    *("bridge", "br_netfilter", "veth", "tun"),
    *("nf_tables", "nft_meta_bridge", "nft_ct", "nft_chain_nat", "nft_nat", "nft_masq"),
)
LVM_MODULES = ("loop", "dm_mod", "dm_thin_pool")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each script printed. Starting the machine takes longer than most of what runs in it: once for all."""
    names, modules, commands = ["vlan_guest", "trunk_guest"], [*MODULES], [*COMMANDS, *NEEDED]
    if all(shutil.which(name) for name in LVM_COMMANDS):
        names.append("lvm_guest")
        modules += LVM_MODULES
        commands += LVM_COMMANDS
    machine = Machine(tmp_path_factory.mktemp("nested"))
    return machine.runs(names, modules=modules, later=("8021q",), commands=commands)


def held(told: str) -> list[str]:
    """The checks that held, in order."""
    return [line.split()[1] for line in told.splitlines() if line.startswith("ok ")]


def test_vlans_carry_networks_with_and_without_vlan_interfaces(told: dict[str, str]) -> None:
    found = told["vlan_guest"]

    assert "without VLAN interfaces: True" in found, found
    assert ["meet", "heal", "removed"] * 2 + ["in-use"] == held(found), found
    assert "ENDED 0" in found, found


def test_a_port_carries_others_where_the_kernel_has_vlans(told: dict[str, str]) -> None:
    found = told["trunk_guest"]

    assert ["tagged", "dropped", "removed"] == held(found), found
    assert "ENDED 0" in found, found


def test_thin_pools_keep_the_contract(told: dict[str, str]) -> None:
    found = told.get("lvm_guest") or pytest.skip(f"needs {', '.join(LVM_COMMANDS)}")

    assert [] == [line for line in found.splitlines() if line.startswith(("failed ", "skipped "))], found
    assert "ENDED 0" in found, found
    assert 3 <= len(held(found)), found
