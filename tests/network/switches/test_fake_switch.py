"""The fake switch passes the kit, and does what fakes are for: refuse, do half, be slow, remember."""

from pathlib import Path

import pytest

from micronova.clock import SystemClock
from micronova.errors import DriverError, Rejected
from micronova.network.drivers.fake_switch import FakeSwitch
from micronova.network.switch import SwitchChange, SwitchDriver, VlanSpec
from micronova.network.switch_file import SwitchSettings
from micronova.testing.switch_kit import SwitchDriverKit, carried, carrying

PORTS = ("Ethernet1", "Ethernet2")
SETTINGS = SwitchSettings(driver="fake", hosts={"node1": PORTS[:1], "node2": PORTS[1:]})


@pytest.fixture
def fake() -> FakeSwitch:
    return FakeSwitch("rack1", SETTINGS)


class TestFakeSwitch(SwitchDriverKit):
    @pytest.fixture
    def driver(self) -> SwitchDriver:
        return FakeSwitch.configured("rack1", SETTINGS, Path(), SystemClock())

    @pytest.fixture
    def ports(self) -> tuple[str, str]:
        return PORTS


class TestSlowFakeSwitch(TestFakeSwitch):
    @pytest.fixture
    def driver(self) -> SwitchDriver:
        return FakeSwitch("rack1", SETTINGS, delay=0.0001)


async def test_a_refusal_has_no_effect_and_happens_as_often_as_asked(fake: FakeSwitch) -> None:
    fake.refuse("the fan stands still", times=2, error=Rejected)

    for _ in range(2):
        with pytest.raises(Rejected, match="fan"):
            await fake.apply(carrying(PORTS[0], 107))

    assert {1: "default"} == fake.state.vlans
    await fake.apply(carrying(PORTS[0], 107))


async def test_what_was_half_done_is_there_and_told_as_failed(fake: FakeSwitch) -> None:
    fake.refuse("connection lost", half=True)

    with pytest.raises(DriverError, match="lost"):
        await fake.apply(carrying(PORTS[0], 107))

    assert {107} == await carried(fake, PORTS[0])


async def test_a_fake_that_relents_refuses_no_more(fake: FakeSwitch) -> None:
    fake.refuse("no", times=9)
    fake.relent()

    await fake.apply(SwitchChange(vlans=(VlanSpec(id=107),)))

    assert [SwitchChange(vlans=(VlanSpec(id=107),))] == list(fake.changes)


async def test_uplinks_carry_every_vlan() -> None:
    fake = FakeSwitch("spine", SwitchSettings(driver="fake", uplinks=("Ethernet9",)))

    await fake.apply(SwitchChange(vlans=(VlanSpec(id=107),)))

    assert {107} == await carried(fake, "Ethernet9")
