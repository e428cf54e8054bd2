"""VLAN networks on hosts behind switches: each switch carries to each host what is there, and the rows say when not."""

import pytest
from network.network_world import eventually, room
from network.switch_room import FLAGS, behind, boot, carried, is_in, leave, look, status, switch_of, trouble, vlans

from micronova.clock import SystemClock
from micronova.config import load
from micronova.context import admin_context
from micronova.errors import ConfigError, DriverError, Rejected, Unavailable
from micronova.network import switches
from micronova.network.db import Network, SwitchPlace, SwitchState
from micronova.network.drivers.fake_switch import FakeSwitch
from micronova.network.switch import SwitchChange, SwitchPortSpec, VlanSpec
from micronova.network.switches import Switch
from micronova.tasks import Task


@pytest.fixture
def switch():
    return switch_of()


@pytest.fixture
async def r(switch):
    async with room("h1", "h2", carriers=behind(switch), **FLAGS) as made:
        yield made


async def test_the_first_port_brings_the_vlan_to_its_host_and_to_no_other(r, switch):
    network, _ = await r.network()

    await boot(r, network, "one", "h1")
    await r.idle()

    assert ({100}, set(), {100}) == (carried(switch, "h1"), carried(switch, "h2"), vlans(switch))
    assert "micronova-100" == switch.driver.state.vlans[100]


async def test_two_hosts_of_a_network_have_its_vlan(r, switch):
    network, _ = await r.network()

    await boot(r, network, "one", "h1")
    await boot(r, network, "two", "h2")
    await r.idle()

    assert ({100}, {100}) == (carried(switch, "h1"), carried(switch, "h2"))


async def test_hosts_and_the_switch_between_them_are_told_of_the_same_vlan(r, switch):
    network, _ = await r.network()
    for host in ("h1", "h2"):
        await boot(r, network, f"on-{host}", host)
    await r.idle()

    for host in ("h1", "h2"):
        segment = r.hosts[host].driver.networks[network].segment
        assert ("vlan", "rack", {segment.id}) == (segment.network_type, segment.physical_network, carried(switch, host))


async def test_the_last_port_takes_the_vlan_along(r, switch):
    network, _ = await r.network()
    await boot(r, network, "one", "h1")
    await boot(r, network, "two", "h1")
    await boot(r, network, "three", "h2")
    await r.idle()

    await leave(r, "one", "h1")
    await r.idle()
    assert {100} == carried(switch, "h1")
    await leave(r, "two", "h1")
    await r.idle()
    assert (set(), {100}, {100}) == (carried(switch, "h1"), carried(switch, "h2"), vlans(switch))
    await leave(r, "three", "h2")
    await r.idle()
    assert (set(), set()) == (carried(switch, "h2"), vlans(switch))


async def test_a_vlan_outside_of_the_ranges_is_neither_named_nor_removed(r, switch):
    switch.driver.state.vlans[900] = "printers"
    asked = {"provider:network_type": "vlan", "provider:physical_network": "lab", "provider:segmentation_id": 900}
    network = (await r.make("network", "admin", shared=True, **asked))["id"]
    await r.make("subnet", "admin", network_id=network, cidr="10.9.0.0/24")

    await boot(r, network, "one", "h1")
    await r.idle()
    assert ({900}, "printers") == (carried(switch, "h1"), switch.driver.state.vlans[900])
    await leave(r, "one", "h1")
    await r.idle()

    assert (set(), "printers") == (carried(switch, "h1"), switch.driver.state.vlans[900])


async def test_a_router_brings_a_network_to_the_hosts_of_the_other_and_takes_it_away(r, switch):
    left, left_subnet = await r.network("10.0.1.0/24")
    right, right_subnet = await r.network("10.0.2.0/24")
    await boot(r, left, "one", "h1")
    await boot(r, right, "two", "h2")
    router = (await r.make("router"))["id"]

    for subnet in (left_subnet, right_subnet):
        await r.call("PUT", f"/routers/{router}/add_router_interface", {"subnet_id": subnet})
    await r.idle()
    assert ({100, 101}, {100, 101}) == (carried(switch, "h1"), carried(switch, "h2"))
    await r.call("PUT", f"/routers/{router}/remove_router_interface", {"subnet_id": right_subnet})
    await r.idle()

    assert ({100}, {101}) == (carried(switch, "h1"), carried(switch, "h2"))


async def test_what_fails_is_told_by_the_network_and_tried_again(r, switch):
    network, _ = await r.network()
    switch.driver.refuse("rack1: login refused", times=10**6)

    await boot(r, network, "one", "h1")
    await eventually(lambda: is_in(r, network, "ERROR"))
    assert ["rack1: login refused"] == await trouble(r)
    switch.driver.relent()
    await eventually(lambda: is_in(r, network, "ACTIVE"))
    await r.idle()

    assert ([""], {100}) == (await trouble(r), carried(switch, "h1"))


async def test_a_change_that_was_half_made_is_completed(r, switch):
    network, _ = await r.network()
    switch.driver.refuse("rack1: connection lost", half=True)

    await boot(r, network, "one", "h1")
    await eventually(lambda: is_in(r, network, "ACTIVE"))
    await r.idle()

    assert ({100}, [""]) == (carried(switch, "h1"), await trouble(r))


async def test_what_no_host_needs_any_more_is_removed_though_a_crash_came_between(r, switch):
    network, _ = await r.network()
    await boot(r, network, "one", "h1")
    await r.idle()
    # the switch did it, but nobody was left to write it down
    place = await r.runtime.db.read(lambda tx: tx.first(SwitchPlace, host="h1"))
    ctx = admin_context(r.runtime.clock)
    await r.runtime.db.write(lambda tx: tx.change(place, carries=()), ctx, why="test")

    await leave(r, "one", "h1")
    await r.idle()

    assert (set(), set()) == (carried(switch, "h1"), vlans(switch))


async def test_trouble_with_one_network_is_not_that_of_the_others(r, switch):
    good, _ = await r.network()
    asked = {"provider:network_type": "vlan", "provider:physical_network": "lab", "provider:segmentation_id": 1003}
    bad = (await r.make("network", "admin", shared=True, **asked))["id"]
    await r.make("subnet", "admin", network_id=bad, cidr="10.9.0.0/24")

    await boot(r, bad, "one", "h1")
    await boot(r, good, "two", "h1")
    await r.idle()

    assert ("ERROR", "ACTIVE", {100}) == (await status(r, bad), await status(r, good), carried(switch, "h1"))
    assert "1003" in (await trouble(r))[0]
    await leave(r, "one", "h1")
    await r.idle()
    assert ("ACTIVE", [""]) == (await status(r, bad), await trouble(r))


async def test_a_switch_that_forgot_is_brought_in_order_by_a_periodic_look():
    switch = switch_of()
    async with room("h1", "h2", carriers=behind(switch), **FLAGS) as r:
        network, _ = await r.network()
        await boot(r, network, "one", "h1")
        await r.idle()
        switch.driver.state = FakeSwitch("rack1", switch.settings).state
        await look(r)
        assert set() == carried(switch, "h1")

        state = await r.runtime.db.read(lambda tx: tx.first(SwitchState))
        long_ago = SystemClock().now().replace(year=2001)
        ctx = admin_context(r.runtime.clock)
        await r.runtime.db.write(lambda tx: tx.change(state, asked_at=long_ago), ctx, why="test")
        await look(r)

        assert {100} == carried(switch, "h1")


async def test_what_nobody_was_told_is_found_by_a_periodic_look(r, switch):
    network, _ = await r.network()
    await boot(r, network, "one", "h1")
    await r.idle()
    place = await r.runtime.db.read(lambda tx: tx.first(SwitchPlace, host="h1"))
    ctx = admin_context(r.runtime.clock)
    await r.runtime.db.write(lambda tx: tx.change(place, carries=(), may_carry=(107,)), ctx, why="test")

    await look(r, "h2")

    now = await r.runtime.db.read(lambda tx: tx.first(SwitchPlace, host="h1"))
    assert ((100,), (100,)) == (now.carries, now.may_carry)


async def test_a_switch_of_one_physical_network_carries_no_other():
    rack, lab = switch_of("rack1", physical_network="rack"), switch_of("lab1", physical_network="lab")
    async with room("h1", carriers=behind(rack, lab), **FLAGS) as r:
        network, _ = await r.network()
        asked = {"provider:network_type": "vlan", "provider:physical_network": "lab", "provider:segmentation_id": 7}
        other = (await r.make("network", "admin", shared=True, **asked))["id"]
        await r.make("subnet", "admin", network_id=other, cidr="10.9.0.0/24")

        await boot(r, network, "one", "h1")
        await boot(r, other, "two", "h1")
        await r.idle()

        assert ({100}, {7}) == (carried(rack, "h1"), carried(lab, "h1"))


async def test_many_changes_at_once_end_as_the_rows_say(r, switch):
    networks = [(await r.network(f"10.0.{n}.0/24"))[0] for n in range(6)]
    for number, network in enumerate(networks):
        await boot(r, network, f"s{number}", f"h{number % 2 + 1}")
    for number in (0, 3):
        await leave(r, f"s{number}", f"h{number % 2 + 1}")
    await r.idle()

    rows = {row.id: row.segmentation_id for row in await r.runtime.db.read(lambda tx: tx.find(Network))}
    assert {rows[networks[2]], rows[networks[4]]} == carried(switch, "h1")
    assert {rows[networks[1]], rows[networks[5]]} == carried(switch, "h2")
    assert 0 == await r.runtime.db.read(lambda tx: tx.count(Task, open=True))


async def test_a_host_whose_file_lacks_the_switch_leaves_it_to_others():
    async with room("h1", serve=False, carriers=behind(), **FLAGS) as r:
        with pytest.raises(Unavailable, match=r"rack1 is not in network\.switches_file of host h1"):
            await r.hosts["h1"].strategies[0].arrange(admin_context(r.runtime.clock), "rack1")


def test_what_can_not_be_done_at_once_is_taken_apart():
    change = SwitchChange(
        vlans=(VlanSpec(id=5, name="five"), VlanSpec(id=6)),
        ports=(SwitchPortSpec(port="Gi1", carries=(5, 6), drops=(7,)),),
        gone=(8,),
    )

    assert [
        SwitchChange(vlans=(VlanSpec(id=5, name="five"),), ports=(SwitchPortSpec(port="Gi1", carries=(5,)),)),
        SwitchChange(vlans=(VlanSpec(id=6),), ports=(SwitchPortSpec(port="Gi1", carries=(6,)),)),
        SwitchChange(ports=(SwitchPortSpec(port="Gi1", drops=(7,)),)),
        SwitchChange(gone=(8,)),
    ] == list(switches.parts(change))


def test_the_switches_of_the_file_are_made_by_their_drivers(tmp_path):
    file = tmp_path / "switches.toml"
    file.write_text('[switch.rack1]\ndriver = "fake"\nhosts.h1 = ["Gi1/0/1"]\n')

    found = switches.configured(load(flags={"network.switches_file": str(file)}), SystemClock())

    assert {"rack1": FakeSwitch} == {name: type(one.driver) for name, one in found.items()}
    assert {} == switches.configured(load(), SystemClock())


def test_a_switch_without_a_driver_refuses_the_start(tmp_path):
    file = tmp_path / "switches.toml"
    file.write_text('[switch.rack1]\ndriver = "nonesuch"\n')

    with pytest.raises(ConfigError, match="switch.rack1.driver: there is no 'nonesuch'"):
        switches.configured(load(flags={"network.switches_file": str(file)}), SystemClock())


async def test_a_rejection_says_what_the_switch_said(r, switch):
    network, _ = await r.network()
    switch.driver.refuse("rack1: there is no port Gi1/0/1", error=Rejected, times=10)

    await boot(r, network, "one", "h1")
    await r.idle()

    assert ("ERROR", ["rack1: there is no port Gi1/0/1"]) == (await status(r, network), await trouble(r))


async def test_what_a_switch_refuses_again_and_again_is_not_the_trouble_of_other_networks(r, switch):
    good, _ = await r.network()
    asked = {"provider:network_type": "vlan", "provider:physical_network": "lab", "provider:segmentation_id": 1}
    bad = (await r.make("network", "admin", shared=True, **asked))["id"]
    await r.make("subnet", "admin", network_id=bad, cidr="10.9.0.0/24")

    await boot(r, bad, "one", "h1")
    await boot(r, good, "two", "h1")
    await eventually(lambda: is_in(r, bad, "ERROR"))
    await eventually(lambda: is_in(r, good, "ACTIVE"))

    assert 100 in carried(switch, "h1")
    await leave(r, "one", "h1")
    await r.idle()
    assert ("ACTIVE", {100}, [""]) == (await status(r, bad), carried(switch, "h1"), await trouble(r))


async def test_a_switch_that_does_nothing_is_left_alone_after_some_parts():
    class Dead(FakeSwitch):
        asked = 0

        async def apply(self, change):
            self.asked += 1
            raise DriverError("rack1: no answer")

    settings = switch_of().settings
    dead = Switch("rack1", settings, Dead("rack1", settings))
    ports = (SwitchPortSpec(port="Gi1/0/1", carries=tuple(range(100, 120))),)
    change = SwitchChange(vlans=tuple(VlanSpec(id=vlan) for vlan in range(100, 120)), ports=ports)
    wanted = {"h1": set(range(100, 120))}

    first = await switches.make(dead, switches.Plan(change, wanted))
    again = await switches.make(dead, switches.Plan(change, wanted, "rack1: no answer"))

    assert (False, False) == (first.known, again.known)
    assert 1 + 1 + switches.HOPELESS == dead.driver.asked


async def test_one_vlan_that_always_fails_leaves_the_others_alone_and_is_cleaned_up():
    class Picky(FakeSwitch):
        async def apply(self, change):
            await super().apply(change) if not any(101 in spec.carries for spec in change.ports) else self.fail()

        def fail(self):
            raise DriverError("rack1: VLAN 101 is pruned")

    settings = switch_of().settings
    picky = Switch("rack1", settings, Picky("rack1", settings))
    async with room("h1", "h2", carriers=behind(picky), **FLAGS) as r:
        networks = [(await r.network(f"10.0.{n}.0/24"))[0] for n in range(3)]
        for number, network in enumerate(networks):
            await boot(r, network, f"s{number}", "h1")

        await eventually(lambda: _carries(picky, {100, 102}))
        await eventually(lambda: is_in(r, networks[1], "ERROR"))
        await eventually(lambda: is_in(r, networks[2], "ACTIVE"))
        assert ["ERROR" if n == 1 else "ACTIVE" for n in range(3)] == [await status(r, network) for network in networks]

        await leave(r, "s1", "h1")
        await r.idle()
        assert ("ACTIVE", [""]) == (await status(r, networks[1]), await trouble(r))


async def _carries(switch, wanted):
    return wanted == carried(switch, "h1")
