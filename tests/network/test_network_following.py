"""Hosts hear of what happens elsewhere, and do no more for it than that takes, however many ports they have."""

from network.network_world import ADMIN, ALICE, eventually, room, vxlan

from micronova.errors import DriverError
from micronova.network.contract import NicRequest
from micronova.tasks import Task

QUICK = {"tasks__retry_seconds": 0.01, "tasks__sweep_seconds": 0.2}


async def boot(r, network, server, host):
    """The interface of a new server, plugged."""
    manager = r.hosts[host].manager
    requests = await manager.check_requests(ALICE, (NicRequest(network_id=network),), ())
    nics = await manager.allocate_for_server(ALICE, server, host, server, requests, ())
    await manager.plug_server(ALICE, server)
    return nics[0]


def asked_of(r, host):
    """What the host's driver was asked for, but for looks, since that was forgotten."""
    calls = r.hosts[host].driver.calls
    return {(call.operation, call.subject) for call in calls if not call.operation.startswith("list_")}


def neighbours(r, host, network):
    return dict(r.hosts[host].driver.networks[network].segment.neighbours)


async def test_a_port_that_comes_elsewhere_costs_a_host_its_network_and_its_groups_alone():
    async with room("h1", "h2", carriers=vxlan) as r:
        network, _ = await r.network()
        other, _ = await r.network("10.1.0.0/24")
        await boot(r, network, "one", "h1")
        await boot(r, other, "two", "h1")
        await r.idle()
        r.hosts["h1"].driver.calls.clear()

        nic = await boot(r, network, "three", "h2")
        await r.idle()

        assert {("ensure_network", network), ("ensure_ports", "")} == asked_of(r, "h1")
        assert not [call for call in r.hosts["h1"].driver.calls if call.operation == "list_ports"]
        assert nic.mac == neighbours(r, "h1", network)[nic.fixed_ips[0][1]]
        [members] = r.hosts["h1"].driver.groups.values()
        assert nic.fixed_ips[0][1] in members.addresses


async def test_a_host_that_neither_has_the_network_nor_trusts_the_group_is_asked_for_nothing():
    async with room("h1", "h2", "h3", carriers=vxlan) as r:
        network, _ = await r.network()
        await boot(r, network, "one", "h1")
        await r.idle()
        r.hosts["h3"].driver.calls.clear()

        await boot(r, network, "two", "h2")
        await r.idle()

        assert set() == asked_of(r, "h3")


async def test_what_waits_is_added_to():
    async with room("h1", "h2", carriers=vxlan, serve=False) as r:
        a, b = (await r.network())[0], (await r.network("10.1.0.0/24"))[0]

        def ask(tx):
            r.manager.room.tell_of(tx, ADMIN, ["h1"], networks=[b])
            r.manager.room.tell_of(tx, ADMIN, ["h1", "h2", ""], networks=[a], groups=["g"])

        await r.runtime.db.write(ask, ADMIN, why="test")

        tasks = await r.runtime.db.read(lambda tx: tx.find(Task, open=True, method="follow"))
        assert {"h1": [sorted((a, b)), ["g"]], "h2": [[a], ["g"]]} == {task.host: task.arguments[1:] for task in tasks}


async def test_who_is_to_look_at_everything_is_not_told_of_a_part():
    async with room("h1", serve=False) as r:

        def ask(tx):
            r.manager.room.tell(tx, ADMIN, ["h1"])
            r.manager.room.tell_of(tx, ADMIN, ["h1"], networks=["n"])

        await r.runtime.db.write(ask, ADMIN, why="test")

        tasks = await r.runtime.db.read(lambda tx: tx.find(Task, open=True))
        assert ["refresh"] == [task.method for task in tasks]


async def test_what_a_driver_refuses_is_followed_later():
    async with room("h1", "h2", carriers=vxlan, **QUICK) as r:
        network, _ = await r.network()
        await boot(r, network, "one", "h1")
        await r.idle()
        for operation in ("ensure_network", "ensure_ports"):
            r.hosts["h1"].driver.refuse("not now", operation=operation, error=DriverError, times=2)

        nic = await boot(r, network, "two", "h2")

        async def known():
            [members] = r.hosts["h1"].driver.groups.values()
            ip = nic.fixed_ips[0][1]
            return ip in neighbours(r, "h1", network) and ip in members.addresses

        await eventually(known)
        await r.idle()


async def test_a_network_that_a_host_has_no_use_for_any_more_goes():
    async with room("h1", "h2", carriers=vxlan) as r:
        left, left_subnet = await r.network("10.0.1.0/24")
        right, right_subnet = await r.network("10.0.2.0/24")
        router = (await r.make("router"))["id"]
        for subnet in (left_subnet, right_subnet):
            await r.call("PUT", f"/routers/{router}/add_router_interface", {"subnet_id": subnet})
        await boot(r, left, "one", "h1")
        await boot(r, right, "two", "h2")
        await r.idle()
        assert {left, right} == set(r.hosts["h1"].driver.networks)

        manager = r.hosts["h1"].manager
        await manager.unplug_server(ALICE, "one")
        await manager.deallocate_for_server(ALICE, "one")
        await manager.here.follow((left, right), ())
        await r.idle()

        assert set() == set(r.hosts["h1"].driver.networks)
        assert {left, right} == set(r.hosts["h2"].driver.networks)
