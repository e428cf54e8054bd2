"""IOS against a simulator that others wrote and that keeps state, and EOS as far as that simulator goes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from switch_world import Simulator, settings, switch

from micronova.errors import DriverError
from micronova.network.drivers.cisco.driver import CliSwitch
from micronova.network.drivers.cisco.eos import EOS
from micronova.network.drivers.cisco.ios import IOS, IOS_ISL
from micronova.network.switch import SwitchChange, SwitchDriver, SwitchPortSpec, VlanSpec
from micronova.testing.switch_kit import SwitchDriverKit, carrying

pytestmark = pytest.mark.slow
CATALYST = ("FastEthernet0/1", "GigabitEthernet0/2")
ARISTA = ("Ethernet1", "Ethernet2")


@pytest.fixture(scope="module")
def catalysts() -> Iterator[Simulator]:
    simulator = Simulator("cisco_2960_24TT_L")
    yield simulator
    simulator.stop()


@pytest.fixture
def catalyst(catalysts: Simulator) -> Simulator:
    catalysts.reset()
    return catalysts


@pytest.fixture
def driver(catalyst: Simulator, tmp_path: Path) -> CliSwitch:
    return switch(IOS, tmp_path, settings(catalyst.port, hosts={"node1": CATALYST[:1], "node2": CATALYST[1:]}))


class TestIos(SwitchDriverKit):
    @pytest.fixture
    def driver(self, catalyst: Simulator, tmp_path: Path) -> SwitchDriver:
        return switch(IOS, tmp_path, settings(catalyst.port, hosts={"node1": CATALYST}))

    @pytest.fixture
    def ports(self) -> tuple[str, str]:
        return CATALYST


async def test_the_simulator_has_what_it_was_told(catalyst: Simulator, driver: CliSwitch) -> None:
    ids = tuple(range(300, 420, 2))

    await driver.apply(carrying(CATALYST[0], 107, 108, *ids))
    await driver.apply(SwitchChange(gone=(108,)))

    state = catalyst.state()
    port = state["ports"][CATALYST[0]]
    assert {"1": None, "107": "net-107", **{str(id): f"net-{id}" for id in ids}} == state["vlans"]
    assert ("trunk", [1, 107, *ids]) == (port["mode"], sorted(port["trunk"]))
    assert {None} == set(state["ports"][CATALYST[1]].values())


async def test_a_catalyst_that_knows_isl_is_told_which_encapsulation(catalyst: Simulator, tmp_path: Path) -> None:
    driver = switch(IOS_ISL, tmp_path, settings(catalyst.port, hosts={"node1": CATALYST}))

    await driver.apply(carrying(CATALYST[0], 107))

    port = catalyst.state()["ports"][CATALYST[0]]
    assert ("dot1q", "trunk", [1, 107]) == (port["encapsulation"], port["mode"], port["trunk"])


async def test_two_drivers_of_one_switch_don_t_undo_each_other(
    catalyst: Simulator, driver: CliSwitch, tmp_path: Path
) -> None:
    other = switch(IOS, tmp_path, settings(catalyst.port, hosts={"node1": CATALYST}))

    for id in (101, 102, 103):
        await driver.apply(carrying(CATALYST[0], id))
        await other.apply(carrying(CATALYST[0], id + 10))
    await other.apply(SwitchChange(ports=(SwitchPortSpec(port=CATALYST[0], drops=(101,)),)))

    assert [1, 102, 103, 111, 112, 113] == sorted(catalyst.state()["ports"][CATALYST[0]]["trunk"])


async def test_a_wrong_secret_for_privileges_is_told(catalyst: Simulator, tmp_path: Path) -> None:
    wrong = settings(catalyst.port, enable_password_file="login.secret")

    with pytest.raises(DriverError, match="refused micronova the privileged mode"):
        await switch(IOS, tmp_path, wrong).facts()


async def test_a_vendor_that_is_only_a_table_is_served(tmp_path: Path) -> None:
    simulator = Simulator("arista_generic")
    driver = switch(EOS, tmp_path, settings(simulator.port, hosts={"node1": ARISTA}))

    await driver.apply(carrying(ARISTA[0], 107, 108, 110))
    await driver.apply(SwitchChange(vlans=(VlanSpec(id=111, name="ten"),), gone=(108,)))
    facts, state = await driver.facts(ARISTA), simulator.state()
    simulator.stop()

    assert {107, 110} == facts.ports[0].vlans
    assert {"1": None, "107": "net-107", "110": "net-110", "111": "ten"} == state["vlans"]
    assert ("trunk", [1, 107, 110]) == (state["ports"]["Ethernet1"]["mode"], state["ports"]["Ethernet1"]["trunk"])
    assert state["ports"]["Ethernet2"]["mode"] is None
