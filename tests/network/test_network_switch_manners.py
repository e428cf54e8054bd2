"""Switches between switches, names that others gave, logins that are refused, and what operators are told of it."""

import pytest
from network.network_world import eventually, room
from network.switch_room import FLAGS, behind, boot, carried, leave, look, status, switch_of, trouble, vlans

from micronova.clock import SystemClock
from micronova.config import load
from micronova.context import admin_context
from micronova.db.journal import Entry
from micronova.errors import DriverError
from micronova.network import switches
from micronova.network.db import SwitchState
from micronova.network.drivers.fake_switch import FakeSwitch
from micronova.network.switch import LoginRefused
from micronova.network.switch_file import SwitchSettings
from micronova.network.switches import Switch


@pytest.fixture
def switch():
    return switch_of()


@pytest.fixture
async def r(switch):
    async with room("h1", "h2", carriers=behind(switch), **FLAGS) as made:
        yield made


# -- between switches


async def test_a_switch_with_only_uplinks_carries_what_the_hosts_behind_them_need():
    settings = SwitchSettings(driver="fake", uplinks=("Te1/1", "Te1/2"))
    spine = Switch("spine", settings, FakeSwitch("spine", settings))
    leaf = switch_of()
    async with room("h1", "h2", carriers=behind(leaf, spine), **FLAGS) as r:
        network, _ = await r.network()
        await boot(r, network, "one", "h1")
        await r.idle()
        facts = await spine.driver.facts(settings.uplinks)
        assert [{100}, {100}] == [set(port.vlans) - {1} for port in facts.ports]

        await leave(r, "one", "h1")
        await r.idle()

        facts = await spine.driver.facts(settings.uplinks)
        assert [set(), set()] == [set(port.vlans) - {1} for port in facts.ports]
        assert set() == vlans(spine)


async def test_a_spine_keeps_what_somebody_else_may_use_by_it():
    settings = SwitchSettings(driver="fake", uplinks=("Te1/1",))
    spine = Switch("spine", settings, FakeSwitch("spine", settings))
    spine.driver.state.vlans[900] = "printers"
    async with room("h1", carriers=behind(spine), **FLAGS) as r:
        asked = {"provider:network_type": "vlan", "provider:physical_network": "lab", "provider:segmentation_id": 900}
        network = (await r.make("network", "admin", shared=True, **asked))["id"]
        await r.make("subnet", "admin", network_id=network, cidr="10.9.0.0/24")
        await boot(r, network, "one", "h1")
        await r.idle()

        await leave(r, "one", "h1")
        await r.idle()

        facts = await spine.driver.facts(("Te1/1",))
        assert (True, "printers") == (900 in facts.ports[0].vlans, spine.driver.state.vlans[900])


async def test_what_a_spine_refuses_is_told_by_the_network():
    settings = SwitchSettings(driver="fake", uplinks=("Te1/1",))
    spine = Switch("spine", settings, FakeSwitch("spine", settings))
    async with room("h1", carriers=behind(spine), **FLAGS) as r:
        good, _ = await r.network()
        asked = {"provider:network_type": "vlan", "provider:physical_network": "lab", "provider:segmentation_id": 1003}
        bad = (await r.make("network", "admin", shared=True, **asked))["id"]
        await r.make("subnet", "admin", network_id=bad, cidr="10.9.0.0/24")

        await boot(r, bad, "one", "h1")
        await boot(r, good, "two", "h1")
        await r.idle()

        assert ("ERROR", "ACTIVE") == (await status(r, bad), await status(r, good))


async def test_hosts_behind_the_uplinks_of_a_switch_with_hosts_are_named_without_ports():
    settings = SwitchSettings(driver="fake", uplinks=("Te1/1",), hosts={"h1": ("Gi1/0/1",), "h2": ()})
    middle = Switch("middle", settings, FakeSwitch("middle", settings))
    async with room("h1", "h2", carriers=behind(middle), **FLAGS) as r:
        network, _ = await r.network()

        await boot(r, network, "two", "h2")
        await r.idle()

        facts = await middle.driver.facts(("Gi1/0/1", "Te1/1"))
        assert [False, {100}] == [facts.ports[0].trunk, set(facts.ports[1].vlans) - {1}]


# -- what others have on a switch


async def test_a_name_that_somebody_gave_a_vlan_of_a_range_is_left_and_so_is_the_vlan(r, switch):
    switch.driver.state.vlans[100] = "printers"
    network, _ = await r.network()
    await boot(r, network, "one", "h1")
    await r.idle()
    assert ({100}, "printers") == (carried(switch, "h1"), switch.driver.state.vlans[100])

    await leave(r, "one", "h1")
    await r.idle()

    assert (set(), "printers", [""]) == (carried(switch, "h1"), switch.driver.state.vlans[100], await trouble(r))


# -- logins


async def refused_login(r, switch, network):
    """The switch refused the login once."""
    switch.driver.refuse("switch rack1 refused the login of micronova", error=LoginRefused, times=10**6)
    await boot(r, network, "one", "h1")
    await r.idle()


async def test_a_refused_login_is_not_tried_again_and_says_so(r, switch):
    network, _ = await r.network()
    await refused_login(r, switch, network)
    switch.driver.relent()

    await boot(r, network, "two", "h2")
    await r.idle()
    await look(r)
    await look(r, "h2")

    assert ("ERROR", 0) == (await status(r, network), len(switch.driver.changes))
    assert "refused the login of micronova; it is not asked again before" in (await trouble(r))[0]


async def test_a_network_that_comes_while_a_switch_is_left_alone_says_so_too(r, switch):
    first, _ = await r.network()
    await refused_login(r, switch, first)
    second, _ = await r.network("10.0.1.0/24")

    await boot(r, second, "two", "h2")
    await r.idle()

    assert "ERROR" == await status(r, second)


async def test_after_a_refused_login_a_late_look_tries_again(r, switch):
    network, _ = await r.network()
    await refused_login(r, switch, network)
    switch.driver.relent()
    state = await r.runtime.db.read(lambda tx: tx.first(SwitchState))
    ctx = admin_context(r.runtime.clock)
    assert switches.LOGIN_REST >= 600
    await r.runtime.db.write(lambda tx: tx.change(state, again_at=state.asked_at), ctx, why="test")

    await look(r)

    assert ("ACTIVE", {100}, [""]) == (await status(r, network), carried(switch, "h1"), await trouble(r))


async def test_an_operator_finds_what_is_wrong_with_a_switch(r, switch):
    network, _ = await r.network()
    await refused_login(r, switch, network)

    told = await r.runtime.db.read(r.manager.troubles)
    lines = await r.runtime.db.read(lambda tx: tx.find(Entry, row_id=network))

    assert "switch rack1 refused the login of micronova" in told["switch rack1"]
    assert any("refused the login" in line.why and line.after.get("status") == "ERROR" for line in lines)


def test_the_switches_of_a_simulated_cloud_are_fake(tmp_path):
    file = tmp_path / "switches.toml"
    file.write_text('[switch.rack1]\ndriver = "ios"\nhosts.h1 = ["Gi1/0/1"]\n')

    found = switches.configured(load(flags={"network.switches_file": str(file), "simulate": True}), SystemClock())

    assert {"rack1": FakeSwitch} == {name: type(one.driver) for name, one in found.items()}


async def test_a_vlan_of_which_nobody_knows_whose_it_is_is_removed_later():
    class Mute(FakeSwitch):
        mute = False

        async def facts(self, ports=()):
            if self.mute:
                raise DriverError("rack1: no answer")
            return await super().facts(ports)

    settings = switch_of().settings
    mute = Switch("rack1", settings, Mute("rack1", settings))
    async with room("h1", "h2", carriers=behind(mute), **FLAGS) as r:
        network, _ = await r.network()
        await boot(r, network, "one", "h1")
        await r.idle()
        mute.driver.mute = True
        await leave(r, "one", "h1")
        await eventually(lambda: _said(r, "rack1: no answer"))
        assert {100} == vlans(mute)

        mute.driver.mute = False
        await eventually(lambda: _said(r, ""))
        await r.idle()

        assert (set(), set()) == (carried(mute, "h1"), vlans(mute))


async def _said(r, wanted):
    return [wanted] == await trouble(r)
