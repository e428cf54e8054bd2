"""The conformance kit of SwitchDriver: what every switch must do, whoever made it.

A driver's test inherits `SwitchDriverKit` and gives two pytest fixtures: `driver`, and `ports`, the names of two ports
of that switch that are no trunks and have VLAN 1 untagged.
"""

import asyncio

import pytest

from micronova.errors import DriverError, Rejected
from micronova.network.switch import SwitchChange, SwitchDriver, SwitchPortSpec, VlanSpec

Ports = tuple[str, str]
NO_PORT = "Ethernet99/99"
IMPOSSIBLE = (
    SwitchChange(vlans=(VlanSpec(id=0),)),
    SwitchChange(vlans=(VlanSpec(id=4095),)),
    SwitchChange(vlans=(VlanSpec(id=1),)),
    SwitchChange(gone=(1,)),
    SwitchChange(vlans=(VlanSpec(id=107, name="two words"),)),
    SwitchChange(vlans=(VlanSpec(id=107, name="x\nno vlan 1"),)),
    SwitchChange(vlans=(VlanSpec(id=107, name="x" * 33),)),
    SwitchChange(vlans=(VlanSpec(id=107, name="a"), VlanSpec(id=107, name="b"))),
    SwitchChange(vlans=(VlanSpec(id=107),), gone=(107,)),
    SwitchChange(ports=(SwitchPortSpec(port=NO_PORT, drops=(107,)),)),
    SwitchChange(ports=(SwitchPortSpec(port="x\nreload", drops=(107,)),)),
    SwitchChange(ports=(SwitchPortSpec(port="", drops=(107,)),)),
)


def network(*ids: int) -> tuple[VlanSpec, ...]:
    """VLANs with a name each."""
    return tuple(VlanSpec(id=id, name=f"net-{id}") for id in ids)


def carrying(port: str, *ids: int) -> SwitchChange:
    """VLANs that exist, and a port that carries them."""
    return SwitchChange(vlans=network(*ids), ports=(SwitchPortSpec(port=port, carries=ids),))


async def names(driver: SwitchDriver) -> dict[int, str]:
    """What the switch calls each of its VLANs, its own 1 and 1002 to 1005 aside."""
    return {vlan.id: vlan.name for vlan in (await driver.facts()).vlans if 1 < vlan.id < 1000}


async def carried(driver: SwitchDriver, port: str) -> set[int]:
    """The VLANs a port carries tagged."""
    return set((await driver.facts((port,))).ports[0].vlans)


class SwitchDriverKit:
    """Inherit, give the fixtures `driver` and `ports`, and run."""

    async def test_a_vlan_is_there_and_is_told(self, driver: SwitchDriver) -> None:
        await driver.apply(SwitchChange(vlans=network(107, 101)))

        assert {101: "net-101", 107: "net-107"} == await names(driver)
        ids = [vlan.id for vlan in (await driver.facts()).vlans]
        assert sorted(ids) == ids

    async def test_a_vlan_without_a_name_gets_one_of_the_switch(self, driver: SwitchDriver) -> None:
        await driver.apply(SwitchChange(vlans=(VlanSpec(id=107),)))

        assert [107] == list(await names(driver))

    async def test_a_vlan_that_nobody_named_is_named_and_keeps_that_name(self, driver: SwitchDriver) -> None:
        await driver.apply(SwitchChange(vlans=(VlanSpec(id=107),)))
        await driver.apply(SwitchChange(vlans=network(107)))

        for other in ("other", ""):
            await driver.apply(SwitchChange(vlans=(VlanSpec(id=107, name=other),)))

        assert {107: "net-107"} == await names(driver)

    async def test_a_port_becomes_a_trunk_that_carries_only_what_was_asked(
        self, driver: SwitchDriver, ports: Ports
    ) -> None:
        before = (await driver.facts(ports)).ports

        await driver.apply(carrying(ports[0], 107, 108))

        first, second = (await driver.facts(ports)).ports
        assert (False, frozenset()) == (before[0].trunk, before[0].vlans)
        assert (ports[0], True, {107, 108}, 1) == (first.port, first.trunk, set(first.vlans), first.native)
        assert before[1] == second

    async def test_repeating_changes_nothing(self, driver: SwitchDriver, ports: Ports) -> None:
        change = carrying(ports[0], 107, 108)
        await driver.apply(change)
        first = await driver.facts(ports)

        await driver.apply(change)
        await driver.apply(SwitchChange())

        assert first == await driver.facts(ports)

    async def test_what_is_not_named_stays(self, driver: SwitchDriver, ports: Ports) -> None:
        await driver.apply(carrying(ports[0], 101, 102, 103, 110))

        await driver.apply(SwitchChange(ports=(SwitchPortSpec(port=ports[0], drops=(102,)),)))
        await driver.apply(carrying(ports[0], 107))

        assert {101, 103, 107, 110} == await carried(driver, ports[0])
        assert {101, 102, 103, 107, 110} == set(await names(driver))

    async def test_adding_and_dropping_in_one_change(self, driver: SwitchDriver, ports: Ports) -> None:
        await driver.apply(carrying(ports[0], 101, 102))

        await driver.apply(
            SwitchChange(vlans=network(103), ports=(SwitchPortSpec(port=ports[0], carries=(103,), drops=(101,)),))
        )

        assert {102, 103} == await carried(driver, ports[0])

    async def test_many_vlans_at_once(self, driver: SwitchDriver, ports: Ports) -> None:
        ids = tuple(range(101, 200, 3))

        await driver.apply(carrying(ports[0], *ids))
        await driver.apply(SwitchChange(ports=(SwitchPortSpec(port=ports[0], drops=ids[5:]),)))

        assert set(ids[:5]) == await carried(driver, ports[0])
        assert set(ids) == set(await names(driver))

    async def test_a_vlan_that_is_gone_is_on_no_port(self, driver: SwitchDriver, ports: Ports) -> None:
        await driver.apply(carrying(ports[0], 107, 108))
        await driver.apply(carrying(ports[1], 107))

        await driver.apply(SwitchChange(gone=(107,)))

        assert [108] == list(await names(driver))
        assert ({108}, set()) == (await carried(driver, ports[0]), await carried(driver, ports[1]))

    async def test_what_is_missing_is_removed_with_success(self, driver: SwitchDriver, ports: Ports) -> None:
        before = await driver.facts(ports)

        await driver.apply(SwitchChange(ports=(SwitchPortSpec(port=ports[0], drops=(107,)),), gone=(107,)))

        assert before == await driver.facts(ports)

    async def test_removed_can_come_again(self, driver: SwitchDriver, ports: Ports) -> None:
        for _ in range(2):
            await driver.apply(carrying(ports[0], 107))
            await driver.apply(SwitchChange(gone=(107,)))

        assert ({}, set()) == (await names(driver), await carried(driver, ports[0]))

    async def test_the_untagged_vlan_is_another(self, driver: SwitchDriver, ports: Ports) -> None:
        await driver.apply(carrying(ports[0], 107))

        await driver.apply(SwitchChange(vlans=network(109), ports=(SwitchPortSpec(port=ports[0], native=109),)))

        facts = (await driver.facts(ports)).ports[0]
        assert (109, {107}) == (facts.native, set(facts.vlans - {1}))

    async def test_a_port_does_not_carry_tagged_what_it_has_untagged(self, driver: SwitchDriver, ports: Ports) -> None:
        await driver.apply(SwitchChange(vlans=network(109), ports=(SwitchPortSpec(port=ports[0], native=109),)))

        with pytest.raises(DriverError):
            await driver.apply(carrying(ports[0], 109))

        assert 109 == (await driver.facts(ports)).ports[0].native

    async def test_a_port_does_not_carry_a_vlan_that_is_not_there(self, driver: SwitchDriver, ports: Ports) -> None:
        before = await driver.facts(ports)

        with pytest.raises(DriverError):
            await driver.apply(SwitchChange(ports=(SwitchPortSpec(port=ports[0], carries=(107,)),)))

        assert before == await driver.facts(ports)

    @pytest.mark.parametrize("change", IMPOSSIBLE, ids=range(len(IMPOSSIBLE)))
    async def test_what_can_never_be_is_rejected(
        self, driver: SwitchDriver, ports: Ports, change: SwitchChange
    ) -> None:
        before = await driver.facts(ports)

        with pytest.raises(Rejected):
            await driver.apply(change)

        assert before == await driver.facts(ports)

    async def test_a_change_that_contradicts_itself_is_rejected(self, driver: SwitchDriver, ports: Ports) -> None:
        both = SwitchPortSpec(port=ports[0], carries=(107,), drops=(107,))

        with pytest.raises(Rejected):
            await driver.apply(SwitchChange(vlans=network(107), ports=(both,)))

        assert {} == await names(driver)

    async def test_facts_of_a_port_that_is_not_there_are_rejected(self, driver: SwitchDriver) -> None:
        with pytest.raises(Rejected):
            await driver.facts((NO_PORT,))

    async def test_calls_at_the_same_time_all_take_effect(self, driver: SwitchDriver, ports: Ports) -> None:
        await asyncio.gather(*(driver.apply(carrying(ports[id % 2], id)) for id in range(101, 113)))

        assert set(range(101, 113)) == set(await names(driver))
        assert set(range(102, 113, 2)) == await carried(driver, ports[0])
        assert set(range(101, 113, 2)) == await carried(driver, ports[1])

    async def test_one_that_fails_among_many_takes_nobody_along(self, driver: SwitchDriver, ports: Ports) -> None:
        wrong = SwitchChange(ports=(SwitchPortSpec(port=ports[0], carries=(150,)),))
        changes = (carrying(ports[0], 101), carrying(ports[0], 102), wrong, carrying(ports[1], 103))

        ends = await asyncio.gather(*(driver.apply(change) for change in changes), return_exceptions=True)

        assert [None, None, DriverError, None] == [end and type(end) for end in ends]
        assert ({101, 102}, {103}) == (await carried(driver, ports[0]), await carried(driver, ports[1]))

    async def test_a_call_given_up_half_way_is_completed_by_the_next(self, driver: SwitchDriver, ports: Ports) -> None:
        for turns in (0, 2, 10, 60, 250):
            await _give_up_after(turns, asyncio.ensure_future(driver.apply(carrying(ports[0], 107, 108))))
            await driver.apply(carrying(ports[0], 107, 108))
            assert {107, 108} == await carried(driver, ports[0])

            await _give_up_after(turns, asyncio.ensure_future(driver.apply(SwitchChange(gone=(107, 108)))))
            await driver.apply(SwitchChange(gone=(107, 108)))
            assert {} == await names(driver)

    async def test_a_closed_one_serves_again(self, driver: SwitchDriver, ports: Ports) -> None:
        await driver.apply(carrying(ports[0], 107))

        await driver.close()
        await driver.close()

        assert {107} == await carried(driver, ports[0])


async def _give_up_after(turns: int, call: asyncio.Future[None]) -> None:
    """Let `call` run for some turns of the event loop, then cancel it and wait for its end."""
    for _ in range(turns):
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])
    if not call.cancelled():
        call.exception()
