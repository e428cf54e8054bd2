"""Each invariant can fail: the world is broken on purpose, and the invariant that should says so."""

import asyncio

import msgspec
import pytest

from micronova.compute.create import NewServer
from micronova.compute.db import Server, ServerInput
from micronova.context import admin_context
from micronova.image.db import Image
from micronova.network.db import (
    Address,
    FixedIp,
    FloatingIp,
    GivenSegment,
    Membership,
    Network,
    Pair,
    Port,
    Router,
    RouterPort,
    TunnelEndpoint,
)
from micronova.network.driver import SegmentSpec
from micronova.network.switch import SwitchChange, SwitchPortSpec, VlanSpec
from micronova.options import QuotaOptions
from micronova.scheduler.db import Allocation
from micronova.sim import history, snapshot
from micronova.sim.asking import create, member
from micronova.sim.faults import Dice
from micronova.sim.invariants import ALWAYS, HEALED, broken, quotas_are_kept
from micronova.sim.loop import VirtualLoop, run
from micronova.sim.workload import Users
from micronova.sim.world import PROJECTS, SWITCH, Ground, World
from micronova.tasks import Task

GROUND = Ground()


def first(tx, cls, **where):
    return tx.find(cls, order=(("id", True),), **where)[0]


def double_an_address(tx):
    given, taker = tx.find(Port, order=(("id", True),))[:2]
    tx.change(taker, fixed_ips=given.fixed_ips)


def leak_an_address(tx):
    tx.delete(first(tx, Address))


def forget_a_subnet(tx):
    tx.change(first(tx, Network), subnet_ids=())


def leave_a_membership(tx):
    tx.insert(Membership(id="x", group_id="gone", port_id=first(tx, Port).id))


def hold_for_nobody(tx):
    held = tx.find(Allocation)[0]
    tx.insert(msgspec.structs.replace(held, consumer_id="nobody"))


def hold_too_little(tx):
    tx.change(tx.find(Allocation)[0], ram_mib=1)


def drop_a_task(tx):
    tx.change(first(tx, Server), task_state="powering-off")


def cancel_the_only_task(tx):
    server = first(tx, Server)
    tx.change(server, task_state="powering-off")
    done = first(tx, Task, resource=f"server:{server.id}")
    tx.change(done, open=True, cancelled=True, host="elsewhere")


def leave_an_input(tx):
    tx.insert(ServerInput(id="nobody"))


def leave_a_port(tx):
    tx.change(first(tx, Port, owned=True), device_id="nobody")


def unbind_a_port(tx):
    tx.change(first(tx, Port, owned=True), host="")


def take_a_port_down(tx):
    tx.change(first(tx, Port, owned=True), status="DOWN")


def stop_on_paper(tx):
    tx.change(first(tx, Server), vm_state="stopped", launched_at=None)


def leave_a_task(tx):
    tx.change(first(tx, Task), open=True, host="elsewhere")


def leave_an_upload(tx):
    tx.change(first(tx, Image), status="saving")


def lose_image_bytes(tx):
    tx.change(first(tx, Image), location="elsewhere")


def forget_an_interface(tx):
    tx.delete(first(tx, RouterPort))


def misplace_a_gateway(tx):
    elsewhere = first(tx, Network, external=False)
    tx.change(tx.get(Port, first(tx, Router).gateway_port_id), network_id=elsewhere.id)


def lead_elsewhere(tx):
    tx.change(first(tx, Router), external_network_id=None, gateway_port_id=None)


def lose_a_holder(tx):
    tx.delete(tx.get(Port, first(tx, FloatingIp).holder_id))


def stand_for_a_lost_address(tx):
    tx.change(first(tx, FloatingIp), fixed_ip_address="10.1.0.99")


def remember_a_port(tx):
    tx.change(first(tx, FloatingIp), port_id=None)


def trust_a_stranger(tx):
    group = first(tx, Membership).group_id
    port = tx.find(Port, device_id=first(tx, Server).id)[0]
    tx.insert(Membership(id="x", group_id=group, port_id=port.id))
    tx.change(port, allowed_pairs=(Pair("192.0.2.1"),))


def keep_a_segment_for_nobody(tx):
    tx.insert(GivenSegment(id="gone", network_type="vxlan", segmentation_id=77))


def forget_a_segment(tx):
    tx.delete(first(tx, GivenSegment))


def give_a_segment_twice(tx):
    one, other = tx.find(Network, network_type="vxlan")
    tx.change(other, segmentation_id=one.segmentation_id)


def end_a_tunnel_elsewhere(tx):
    network = first(tx, Network, network_type="vxlan", external=False)
    host = first(tx, Port, network_id=network.id, owned=True).host
    tx.change(tx.get(TunnelEndpoint, host), address="198.51.100.1")


def call_a_network_broken(tx):
    tx.change(first(tx, Network), status="ERROR")


ROW_BREAKS = [
    (keep_a_segment_for_nobody, "no_segment_twice"),
    (forget_a_segment, "no_segment_twice"),
    (give_a_segment_twice, "no_segment_twice"),
    (end_a_tunnel_elsewhere, "hosts_know_each_other"),
    (call_a_network_broken, "the_switch_carries_what_hosts_need"),
    (double_an_address, "no_address_or_mac_twice"),
    (leak_an_address, "addresses_are_those_of_ports"),
    (forget_a_subnet, "networks_and_groups_hold_together"),
    (leave_a_membership, "networks_and_groups_hold_together"),
    (hold_for_nobody, "allocations_have_consumers"),
    (hold_too_little, "allocations_have_consumers"),
    (drop_a_task, "what_is_passing_has_an_owner"),
    (cancel_the_only_task, "what_is_passing_has_an_owner"),
    (leave_an_input, "ports_have_their_servers"),
    (leave_a_port, "ports_have_their_servers"),
    (forget_an_interface, "routers_hold_together"),
    (misplace_a_gateway, "routers_hold_together"),
    (lead_elsewhere, "no_floating_ip_twice"),
    (lose_a_holder, "no_floating_ip_twice"),
    (stand_for_a_lost_address, "no_floating_ip_twice"),
    (remember_a_port, "no_floating_ip_twice"),
    (trust_a_stranger, "machines_have_the_ports_of_rows"),
    (unbind_a_port, "servers_have_real_ports"),
    (take_a_port_down, "servers_have_real_ports"),
    (stop_on_paper, "machines_have_the_guests_of_rows"),
    (leave_a_task, "nothing_is_left_to_do"),
    (leave_an_upload, "nothing_is_left_to_do"),
    (lose_image_bytes, "images_have_their_bytes"),
]


async def float_one(api, users):
    server = await users._world.read(lambda tx: first(tx, Server))
    port = await users._world.read(lambda tx: first(tx, Port, device_id=server.id))
    body = {"floating_network_id": users.outside, "port_id": port.id}
    await create(api.network.floating_ips, member(server.project_id), body)


def in_a_town(look):
    """What `look` finds in a cloud with two servers, one of them with a floating IP."""
    loop = VirtualLoop()
    world = World(3, loop, GROUND, lambda line: None)
    users = Users(world, Dice(world.clock))

    async def live():
        await world.open()
        await users.open()
        for project_id in PROJECTS:
            ctx = member(project_id)
            asked = NewServer(name="s", flavor_ref="tiny", image_ref=users._image_id)
            await asyncio.wait([world.request("create", lambda api: api.compute.create(ctx, asked))])  # noqa: B023
        await asyncio.sleep(10)
        await asyncio.wait([world.request("float", lambda api: float_one(api, users))])
        await asyncio.sleep(10)
        found = await look(world)
        await world.close()
        return found

    return run(live(), loop)


async def names(world, invariants=(*ALWAYS, *HEALED)):
    found = broken(invariants, await snapshot.take(world, wanted=True))
    return [line.split(":")[0] for line in found]


def test_nothing_is_wrong_with_a_cloud_that_nobody_broke():
    async def look(world):
        return await names(world), await world.read(lambda tx: list(history.unexplained(tx)))

    assert ([], []) == in_a_town(look)


@pytest.mark.parametrize(("damage", "invariant"), ROW_BREAKS, ids=[damage.__name__ for damage, _ in ROW_BREAKS])
def test_wrong_rows_are_found(damage, invariant):
    async def look(world):
        await world.db.write(damage, admin_context(world.clock), why="broken on purpose")
        return await names(world)

    assert invariant in in_a_town(look)


def test_a_mac_used_twice_is_found():
    async def look(world):
        now = await snapshot.take(world)
        port = next(iter(now.ports.values()))
        twin = msgspec.structs.replace(port, id="twin", fixed_ips=(FixedIp("s", "10.0.0.1"),))
        return broken(ALWAYS, msgspec.structs.replace(now, ports={**now.ports, "twin": twin}))

    assert any("MAC" in line for line in in_a_town(look))


def test_more_than_the_quota_is_found():
    async def look(world):
        return await names(world, (quotas_are_kept(QuotaOptions(instances=0, ram=1)),))

    assert ["quotas_kept"] * 4 == in_a_town(look)


@pytest.mark.parametrize(
    ("damage", "invariant"),
    [
        ("a second guest", "a_guest_is_on_one_machine"),
        ("a lost guest", "machines_have_the_guests_of_rows"),
        ("a stranger", "machines_have_the_guests_of_rows"),
        ("a lost port", "machines_have_the_ports_of_rows"),
        ("an old port", "machines_have_the_ports_of_rows"),
        ("a network too many", "machines_have_the_ports_of_rows"),
        ("bytes of no image", "images_have_their_bytes"),
        ("a network of nobody", "hosts_know_each_other"),
        ("a VLAN too many", "the_switch_carries_what_hosts_need"),
    ],
)
def test_wrong_machines_are_found(damage, invariant):
    async def look(world):
        host = (await world.read(lambda tx: first(tx, Server))).host
        here = world.machines[host]
        other = next(machine for machine in world.hosts if machine is not here)
        id, port_id = (await here.compute.list())[0].id, next(iter(here.network.ports))
        match damage:
            case "a second guest":
                other.compute._guests[id] = here.compute._guests[id]
            case "a lost guest":
                here.compute.lose(id)
            case "a stranger":
                here.compute._guests["stranger"] = here.compute._guests[id]
            case "a lost port":
                await here.network.remove_port(port_id)
            case "an old port":
                here.network.ports[port_id] = msgspec.structs.replace(here.network.ports[port_id], rules=())
            case "a network too many":
                here.network.networks["n"] = next(iter(here.network.networks.values()))
            case "a network of nobody":
                network_id, spec = next(iter(here.network.networks.items()))
                here.network.networks[network_id] = msgspec.structs.replace(spec, segment=SegmentSpec(local="x"))
            case "a VLAN too many":
                port = SwitchPortSpec(port=SWITCH.hosts[host][0], carries=(9,))
                await world.switch.apply(SwitchChange(vlans=(VlanSpec(id=9),), ports=(port,)))
            case "bytes of no image":
                world.api.store.committed["x"] = b""
        return await names(world)

    assert invariant in in_a_town(look)


def test_two_tasks_of_one_resource_at_once_are_found():
    async def look(world):
        for machine in world.hosts[:2]:
            machine.process.life.spawn(asyncio.sleep(5), "task build server:1")
        return await names(world)

    assert ["tasks_of_a_resource_take_turns"] == in_a_town(look)


def test_a_row_that_the_journal_does_not_explain_is_found():
    async def look(world):
        cursor = world.engine.connect(write=True).cursor()
        cursor.execute("UPDATE servers SET name = 'changed behind our back'")
        cursor.execute("DELETE FROM allocations")
        return await world.read(lambda tx: list(history.unexplained(tx)))

    found = in_a_town(look)

    assert 2 == sum("is not what the journal says: name" in line for line in found)
    assert 2 == sum("Allocation" in line for line in found)
