"""Hosts follow the rows: plugging, changes while bound, groups across hosts, restarts, healing."""

import socket

import pytest
from network.network_world import ALICE, room

from micronova.context import admin_context
from micronova.errors import DriverError
from micronova.network.contract import NicRequest
from micronova.network.drivers.fake import FakeNetworkDriver
from micronova.tasks import Task


async def boot(r, server="srv", host="host1", **request):
    """A server with one port on a host, plugged."""
    manager = r.hosts[host].manager
    asked = (NicRequest(**request),) if request else None
    requests = await manager.check_requests(ALICE, asked, ("default",))
    nics = await manager.allocate_for_server(ALICE, server, host, server, requests, ("default",))
    await manager.plug_server(ALICE, server)
    return nics[0]


def remotes(driver, port_id):
    """Members of the groups that the port's rules trust, as the driver knows them."""
    return list(driver.members(driver.ports[port_id]).values())


def applied(driver):
    return [call.operation for call in driver.calls if call.operation.startswith(("ensure", "remove"))]


async def test_a_plugged_port_is_active_with_dhcp_and_filters():
    async with room() as r:
        network, _ = await r.network()

        nic = await boot(r)

        spec = r.driver.ports[nic.port_id]
        assert ("tap" + nic.port_id[:11], nic.mac, ("10.0.0.2",)) == (spec.device, spec.mac, spec.ips)
        assert [("10.0.0.2", "srv")] == [(lease.ip, lease.hostname) for lease in spec.leases]
        assert [network] == list(r.driver.networks)
        assert [("10.0.0.2",)] == remotes(r.driver, nic.port_id)
        assert "ACTIVE" == (await r.call("GET", f"/ports/{nic.port_id}"))["port"]["status"]


async def test_a_plug_tells_the_driver_of_nothing_but_its_own_port():
    async with room(serve=False) as r:
        await r.network()
        one = await boot(r, "one")
        r.driver.calls.clear()

        two = await boot(r, "two")

        assert ["ensure_port"] == applied(r.driver)
        assert [("10.0.0.2", "10.0.0.3")] == remotes(r.driver, one.port_id) == remotes(r.driver, two.port_id)


async def test_a_plug_that_failed_tells_everything_again():
    async with room(serve=False) as r:
        network, _ = await r.network()
        await boot(r, "one")
        r.driver.networks.clear()
        r.driver.groups.clear()

        with pytest.raises(DriverError):
            await boot(r, "two")
        again = await r.manager.plug_server(ALICE, "two")

        assert [network] == list(r.driver.networks)
        assert [("10.0.0.2", "10.0.0.3")] == remotes(r.driver, again[0].port_id)


async def test_members_are_read_anew_after_the_last_port_that_trusted_them_was_gone():
    async with room("h1", "h2", serve=False) as r:
        await r.network()
        await boot(r, "one", "h1")
        await r.manager.unplug_server(ALICE, "one")
        await r.manager.deallocate_for_server(ALICE, "one")
        two = await boot(r, "two", "h2")

        three = await boot(r, "three", "h1")

        assert [(two.fixed_ips[0][1], three.fixed_ips[0][1])] == remotes(r.driver, three.port_id)


async def test_an_unplugged_server_leaves_nothing_behind():
    async with room() as r:
        await r.network()
        nic = await boot(r)

        for _ in range(2):
            await r.manager.unplug_server(ALICE, "srv")

        assert ({}, {}) == (r.driver.ports, r.driver.networks)
        assert "DOWN" == (await r.call("GET", f"/ports/{nic.port_id}"))["port"]["status"]


async def test_a_change_while_bound_reaches_the_driver():
    async with room() as r:
        await r.network()
        nic = await boot(r)
        path = f"/ports/{nic.port_id}"

        await r.call("PUT", path, {"port": {"fixed_ips": [{"ip_address": "10.0.0.50"}]}})
        await r.idle()
        moved = r.driver.ports[nic.port_id]
        await r.call("PUT", path, {"port": {"admin_state_up": False, "security_groups": []}})
        await r.idle()

        assert ("10.0.0.50",) == moved.ips
        assert ["10.0.0.50"] == [lease.ip for lease in moved.leases]
        assert (False, ()) == (r.driver.ports[nic.port_id].up, r.driver.ports[nic.port_id].rules)


async def test_a_changed_subnet_reaches_the_host():
    async with room() as r:
        network, subnet = await r.network()
        await boot(r)

        await r.call("PUT", f"/subnets/{subnet}", {"subnet": {"dns_nameservers": ["192.0.2.9"]}})
        await r.idle()

        assert ("192.0.2.9",) == r.driver.networks[network].subnets[0].dns


async def test_members_on_other_hosts_are_trusted_as_they_come_and_go():
    async with room("h1", "h2") as r:
        await r.network()
        one = await boot(r, "one", "h1")
        two = await boot(r, "two", "h2")
        await r.idle()
        both = remotes(r.hosts["h1"].driver, one.port_id)

        await r.hosts["h2"].manager.unplug_server(ALICE, "two")
        await r.manager.deallocate_for_server(ALICE, "two")
        await r.idle()

        assert [("10.0.0.2", "10.0.0.3")] == both
        assert "10.0.0.3" == two.fixed_ips[0][1]
        assert [("10.0.0.2",)] == remotes(r.hosts["h1"].driver, one.port_id)


async def test_a_new_rule_reaches_every_member_and_nobody_else():
    async with room("h1", "h2", "h3") as r:
        await r.network()
        ports = [await boot(r, name, host) for name, host in (("one", "h1"), ("two", "h2"))]
        await r.idle()
        quiet = len(r.hosts["h3"].driver.calls)
        group = (await r.call("GET", "/security-groups"))["security_groups"][0]["id"]
        ssh = {"security_group_id": group, "direction": "ingress", "protocol": "tcp"}

        await r.call(
            "POST",
            "/security-group-rules",
            {"security_group_rule": {**ssh, "port_range_min": 22, "port_range_max": 22}},
        )
        await r.idle()

        for host, port in zip(("h1", "h2"), ports, strict=True):
            rules = r.hosts[host].driver.ports[port.port_id].rules
            assert [22] == [rule.port_min for rule in rules if rule.protocol == "tcp"]
        assert quiet == len(r.hosts["h3"].driver.calls)


async def test_many_changes_before_a_host_looks_are_one_task():
    async with room("h1", serve=False) as r:
        network, _ = await r.network()
        await boot(r, "srv", "h1")
        before = await r.runtime.db.read(lambda tx: tx.count(Task))

        await r.call("POST", "/ports", {"ports": [{"network_id": network}] * 20})
        await r.make("port", network_id=network)

        tasks = await r.runtime.db.read(lambda tx: tx.count(Task))
        assert (1, 1) == (before, tasks)


async def test_a_restarted_host_is_as_the_rows_say():
    async with room() as r:
        network, _ = await r.network()
        nic = await boot(r)
        host = r.hosts["host1"]
        await host.service.stop()
        host.driver.ports.clear()
        host.driver.networks.clear()

        host.begin()
        await host.service.start()

        assert ([nic.port_id], [network]) == (list(host.driver.ports), list(host.driver.networks))


async def test_what_no_row_wants_is_removed_by_the_next_look():
    async with room() as r:
        await r.network()
        nic = await boot(r)
        host = r.hosts["host1"]
        await host.service.stop()
        await r.manager.deallocate_for_server(ALICE, "srv")
        assert nic.port_id in host.driver.ports

        host.begin()
        await host.service.start()

        assert ({}, {}) == (host.driver.ports, host.driver.networks)


async def test_a_look_heals_what_was_lost_and_touches_nothing_that_is_well():
    async with room() as r:
        await r.network()
        nic = await boot(r)
        await r.idle()
        ctx = admin_context(r.runtime.clock)
        r.driver.calls.clear()

        await r.manager.reconcile(ctx)
        quiet = applied(r.driver)
        r.driver.ports.clear()
        await r.manager.reconcile(ctx)

        assert ["ensure_network"] == quiet
        assert [nic.port_id] == list(r.driver.ports)


async def test_a_look_after_nothing_changed_asks_the_host_only_and_one_after_a_change_finds_it():
    async with room(serve=False) as r:
        network, _ = await r.network()
        await boot(r)
        ctx = admin_context(r.runtime.clock)
        await r.manager.reconcile(ctx)
        r.driver.calls.clear()

        await r.manager.reconcile(ctx)
        quiet = [call.operation for call in r.driver.calls]
        await r.call("PUT", f"/networks/{network}", {"network": {"mtu": 1400}})
        await r.manager.reconcile(ctx)

        assert ["list_ports", "list_networks", "ensure_network"] == quiet
        assert 1400 == r.driver.networks[network].mtu


async def test_one_port_the_driver_refuses_does_not_keep_the_others():
    async with room() as r:
        await r.network()
        one, two = await boot(r, "one"), await boot(r, "two")
        await r.idle()
        r.driver.ports.clear()
        r.driver.refuse("no", operation="ensure_ports")
        r.driver.refuse("no", operation="ensure_port")

        with pytest.raises(DriverError):
            await r.manager.reconcile(admin_context(r.runtime.clock))

        assert 1 == len(r.driver.ports)
        await r.manager.reconcile(admin_context(r.runtime.clock))
        assert {one.port_id, two.port_id} == set(r.driver.ports)


async def test_a_refused_plug_is_told_and_may_be_repeated():
    async with room() as r:
        await r.network()
        requests = await r.manager.check_requests(ALICE, None, ())
        await r.manager.allocate_for_server(ALICE, "srv", "host1", "srv", requests, ())
        r.driver.refuse("the bridge is gone", operation="ensure_port")

        with pytest.raises(DriverError, match="bridge"):
            await r.manager.plug_server(ALICE, "srv")

        assert 1 == len(await r.manager.plug_server(ALICE, "srv"))


async def test_a_change_that_the_driver_refuses_is_repeated():
    async with room() as r:
        await r.network()
        nic = await boot(r)
        await r.idle()
        r.driver.refuse("not now", times=2, operation="ensure_ports")
        r.driver.refuse("not now", operation="ensure_port")

        await r.call("PUT", f"/ports/{nic.port_id}", {"port": {"admin_state_up": False}})
        await r.idle()

        assert not r.driver.ports[nic.port_id].up


class WithMetadata(FakeNetworkDriver):
    """A fake whose networks have a socket."""

    async def metadata_socket(self, network_id):
        return socket.create_server(("127.0.0.1", 0))


async def test_each_network_gives_its_metadata_socket_once_and_says_when_it_goes():
    async with room() as r:
        network, _ = await r.network()
        r.manager.here._driver = WithMetadata(r.runtime.clock)
        taken, gone = [], []

        async def take(id, listening):
            taken.append(id)
            listening.close()

        async def drop(id):
            gone.append(id)

        r.manager.on_metadata_socket, r.manager.on_metadata_gone = take, drop
        for name in ("one", "two"):
            await boot(r, name)
        for name in ("one", "two"):
            await r.manager.unplug_server(ALICE, name)

        assert ([network], [network]) == (taken, gone)


async def test_a_remote_group_without_addresses_opens_nothing():
    async with room() as r:
        network, _ = await r.network()
        empty = await r.make("security_group", name="empty")
        group = await r.make("security_group", name="web")
        body = {"security_group_id": group["id"], "direction": "ingress", "remote_group_id": empty["id"]}
        await r.call("POST", "/security-group-rules", {"security_group_rule": body})
        port = await r.make("port", network_id=network, security_groups=[group["id"]])

        nic = await boot(r, port_id=port["id"])

        assert [()] == remotes(r.driver, nic.port_id)


async def test_a_subnet_without_name_servers_has_the_clouds():
    async with room(network__dns=("192.0.2.53", "2001:db8::53")) as r:
        network, _ = await r.network()

        await boot(r)

        assert [("192.0.2.53",)] == [subnet.dns for subnet in r.driver.networks[network].subnets]
