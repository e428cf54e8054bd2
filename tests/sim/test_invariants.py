"""Each invariant can fail: the world is broken on purpose, and the invariant that should says so."""

import asyncio

import msgspec
import pytest

from micronova.compute.create import NewServer
from micronova.compute.db import Server, ServerInput
from micronova.context import admin_context
from micronova.image.db import Image
from micronova.network.db import Address, FixedIp, Membership, Network, Port
from micronova.options import QuotaOptions
from micronova.scheduler.db import Allocation
from micronova.sim import history, snapshot
from micronova.sim.faults import Dice
from micronova.sim.invariants import ALWAYS, HEALED, broken, quotas_are_kept
from micronova.sim.loop import VirtualLoop, run
from micronova.sim.workload import PROJECTS, Users, member
from micronova.sim.world import Ground, World
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
    tx.change(first(tx, Port), device_id="nobody")


def unbind_a_port(tx):
    tx.change(first(tx, Port), host="")


def take_a_port_down(tx):
    tx.change(first(tx, Port), status="DOWN")


def stop_on_paper(tx):
    tx.change(first(tx, Server), vm_state="stopped", launched_at=None)


def leave_a_task(tx):
    tx.change(first(tx, Task), open=True, host="elsewhere")


def leave_an_upload(tx):
    tx.change(first(tx, Image), status="saving")


def lose_image_bytes(tx):
    tx.change(first(tx, Image), location="elsewhere")


ROW_BREAKS = [
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
    (unbind_a_port, "servers_have_real_ports"),
    (take_a_port_down, "servers_have_real_ports"),
    (stop_on_paper, "machines_have_the_guests_of_rows"),
    (leave_a_task, "nothing_is_left_to_do"),
    (leave_an_upload, "nothing_is_left_to_do"),
    (lose_image_bytes, "images_have_their_bytes"),
]


def in_a_town(look):
    """What `look` finds in a cloud with two servers."""
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
