"""Networks on several hosts: each host knows where the ports of the others are, as they come, move and go."""

import asyncio

from network.network_world import ADMIN, ALICE, eventually, room, spanning, vxlan

from micronova.context import admin_context
from micronova.network.contract import NicRequest
from micronova.network.db import TunnelEndpoint
from micronova.network.driver import TunnelPeer
from micronova.network.strategies.vxlan import VxlanManager

TYPE, PHYSICAL = "provider:network_type", "provider:physical_network"
FLAGS = {"network__vlan_ranges": ["rack:100:109"], "network__bridges": ["office:br-office"]}


async def boot(r, network, server, host):
    """The interface of a new server, plugged."""
    manager = r.hosts[host].manager
    requests = await manager.check_requests(ALICE, (NicRequest(network_id=network),), ())
    nics = await manager.allocate_for_server(ALICE, server, host, server, requests, ())
    await manager.plug_server(ALICE, server)
    return nics[0]


async def leave(r, server, host):
    manager = r.hosts[host].manager
    await manager.unplug_server(ALICE, server)
    await manager.deallocate_for_server(ALICE, server)


def segment(r, host, network):
    spec = r.hosts[host].driver.networks.get(network)
    return spec.segment if spec is not None else None


def peers(r, host, network):
    """MACs by end of tunnel, as the host's driver knows them; None when it doesn't have the network."""
    here = segment(r, host, network)
    return {peer.address: peer.macs for peer in here.peers} if here is not None else None


async def test_each_host_says_where_its_end_of_the_tunnels_is():
    async with room("h1", "h2", carriers=vxlan) as r:
        ends = await r.runtime.db.read(lambda tx: tx.find(TunnelEndpoint, order=(("id", True),)))

        assert [("h1", "192.0.2.1"), ("h2", "192.0.2.2")] == [(end.id, end.address) for end in ends]


async def test_a_port_that_comes_is_known_on_the_other_host_and_knows_it():
    async with room("h1", "h2", carriers=vxlan) as r:
        network, _ = await r.network()
        one = await boot(r, network, "one", "h1")
        two = await boot(r, network, "two", "h2")
        await r.idle()

        here = segment(r, "h1", network)

        assert ("vxlan", 1, "192.0.2.1") == (here.network_type, here.id, here.local)
        assert (TunnelPeer(address="192.0.2.2", macs=(two.mac,)),) == here.peers
        assert ((two.fixed_ips[0][1], two.mac),) == here.neighbours
        assert {"192.0.2.1": (one.mac,)} == peers(r, "h2", network)


async def test_a_second_port_and_a_third_host_are_known_too():
    async with room("h1", "h2", "h3", carriers=vxlan) as r:
        network, _ = await r.network()
        first = await boot(r, network, "one", "h1")
        more = [await boot(r, network, f"more{n}", "h2") for n in range(2)]
        third = await boot(r, network, "third", "h3")
        await r.idle()

        macs = tuple(sorted(nic.mac for nic in more))

        assert {"192.0.2.2": macs, "192.0.2.3": (third.mac,)} == peers(r, "h1", network)
        assert {"192.0.2.1": (first.mac,), "192.0.2.2": macs} == peers(r, "h3", network)


async def test_a_port_that_goes_is_forgotten_and_its_host_when_it_was_the_last():
    async with room("h1", "h2", carriers=vxlan) as r:
        network, _ = await r.network()
        await boot(r, network, "one", "h1")
        stays = await boot(r, network, "stays", "h2")
        await boot(r, network, "goes", "h2")

        await leave(r, "goes", "h2")
        await r.idle()
        assert {"192.0.2.2": (stays.mac,)} == peers(r, "h1", network)

        await leave(r, "stays", "h2")
        await r.idle()
        assert {} == peers(r, "h1", network)
        assert () == segment(r, "h1", network).neighbours
        assert None is peers(r, "h2", network)


async def test_a_port_that_moves_is_behind_its_new_host():
    async with room("h1", "h2", "h3", carriers=vxlan) as r:
        network, _ = await r.network()
        await boot(r, network, "one", "h1")
        moving = await boot(r, network, "moving", "h2")
        await r.hosts["h2"].manager.unplug_server(ALICE, "moving")

        await boot(r, network, "moving", "h3")
        await r.idle()

        assert {"192.0.2.3": (moving.mac,)} == peers(r, "h1", network)
        assert None is peers(r, "h2", network)


async def test_an_address_that_changes_is_told():
    async with room("h1", "h2", carriers=vxlan) as r:
        network, _ = await r.network()
        await boot(r, network, "one", "h1")
        two = await boot(r, network, "two", "h2")

        body = {"port": {"fixed_ips": [{"ip_address": "10.0.0.77"}]}}
        await r.call("PUT", f"/ports/{two.port_id}", body)
        await r.idle()

        assert (("10.0.0.77", two.mac),) == segment(r, "h1", network).neighbours


async def test_a_new_name_is_told_to_nobody():
    async with room("h1", "h2", carriers=vxlan) as r:
        network, _ = await r.network()
        await boot(r, network, "one", "h1")
        two = await boot(r, network, "two", "h2")
        await r.call("PUT", f"/ports/{two.port_id}", {"port": {"security_groups": []}})
        await r.idle()
        r.hosts["h1"].driver.calls.clear()

        await r.call("PUT", f"/ports/{two.port_id}", {"port": {"name": "two"}})
        await r.idle()

        assert [] == list(r.hosts["h1"].driver.calls)


async def test_a_network_that_a_router_joins_has_tunnels_to_the_hosts_of_the_other():
    async with room("h1", "h2", carriers=vxlan) as r:
        left, left_subnet = await r.network("10.0.1.0/24")
        right, right_subnet = await r.network("10.0.2.0/24")
        one = await boot(r, left, "one", "h1")
        two = await boot(r, right, "two", "h2")
        await r.idle()
        assert ({}, None) == (peers(r, "h1", left), peers(r, "h1", right))

        router = (await r.make("router"))["id"]
        for subnet in (left_subnet, right_subnet):
            await r.call("PUT", f"/routers/{router}/add_router_interface", {"subnet_id": subnet})
        await r.idle()

        assert {"192.0.2.2": ()} == peers(r, "h1", left)
        assert {"192.0.2.2": (two.mac,)} == peers(r, "h1", right)
        assert {"192.0.2.1": (one.mac,)} == peers(r, "h2", left)
        assert ((two.fixed_ips[0][1], two.mac),) == segment(r, "h1", right).neighbours

        await r.call("PUT", f"/routers/{router}/remove_router_interface", {"subnet_id": right_subnet})
        await r.idle()
        assert ({}, None) == (peers(r, "h1", left), peers(r, "h1", right))


async def test_a_host_whose_address_changes_is_reached_by_the_new_one():
    async with room("h1", "h2", carriers=vxlan) as r:
        network, _ = await r.network()
        await boot(r, network, "one", "h1")
        two = await boot(r, network, "two", "h2")
        await r.idle()

        moved = VxlanManager(r.runtime, "h2", address="198.51.100.2")
        moved.enter(r.hosts["h2"].manager.room)
        await moved.init_host(admin_context(r.runtime.clock))
        await r.idle()

        assert {"198.51.100.2": (two.mac,)} == peers(r, "h1", network)
        assert "198.51.100.2" == segment(r, "h2", network).local


async def test_hosts_that_nobody_can_reach_have_no_tunnels():
    def loopback(runtime, host):
        return (VxlanManager(runtime, host, address="127.0.0.1" if host == "h2" else "192.0.2.1"),)

    async with room("h1", "h2", "h3", carriers=loopback) as r:
        network, _ = await r.network()
        for host in ("h1", "h2", "h3"):
            await boot(r, network, f"on-{host}", host)
        await r.idle()

        assert [{}, {}, {}] == [peers(r, host, network) for host in ("h1", "h2", "h3")]


async def test_a_host_that_heard_of_nothing_sees_it_at_its_next_look():
    async with room("h1", "h2", serve=False, carriers=vxlan) as r:
        ctx = admin_context(r.runtime.clock)
        for host in r.hosts.values():
            await host.strategies[0].init_host(ctx)
        network, _ = await r.network()
        await boot(r, network, "one", "h1")
        two = await boot(r, network, "two", "h2")
        assert {} == peers(r, "h1", network)

        await r.hosts["h1"].manager.reconcile(ctx)

        assert {"192.0.2.2": (two.mac,)} == peers(r, "h1", network)


async def test_a_restarted_host_comes_back_with_its_tunnels():
    async with room("h1", "h2", carriers=vxlan) as r:
        network, _ = await r.network()
        await boot(r, network, "one", "h1")
        host = r.hosts["h1"]
        await host.service.stop()
        two = await boot(r, network, "two", "h2")

        host.begin()
        await host.service.start()

        await eventually(lambda: _peers_are(r, "h1", network, {"192.0.2.2": (two.mac,)}))


async def _peers_are(r, host, network, wanted):
    return wanted == peers(r, host, network)


async def test_many_ports_at_once_on_all_hosts_end_with_every_host_knowing_all_others():
    async with room("h1", "h2", "h3", carriers=vxlan) as r:
        network, _ = await r.network()

        nics = await asyncio.gather(*(boot(r, network, f"s{number}", f"h{number % 3 + 1}") for number in range(12)))
        await asyncio.gather(*(leave(r, f"s{number}", f"h{number % 3 + 1}") for number in range(3)))
        await r.idle()

        for at in ("h1", "h2", "h3"):
            others = {
                f"192.0.2.{other}": tuple(sorted(nics[n].mac for n in range(3, 12) if n % 3 + 1 == other))
                for other in (1, 2, 3)
                if f"h{other}" != at
            }
            assert others == peers(r, at, network)


async def test_a_vlan_is_told_with_its_neighbours_and_a_wire_of_others_by_its_name():
    async with room("h1", "h2", carriers=spanning, **FLAGS) as r:
        vlan = (await r.make("network", "admin", shared=True, **{TYPE: "vlan"}))["id"]
        wire = (await r.make("network", "admin", shared=True, **{TYPE: "flat", PHYSICAL: "office"}))["id"]
        await r.make("subnet", "admin", network_id=vlan, cidr="10.1.0.0/24")
        await r.make("subnet", "admin", network_id=wire, cidr="10.2.0.0/24")
        for number, network in enumerate((vlan, wire)):
            await boot(r, network, f"one{number}", "h1")
        two = await boot(r, vlan, "two", "h2")
        await r.idle()

        tagged, plain = segment(r, "h1", vlan), segment(r, "h1", wire)

        assert ("vlan", "rack", 100) == (tagged.network_type, tagged.physical_network, tagged.id)
        assert ((two.fixed_ips[0][1], two.mac),) == tagged.neighbours
        assert ("flat", "office", None) == (plain.network_type, plain.physical_network, plain.id)
        spec = r.hosts["h1"].driver.networks[wire]
        assert [(False, None, False)] == [(one.dhcp, one.gateway, spec.nat) for one in spec.subnets]


async def test_a_packet_passes_between_hosts_where_the_network_spans_them():
    async with room("h1", "h2", carriers=vxlan) as r:
        network, _ = await r.network()
        one = await boot(r, network, "one", "h1")
        two = await boot(r, network, "two", "h2")

        found = await r.manager.trace(ADMIN, one.port_id, two.fixed_ips[0][1])

        assert found.passes


async def test_a_packet_passes_by_a_router_to_a_network_that_spans_hosts():
    async with room("h1", "h2", carriers=vxlan) as r:
        left, left_subnet = await r.network("10.0.1.0/24")
        right, right_subnet = await r.network("10.0.2.0/24")
        one = await boot(r, left, "one", "h1")
        two = await boot(r, right, "two", "h2")
        router = (await r.make("router"))["id"]
        for subnet in (left_subnet, right_subnet):
            await r.call("PUT", f"/routers/{router}/add_router_interface", {"subnet_id": subnet})

        found = await r.manager.trace(ADMIN, one.port_id, two.fixed_ips[0][1])

        assert found.passes


async def test_on_a_wire_of_others_the_way_out_is_theirs_and_nobody_answers_for_metadata():
    async with room("h1", "h2", carriers=spanning, **FLAGS) as r:
        wire = (await r.make("network", "admin", shared=True, **{TYPE: "flat", PHYSICAL: "office"}))["id"]
        await r.make("subnet", "admin", network_id=wire, cidr="10.2.0.0/24")
        one, two = await boot(r, wire, "one", "h1"), await boot(r, wire, "two", "h2")

        beside = await r.manager.trace(ADMIN, one.port_id, two.fixed_ips[0][1])
        out = await r.manager.trace(ADMIN, one.port_id, "192.0.2.9")
        metadata = await r.manager.trace(ADMIN, one.port_id, "169.254.169.254", "tcp", 80)

        assert (True, True, False) == (beside.passes, out.passes, metadata.passes)
        assert "a gateway that is not this cloud's" in out.hops[-1].reason


async def test_who_is_told_no_address_by_the_network_knows_it_all_by_himself():
    async with room("h1", carriers=spanning, **FLAGS) as r:
        wire = (await r.make("network", "admin", shared=True, **{TYPE: "flat", PHYSICAL: "office"}))["id"]
        more = {
            "dns_nameservers": ["192.0.2.53"],
            "host_routes": [{"destination": "10.9.0.0/16", "nexthop": "10.2.0.9"}],
        }
        await r.make("subnet", "admin", network_id=wire, cidr="10.2.0.0/24", **more)
        tunnel, _ = await r.network()
        static, told = await boot(r, wire, "one", "h1"), await boot(r, tunnel, "two", "h1")

        (here,) = (await r.manager.guest_nics(ADMIN, "one"))[0].addresses
        (there,) = (await r.manager.guest_nics(ADMIN, "two"))[0].addresses

        assert (static.fixed_ips[0][1], "10.2.0.0/24", "static") == (here.ip, here.cidr, here.mode)
        assert (("0.0.0.0/0", "10.2.0.1"), ("10.9.0.0/16", "10.2.0.9")) == here.routes
        assert ("192.0.2.53",) == here.dns
        assert (told.fixed_ips[0][1], "dhcp") == (there.ip, there.mode)
        assert () == (await r.manager.guest_nics(ADMIN, "nobody"))


# -- addresses that ports share


async def pair(r, nic, ip, **more):
    await r.call("PUT", f"/ports/{nic.port_id}", {"port": {"allowed_address_pairs": [{"ip_address": ip, **more}]}})


async def test_an_address_that_a_port_may_use_besides_is_known_on_the_other_host():
    async with room("h1", "h2", carriers=vxlan) as r:
        network, _ = await r.network()
        await boot(r, network, "one", "h1")
        two = await boot(r, network, "two", "h2")

        await pair(r, two, "10.0.0.99")
        await r.idle()
        assert ("10.0.0.99", two.mac) in segment(r, "h1", network).neighbours
        assert "10.0.0.99" not in dict(segment(r, "h2", network).neighbours)

        await pair(r, two, "10.0.0.0/28")
        await r.idle()
        assert ((two.fixed_ips[0][1], two.mac),) == segment(r, "h1", network).neighbours


async def test_an_address_of_several_is_told_where_none_of_them_can_be_asked():
    async with room("h1", "h2", "h3", carriers=vxlan) as r:
        network, _ = await r.network()
        nics = [await boot(r, network, f"s{n}", f"h{n}") for n in (1, 2, 3)]

        for nic in nics[1:]:
            await pair(r, nic, "10.0.0.99")
        await r.idle()

        found = [dict(segment(r, host, network).neighbours).get("10.0.0.99") for host in ("h1", "h2", "h3")]
        assert [nics[1].mac, None, None] == found


async def test_an_address_that_several_use_with_one_mac_is_known_everywhere():
    async with room("h1", "h2", "h3", carriers=vxlan) as r:
        network, _ = await r.network()
        nics = [await boot(r, network, f"s{n}", f"h{n}") for n in (1, 2, 3)]

        for nic in nics[1:]:
            await pair(r, nic, "10.0.0.99", mac_address="00:00:5e:00:01:07")
        await r.idle()

        found = {dict(segment(r, host, network).neighbours).get("10.0.0.99") for host in ("h1", "h2", "h3")}
        assert {"00:00:5e:00:01:07"} == found


async def test_a_port_s_own_address_is_its_own_whoever_may_use_it():
    async with room("h1", "h2", "h3", carriers=vxlan) as r:
        network, _ = await r.network()
        nics = [await boot(r, network, f"s{n}", f"h{n}") for n in (1, 2, 3)]
        its_own = nics[1].fixed_ips[0][1]

        await pair(r, nics[2], its_own)
        await r.idle()

        assert nics[1].mac == dict(segment(r, "h1", network).neighbours)[its_own]
